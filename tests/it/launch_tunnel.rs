//! The bundled server as a tunnel: launched, joined by a client on this host with the code that its verb prints, and
//! visited through a port that it publishes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::launches::{DEADLINE, Launches, at, docker, env_value, healthy, http, until};
use crate::support::{Answer, have_docker};

/// A client of the program; it ends with the value. Its output is in a file of the sandbox.
struct Client<'a> {
    launches: &'a Launches,
    child: Child,
}

impl<'a> Client<'a> {
    fn join(launches: &'a Launches, code: &str) -> Self {
        let log = std::fs::File::create(launches.root().join("client.log")).expect("a log");
        let mut command = launches.sandbox.command(&["tunnel", "client", "--join", code]);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("the program runs");
        Self { launches, child }
    }

    fn says(&self, text: &str) {
        let log = self.launches.root().join("client.log");
        until(text, || std::fs::read_to_string(&log).is_ok_and(|said| said.contains(text)));
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves one connection: returns what it is sent.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a visitor");
        let mut reads = stream.try_clone().expect("a second handle");
        let _ = std::io::copy(&mut reads, &mut stream);
        let _ = stream.shutdown(Shutdown::Write);
    });
    port
}

fn api(launches: &Launches, route: &str, body: &Value) -> Value {
    let key = env_value(&launches.sandbox.project(), "PORTWRIGHT_API_API_KEY");
    let (body, method) = if body.is_null() { (String::new(), "GET") } else { (body.to_string(), "POST") };
    let request = format!(
        "{method} {route} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        launches.first,
        body.len()
    );
    let (status, text) = http(launches.first, &request).expect("an answer");
    assert_eq!(status, 200, "{route}: {text}");
    serde_json::from_str(&text).expect("JSON")
}

fn create(launches: &Launches, name: &str) -> Answer {
    launches.run(&["tunnel", "token", "create", "--name", name, "--json"])
}

/// Joins, maps, visits, and revokes. `mapping` is the port that the server itself opens for the one published 3 above
/// the first.
fn carries(launches: &Launches, mapping: u16) {
    let made = create(launches, "home").expect_code(0);
    let code = at(&made.json(), "/token/join_code").as_str().expect("a code").to_owned();
    let client = Client::join(launches, &code);
    client.says(&format!("connected to 127.0.0.1:{} as home", launches.control()));
    let wish = json!({ "port": mapping, "target_port": echo(), "use_tunnel": true });
    assert_eq!(*at(&api(launches, "/api/mapping/create", &wish), "/data/state"), "active");

    let mut visitor = TcpStream::connect(("127.0.0.1", launches.first + 53)).expect("the published port");
    visitor.set_read_timeout(Some(DEADLINE)).expect("an option");
    let sent: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
    let mut writes = visitor.try_clone().expect("a second handle");
    let bytes = sent.clone();
    let sending = std::thread::spawn(move || {
        writes.write_all(&bytes).expect("sent");
        writes.shutdown(Shutdown::Write).expect("the end is sent");
    });
    let mut came = Vec::new();
    visitor.read_to_end(&mut came).expect("an end");
    sending.join().expect("all is sent");
    assert!(came == sent, "{} of {} bytes came back", came.len(), sent.len());

    assert_eq!(create(launches, "home").expect_code(3).json()["error"]["kind"], "refused");
    let listed = launches.run(&["tunnel", "token", "list", "--json"]).expect_code(0).json();
    assert_eq!(*at(&listed, "/tokens/0/name"), "home");
    assert!(listed.pointer("/tokens/1").is_none(), "a launched server makes no token by itself: {listed}");
    launches.run(&["tunnel", "token", "revoke", "home"]).expect_code(2);
    launches.run(&["tunnel", "token", "revoke", "home", "--yes"]).expect_code(0);
    client.says("has revoked the token");
    let clients = || at(&api(launches, "/api/clients", &Value::Null), "/data").clone();
    until("the client is gone", || clients() == json!([]));
    let logs = launches.run(&["logs"]).expect_code(0).stdout;
    assert!(logs.contains("tunnel token create") && !logs.contains("pwj_") && !logs.contains("pwt_"), "{logs}");
}

