//! The launch half of `quick-start` with the bundled server, as a person uses it: a container or a process that really
//! runs, is found again, moved, looked at, stopped, and survives what happens to it.

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::launches::{Launches, alive, at, docker, env_value, healthy, http, image_of, signal, until};
use crate::support::{Sandbox, free_block, have_docker, hold};

const NATIVE: [&str; 2] = ["--runtime", "native"];

fn api_list(port: u16, key: &str) -> u16 {
    let head = format!("GET /api/mapping/list HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
    http(port, &format!("{head}Authorization: Bearer {key}\r\n\r\n")).expect("an answer").0
}

fn changes_nothing(document: &Value) -> bool {
    *at(document, "/launched/state") == "unchanged"
        && *at(document, "/changes") == json!([])
        && at(document, "/undo_id").is_null()
}

#[test]
fn a_container_is_launched_hardened_found_again_and_taken_back() {
    if !have_docker() {
        return;
    }
    let launches = Launches::new(&[]);
    let port = launches.first;
    let before = launches.sandbox.contents();
    let first = launches.quick_start(&[]).expect_code(0);
    let document = first.json();
    assert_eq!(document["runtime"], "docker");
    assert_eq!(document["launched"]["state"], "created");
    let urls = json!([
        { "name": "tunnel:8080", "url": format!("http://127.0.0.1:{port}") },
        { "name": "tunnel:9000", "url": format!("tcp://127.0.0.1:{}", launches.control()) },
    ]);
    assert_eq!(document["urls"], urls);
    assert!(document["undo_id"].is_string() && healthy(port));
    let id = document["launched"]["id"].as_str().expect("an id").to_owned();
    is_hardened(&id);

    let key = env_value(&launches.sandbox.project(), "PORTWRIGHT_API_API_KEY");
    assert_eq!((api_list(port, &key), api_list(port, "wrong")), (200, 401));
    let second = launches.run(&["quick-start", "--yes", "--json", "-v"]).expect_code(0);
    assert!(changes_nothing(&second.json()), "{}", second.stdout);
    assert_eq!(second.json()["launched"]["id"], id.as_str());
    let status = launches.status();
    assert_eq!((&status[0]["state"], &status[0]["health"]), (&json!("running"), &json!("healthy")));
    assert_eq!((&status[0]["id"], &status[0]["ports"][0]), (&json!(id), &json!(port)));
    let logs = launches.run(&["logs"]).expect_code(0);
    assert!(logs.stdout.contains("serving"), "{}", logs.stdout);
    let said = [&first.stdout, &first.stderr, &second.stdout, &second.stderr, &logs.stdout, &docker(&["inspect", &id])];
    assert!(said.iter().all(|text| !text.contains(&key)));

    docker(&["stop", &id]);
    let again = launches.run(&["quick-start", "--yes", "--json"]).expect_code(0).json();
    assert_eq!((&again["launched"]["state"], &again["launched"]["id"]), (&json!("started"), &json!(id)));
    let undone = launches.run(&["undo", "--yes"]).expect_code(0);
    assert!(!healthy(port) && launches.containers().is_empty(), "{}", undone.stderr);
    assert_eq!(launches.sandbox.contents(), before);
}

fn is_hardened(id: &str) {
    let document: Value = serde_json::from_str(&docker(&["inspect", id])).expect("JSON");
    let host = |name: &str| at(&document, &format!("/0/HostConfig/{name}"));
    assert_eq!(at(&document, "/0/Config/User"), "65532:65532");
    assert_eq!((host("ReadonlyRootfs"), host("Privileged")), (&json!(true), &json!(false)));
    assert_eq!((host("CapDrop"), host("SecurityOpt")), (&json!(["ALL"]), &json!(["no-new-privileges"])));
    let bindings = host("PortBindings").as_object().expect("bindings");
    assert_eq!(bindings.len(), 12);
    assert!(bindings.values().all(|binding| at(binding, "/0/HostIp") == "127.0.0.1"), "{bindings:?}");
}

#[test]
fn a_moved_port_replaces_the_container_and_down_keeps_files_and_data() {
    if !have_docker() {
        return;
    }
    let launches = Launches::new(&[]);
    launches.quick_start(&[]).expect_code(0);
    let moved = format!("API_PORT={}", launches.first + 1);
    let document = launches.run(&["up", "--yes", "--json", "--port", &moved]).expect_code(0).json();
    assert_eq!(document["launched"]["state"], "recreated");
    assert!(healthy(launches.first + 1) && !healthy(launches.first));
    assert_eq!(launches.containers().len(), 1);
    let files = launches.sandbox.contents();
    let down = launches.run(&["down", "--yes", "--json"]).expect_code(0).json();
    assert_eq!(down["stopped"], json!([document["launched"]["name"]]));
    assert_eq!(launches.status(), json!([]));
    assert_eq!((launches.containers().len(), launches.volumes().len()), (0, 1));
    assert_eq!(launches.sandbox.contents(), files);
    launches.run(&["down", "--yes"]).expect_code(0);
}

#[test]
fn a_broken_configuration_is_reported_with_its_last_lines_and_the_old_container_runs_again() {
    if !have_docker() {
        return;
    }
    let launches = Launches::new(&[]);
    let id = launches.quick_start(&[]).expect_code(0).json()["launched"]["id"].clone();
    let config = launches.sandbox.read("config.yaml").replace("port_range:", "port_rnage:");
    launches.sandbox.write("config.yaml", &config);
    let answer = launches.run(&["quick-start", "--yes"]).expect_code(6);
    assert!(answer.stderr.contains("port_rnage") && answer.stderr.contains("portwright logs"), "{}", answer.stderr);
    let status = launches.status();
    assert_eq!((&status[0]["id"], &status[0]["state"]), (&id, &json!("running")));
    assert_eq!(launches.containers().len(), 1);
    until("the old container answers", || healthy(launches.first));
}

#[test]
fn a_broken_configuration_of_a_process_is_reported_with_its_last_lines() {
    let launches = Launches::new(&[]);
    launches.quick_start(&NATIVE).expect_code(0);
    let config = launches.sandbox.read("config.yaml").replace("port_range:", "port_rnage:");
    launches.sandbox.write("config.yaml", &config);
    let answer = launches.run(&["quick-start", "--yes", "--runtime", "native"]).expect_code(6);
    assert!(answer.stderr.contains("port_rnage") && answer.stderr.contains("portwright logs"), "{}", answer.stderr);
    launches.sandbox.write("config.yaml", &config.replace("port_rnage:", "port_range:"));
    launches.run(&["quick-start", "--yes", "--runtime", "native"]).expect_code(0);
    assert!(healthy(launches.first));
}

#[test]
fn a_process_is_launched_found_again_moved_and_taken_back() {
    let launches = Launches::new(&[]);
    let port = launches.first;
    let first = launches.quick_start(&NATIVE).expect_code(0);
    let document = first.json();
    assert_eq!((&document["runtime"], &document["launched"]["state"]), (&json!("native"), &json!("started")));
    let key = env_value(&launches.sandbox.project(), "PORTWRIGHT_API_API_KEY");
    assert_eq!((api_list(port, &key), api_list(port, "wrong")), (200, 401));
    let second = launches.run(&["quick-start", "--yes", "--json"]).expect_code(0);
    assert!(changes_nothing(&second.json()), "{}", second.stdout);
    assert_eq!(second.json()["launched"]["id"], document["launched"]["id"]);
    let status = launches.status();
    assert_eq!((&status[0]["state"], &status[0]["health"]), (&json!("running"), &json!("healthy")));
    assert!(launches.run(&["logs"]).expect_code(0).stdout.contains("serving"));
    assert!([&first.stdout, &first.stderr, &second.stdout, &second.stderr].iter().all(|text| !text.contains(&key)));

    let moved = format!("API_PORT={}", port + 1);
    launches.run(&["up", "--yes", "--port", &moved]).expect_code(0);
    assert!(healthy(port + 1) && !healthy(port));
    assert_eq!(launches.processes("tunnel server").len(), 1);
    launches.run(&["undo", "--yes"]).expect_code(0);
    assert_eq!(env_value(&launches.sandbox.project(), "API_PORT"), port.to_string());
    assert!(launches.processes("portwright").is_empty());
    launches.run(&["quick-start", "--yes"]).expect_code(0);
    launches.run(&["down", "--yes"]).expect_code(0);
    assert!(!healthy(port) && launches.processes("portwright").is_empty());
}

#[test]
fn a_process_survives_its_terminal_its_server_s_death_and_its_supervisor_s() {
    let launches = Launches::new(&[]);
    let port = launches.first;
    let ports = launches.ports();
    let words = ["up", "--yes", "--runtime", "native"].into_iter().chain(ports.iter().map(String::as_str));
    let mut terminal = launches.in_terminal(&words.collect::<Vec<_>>());
    terminal.sees("is running").ends_with(0);
    drop(terminal);
    assert!(healthy(port));
    let [server] = launches.processes("tunnel server")[..] else { panic!("one server") };
    signal(server, "-9");
    until("the server is gone", || !alive(server));
    until("the supervisor starts the server again", || healthy(port));
    assert_eq!(launches.status()[0]["state"], "running");
    let [supervisor] = launches.processes("supervise")[..] else { panic!("one supervisor") };
    signal(supervisor, "-9");
    until("the supervisor is gone", || !alive(supervisor));
    let document = launches.run(&["up", "--yes", "--json", "--runtime", "native"]).expect_code(0).json();
    assert_eq!((&document["launched"]["state"], &document["changes"]), (&json!("started"), &json!([])));
    assert!(healthy(port));
    assert_eq!(launches.processes("tunnel server").len(), 1);
    assert_eq!(launches.processes("supervise").len(), 1);
    let [supervisor] = launches.processes("supervise")[..] else { panic!("one supervisor") };
    signal(supervisor, "-9");
    launches.run(&["down", "--yes"]).expect_code(0);
    assert!(!healthy(port) && launches.processes("portwright").is_empty());
}

#[test]
fn without_an_engine_auto_runs_a_process_and_docker_is_missing() {
    let launches = Launches::new(&[]);
    let before = launches.sandbox.contents();
    let run = |arguments: &[&str]| {
        let mut command = launches.command(arguments);
        command.env("DOCKER_HOST", "unix:///nonexistent").output().expect("the program runs")
    };
    let refused = run(&["quick-start", "--yes", "--runtime", "docker"]);
    assert_eq!(refused.status.code(), Some(5), "{}", String::from_utf8_lossy(&refused.stderr));
    assert_eq!(launches.sandbox.contents(), before);
    let ports = launches.ports();
    let words = ["quick-start", "--yes"].into_iter().chain(ports.iter().map(String::as_str));
    let native = run(&words.collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&native.stderr);
    assert_eq!(native.status.code(), Some(0), "{said}");
    assert!(said.contains("runs as a process of this user"), "{said}");
    assert!(healthy(launches.first));
}

#[test]
fn a_service_moves_between_process_and_container_without_a_conflict_with_itself() {
    if !have_docker() {
        return;
    }
    let launches = Launches::new(&[]);
    launches.quick_start(&NATIVE).expect_code(0);
    let document = launches.run(&["up", "--yes", "--json", "--runtime", "docker"]).expect_code(0).json();
    assert_eq!((&document["runtime"], &document["changes"]), (&json!("docker"), &json!([])));
    assert!(healthy(launches.first) && launches.processes("tunnel server").is_empty());
    let document = launches.run(&["up", "--yes", "--json", "--runtime", "native"]).expect_code(0).json();
    assert_eq!((&document["runtime"], &document["changes"]), (&json!("native"), &json!([])));
    assert!(healthy(launches.first) && launches.containers().is_empty());
}

/// Takes the port that `variable` has in `.env`, as soon as it is there, up to `times` times.
fn thief<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    sandbox: &'scope Sandbox,
    variable: &'scope str,
    times: usize,
    over: &'scope AtomicBool,
) -> std::thread::ScopedJoinHandle<'scope, Vec<TcpListener>> {
    scope.spawn(move || {
        let mut held: Vec<TcpListener> = Vec::new();
        while held.len() < times && !over.load(Ordering::SeqCst) {
            let text = std::fs::read_to_string(sandbox.project().join(".env")).unwrap_or_default();
            let value = |line: &str| line.strip_prefix(variable)?.strip_prefix('=')?.parse::<u16>().ok();
            let port = text.lines().find_map(value);
            held.extend(port.and_then(|port| TcpListener::bind(("127.0.0.1", port)).ok()));
            std::thread::yield_now();
        }
        held
    })
}

