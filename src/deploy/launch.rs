//! Starts what the plan prepared: the bundled server as a container or as a process, a compose project by compose.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::bundled::ProjectKind;
use super::native::{self, Spec};
use super::order::{Order, RuntimeChoice};
use super::{Audience, Planned, Run, bundled, service, verify};
use crate::docker::{
    self, ComposeFailure, ComposeTool, DeployError, Deployed, Engine, EngineKind, Executable, FILES_FOLDER, PROGRAM,
    ServiceFile, ServiceSpec, ServiceStatus, VolumeMount,
};
use crate::error::{Error, ErrorKind, Result};
use crate::host;
use crate::model::{Endpoint, Mapping, Port, PortRange, ProbeOutcome, Project, Published, PublishedPort};
use crate::words::Message;
use crate::words::deploy::DeployWords;

/// How long a native server may take to bind its port or end: it reads two files and opens a small database.
const BIND_PATIENCE: Duration = Duration::from_secs(10);

/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// So many ends of a native server in a row mean that it does not start; one may be an accident.
const RESTARTS_MAX: u32 = 2;

/// What a server that is launched is told: a join code in a log would be a secret where nobody looks for one.
const NO_FIRST_TOKEN: &str = "--no-first-token";

/// The name of the `.env` file in the container.
const CONTAINER_ENV: &str = "env";

/// What runs a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// A supervised process.
    Native,
}

impl Runtime {
    /// Returns the stable name used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Native => "native",
        }
    }

    fn of(engine: &Engine) -> Self {
        match engine.identity().kind {
            EngineKind::Docker => Self::Docker,
            EngineKind::Podman => Self::Podman,
        }
    }
}

/// What a run will launch, and with what.
#[derive(Debug)]
pub(super) enum Target {
    /// The bundled server as a container.
    Container(Engine),
    /// The bundled server as a process; with the engine that may still run it as a container.
    Native(Option<Engine>),
    /// A compose project.
    Compose(Engine, ComposeTool),
}

impl Target {
    pub(super) fn runtime(&self) -> Runtime {
        match self {
            Self::Container(engine) | Self::Compose(engine, _) => Runtime::of(engine),
            Self::Native(_) => Runtime::Native,
        }
    }
}

/// Something that runs.
#[derive(Debug)]
pub struct Launched {
    /// The container, the compose project or the service.
    pub name: String,
    /// What runs it.
    pub runtime: Runtime,
    /// The container's id or the process id; `None` for a compose project of several containers.
    pub id: Option<String>,
    /// The image, where one image runs.
    pub image: Option<String>,
    /// What was done: `unchanged`, `started`, `created`, `recreated`.
    pub state: String,
    /// The token by which our own server is told from another one on the same port.
    pub(super) instance: Option<String>,
    pub(super) handle: Handle,
}

/// How to reach what runs.
#[derive(Debug)]
pub(super) enum Handle {
    Native { folder: PathBuf, restarts_before: u32 },
    Container { engine: Engine, deployed: Deployed },
    Compose { engine: Engine, project: String, directory: PathBuf },
}

/// Why a launch failed.
#[derive(Debug)]
pub(super) enum LaunchFailure {
    /// A port was taken between plan and start; a new plan mends it.
    PortTaken(Port),
    /// A file changed between plan and write; nothing was changed, and a new plan mends it.
    Stale(Error),
    /// Anything else.
    Other(Error),
}

impl LaunchFailure {
    /// Reads the failure of a write: only a stale plan is `Busy` there.
    pub(super) fn of_apply(error: Error) -> Self {
        if error.kind() == ErrorKind::Busy { Self::Stale(error) } else { Self::Other(error) }
    }
}

impl From<Error> for LaunchFailure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// What is remembered of a launch, so that `undo` stops what the run started and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LaunchRecord {
    /// The change of files of the same run.
    pub(super) undo_id: Option<String>,
    /// What runs it.
    pub(super) runtime: Runtime,
    /// The name of what was started.
    pub(super) name: String,
}

