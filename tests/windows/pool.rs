//! Leases across processes: locks and marks of processes are the system's own.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::thread;

use crate::machine::Machine;

#[test]
fn processes_at_once_get_different_ports_and_give_them_back() {
    let machine = Machine::new();
    let pid = std::process::id().to_string();
    let alloc = || machine.run(&["pool", "alloc", "--range", "23100-23199", "--pid", &pid, "--json"]).expect(0).json();
    let ports: Vec<u64> = thread::scope(|scope| {
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(alloc)).collect();
        let leases = runs.into_iter().map(|run| run.join().expect("a run"));
        leases.map(|lease| lease["leases"][0]["port"].as_u64().expect("a port")).collect()
    });
    assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 8, "{ports:?}");
    let leased = machine.run(&["pool", "list", "--json"]).expect(0).json();
    assert_eq!(leased["leases"].as_array().map(Vec::len), Some(8));
    machine.run(&["pool", "release", "--pid", &pid]).expect(0);
    let leased = machine.run(&["pool", "list", "--json"]).expect(0).json();
    assert_eq!(leased["leases"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_command_gets_its_port_and_its_exit_code_is_passed_on() {
    let machine = Machine::new();
    let ran = machine.run(&["pool", "run", "--range", "23200-23299", "--", "cmd", "/c", "echo %PORT% {port}& exit 7"]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    let words: Vec<&str> = ran.stdout.split_ascii_whitespace().collect();
    let [from_environment, from_argument] = words[..] else { panic!("{ran:?}") };
    assert_eq!(from_environment, from_argument);
    assert!((23_200..23_300).contains(&from_argument.parse::<u16>().expect("a port")));
    let leased = machine.run(&["pool", "list", "--json"]).expect(0).json();
    assert_eq!(leased["leases"].as_array().map(Vec::len), Some(0), "given back with the command's end");
}

#[test]
fn a_lease_of_a_process_that_is_gone_is_reaped() {
    let machine = Machine::new();
    let mut waiting = Command::new("cmd");
    waiting.args(["/c", "set /p x="]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut holder = waiting.spawn().expect("a holder");
    let pid = holder.id().to_string();
    machine.run(&["pool", "alloc", "--range", "23300-23399", "--pid", &pid]).expect(0);
    holder.kill().expect("ended");
    holder.wait().expect("collected");
    machine.run(&["pool", "gc"]).expect(0);
    let leased = machine.run(&["pool", "list", "--json"]).expect(0).json();
    assert_eq!(leased["leases"].as_array().map(Vec::len), Some(0), "{leased}");
}
