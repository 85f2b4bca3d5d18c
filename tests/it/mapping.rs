//! `mapping` and `tunnel status` against a real server: what they change, what they print, and how they end.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portwright::tunnel::health_probe;
use serde_json::json;

use crate::support::{Answer, Sandbox, certified, free_block, have};

const KEY: &str = "8f1d2c3b4a5968778695a4b3c2d1e0ff";

/// A server laid out in the sandbox's project as `quick-start` does it; killed when dropped.
struct Served {
    sandbox: Sandbox,
    server: Child,
    first: u16,
}

impl Served {
    fn start() -> Self {
        let first = free_block(20);
        let config = format!(
            "port_range: {{ from: {}, end: {}, listen: 127.0.0.1 }}\n\
             tunnel: {{ enabled: false }}\napi: {{ listen_port: {first} }}\ndatabase: {{ path: mappings.db }}\n",
            first + 1,
            first + 19
        );
        let env = format!("API_PORT={first}\nPORTWRIGHT_BIND=127.0.0.1\nPORTWRIGHT_API_API_KEY={KEY}\n");
        let sandbox = Sandbox::new(&[("config.yaml", &config), (".env", &env)]);
        let mut command = sandbox.command(&["tunnel", "server", "--config", "config.yaml", "--env-file", ".env"]);
        let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a server");
        let give_up = Instant::now() + Duration::from_secs(20);
        while health_probe(SocketAddr::from(([127, 0, 0, 1], first))).is_err() {
            assert!(Instant::now() < give_up, "it does not serve");
            std::thread::yield_now();
        }
        Self { sandbox, server, first }
    }

    fn run(&self, line: &str) -> Answer {
        self.sandbox.run(&line.split_whitespace().collect::<Vec<_>>())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.server.kill();
        self.server.wait().expect("gone");
    }
}

#[test]
fn mappings_are_made_changed_listed_and_removed_by_the_key_of_the_directory() {
    let served = Served::start();
    let (port, target) = (served.first + 1, TcpListener::bind("127.0.0.1:0").expect("a target"));
    let target = target.local_addr().expect("an address").port();
    let made =
        served.run(&format!("mapping create {port} --target {target} --direct --name web --json")).expect_code(0);
    assert!(made.stdout.trim_start().starts_with("{\"schema\":\"portwright.mapping.create/1\""), "{}", made.stdout);
    let mapping = &made.json()["mapping"];
    assert_eq!((&mapping["state"], &mapping["target_port"]), (&json!("active"), &json!(target)));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "it is served");
    let taken = served.run(&format!("mapping create {port} --target {target} --direct")).expect_code(3);
    assert!(taken.stderr.contains("mapping_exists") && taken.stdout.is_empty(), "{}", taken.stderr);
    let chinese = served.run(&format!("mapping create {port} --target {target} --direct --lang zh-CN")).expect_code(3);
    assert!(chinese.stderr.contains("已经存在"), "{}", chinese.stderr);
    let updated = served.run(&format!("mapping update {port} --limit 64K --allow 127.0.0.0/8 --json")).expect_code(0);
    assert_eq!(updated.json()["mapping"]["bandwidth_limit"], 65_536);
    let reloaded = served.run(&format!("mapping reload {port} --json")).expect_code(0);
    assert_eq!(reloaded.json()["schema"], "portwright.mapping.reload/1");
    let list = served.run("mapping list --json").expect_code(0).json();
    assert_eq!((&list["schema"], &list["mappings"][0]["name"]), (&json!("portwright.mapping.list/1"), &json!("web")));
    let table = served.run("mapping list").expect_code(0);
    for word in ["PORT", "web", "active", &format!("{port}/tcp"), "65536 B/s", "+1"] {
        assert!(table.stdout.contains(word), "{word}: {}", table.stdout);
    }
    let removed = served.run(&format!("mapping remove {port} --yes --json")).expect_code(0);
    assert_eq!(removed.json()["removed"], json!([port]));
    let again = served.run(&format!("mapping remove {port} --yes --json")).expect_code(3).json();
    assert_eq!(again["schema"], "portwright.mapping.remove/1");
    assert!(again["error"]["message"].as_str().is_some_and(|text| text.contains("mapping_not_found")), "{again}");
    let status = served.run("tunnel status --json").expect_code(0).json();
    assert_eq!((&status["schema"], &status["status"]), (&json!("portwright.tunnel.status/1"), &json!("ok")));
    assert_eq!((&status["clients"], &status["mappings"]["failed"]), (&json!([]), &json!(0)));
    let people = served.run("tunnel status").expect_code(0);
    assert!(
        people.stdout.contains(": ok") && people.stderr.contains("no client"),
        "{} {}",
        people.stdout,
        people.stderr
    );
}

