//! `doctor` on machines that were broken on purpose: each fault is found, named, and told what mends it.

use serde_json::{Value, json};

use crate::support::{Sandbox, free_block, hold};

/// An engine that is not there.
const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";

/// What the document says of one check.
fn check<'a>(document: &'a Value, id: &str) -> &'a Value {
    let checks = document["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no check {id}: {document}"))
}

#[test]
fn a_port_that_is_held_and_an_engine_that_is_not_there_are_found_with_their_remedies() {
    let port = free_block(1);
    let compose = format!("services:\n  web:\n    image: x\n    ports: [\"{port}:80\"]\n");
    let sandbox = Sandbox::new(&[("compose.yaml", &compose)]);
    let _held = hold(port);
    let before = sandbox.contents();
    let mut command = sandbox.command(&["doctor", "--json"]);
    let answer = crate::support::Answer::from(command.env("DOCKER_HOST", NO_ENGINE).output().expect("it runs"));
    let document = answer.expect_code(3).json();
    assert_eq!(document["schema"], "portwright.doctor/1");
    let engine = check(&document, "engine");
    assert_eq!((&engine["outcome"], &engine["severity"]), (&json!("fail"), &json!("error")));
    assert!(engine["remedy"].as_str().expect("a remedy").contains("install Docker"), "{engine}");
    let ports = check(&document, "ports");
    let evidence = ports["evidence"].as_str().expect("evidence");
    assert!(ports["outcome"] == "fail" && evidence.contains(&port.to_string()) && evidence.contains("compose.yaml:4"));
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn ids_that_do_not_exist_are_refused_with_the_nearest_one() {
    let sandbox = Sandbox::new(&[]);
    for flag in ["--only", "--skip", "--accept"] {
        let answer = sandbox.run(&["doctor", flag, "prots"]).expect_code(2);
        assert!(answer.stderr.contains("`ports`"), "{}", answer.stderr);
    }
}