/// The name of the record in the state folder.
pub(super) const LAUNCH_RECORD: &str = "launched";

/// Decides what launches the project; `None` when nothing is to be launched. `natively` says that it runs as a process
/// already, which `auto` does not change.
///
/// # Errors
/// `Missing` when the wanted engine or compose is not there; `Usage` for a compose project with `--runtime native`.
pub(super) async fn target(
    order: &Order,
    planned: &Planned,
    engine: Result<Engine>,
    natively: bool,
    audience: &mut dyn Audience,
) -> Result<Option<Target>> {
    if !order.launch {
        return Ok(None);
    }
    let no_engine = |error: Error| {
        let why = Box::new(error.message().clone());
        let shown = Error::new(ErrorKind::Missing, DeployWords::NoEngine { why });
        match error.way_out() {
            Some(hint) => shown.hint(hint.clone()),
            None => shown.hint(DeployWords::HintNoEngine),
        }
    };
    match (planned.loaded.kind, order.project.runtime) {
        (_, RuntimeChoice::None) => Ok(None),
        (ProjectKind::Bundled, RuntimeChoice::Native) => Ok(Some(Target::Native(engine.ok()))),
        (ProjectKind::Bundled, RuntimeChoice::Docker | RuntimeChoice::Podman) => {
            Ok(Some(Target::Container(engine.map_err(no_engine)?)))
        }
        (ProjectKind::Bundled, RuntimeChoice::Auto) if natively => {
            if engine.is_ok() {
                audience.note(DeployWords::NativeStays.into());
            }
            Ok(Some(Target::Native(engine.ok())))
        }
        (ProjectKind::Bundled, RuntimeChoice::Auto) => match engine {
            Ok(engine) => Ok(Some(Target::Container(engine))),
            Err(error) => {
                let why = Box::new(error.message().clone());
                audience.note(DeployWords::NativeInstead { why }.into());
                Ok(Some(Target::Native(None)))
            }
        },
        (ProjectKind::Compose, RuntimeChoice::Native) => {
            let error = Error::new(ErrorKind::Usage, DeployWords::NativeOnlyBundled);
            Err(error.hint(DeployWords::HintNativeOnlyBundled))
        }
        (ProjectKind::Compose, _) => {
            let engine = engine.map_err(no_engine)?;
            let lookup = |name: &str| order.project.environment.get(name).cloned();
            let tool = ComposeTool::find(&lookup, &planned.loaded.project.directory).await?;
            Ok(Some(Target::Compose(engine, tool)))
        }
    }
}

/// Says what would launch the project. Compose is not looked for, because its old form takes half a second to start.
pub(super) async fn foreseen(
    order: &Order,
    planned: &Planned,
    engine: Result<Engine>,
    natively: bool,
    audience: &mut dyn Audience,
) -> Option<Runtime> {
    let by_compose = planned.loaded.kind == ProjectKind::Compose
        && !matches!(order.project.runtime, RuntimeChoice::None | RuntimeChoice::Native);
    if order.launch && by_compose {
        return engine.ok().as_ref().map(Runtime::of);
    }
    let target = target(order, planned, engine, natively, audience).await;
    target.ok().flatten().map(|target| target.runtime())
}

/// Remembers what this run started, so that its undo stops it. What was merely started again stays with the run whose
/// files it runs with.
pub(super) fn remember(run: &Run<'_>, planned: &Planned, runtime: Runtime, undo_id: Option<&str>) -> Result<()> {
    let name = match planned.loaded.kind {
        ProjectKind::Bundled => bundled::service_name(&planned.after),
        ProjectKind::Compose => planned.after.name.clone(),
    };
    let before: Option<LaunchRecord> = run.state.load_json(LAUNCH_RECORD)?;
    let undo_id = undo_id.map(str::to_owned).or_else(|| before.and_then(|record| record.undo_id));
    run.state.save_json(run.lock, LAUNCH_RECORD, &LaunchRecord { undo_id, runtime, name })
}

