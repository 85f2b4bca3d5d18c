//! Launches of the real program that leave nothing behind: processes, containers, volumes and images go with the value.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Answer, Sandbox, free_block};
use crate::terminal::Terminal;

/// How long anything may take on a machine that compiles beside the test.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs docker and returns what it printed.
#[track_caller]
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().expect("docker runs");
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The images that tests made, with the number of sandboxes that are still in use.
static IMAGES: Mutex<(usize, Vec<String>)> = Mutex::new((0, Vec::new()));

/// A sandbox whose launches end with it.
pub(crate) struct Launches {
    pub(crate) sandbox: Sandbox,
    /// The first of a hundred ports for this test.
    pub(crate) first: u16,
}

impl Launches {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        IMAGES.lock().expect("no panic while it is held").0 += 1;
        Self { sandbox: Sandbox::new(files), first: free_block(100) }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.sandbox.project().parent().expect("a root").to_owned()
    }

    /// Makes another project beside the first, with the same home.
    pub(crate) fn other(&self, name: &str) -> PathBuf {
        let path = self.root().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }

    /// The program, about to run for the project, which is named: an empty directory would not be taken otherwise.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        if arguments.contains(&"-C") {
            return self.sandbox.command(arguments);
        }
        let directory = self.sandbox.project().display().to_string();
        self.sandbox.command(&[&["-C", directory.as_str()], arguments].concat())
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        let answer = self.command(arguments).output().expect("the program runs").into();
        note_image(&answer);
        answer
    }

    /// The port on this host where clients of the bundled server's tunnel connect.
    pub(crate) fn control(&self) -> u16 {
        self.first + 40
    }

    /// The flags that put the bundled server on ports of this test: the API on the first, the tunnel on
    /// [`Self::control`], the mappings from the fiftieth.
    pub(crate) fn ports(&self) -> Vec<String> {
        [vec!["--port".to_owned(), format!("API_PORT={}", self.first)], self.other_ports()].concat()
    }

    /// The same without the API's.
    pub(crate) fn other_ports(&self) -> Vec<String> {
        let (control, range) = (format!("TUNNEL_PORT={}", self.control()), format!("tunnel:10000={}", self.first + 50));
        ["--port".to_owned(), control, "--port".to_owned(), range].into()
    }

    /// `quick-start --yes --json` of the bundled server on ports of this test.
    pub(crate) fn quick_start(&self, more: &[&str]) -> Answer {
        let ports = self.ports();
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        self.run(&[&["quick-start", "--yes", "--json"], &ports[..], more].concat())
    }

    /// The same in a terminal, where it may ask.
    pub(crate) fn in_terminal(&self, arguments: &[&str]) -> Terminal {
        Terminal::open(self.command(arguments))
    }

    pub(crate) fn status(&self) -> Value {
        at(&self.run(&["status", "--json"]).expect_code(0).json(), "/services").clone()
    }

    /// The processes whose command line names this sandbox.
    pub(crate) fn processes(&self, word: &str) -> Vec<u32> {
        let root = self.root().display().to_string();
        let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(&root) && line.contains(word) && line.contains("portwright")
        })
        .collect()
    }

    /// The containers of this sandbox's projects, ours and compose's.
    pub(crate) fn containers(&self) -> Vec<String> {
        let root = self.root().display().to_string();
        let format = "{{.ID}} {{.Label \"dev.portwright.directory\"}} \
            {{.Label \"com.docker.compose.project.working_dir\"}}";
        let Ok(output) = Command::new("docker").args(["ps", "-a", "--no-trunc", "--format", format]).output() else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().filter(|line| line.contains(&root));
        lines.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
    }

    fn labelled(&self, kind: &str, label: &str) -> Vec<String> {
        let format = format!("{{{{.Name}}}} {{{{.Label \"{label}\"}}}}");
        let Ok(output) = Command::new("docker").args([kind, "ls", "--format", &format]).output() else {
            return Vec::new();
        };
        let root = self.root().display().to_string();
        // As compose makes a project's name of it.
        let name = root.rsplit('/').next().unwrap_or_default().to_lowercase().replace('-', "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().filter(|line| line.contains(&root) || line.contains(&name));
        lines.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
    }

    pub(crate) fn volumes(&self) -> Vec<String> {
        self.labelled("volume", "dev.portwright.directory")
    }
}

impl Drop for Launches {
    fn drop(&mut self) {
        let quietly = |program: &str, arguments: &[&str]| {
            let _ = Command::new(program).args(arguments).output();
        };
        for word in ["supervise", "tunnel server", "quick-start"] {
            for pid in self.processes(word) {
                quietly("kill", &["-9", &pid.to_string()]);
            }
        }
        for container in self.containers() {
            quietly("docker", &["rm", "-f", "-v", &container]);
        }
        for volume in self.volumes() {
            quietly("docker", &["volume", "rm", &volume]);
        }
        for network in self.labelled("network", "com.docker.compose.project") {
            quietly("docker", &["network", "rm", &network]);
        }
        let Ok(mut images) = IMAGES.lock() else { return };
        images.0 -= 1;
        if images.0 == 0 {
            for image in std::mem::take(&mut images.1) {
                quietly("docker", &["image", "rm", &image]);
            }
        }
    }
}

fn note_image(answer: &Answer) {
    let document: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
    if let Some(image) = document.pointer("/launched/image").and_then(Value::as_str) {
        let mut images = IMAGES.lock().expect("no panic while it is held");
        if !images.1.iter().any(|known| known == image) {
            images.1.push(image.to_owned());
        }
    }
}

/// Reads a field of a document.
#[track_caller]
pub(crate) fn at<'document>(document: &'document Value, pointer: &str) -> &'document Value {
    document.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {document}"))
}

/// Names the image that a launch made of this executable.
#[track_caller]
pub(crate) fn image_of(answer: &Value) -> String {
    at(answer, "/launched/image").as_str().expect("an image").to_owned()
}

/// One HTTP request; the status and the body, or `None` when nobody answers.
pub(crate) fn http(port: u16, request: &str) -> Option<(u16, String)> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
}

pub(crate) fn healthy(port: u16) -> bool {
    let request = format!("GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    http(port, &request).is_some_and(|(status, body)| status == 200 && body.contains("\"status\":\"ok\""))
}

/// Reads a value of a `.env` file.
pub(crate) fn env_value(directory: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(directory.join(".env")).expect("a .env file");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

pub(crate) fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[track_caller]
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill {name} {pid}");
}
