//! The service through the system's own service manager: installed, started, stopped and removed; `sc` says the same.

use std::net::TcpStream;
use std::process::Command;

use crate::machine::{Machine, free, wait_until};

/// What another program says of the service.
fn said(name: &str) -> String {
    let asked = Command::new("sc").args(["query", name]).output().expect("sc runs");
    String::from_utf8_lossy(&asked.stdout).into_owned()
}

#[test]
fn a_server_is_installed_started_stopped_and_removed() {
    let machine = Machine::new();
    let (tunnel, api) = (free(), free());
    let config = machine.project().join("server.yaml");
    let text = format!(
        "tunnel: {{ enabled: true, listen_port: {}, listen: 127.0.0.1 }}\n\
         api: {{ listen_port: {}, api_key: a-key-that-is-long-enough-for-this }}\n",
        tunnel.port(),
        api.port()
    );
    std::fs::write(&config, text).expect("a file");
    let (config, name) = (config.to_str().expect("a path"), "portwright-test");
    let install = ["service", "install", "server", "--config", config, "--name", name, "--yes"];
    machine.run(&install).expect(0);
    assert!(said(name).contains("STOPPED"), "{}", said(name));
    let again = machine.run(&install).expect(0);
    assert!(again.stdout.len() + again.stderr.len() > 0, "it says that nothing changes");
    let status = |code| machine.run(&["service", "status", "--name", name, "--json"]).expect(code).json();
    let stopped = status(6)["services"][0].clone();
    assert_eq!((&stopped["state"], &stopped["running"]), (&"STOPPED".into(), &false.into()));

    machine.run(&["service", "start", "--name", name, "--yes"]).expect(0);
    wait_until("the API", || TcpStream::connect(api).is_ok());
    assert!(said(name).contains("RUNNING"), "{}", said(name));
    assert_eq!(status(0)["services"][0]["running"], true);

    machine.run(&["service", "stop", "--name", name, "--yes"]).expect(0);
    wait_until("the end", || TcpStream::connect(api).is_err());
    wait_until("the service manager's word", || said(name).contains("STOPPED"));

    machine.run(&["service", "uninstall", "--name", name, "--yes"]).expect(0);
    wait_until("its removal", || !said(name).contains("STATE"));
    machine.run(&["service", "status", "--name", name]).expect(3);
}
