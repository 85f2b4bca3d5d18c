//! `doctor`: everything that is wrong here, with what shows it and what mends it.

use std::path::Path;

use super::args::{Arguments, DoctorArgs, RuntimeChoice};
use super::doctor_document::{DoctorDocument, count};
use super::output::Paint;
use super::tunnel::TOKEN_VARIABLE;
use super::{Ending, Environment, Talk, escape, runtime, wishes};
use crate::deploy::{self, HealthOrder};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Observation, Outcome, Secret};
use crate::plan::diagnose::{self, Diagnosed, Wanted};
use crate::tunnel::client::ClientOptions;
use crate::words::Say;
use crate::words::cli::CliWords;
use crate::words::doctor::DoctorWords;

/// The longest file of facts that is read: a hundred times that of a machine with a large project.
const FACTS_BYTES_MAX: u64 = 4 << 20;

pub(super) fn run(arguments: &Arguments, typed: &DoctorArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let wanted = wanted(typed)?;
    let seen = match &typed.from_facts {
        Some(file) => replayed(file)?,
        None => look(arguments, typed, environment)?,
    };
    if typed.facts {
        talk.json(&seen)?;
        return Ok(Ending::Done);
    }
    let answers = diagnose::diagnose(&seen, &wanted);
    if talk.json {
        talk.json(&DoctorDocument::new(&answers))?;
    } else {
        talk.data(&screen(&answers, talk))?;
    }
    let failed = diagnose::is_failure(&answers, typed.strict);
    Ok(if failed { Ending::Judged(ErrorKind::Refused) } else { Ending::Done })
}

/// Reads which checks are wanted.
///
/// # Errors
/// `Usage` for an id that does not exist; the hint is the nearest one.
fn wanted(typed: &DoctorArgs) -> Result<Wanted> {
    for id in typed.only.iter().chain(&typed.skip).chain(&typed.accept) {
        if let Err(nearest) = diagnose::find(id) {
            let words = DoctorWords::UnknownCheck { id: id.clone() };
            return Err(Error::new(ErrorKind::Usage, words).hint(CliWords::DidYouMean { name: nearest.to_owned() }));
        }
    }
    Ok(Wanted { only: typed.only.clone(), skip: typed.skip.clone(), accept: typed.accept.clone() })
}

fn look(arguments: &Arguments, typed: &DoctorArgs, environment: &Environment) -> Result<Observation> {
    let order = wishes::project_order(arguments, &typed.project, RuntimeChoice::Auto, environment)?;
    let dirs = wishes::dirs(environment).ok();
    let bundled = dirs.as_ref().map(wishes::bundled_directory);
    let health = HealthOrder { dirs, bundled, client: client(typed, environment) };
    runtime::block_on_and_leave(deploy::observe_health(&order, &health))
}

/// The way of a client, where a server or a join code was named.
fn client(typed: &DoctorArgs, environment: &Environment) -> Option<ClientOptions> {
    if typed.join.is_none() && typed.server.is_none() {
        return None;
    }
    let token = environment.variable(TOKEN_VARIABLE).map(Secret::new);
    Some(ClientOptions {
        server: typed.server.clone(),
        join: typed.join.as_ref().map(Secret::new),
        token: token.filter(|_| typed.token_file.is_none() && typed.join.is_none()),
        token_file: typed.token_file.clone(),
        pin: typed.pin.clone(),
        ca: typed.ca.clone(),
        ..ClientOptions::default()
    })
}

/// Reads facts that `--facts` printed.
fn replayed(file: &Path) -> Result<Observation> {
    let unread = |why: String| {
        let words = DoctorWords::FactsUnread { file: file.display().to_string(), why };
        Error::new(ErrorKind::Missing, words)
    };
    let size = std::fs::metadata(file).map_err(|error| unread(error.to_string()))?.len();
    if size > FACTS_BYTES_MAX {
        return Err(unread(format!("{size} > {FACTS_BYTES_MAX}")));
    }
    let bytes = std::fs::read(file).map_err(|error| unread(error.to_string()))?;
    let facts: Observation = serde_json::from_slice(&bytes).map_err(|error| unread(error.to_string()))?;
    if facts.schema == deploy::FACTS_SCHEMA { Ok(facts) } else { Err(unread(facts.schema)) }
}

/// The page for a person: each check with its mark, then what shows its outcome, then what helps.
fn screen(answers: &[Diagnosed], talk: &Talk) -> String {
    let shown = |answer: &&Diagnosed| talk.verbose > 0 || answer.finding.outcome != Outcome::Skipped;
    let mut lines: Vec<String> = answers.iter().filter(shown).flat_map(|answer| paragraph(answer, talk)).collect();
    let of = |outcome| count(answers, outcome);
    let summary = DoctorWords::Summary {
        pass: of(Outcome::Pass),
        warn: of(Outcome::Warn),
        fail: of(Outcome::Fail),
        unknown: of(Outcome::Unknown),
        skipped: of(Outcome::Skipped),
    };
    lines.extend([String::new(), summary.say(talk.lang)]);
    lines.join("\n")
}

fn paragraph(answer: &Diagnosed, talk: &Talk) -> Vec<String> {
    let say = |message: &dyn Say| escape::line(&message.say(talk.lang)).into_owned();
    let (mark, paint) = mark(answer.finding.outcome);
    let accepted = if answer.accepted { format!(" ({})", DoctorWords::Accepted.say(talk.lang)) } else { String::new() };
    let title = answer.check.title.say(talk.lang);
    let mut lines =
        vec![format!("{} {}: {title}{accepted}", talk.out.paint(&mark.say(talk.lang), paint), answer.check.id)];
    let paint = if answer.finding.outcome == Outcome::Pass { Paint::Dim } else { Paint::Bold };
    lines.extend(answer.finding.evidence.iter().map(|line| format!("    {}", talk.out.paint(&say(line), paint))));
    if let Some(remedy) = &answer.finding.remedy {
        lines.push(format!("    {}", talk.out.paint(&format!("{} {}", talk.out.arrow(), say(remedy)), Paint::Cyan)));
    }
    lines
}

fn mark(outcome: Outcome) -> (DoctorWords, Paint) {
    match outcome {
        Outcome::Pass => (DoctorWords::PassMark, Paint::Green),
        Outcome::Warn => (DoctorWords::WarnMark, Paint::Yellow),
        Outcome::Fail => (DoctorWords::FailMark, Paint::Red),
        Outcome::Unknown => (DoctorWords::UnknownMark, Paint::Yellow),
        Outcome::Skipped => (DoctorWords::SkippedMark, Paint::Dim),
    }
}
