//! Watching our containers: whether they became healthy, what they say, which ones there are.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::query_parameters::LogsOptions;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::LABEL_DIRECTORY;
use super::container::no_container;
use super::engine::{CALL_DEADLINE, Engine, EngineKind};
use super::failure::{Failure, clip};
use super::ports::{name, published_now};
use super::reply::{Inspected, Listed};
use crate::error::Result;
use crate::model::Published;

/// Between two looks at a container that starts.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How many lines of its log an unhealthy container shows.
const LAST_LINES: usize = 20;

/// The most of a log that is kept for its last lines.
const LAST_BYTES: usize = 64 * 1024;

/// Asks the service itself whether it is healthy.
pub type Probe<'a> = &'a (dyn Fn() -> BoxFuture<'static, bool> + Sync);

/// Whether a container became healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    Healthy,
    /// It did not.
    Unhealthy(Unhealthy),
}

/// A container that did not become healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unhealthy {
    /// What it does: `exited`, `restarting`, `unhealthy`, `starting` (the time ran out), `gone`.
    pub state: String,
    /// The exit code of its last end; `None` while it runs (again).
    pub exit_code: Option<i64>,
    /// Its last 20 lines, then what the last health check printed.
    pub last_lines: Vec<String>,
}

/// A container of ours, or of a compose project, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// The container's name.
    pub name: String,
    /// The compose service; `None` for a container of ours.
    pub service: Option<String>,
    /// `docker` or `podman`.
    pub runtime: &'static str,
    /// The engine's word: `running`, `exited`, `restarting`, `created`, `paused`, …
    pub state: String,
    /// The engine's word, where there is a health check: `starting`, `healthy`, `unhealthy`.
    pub health: Option<String>,
    /// The exit code of its last end; `None` while it runs.
    pub exit_code: Option<i64>,
    /// The full id.
    pub id: String,
    /// The published ports; none while it does not run.
    pub ports: Vec<Published>,
    /// The image's name.
    pub image: String,
    /// The folder of the deployment, for a container of ours.
    pub directory: Option<PathBuf>,
}

impl Engine {
    /// Waits until a container is healthy, for at most `deadline`; an end, a restart or a failed check ends it sooner.
    ///
    /// A `probe` that passes is enough while the engine has no verdict of its own: without a health check, with one
    /// that comes late (engines below 25 wait a whole interval for the first), or never (Podman without systemd). It
    /// must tell this service from another one on the same port.
    pub async fn wait_healthy(&self, id: &str, deadline: Duration, probe: Option<Probe<'_>>) -> Result<Verdict> {
        let end = Instant::now() + deadline;
        let mut restarts_before = None;
        loop {
            let Some(details) = self.find(id).await? else {
                let gone = Unhealthy { state: "gone".to_owned(), exit_code: None, last_lines: Vec::new() };
                return Ok(Verdict::Unhealthy(gone));
            };
            let restarts = details.restart_count.unwrap_or(0);
            let look = judge(&details, *restarts_before.get_or_insert(restarts));
            let state = match look {
                Look::Healthy => return Ok(Verdict::Healthy),
                Look::Failed(state) => state,
                Look::NoVerdict if probe.is_none() => return Ok(Verdict::Healthy),
                _ if probed(probe, end).await => return Ok(Verdict::Healthy),
                _ if Instant::now() >= end => "starting".to_owned(),
                _ => {
                    tokio::time::sleep(LOOK_EVERY).await;
                    continue;
                }
            };
            let ended = details.state.as_ref().filter(|now| now.restarting == Some(true) || now.running != Some(true));
            let exit_code = ended.and_then(|state| state.exit_code);
            let mut last_lines = self.last_lines(id).await;
            last_lines.extend(last_check(&details));
            return Ok(Verdict::Unhealthy(Unhealthy { state, exit_code, last_lines }));
        }
    }

