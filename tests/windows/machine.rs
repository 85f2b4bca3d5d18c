//! A user with folders of their own, and the program run as this user would.

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes, Wine's first start included.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The one JSON document of a run with `--json`.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// A folder with a blank and Chinese letters in its name, as users have them, and application data below it.
pub(crate) struct Machine {
    root: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().expect("a folder");
        fs::create_dir_all(root.path().join("my 项目")).expect("a project folder");
        Self { root }
    }

    /// The project's folder.
    pub(crate) fn project(&self) -> PathBuf {
        self.root.path().join("my 项目")
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.project().join(name), bytes).expect("a file");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.project().join(name)).expect("a file")
    }

    /// The program, with the application data of this user.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portwright"));
        command.args(arguments).current_dir(self.project()).stdin(Stdio::null());
        command.env("LOCALAPPDATA", self.root.path().join("Local")).env("APPDATA", self.root.path().join("Roaming"));
        for name in ["CI", "DOCKER_HOST", "PORTWRIGHT_TOKEN"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs the program to its end. Its output goes to files: a service that it starts inherits a pipe and keeps it open.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let kept = TempDir::new().expect("a folder");
        let file = |name: &str| fs::File::create(kept.path().join(name)).expect("a file");
        let mut command = self.command(arguments);
        let mut child = command.stdout(file("out")).stderr(file("err")).spawn().expect("the program starts");
        let code = end_of(&mut child);
        let text = |name: &str| {
            let mut bytes = Vec::new();
            fs::File::open(kept.path().join(name)).and_then(|mut file| file.read_to_end(&mut bytes)).expect("output");
            String::from_utf8(bytes).expect("UTF-8")
        };
        Ran { code, stdout: text("out"), stderr: text("err") }
    }

    /// Starts the program and leaves it running, its output in a file of this user.
    pub(crate) fn start(&self, arguments: &[&str], log: &Path) -> Running {
        let file = fs::File::create(log).expect("a log");
        let twin = file.try_clone().expect("a log");
        Running(self.command(arguments).stdout(file).stderr(twin).spawn().expect("the program starts"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
}

/// A program that is ended with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn end_of(child: &mut Child) -> Option<i32> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.code();
        }
        assert!(Instant::now() < end, "the program does not end");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `done` tells so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "waited for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port that somebody listens on for the rest of the test.
pub(crate) fn taken() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// A loopback address that was free a moment ago.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("an address")
}
