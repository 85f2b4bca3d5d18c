//! `--instance`: several copies of one project beside each other.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Answer, Sandbox, free_block, have, have_docker, hold};

const COPY: [&str; 4] = ["quick-start", "--yes", "--no-launch", "--json"];

fn copy(sandbox: &Sandbox, name: &str) -> Answer {
    sandbox.run(&[&COPY[..], &["--instance", name]].concat())
}

/// A port by a variable, one by a literal, and a fixed container name.
fn project(first: u16) -> [(&'static str, String); 2] {
    let compose = format!(
        "services:\n  web:\n    image: x\n    container_name: shop # one\n    ports:\n      - \"${{WEB_PORT:-{first}}}:80\"\n  \
         db:\n    image: y\n    ports: [\"{}:5432\"]\n",
        first + 1
    );
    [("compose.yaml", compose), (".env", format!("WEB_PORT={first}\nSECRET=hunter2-canary\n"))]
}

fn sandbox(first: u16) -> Sandbox {
    let files = project(first);
    Sandbox::new(&files.each_ref().map(|(name, text)| (*name, text.as_str())))
}

fn folder(sandbox: &Sandbox, name: &str) -> PathBuf {
    let shelf = sandbox.home().join(".local/share/portwright/instances");
    let project = fs::read_dir(shelf).expect("a shelf").flatten().next().expect("a project");
    project.path().join(name)
}

fn text(sandbox: &Sandbox, name: &str, file: &str) -> String {
    fs::read_to_string(folder(sandbox, name).join(file)).expect("a readable file")
}

fn ports(sandbox: &Sandbox, name: &str) -> Vec<u64> {
    let document = sandbox.run(&["check", "--json", "--instance", name]).json();
    let bindings = document.get("bindings").and_then(Value::as_array).expect("bindings").clone();
    bindings.iter().filter_map(|binding| binding.get("port").and_then(Value::as_u64)).collect()
}

#[test]
fn a_copy_has_ports_and_names_of_its_own_and_the_project_keeps_every_byte() {
    let first = free_block(10);
    let sandbox = sandbox(first);
    let before = sandbox.contents();
    let answer = copy(&sandbox, "a").expect_code(0);
    assert_eq!(sandbox.contents(), before);
    let [compose, env] = project(first);
    assert_eq!(text(&sandbox, "a", ".env"), env.1.replace(&first.to_string(), &(first + 3).to_string()));
    let wanted = compose
        .1
        .replace("shop #", "shop-a #")
        .replace(&format!("\"{}:5432\"", first + 1), &format!("\"{}:5432\"", first + 2));
    assert_eq!(text(&sandbox, "a", "0-compose.yaml"), wanted);
    let changes = answer.json()["changes"].clone();
    assert_eq!(changes.as_array().map(Vec::len), Some(3), "{changes}");
    assert!(!format!("{}{}", answer.stdout, answer.stderr).contains("canary"));
}

#[test]
fn two_copies_never_get_the_same_port_and_keep_what_they_got() {
    let first = free_block(20);
    let sandbox = sandbox(first);
    copy(&sandbox, "a").expect_code(0);
    copy(&sandbox, "b").expect_code(0);
    let (a, b) = (ports(&sandbox, "a"), ports(&sandbox, "b"));
    assert_eq!(a, [first + 2, first + 3].map(u64::from));
    assert!(a.iter().all(|port| !b.contains(port)), "{a:?} {b:?}");
    let again = copy(&sandbox, "b").expect_code(0).json();
    assert_eq!(again["changes"], Value::Array(Vec::new()));
    assert_eq!(ports(&sandbox, "b"), b);
}

#[test]
fn the_project_itself_never_moves_onto_a_port_of_a_copy() {
    let first = free_block(20);
    let sandbox = sandbox(first);
    copy(&sandbox, "a").expect_code(0);
    let _held = hold(first);
    sandbox.run(&["quick-start", "--yes", "--no-launch"]).expect_code(0);
    assert!(sandbox.read(".env").starts_with(&format!("WEB_PORT={}\n", first + 4)), "{}", sandbox.read(".env"));
}

#[test]
fn what_changes_in_the_project_reaches_its_copy_and_the_ports_stay() {
    let first = free_block(10);
    let sandbox = sandbox(first);
    copy(&sandbox, "a").expect_code(0);
    let before = ports(&sandbox, "a");
    sandbox.write(".env", &format!("WEB_PORT={first}\nSECRET=another\nMORE=1\n"));
    copy(&sandbox, "a").expect_code(0);
    assert_eq!(text(&sandbox, "a", ".env"), format!("WEB_PORT={}\nSECRET=another\nMORE=1\n", first + 3));
    assert_eq!(ports(&sandbox, "a"), before);
}

#[test]
fn undo_takes_the_copy_away_and_frees_its_ports() {
    let first = free_block(10);
    let sandbox = sandbox(first);
    let before = sandbox.contents();
    copy(&sandbox, "a").expect_code(0);
    sandbox.run(&["undo", "--yes", "--instance", "a"]).expect_code(0);
    assert_eq!(fs::read_dir(folder(&sandbox, "a")).expect("a folder").count(), 0);
    copy(&sandbox, "b").expect_code(0);
    assert_eq!(ports(&sandbox, "b").first(), Some(&(u64::from(first) + 2)));
    assert_eq!(sandbox.contents(), before);
    let nothing = sandbox.run(&["undo", "--yes", "--instance", "never"]).expect_code(0);
    assert!(nothing.stderr.contains("nothing to undo"), "{}", nothing.stderr);
}

#[test]
fn a_dry_run_of_a_copy_writes_nothing_anywhere() {
    let first = free_block(10);
    let sandbox = sandbox(first);
    let before = sandbox.contents();
    let answer = sandbox.run(&["quick-start", "--dry-run", "--json", "--instance", "a"]).expect_code(0);
    assert_eq!(answer.json()["changes"].as_array().map(Vec::len), Some(3));
    assert_eq!(sandbox.contents(), before);
    assert!(!sandbox.home().join(".local").exists());
}

#[test]
fn check_of_a_copy_that_was_never_made_judges_the_ports_it_would_get() {
    let first = free_block(10);
    let sandbox = sandbox(first);
    let _held = hold(first);
    sandbox.run(&["check", "--instance", "a"]).expect_code(0);
    assert_eq!(ports(&sandbox, "a"), [first + 2, first + 3].map(u64::from));
    assert!(!sandbox.home().join(".local").exists());
}

#[test]
fn copies_made_at_the_same_time_get_different_ports() {
    let first = free_block(30);
    let sandbox = sandbox(first);
    let names = ["a", "b", "c", "d"];
    let children: Vec<_> = names
        .iter()
        .map(|name| {
            let mut command = sandbox.command(&[&COPY[..], &["--instance", name]].concat());
            command.stdout(std::process::Stdio::null()).spawn().expect("a child")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("an end").success());
    }
    let mut all: Vec<u64> = names.iter().flat_map(|name| ports(&sandbox, name)).collect();
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!((count, all.len()), (8, 8));
}

#[test]
fn what_cannot_be_copied_is_refused_and_nothing_is_written() {
    let first = free_block(4);
    let sandbox = Sandbox::new(&[
        ("compose.yaml", "include: [more.yaml]\n"),
        ("more.yaml", &format!("services:\n  web:\n    image: x\n    ports: [\"{first}:80\"]\n")),
    ]);
    let before = sandbox.contents();
    copy(&sandbox, "a").expect_code(3);
    assert_eq!(sandbox.contents(), before);
    let both = sandbox.run(&["quick-start", "--yes", "--no-launch", "--override", "--instance", "a"]);
    both.expect_code(2);
}

#[test]
fn the_bundled_server_of_an_instance_has_a_folder_of_its_own() {
    let sandbox = Sandbox::new(&[]);
    copy(&sandbox, "a").expect_code(0);
    copy(&sandbox, "b").expect_code(0);
    let data = sandbox.home().join(".local/share/portwright");
    let read = |name: &str| fs::read_to_string(data.join(name).join(".env")).expect("an env file");
    let port = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    let (a, b) = (read("tunnel-server-a"), read("tunnel-server-b"));
    for name in ["API_PORT=", "TUNNEL_PORT="] {
        assert!(port(&a, name).is_some() && port(&a, name) != port(&b, name), "{name}\n{a}\n{b}");
    }
    assert!(!data.join("tunnel-server").exists());
    assert!(sandbox.contents().is_empty());
}

/// Gives the image that is made of this program; `None` where there is no engine or no compose.
fn own_image() -> Option<String> {
    let compose = Command::new("docker-compose").arg("version").output().is_ok_and(|output| output.status.success());
    if !have_docker() || !have("docker-compose", compose) {
        return None;
    }
    let server = Sandbox::new(&[]);
    let first = free_block(2);
    let (port, control) = (format!("API_PORT={first}"), format!("TUNNEL_PORT={}", first + 1));
    let words = ["quick-start", "--yes", "--json", "--runtime", "docker", "--port", &port, "--port", &control];
    let launched = server.run(&words).expect_code(0);
    server.run(&["down", "--yes"]).expect_code(0);
    let launched = launched.json();
    let volume = format!("{}-data", launched.pointer("/launched/name").and_then(Value::as_str).expect("a name"));
    let removed = Command::new("docker").args(["volume", "rm", &volume]).output().expect("docker runs");
    assert!(removed.status.success(), "{removed:?}");
    launched.pointer("/launched/image").and_then(Value::as_str).map(str::to_owned)
}

#[test]
fn two_copies_run_beside_each_other_and_are_told_apart() {
    let Some(image) = own_image() else { return };
    let first = free_block(10);
    let compose = format!(
        "services:\n  web:\n    image: {image}\n    container_name: pw-instance-{first}\n    \
         command: [tunnel, server, --config, /config.yaml]\n    environment: {{PORTWRIGHT_API_API_KEY: {key}}}\n    \
         volumes: [\"./config.yaml:/config.yaml:ro\"]\n    tmpfs: [\"/data:uid=65532\"]\n    \
         ports: [\"127.0.0.1:{first}:8080\"]\n",
        key = "0123456789abcdef".repeat(4),
    );
    let config = "tunnel: {enabled: false}\napi: {listen: 0.0.0.0, listen_port: 8080}\ndatabase: {path: /data/m.db}\n";
    let sandbox = Sandbox::new(&[("compose.yaml", &compose), ("config.yaml", config)]);
    let before = sandbox.contents();
    for name in ["a", "b"] {
        let answer = sandbox.run(&["quick-start", "--yes", "--json", "--instance", name]);
        let launched = answer.expect_code(0).json()["launched"]["name"].clone();
        assert_eq!(launched, format!("project-{name}"));
    }
    let status = |name: &str| sandbox.run(&["status", "--json", "--instance", name]).expect_code(0).json();
    let port = |name: &str| status(name)["services"][0]["ports"][0].clone();
    assert_eq!((port("a"), port("b")), (json!(first + 1), json!(first + 2)));
    assert_eq!(status("b")["services"][0]["name"], format!("pw-instance-{first}-b"));
    assert_eq!(sandbox.run(&["status", "--json"]).json()["services"], json!([]));
    let again = sandbox.run(&["check", "--json", "--instance", "a"]).expect_code(0).json();
    assert_eq!(again["bindings"][0]["state"], "own");
    let stopped = sandbox.run(&["down", "--yes", "--json", "--instance", "a"]).expect_code(0).json();
    assert_eq!(stopped["stopped"], json!(["project-a"]));
    assert_eq!(status("b")["services"][0]["state"], "running");
    let undone = sandbox.run(&["undo", "--yes", "--json", "--instance", "b"]).expect_code(0).json();
    assert_eq!(undone["stopped"], json!(["project-b"]));
    assert_eq!(status("b")["services"], json!([]));
    assert_eq!(sandbox.contents(), before);
}
