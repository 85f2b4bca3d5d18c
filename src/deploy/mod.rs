//! The corridor: the stages of a run over plain values. Observe → Plan → Confirm → Apply → Launch → Verify.
//!
//! No stage prints; an [`Audience`] is shown the values between the stages and is asked what a person must decide.
//! No stage but Plan chooses. Launch retries one thing alone, a port lost between plan and start, by going back to
//! Observe.

mod bundled;
pub mod daemon;
mod doctor;
mod instance;
mod keeper;
mod launch;
mod leases;
mod log;
mod native;
mod observe;
mod order;
mod prepare;
mod project;
mod ripple;
mod scan;
mod service;
pub mod tune;
mod undo;
mod verify;
mod why;

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

pub use bundled::{Layout, ProjectKind};
pub use doctor::{FACTS_SCHEMA, HealthOrder, mend, observe_health};
pub use instance::{Instance, InstanceChoice, home};
pub use keeper::{Inside, Keeper, keeper};
pub use launch::{Launched, Runtime};
pub use native::supervise;
pub use observe::{Memory, Observed, observe, observe_all, probe};
pub use order::{Interrupt, Order, ProjectOrder, RuntimeChoice};
pub use prepare::{Planned, prepare};
pub use project::{LoadedProject, find, no_project, read, read_or_lay_out};
pub use scan::{Scan, ScanWishes, scan};
pub use service::{LogWishes, ServiceState, Stopped, down, logs, status};
pub use tune::{TuneOrder, Tuning};
pub use undo::{UndoOutcome, undo};
pub use verify::Url;
pub use why::{Rule, Why, why};

use crate::disk::{self, ApplyOptions, Dirs, Note, ProjectLock, ProjectState};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{MappingId, Port, Project};
use crate::plan::{Decision, Policy, PortPlan, Wishes};
use crate::words::Message;
use crate::words::deploy::DeployWords;
use launch::LaunchFailure;
use leases::Leases;

/// How often a port may be lost between plan and start before the run gives up.
const ATTEMPTS_MAX: u32 = 3;

/// How often a plan is made anew because other runs chose one of its ports at the same time. Each time one of them
/// has got what it wanted; more runs than that at once are not expected, and the start itself is the last judge.
const LOOKS_MAX: u32 = 64;

/// How long a run waits for another one in the same project.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// The one who is shown what happens, and asked what only a person can decide.
pub trait Audience: Send {
    /// A stage or step began.
    fn step(&mut self, step: Message);

    /// A step is done so far (bytes or other units).
    fn progress(&mut self, done: u64, total: u64);

    /// Something that a person should know now.
    fn note(&mut self, note: Message);

    /// A line that a tool printed while it worked.
    fn tool_line(&mut self, line: &str);

    /// Asks what happens to one conflict; `check` says why a port cannot be given.
    ///
    /// # Errors
    /// `Interrupted` when the person aborts; `Usage` when nobody can be asked.
    fn answer(
        &mut self,
        project: &Project,
        ports: &PortPlan,
        lead: MappingId,
        check: &mut dyn FnMut(Port) -> Result<(), Message>,
    ) -> Result<Decision>;

    /// Shows the plan.
    fn plan(&mut self, planned: &Planned);

    /// Asks whether other places that name a moved port shall change too (`planned.ripple`).
    ///
    /// # Errors
    /// `Interrupted` when the person aborts.
    fn ripple(&mut self, planned: &Planned) -> Result<bool>;

    /// Asks whether the plan that was shown may be carried out.
    ///
    /// # Errors
    /// `Interrupted` when the person aborts; `Usage` when nobody can be asked.
    fn consent(&mut self, planned: &Planned) -> Result<bool>;
}

/// What a run found and did.
#[derive(Debug)]
pub struct Report {
    /// The plan that was shown.
    pub planned: Planned,
    /// Which runtime runs the service; `None` when nothing was to be launched.
    pub runtime: Option<Runtime>,
    /// What runs.
    pub launched: Option<Launched>,
    /// Where it answers.
    pub urls: Vec<Url>,
    /// Whether it is a tunnel server that clients can join.
    pub takes_clients: bool,
    /// The name of the change of files, for `undo`.
    pub undo_id: Option<String>,
    /// What deserves to be known, that of the plan among it.
    pub warnings: Vec<Message>,
    /// Whether it stopped after the plan.
    pub dry_run: bool,
}

