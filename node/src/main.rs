//! The `archipel` program: everything is in the library.

fn main() -> std::process::ExitCode {
    node::cli::main()
}