/// Has the port of `variable` taken, one of the two that the bundled server has by variable.
fn lost_ports(runtime: &str, variable: &str) {
    let over = AtomicBool::new(false);
    let launches = Launches::new(&[]);
    let range = format!("{}-{}", launches.first, launches.first + 99);
    let _wanted = ["127.0.0.1:8080", "127.0.0.1:9000"].map(TcpListener::bind);
    let mut ports = launches.ports();
    ports.retain(|word| !word.starts_with(variable));
    ports.dedup();
    let words = ["up", "--yes", "--json", "--range", &range, "--runtime", runtime].into_iter();
    let arguments: Vec<&str> = words.chain(ports.iter().map(String::as_str)).collect();
    std::thread::scope(|scope| {
        let thief = thief(scope, &launches.sandbox, variable, 1, &over);
        let answer = launches.run(&arguments);
        over.store(true, Ordering::SeqCst);
        let held = thief.join().expect("the thief ends");
        assert_eq!(held.len(), 1);
        let answer = answer.expect_code(0);
        assert!(answer.stderr.contains("was taken before the start"), "{}", answer.stderr);
        let port = |name: &str| env_value(&launches.sandbox.project(), name).parse::<u16>().expect("a port");
        let stolen = held.first().and_then(|held| held.local_addr().ok()).expect("an address");
        assert_ne!(port(variable), stolen.port());
        assert!(healthy(port("API_PORT")));
        assert!(TcpStream::connect(("127.0.0.1", port("TUNNEL_PORT"))).is_ok());
        launches.run(&["undo", "--yes"]).expect_code(0);
    });
    let mut left = launches.sandbox.contents();
    left.retain(|path, _| !path.starts_with(launches.sandbox.project().join("data")));
    assert_eq!((left.len(), launches.containers().len()), (0, 0));
}