#[test]
fn nobody_there_no_key_and_a_wrong_one_end_each_in_its_own_way() {
    let served = Served::start();
    let elsewhere = Sandbox::new(&[]);
    let run = |line: &str, key: Option<&str>| {
        let mut command: Command = elsewhere.command(&line.split_whitespace().collect::<Vec<_>>());
        if let Some(key) = key {
            command.env("PORTWRIGHT_API_API_KEY", key);
        }
        Answer::from(command.output().expect("the program runs"))
    };
    let api = format!("--api http://127.0.0.1:{}", served.first);
    run(&format!("mapping list {api}"), None).expect_code(2);
    run(&format!("mapping list {api}"), Some(KEY)).expect_code(0);
    let wrong = run(&format!("mapping list {api}"), Some("not-the-key")).expect_code(3);
    assert!(wrong.stderr.contains("key_wrong") && !wrong.stderr.contains("not-the-key"), "{}", wrong.stderr);
    let nobody = run(&format!("mapping list --api http://127.0.0.1:{}", served.first + 5), Some(KEY)).expect_code(5);
    assert!(nobody.stderr.contains("cannot be reached"), "{}", nobody.stderr);
    let json =
        run(&format!("tunnel status --json --api localhost:{}", served.first + 5), Some(KEY)).expect_code(5).json();
    assert_eq!(json["schema"], "portwright.tunnel.status/1");
    run("mapping list --api https://127.0.0.1:1", Some(KEY)).expect_code(2);
    run("mapping create 70000", Some(KEY)).expect_code(2);
    elsewhere.write("key", &format!("{KEY}\n"));
    let file = format!("mapping list {api} --api-key-file key");
    assert!(run(&file, None).expect_code(3).stderr.contains("can be read by others"), "an open file is refused");
    let path = elsewhere.project().join("key");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("permissions");
    run(&file, None).expect_code(0);
    let here = served.sandbox.project().display().to_string();
    run(&format!("mapping list -C {here}"), None).expect_code(0);
}

#[test]
fn mappings_of_other_programs_are_shown_first_and_made_each_by_itself() {
    let served = Served::start();
    let (port, outside) = (served.first + 1, 1025);
    let file = served.sandbox.project().join("old.db");
    let database = rusqlite::Connection::open(&file).expect("a database");
    let rows = format!(
        "CREATE TABLE mappings (id INTEGER PRIMARY KEY, source_port INTEGER, target_host TEXT, target_port INTEGER,
            use_tunnel INTEGER);
        INSERT INTO mappings VALUES (1, {port}, '127.0.0.1', 9, 0), (2, {outside}, '127.0.0.1', 9, 0)"
    );
    database.execute_batch(&rows).expect("the predecessor's table");
    drop(database);
    let shown = served.run("mapping import old.db").expect_code(0);
    assert!(
        shown.stdout.contains(&format!("{port} → 127.0.0.1:9")) && shown.stderr.contains("--yes"),
        "{}",
        shown.stderr
    );
    assert_eq!(served.run("mapping list --json").json()["mappings"], json!([]), "nothing was made");
    let made = served.run("mapping import old.db --yes --json").expect_code(7).json();
    let states: Vec<_> = (0..2).map(|index| made["mappings"][index]["state"].as_str().unwrap_or_default()).collect();
    assert_eq!((&made["schema"], states), (&json!("portwright.mapping.import/1"), vec!["refused", "created"]));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "it is served");
    let again = served.run("mapping import old.db --yes").expect_code(3);
    assert!(again.stderr.contains(&port.to_string()), "{}", again.stderr);
    served
        .sandbox
        .write("frpc.toml", "serverAddr = \"x\"\n[[proxies]]\nname = \"web\"\ntype = \"http\"\nlocalPort = 80\n");
    let nothing = served.run("mapping import frpc.toml").expect_code(0);
    assert!(nothing.stderr.contains("no equivalent for the type http"), "{}", nothing.stderr);
    assert_eq!(served.run("mapping import .env").code, 2);
}

