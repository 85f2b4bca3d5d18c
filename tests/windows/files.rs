//! Preflight and lossless edits, with Windows line ends and paths.

use crate::machine::{Machine, taken};

const COMPOSE: &str =
    "services:\r\n  web:\r\n    image: web\r\n    ports:\r\n      - \"${WEB_PORT:-8000}:80\"  # 网站\r\n";

fn project(port: u16) -> Machine {
    let machine = Machine::new();
    machine.write("compose.yaml", COMPOSE.as_bytes());
    machine.write(".env", format!("# settings\r\nWEB_PORT={port}\r\nSECRET='a b'\r\n").as_bytes());
    machine
}

#[test]
fn a_listener_is_seen_and_its_port_is_a_conflict() {
    let (_listener, port) = taken();
    let machine = project(port);
    let range = format!("{port}-{port}");
    let found = machine.run(&["scan", "--range", &range, "--json"]).expect(0).json();
    assert_eq!(found["sockets"][0]["port"], port, "{found}");
    assert_eq!(found["sockets"][0]["state"], "listen");
    let checked = machine.run(&["check", "--json"]).expect(3).json();
    let binding = &checked["bindings"][0];
    assert_eq!((&binding["state"], &binding["variable"]), (&"conflict".into(), &"WEB_PORT".into()), "{checked}");
    let file = std::path::Path::new(binding["source"]["file"].as_str().expect("a file"));
    assert!(file.is_absolute() || file.components().count() == 1, "{}", file.display());
}

#[test]
fn only_the_port_is_rewritten_and_undo_brings_every_byte_back() {
    let (_listener, port) = taken();
    let machine = project(port);
    let before = machine.read(".env");
    let done = machine.run(&["quick-start", "--yes", "--no-launch", "--json"]).expect(0).json();
    let after = String::from_utf8(machine.read(".env")).expect("UTF-8");
    let (head, rest) = after.split_once("WEB_PORT=").expect("the variable");
    let (chosen, tail) = rest.split_once("\r\n").expect("its line");
    assert_ne!(chosen.parse::<u16>().expect("a port"), port);
    assert_eq!((head, tail), ("# settings\r\n", "SECRET='a b'\r\n"));
    assert_eq!(machine.read("compose.yaml"), COMPOSE.as_bytes());
    assert!(!done.to_string().contains("a b"), "no value of .env is shown");
    machine.run(&["undo", "--yes"]).expect(0);
    assert_eq!(machine.read(".env"), before);
}

#[test]
fn without_a_terminal_and_without_consent_nothing_changes() {
    let (_listener, port) = taken();
    let machine = project(port);
    let before = machine.read(".env");
    let refused = machine.run(&["quick-start", "--no-launch"]);
    assert!(matches!(refused.code, Some(2 | 3)), "{refused:?}");
    assert_eq!(machine.read(".env"), before);
    let chinese = machine.run(&["check", "--lang", "zh-CN"]).expect(3);
    assert!(chinese.stdout.contains("冲突"), "{chinese:?}");
}