#[test]
fn a_port_that_is_lost_before_the_container_starts_is_planned_anew() {
    if have_docker() {
        lost_ports("docker", "API_PORT");
        lost_ports("docker", "TUNNEL_PORT");
    }
}

#[test]
fn a_port_that_is_lost_before_the_process_binds_is_planned_anew() {
    lost_ports("native", "API_PORT");
    lost_ports("native", "TUNNEL_PORT");
}

#[test]
fn a_thief_that_always_comes_first_is_named_and_nothing_is_changed() {
    if !have_docker() {
        return;
    }
    let launches = Launches::new(&[]);
    let over = AtomicBool::new(false);
    let range = format!("{}-{}", launches.first, launches.first + 99);
    let before = launches.sandbox.contents();
    let _wanted = TcpListener::bind("127.0.0.1:8080");
    std::thread::scope(|scope| {
        let thief = thief(scope, &launches.sandbox, "API_PORT", usize::MAX, &over);
        let ports = launches.other_ports();
        let words = ["up", "--yes", "--range", &range].into_iter().chain(ports.iter().map(String::as_str));
        let answer = launches.run(&words.collect::<Vec<_>>());
        over.store(true, Ordering::SeqCst);
        assert_eq!(thief.join().expect("the thief ends").len(), 3);
        let answer = answer.expect_code(4);
        assert!(answer.stderr.contains(&format!("(pid {})", std::process::id())), "{}", answer.stderr);
    });
    assert_eq!(launches.sandbox.contents(), before);
    assert_eq!((launches.containers().len(), launches.volumes().len()), (0, 0));
}

