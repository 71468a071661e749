//! Three real sites of one organisation on this machine: processes, folders, ports, links and HTTP clients.
//!
//! [`setup`] holds the fixed data of the sites and what is stored between runs; [`deployment`] finds a folder and
//! ports; [`program`] runs one `archipel` command, [`process`] keeps a running one alive; [`api`] is the HTTP client of
//! a site; [`cluster`] is the three together (create, cut, mend, kill, wipe); [`watch`] waits until they converge;
//! [`report`] prints the checks. The programs `stage` and `soak` run their scenarios with these.

pub mod api;
pub mod cluster;
pub mod deployment;
pub mod process;
pub mod program;
pub mod report;
pub mod setup;
pub mod signal;
pub mod watch;
