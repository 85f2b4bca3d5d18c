//! `why`, `completions` and `man`: one port against the real kernel, and pages that their readers take.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Sandbox, free_block, have, hold};

#[test]
fn a_held_port_is_named_with_its_holder_its_wanter_and_the_ways_out() {
    let port = free_block(3);
    let compose = format!("services:\n  web:\n    image: x\n    ports: [\"${{WEB_PORT:-{port}}}:80\"]\n");
    let sandbox = Sandbox::new(&[("compose.yaml", &compose)]);
    let before = sandbox.contents();
    let _held = hold(port);
    let word = port.to_string();
    let answer = sandbox.run(&["why", &word, "--json"]).expect_code(0).json();
    assert!(answer["schema"] == "portwright.why/1" && answer["port"] == port);
    let socket = &answer["sockets"][0];
    assert!(socket["pid"] == std::process::id() && socket["state"] == "listen", "{answer}");
    let binding = &answer["bindings"][0];
    assert!(binding["service"] == "web" && binding["state"] == "conflict" && binding["variable"] == "WEB_PORT");
    assert_eq!(binding["source"]["line"], 4);
    assert_eq!((&answer["leases"], &answer["reserved"]), (&json!([]), &json!([])));
    let free = answer["free"].as_u64().expect("a free port near it");
    let advice = answer["advice"].to_string();
    assert!(free > u64::from(port) && advice.contains(&format!("--port WEB_PORT={free}")), "{advice}");
    let leased = sandbox.run(&["pool", "alloc", "--json", "--purpose", "demo"]).expect_code(0).json();
    let lease = leased["leases"][0].clone();
    let answer = sandbox.run(&["why", &lease["port"].to_string(), "--json"]).expect_code(0).json();
    assert_eq!((&answer["leases"][0]["id"], &answer["leases"][0]["purpose"]), (&lease["id"], &json!("demo")));
    let screen = sandbox.run(&["why", &lease["port"].to_string()]).expect_code(0).stdout;
    assert!(screen.contains(": demo") && screen.contains("pool release"), "{screen}");
    let screen = sandbox.run(&["why", &word]).expect_code(0).stdout;
    for part in ["sockets", "this project", "compose.yaml:4:", "ways out"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn a_port_that_nobody_has_is_said_to_be_free_and_what_is_none_is_refused() {
    let sandbox = Sandbox::new(&[]);
    let port = free_block(1);
    let answer = sandbox.run(&["why", &port.to_string(), "--json"]).expect_code(0).json();
    assert_eq!((&answer["sockets"], &answer["bindings"]), (&json!([]), &json!([])));
    assert_eq!(answer["advice"], json!(["nobody has it"]));
    for bad in ["0", "65536", "http", ""] {
        assert_eq!(sandbox.run(&["why", bad]).code, 2, "{bad}");
    }
    if cfg!(target_os = "linux") {
        let answer = sandbox.run(&["why", "40000", "--json"]).expect_code(0).json();
        let ephemeral = |rule: &serde_json::Value| rule["kind"] == "ephemeral";
        let rules = answer["reserved"].as_array().expect("rules");
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("a range");
        let bounds: Vec<u16> = range.split_whitespace().map(|word| word.parse().expect("a port")).collect();
        assert_eq!(rules.iter().any(ephemeral), (bounds[0]..=bounds[1]).contains(&40000), "{answer}");
    }
}

/// Feeds `text` to a program and tells whether it took it.
fn is_taken_by(program: &str, arguments: &[&str], text: &str) -> bool {
    use std::io::Write as _;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    output.status.success() && output.stderr.is_empty()
}

#[test]
fn completions_are_scripts_of_their_shells_and_know_every_verb() {
    let sandbox = Sandbox::new(&[]);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = sandbox.run(&["completions", shell]).expect_code(0).stdout;
        for word in ["quick-start", "tunnel", "why", "on-conflict"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let script = sandbox.run(&["completions", "bash"]).expect_code(0).stdout;
    assert!(is_taken_by("bash", &["-n"], &script));
    let offered =
        "\nCOMP_WORDS=(portwright tunnel cl); COMP_CWORD=2; _portwright portwright cl tunnel; echo \"${COMPREPLY[*]}\"";
    let output = Command::new("bash").args(["-c", &(script + offered)]).output().expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "client");
    assert_eq!(sandbox.run(&["completions", "csh"]).code, 2);
}

#[test]
fn every_verb_has_a_page_that_can_be_read() {
    let sandbox = Sandbox::new(&[]);
    std::fs::create_dir(sandbox.project().join("man1")).expect("a folder");
    sandbox.run(&["man", "--to", "man1"]).expect_code(0);
    for page in ["portwright", "portwright-quick-start", "portwright-tunnel-token-create"] {
        assert!(sandbox.read(&format!("man1/{page}.1")).contains(".SH SYNOPSIS"), "{page}");
    }
    let page = sandbox.run(&["man", "tunnel", "client"]).expect_code(0).stdout;
    assert!(page == sandbox.read("man1/portwright-tunnel-client.1") && page.contains("join"));
    assert!(!sandbox.project().join("man1/portwright-supervise.1").exists(), "nobody types it");
    assert_eq!(sandbox.run(&["man", "nothing"]).code, 2);
    assert_eq!(sandbox.run(&["man", "--to", "nowhere"]).code, 5);
    let groff = Command::new("groff").arg("--version").output().is_ok();
    if have("groff", groff) {
        assert!(is_taken_by("groff", &["-Kutf8", "-man", "-Tutf8", "-ww"], &page));
    }
}