/// A proxy that ends TLS before an API, as operators put one there: `cert key port`.
const TLS_PROXY: &str = r#"
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)

def carry(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass

def serve(raw):
    try:
        client = context.wrap_socket(raw, server_side=True)
    except OSError:
        return
    server = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
    threading.Thread(target=carry, args=(client, server), daemon=True).start()
    carry(server, client)

while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

/// A proxy that runs, and its port.
struct TlsProxy(Child, u16);

impl TlsProxy {
    /// Starts one in the folder of `cert.pem` and `key.pem`.
    fn start(sandbox: &Sandbox, api: u16) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", TLS_PROXY, "cert.pem", "key.pem", &api.to_string()]).current_dir(sandbox.project());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("python3 runs");
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        said.read_line(&mut line).expect("a port");
        Self(child, line.trim().parse().expect("a port"))
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_api_behind_a_tls_proxy_is_reached_by_the_authority_that_is_named_and_by_no_other() {
    if !have("python3", Command::new("python3").arg("--version").output().is_ok()) {
        return;
    }
    let served = Served::start();
    let elsewhere = Sandbox::new(&[]);
    certified(&elsewhere.project(), "other.pem");
    certified(&elsewhere.project(), "ca.pem");
    let proxy = TlsProxy::start(&elsewhere, served.first);
    let run = |line: &str, authority: Option<&str>| {
        let mut command: Command = elsewhere.command(&line.split_whitespace().collect::<Vec<_>>());
        if let Some(authority) = authority {
            command.env("PORTWRIGHT_CA", authority);
        }
        Answer::from(command.env("PORTWRIGHT_API_API_KEY", KEY).output().expect("the program runs"))
    };
    let api = format!("--api https://127.0.0.1:{}", proxy.1);
    let port = served.first + 1;
    run(&format!("mapping create {port} --target 9 --direct {api} --ca ca.pem"), None).expect_code(0);
    let list = run(&format!("mapping list --json {api}"), Some("ca.pem")).expect_code(0).json();
    assert_eq!(list["mappings"][0]["source_port"], port);
    let status = run(&format!("tunnel status --json {api} --ca ca.pem"), None).expect_code(0).json();
    assert_eq!((&status["api"], &status["status"]), (&json!(format!("https://127.0.0.1:{}", proxy.1)), &json!("ok")));

    let unnamed = run(&format!("mapping list {api}"), None).expect_code(2);
    assert!(unnamed.stderr.contains("--ca FILE") && unnamed.stderr.contains("PORTWRIGHT_CA"), "{}", unnamed.stderr);
    let foreign = run(&format!("mapping list {api} --ca other.pem"), None).expect_code(3);
    assert!(foreign.stderr.contains("not issued by the given authority"), "{}", foreign.stderr);
    assert!(foreign.stderr.contains("compare the URL's name"), "{}", foreign.stderr);
    let named = run(&format!("mapping list --ca ca.pem --api https://localhost:{}", proxy.1), None).expect_code(3);
    assert!(named.stderr.contains("localhost"), "{}", named.stderr);
    run(&format!("mapping list {api} --ca nothing.pem"), None).expect_code(5);
    run(&format!("mapping list {api} --ca key.pem"), None).expect_code(5);
    let plain = format!("127.0.0.1:{}", served.first);
    let without = run(&format!("mapping list --api https://{plain} --ca ca.pem"), None).expect_code(5);
    assert!(without.stderr.contains("speaks http:// alone"), "{}", without.stderr);
    let needless = run(&format!("mapping list --api http://{plain} --ca ca.pem"), None).expect_code(2);
    assert!(needless.stderr.contains("https://"), "{}", needless.stderr);
    // The variable is of the person, and the API of this machine needs none.
    run(&format!("mapping list --api http://{plain}"), Some("ca.pem")).expect_code(0);
    let doctor = run("doctor --only variables --strict", Some("ca.pem"));
    doctor.expect_code(0);
}
