//! `tune`: the settings of the system's network, shown, changed and put back.

use serde::Serialize;

use super::args::{Arguments, ProjectArgs, RuntimeChoice, TuneArgs, TuneVerb, TuneWhichArgs};
use super::output::Paint;
use super::{Ending, Environment, Talk, escape, wishes};
use crate::deploy::{self, TuneOrder, Tuning};
use crate::error::{ErrorKind, Result};
use crate::model::{Os, PortRange};
use crate::plan::tune::{Confidence, Judged, TuneState};
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
}

#[derive(Debug, Serialize)]
struct SettingView {
    key: &'static str,
    current: Option<String>,
    wanted: Option<String>,
    default: &'static str,
    state: &'static str,
    why: String,
    source: &'static str,
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
            source: judged.source,
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
        Self { schema: SCHEMA, os, profile: tuning.profile.name(), settings }
    }
}

pub(super) fn run(arguments: &Arguments, typed: &TuneArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    match &typed.verb {
        None => show(arguments, &typed.which, talk, environment),
        Some(TuneVerb::Show(which)) => show(arguments, which, talk, environment),
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

fn screen(settings: &[Judged], talk: &Talk) -> String {
    settings.iter().map(|judged| block(judged, talk)).collect()
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
fn block(judged: &Judged, talk: &Talk) -> String {
    let line = |words: TuneWords| escape::line(&words.say(talk.lang)).into_owned() + "\n";
    let empty = || TuneWords::EmptyValue.say(talk.lang);
    let shown = |value: &str| if value.is_empty() { empty() } else { value.to_owned() };
    let current = judged.current.as_deref().map_or_else(|| TuneWords::NoValue.say(talk.lang), shown);
    let (key, state) = (judged.key.to_owned(), judged.state.name());
    let heading = match &judged.wanted {
        Some(wanted) => TuneWords::ChangeLine { key, current, wanted: shown(wanted), state },
        None => TuneWords::SettingLine { key, current, state },
    };
    let paint = match judged.state {
        TuneState::Change => Paint::Yellow,
        TuneState::Applied => Paint::Green,
        TuneState::Refused => Paint::Red,
        TuneState::Ok => Paint::Bold,
        TuneState::Unsupported | TuneState::Unknown => Paint::Dim,
    };
    let mut text = talk.out.paint(line(heading).trim_end(), paint) + "\n";
    text.extend(judged.why.0.iter().map(|why| line(TuneWords::WhyLine { why: why.say(talk.lang) })));
    text.push_str(&line(TuneWords::SourceLine {
        source: judged.source,
        confidence: Box::new(sureness(judged.confidence)),
        default: if judged.default.is_empty() { TuneWords::NoValue.say(talk.lang) } else { judged.default.to_owned() },
    }));
    if judged.needs_restart {
        text.push_str(&line(TuneWords::RestartLine));
    }
    text
}
