//! A server and a client of the real program, each a process with a folder of its own, and what connects them.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::toxic::Proxy;
pub(super) use crate::support::fresh_port;
use crate::support::{Answer, PORTWRIGHT};

pub(super) const KEY: &str = "8f1d2c3b4a5968778695a4b3c2d1e0ff";

/// The longest that something may take that has no limit of its own.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What connects client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Plain,
    Tls,
    /// TLS, through a proxy that refuses every connection after the client's first.
    Single,
}

/// Waits until `holds`, and fails with `what` when that takes longer than `within`. Looks a hundred times a second, so
/// that what is waited for has the processor.
#[track_caller]
pub(super) fn wait_until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < within, "still waiting after {within:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
    started.elapsed()
}

/// Lets a fault last; the length is part of the fault.
pub(super) fn lasts(length: Duration) {
    thread::sleep(length);
}

pub(super) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A process of ours with what it writes; killed when the value goes.
pub(super) struct Process {
    child: Child,
    name: &'static str,
    log: PathBuf,
    said: PathBuf,
}

impl Process {
    /// Starts `portwright` through `wrapper`, a command that runs another.
    fn start(name: &'static str, folder: &Path, wrapper: &[&str], arguments: &[&str]) -> Self {
        let append = |file: &str| {
            let path = folder.join(file);
            let file = File::options().create(true).append(true).open(&path).expect("a log");
            (path, file)
        };
        let ((log, stderr), (said, stdout)) = (append(&format!("{name}.log")), append(&format!("{name}.out")));
        let mut words = wrapper.to_vec();
        words.push(PORTWRIGHT);
        words.extend(arguments);
        let child = program(words[0], folder).args(&words[1..]).stdout(stdout).stderr(stderr).spawn();
        Self { child: child.expect("a process"), name, log, said }
    }

    pub(super) fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).expect("the process is there");
    }

    /// Ends it as a crash would.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().expect("gone");
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a process").is_none()
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub(super) fn end(&mut self, within: Duration) -> ExitStatus {
        wait_until(&format!("the end of the {}", self.name), within, || !self.is_running());
        self.child.wait().expect("ended")
    }

    /// What it wrote to stderr.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it wrote to stdout.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }

    /// How many descriptors it has open.
    pub(super) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).map_or(0, Iterator::count)
    }

    /// How much memory it has resident, in KiB.
    pub(super) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// The processor time it has used.
    pub(super) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|tick| tick.parse::<u64>().ok()).sum();
        // USER_HZ is 100 on every Linux.
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the end of the {}'s log\n{}", self.name, lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// A command with a home in `folder`, a clean environment and English texts.
fn program(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(name);
    command.env_clear().current_dir(folder).stdin(Stdio::null()).env("HOME", folder).env("LANG", "C.UTF-8");
    command.env("PORTWRIGHT_API_API_KEY", KEY);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub(super) struct ServerPlan<'a> {
    /// `auto` or `off`.
    pub(super) tls: &'a str,
    /// Where clients connect.
    pub(super) listen: &'a str,
    /// Where visitors come.
    pub(super) public: &'a str,
    /// The section `database`.
    pub(super) database: &'a str,
    pub(super) legacy_v1: bool,
    pub(super) wrapper: &'a [&'a str],
    pub(super) flags: &'a [&'a str],
}

impl ServerPlan<'_> {
    pub(super) fn over(link: Link) -> Self {
        let tls = if link == Link::Plain { "off" } else { "auto" };
        let (public, database) = ("127.0.0.1", "{ path: mappings.db }");
        Self { tls, listen: "127.0.0.1", public, database, legacy_v1: false, wrapper: &[], flags: &[] }
    }
}

/// A token as `tunnel token create --json` prints it.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) token: String,
    pub(super) join_code: String,
    pub(super) pin: String,
}

pub(super) struct Server {
    pub(super) process: Process,
    pub(super) api: SocketAddr,
    pub(super) tunnel: SocketAddr,
    folder: TempDir,
    wrapper: Vec<String>,
    flags: Vec<String>,
}

/// A folder with a configuration, before anything runs in it.
pub(super) struct Laid {
    folder: TempDir,
    api: SocketAddr,
    tunnel: SocketAddr,
}

