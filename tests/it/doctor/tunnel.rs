//! A launched server that was broken in many ways, and a client's way to it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::{Diagnosis, NO_ENGINE, NOT_OURS};
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
    for id in ["launched", "tunnel-config", "tunnel-api", "tunnel-control", "tunnel-clock", "ports"] {
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
    let seen = Diagnosis::of(&mut launches.command(&[&["doctor", "--json"], &NOT_OURS[..]].concat()));
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
    let steps = ["server-entry", "server-name", "server-reach", "server-trust", "server-token"];
    for id in steps.into_iter().chain(["server-version", "server-clock"]) {
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

/// Stands before a server's API and answers as it does, with another date.
fn api_with_another_date(api: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || answer_with_another_date(client, api));
        }
    });
    port
}

fn answer_with_another_date(mut client: TcpStream, api: u16) -> Option<()> {
    let mut server = TcpStream::connect(("127.0.0.1", api)).ok()?;
    let mut request = [0; 4096];
    let length = client.read(&mut request).ok()?;
    server.write_all(&request[..length]).ok()?;
    let mut answer = vec![0; 65536];
    while let Ok(length @ 1..) = server.read(&mut answer) {
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        let lines = text
            .split("\r\n")
            .map(|line| if line.starts_with("date: ") { "date: Sun, 06 Nov 1994 08:49:37 GMT" } else { line });
        client.write_all(lines.collect::<Vec<_>>().join("\r\n").as_bytes()).ok()?;
    }
    Some(())
}

#[test]
fn a_launched_server_of_another_time_is_told() {
    let launches = Launches::new(&[]);
    launches.quick_start(&["--runtime", "native"]).expect_code(0);
    let before = format!("API_PORT={}", launches.first);
    let moved =
        launches.sandbox.read(".env").replace(&before, &format!("API_PORT={}", api_with_another_date(launches.first)));
    launches.sandbox.write(".env", &moved);
    diagnosed(&launches, &["--only", "tunnel-clock"]).finds("tunnel-clock", "fail", "1994-11-06T08:49:37Z", "set-ntp");
}

/// Takes a client's Hello, tells this time, and then refuses the token: a server as the protocol's document has it.
fn server_of_another_time(listener: &TcpListener, clock_s: u64) {
    for mut client in listener.incoming().flatten() {
        let frame = |client: &mut TcpStream| {
            let mut header = [0; 6];
            client.read_exact(&mut header).ok()?;
            let length = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
            client.read_exact(&mut vec![0; usize::try_from(length).ok()?]).ok()
        };
        // Who only looks whether somebody is there says nothing.
        if frame(&mut client).is_none() {
            continue;
        }
        let challenge = [&[0, 1][..], &[7; 32], &[3, 0, 8], &clock_s.to_be_bytes()].concat();
        let length = u32::try_from(challenge.len()).expect("short").to_be_bytes();
        client.write_all(&[&[1, 0x11][..], &length, &challenge].concat()).expect("sent");
        frame(&mut client).expect("a proof");
        client.write_all(&[1, 0x14, 0, 0, 0, 6, 0, 2, 0, 0, b'n', b'o']).expect("sent");
        return;
    }
}

#[test]
fn a_server_of_another_time_is_told_also_when_it_refuses_the_token() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let config = format!(
        "tunnel: {{ tls: off, listen: 127.0.0.1, listen_port: {port} }}\napi: {{ api_key: \"8f1d2c3b4a5968778695a4b3c2d1e0ff\" }}\n"
    );
    let sandbox = crate::support::Sandbox::new(&[("config.yaml", &config)]);
    let typed = ["tunnel", "token", "create", "--config", "config.yaml", "--name", "laptop", "--json"];
    let made = sandbox.run(&typed).expect_code(0).json();
    let code = at(&made, "/token/join_code").as_str().expect("a code").to_owned();
    for (ahead_s, outcome) in [(60_u64, "warn"), (3600, "fail")] {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
        let seen = std::thread::scope(|scope| {
            scope.spawn(|| server_of_another_time(&listener, now + ahead_s));
            let mut command = sandbox.command(&["doctor", "--json", "--join", &code]);
            Diagnosis::of(command.env("DOCKER_HOST", NO_ENGINE))
        });
        let check = seen.check("server-clock");
        assert_eq!(check["outcome"], outcome, "{}", seen.document);
        assert!(check["evidence"].to_string().contains(" s apart"), "{check}");
        assert!(check["remedy"].to_string().contains("set-ntp"), "{check}");
        assert_eq!(seen.alarms(), ["server-token", "server-clock"], "{}", seen.document);
    }
}

#[test]
fn a_look_leaves_nothing_in_the_servers_log() {
    let launches = Launches::new(&[]);
    launches.quick_start(&["--runtime", "native"]).expect_code(0);
    let made = launches.run(&["tunnel", "token", "create", "--name", "home", "--json"]).expect_code(0).json();
    let code = at(&made, "/token/join_code").as_str().expect("a code").to_owned();
    for _ in 0..2 {
        let seen = diagnosed(&launches, &["--join", &code]);
        assert_eq!(
            (seen.outcome("tunnel-control"), seen.outcome("server-token")),
            ("pass", "pass"),
            "{}",
            seen.document
        );
    }
    only_a_stranger_is_refused(&launches);
}

/// Refuses somebody, and shows that nobody else was. The first refusal is logged at once, and with it all that were
/// counted before.
#[track_caller]
fn only_a_stranger_is_refused(launches: &Launches) {
    const REFUSED: &str = "connections refused before they were known";
    TcpStream::connect(("127.0.0.1", launches.control())).expect("connected").write_all(b"nonsense").expect("sent");
    let log = || launches.run(&["logs"]).stdout;
    until("the stranger is logged", || log().contains(REFUSED));
    let log = log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(REFUSED)).collect();
    assert!(lines.len() == 1 && lines[0].contains("nonsense 1"), "{log}");
}

#[test]
fn a_look_leaves_nothing_in_the_log_of_a_server_that_wants_certificates_either() {
    let launches = Launches::new(&[]);
    launches.quick_start(&["--runtime", "native"]).expect_code(0);
    launches.run(&["down", "--yes"]).expect_code(0);
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    launches.sandbox.write("clients.pem", &authority.pem());
    let file = launches.sandbox.project().join("clients.pem");
    let env = launches.sandbox.read(".env") + &format!("PORTWRIGHT_TUNNEL_CLIENT_CA={}\n", file.display());
    launches.sandbox.write(".env", &env);
    launches.quick_start(&["--runtime", "native"]).expect_code(0);
    let seen = diagnosed(&launches, &[]);
    assert_eq!((seen.outcome("tunnel-control"), seen.alarms().len()), ("pass", 0), "{}", seen.document);
    only_a_stranger_is_refused(&launches);
    // It does want one.
    let made = launches.run(&["tunnel", "token", "create", "--name", "home", "--json"]).expect_code(0).json();
    let code = at(&made, "/token/join_code").as_str().expect("a code").to_owned();
    diagnosed(&launches, &["--join", &code]).finds("server-trust", "fail", "only clients with a certificate", "");
}