#[test]
fn a_port_that_is_lost_while_a_person_reads_the_plan_is_planned_and_shown_again() {
    let launches = Launches::new(&[]);
    let (first, second) = (launches.first, launches.first + 1);
    let _wanted = TcpListener::bind("127.0.0.1:8080");
    let range = format!("{first}-{}", first + 99);
    let ports = launches.other_ports();
    let asking = ["up", "--on-conflict", "ask", "--runtime", "native", "--range", &range].into_iter();
    let arguments: Vec<&str> = asking.chain(ports.iter().map(String::as_str)).collect();
    let mut terminal = launches.in_terminal(&arguments);
    let automatic = |terminal: &mut crate::terminal::Terminal, port: u16| {
        terminal.sees(&format!("automatic: use {port}")).sees("stop and change nothing").types("\r");
    };
    automatic(&mut terminal, first);
    terminal.sees("Write these changes?");
    let _thief = hold(first);
    terminal.types("y\r").sees("was taken before the start");
    automatic(&mut terminal, second);
    terminal.sees("Write these changes?").types("y\r").sees("is running").ends_with(0);
    assert!(healthy(second));
}

#[test]
fn a_signal_at_the_question_changes_nothing_and_a_signal_while_waiting_says_what_runs() {
    let launches = Launches::new(&[]);
    let before = launches.sandbox.contents();
    let ports = launches.ports();
    let words = ["up", "--runtime", "native"].into_iter().chain(ports.iter().map(String::as_str));
    let arguments: Vec<&str> = words.collect();
    for name in ["-INT", "-TERM"] {
        let mut terminal = launches.in_terminal(&arguments);
        terminal.sees("Write these changes?").is_sent(name);
        assert!(terminal.ends_with(130).contains("nothing was changed"));
        assert_eq!(launches.sandbox.contents(), before);
    }
    launches.quick_start(&NATIVE).expect_code(0);
    for pid in launches.processes("tunnel server") {
        signal(pid, "-STOP");
    }
    for name in ["-INT", "-TERM"] {
        let mut command = launches.command(&["up", "--yes", "--runtime", "native"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program runs");
        let waits = format!("/proc/{}/net/tcp", child.id());
        let stopped = format!("0100007F:{:04X} 01 ", launches.first);
        until("the run waits for the server", || {
            std::fs::read_to_string(&waits).is_ok_and(|text| text.contains(&stopped))
        });
        signal(child.id(), name);
        let output = child.wait_with_output().expect("an end");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{said}");
        assert!(said.contains("portwright-tunnel-"), "{name}: {said}");
    }
}

#[test]
fn twenty_runs_at_once_get_twenty_ports() {
    let launches = Launches::new(&[]);
    let range = format!("{}-{}", launches.first, launches.first + 99);
    let _wanted = ["127.0.0.1:8080", "127.0.0.1:9000"].map(TcpListener::bind);
    let blocks = [free_block(100), free_block(100)];
    let children: Vec<_> = (0..20u16)
        .map(|number| {
            let directory = launches.other(&format!("p{number}")).display().to_string();
            let mappings = format!("tunnel:10000={}", blocks[usize::from(number / 10)] + number % 10 * 10);
            let native = ["up", "--yes", "--json", "--runtime", "native"];
            let arguments = [&["-C", &directory], &native[..], &["--range", &range, "--port", &mappings]].concat();
            let mut command = launches.sandbox.command(&arguments);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs")
        })
        .collect();
    let mut ports = [Vec::new(), Vec::new()];
    for child in children {
        let output = child.wait_with_output().expect("an end");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        for (ports, url) in ports.iter_mut().zip(document["urls"].as_array().expect("addresses")) {
            let url = url["url"].as_str().expect("an address");
            ports.push(url.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).expect("a port"));
        }
    }
    assert!(ports[0].iter().all(|port| healthy(*port)));
    let mut ports = ports.concat();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 40, "twenty for the API, twenty for the tunnel");
    assert_eq!(launches.processes("tunnel server").len(), 20);
}