impl Laid {
    pub(super) fn out(plan: &ServerPlan) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (api, tunnel) = (loopback(fresh_port()), loopback(fresh_port()));
        let config = format!(
            "port_range: {{ from: 1024, end: 65535, listen: {} }}\n\
             tunnel: {{ enabled: true, listen: {}, listen_port: {}, tls: {}, legacy_v1: {} }}\n\
             api: {{ listen_port: {}, rate_limit: 100000 }}\n\
             database: {}\n",
            plan.public,
            plan.listen,
            tunnel.port(),
            plan.tls,
            plan.legacy_v1,
            api.port(),
            plan.database,
        );
        fs::write(folder.path().join("config.yaml"), config).expect("a configuration");
        Self { folder, api, tunnel }
    }

    pub(super) fn token(&self, name: &str) -> Token {
        token(self.folder.path(), name, &[])
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks for a token that is expected not to be made.
    pub(super) fn refuse_token(&self, name: &str) -> Answer {
        let mut command = program(PORTWRIGHT, self.folder.path());
        command.args(["tunnel", "token", "create", "--config", "config.yaml", "--name", name]);
        command.output().expect("the program runs").into()
    }

    pub(super) fn start(self, plan: &ServerPlan) -> Server {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let process = Server::process(self.folder.path(), plan.wrapper, plan.flags);
        let (wrapper, flags) = (owned(plan.wrapper), owned(plan.flags));
        let mut server = Server { process, api: self.api, tunnel: self.tunnel, folder: self.folder, wrapper, flags };
        server.wait_healthy();
        server
    }

    /// Runs a server that is expected to end at once.
    pub(super) fn refuse(&self, flags: &[&str]) -> Answer {
        let mut process = Server::process(self.folder.path(), &[], flags);
        let code = process.end(PATIENCE).code().unwrap_or(-1);
        Answer { code, stdout: process.said(), stderr: process.log() }
    }
}

fn token(folder: &Path, name: &str, flags: &[&str]) -> Token {
    let mut command = program(PORTWRIGHT, folder);
    command.args(["tunnel", "token", "create", "--config", "config.yaml", "--name", name, "--json"]).args(flags);
    let answer = Answer::from(command.output().expect("the program runs")).expect_code(0).json();
    assert_eq!(answer["schema"], "portwright.tunnel/1");
    let field = |name: &str| answer["token"][name].as_str().unwrap_or_default().to_owned();
    Token { token: field("token"), join_code: field("join_code"), pin: field("pin") }
}

impl Server {
    /// A server and a token of its first client.
    pub(super) fn start(plan: &ServerPlan) -> (Self, Token) {
        let laid = Laid::out(plan);
        let token = laid.token("home");
        (laid.start(plan), token)
    }

    fn process(folder: &Path, wrapper: &[&str], flags: &[&str]) -> Process {
        let arguments = [&["tunnel", "server", "--config", "config.yaml"], flags].concat();
        Process::start("server", folder, wrapper, &arguments)
    }

    #[track_caller]
    fn wait_healthy(&mut self) {
        let api = self.api;
        wait_until("a healthy server", PATIENCE, || {
            assert!(self.process.is_running(), "the server ended: {}", self.process.log());
            health(api).is_some()
        });
    }

    /// Starts it again in its folder, on its ports.
    pub(super) fn start_again(&mut self) {
        let words = |owned: &'_ [String]| owned.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        let (wrapper, flags) = (words(&self.wrapper), words(&self.flags));
        let (wrapper, flags): (Vec<&str>, Vec<&str>) = (wrapper.lines().collect(), flags.lines().collect());
        self.process = Self::process(self.folder.path(), &wrapper, &flags);
        self.wait_healthy();
    }

    /// Makes another token, beside the running server.
    pub(super) fn token(&self, name: &str, flags: &[&str]) -> Token {
        token(self.folder.path(), name, flags)
    }

    pub(super) fn revoke(&self, name: &str) -> Answer {
        let mut command = program(PORTWRIGHT, self.folder.path());
        command.args(["tunnel", "token", "revoke", name, "--config", "config.yaml", "--yes"]);
        command.output().expect("the program runs").into()
    }

    /// How many clients are connected.
    pub(super) fn clients(&self) -> u64 {
        health(self.api).map_or(0, |health| health["clients"].as_u64().expect("a number"))
    }

    #[track_caller]
    pub(super) fn wait_for_clients(&self, count: u64, within: Duration) -> Duration {
        wait_until(&format!("{count} clients"), within, || self.clients() == count)
    }

    pub(super) fn get(&self, path: &str) -> Value {
        request(self.api, &format!("GET {path}"), None).expect("an answer").1
    }

    pub(super) fn post(&self, route: &str, body: &Value) -> (u16, Value) {
        request(self.api, &format!("POST /api/mapping/{route}"), Some(body)).expect("an answer")
    }

    /// Maps a port of its own to `target` behind the tunnel.
    #[track_caller]
    pub(super) fn map(&self, target: SocketAddr) -> SocketAddr {
        self.map_with(target, &json!({}))
    }

