//! A server of the library on loopback, with a folder of its own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use portwright::tunnel::config::ServerConfig;
use portwright::tunnel::server::{Drain, Server, Summary};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::http::{Answer, send};

pub(super) const KEY: &str = "8f1d2c3b4a5968778695a4b3c2d1e0ff";

/// The longest that a condition may take to come true.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Running {
    runtime: Runtime,
    server: Option<Server>,
    pub(super) address: SocketAddr,
    pub(super) folder: TempDir,
}

/// A configuration on loopback whose API takes any free port.
pub(super) fn config(folder: &Path, yaml: &str) -> ServerConfig {
    let variables: BTreeMap<String, String> = [
        ("PORTWRIGHT_API_API_KEY", KEY.to_owned()),
        ("PORTWRIGHT_API_RATE_LIMIT", "10000".to_owned()),
        ("PORTWRIGHT_DATABASE_PATH", folder.join("mappings.db").display().to_string()),
        ("PORTWRIGHT_PORT_RANGE_LISTEN", "127.0.0.1".to_owned()),
        ("PORTWRIGHT_PORT_RANGE_FROM", "1024".to_owned()),
        ("PORTWRIGHT_PORT_RANGE_END", "65535".to_owned()),
        ("PORTWRIGHT_TUNNEL_ENABLED", "false".to_owned()),
        ("PORTWRIGHT_INSTANCE", "instance-7".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let mut config = ServerConfig::parse(yaml, &variables, |_| panic!("no key file")).expect("a configuration");
    config.api.listen.set_port(0);
    config
}

impl Running {
    pub(super) fn start(yaml: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), yaml)
    }

    pub(super) fn start_in(folder: TempDir, yaml: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let give_up = Instant::now() + PATIENCE;
        // A server that just ended gives the database's lock back a moment later.
        let server = loop {
            match runtime.block_on(Server::start(config(folder.path(), yaml))) {
                Ok(server) => break server,
                Err(error) => assert!(Instant::now() < give_up, "{error}"),
            }
        };
        let address = server.api_address();
        Self { runtime, server: Some(server), address, folder }
    }

    /// Stops as a signal would, with `grace` for the visitors.
    pub(super) fn stop(mut self, grace: Duration) -> (Summary, TempDir) {
        let server = self.server.take().expect("a server");
        let drain = async move { Drain::new(grace, std::future::pending()) };
        let summary = self.runtime.block_on(server.finish(drain));
        (summary, self.folder)
    }

    /// Starts a server with a tunnel in plaintext on loopback.
    pub(super) fn start_with_tunnel() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = config(folder.path(), "tunnel: { listen: 127.0.0.1, tls: off }");
        config.tunnel.enabled = true;
        let runtime = Runtime::new().expect("a runtime");
        let give_up = Instant::now() + PATIENCE;
        let server = loop {
            config.tunnel.listen.set_port(free_port().port());
            match runtime.block_on(Server::start(config.clone())) {
                Ok(server) => break server,
                Err(error) => assert!(Instant::now() < give_up, "{error}"),
            }
        };
        let address = server.api_address();
        Self { runtime, server: Some(server), address, folder }
    }

    /// Asks a route with the key, and returns the answer.
    pub(super) fn get(&self, path: &str) -> Value {
        let host = format!("Host: {}", self.address);
        send(self.address, &format!("GET {path}"), &[&host, &format!("X-API-Key: {KEY}")], "").body
    }

    pub(super) fn post(&self, route: &str, body: &Value) -> Answer {
        self.post_to(&format!("/api/mapping/{route}"), body)
    }

    pub(super) fn post_to(&self, path: &str, body: &Value) -> Answer {
        let host = format!("Host: {}", self.address);
        let key = format!("Authorization: Bearer {KEY}");
        let line = format!("POST {path}");
        send(self.address, &line, &[&host, &key, "Content-Type: application/json"], &body.to_string())
    }

    pub(super) fn list(&self) -> Vec<Value> {
        let host = format!("Host: {}", self.address);
        let answer = send(self.address, "GET /api/mapping/list", &[&host, &format!("X-API-Key: {KEY}")], "");
        assert_eq!(answer.status, 200);
        answer.body["data"].as_array().expect("a list").clone()
    }

    /// Maps a free port to `target` and returns it. The port may be taken between the look and the bind; then another.
    pub(super) fn map(&self, target: SocketAddr, more: &Value) -> SocketAddr {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let public = free_port();
            let mut body = json!({ "source_port": public.port(), "target_host": target.ip().to_string(),
                "target_port": target.port(), "use_tunnel": false });
            for (field, value) in more.as_object().expect("an object") {
                body[field] = value.clone();
            }
            let answer = self.post("create", &body);
            if answer.status == 200 {
                return public;
            }
            assert!(answer.code() == "port_in_use" && Instant::now() < give_up, "{}", answer.body);
        }
    }

    pub(super) fn health(&self) -> Value {
        send(self.address, "GET /health", &["Host: localhost"], "").body
    }
}

/// A loopback port that was free a moment ago.
pub(super) fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()).expect("a free port")
}

/// Waits until `holds`, and fails with `what` when it takes too long.
pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < give_up, "still waiting: {what}");
        std::thread::yield_now();
    }
}
