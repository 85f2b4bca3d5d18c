//! What was launched: its state, its output, its end.

use std::ops::ControlFlow;

use super::bundled::ProjectKind;
use super::instance::{HELD, Instance};
use super::launch::{LAUNCH_RECORD, Runtime, compose_failed};
use super::observe::connect;
use super::order::ProjectOrder;
use super::project::LoadedProject;
use super::{bundled, native, verify};
use crate::disk::{ProjectLock, ProjectState};
use crate::docker::{self, ComposeFailure, ComposeTool, Engine, ServiceStatus};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Port, Project};
use crate::words::Message;
use crate::words::deploy::DeployWords;

/// A service that was launched, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceState {
    /// The container or process.
    pub name: String,
    /// What runs it.
    pub runtime: &'static str,
    /// The runtime's word: `running`, `exited`, `restarting`, …
    pub state: String,
    /// `healthy`, `unhealthy`, `starting`; `None` where nothing watches its health.
    pub health: Option<String>,
    /// The container's id or the process id.
    pub id: Option<String>,
    /// Its ports on this host.
    pub ports: Vec<Port>,
    /// Where it answers.
    pub urls: Vec<String>,
}

/// What `down` stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The names of what was stopped and removed.
    pub names: Vec<String>,
}

/// Tells how what was launched for the project is doing; empty when nothing was.
///
/// # Errors
/// `Missing` when an engine that should be asked does not answer.
pub async fn status(
    order: &ProjectOrder,
    loaded: &LoadedProject,
    state: Option<&ProjectState>,
) -> Result<Vec<ServiceState>> {
    let project = &loaded.project;
    let mut services: Vec<ServiceState> = state
        .and_then(|state| native::record(state.folder()))
        .map(|record| process(&record, loaded))
        .into_iter()
        .collect();
    match connect(order).await {
        Ok(engine) => {
            let found = containers(&engine, loaded).await?;
            services.extend(found.iter().map(|status| container(status, loaded)));
        }
        Err(error) if services.is_empty() && loaded.kind == ProjectKind::Compose => return Err(error),
        Err(_) => {}
    }
    if let Some(service) = services.first_mut().filter(|_| loaded.kind == ProjectKind::Bundled) {
        check_health(service, project).await;
    }
    Ok(services)
}

/// Names something that was launched for the project and runs.
pub(super) async fn running(order: &ProjectOrder, loaded: &LoadedProject, state: &ProjectState) -> Option<String> {
    let services = status(order, loaded, Some(state)).await.ok()?;
    services.into_iter().find(|service| service.state == "running").map(|service| service.name)
}

pub(super) async fn containers(engine: &Engine, loaded: &LoadedProject) -> Result<Vec<ServiceStatus>> {
    match loaded.kind {
        ProjectKind::Bundled => engine.status(Some(&loaded.project.directory)).await,
        ProjectKind::Compose => engine.compose_status(&loaded.project.name, &loaded.project.directory).await,
    }
}

fn container(status: &ServiceStatus, loaded: &LoadedProject) -> ServiceState {
    let mut ports: Vec<Port> = status.ports.iter().map(|published| published.host_port).collect();
    ports.sort_unstable();
    ports.dedup();
    let urls = verify::urls(&loaded.project, loaded.kind);
    let of_service = |name: &str| match &status.service {
        Some(service) => name == service || name.starts_with(&format!("{service}:")),
        None => true,
    };
    ServiceState {
        name: status.name.clone(),
        runtime: status.runtime,
        state: status.state.clone(),
        health: status.health.clone(),
        id: Some(status.id.clone()),
        ports,
        urls: urls.into_iter().filter(|url| of_service(&url.name)).map(|url| url.url).collect(),
    }
}

fn process(record: &native::Record, loaded: &LoadedProject) -> ServiceState {
    let state = match (record.serves(), record.alive()) {
        (true, _) => "running",
        (false, true) => "restarting",
        (false, false) => "exited",
    };
    let ports = loaded.project.mappings.iter().filter_map(|mapping| match mapping.published {
        crate::model::PublishedPort::Fixed(range) => Some(range.ports()),
        _ => None,
    });
    ServiceState {
        name: record.spec.name.clone(),
        runtime: Runtime::Native.name(),
        state: state.to_owned(),
        health: None,
        id: Some(record.server.as_ref().unwrap_or(&record.supervisor).pid.to_string()),
        ports: ports.flatten().collect(),
        urls: verify::urls(&loaded.project, loaded.kind).into_iter().map(|url| url.url).collect(),
    }
}

