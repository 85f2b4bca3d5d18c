//! `status`, `logs` and `down`: the launched service.

use std::io::Write as _;
use std::ops::ControlFlow;

use serde::Serialize;

use super::args::{Arguments, DownArgs, LogsArgs, ProjectArgs, RuntimeChoice, StatusArgs};
use super::interrupt::Interrupt;
use super::json::{ServiceView, StatusDocument};
use super::prompt::{Person, Prompter};
use super::table::{Cell, table};
use super::{Ending, Environment, Talk, runtime, wishes};
use crate::deploy::{self, LoadedProject, LogWishes, ProjectOrder, ServiceState};
use crate::disk::Dirs;
use crate::error::{Error, ErrorKind, Result};
use crate::words::Message;
use crate::words::verbs::VerbWords;

/// How many of the last lines `logs` prints when nothing else is said: a screen or two.
const TAIL: u32 = 100;

/// `down --json`.
#[derive(Debug, Serialize)]
struct DownDocument<'a> {
    schema: &'static str,
    /// The names of what was stopped and removed.
    stopped: &'a [String],
}

/// The project that a verb on a launched service is about.
pub(super) struct Found {
    pub(super) order: ProjectOrder,
    pub(super) loaded: LoadedProject,
    pub(super) dirs: Dirs,
}

/// Finds the project: the one of the directory, else the bundled one of the user.
pub(super) fn find(arguments: &Arguments, project: &ProjectArgs, environment: &Environment) -> Result<Found> {
    let order = wishes::project_order(arguments, project, RuntimeChoice::Auto, environment)?;
    let dirs = wishes::dirs(environment)?;
    let loaded = deploy::find(&order, &wishes::bundled_directory(&dirs))?;
    Ok(Found { order, loaded, dirs })
}

pub(super) fn status(
    arguments: &Arguments,
    typed: &StatusArgs,
    talk: &Talk,
    environment: &Environment,
) -> Result<Ending> {
    let found = find(arguments, &typed.project, environment)?;
    let state = found.loaded.state(&found.dirs)?;
    let services = runtime::block_on(deploy::status(&found.order, &found.loaded, state.as_ref()))??;
    if talk.json {
        talk.json(&StatusDocument::new(services.iter().map(view).collect()))?;
    } else if services.is_empty() {
        talk.note(VerbWords::NoServices);
        talk.hint(VerbWords::HintNoServices);
    } else {
        talk.data(&rendered(&services, talk))?;
    }
    Ok(Ending::Done)
}

fn view(service: &ServiceState) -> ServiceView {
    ServiceView {
        name: service.name.clone(),
        runtime: service.runtime.to_owned(),
        state: service.state.clone(),
        health: service.health.clone(),
        id: service.id.clone(),
        ports: service.ports.clone(),
        urls: service.urls.clone(),
    }
}

fn rendered(services: &[ServiceState], talk: &Talk) -> String {
    let headers = [
        VerbWords::NameColumn,
        VerbWords::RuntimeColumn,
        VerbWords::StateColumn,
        VerbWords::HealthColumn,
        VerbWords::AddressColumn,
    ];
    let rows: Vec<Vec<Cell>> = services
        .iter()
        .map(|service| {
            vec![
                Cell::new(&service.name),
                Cell::new(service.runtime),
                Cell::new(&service.state),
                Cell::maybe(service.health.as_deref()),
                Cell::new(&service.urls.join(" ")),
            ]
        })
        .collect();
    table(&headers.map(Into::into), &rows, talk.lang, talk.out)
}

pub(super) fn logs(arguments: &Arguments, typed: &LogsArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    if talk.json {
        return Err(Error::new(ErrorKind::Usage, VerbWords::LogsJson));
    }
    let found = find(arguments, &typed.project, environment)?;
    let state = found.loaded.state(&found.dirs)?;
    let wishes = LogWishes {
        service: typed.service.clone(),
        follow: typed.follow,
        tail: usize::try_from(typed.tail.unwrap_or(TAIL)).unwrap_or(usize::MAX),
    };
    let mut failure = None;
    let mut sink = |_: &str, bytes: &[u8]| {
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    runtime::block_on(deploy::logs(&found.order, &found.loaded, state.as_ref(), &wishes, &mut sink))??;
    match failure {
        Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Missing, VerbWords::OutputFailed { why: error.to_string() }))
        }
        _ => Ok(Ending::Done),
    }
}

pub(super) fn down(arguments: &Arguments, typed: &DownArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let found = find(arguments, &typed.project, environment)?;
    let Found { order, loaded, dirs } = &found;
    let interrupt = Interrupt::install();
    if !typed.yes {
        let name = loaded.project.name.clone();
        let question = VerbWords::AskDown { name };
        let agreed = agree(talk, &interrupt, question)?;
        if !agreed {
            return Ok(Ending::Judged(ErrorKind::Interrupted));
        }
    }
    let state = loaded.open_state(dirs)?;
    let mut note = |note: Message| talk.note(note);
    let lock = deploy::take_lock(&state, "down", &mut note)?;
    let stopped = runtime::block_on(deploy::down(order, loaded, &state, &lock, &mut note))??;
    if talk.json {
        talk.json(&DownDocument { schema: "portwright.down/1", stopped: &stopped.names })?;
    } else if stopped.names.is_empty() {
        talk.note(VerbWords::NothingRuns);
    }
    stopped.names.iter().for_each(|name| talk.say(VerbWords::Stopped { name: name.clone() }));
    Ok(Ending::Done)
}

/// Asks a question that `--yes` answers beforehand.
pub(super) fn agree(talk: &Talk, interrupt: &Interrupt, question: VerbWords) -> Result<bool> {
    agree_to(talk, interrupt, &question.into())
}

/// Asks a question of another verb's words, as [`agree`] does.
pub(super) fn agree_to(talk: &Talk, interrupt: &Interrupt, question: &Message) -> Result<bool> {
    if !talk.can_ask() {
        return Err(Error::new(ErrorKind::Usage, VerbWords::NeedsConsent).hint(VerbWords::HintYes));
    }
    Person::new(talk, interrupt).confirm(question, true)
}
