//! What the commands need from the machine, how each is recognised, and where it comes from.
//!
//! To add a tool: one arm in each function of `Tool`. Fetching is left to `install`.

use std::process::Command;

use crate::workspace::Workspace;

/// The version that goes into `.tools` when the machine has no Node that is new enough.
pub const NODE_PACKAGES: &[&str] = &["node@24", "npm@11"];

/// A version that reads our `deny.toml`.
pub const DENY_VERSION: &str = "0.20.2";

/// Something a command cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// Builds SQLite, zstd and the cryptography, and links everything.
    Compiler,
    /// Node and npm: build and test the web UI.
    Node,
    Rustfmt,
    Clippy,
    Deny,
    /// Makes network namespaces, so that tests have hosts and links of their own.
    Ip,
    /// Shows that no packet leaves for a host nobody configured.
    Tcpdump,
    /// Runs the checks that share no code with the project.
    Python,
}

/// Where a tool comes from.
pub enum Source {
    /// Debian packages.
    Apt(&'static [&'static str]),
    /// Debian packages for a first npm, then the npm registry for a Node that is new enough.
    Npm { first: &'static [&'static str], packages: &'static [&'static str] },
    /// A component of the Rust toolchain in use.
    Rustup(&'static str),
    /// A program of crates.io, built into `.tools`.
    Cargo { name: &'static str, version: &'static str },
}

impl Tool {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Tool::Compiler => "a C compiler (cc)",
            Tool::Node => "Node.js >= 20.19 with npm",
            Tool::Rustfmt => "rustfmt",
            Tool::Clippy => "clippy",
            Tool::Deny => "cargo-deny",
            Tool::Ip => "ip (iproute2)",
            Tool::Tcpdump => "tcpdump and curl",
            Tool::Python => "Python 3",
        }
    }

    /// Why the tool cannot be used, as text; `None`: it can.
    pub fn why_missing(self, workspace: &Workspace) -> Option<String> {
        let present = match self {
            Tool::Compiler => has(workspace, "cc") || cfg!(windows),
            Tool::Node => return why_node_missing(workspace),
            Tool::Rustfmt => workspace.output_of(cargo_with(workspace, "fmt")).is_some(),
            Tool::Clippy => workspace.output_of(cargo_with(workspace, "clippy")).is_some(),
            Tool::Deny => has(workspace, "cargo-deny"),
            Tool::Ip => has(workspace, "ip") || !linux(),
            Tool::Tcpdump => (has(workspace, "tcpdump") && has(workspace, "curl")) || !linux(),
            Tool::Python => has(workspace, "python3") || cfg!(windows),
        };
        (!present).then(|| format!("{} is missing", self.name()))
    }

    pub fn source(self) -> Source {
        match self {
            Tool::Compiler => Source::Apt(&["gcc", "libc6-dev"]),
            Tool::Node => Source::Npm { first: &["nodejs", "npm"], packages: NODE_PACKAGES },
            Tool::Rustfmt => Source::Rustup("rustfmt"),
            Tool::Clippy => Source::Rustup("clippy"),
            Tool::Deny => Source::Cargo { name: "cargo-deny", version: DENY_VERSION },
            Tool::Ip => Source::Apt(&["iproute2"]),
            Tool::Tcpdump => Source::Apt(&["tcpdump", "curl"]),
            Tool::Python => Source::Apt(&["python3"]),
        }
    }
}

/// Namespaces and captures are Linux's; elsewhere the tests that use them are not built.
fn linux() -> bool {
    cfg!(target_os = "linux")
}

fn has(workspace: &Workspace, program: &str) -> bool {
    workspace.find(program).is_some()
}

fn cargo_with(workspace: &Workspace, component: &str) -> Command {
    let mut command = workspace.cargo();
    command.args([component, "--version"]);
    command
}

fn why_node_missing(workspace: &Workspace) -> Option<String> {
    if !has(workspace, "npm") {
        return Some("Node.js >= 20.19 with npm is missing".to_owned());
    }
    let mut command = workspace.command("node");
    command.arg("--version");
    match workspace.output_of(command) {
        None => Some("npm is there, but Node.js does not start".to_owned()),
        Some(version) if new_enough(&version) => None,
        Some(version) => Some(format!("Node.js is {version}, and the UI's build needs 20.19, 22.12 or later")),
    }
}

/// The range that Vite 8 states; `version` is what `node --version` prints, as `v20.19.0`.
fn new_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(20), Some(minor)) => minor >= 19,
        (Some(22), Some(minor)) => minor >= 12,
        (Some(major), _) => major > 22,
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::new_enough;

    #[test]
    fn node_versions_follow_the_range_that_vite_states() {
        for good in ["v20.19.0", "v20.20.2", "v22.12.0", "v24.21.0", "v23.0.0"] {
            assert!(new_enough(good), "{good} builds the UI");
        }
        for bad in ["v18.20.4", "v20.18.3", "v21.7.3", "v22.11.0", "", "node"] {
            assert!(!new_enough(bad), "{bad} does not");
        }
    }
}
