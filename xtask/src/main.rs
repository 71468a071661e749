//! `cargo xtask`: the demo, the tests and the benchmarks, from a machine that has Rust alone, with the linker that
//! Rust itself asks for.
//!
//! Each command names the tools it needs (`tools`), installs what is missing (`install`), builds, and becomes the
//! program that it is for. Standard library only, so that this starts in seconds even where nothing else compiles yet.
//! Messages go to stderr: stdout belongs to the started program (the demo's one line of JSON) and to the final table of
//! `test`. Errors are plain text, because only people read them.
//!
//! What the demo shows and what the tests assert is not here: see the crates `node` and `tests`.

mod demo;
mod install;
mod report;
mod steps;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const HELP: &str = "\
Archipel's commands; each installs what is missing first, and says what.

  cargo xtask demo [ARGS]     build, start three sites and the stage; Ctrl-C stops all
      --check                 the same run without a person; exit status 0 only if all holds
      --no-prompt --json      print one line of JSON with the sites, serve until ended
      --data DIR --port N     where the sites live, and the first port
      --two-machines          print the line to paste on a second machine
  cargo xtask test [--quick]  every check and test, then a table; --quick leaves the long steps out
  cargo xtask bless           write the stored samples of formats anew, after a wanted change
  cargo xtask bench [ARGS]    measure against the floors, in the release profile
  cargo xtask help            this page

  --no-install (demo, test, bench) installs nothing: demo and bench stop if something is missing,
  test skips the steps that need it.
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_else(|| "help".to_owned());
    match run(&command, args.collect()) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("xtask {command}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, args: Vec<String>) -> Result<ExitCode, String> {
    let workspace = Workspace::here()?;
    let refused = |arg: &String| arg == "--no-install";
    let may_install = !args.iter().any(refused);
    let args: Vec<String> = args.into_iter().filter(|arg| !refused(arg)).collect();
    match command {
        "demo" => demo::demo(&workspace, &args, may_install),
        "bench" => demo::bench(&workspace, &args, may_install),
        "test" => test::test(&workspace, &args, may_install),
        "bless" => test::bless(&workspace, &args),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err("no such command; `cargo xtask help` lists them".to_owned()),
    }
}
