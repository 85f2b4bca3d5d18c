//! Two real servers on one real `PostgreSQL`, which the test starts from the system's package.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::running::{Client, Laid, Link, PATIENCE, Server, ServerPlan, fresh_port, loopback, wait_until};
use super::targets::{Target, expect_echo, is_served, visit};
use crate::support::have;

/// What a change may take to reach the other server.
const SOON: Duration = Duration::from_secs(1);

const PASSWORD: &str = "canary-7c41d0";

/// A database server in a folder of its own, killed when the value goes.
struct Postgres {
    child: Option<Child>,
    bin: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Postgres {
    /// Starts one; `None`, said aloud, where the package is missing.
    fn start() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let bin = versions.map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists());
        if !have("postgresql", bin.is_some()) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut postgres = Self { child: None, bin: bin?, folder, port: fresh_port() };
        postgres.lay_out();
        postgres.run();
        Some(postgres)
    }

    /// A program of the package, as a user that it runs for: it refuses root.
    fn program(&self, name: &str) -> Command {
        let path = self.bin.join(name);
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn lay_out(&self) {
        let (folder, secret) = (self.folder.path(), self.folder.path().join("secret"));
        fs::write(&secret, PASSWORD).expect("written");
        fs::create_dir(self.data()).expect("a folder");
        if geteuid().is_root() {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("open");
            let owner = Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder).status();
            assert!(owner.expect("chown runs").success());
        }
        let mut command = self.program("initdb");
        command.args(["--no-sync", "-A", "scram-sha-256", "-U", "tunnel", "--pwfile"]).arg(secret).arg(self.data());
        let output = command.output().expect("initdb runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs the server and waits until it takes connections.
    fn run(&mut self) {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "unix_socket_directories=", "-c", "fsync=off"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("a process"));
        wait_until("a database", PATIENCE, || self.ask("SELECT 1").is_some());
    }

    fn url(&self) -> String {
        format!("postgres://tunnel:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// Asks as a person would, and returns the answer's only value; `None` where there is no answer.
    fn ask(&self, sql: &str) -> Option<String> {
        let output = Command::new(self.bin.join("psql")).args(["-X", "-A", "-t", "-c", sql, &self.url()]).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Stops it as an administrator does, who does not wait for those who are connected.
    fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
        child.wait().expect("ended");
    }

    /// The section `database` of a server.
    fn section(&self) -> String {
        format!("{{ path: mappings.db, url: '{}' }}", self.url())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill_process(Pid::from_child(&child), Signal::QUIT);
            let _ = child.wait();
        }
    }
}

/// A server whose visitors come to `public`.
fn server(section: &str, public: &str) -> Server {
    let plan = ServerPlan { public, database: section, ..ServerPlan::over(Link::Tls) };
    Laid::out(&plan).start(&plan)
}

/// Where the other server serves what this one serves at `address`.
fn there(address: SocketAddr) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 2], address.port()))
}

fn direct() -> Value {
    json!({ "use_tunnel": false })
}

fn mapping(server: &Server, port: u16) -> Option<Value> {
    let list = server.get("/api/mapping/list");
    list["data"].as_array().expect("a list").iter().find(|mapping| mapping["source_port"] == port).cloned()
}

#[test]
fn what_one_server_changes_the_other_serves_within_a_second() {
    let Some(postgres) = Postgres::start() else { return };
    let (here, other) = (server(&postgres.section(), "127.0.0.1"), server(&postgres.section(), "127.0.0.2"));
    let echo = Target::echo();
    for _ in 0..5 {
        let public = here.map_with(echo.address, &direct());
        wait_until("the mapping on the other server", SOON, || is_served(there(public)));
        let body = json!({ "source_port": public.port(), "name": "renamed", "bandwidth_limit": 4096 });
        let (status, answer) = other.post("update", &body);
        assert_eq!(status, 200, "{answer}");
        wait_until("the update on the first server", SOON, || {
            mapping(&here, public.port())
                .is_some_and(|mapping| mapping["name"] == "renamed" && mapping["bandwidth_limit"] == 4096)
        });
        let (status, answer) = other.post("remove", &json!({ "source_port": public.port() }));
        assert_eq!(status, 200, "{answer}");
        wait_until("the end of the mapping on the first server", SOON, || !is_served(public));
        assert!(mapping(&here, public.port()).is_none());
    }
    let audit = here.get("/api/audit?limit=3");
    let said: Vec<_> = audit["data"].as_array().expect("rows").iter().map(|row| row["action"].clone()).collect();
    assert_eq!(said, ["mapping.remove", "mapping.update", "mapping.create"], "one audit for both: {audit}");
}
