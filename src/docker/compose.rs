//! A user's own project, brought up by the compose that is installed: the plugin of the docker command, or
//! `docker-compose`. Started by absolute path, without a shell.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::engine::writable_by_all;
use super::failure::{PortFailure, PortTaken, classify, clip};
use crate::error::{Error, ErrorKind, Result};
use crate::words::docker::DockerWords;

/// How long a tool may take to say its version; the Python one takes a second on a slow machine.
const VERSION_DEADLINE: Duration = Duration::from_secs(15);

/// How long compose may say nothing: a pull or a build that is not shown on a terminal prints little. The total has no
/// limit.
const SILENCE_DEADLINE: Duration = Duration::from_mins(15);

/// How many lines of output are kept for the report of a failure.
const LAST_LINES: usize = 40;

/// A longer line is cut.
const LINE_LIMIT: usize = 4096;

/// The compose that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeTool {
    program: PathBuf,
    is_plugin: bool,
    version: (u32, u32),
}

/// A project as compose is told about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeProject {
    /// The project name.
    pub name: String,
    /// The project directory (absolute).
    pub directory: PathBuf,
    /// The compose files (absolute), in order.
    pub files: Vec<PathBuf>,
    /// The `.env` file, when another one than compose would take.
    pub env_file: Option<PathBuf>,
    /// The active profiles.
    pub profiles: Vec<String>,
}

/// Why compose failed. Some services may run: what it started stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComposeFailure {
    /// A port was taken at the last moment; with another port it may work.
    PortTaken(PortTaken),
    /// It ended with an error; its last lines.
    Failed {
        /// The exit code; `None` when it was killed.
        exit_code: Option<i32>,
        /// Up to 40 lines.
        last_lines: Vec<String>,
    },
    /// It could not be run, or fell silent.
    Other(Error),
}

impl ComposeTool {
    /// Finds compose on `PATH`: the docker command with its plugin first, then `docker-compose`.
    ///
    /// An executable inside `project`, or in a folder that everybody may write to, is passed over: whoever put it
    /// there may not be the user. `Missing` when there is none.
    pub fn find(
        env: &dyn Fn(&str) -> Option<String>,
        project: &Path,
    ) -> impl Future<Output = Result<Self>> + Send + use<> {
        let path = env("PATH").unwrap_or_default();
        let project = std::fs::canonicalize(project).unwrap_or_else(|_| project.to_owned());
        async move {
            let mut passed_over = None;
            for (name, is_plugin) in [("docker", true), ("docker-compose", false)] {
                for program in installed(&path, name) {
                    if !trusted(&program, &project) {
                        passed_over.get_or_insert(program);
                        continue;
                    }
                    if let Some(version) = ask_version(&program, is_plugin).await {
                        return Ok(Self { program, is_plugin, version });
                    }
                }
            }
            let words = match passed_over {
                Some(path) => DockerWords::ComposeUntrusted { path },
                None => DockerWords::NoCompose,
            };
            Err(Error::new(ErrorKind::Missing, words).hint(DockerWords::NoComposeHint))
        }
    }