    /// Returns the last lines of a container's log; none when they cannot be had.
    pub async fn last_lines(&self, id: &str) -> Vec<String> {
        let mut text = Vec::new();
        let mut keep = |bytes: &[u8]| {
            text.extend_from_slice(bytes);
            let surplus = text.len().saturating_sub(LAST_BYTES);
            text.drain(..surplus);
            ControlFlow::Continue(())
        };
        let read = self.stream_logs(id, false, LAST_LINES, &mut keep);
        let _ = tokio::time::timeout(CALL_DEADLINE, read).await;
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(LAST_LINES)).map(|line| clip(line)).collect()
    }

    /// Gives the log of a container, ours or not, to `sink`, piece by piece, from `tail` lines before its end; with `follow`
    /// until the container stops or `sink` breaks.
    pub async fn logs(
        &self,
        name: &str,
        follow: bool,
        tail: usize,
        sink: &mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send),
    ) -> Result<()> {
        let id = self.find(name).await?.and_then(|details| details.id).ok_or_else(|| no_container(name))?;
        self.stream_logs(&id, follow, tail, sink).await
    }

    async fn stream_logs(
        &self,
        id: &str,
        follow: bool,
        tail: usize,
        sink: &mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send),
    ) -> Result<()> {
        const CALL: &str = "GET /containers/{id}/logs";
        let options =
            LogsOptions { follow, stdout: true, stderr: true, tail: tail.to_string(), ..LogsOptions::default() };
        let mut pieces = self.api.logs(id, Some(options));
        loop {
            let piece = if follow {
                pieces.next().await
            } else {
                let next = tokio::time::timeout(CALL_DEADLINE, pieces.next()).await;
                next.map_err(|_| Failure::Late(CALL, CALL_DEADLINE.as_secs()))?
            };
            match piece {
                None => return Ok(()),
                Some(Err(raw)) => return Err(Failure::Bad(CALL, raw).into()),
                Some(Ok(output)) => {
                    if sink(output.as_ref()).is_break() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Returns our containers, of one deployment or of all; the parked ones too.
    pub async fn status(&self, directory: Option<&Path>) -> Result<Vec<ServiceStatus>> {
        let filter = match directory {
            Some(directory) => format!("{LABEL_DIRECTORY}={}", directory.display()),
            None => LABEL_DIRECTORY.to_owned(),
        };
        self.labelled(&[filter]).await
    }

    /// Returns the containers of a compose project in `directory`.
    pub async fn compose_status(&self, project: &str, directory: &Path) -> Result<Vec<ServiceStatus>> {
        let project = format!("com.docker.compose.project={project}");
        let place = format!("com.docker.compose.project.working_dir={}", directory.display());
        self.labelled(&[project, place]).await
    }

    async fn labelled(&self, labels: &[String]) -> Result<Vec<ServiceStatus>> {
        let listed = self.list(Some(labels)).await?;
        let mut found = Vec::with_capacity(listed.len());
        for summary in listed {
            let id = summary.id.clone().unwrap_or_default();
            match self.inspect(&id).await {
                Ok(details) => found.push(status(&summary, &details, self.identity().kind)),
                Err(failure) if failure.is_not_found() => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        found.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(found)
    }
}

async fn probed(probe: Option<Probe<'_>>, end: Instant) -> bool {
    match probe {
        Some(probe) => tokio::time::timeout_at(end, probe()).await.unwrap_or(false),
        None => false,
    }
}

fn status(summary: &Listed, details: &Inspected, engine: EngineKind) -> ServiceStatus {
    let label = |name: &str| summary.labels.as_ref().and_then(|labels| labels.get(name)).cloned();
    let state = details.state.as_ref();
    ServiceStatus {
        name: name(summary),
        service: label("com.docker.compose.service"),
        runtime: engine.name(),
        state: state.and_then(|state| state.status.clone()).unwrap_or_default(),
        health: health(details).filter(|health| !matches!(*health, "" | "none")).map(str::to_owned),
        exit_code: state.filter(|state| state.running != Some(true)).and_then(|state| state.exit_code),
        id: summary.id.clone().unwrap_or_default(),
        ports: published_now(summary.ports.as_deref().unwrap_or_default()),
        image: summary.image.clone().unwrap_or_default(),
        directory: label(LABEL_DIRECTORY).map(PathBuf::from),
    }
}

fn health(details: &Inspected) -> Option<&str> {
    details.state.as_ref()?.health.as_ref()?.status.as_deref()
}

/// What the last health check printed.
fn last_check(details: &Inspected) -> Option<String> {
    let log = details.state.as_ref()?.health.as_ref()?.log.as_ref()?;
    let text = clip(log.last()?.output.as_deref()?);
    (!text.is_empty()).then_some(text)
}

/// One look at a container.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Healthy,
    Starting,
    NoVerdict,
    Failed(String),
}

/// Judges a container. One that restarts reads as running too, so restarts are looked at first: `restarts_before` is
/// their number at the first look.
fn judge(details: &Inspected, restarts_before: i64) -> Look {
    let Some(state) = details.state.as_ref() else { return Look::Starting };
    if state.restarting == Some(true) || details.restart_count.unwrap_or(0) > restarts_before {
        return Look::Failed("restarting".to_owned());
    }
    if state.running != Some(true) {
        return Look::Failed(state.status.clone().unwrap_or_else(|| "exited".to_owned()));
    }
    match health(details) {
        Some("healthy") => Look::Healthy,
        Some("unhealthy") => Look::Failed("unhealthy".to_owned()),
        Some("starting") => Look::Starting,
        _ => Look::NoVerdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_restarts_is_not_taken_for_running() {
        let look = |json: &str| judge(&serde_json::from_str(json).expect("an inspection"), 1);
        let failed = |state: &str| Look::Failed(state.to_owned());
        assert_eq!(look(r#"{"State":{"Running":true,"Restarting":true}}"#), failed("restarting"));
        assert_eq!(
            look(r#"{"RestartCount":2,"State":{"Running":true,"Health":{"Status":"healthy"}}}"#),
            failed("restarting")
        );
        assert_eq!(look(r#"{"RestartCount":1,"State":{"Running":true,"Health":{"Status":"healthy"}}}"#), Look::Healthy);
        assert_eq!(look(r#"{"State":{"Running":false,"Status":"exited"}}"#), failed("exited"));
        assert_eq!(look(r#"{"State":{"Running":true,"Health":{"Status":"unhealthy"}}}"#), failed("unhealthy"));
        assert_eq!(look(r#"{"State":{"Running":true,"Health":{"Status":"starting"}}}"#), Look::Starting);
        assert_eq!(look(r#"{"State":{"Running":true}}"#), Look::NoVerdict);
        assert_eq!(look("{}"), Look::Starting);
    }
}
