//! The bundled server as a supervised process of this user, for machines where no engine answers.
//!
//! The supervisor is this executable in a session of its own: it survives the terminal, starts the server again when
//! it ends by itself, keeps its output in a log of bounded size, and passes a SIGTERM on.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::log::Log;
use crate::error::{Error, ErrorKind, Result};
use crate::host::{self, ProcessMark};
use crate::words::deploy::DeployWords;

/// The name of the record in the state folder of the project.
const RECORD: &str = "native.json";

/// The pause before a server that ended by itself is started again; doubled up to the maximum.
const RESTART_PAUSE_MIN: Duration = Duration::from_millis(500);

/// The longest pause: an operator who mends the cause does not wait longer.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(30);

/// A server that ran for this long had started well: the pause begins anew.
const STARTED_WELL: Duration = Duration::from_mins(1);

/// How long the server may take to end: its own drain of 30 s, and a little.
const STOP_PATIENCE: Duration = Duration::from_secs(35);

/// How long the supervisor may take beyond its server to end.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(5);

/// How long the supervisor may take to start the server: it only starts two processes.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// How many of the last lines an error shows.
const LAST_LINES: usize = 20;

/// How often a followed log is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What the supervisor runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spec {
    /// The service's name.
    pub(super) name: String,
    /// The executable.
    pub(super) program: PathBuf,
    /// Its arguments; no secret among them.
    pub(super) arguments: Vec<String>,
    /// Variables added to its environment; no secret among them, those stay in the `.env` file.
    pub(super) environment: Vec<(String, String)>,
    /// Its working directory.
    pub(super) directory: PathBuf,
    /// A digest of everything that decides how it runs, the contents of its files among it.
    pub(super) digest: String,
}

/// A supervisor that was started, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The supervisor.
    pub(super) supervisor: ProcessMark,
    /// The server, while it runs.
    pub(super) server: Option<ProcessMark>,
    /// How often the server was started again.
    pub(super) restarts: u32,
    /// The exit code of the last server that ended by itself.
    pub(super) last_exit: Option<i32>,
    /// What it runs.
    pub(super) spec: Spec,
}

impl Record {
    /// Tells whether the supervisor lives: the same process, not merely the same number.
    pub(super) fn alive(&self) -> bool {
        self.supervisor.is_alive()
    }

    /// Tells whether the server lives; it outlives a supervisor that was killed.
    pub(super) fn serves(&self) -> bool {
        self.server.as_ref().is_some_and(ProcessMark::is_alive)
    }
}

/// Returns what is remembered of a supervisor of this project, alive or not.
pub(super) fn record(folder: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(folder.join(RECORD)).ok()?).ok()
}

/// Keeps the record, whole or not at all; the folder is the user's alone.
fn keep(folder: &Path, record: &Record) -> Result<()> {
    let staged = folder.join("native.json.new");
    let written = serde_json::to_vec(record)
        .map_err(std::io::Error::from)
        .and_then(|bytes| std::fs::write(&staged, bytes))
        .and_then(|()| crate::disk::rename(&staged, &folder.join(RECORD)));
    written.map_err(|error| failed(&error))
}

fn forget(folder: &Path) -> Result<()> {
    match std::fs::remove_file(folder.join(RECORD)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&error)),
        _ => Ok(()),
    }
}

fn failed(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Partial, DeployWords::SpawnFailed { why: error.to_string() })
}

/// Returns the process ids of the project's own native service.
pub(super) fn own_pids(folder: &Path) -> Vec<u32> {
    let Some(record) = record(folder) else { return Vec::new() };
    let marks = [Some(record.supervisor), record.server].into_iter().flatten();
    marks.filter(ProcessMark::is_alive).map(|mark| mark.pid).collect()
}