/// Starts the native service again that a run stopped, when that run then changed nothing.
pub(super) async fn bring_back(run: &Run<'_>) -> Result<()> {
    let replaced = run.replaced.lock().ok().and_then(|mut replaced| replaced.take());
    if let Some(spec) = replaced {
        let started = native::start(run.state.folder(), &spec).await;
        started.map_err(|error| error.with_kind(ErrorKind::Partial).hint(DeployWords::HintContinue))?;
    }
    Ok(())
}

/// Launches the project.
pub(super) async fn launch(
    run: &Run<'_>,
    planned: &Planned,
    target: Target,
    audience: &mut dyn Audience,
) -> Result<Launched, LaunchFailure> {
    match target {
        Target::Container(engine) => container(run, planned, engine, audience).await,
        Target::Native(engine) => process(run, planned, engine, audience).await,
        Target::Compose(engine, tool) => compose(run, planned, engine, &tool, audience).await,
    }
}

/// Stops the native service to put another one in its place, and remembers it for [`bring_back`].
async fn stop_native(run: &Run<'_>) -> Result<()> {
    if let Some(record) = native::stop(run.state.folder()).await?
        && let Ok(mut replaced) = run.replaced.lock()
    {
        replaced.get_or_insert(record.spec);
    }
    Ok(())
}

async fn container(
    run: &Run<'_>,
    planned: &Planned,
    engine: Engine,
    audience: &mut dyn Audience,
) -> Result<Launched, LaunchFailure> {
    audience.step(DeployWords::StepImage.into());
    let image = engine.ensure_image(&Executable::this(), &|_, _| {}).await.map_err(partial)?;
    audience.step(DeployWords::StepStart.into());
    let project = &planned.after;
    let spec = container_spec(planned, image)?;
    stop_native(run).await.map_err(partial)?;
    let deployed = match engine.deploy(&spec, &|_| {}).await {
        Ok(deployed) => deployed,
        Err(DeployError::PortTaken(taken)) => {
            let first = project.mappings.iter().find_map(fixed).map_or(Port::MAX, PortRange::first);
            return Err(LaunchFailure::PortTaken(taken.port.unwrap_or(first)));
        }
        Err(DeployError::Other(error)) => return Err(LaunchFailure::Other(partial(error))),
    };
    let state = match deployed.action {
        docker::Action::Unchanged => "unchanged",
        docker::Action::Started => "started",
        docker::Action::Created => "created",
        docker::Action::Recreated => "recreated",
    };
    Ok(Launched {
        name: deployed.name.clone(),
        runtime: Runtime::of(&engine),
        id: Some(deployed.id.clone()),
        image: Some(deployed.image.clone()),
        state: state.to_owned(),
        instance: Some(bundled::instance(&project.directory)),
        handle: Handle::Container { engine, deployed },
    })
}

/// Files may have been written by then: what fails after it is not "nothing changed".
fn partial(error: Error) -> Error {
    error.with_kind(ErrorKind::Partial).hint(DeployWords::HintContinue)
}

fn container_spec(planned: &Planned, image: docker::ImageRef) -> Result<ServiceSpec> {
    let project = &planned.after;
    let name = bundled::service_name(project);
    let file = |name: &str, source: &str| -> Result<ServiceFile> {
        Ok(ServiceFile { name: name.to_owned(), contents: planned.contents(source)? })
    };
    let (config, env_file) = (file(bundled::CONFIG_FILE, bundled::CONFIG_FILE)?, file(CONTAINER_ENV, ".env")?);
    let address = bundled::container_environment(project, &config.contents, &env_file.contents);
    let instance = ("PORTWRIGHT_INSTANCE".to_owned(), bundled::instance(&project.directory));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    Ok(ServiceSpec {
        image,
        command: [words(&["tunnel", "server"]), files_in_container(), words(&[NO_FIRST_TOKEN])].concat(),
        env: address.into_iter().chain([instance]).collect(),
        labels: std::collections::BTreeMap::new(),
        ports: project.mappings.iter().flat_map(published).collect(),
        host_network: false,
        volumes: vec![VolumeMount { name: format!("{name}-data"), target: "/data".to_owned() }],
        files: vec![config, env_file],
        directory: project.directory.clone(),
        instance: None,
        health: words(&[PROGRAM, "tunnel", "health", "--config", &in_container(bundled::CONFIG_FILE)]),
        name,
    })
}

