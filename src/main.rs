//! The executable: runs one verb and exits with its code.

use std::process::ExitCode;

use portwright::cli::{Environment, run};

fn main() -> ExitCode {
    run(std::env::args_os(), &Environment::of_this_process())
}
