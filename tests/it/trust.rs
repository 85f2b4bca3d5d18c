//! Tokens through the real program: made, shown once, listed, revoked, also beside a running server.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Sandbox, free_block};

const KEY: &str = "8f1d2c3b4a5968778695a4b3c2d1e0ff";

fn sandbox(more: &str) -> Sandbox {
    Sandbox::new(&[("config.yaml", &format!("database: {{ path: data/mappings.db }}\n{more}"))])
}

fn token(sandbox: &Sandbox, verb: &[&str], code: i32) -> crate::support::Answer {
    let arguments = [&["tunnel", "token"], verb, &["--config", "config.yaml"]].concat();
    sandbox.run(&arguments).expect_code(code)
}

#[test]
fn a_token_is_shown_once_and_never_again() {
    let sandbox = sandbox("tunnel: { address: 'tunnel.example.org:9000' }\n");
    let made = token(&sandbox, &["create", "--name", "home", "--ports", "10000-10009", "--json"], 0).json();
    assert_eq!(made["schema"], "portwright.tunnel/1");
    let made = &made["token"];
    let secret = made["token"].as_str().expect("a token");
    assert!(secret.starts_with("pwt_") && secret.len() == 68, "{secret}");
    assert!(made["join_code"].as_str().is_some_and(|code| code.starts_with("pwj_")));
    assert!(made["pin"].as_str().is_some_and(|pin| pin.starts_with("sha256:") && pin.len() == 71));
    assert_eq!((&made["name"], &made["ports"]), (&"home".into(), &serde_json::json!(["10000-10009"])));

    let text = token(&sandbox, &["create", "--name", "ci"], 0).stdout;
    let lines: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["token:", "join", "pin:"], "{text}");

    let list = token(&sandbox, &["list", "--json"], 0);
    let tokens = list.json()["tokens"].clone();
    assert_eq!((&tokens[0]["id"], &tokens[0]["revoked_at"]), (&made["id"], &serde_json::Value::Null));
    assert_eq!((&tokens[1]["name"], &tokens[1]["ports"]), (&"ci".into(), &serde_json::json!([])));
    let letters = secret.get(20..60).expect("long");
    let shown = token(&sandbox, &["list", "-v"], 0);
    assert!(!list.stdout.contains(letters) && !shown.stdout.contains(letters) && !shown.stderr.contains(letters));
    for (file, bytes) in sandbox.contents() {
        assert!(!bytes.windows(letters.len()).any(|window| window == letters.as_bytes()), "{}", file.display());
    }
}

#[test]
fn a_token_is_revoked_by_name_or_id_once_and_only_with_consent() {
    let sandbox = sandbox("");
    let made = token(&sandbox, &["create", "--name", "home", "--json"], 0).json();
    let id = made["token"]["id"].as_str().expect("an id").to_owned();
    token(&sandbox, &["create", "--name", "home"], 3);
    token(&sandbox, &["create", "--name", "a/b"], 2);
    token(&sandbox, &["create", "--name", "x", "--ports", "9-1"], 2);
    token(&sandbox, &["create"], 2);
    token(&sandbox, &["revoke", "home"], 2);
    let revoked = token(&sandbox, &["revoke", &id, "--yes", "--json"], 0).json();
    assert_eq!(revoked["revoked"][0]["name"], "home");
    assert!(revoked["revoked"][0]["revoked_at"].is_string());
    let again = token(&sandbox, &["revoke", "home", "--yes", "--json"], 0).json();
    assert_eq!(again["revoked"], serde_json::json!([]));
    token(&sandbox, &["revoke", "nobody", "--yes"], 3);
    token(&sandbox, &["create", "--name", "home"], 0);
}

#[test]
fn tokens_need_no_key_and_a_wrong_configuration_is_named() {
    let broken = sandbox("tunnel: { adress: x }\n");
    let said = token(&broken, &["list"], 2).stderr;
    assert!(said.contains("tunnel.adress") && said.contains("tunnel.address"), "{said}");
    let said = token(&sandbox("tunnel: { address: tunnel.example.org }\n"), &["list"], 2).stderr;
    assert!(said.contains("HOST:PORT"), "{said}");
    let said =
        token(&sandbox("tunnel: { cert_file: no.pem, key_file: no.key }\n"), &["create", "--name", "x"], 5).stderr;
    assert!(said.contains("no.pem"), "{said}");
}

#[test]
fn tokens_are_made_beside_a_running_server() {
    let port = free_block(1);
    let sandbox = sandbox(&format!("tunnel: {{ enabled: false }}\napi: {{ listen_port: {port} }}\n"));
    let mut server = sandbox.command(&["tunnel", "server", "--config", "config.yaml"]);
    server.env("PORTWRIGHT_API_API_KEY", KEY).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = server.spawn().expect("a server");
    let give_up = Instant::now() + Duration::from_secs(20);
    while sandbox.run(&["tunnel", "health", "--config", "config.yaml"]).code != 0 {
        assert!(Instant::now() < give_up, "the server starts");
        std::thread::sleep(Duration::from_millis(20));
    }
    token(&sandbox, &["create", "--name", "home"], 0);
    token(&sandbox, &["revoke", "home", "--yes"], 0);
    assert!(server.try_wait().expect("a server").is_none(), "the server still runs");
    server.kill().expect("stopped");
    server.wait().expect("collected");
}