    /// Returns the major and minor version; 1 is the Python one.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Returns the command as a person would type it: `docker compose` or `docker-compose`.
    #[must_use]
    pub fn command(&self) -> &'static str {
        if self.is_plugin { "docker compose" } else { "docker-compose" }
    }

    /// Brings the project up on the engine at `address` (as `DOCKER_HOST` has it), and returns when compose says that
    /// it is started; health is the caller's to check. `on_line` gets every line that compose prints.
    pub async fn up(
        &self,
        project: &ComposeProject,
        address: &str,
        on_line: &(dyn Fn(&str) + Sync),
    ) -> Result<(), ComposeFailure> {
        self.run(project, address, &["up", "-d"], on_line).await
    }

    /// Stops and removes the project's containers and networks; volumes stay.
    pub async fn down(
        &self,
        project: &ComposeProject,
        address: &str,
        on_line: &(dyn Fn(&str) + Sync),
    ) -> Result<(), ComposeFailure> {
        self.run(project, address, &["down"], on_line).await
    }

    async fn run(
        &self,
        project: &ComposeProject,
        address: &str,
        verb: &[&str],
        on_line: &(dyn Fn(&str) + Sync),
    ) -> Result<(), ComposeFailure> {
        let mut command = Command::new(&self.program);
        command.args(self.arguments(project)).args(verb).current_dir(&project.directory).env("DOCKER_HOST", address);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let failed = |error: std::io::Error| ComposeFailure::Other(self.broken(&error));
        let mut child = command.spawn().map_err(failed)?;
        let mut tail = Tail { lines: VecDeque::new(), taken: None };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let watch = async {
            if let (Some(stdout), Some(stderr)) = (stdout, stderr) {
                read_lines(stdout, stderr, &mut |line| {
                    on_line(line);
                    tail.add(line);
                })
                .await?;
            }
            within_silence(child.wait()).await
        };
        let status = match watch.await {
            Ok(status) => status,
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                let words = DockerWords::ComposeSilent {
                    command: self.command().to_owned(),
                    seconds: SILENCE_DEADLINE.as_secs(),
                };
                return Err(ComposeFailure::Other(Error::new(ErrorKind::Partial, words)));
            }
            Err(error) => return Err(failed(error)),
        };
        match (status.success(), tail.taken) {
            (true, _) => Ok(()),
            (false, Some(taken)) => Err(ComposeFailure::PortTaken(taken)),
            (false, None) => {
                Err(ComposeFailure::Failed { exit_code: status.code(), last_lines: tail.lines.into_iter().collect() })
            }
        }
    }

    fn broken(&self, error: &std::io::Error) -> Error {
        let words = DockerWords::ComposeBroken { path: self.program.clone(), reason: error.to_string() };
        Error::new(ErrorKind::Missing, words)
    }

    fn arguments(&self, project: &ComposeProject) -> Vec<OsString> {
        let with = |flag: &str, value: &Path| {
            let mut argument = OsString::from(flag);
            argument.push(value);
            argument
        };
        let mut arguments = Vec::new();
        if self.is_plugin {
            arguments.push(OsString::from("compose"));
        }
        arguments.push(OsString::from(if self.version < (1, 28) { "--no-ansi" } else { "--ansi=never" }));
        arguments.push(format!("--project-name={}", project.name).into());
        arguments.push(with("--project-directory=", &project.directory));
        arguments.extend(project.files.iter().map(|file| with("--file=", file)));
        arguments.extend(project.env_file.iter().map(|file| with("--env-file=", file)));
        arguments.extend(project.profiles.iter().map(|profile| format!("--profile={profile}").into()));
        arguments
    }
}

/// Returns the executables called `name` on `PATH`, in order; relative folders of `PATH` are passed over.
fn installed(path: &str, name: &str) -> Vec<PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(&file)).filter(|program| program.is_file()).collect()
}

/// Tells whether nobody but the machine's owner put `program` there, as far as its places show: neither the path that
/// is written nor the one that it leads to is in the project or open to everybody.
fn trusted(program: &Path, project: &Path) -> bool {
    let Ok(target) = std::fs::canonicalize(program) else { return false };
    let Some(Ok(folder)) = program.parent().map(std::fs::canonicalize) else { return false };
    let places = [Some(folder.as_path()), target.parent()];
    let open = places.into_iter().flatten().chain([target.as_path()]).any(writable_by_all);
    !open && !target.starts_with(project) && !folder.starts_with(project)
}