    #[track_caller]
    pub(super) fn map_with(&self, target: SocketAddr, more: &Value) -> SocketAddr {
        let public = fresh_port();
        let mut body = json!({ "source_port": public, "target_host": target.ip().to_string(),
            "target_port": target.port(), "use_tunnel": true });
        for (field, value) in more.as_object().expect("an object") {
            body[field] = value.clone();
        }
        let (status, answer) = self.post("create", &body);
        assert_eq!(status, 200, "{answer}");
        loopback(public)
    }
}

/// Sends a request with the key; `None` when nobody answers.
fn request(api: SocketAddr, line: &str, body: Option<&Value>) -> Option<(u16, Value)> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(api).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

pub(super) fn health(api: SocketAddr) -> Option<Value> {
    request(api, "GET /health", None).map(|(_, body)| body)
}

/// A client process.
pub(super) struct Client {
    pub(super) process: Process,
    folder: TempDir,
    arguments: Vec<String>,
}

impl Client {
    /// Starts a client through `wrapper` with these arguments after `tunnel client`, and with its token as `./token`.
    pub(super) fn start(token: Option<&Token>, wrapper: &[&str], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some(token) = token {
            let path = folder.path().join("token");
            fs::write(&path, format!("{}\n", token.token)).expect("a token file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
        }
        let words = [&["tunnel", "client"], arguments].concat();
        let process = Process::start("client", folder.path(), wrapper, &words);
        Self { process, folder, arguments: words.iter().map(|&word| word.to_owned()).collect() }
    }

    /// Starts a client that proves itself with `token`, as the link wants it, with more arguments.
    pub(super) fn of(server: SocketAddr, token: &Token, link: Link, more: &[&str]) -> Self {
        let server = server.to_string();
        let mut arguments = vec!["--server", &server, "--token-file", "token"];
        match link {
            Link::Plain => arguments.push("--insecure"),
            Link::Tls | Link::Single => arguments.extend(["--pin", &token.pin]),
        }
        arguments.extend(more);
        Self::start(Some(token), &[], &arguments)
    }

    /// Starts it again with the same arguments, after it ended.
    pub(super) fn start_again(&mut self) {
        let words: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.process = Process::start("client", self.folder.path(), &[], &words);
    }
}

/// A server, a client that is connected to it, and perhaps a proxy between the two.
pub(super) struct Tunnel {
    pub(super) client: Client,
    pub(super) server: Server,
    pub(super) proxy: Option<Proxy>,
    pub(super) token: Token,
    pub(super) link: Link,
}

impl Tunnel {
    pub(super) fn start(link: Link) -> Self {
        Self::with(link, link == Link::Single, &ServerPlan::over(link), &[])
    }

    /// With a proxy between client and server.
    pub(super) fn through_proxy(link: Link) -> Self {
        Self::with(link, true, &ServerPlan::over(link), &[])
    }

    /// With these arguments of the client.
    pub(super) fn exposing(link: Link, arguments: &[&str]) -> Self {
        Self::with(link, link == Link::Single, &ServerPlan::over(link), arguments)
    }

    fn with(link: Link, is_proxied: bool, plan: &ServerPlan, arguments: &[&str]) -> Self {
        let (server, token) = Server::start(plan);
        let proxy = is_proxied.then(|| Proxy::start(server.tunnel, 7));
        let address = proxy.as_ref().map_or(server.tunnel, |proxy| proxy.address);
        let client = Client::of(address, &token, link, arguments);
        let tunnel = Self { client, server, proxy, token, link };
        tunnel.server.wait_for_clients(1, PATIENCE);
        if link == Link::Single {
            tunnel.proxy().refuse(true);
        }
        tunnel
    }

    pub(super) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("a proxy")
    }

    #[track_caller]
    pub(super) fn map(&self, target: SocketAddr) -> SocketAddr {
        self.server.map(target)
    }

    /// Another client process with the same token.
    pub(super) fn second_client(&self, server: SocketAddr) -> Client {
        Client::of(server, &self.token, self.link, &[])
    }

    /// Fails unless both processes still run.
    #[track_caller]
    pub(super) fn expect_alive(&mut self) {
        assert!(self.server.process.is_running() && self.client.process.is_running(), "both processes live");
    }

    /// The descriptors of server and client.
    pub(super) fn descriptors(&self) -> (usize, usize) {
        (self.server.process.descriptors(), self.client.process.descriptors())
    }

    /// Waits until neither process has more descriptors open than `before`.
    #[track_caller]
    pub(super) fn wait_for_descriptors(&self, before: (usize, usize), within: Duration) {
        let mut now = (0, 0);
        let started = Instant::now();
        loop {
            now = if started.elapsed() < within { self.descriptors() } else { now };
            if now.0 <= before.0 && now.1 <= before.1 {
                return;
            }
            assert!(started.elapsed() < within, "descriptors of server and client: {before:?} before, {now:?} after");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
