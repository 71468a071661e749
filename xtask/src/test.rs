//! `cargo xtask test`: fetches what the steps need, runs every step to its end, and prints the final table.
//!
//! A failure never hides what comes after it. The steps are listed in `steps`.

use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::install::{MissingTool, install_missing};
use crate::report::{Line, Outcome, Report};
use crate::steps::{STEPS, Step};
use crate::tools::Tool;
use crate::workspace::{Workspace, command_line, run};

/// Runs the steps. The exit status is 0 only if none failed.
/// Errors: an unknown argument, or a person has to install something first.
pub fn test(workspace: &Workspace, args: &[String], may_install: bool) -> Result<ExitCode, String> {
    let quick = args.iter().any(|arg| arg == "--quick");
    if let Some(unknown) = args.iter().find(|arg| *arg != "--quick") {
        return Err(format!("unknown argument {unknown}; `cargo xtask help` lists them"));
    }
    let test_run =
        TestRun { workspace, quick, may_install, missing: install_missing(workspace, &needed(quick), may_install)? };
    let mut report = Report::default();
    for step in STEPS {
        let line = test_run.line(step, &report);
        report.lines.push(line);
    }
    print!("{}", report.text());
    Ok(if report.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the stored samples of all formats anew. Look at what changed before it is committed: each is a format.
pub fn bless(workspace: &Workspace, args: &[String]) -> Result<ExitCode, String> {
    if let Some(unknown) = args.first() {
        return Err(format!("unknown argument {unknown}; `cargo xtask help` lists them"));
    }
    let mut cargo = workspace.cargo();
    cargo.args(["test", "-p", "schema", "-p", "sync", "-p", "node", "--test", "golden"]).env("ARCHIPEL_BLESS", "1");
    run(&mut cargo).map(|()| ExitCode::SUCCESS)
}

fn needed(quick: bool) -> Vec<Tool> {
    let steps = STEPS.iter().filter(|step| !(quick && step.long));
    let mut tools: Vec<Tool> = steps.flat_map(|step| step.needs).copied().collect();
    tools.sort_unstable();
    tools.dedup();
    tools
}

/// What holds for every step of one run.
struct TestRun<'a> {
    workspace: &'a Workspace,
    quick: bool,
    may_install: bool,
    missing: Vec<MissingTool>,
}

impl TestRun<'_> {
    fn line(&self, step: &Step, before: &Report) -> Line {
        let start = Instant::now();
        let outcome = self.not_run(step, before).unwrap_or_else(|| self.execute(step));
        let took = start.elapsed();
        print_outcome(step, &outcome, took);
        Line { name: step.name, outcome, took }
    }

    /// Why `step` does not run; `None` if it does.
    fn not_run(&self, step: &Step, before: &Report) -> Option<Outcome> {
        if self.quick && step.long {
            return Some(Outcome::Skipped("left out by --quick".to_owned()));
        }
        if let Some((_, why)) = self.missing.iter().find(|(tool, _)| step.needs.contains(tool)) {
            // Where installing was allowed, a tool that is still missing is a failure, not a skipped step.
            return Some(if self.may_install {
                Outcome::Failed(format!("{why}, and could not be installed"))
            } else {
                Outcome::Skipped(why.clone())
            });
        }
        if let Some(needed) = step.after.filter(|name| !before.passed(name)) {
            return Some(Outcome::Skipped(format!("needs the step `{needed}`, which did not pass")));
        }
        (step.skip_reason)(self.workspace).map(Outcome::Skipped)
    }

    fn execute(&self, step: &Step) -> Outcome {
        let mut command = step.run.command(self.workspace);
        eprintln!("\n== {}: {}", step.name, command_line(&command));
        let result = (step.prepare)(self.workspace).and_then(|()| run(command.stdin(Stdio::null())));
        result.map_or_else(Outcome::Failed, |()| Outcome::Passed)
    }
}

fn print_outcome(step: &Step, outcome: &Outcome, took: Duration) {
    let seconds = took.as_secs_f32();
    match outcome {
        Outcome::Passed => eprintln!("== {}: passed in {seconds:.1} s", step.name),
        Outcome::Failed(reason) => eprintln!("== {}: FAILED after {seconds:.1} s: {reason}", step.name),
        Outcome::Skipped(reason) => eprintln!("\n== {}: skipped: {reason}", step.name),
    }
}