async fn ask_version(program: &Path, is_plugin: bool) -> Option<(u32, u32)> {
    let mut command = Command::new(program);
    command.args(is_plugin.then_some("compose")).args(["version", "--short"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().ok()?;
    let mut text = Vec::new();
    let answer = async {
        child.stdout.take()?.take(LINE_LIMIT as u64).read_to_end(&mut text).await.ok()?;
        child.wait().await.ok()
    };
    let status = tokio::time::timeout(VERSION_DEADLINE, answer).await.ok()??;
    status.success().then(|| parse_version(&String::from_utf8_lossy(&text))).flatten()
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().trim_start_matches('v').split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What is kept of the output.
struct Tail {
    lines: VecDeque<String>,
    taken: Option<PortTaken>,
}

impl Tail {
    fn add(&mut self, line: &str) {
        if let Some(PortFailure::Taken(taken)) = classify(line)
            && self.taken.as_ref().is_none_or(|known| known.port.is_none())
        {
            self.taken = Some(taken);
        }
        if self.lines.len() == LAST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(clip(line));
    }
}

async fn within_silence<T>(future: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    match tokio::time::timeout(SILENCE_DEADLINE, future).await {
        Ok(outcome) => outcome,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

/// Reads both streams to their ends and gives their lines as they come, with bounded memory.
async fn read_lines(
    mut stdout: impl AsyncRead + Unpin,
    mut stderr: impl AsyncRead + Unpin,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> std::io::Result<()> {
    let mut buffers = [[0; 4096]; 2];
    let mut partial = [Vec::new(), Vec::new()];
    let mut open = [true, true];
    while open.contains(&true) {
        let [first, second] = &mut buffers;
        let next = async {
            tokio::select! {
                read = stdout.read(first), if open[0] => read.map(|count| (0, count)),
                read = stderr.read(second), if open[1] => read.map(|count| (1, count)),
            }
        };
        let (stream, count) = within_silence(next).await?;
        if let (Some(buffer), Some(partial), Some(open)) =
            (buffers.get(stream), partial.get_mut(stream), open.get_mut(stream))
        {
            *open = count > 0;
            split_lines(partial, buffer.get(..count).unwrap_or_default(), on_line);
        }
    }
    Ok(())
}

/// Cuts `bytes` into lines; what is not ended stays in `partial`. No bytes at all mean the end of the stream.
fn split_lines(partial: &mut Vec<u8>, bytes: &[u8], on_line: &mut (dyn FnMut(&str) + Send)) {
    let mut end = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line);
        if !text.trim().is_empty() {
            on_line(text.trim_end());
        }
        line.clear();
    };
    for byte in bytes {
        match byte {
            b'\n' | b'\r' => end(partial),
            _ if partial.len() < LINE_LIMIT => partial.push(*byte),
            _ => {}
        }
    }
    if bytes.is_empty() {
        end(partial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_generations_are_read() {
        for (text, version) in
            [("1.29.2\n", Some((1, 29))), ("v2.40.3", Some((2, 40))), ("2.26.1-4", Some((2, 26))), ("unknown", None)]
        {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }

    #[test]
    fn arguments_are_one_word_each_whatever_is_in_them() {
        let project = ComposeProject {
            name: "app".to_owned(),
            directory: PathBuf::from("/srv/a b;rm"),
            files: vec![PathBuf::from("/srv/a b;rm/compose.yaml"), PathBuf::from("/o.yaml")],
            env_file: Some(PathBuf::from("/e")),
            profiles: vec!["dev".to_owned()],
        };
        let tool = ComposeTool { program: PathBuf::from("/usr/bin/docker"), is_plugin: true, version: (2, 40) };
        assert_eq!(
            tool.arguments(&project),
            [
                "compose",
                "--ansi=never",
                "--project-name=app",
                "--project-directory=/srv/a b;rm",
                "--file=/srv/a b;rm/compose.yaml",
                "--file=/o.yaml",
                "--env-file=/e",
                "--profile=dev",
            ]
        );
    }

    #[test]
    fn lines_are_cut_at_either_end_mark_and_at_their_limit() {
        let mut lines = Vec::new();
        let mut partial = Vec::new();
        let long = [b'x'; LINE_LIMIT + 100];
        for piece in [&b"one\ntw"[..], b"o\r\n\nthree\xff", &long, b"\nend", b""] {
            split_lines(&mut partial, piece, &mut |line| lines.push(line.to_owned()));
        }
        assert_eq!((lines[0].as_str(), lines[1].as_str(), lines[3].as_str()), ("one", "two", "end"));
        assert!(lines.len() == 4 && lines[2].len() <= LINE_LIMIT + 2);
    }

    #[test]
    fn a_failure_keeps_its_last_lines_and_the_port() {
        let mut tail = Tail { lines: VecDeque::new(), taken: None };
        for number in 0..100 {
            tail.add(&format!("line {number}"));
        }
        tail.add("Bind for 0.0.0.0:8000 failed: port is already allocated");
        tail.add("ERROR: Encountered errors while bringing up the project.");
        assert_eq!(tail.lines.len(), LAST_LINES);
        assert_eq!(tail.taken.and_then(|taken| taken.port).map(crate::model::Port::get), Some(8000));
    }
}