#[test]
fn a_client_joins_the_launched_process_and_visitors_get_through() {
    let launches = Launches::new(&[]);
    let document = launches.quick_start(&["--runtime", "native"]).expect_code(0).json();
    let url = json!({ "name": "tunnel:9000", "url": format!("tcp://127.0.0.1:{}", launches.control()) });
    assert_eq!(*at(&document, "/urls/1"), url);
    let ports = launches.status()[0]["ports"].clone();
    assert!(ports.as_array().is_some_and(|ports| ports.contains(&json!(launches.control()))), "{ports}");
    carries(&launches, launches.first + 53);
    launches.run(&["down", "--yes"]).expect_code(0);
    assert!(TcpListener::bind(("127.0.0.1", launches.control())).is_ok(), "the control port is free again");
    create(&launches, "late").expect_code(5);
}

#[test]
fn a_client_joins_the_launched_container_and_visitors_get_through() {
    if !have_docker() {
        return;
    }
    let launches = Launches::new(&[]);
    let document = launches.quick_start(&["--runtime", "docker"]).expect_code(0).json();
    carries(&launches, 10_003);
    let own = docker(&["logs", at(&document, "/launched/id").as_str().expect("an id")]);
    assert!(!own.contains("pwj_") && !own.contains("pwt_"), "{own}");
    let moved = format!("TUNNEL_PORT={}", launches.control() + 1);
    let document = launches.run(&["up", "--yes", "--json", "--port", &moved]).expect_code(0).json();
    assert_eq!(at(&document, "/changes/0/after"), &json!(moved));
    let code = create(&launches, "moved").expect_code(0).json();
    let client = Client::join(&launches, at(&code, "/token/join_code").as_str().expect("a code"));
    client.says(&format!("connected to 127.0.0.1:{} as moved", launches.control() + 1));
}

/// Makes a code and returns the address that a client with it dials.
fn dialled(launches: &Launches) -> String {
    let made = create(launches, "home").expect_code(0).json();
    let client = Client::join(launches, at(&made, "/token/join_code").as_str().expect("a code"));
    client.says(" as home");
    let said = std::fs::read_to_string(launches.root().join("client.log")).expect("a log");
    let address = said.lines().find_map(|line| line.strip_prefix("connected to ")?.strip_suffix(" as home"));
    address.unwrap_or_else(|| panic!("no connection in {said}")).to_owned()
}

fn open_to_the_network(runtime: &str) {
    let launches = Launches::new(&[]);
    launches.quick_start(&["--runtime", runtime, "--bind", "0.0.0.0"]).expect_code(0);
    let address = portwright::host::outward_address().map_or("127.0.0.1".to_owned(), |address| address.to_string());
    assert_eq!(dialled(&launches), format!("{address}:{}", launches.control()));
    launches.run(&["tunnel", "token", "revoke", "home", "--yes"]).expect_code(0);
    let named = format!("localhost:{}", launches.control());
    let env = format!("{}\nPORTWRIGHT_TUNNEL_ADDRESS={named}\n", launches.sandbox.read(".env"));
    launches.sandbox.write(".env", &env);
    launches.run(&["up", "--yes", "--runtime", runtime]).expect_code(0);
    assert_eq!(dialled(&launches), named);
}

#[test]
fn the_code_of_a_process_that_is_open_to_the_network_names_this_machine_or_what_its_owner_says() {
    open_to_the_network("native");
}

#[test]
fn the_code_of_a_container_that_is_open_to_the_network_names_this_machine_or_what_its_owner_says() {
    if have_docker() {
        open_to_the_network("docker");
    }
}

#[test]
fn a_person_is_told_how_a_client_joins() {
    let launches = Launches::new(&[]);
    let ports = launches.ports();
    let words = ["up", "--yes", "--runtime", "native"].into_iter().chain(ports.iter().map(String::as_str));
    let answer = launches.run(&words.collect::<Vec<_>>()).expect_code(0);
    let directory = launches.sandbox.project().display().to_string();
    let told = format!("`portwright tunnel token create --name NAME -C {directory}`");
    assert!(answer.stderr.contains(&told), "{}", answer.stderr);
}

#[test]
fn the_tokens_of_a_project_without_a_server_are_missing() {
    let launches = Launches::new(&[("compose.yaml", "services: {web: {image: x}}\n")]);
    let answer = create(&launches, "home").expect_code(5);
    assert!(answer.stderr.is_empty() || answer.stderr.contains("--config"), "{}", answer.stderr);
    assert!(answer.stdout.contains("--config FILE"), "{}", answer.stdout);
}

