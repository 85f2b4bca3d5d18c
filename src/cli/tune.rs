//! `tune`: the settings of the system's network, shown, changed and put back.

use serde::Serialize;

use super::args::{Arguments, ProjectArgs, RuntimeChoice, TuneArgs, TuneRevertArgs, TuneVerb, TuneWhichArgs};
use super::interrupt::Interrupt;
use super::output::{Look, Paint};
use super::prompt::{Person, Prompter as _};
use super::{Ending, Environment, Talk, escape, wishes};
use crate::deploy::tune::{Answer, Applied, BootFile, Outlook, Reverted, Step, StepKind};
use crate::deploy::{self, TuneOrder, Tuning};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Os, PortRange};
use crate::plan::tune::{Confidence, Judged, Profile, TuneState};
use crate::words::tune::TuneWords;
use crate::words::{Lang, Message, Say};

const SCHEMA: &str = "portwright.tune/1";

/// `tune --json`.
#[derive(Debug, Serialize)]
struct TuneDocument {
    schema: &'static str,
    os: &'static str,
    profile: &'static str,
    settings: Vec<SettingView>,
    /// What `revert` did.
    #[serde(skip_serializing_if = "Option::is_none")]
    reverted: Option<RevertView>,
}

/// What `revert` did, by key.
#[derive(Debug, Serialize)]
struct RevertView {
    restored: Vec<String>,
    /// Left as somebody made them.
    left: Vec<String>,
    failed: Vec<String>,
    file_removed: bool,
    file_left: bool,
}

impl RevertView {
    fn of(done: &Reverted) -> Self {
        let keys = |steps: &[Step]| steps.iter().map(|step| step.key.clone()).collect();
        let failed = done.failed.iter().map(|(key, _)| key.clone()).collect();
        let (file_removed, file_left) = (done.file_removed, done.file_left);
        Self { restored: keys(&done.restored), left: keys(&done.left), failed, file_removed, file_left }
    }
}

#[derive(Debug, Serialize)]
struct SettingView {
    key: &'static str,
    current: Option<String>,
    wanted: Option<String>,
    default: &'static str,
    state: &'static str,
    why: String,
    source: String,
    confidence: &'static str,
    needs_restart: bool,
}

impl SettingView {
    fn of(judged: &Judged) -> Self {
        Self {
            key: judged.key,
            current: judged.current.clone(),
            wanted: judged.wanted.clone(),
            default: judged.default,
            state: judged.state.name(),
            why: judged.why.say(Lang::En),
            source: judged.source.say(Lang::En),
            confidence: judged.confidence.name(),
            needs_restart: judged.needs_restart,
        }
    }
}

impl TuneDocument {
    fn of(tuning: &Tuning) -> Self {
        let os = match tuning.os {
            Os::Linux => "linux",
            Os::MacOs => "macos",
            Os::Windows => "windows",
            Os::Other => "other",
        };
        let settings = tuning.settings.iter().map(SettingView::of).collect();
        Self { schema: SCHEMA, os, profile: tuning.profile.name(), settings, reverted: None }
    }
}

pub(super) fn run(arguments: &Arguments, typed: &TuneArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    match &typed.verb {
        None => show(arguments, &typed.which, talk, environment),
        Some(TuneVerb::Show(which)) => show(arguments, which, talk, environment),
        Some(TuneVerb::Apply(typed)) => {
            let order = order(arguments, &typed.which, talk, environment)?;
            apply(&order, typed.yes, talk, environment)
        }
        Some(TuneVerb::Revert(typed)) => revert(typed, talk, environment),
    }
}

/// What is asked, with the ports of the project of the directory, if there is one.
fn order(arguments: &Arguments, typed: &TuneWhichArgs, talk: &Talk, environment: &Environment) -> Result<TuneOrder> {
    let project = ProjectArgs::default();
    let project = wishes::project_order(arguments, &project, RuntimeChoice::None, environment)?;
    let mut ports = typed.service_ports.clone();
    match deploy::read(&project) {
        Ok(loaded) => ports.extend(loaded.iter().flat_map(|loaded| published(&loaded.project.mappings))),
        Err(error) if error.kind() == ErrorKind::Missing => {}
        Err(error) => talk.warn(error.message().clone()),
    }
    Ok(TuneOrder { profile: typed.profile.meant(), ports })
}

fn published(mappings: &[crate::model::Mapping]) -> impl Iterator<Item = PortRange> {
    mappings.iter().filter_map(|mapping| mapping.published.range())
}

fn show(arguments: &Arguments, typed: &TuneWhichArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let order = order(arguments, typed, talk, environment)?;
    let tuning = deploy::tune::show(&order, wishes::dirs(environment).ok().as_ref())?;
    if talk.json {
        talk.json(&TuneDocument::of(&tuning))?;
    } else {
        talk.data(&screen(&tuning.settings, talk))?;
    }
    let count = tuning.settings.iter().filter(|one| one.state == TuneState::Change).count();
    if tuning.settings.is_empty() {
        talk.note(TuneWords::NothingKnown);
    } else if count == 0 {
        talk.note(TuneWords::NothingNeeded);
    } else {
        talk.hint(TuneWords::HintApply { count, profile: tuning.profile.name() });
    }
    Ok(Ending::Done)
}