/// Brings a project up: the whole corridor.
///
/// # Errors
/// Of every kind; the kind says what was changed (see [`ErrorKind`]).
pub async fn quick_start(
    order: &Order,
    layout: &Layout,
    dirs: &Dirs,
    interrupt: &Interrupt,
    audience: &mut dyn Audience,
) -> Result<Report> {
    audience.step(DeployWords::StepLook.into());
    let loaded = read_or_lay_out(&order.project, layout)?;
    if !loaded.fresh.is_empty() {
        let directory = loaded.project.directory.display().to_string();
        audience.note(DeployWords::LaidOut { directory }.into());
    }
    if order.dry_run {
        let memory = memory(&order.project, dirs, &loaded);
        let loaded = instance::refreshed(loaded, &memory.sticky)?;
        let (planned, observed) = plan_once(order, loaded, memory, dirs, None, audience).await?;
        audience.plan(&planned);
        let natively = !observed.facts.own_pids.is_empty();
        let runtime = launch::foreseen(order, &planned, observed.engine, natively, audience).await;
        return Ok(report(planned, runtime, true));
    }
    let _made = MadeFolder::for_fresh(&loaded)?;
    let state = loaded.open_state(dirs)?;
    let lock = lock(&state, "quick-start", audience)?;
    if let Some(recovered) = state.recover(&lock)? {
        audience.note(recovered_note(&recovered));
    }
    let run = Run {
        order,
        dirs,
        state: &state,
        lock: &lock,
        interrupt,
        leases: &Leases::new(dirs, &loaded.project.directory)?,
        replaced: Mutex::default(),
    };
    let result = attempts(&run, layout, audience).await;
    if result.as_ref().is_err_and(|error| changed_nothing(error.kind())) {
        launch::bring_back(&run).await?;
    }
    result
}

/// A folder that was made for a fresh project. It goes again when the run leaves nothing in it.
struct MadeFolder(PathBuf);

impl MadeFolder {
    fn for_fresh(loaded: &LoadedProject) -> Result<Option<Self>> {
        let directory = &loaded.project.directory;
        if loaded.fresh.is_empty() || directory.exists() {
            return Ok(None);
        }
        disk::create_private_folder(directory)?;
        Ok(Some(Self(directory.clone())))
    }
}

impl Drop for MadeFolder {
    fn drop(&mut self) {
        // Fails for a folder with something in it, and that one stays.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// The kinds that promise that nothing was changed.
fn changed_nothing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Usage | ErrorKind::Refused | ErrorKind::Busy | ErrorKind::Missing)
}

async fn attempts(run: &Run<'_>, layout: &Layout, audience: &mut dyn Audience) -> Result<Report> {
    let order = run.order;
    let mut lost = None;
    for attempt in 1..=ATTEMPTS_MAX {
        if let Some(port) = lost {
            audience.note(DeployWords::PortLost { port, attempt }.into());
        }
        let loaded = read_or_lay_out(&order.project, layout)?;
        let loaded = instance::refreshed(loaded, &run.state.recall()?)?;
        match Box::pin(run_once(run, loaded, audience)).await {
            Ok(report) => return Ok(report),
            Err(LaunchFailure::PortTaken(port)) => lost = Some(port),
            Err(LaunchFailure::Stale(_)) if attempt < ATTEMPTS_MAX => audience.note(DeployWords::Stale.into()),
            Err(LaunchFailure::Stale(error) | LaunchFailure::Other(error)) => return Err(error),
        }
    }
    let port = lost.unwrap_or(Port::MAX);
    let holder = Box::new(observe::holder(&order.project, port).await);
    let words = DeployWords::PortLostForGood { port, attempts: ATTEMPTS_MAX, holder };
    Err(Error::new(ErrorKind::Busy, words).hint(DeployWords::HintSeeHolder { port }))
}

/// Says how an interrupted run was settled.
#[must_use]
pub fn recovered_note(recovered: &disk::Recovered) -> Message {
    match recovered.direction {
        disk::Direction::Forward => DeployWords::RecoveredForward.into(),
        disk::Direction::Back => DeployWords::RecoveredBack.into(),
    }
}

/// What stays the same through the attempts of one run.
pub(crate) struct Run<'a> {
    pub(crate) order: &'a Order,
    pub(crate) dirs: &'a Dirs,
    pub(crate) state: &'a ProjectState,
    pub(crate) lock: &'a ProjectLock,
    pub(crate) interrupt: &'a Interrupt,
    leases: &'a Leases,
    /// The native service that this run stopped to put another one in its place.
    replaced: Mutex<Option<native::Spec>>,
}