#[test]
fn eight_runs_in_one_project_come_one_after_the_other() {
    let launches = Launches::new(&[]);
    let ports = launches.ports();
    let words = ["up", "--yes", "--json", "--runtime", "native"].into_iter();
    let arguments: Vec<&str> = words.chain(ports.iter().map(String::as_str)).collect();
    let started = Instant::now();
    let children: Vec<_> = (0..8)
        .map(|_| {
            let mut command = launches.command(&arguments);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs")
        })
        .collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().expect("an end")).collect();
    let said: Vec<String> = outputs.iter().map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).collect();
    assert!(outputs.iter().all(|output| matches!(output.status.code(), Some(0 | 4))), "{said:?}");
    assert!(started.elapsed() < Duration::from_mins(1));
    assert!(said.iter().any(|text| text.contains("works on this project; waiting")), "{said:?}");
    let documents = outputs.iter().filter(|output| output.status.success());
    let documents = documents.map(|output| serde_json::from_slice::<Value>(&output.stdout).expect("JSON"));
    let states: Vec<_> = documents.map(|document| document["launched"]["state"].clone()).collect();
    assert_eq!(states.iter().filter(|state| **state == "started").count(), 1, "{states:?}");
    assert!(states.iter().all(|state| *state == "started" || *state == "unchanged"), "{states:?}");
    assert_eq!(launches.processes("tunnel server").len(), 1);
    assert!(healthy(launches.first));
}

#[test]
fn the_image_is_packed_once_for_an_executable() {
    if !have_docker() {
        return;
    }
    let launches = Launches::new(&[]);
    let image = image_of(&launches.quick_start(&[]).expect_code(0).json());
    let created = docker(&["image", "inspect", &image, "--format", "{{.Id}}"]);
    launches.run(&["down", "--yes"]).expect_code(0);
    launches.run(&["up", "--yes"]).expect_code(0);
    assert_eq!(docker(&["image", "inspect", &image, "--format", "{{.Id}}"]), created);
    let listed = Command::new("docker").args(["image", "ls", "-q", &image]).output().expect("docker runs");
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 1);
}
