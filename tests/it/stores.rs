//! Real stores that several machines share, which tests start from the system's packages: `PostgreSQL` and etcd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::support::{certified, fresh_port, have};

/// How long a store may take until it answers.
const PATIENCE: Duration = Duration::from_secs(30);

#[track_caller]
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "still waiting after {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}

/// The certificate of the authority of an etcd that uses TLS.
const AUTHORITY: &str = "ca.pem";

pub(crate) const PASSWORD: &str = "canary-7c41d0";

/// A database server in a folder of its own, killed when the value goes.
pub(crate) struct Postgres {
    child: Option<Child>,
    bin: PathBuf,
    folder: TempDir,
    pub(crate) port: u16,
}

impl Postgres {
    /// Starts one; `None`, said aloud, where the package is missing.
    pub(crate) fn start() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let bin = versions.map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists());
        let is_built_in = cfg!(feature = "postgres");
        if !have("the feature postgres and the package postgresql", is_built_in && bin.is_some()) {
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
    pub(crate) fn run(&mut self) {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", "unix_socket_directories=", "-c", "fsync=off"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("a process"));
        wait_for("a database", || self.ask("SELECT 1").is_some());
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://tunnel:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// Asks as a person would, and returns the answer's only value; `None` where there is no answer.
    pub(crate) fn ask(&self, sql: &str) -> Option<String> {
        let output = Command::new(self.bin.join("psql")).args(["-X", "-A", "-t", "-c", sql, &self.url()]).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Stops it as an administrator does, who does not wait for those who are connected.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
        child.wait().expect("ended");
    }

    /// Has it speak TLS, with this certificate and key in PEM.
    pub(crate) fn secure(&mut self, certificate: &str, key: &str) {
        self.stop();
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = self.data().join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("private");
            if geteuid().is_root() {
                let owner = Command::new("chown").arg("postgres:postgres").arg(&path).status();
                assert!(owner.expect("chown runs").success());
            }
        }
        let settings = self.data().join("postgresql.auto.conf");
        fs::write(settings, "ssl = on\n").expect("written");
        let rules = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(self.data().join("pg_hba.conf"), rules).expect("written");
        self.run();
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

/// An etcd in a folder of its own, killed when the value goes.
pub(crate) struct Etcd {
    child: Option<Child>,
    folder: TempDir,
    pub(crate) port: u16,
    peers: u16,
    /// Whether clients have to use TLS.
    tls: bool,
}

impl Etcd {
    /// Starts one; `None`, said aloud, where the package is missing.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(false)
    }

    /// Starts one that speaks to clients by TLS alone.
    pub(crate) fn start_tls() -> Option<Self> {
        Self::start_with(true)
    }

    fn start_with(tls: bool) -> Option<Self> {
        if !have("etcd", Command::new("etcd").arg("--version").output().is_ok()) {
            return None;
        }
        let mut etcd = Self {
            child: None,
            folder: tempfile::tempdir().expect("a folder"),
            port: fresh_port(),
            peers: fresh_port(),
            tls,
        };
        certified(etcd.folder.path(), AUTHORITY);
        etcd.run();
        Some(etcd)
    }

    pub(crate) fn run(&mut self) {
        let (clients, peers) = (self.address(), format!("http://127.0.0.1:{}", self.peers));
        let mut command = Command::new("etcd");
        if self.tls {
            let file = |name| self.folder.path().join(name);
            command.arg("--cert-file").arg(file("cert.pem")).arg("--key-file").arg(file("key.pem"));
        }
        command.arg("--data-dir").arg(self.folder.path().join("data")).args(["--unsafe-no-fsync", "--name", "one"]);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &format!("one={peers}")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.expect("a process"));
        wait_for("an etcd", || self.ask("kv/range", "{\"key\": \"AA==\"}").is_some());
    }

    pub(crate) fn url(&self) -> String {
        if self.tls {
            format!("etcds://127.0.0.1:{}?cacert={}", self.port, self.authority().display())
        } else {
            format!("etcd://127.0.0.1:{}", self.port)
        }
    }

    /// Returns the certificate of the authority that it is to be trusted by.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join(AUTHORITY)
    }

    fn address(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls { "https" } else { "http" }, self.port)
    }

    /// Asks its gateway as a person would.
    pub(crate) fn ask(&self, route: &str, body: &str) -> Option<String> {
        let url = format!("{}/v3/{route}", self.address());
        let mut command = Command::new("curl");
        command.args(["-sf", "-m", "5", "-d", body, &url]).arg("--cacert").arg(self.authority());
        let output = command.output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        kill_process(Pid::from_child(&child), Signal::TERM).expect("it is there");
        child.wait().expect("ended");
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
