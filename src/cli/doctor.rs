//! `doctor`: everything that is wrong here, with what shows it and what mends it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{Arguments, DoctorArgs, DoctorVerb, ReportFormat, RuntimeChoice};
use super::doctor_document::{DoctorDocument, count};
use super::output::{Look, Paint};
use super::redact::Redactor;
use super::tunnel::TOKEN_VARIABLE;
use super::{Ending, Environment, Talk, doctor_bundle, doctor_fix, doctor_report, escape, runtime, wishes};
use crate::deploy::{self, HealthOrder, ProjectOrder};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Observation, Outcome, Secret};
use crate::plan::diagnose::{self, Diagnosed, Wanted};
use crate::tunnel::client::ClientOptions;
use crate::words::cli::CliWords;
use crate::words::doctor::DoctorWords;
use crate::words::verbs::VerbWords;
use crate::words::{Lang, Say};

/// How long `--watch` waits between two looks when nothing else is said: a look takes half a second.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// The most files that are looked through for secrets; a project has a handful.
const FILES_MAX: usize = 64;

/// The longest file of facts that is read: a hundred times that of a machine with a large project.
const FACTS_BYTES_MAX: u64 = 4 << 20;

pub(super) fn run(arguments: &Arguments, typed: &DoctorArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let wanted = wanted(typed)?;
    if typed.watch {
        if talk.json || typed.verb.is_some() {
            return Err(Error::new(ErrorKind::Usage, DoctorWords::WatchOnce));
        }
        return watch(arguments, typed, &wanted, talk, environment);
    }
    if let Some(file) = &typed.from_facts {
        return told(&replayed(file)?, typed, &wanted, talk, environment);
    }
    let subject = Subject::of(arguments, typed, environment)?;
    let seen = subject.look()?;
    match &typed.verb {
        Some(DoctorVerb::Bundle(bundle)) => {
            let files = subject.files(&seen);
            let file = bundle.bundle.as_deref();
            return doctor_bundle::run(file, &seen, &files, &subject.redactor(&seen), talk, environment);
        }
        None if typed.facts => {
            talk.json(&seen)?;
            return Ok(Ending::Done);
        }
        None => {}
    }
    if typed.fix {
        let answers = diagnose::diagnose(&seen, &wanted);
        if doctor_fix::run(&answers, &subject.order, &subject.health, typed.yes, talk)? {
            return told(&subject.look()?, typed, &wanted, talk, environment);
        }
    }
    told(&seen, typed, &wanted, talk, environment)
}

/// Tells the answers in the form that was asked for.
fn told(
    seen: &Observation,
    typed: &DoctorArgs,
    wanted: &Wanted,
    talk: &Talk,
    environment: &Environment,
) -> Result<Ending> {
    let answers = diagnose::diagnose(seen, wanted);
    let format = if talk.json { ReportFormat::Json } else { typed.format.unwrap_or(ReportFormat::Text) };
    if talk.json {
        talk.json(&DoctorDocument::new(&answers))?;
    } else if format == ReportFormat::Text {
        talk.data(&screen(&answers, talk.verbose > 0, talk.lang, talk.out))?;
        if super::check::in_github(environment) {
            talk.data(&doctor_report::rendered(ReportFormat::Github, &answers, talk.lang)?)?;
        }
    } else {
        talk.data(&doctor_report::rendered(format, &answers, talk.lang)?)?;
    }
    for target in &typed.reports {
        super::check::write_report(&target.file, &doctor_report::rendered(target.format, &answers, talk.lang)?)?;
    }
    let failed = diagnose::is_failure(&answers, typed.strict);
    Ok(if failed { Ending::Judged(ErrorKind::Refused) } else { Ending::Done })
}

/// Looks again and again; on a terminal the page is drawn anew, elsewhere each change of an outcome is a line.
fn watch(
    arguments: &Arguments,
    typed: &DoctorArgs,
    wanted: &Wanted,
    talk: &Talk,
    environment: &Environment,
) -> Result<Ending> {
    let interrupt = deploy::Interrupt::new(super::Interrupt::install().flag());
    let subject = Subject::of(arguments, typed, environment)?;
    let page = |answers: &[Diagnosed]| talk.data(&screen(answers, talk.verbose > 0, talk.lang, talk.out));
    let mut last = diagnose::diagnose(&subject.look()?, wanted);
    page(&last)?;
    loop {
        runtime::pause(typed.interval.unwrap_or(WATCH_INTERVAL), &interrupt)?;
        if interrupt.raised() {
            return Ok(Ending::Judged(ErrorKind::Interrupted));
        }
        let next = diagnose::diagnose(&subject.look()?, wanted);
        if talk.can_draw() {
            talk.data("\u{1b}[H\u{1b}[2J")?;
            page(&next)?;
        } else {
            let changed = last.iter().zip(&next).filter(|(old, new)| old.finding.outcome != new.finding.outcome);
            let lines: Vec<String> = changed.flat_map(|(_, new)| paragraph(new, talk.lang, talk.out)).collect();
            if !lines.is_empty() {
                talk.data(&lines.join("\n"))?;
            }
        }
        last = next;
    }
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

/// What is looked at, and with whose secrets.
struct Subject<'a> {
    order: ProjectOrder,
    health: HealthOrder,
    environment: &'a Environment,
    join: Option<&'a str>,
}

