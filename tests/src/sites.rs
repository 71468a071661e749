//! Three real sites of one organisation on this machine: processes, folders, ports, cables, and what they say.
//!
//! [`place`] names the sites and what is kept of them, [`ground`] finds a folder and ports; [`program`] runs `archipel`
//! once, [`process`] keeps a running one alive; [`api`] is a site's door as anybody uses it; [`cast`] is the three
//! together (found, cut, mend, kill, wipe); [`watch`] asks whether they agree; [`report`] prints what held. The programs
//! `stage` and `endure` tell their stories with these.

pub mod api;
pub mod cast;
pub mod ground;
pub mod place;
pub mod process;
pub mod program;
pub mod report;
pub mod signal;
pub mod watch;
