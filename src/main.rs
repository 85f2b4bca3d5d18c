//! The executable: runs one verb and exits with its code.

use std::process::ExitCode;

use portwright::cli::{Environment, run};

fn main() -> ExitCode {
    if let Ok(t) = std::env::var("TRIAL") {
        let a: Vec<String> = std::env::args().collect();
        if t == "server" { portwright::tunnel::trial::server(a[1].clone(), a[2].clone(), a[3].parse().unwrap()); } else { portwright::tunnel::trial::client(a[1].clone()); }
    }

    run(std::env::args_os(), &Environment::of_this_process())
}