fn lock(state: &ProjectState, verb: &str, audience: &mut dyn Audience) -> Result<ProjectLock> {
    take_lock(state, verb, &mut |note| audience.note(note))
}

/// Takes the lock of a project for `verb`, telling `note` whom it waits for.
///
/// # Errors
/// `Busy` when the other run does not end in time.
pub fn take_lock(state: &ProjectState, verb: &str, note: &mut dyn FnMut(Message)) -> Result<ProjectLock> {
    state.lock(verb, LOCK_PATIENCE, &mut |holder| {
        note(DeployWords::WaitLock { verb: holder.verb.clone(), pid: holder.pid }.into());
    })
}

/// What is remembered of the project and its copies; nothing where there is no state yet.
fn memory(order: &ProjectOrder, dirs: &Dirs, loaded: &LoadedProject) -> Memory {
    // A state that cannot be read is told by the verbs that need it.
    let state = loaded.state(dirs).ok().flatten();
    let promised = instance::promises(order, dirs, loaded);
    match &state {
        Some(state) => Memory { promised, ..remembered(state) },
        None => Memory { promised, ..Memory::default() },
    }
}

fn remembered(state: &ProjectState) -> Memory {
    let (sticky, own_pids) = (state.recall().unwrap_or_default(), native::own_pids(state.folder()));
    Memory { sticky, own_pids, promised: Vec::new() }
}

/// Judges the ports of a project and suggests others, changing nothing.
///
/// # Errors
/// As [`read`]; `Missing` when there is no project.
pub async fn check(order: &ProjectOrder, wishes: &Wishes, dirs: Option<&Dirs>) -> Result<(LoadedProject, PortPlan)> {
    let loaded = read(order)?.ok_or_else(|| no_project(&order.directory))?;
    let memory = dirs.map(|dirs| memory(order, dirs, &loaded)).unwrap_or_default();
    let is_fresh_copy = loaded.instance.is_some() && memory.sticky.is_empty();
    let mut loaded = instance::refreshed(loaded, &memory.sticky)?;
    let look = async |project: &Project| {
        let mut observed = observe(order, project, memory.clone()).await;
        if let Some(dirs) = dirs {
            leases::show(dirs, &mut observed.facts);
        }
        observed
    };
    let mut observed = look(&loaded.project).await;
    if is_fresh_copy {
        // A copy that was never made is judged by the ports that it would get.
        let given = Wishes { policy: Policy::Auto, ..wishes.clone() };
        if let Ok(ports) = prepare::settle(&loaded.project, &mut observed.facts, &given) {
            loaded = instance::refreshed(loaded.clone(), &prepare::choices(&loaded.project, &ports.moves))?;
            observed = look(&loaded.project).await;
        }
    }
    let ports = prepare::settle(&loaded.project, &mut observed.facts, wishes)?;
    Ok((loaded, ports))
}

/// Looks and plans until the plan's ports are this run's alone; without `leases` once.
async fn plan_once(
    order: &Order,
    loaded: LoadedProject,
    memory: Memory,
    dirs: &Dirs,
    leases: Option<&Leases>,
    audience: &mut dyn Audience,
) -> Result<(Planned, Observed)> {
    for look in 1.. {
        let mut observed = observe(&order.project, &loaded.project, memory.clone()).await;
        leases::show(dirs, &mut observed.facts);
        audience.step(DeployWords::StepPlan.into());
        let planned = prepare(loaded.clone(), &mut observed.facts, order, audience)?;
        let Some(leases) = leases.filter(|_| look < LOOKS_MAX) else { return Ok((planned, observed)) };
        let taken = leases.take(&planned)?;
        leases.notes().into_iter().for_each(|note| audience.note(note));
        if taken && leases::lost(&planned, &observed.facts).is_none() {
            return Ok((planned, observed));
        }
    }
    Err(Error::new(ErrorKind::Refused, DeployWords::ProbingEndless))
}

async fn run_once(run: &Run<'_>, loaded: LoadedProject, audience: &mut dyn Audience) -> Result<Report, LaunchFailure> {
    let leases = run.order.launch.then_some(run.leases);
    let mut reserved = None;
    let (planned, observed) = if let Some(instance) = loaded.instance.clone() {
        let shared = instance::shared_state(run.dirs, &instance)?;
        let lock = lock(&shared, "quick-start", audience)?;
        let memory = memory(&run.order.project, run.dirs, &loaded);
        let found = plan_once(run.order, loaded, memory, run.dirs, leases, audience).await?;
        reserved = Some(instance::Reservation::make(run, &found.0.after, &instance.name)?);
        drop(lock);
        found
    } else {
        let memory = memory(&run.order.project, run.dirs, &loaded);
        plan_once(run.order, loaded, memory, run.dirs, leases, audience).await?
    };
    let mut written = false;
    let result = Box::pin(carry_out(run, planned, observed, &mut written, audience)).await;
    if let Some(reserved) = reserved.filter(|_| !written) {
        reserved.take_back(run)?;
    }
    result
}

