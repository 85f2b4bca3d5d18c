//! A launched server that was broken in many ways, and a client's way to it.

use std::net::TcpListener;
use std::process::Command;

use super::{Diagnosis, NO_ENGINE};
use crate::launches::{Launches, at, docker, until};
use crate::support::{free_block, have_docker, hold};

fn diagnosed(launches: &Launches, more: &[&str]) -> Diagnosis {
    let words = [&["doctor", "--json"], more].concat();
    Diagnosis::of(launches.command(&words).env("DOCKER_HOST", NO_ENGINE))
}

fn kill(pids: &[u32]) {
    for pid in pids {
        Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
    }
}

#[test]
fn a_launched_server_is_well_until_it_is_broken() {
    let launches = Launches::new(&[]);
    launches.quick_start(&["--runtime", "native"]).expect_code(0);
    let well = diagnosed(&launches, &[]);
    assert_eq!(well.alarms(), [] as [String; 0], "{}", well.document);
    for id in ["launched", "tunnel-config", "tunnel-api", "tunnel-control", "ports"] {
        assert_eq!(well.outcome(id), "pass", "{id}: {}", well.document);
    }
    let own = launches.first + 50;
    let create = |port: u16, more: &[&str]| {
        let port = port.to_string();
        launches.run(&[&["mapping", "create", &port], more].concat()).expect_code(0);
    };
    let target = TcpListener::bind("127.0.0.1:0").expect("a target");
    let target_at = format!("127.0.0.1:{}", target.local_addr().expect("an address").port());
    create(own, &["--target", &target_at, "--direct"]);
    let reached = diagnosed(&launches, &[]);
    assert_eq!((reached.outcome("tunnel-targets"), reached.alarms().len()), ("pass", 0), "{}", reached.document);
    drop(target);
    diagnosed(&launches, &[]).finds("tunnel-targets", "warn", &target_at, "start what should listen");
    launches.run(&["mapping", "remove", &own.to_string(), "--yes"]).expect_code(0);

    create(own + 1, &["--client", "nas"]);
    diagnosed(&launches, &[]).finds("tunnel-clients", "warn", "nas", "tunnel client --join");
    launches.run(&["mapping", "remove", &(own + 1).to_string(), "--yes"]).expect_code(0);

    let config = launches.sandbox.read("config.yaml");
    launches.sandbox.write("config.yaml", &format!("{config}\nnonsense: 1\n"));
    diagnosed(&launches, &[]).finds("tunnel-config", "fail", "nonsense", "config.yaml");
    launches.sandbox.write("config.yaml", &config);

    kill(&launches.processes("supervise"));
    kill(&launches.processes("tunnel server"));
    until("all are gone", || launches.processes("tunnel server").is_empty());
    let dead = diagnosed(&launches, &[]);
    assert_eq!(dead.alarms(), ["launched", "dead-service"], "{}", dead.document);
    assert!(dead.check("dead-service")["remedy"].to_string().contains("portwright quick-start"));
    // What the remedy says.
    launches.quick_start(&["--runtime", "native"]).expect_code(0);
    assert_eq!(diagnosed(&launches, &[]).alarms(), [] as [String; 0]);
}

#[test]
fn a_server_in_a_container_is_well_and_its_mappings_are_visited_where_they_are_published() {
    if !have_docker() {
        return;
    }
    let launches = Launches::new(&[]);
    let document = launches.quick_start(&["--runtime", "docker"]).expect_code(0).json();
    let id = at(&document, "/launched/id").as_str().expect("an id").to_owned();
    let port = free_block(1);
    let _target = hold(port);
    let gateway = docker(&["inspect", &id, "--format", "{{.NetworkSettings.Gateway}}"]);
    let words = ["mapping", "create", "10003", "--target", &format!("{gateway}:{port}"), "--direct"];
    launches.run(&words).expect_code(0);
    let seen = Diagnosis::of(&mut launches.command(&["doctor", "--json"]));
    assert_eq!(seen.alarms(), [] as [String; 0], "{}", seen.document);
    for id in ["engine", "launched", "tunnel-api", "tunnel-control", "tunnel-mappings", "tunnel-targets", "ports"] {
        assert_eq!(seen.outcome(id), "pass", "{id}: {}", seen.document);
    }
}

#[test]
fn the_way_to_a_server_is_told_step_by_step() {
    let launches = Launches::new(&[]);
    launches.quick_start(&["--runtime", "native"]).expect_code(0);
    let token =
        |name: &str| launches.run(&["tunnel", "token", "create", "--name", name, "--json"]).expect_code(0).json();
    let (home, gone) = (token("home"), token("gone"));
    launches.run(&["tunnel", "token", "revoke", "gone", "--yes"]).expect_code(0);
    let code = |made: &serde_json::Value| at(made, "/token/join_code").as_str().expect("a code").to_owned();
    let well = diagnosed(&launches, &["--join", &code(&home)]);
    assert_eq!(well.alarms(), [] as [String; 0], "{}", well.document);
    for id in ["server-entry", "server-name", "server-reach", "server-trust", "server-token", "server-version"] {
        assert_eq!(well.outcome(id), "pass", "{id}: {}", well.document);
    }
    diagnosed(&launches, &["--join", &code(&gone)]).finds("server-token", "fail", "token", "");
    diagnosed(&launches, &["--join", &code(&home)[..90]]).finds("server-entry", "fail", "damaged", "");

    let secret = at(&home, "/token/token").as_str().expect("a token").to_owned();
    let with_token = |server: &str, more: &[&str]| {
        let words = [&["doctor", "--json", "--server", server], more].concat();
        Diagnosis::of(launches.command(&words).env("DOCKER_HOST", NO_ENGINE).env("PORTWRIGHT_TOKEN", &secret))
    };
    let server = format!("127.0.0.1:{}", launches.control());
    let pin = format!("sha256:{}", "0".repeat(64));
    with_token(&server, &["--pin", &pin]).finds("server-trust", "fail", "sha256:", "");
    with_token(&format!("127.0.0.1:{}", free_block(1)), &["--pin", &pin]).finds(
        "server-reach",
        "fail",
        "127.0.0.1",
        "",
    );
    let nowhere = with_token("nowhere.invalid:9000", &["--pin", &pin]);
    nowhere.finds("server-name", "fail", "nowhere.invalid", "");
    assert_eq!(nowhere.outcome("server-reach"), "skipped");
    let document = nowhere.document.to_string();
    assert!(!document.contains(&secret), "the token is told");
}