/// Names the files of the server in its container, as its verbs take them.
pub(super) fn files_in_container() -> Vec<String> {
    let (config, env_file) = (in_container(bundled::CONFIG_FILE), in_container(CONTAINER_ENV));
    vec!["--config".to_owned(), config, "--env-file".to_owned(), env_file]
}

fn in_container(name: &str) -> String {
    format!("{FILES_FOLDER}/{name}")
}

fn fixed(mapping: &Mapping) -> Option<PortRange> {
    match mapping.published {
        PublishedPort::Fixed(range) => Some(range),
        PublishedPort::AnyOf(_) | PublishedPort::Random => None,
    }
}

fn published(mapping: &Mapping) -> Vec<Published> {
    let Some(range) = fixed(mapping) else { return Vec::new() };
    let pairs = range.ports().zip(mapping.container.ports());
    pairs
        .map(|(host_port, container_port)| Published {
            host_ip: mapping.host_ip,
            host_port,
            container_port,
            protocol: mapping.protocol,
        })
        .collect()
}

async fn process(
    run: &Run<'_>,
    planned: &Planned,
    engine: Option<Engine>,
    audience: &mut dyn Audience,
) -> Result<Launched, LaunchFailure> {
    audience.step(DeployWords::StepStart.into());
    let spec = native_spec(planned)?;
    let folder = run.state.folder();
    if let Some(engine) = engine {
        let directory = &planned.after.directory;
        for container in engine.status(Some(directory)).await.map_err(partial)? {
            engine.remove(&container.name).await.map_err(partial)?;
        }
    }
    let running = native::record(folder).filter(|record| record.alive() && record.serves());
    let (record, state) = match running {
        Some(record) if record.spec == spec => (record, "unchanged"),
        _ => {
            stop_native(run).await.map_err(partial)?;
            (native::start(folder, &spec).await?, "started")
        }
    };
    let launched = Launched {
        name: spec.name,
        runtime: Runtime::Native,
        id: record.server.as_ref().map(|mark| mark.pid.to_string()),
        image: None,
        state: state.to_owned(),
        instance: Some(bundled::instance(&planned.after.directory)),
        handle: Handle::Native { folder: folder.to_owned(), restarts_before: record.restarts },
    };
    if let Some(port) = lost_by_server(run, planned, &launched).await {
        native::stop(folder).await.map_err(partial)?;
        return Err(LaunchFailure::PortTaken(port));
    }
    Ok(launched)
}