/// Asks the bundled server itself, which knows more than the engine.
async fn check_health(service: &mut ServiceState, project: &Project) {
    if service.state == "running" {
        let healthy = verify::answers(project, Some(&bundled::instance(&project.directory))).await;
        service.health = Some(if healthy { "healthy" } else { "unhealthy" }.to_owned());
    }
}

/// Gives the output of what was launched to `sink`, from `tail` lines before its end; with `follow` until it stops or
/// `sink` breaks.
///
/// # Errors
/// `Missing` when nothing was launched or the engine does not answer.
pub async fn logs(
    order: &ProjectOrder,
    loaded: &LoadedProject,
    state: Option<&ProjectState>,
    wishes: &LogWishes,
    sink: &mut (dyn FnMut(&str, &[u8]) -> ControlFlow<()> + Send),
) -> Result<()> {
    if let Some(state) = state
        && let Some(record) = native::record(state.folder())
    {
        let name = record.spec.name;
        return native::logs(state.folder(), wishes.follow, wishes.tail, &mut |bytes| sink(&name, bytes)).await;
    }
    let engine = connect(order).await?;
    let all = containers(&engine, loaded).await?;
    let wanted: Vec<&ServiceStatus> = all
        .iter()
        .filter(|status| match &wishes.service {
            Some(name) => status.service.as_ref() == Some(name) || status.name == *name,
            None => true,
        })
        .collect();
    if wanted.is_empty() {
        let words = DeployWords::NothingLaunched { directory: loaded.project.directory.display().to_string() };
        return Err(Error::new(ErrorKind::Missing, words).hint(DeployWords::HintNothingLaunched));
    }
    let follow = wishes.follow && wanted.len() == 1;
    for status in wanted {
        engine.logs(&status.id, follow, wishes.tail, &mut |bytes| sink(&status.name, bytes)).await?;
    }
    Ok(())
}

/// Which output is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogWishes {
    /// The service; `None` for all.
    pub service: Option<String>,
    /// Whether to wait for more; only of one service.
    pub follow: bool,
    /// How many of the last lines.
    pub tail: usize,
}

/// Stops and removes what was launched for the project; named volumes and files stay.
///
/// # Errors
/// `Missing` when an engine that should be asked does not answer; `Partial` when stopping fails midway.
pub async fn down(
    order: &ProjectOrder,
    loaded: &LoadedProject,
    state: &ProjectState,
    lock: &ProjectLock,
    note: &mut dyn FnMut(Message),
) -> Result<Stopped> {
    let mut names = Vec::new();
    if let Some(record) = native::record(state.folder()) {
        note(DeployWords::StepStop.into());
        native::stop(state.folder()).await?;
        names.push(record.spec.name);
    }
    let engine = match (connect(order).await, loaded.kind) {
        (Ok(engine), _) => engine,
        (Err(_), ProjectKind::Bundled) => {
            state.forget_json(lock, LAUNCH_RECORD)?;
            return Ok(Stopped { names });
        }
        (Err(error), ProjectKind::Compose) => return Err(error),
    };
    let found = containers(&engine, loaded).await?;
    if !found.is_empty() {
        note(DeployWords::StepStop.into());
    }
    match loaded.kind {
        ProjectKind::Bundled => {
            for status in &found {
                engine.remove(&status.name).await.map_err(|error| error.with_kind(ErrorKind::Partial))?;
                names.push(status.name.clone());
            }
        }
        ProjectKind::Compose if !found.is_empty() => {
            let lookup = |name: &str| order.environment.get(name).cloned();
            let tool = ComposeTool::find(&lookup, &loaded.project.directory).await?;
            let address = engine.identity().address.clone();
            match tool.down(&invocation(order, loaded, &loaded.project), &address, &|_| {}).await {
                Ok(()) => {}
                Err(ComposeFailure::Failed { last_lines, .. }) => return Err(compose_failed(&tool, &last_lines)),
                Err(ComposeFailure::Other(error)) => return Err(error.with_kind(ErrorKind::Partial)),
                Err(ComposeFailure::PortTaken(_)) => return Err(compose_failed(&tool, &[])),
            }
            names.push(loaded.project.name.clone());
        }
        ProjectKind::Compose => {}
    }
    state.forget_json(lock, LAUNCH_RECORD)?;
    state.forget_json(lock, HELD)?;
    Ok(Stopped { names })
}

/// How compose is called for a project.
pub(super) fn invocation(order: &ProjectOrder, loaded: &LoadedProject, project: &Project) -> docker::ComposeProject {
    let copies = loaded.instance.as_ref().map(Instance::files);
    let (files, env_file) = copies.unwrap_or_else(|| (order.files.clone(), order.env_file.clone()));
    docker::ComposeProject {
        directory: project.directory.clone(),
        files,
        env_file,
        name: project.name.clone(),
        profiles: order.profiles.clone(),
    }
}