impl<'a> Subject<'a> {
    fn of(arguments: &Arguments, typed: &'a DoctorArgs, environment: &'a Environment) -> Result<Self> {
        let project = match &typed.verb {
            Some(DoctorVerb::Bundle(bundle)) => &bundle.project,
            None => &typed.project,
        };
        let order = wishes::project_order(arguments, project, RuntimeChoice::Auto, environment)?;
        let dirs = wishes::dirs(environment).ok();
        let bundled = dirs.as_ref().map(wishes::bundled_directory);
        let health = HealthOrder { dirs, bundled, client: client(typed, environment) };
        Ok(Self { order, health, environment, join: typed.join.as_deref() })
    }

    /// Looks, and takes out whatever repeats a secret.
    fn look(&self) -> Result<Observation> {
        let seen = runtime::block_on_and_leave(deploy::observe_health(&self.order, &self.health))?;
        let not_json =
            |error: serde_json::Error| Error::new(ErrorKind::Internal, VerbWords::NotJson { why: error.to_string() });
        let mut value = serde_json::to_value(&seen).map_err(not_json)?;
        self.redactor(&seen).value(&mut value);
        serde_json::from_value(value).map_err(not_json)
    }

    fn redactor(&self, seen: &Observation) -> Redactor {
        let files = self.files(seen);
        Redactor::new(self.environment, files.iter().map(PathBuf::as_path), self.join.as_slice())
    }

    /// The files of the project that are likely to hold settings, its compose files among them.
    fn files(&self, seen: &Observation) -> Vec<PathBuf> {
        let directory = seen.project.known().map_or(&self.order.directory, |project| &project.directory);
        let is_setting = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
            match path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).as_deref() {
                Some("yaml" | "yml") => name.contains("compose") || name.starts_with("config."),
                Some("env") => true,
                _ => name.starts_with(".env"),
            }
        };
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<PathBuf> = entries.filter(is_setting).take(FILES_MAX).collect();
        files.extend(self.order.files.iter().chain(&self.order.env_file).cloned());
        files.sort();
        files.dedup();
        files
    }
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

/// The page for a person: a line for each check that passes, and a paragraph for each that does not.
pub(super) fn screen(answers: &[Diagnosed], with_skipped: bool, lang: Lang, look: Look) -> String {
    let shown = |answer: &&Diagnosed| with_skipped || answer.finding.outcome != Outcome::Skipped;
    let mut lines: Vec<String> =
        answers.iter().filter(shown).flat_map(|answer| paragraph(answer, lang, look)).collect();
    let of = |outcome| count(answers, outcome);
    let summary = DoctorWords::Summary {
        pass: of(Outcome::Pass),
        warn: of(Outcome::Warn),
        fail: of(Outcome::Fail),
        unknown: of(Outcome::Unknown),
        skipped: of(Outcome::Skipped),
    };
    lines.extend([String::new(), summary.say(lang)]);
    lines.join("\n")
}

/// What one check says: its mark and id, then what shows its outcome, then what helps.
fn paragraph(answer: &Diagnosed, lang: Lang, look: Look) -> Vec<String> {
    let say = |message: &dyn Say| escape::line(&message.say(lang)).into_owned();
    let (mark, paint) = mark(answer.finding.outcome);
    let head = format!("{} {}", look.paint(&mark.say(lang), paint), answer.check.id);
    let evidence = || answer.finding.evidence.iter().map(|line| say(line));
    if matches!(answer.finding.outcome, Outcome::Pass | Outcome::Skipped) {
        let evidence = evidence().collect::<Vec<_>>().join("; ");
        return vec![format!("{head}  {}", look.paint(&evidence, Paint::Dim))];
    }
    let accepted = if answer.accepted { format!(" ({})", DoctorWords::Accepted.say(lang)) } else { String::new() };
    let mut lines = vec![format!("{head}{accepted}")];
    lines.extend(evidence().map(|line| format!("    {}", look.paint(&line, Paint::Bold))));
    if let Some(remedy) = &answer.finding.remedy {
        lines.push(format!("    {}", look.paint(&format!("{} {}", look.arrow(), say(remedy)), Paint::Cyan)));
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
