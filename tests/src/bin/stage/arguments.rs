//! The command-line options of the stage.

use std::path::PathBuf;

use clap::Parser;

/// Three sites of one organisation on this machine, and the stage that shows them.
#[derive(Debug, Clone, Parser)]
#[command(name = "stage")]
pub struct Arguments {
    /// The folder of the sites; they are created there the first time and reused later.
    #[arg(long, default_value = ".demo")]
    pub data: PathBuf,
    /// The stage's port; the sites take the next three. Absent: 8100 if these four are free, others if not.
    #[arg(long)]
    pub port: Option<u16>,
    /// Ask nothing (nothing is asked anyway).
    #[arg(long)]
    pub no_prompt: bool,
    /// Print one line of JSON with the sites, then serve until ended.
    #[arg(long)]
    pub json: bool,
    /// Run the scenario unattended, in a folder of its own, and check every step.
    #[arg(long)]
    pub check: bool,
    /// Let Paris be reached from this network and print the line to paste on a second machine.
    #[arg(long)]
    pub two_machines: bool,
}
