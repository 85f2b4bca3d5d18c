//! What only a machine of its own can show: disks of other machines, and power that goes away.
//!
//! `scripts/vm/test.sh` runs these in a virtual machine, as root. Elsewhere they would need what nobody gives a test:
//! kernel modules, servers of the kernel, and a plug to pull.

mod disks;
mod power;

use std::process::Command;

/// Tells whether this process is in the virtual machine, and says so where it is not.
fn in_vm() -> bool {
    let inside = std::env::var_os("PORTWRIGHT_VM").is_some_and(|value| value == "1");
    if !inside {
        eprintln!("skipped: scripts/vm/test.sh runs this in a virtual machine");
    }
    inside
}

/// Runs a program of the machine, which has to work.
#[track_caller]
fn works(line: &str) {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().expect("a program")).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{line}: {error}"));
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}