/// The files as the version before the tunnel laid them out.
fn former(launches: &Launches) {
    let compose = format!(
        "name: portwright\nx-portwright: tunnel-server\n\nservices:\n  tunnel:\n    \
         image: \"${{PORTWRIGHT_IMAGE:-localhost/portwright:latest}}\"\n    \
         command: [\"tunnel\", \"server\", \"--config\", \"/config.yaml\"]\n    ports:\n      # The API.\n      \
         - \"${{PORTWRIGHT_BIND:-127.0.0.1}}:${{API_PORT:-8080}}:8080\"\n      \
         - \"${{PORTWRIGHT_BIND:-127.0.0.1}}:{first}-{last}:10000-10009\"\n",
        first = launches.first + 50,
        last = launches.first + 59,
    );
    let env = format!(
        "API_PORT={}\nPORTWRIGHT_BIND=127.0.0.1\nPORTWRIGHT_API_API_KEY=8f1d2c3b4a5968778695a4b3c2d1e0ff\n",
        launches.first
    );
    let config = "port_range: { from: 10000, end: 10009 }\ntunnel:\n  enabled: false\n\
        api:\n  listen: 0.0.0.0\n  listen_port: 8080\ndatabase:\n  path: /data/mappings.db\n";
    for (name, text) in [("compose.yaml", compose.as_str()), (".env", &env), ("config.yaml", config)] {
        launches.sandbox.write(name, text);
    }
}

#[test]
fn a_server_that_an_earlier_version_laid_out_runs_as_it_did_and_its_files_stay() {
    let runtimes = if have_docker() { &["native", "docker"][..] } else { &["native"] };
    for runtime in runtimes {
        let launches = Launches::new(&[]);
        former(&launches);
        let before = launches.sandbox.contents();
        let answer = launches.run(&["up", "--yes", "--json", "--runtime", runtime]).expect_code(0);
        let document = answer.json();
        assert_eq!((at(&document, "/changes"), at(&document, "/undo_id")), (&json!([]), &Value::Null));
        let url = format!("http://127.0.0.1:{}", launches.first);
        assert_eq!(*at(&document, "/urls"), json!([{ "name": "tunnel:8080", "url": url }]));
        assert!(healthy(launches.first) && !answer.stderr.contains("tunnel token create"), "{}", answer.stderr);
        let mut left = launches.sandbox.contents();
        left.retain(|path, _| !path.starts_with(launches.sandbox.project().join("data")));
        assert_eq!(left, before);
        launches.run(&["down", "--yes"]).expect_code(0);
        assert!(TcpStream::connect_timeout(&([127, 0, 0, 1], launches.first).into(), Duration::from_secs(1)).is_err());
    }
}

#[test]
fn each_instance_of_the_server_has_tokens_and_a_control_port_of_its_own() {
    let launches = Launches::new(&[]);
    let first = launches.first;
    for (name, step) in [("a", 0), ("b", 1)] {
        let ports = [
            format!("API_PORT={}", first + step),
            format!("TUNNEL_PORT={}", launches.control() + step),
            format!("tunnel:10000={}", first + 50 + step * 10),
        ];
        let [api, control, mappings] = ports.each_ref().map(String::as_str);
        let words = ["up", "--yes", "--runtime", "native", "--instance", name];
        let words = [&words[..], &["--port", api, "--port", control, "--port", mappings]].concat();
        let answer = launches.run(&words).expect_code(0);
        assert!(answer.stderr.contains(&format!(" --instance {name}` prints")), "{}", answer.stderr);
    }
    let token = |verb: &[&str], name: &str| {
        let words = [&["tunnel", "token"], verb, &["--json", "--instance", name]].concat();
        launches.run(&words).expect_code(0).json()
    };
    let made = token(&["create", "--name", "home"], "b");
    let client = Client::join(&launches, at(&made, "/token/join_code").as_str().expect("a code"));
    client.says(&format!("connected to 127.0.0.1:{} as home", launches.control() + 1));
    assert_eq!(*at(&token(&["list"], "a"), "/tokens"), json!([]));
    assert_eq!(*at(&token(&["list"], "b"), "/tokens/0/name"), "home");
}