/// Starts the service, which must not run.
pub(super) async fn start(folder: &Path, spec: &Spec) -> Result<Record> {
    forget(folder)?;
    let spec_file = folder.join("native-spec.json");
    let written = serde_json::to_vec(spec).map_err(std::io::Error::from);
    written.and_then(|bytes| std::fs::write(&spec_file, bytes)).map_err(|error| failed(&error))?;
    let log = Log::in_folder(folder);
    let mut command = std::process::Command::new(&spec.program);
    command.arg("supervise").arg("--state").arg(folder).arg("--spec").arg(spec_file);
    command.current_dir(&spec.directory).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(log.open().map_err(|error| failed(&error))?);
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let deadline = Instant::now() + START_PATIENCE;
    while Instant::now() < deadline {
        if let Some(record) = record(folder) {
            return Ok(record);
        }
        if matches!(child.try_wait(), Ok(Some(_))) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let path = log.path().display().to_string();
    Err(Error::new(ErrorKind::Partial, DeployWords::SupervisorSilent { path }).hint(DeployWords::HintUnhealthy))
}

/// Stops the service; returns what was remembered of it.
pub(super) async fn stop(folder: &Path) -> Result<Option<Record>> {
    let Some(record) = record(folder) else { return Ok(None) };
    host::terminate(&record.supervisor)?;
    wait_for_end(&record.supervisor, STOP_PATIENCE + SUPERVISOR_PATIENCE).await;
    host::kill(&record.supervisor)?;
    // A supervisor that was killed leaves its server behind.
    if let Some(server) = record.server.as_ref().filter(|server| server.is_alive()) {
        host::terminate(server)?;
        wait_for_end(server, STOP_PATIENCE).await;
        host::kill(server)?;
    }
    forget(folder)?;
    Ok(Some(record))
}

async fn wait_for_end(mark: &ProcessMark, patience: Duration) {
    let deadline = Instant::now() + patience;
    while mark.is_alive() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Gives the log of the service to `sink`; with `follow` until the service is gone or `sink` breaks.
pub(super) async fn logs(
    folder: &Path,
    follow: bool,
    tail: usize,
    sink: &mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send),
) -> Result<()> {
    let log = Log::in_folder(folder);
    let missing = |error: std::io::Error| failed(&error).with_kind(ErrorKind::Missing);
    let mut offset = std::fs::metadata(log.path()).map_err(missing)?.len();
    if sink(&log.tail(tail).map_err(missing)?).is_break() {
        return Ok(());
    }
    while follow && record(folder).is_some_and(|record| record.alive()) {
        tokio::time::sleep(FOLLOW_EVERY).await;
        let (bytes, next) = log.since(offset).map_err(missing)?;
        offset = next;
        if !bytes.is_empty() && sink(&bytes).is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the last lines of the log, for an error to show.
pub(super) fn last_lines(folder: &Path) -> Vec<String> {
    let bytes = Log::in_folder(folder).tail(LAST_LINES).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}

/// Supervises one service until a signal ends it: the body of the hidden verb `supervise`.
///
/// # Errors
/// `Missing` when the spec cannot be read; `Partial` when the server cannot be started at all.
pub async fn supervise(folder: &Path, spec_file: &Path, stop: impl Future<Output = ()>) -> Result<()> {
    host::detach();
    let spec = std::fs::read(spec_file).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    let spec: Spec = spec.map_err(|error| failed(&error).with_kind(ErrorKind::Missing))?;
    let log = Log::in_folder(folder);
    let mut record = Record { supervisor: ProcessMark::own(), server: None, restarts: 0, last_exit: None, spec };
    let mut pause = RESTART_PAUSE_MIN;
    let mut stop = std::pin::pin!(stop);
    loop {
        let started = Instant::now();
        let mut child = spawn_server(&record.spec)?;
        record.server = child.id().map(ProcessMark::of);
        keep(folder, &record)?;
        let output = tokio::spawn(keep_output(child.stderr.take(), log.clone()));
        tokio::select! {
            status = child.wait() => record.last_exit = status.ok().and_then(|status| status.code()),
            () = &mut stop => {
                end(&mut child, record.server.as_ref()).await;
                // The task ends with the output, and a panic in it must not keep the service from ending.
                let _ = output.await;
                return forget(folder);
            }
        }
        record.server = None;
        record.restarts += 1;
        keep(folder, &record)?;
        if started.elapsed() >= STARTED_WELL {
            pause = RESTART_PAUSE_MIN;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = &mut stop => return forget(folder),
        }
        pause = (pause * 2).min(RESTART_PAUSE_MAX);
    }
}

fn spawn_server(spec: &Spec) -> Result<Child> {
    let mut command = Command::new(&spec.program);
    command.args(&spec.arguments).envs(spec.environment.iter().cloned()).current_dir(&spec.directory);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().map_err(|error| Error::new(ErrorKind::Missing, DeployWords::SpawnFailed { why: error.to_string() }))
}

/// Asks the server to end, and ends it when it does not.
async fn end(child: &mut Child, mark: Option<&ProcessMark>) {
    if let Some(mark) = mark {
        // A server that is gone already needs no signal.
        let _ = host::terminate(mark);
    }
    if tokio::time::timeout(STOP_PATIENCE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Copies the output of the server into the log, line by line, until it ends.
async fn keep_output(output: Option<tokio::process::ChildStderr>, log: Log) {
    let Some(output) = output else { return };
    let mut lines = BufReader::new(output).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        // A full disk must not stop the server: the line is lost, the service goes on.
        let _ = log.append(&line);
    }
}