/// Asks a question that `--yes` answers beforehand.
fn agree(yes: bool, question: TuneWords, interrupt: &Interrupt, talk: &Talk) -> Result<bool> {
    // Settings of the whole system are not changed by an Enter too many.
    if yes {
        return Ok(true);
    }
    if !talk.can_ask() {
        return Err(Error::new(ErrorKind::Usage, TuneWords::NeedsConsent).hint(TuneWords::HintYes));
    }
    Person::new(talk, interrupt).confirm(&question.into(), false)
}

fn apply(order: &TuneOrder, yes: bool, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let Some(done) = carry_out(order, yes, talk, environment)? else {
        return Ok(Ending::Judged(ErrorKind::Interrupted));
    };
    if talk.json {
        talk.json(&TuneDocument::of(&done.tuning))?;
    }
    told(&done, talk);
    Ok(match (done.applied.len(), done.refused, &done.boot_trouble) {
        (_, 0, None) => Ending::Done,
        (0, _, _) => Ending::Judged(ErrorKind::Missing),
        _ => Ending::Judged(ErrorKind::Partial),
    })
}

/// Changes what an order needs; `None` when the person did not agree.
fn carry_out(order: &TuneOrder, yes: bool, talk: &Talk, environment: &Environment) -> Result<Option<Applied>> {
    let interrupt = Interrupt::install();
    let mut ask = |tuning: &Tuning| {
        let wanted: Vec<&Judged> = tuning.settings.iter().filter(|one| one.state == TuneState::Change).collect();
        talk.show(&wanted.iter().map(|judged| block(judged, talk, talk.err)).collect::<String>());
        agree(yes, TuneWords::AskApply { count: wanted.len() }, &interrupt, talk)
    };
    let mut note = |note: Message| talk.note(note);
    deploy::tune::apply(order, &wishes::dirs(environment)?, &mut ask, &mut note)
}

/// Tunes at the end of `quick-start`, whose service runs by now: whatever goes wrong is said, and the run ends as one
/// that was not completed.
pub(super) fn after_start(ports: Vec<PortRange>, yes: bool, talk: &Talk, environment: &Environment) -> Ending {
    let order = TuneOrder { profile: Profile::Default, ports };
    match carry_out(&order, yes, talk, environment) {
        Ok(None) => Ending::Done,
        Ok(Some(done)) => {
            told(&done, talk);
            let complete = done.refused == 0 && done.boot_trouble.is_none();
            if complete { Ending::Done } else { Ending::Judged(ErrorKind::Partial) }
        }
        Err(error) => {
            talk.warn(error.message().clone());
            error.way_out().into_iter().for_each(|hint| talk.hint(hint.clone()));
            Ending::Judged(ErrorKind::Partial)
        }
    }
}

/// Names `tune` where this host needs it and may be tuned from here.
pub(super) fn offer(ports: Vec<PortRange>, talk: &Talk, environment: &Environment) {
    let order = TuneOrder { profile: Profile::Default, ports };
    if deploy::tune::in_container() {
        return;
    }
    // A record that cannot be read is told by `tune`.
    let tuning = deploy::tune::show(&order, wishes::dirs(environment).ok().as_ref());
    let is_wanted = |one: &&Judged| one.state == TuneState::Change;
    let count = tuning.map_or(0, |tuning| tuning.settings.iter().filter(is_wanted).count());
    if count > 0 {
        talk.hint(TuneWords::OfferTune { count });
    }
}

/// Says what was applied and what was not.
fn told(done: &Applied, talk: &Talk) {
    if done.applied.is_empty() && done.refused == 0 {
        talk.note(TuneWords::NothingNeeded);
    }
    for judged in &done.tuning.settings {
        let key = judged.key.to_owned();
        match (judged.state, judged.why.0.last()) {
            (TuneState::Refused, Some(why)) => talk.warn(TuneWords::RefusedLine { key, why: Box::new(why.clone()) }),
            (TuneState::Applied, _) if done.applied.contains(&judged.key) => {
                talk.say(TuneWords::AppliedLine { key, value: judged.current.clone().unwrap_or_default() });
            }
            _ => {}
        }
    }
    if done.applied.is_empty() {
        return;
    }
    match (&done.boot_file, &done.boot_trouble) {
        (Some(path), _) => talk.note(TuneWords::BootFileWritten { path: path.clone() }),
        (None, Some(trouble)) => talk.warn(trouble.clone()),
        (None, None) if done.tuning.os == Os::MacOs => talk.note(TuneWords::NoBootFile),
        (None, None) => talk.note(TuneWords::LastingValues),
    }
    if done.tuning.settings.iter().any(|one| one.needs_restart && done.applied.contains(&one.key)) {
        talk.note(TuneWords::RestartNeeded);
    }
}

