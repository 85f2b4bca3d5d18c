//! A project in a temporary folder with a home of its own, and the real program run in it.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// The real program.
pub(crate) const PORTWRIGHT: &str = env!("CARGO_BIN_EXE_portwright");

/// A project folder beside a home folder; both go with the value.
pub(crate) struct Sandbox {
    root: TempDir,
}

/// What a run of the program answered.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: stdout {:?} stderr {:?}", self.stdout, self.stderr))
    }

    /// Fails unless the program ended with `code`; shows what it said.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Sandbox {
    /// Makes a sandbox whose project holds `files`.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let sandbox = Self { root: TempDir::with_prefix("pw-it-").expect("a temporary folder") };
        fs::create_dir_all(sandbox.project()).expect("the project folder");
        fs::create_dir_all(sandbox.home()).expect("the home folder");
        for (name, contents) in files {
            sandbox.write(name, contents);
        }
        sandbox
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.root.path().canonicalize().expect("a real path").join("project")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    pub(crate) fn write(&self, name: &str, contents: &str) {
        let path = self.project().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, contents).expect("a written file");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.project().join(name)).expect("a readable file")
    }

    /// Every file of the project with its bytes, to show that nothing changed.
    pub(crate) fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(folder).expect("a folder").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    let bytes = fs::read(&path).unwrap_or_default();
                    found.insert(path, bytes);
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(&self.project(), &mut found);
        found
    }

    /// The program, about to run in the project with a clean environment and English texts.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PORTWRIGHT);
        command.args(arguments).current_dir(self.project()).env_clear().stdin(Stdio::null());
        for name in ["PATH", "DOCKER_HOST"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("HOME", self.home()).env("LANG", "C.UTF-8");
        command
    }

    /// Runs the program without a terminal.
    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        self.command(arguments).output().expect("the program runs").into()
    }
}

/// Writes the certificate of an authority, and `cert.pem` and `key.pem`, which it has issued for `127.0.0.1`.
pub(crate) fn certified(folder: &Path, authority: &str) {
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Of a name of its own: OpenSSL takes what was issued by its own name for self-signed.
    params.distinguished_name.push(DnType::CommonName, "an authority");
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &issuer).expect("issued").pem();
    for (name, text) in [(authority, issuer.pem()), ("cert.pem", certificate), ("key.pem", key.serialize_pem())] {
        fs::write(folder.join(name), text).expect("a written file");
    }
}

/// Holds a TCP port on all IPv4 addresses.
pub(crate) fn hold(port: u16) -> TcpListener {
    TcpListener::bind(("0.0.0.0", port)).unwrap_or_else(|error| panic!("port {port}: {error}"))
}

/// Finds `count` ports in a row that are free now, below the ephemeral range, such that no other test gets them, nor any
/// port of the few behind them, to which a test may move.
pub(crate) fn free_block(count: u16) -> u16 {
    static SHARED: std::sync::Mutex<(u16, u16)> = std::sync::Mutex::new((0, BLOCK_PORTS));
    let wanted = (count + 10).next_multiple_of(20);
    if wanted > BLOCK_PORTS / 2 {
        return whole_block(count);
    }
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if shared.1 + wanted > BLOCK_PORTS {
        *shared = (whole_block(BLOCK_PORTS), 0);
    }
    shared.1 += wanted;
    shared.0 + shared.1 - wanted
}

/// Ports of a block.
const BLOCK_PORTS: u16 = 100;

/// Finds a block of ports that are free now; a lock file for each is held until the process ends.
fn whole_block(count: u16) -> u16 {
    use std::sync::Mutex;
    static GIVEN: Mutex<Vec<fs::File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("pw-it-ports");
    fs::create_dir_all(&folder).expect("a folder for locks");
    let size = BLOCK_PORTS;
    assert!(count <= size, "a block has {size} ports");
    // Above the ports of the bundled project's mappings.
    for block in 0..210u16 {
        let first = 11_000 + block * size;
        let lock = fs::File::create(folder.join(first.to_string())).expect("a lock file");
        if lock.try_lock().is_err() {
            continue;
        }
        let is_free = |port: u16| {
            TcpListener::bind(("0.0.0.0", port)).is_ok()
                && TcpListener::bind(("::", port)).is_ok()
                && UdpSocket::bind(("0.0.0.0", port)).is_ok()
        };
        if (first..first + size).all(is_free) {
            GIVEN.lock().expect("no panic while it is held").push(lock);
            return first;
        }
    }
    panic!("no block of {count} free ports below the ephemeral range");
}

/// A port that no other test gets, below the ephemeral range.
pub(crate) fn fresh_port() -> u16 {
    static BLOCK: std::sync::Mutex<(u16, u16)> = std::sync::Mutex::new((0, BLOCK_PORTS));
    let mut block = BLOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if block.1 == BLOCK_PORTS {
        *block = (free_block(BLOCK_PORTS), 0);
    }
    block.1 += 1;
    block.0 + block.1 - 1
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
/// Tells whether a tool is there; under `PORTWRIGHT_REQUIRE_ALL=1` a missing one is a failure.
pub(crate) fn have(tool: &str, works: bool) -> bool {
    let required = std::env::var_os("PORTWRIGHT_REQUIRE_ALL").is_some_and(|value| value == "1");
    assert!(works || !required, "needs {tool}");
    if !works {
        eprintln!("skipped: needs {tool}");
    }
    works
}

/// Tells whether a Docker engine answers.
pub(crate) fn have_docker() -> bool {
    let works = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    have("docker", works.is_ok_and(|output| output.status.success()))
}