/// Shows the plan, and does what it says when that is agreed to.
async fn carry_out(
    run: &Run<'_>,
    mut planned: Planned,
    observed: Observed,
    written: &mut bool,
    audience: &mut dyn Audience,
) -> Result<Report, LaunchFailure> {
    let leases = run.order.launch.then_some(run.leases);
    run.interrupt.check()?;
    let natively = !observed.facts.own_pids.is_empty();
    let target = launch::target(run.order, &planned, observed.engine, natively, audience).await?;
    audience.plan(&planned);
    if !planned.ripple.is_empty() && !planned.rippled && audience.ripple(&planned)? {
        planned.accept_ripple();
    }
    if !audience.consent(&planned)? {
        return Err(Error::new(ErrorKind::Interrupted, DeployWords::Declined).into());
    }
    run.interrupt.check()?;
    if let Some(port) = leases.and_then(|_| leases::lost(&planned, &observed.facts)) {
        return Err(LaunchFailure::PortTaken(port));
    }
    let undo_id = apply(run, &planned, audience).map_err(LaunchFailure::of_apply)?;
    *written = true;
    let Some(target) = target else {
        run.state.remember(run.lock, &prepare::choices(&planned.loaded.project, &planned.ports.moves))?;
        return Ok(Report { undo_id, ..report(planned, None, false) });
    };
    let runtime = target.runtime();
    let launched = match launch::launch(run, &planned, target, audience).await {
        Ok(launched) => launched,
        Err(failure) => return Err(take_back(run, &planned, runtime, undo_id.as_deref(), failure)),
    };
    if launched.state != "unchanged" {
        launch::remember(run, &planned, runtime, undo_id.as_deref())?;
    }
    run.state.remember(run.lock, &prepare::choices(&planned.loaded.project, &planned.ports.moves))?;
    let verify::Verified { urls, takes_clients } = match verify::verify(run, &planned, &launched, audience).await {
        Ok(verified) => verified,
        Err(error) => {
            launched.take_back().await?;
            return Err(error.into());
        }
    };
    launched.settle().await?;
    Ok(Report { undo_id, launched: Some(launched), urls, takes_clients, ..report(planned, Some(runtime), false) })
}

/// Writes the files of the plan, all or none.
fn apply(run: &Run<'_>, planned: &Planned, audience: &mut dyn Audience) -> Result<Option<String>> {
    if planned.edits.is_empty() {
        return Ok(None);
    }
    audience.step(DeployWords::StepApply.into());
    let changes: Vec<_> = planned.edits.iter().cloned().map(disk::Change::from).collect();
    let options = ApplyOptions { follow_links_outside: run.order.follow_links, now: SystemTime::now() };
    let note = Note { verb: "quick-start".to_owned(), lines: prepare::move_lines(planned) };
    let applied = run.state.apply(run.lock, &changes, &note, options)?;
    Ok(applied.map(|applied| applied.id.as_str().to_owned()))
}

/// After a failed launch the files go back to what they were, when the failure is one that a new plan mends; else what
/// may have been started is remembered, so that an undo of the files stops it.
fn take_back(
    run: &Run<'_>,
    planned: &Planned,
    runtime: Runtime,
    undo_id: Option<&str>,
    failure: LaunchFailure,
) -> LaunchFailure {
    let settled = match (&failure, undo_id) {
        (LaunchFailure::PortTaken(_), Some(_)) => run.state.undo(run.lock, SystemTime::now()).map(|_| ()),
        (LaunchFailure::Other(_), _) => launch::remember(run, planned, runtime, undo_id),
        _ => Ok(()),
    };
    match settled {
        Ok(()) => failure,
        Err(error) => LaunchFailure::Other(error.with_kind(ErrorKind::Partial)),
    }
}

fn report(planned: Planned, runtime: Option<Runtime>, dry_run: bool) -> Report {
    let warnings = planned.warnings.clone();
    let (launched, urls, takes_clients) = (None, Vec::new(), false);
    Report { planned, runtime, launched, urls, takes_clients, undo_id: None, warnings, dry_run }
}