fn revert(typed: &TuneRevertArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let interrupt = Interrupt::install();
    let mut ask = |outlook: &Outlook| {
        announce(outlook, talk);
        if !agree(typed.yes, TuneWords::AskRevert { count: outlook.steps.len() }, &interrupt, talk)? {
            return Ok(Answer::Stop);
        }
        let all = !outlook.is_foreign() || agree(typed.yes, TuneWords::AskForeign, &interrupt, talk)?;
        Ok(if all { Answer::All } else { Answer::LeaveForeign })
    };
    let mut note = |note: Message| talk.note(note);
    let dirs = wishes::dirs(environment)?;
    let done = deploy::tune::revert(&dirs, &mut ask, &mut note)?;
    let Some(done) = done else { return Ok(Ending::Judged(ErrorKind::Interrupted)) };
    if talk.json {
        let order = TuneOrder { profile: Profile::Default, ports: Vec::new() };
        let tuning = deploy::tune::show(&order, Some(&dirs))?;
        talk.json(&TuneDocument { reverted: Some(RevertView::of(&done)), ..TuneDocument::of(&tuning) })?;
    }
    let value = |value: &Option<String>| shown(value.as_deref(), talk);
    for step in &done.restored {
        talk.say(TuneWords::RestoredLine { key: step.key.clone(), value: value(&step.to) });
    }
    for step in &done.left {
        talk.note(TuneWords::LeftLine { key: step.key.clone(), value: value(&step.current) });
    }
    for (key, why) in &done.failed {
        talk.warn(TuneWords::FailedLine { key: key.clone(), why: Box::new(why.clone()) });
    }
    match deploy::tune::boot_file() {
        Some(path) if done.file_left => talk.warn(TuneWords::FileLeft { path }),
        Some(path) if done.file_removed => talk.say(TuneWords::FileRemoved { path }),
        _ if done == Reverted::default() => talk.note(TuneWords::NothingToRevert),
        _ => {}
    }
    Ok(match (done.failed.is_empty(), done.restored.is_empty() && !done.file_removed) {
        (true, _) => Ending::Done,
        (false, true) => Ending::Judged(ErrorKind::Missing),
        (false, false) => Ending::Judged(ErrorKind::Partial),
    })
}

/// Says what is about to be put back, and what somebody changed since.
fn announce(outlook: &Outlook, talk: &Talk) {
    for step in &outlook.steps {
        let key = step.key.clone();
        let (current, to) = (shown(step.current.as_deref(), talk), shown(step.to.as_deref(), talk));
        match step.kind {
            StepKind::Ours | StepKind::Merged => talk.say(TuneWords::WillRestore { key, current, to }),
            StepKind::AsBefore => talk.say(TuneWords::WillLeave { key, current }),
            StepKind::Foreign => talk.warn(TuneWords::ForeignLine { key, current, to }),
        }
    }
    match (deploy::tune::boot_file(), outlook.boot_file) {
        (Some(path), BootFile::Ours) => talk.say(TuneWords::WillRemove { path }),
        (Some(path), BootFile::Edited) => talk.warn(TuneWords::FileEdited { path }),
        _ => {}
    }
}

/// Returns what stands for a value on the screen.
fn shown(value: Option<&str>, talk: &Talk) -> String {
    match value {
        None => TuneWords::NoValue.say(talk.lang),
        Some("") => TuneWords::EmptyValue.say(talk.lang),
        Some(value) => value.to_owned(),
    }
}

fn screen(settings: &[Judged], talk: &Talk) -> String {
    settings.iter().map(|judged| block(judged, talk, talk.out)).collect()
}

fn sureness(confidence: Confidence) -> Message {
    match confidence {
        Confidence::Documented => TuneWords::Documented,
        Confidence::Reported => TuneWords::Reported,
        Confidence::Folklore => TuneWords::Folklore,
    }
    .into()
}

/// A setting with what is known of it.
fn block(judged: &Judged, talk: &Talk, look: Look) -> String {
    let line = |words: TuneWords| escape::line(&words.say(talk.lang)).into_owned() + "\n";
    let current = shown(judged.current.as_deref(), talk);
    let (key, state) = (judged.key.to_owned(), judged.state.name());
    let heading = match &judged.wanted {
        Some(wanted) => TuneWords::ChangeLine { key, current, wanted: shown(Some(wanted), talk), state },
        None => TuneWords::SettingLine { key, current, state },
    };
    let paint = match judged.state {
        TuneState::Change => Paint::Yellow,
        TuneState::Applied => Paint::Green,
        TuneState::Refused => Paint::Red,
        TuneState::Ok => Paint::Bold,
        TuneState::Unsupported | TuneState::Unknown => Paint::Dim,
    };
    let mut text = look.paint(line(heading).trim_end(), paint) + "\n";
    text.extend(judged.why.0.iter().map(|why| line(TuneWords::WhyLine { why: why.say(talk.lang) })));
    text.push_str(&line(TuneWords::SourceLine {
        source: Box::new(judged.source.clone().into()),
        confidence: Box::new(sureness(judged.confidence)),
        default: if judged.default.is_empty() { TuneWords::NoValue.say(talk.lang) } else { judged.default.to_owned() },
    }));
    if judged.needs_restart {
        text.push_str(&line(TuneWords::RestartLine));
    }
    text
}