/// Waits until a server that was started serves or has ended; returns that of its own ports which something else has,
/// when it ended.
async fn lost_by_server(run: &Run<'_>, planned: &Planned, launched: &Launched) -> Option<Port> {
    let own: Vec<_> = [bundled::api(&planned.after)?].into_iter().chain(bundled::control(&planned.after)).collect();
    let Handle::Native { folder, restarts_before } = &launched.handle else { return None };
    let deadline = Instant::now() + run.order.wait.min(BIND_PATIENCE);
    while Instant::now() < deadline && !run.interrupt.raised() {
        if verify::answers(&planned.after, launched.instance.as_deref()).await {
            return None;
        }
        if native::record(folder).is_none_or(|record| record.restarts > *restarts_before || !record.alive()) {
            let is_taken = |(mapping, range): &(&Mapping, PortRange)| {
                let endpoints = Endpoint::published(mapping.host_ip, range.first(), mapping.protocol, true);
                endpoints.iter().any(|endpoint| host::probe(endpoint) == ProbeOutcome::InUse)
            };
            return own.into_iter().find(is_taken).map(|(_, range)| range.first());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

fn native_spec(planned: &Planned) -> Result<Spec> {
    let project = &planned.after;
    let program = std::env::current_exe()
        .map_err(|error| Error::new(ErrorKind::Partial, DeployWords::SpawnFailed { why: error.to_string() }))?;
    let path = |name: &str| project.directory.join(name).display().to_string();
    let mut environment = bundled::native_environment(project);
    environment.push(("PORTWRIGHT_INSTANCE".to_owned(), bundled::instance(&project.directory)));
    let contents = [planned.contents(bundled::CONFIG_FILE)?, planned.contents(".env")?].concat();
    let digest = bundled::digest(&[&contents, &executable_mark(&program)]);
    let (config, env_file) = (path(bundled::CONFIG_FILE), path(".env"));
    let words = ["tunnel", "server", "--config", &config, "--env-file", &env_file, NO_FIRST_TOKEN];
    Ok(Spec {
        name: bundled::service_name(project),
        program,
        arguments: words.iter().map(|word| (*word).to_owned()).collect(),
        environment,
        directory: project.directory.clone(),
        digest,
    })
}

/// What changes when the executable is replaced by another version.
fn executable_mark(program: &Path) -> Vec<u8> {
    let Ok(metadata) = std::fs::metadata(program) else { return Vec::new() };
    format!("{}/{:?}", metadata.len(), metadata.modified().ok()).into_bytes()
}

async fn compose(
    run: &Run<'_>,
    planned: &Planned,
    engine: Engine,
    tool: &ComposeTool,
    audience: &mut dyn Audience,
) -> Result<Launched, LaunchFailure> {
    audience.step(DeployWords::StepCompose.into());
    let project = &planned.after;
    let invocation = service::invocation(&run.order.project, &planned.loaded, project);
    let address = engine.identity().address.clone();
    let audience = Mutex::new(audience);
    let show = |line: &str| {
        if let Ok(mut audience) = audience.lock() {
            audience.tool_line(line);
        }
    };
    let fresh = engine.compose_status(&project.name, &project.directory).await.is_ok_and(|all| all.is_empty());
    let up = tool.up(&invocation, &address, &show);
    tokio::select! {
        result = up => match result {
            Ok(()) => {}
            Err(ComposeFailure::PortTaken(taken)) => {
                // What compose created before it met the port would stay behind.
                if fresh && let Err(ComposeFailure::Other(error)) = tool.down(&invocation, &address, &show).await {
                    return Err(LaunchFailure::Other(partial(error)));
                }
                let first = project.mappings.iter().find_map(fixed).map_or(Port::MAX, PortRange::first);
                return Err(LaunchFailure::PortTaken(taken.port.unwrap_or(first)));
            }
            Err(ComposeFailure::Failed { last_lines, .. }) => return Err(compose_failed(tool, &last_lines).into()),
            Err(ComposeFailure::Other(error)) => return Err(LaunchFailure::Other(partial(error))),
        },
        () = run.interrupt.wait() => {
            let list = crate::words::ListOf(vec![DeployWords::StepCompose.into()]);
            let error = Error::new(ErrorKind::Interrupted, DeployWords::InterruptedLaunch { list });
            return Err(LaunchFailure::Other(error.hint(DeployWords::HintContinue)));
        }
    }
    Ok(Launched {
        name: project.name.clone(),
        runtime: Runtime::of(&engine),
        id: None,
        image: None,
        state: "started".to_owned(),
        instance: None,
        handle: Handle::Compose { engine, project: project.name.clone(), directory: project.directory.clone() },
    })
}

pub(super) fn compose_failed(tool: &ComposeTool, last_lines: &[String]) -> Error {
    let words = DeployWords::ComposeFailed { command: tool.command().to_owned() };
    let error = Error::new(ErrorKind::Partial, words).hint(DeployWords::HintContinue);
    if last_lines.is_empty() {
        error
    } else {
        error.context(DeployWords::UnhealthyLog { lines: last_lines.join("\n") })
    }
}

/// Tells whether the engine ignores the published ports of the mapping's service.
pub(super) fn in_host_network(project: &Project, mapping: &Mapping) -> bool {
    project.services.iter().any(|service| service.name == mapping.service && service.host_network)
}

impl Launched {
    /// Says what is wrong with what runs; `None` while nothing is.
    pub(super) async fn failed(&self) -> Option<Message> {
        match &self.handle {
            Handle::Native { folder, restarts_before } => {
                let state_of =
                    |word: &str| DeployWords::ContainerState { name: self.name.clone(), state: word.to_owned() };
                match native::record(folder) {
                    Some(record) if !record.alive() => Some(state_of("exited").into()),
                    Some(record) if record.restarts < restarts_before + RESTARTS_MAX => None,
                    Some(record) => {
                        let code = record.last_exit.map_or_else(|| "?".to_owned(), |code| code.to_string());
                        Some(state_of(&format!("restarting ({code})")).into())
                    }
                    None => Some(state_of("gone").into()),
                }
            }
            Handle::Container { engine, deployed } => {
                let all = engine.status(None).await.ok()?;
                let found = all.iter().find(|status| status.id == deployed.id);
                bad_state(&deployed.name, found)
            }
            Handle::Compose { engine, project, directory } => {
                let all = engine.compose_status(project, directory).await.ok()?;
                if all.is_empty() {
                    return Some(DeployWords::NothingRuns.into());
                }
                all.iter().find_map(|status| match status.health.as_deref() {
                    // A one-shot service that ended well has done its work.
                    _ if status.state == "exited" && status.exit_code == Some(0) => None,
                    Some("starting") => Some(
                        DeployWords::ContainerState { name: status.name.clone(), state: "starting".to_owned() }.into(),
                    ),
                    _ => bad_state(&status.name, Some(status)),
                })
            }
        }
    }

    /// Tells whether waiting is in vain: a container has ended with an error, and nothing starts it again.
    pub(super) async fn is_over(&self) -> bool {
        let Handle::Compose { engine, project, directory } = &self.handle else { return false };
        let all = engine.compose_status(project, directory).await.unwrap_or_default();
        all.iter().any(|status| status.state == "exited" && status.exit_code.is_some_and(|code| code != 0))
    }

    /// Returns the last lines that it printed; none when they cannot be had.
    pub(super) async fn last_lines(&self) -> Vec<String> {
        match &self.handle {
            Handle::Native { folder, .. } => native::last_lines(folder),
            Handle::Container { engine, deployed } => engine.last_lines(&deployed.id).await,
            Handle::Compose { engine, project, directory } => {
                let Ok(all) = engine.compose_status(project, directory).await else { return Vec::new() };
                let bad = all.iter().find(|status| bad_state(&status.name, Some(status)).is_some());
                match bad {
                    Some(status) => engine.last_lines(&status.id).await,
                    None => Vec::new(),
                }
            }
        }
    }

    /// Ends a launch that proved itself: what it replaced is removed.
    pub(super) async fn settle(&self) -> Result<()> {
        match &self.handle {
            Handle::Container { engine, deployed } => engine.settle(deployed).await,
            Handle::Native { .. } | Handle::Compose { .. } => Ok(()),
        }
    }

    /// After a failed verification: what was replaced runs again; what was merely started stays, for a look at it.
    pub(super) async fn take_back(&self) -> Result<()> {
        match &self.handle {
            Handle::Container { engine, deployed } if deployed.previous.is_some() => engine.roll_back(deployed).await,
            Handle::Container { .. } | Handle::Native { .. } | Handle::Compose { .. } => Ok(()),
        }
    }
}

fn bad_state(name: &str, found: Option<&ServiceStatus>) -> Option<Message> {
    let state = match found {
        None => "gone".to_owned(),
        Some(status) if status.state == "running" => match status.health.as_deref() {
            Some("unhealthy") => "unhealthy".to_owned(),
            _ => return None,
        },
        Some(ServiceStatus { state, exit_code: Some(code), .. }) => format!("{state} ({code})"),
        Some(status) => status.state.clone(),
    };
    Some(DeployWords::ContainerState { name: name.to_owned(), state }.into())
}
