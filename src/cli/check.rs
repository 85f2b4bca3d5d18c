//! `check`: the judgement on a project's ports, as a table, as JSON, and as reports for machines.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::args::{Arguments, CheckArgs, ReportFormat, RuntimeChoice};
use super::json::CheckDocument;
use super::report::{self, Findings};
use super::{Ending, Environment, Talk, runtime, table, wishes};
use crate::deploy;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Binding, Mapping};
use crate::plan::{Policy, PortPlan, Wishes};
use crate::words::verbs::VerbWords;

pub(super) fn run(arguments: &Arguments, check: &CheckArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let order = wishes::project_order(arguments, &check.project, RuntimeChoice::Auto, environment)?;
    let wanted = Wishes { range: check.range, strict: check.strict, ..wishes::ports(Policy::Keep) };
    // Without a home there is no state of ours to know of, and the judgement is the same.
    let dirs = wishes::dirs(environment).ok();
    let (loaded, ports) = runtime::block_on(deploy::check(&order, &wanted, dirs.as_ref()))??;
    let project = &loaded.project;
    let rows: Vec<(&Binding, &Mapping)> =
        ports.bindings.iter().filter_map(|binding| Some((binding, project.mappings.get(binding.mapping.0)?))).collect();
    let base = workspace(environment).unwrap_or_else(|| project.directory.clone());
    let findings = Findings { project, bindings: &ports.bindings, base: &base, lang: talk.lang };
    let format = if talk.json { ReportFormat::Json } else { check.format.unwrap_or(ReportFormat::Text) };
    let document = CheckDocument::new(&project.directory, &rows);
    if let ReportFormat::Text = format {
        talk.data(&table::bindings(rows.iter().copied(), talk.lang, talk.out))?;
        say(&ports, project, talk);
        if in_github(environment) {
            talk.data(&report::github(&findings))?;
        }
    } else {
        let text = rendered(format, &document, &findings)?;
        if talk.json { talk.json(&document)? } else { talk.data(&text)? }
    }
    for target in &check.reports {
        write_report(&target.file, &rendered(target.format, &document, &findings)?)?;
    }
    if let Some(output) = environment.variable("GITHUB_OUTPUT").filter(|_| in_github(environment)) {
        append(Path::new(output), &report::github_output(project))?;
    }
    let blocked = ports.bindings.iter().any(|binding| binding.state.blocks());
    Ok(if blocked { Ending::Judged(ErrorKind::Refused) } else { Ending::Done })
}

fn say(ports: &PortPlan, project: &crate::model::Project, talk: &Talk) {
    project.warnings.iter().chain(&ports.warnings).for_each(|warning| talk.warn(warning.clone()));
    if ports.bindings.is_empty() {
        talk.note(VerbWords::NoPublishedPorts);
    } else if ports.bindings.iter().any(|binding| binding.state.blocks()) {
        talk.hint(VerbWords::HintAfterConflict);
    }
}

pub(super) fn in_github(environment: &Environment) -> bool {
    environment.variable("GITHUB_ACTIONS") == Some("true")
}

/// The checkout that annotations are relative to.
fn workspace(environment: &Environment) -> Option<PathBuf> {
    let named = environment.variable("GITHUB_WORKSPACE").or_else(|| environment.variable("CI_PROJECT_DIR"))?;
    Path::new(named).canonicalize().ok()
}

fn rendered(format: ReportFormat, document: &CheckDocument, findings: &Findings<'_>) -> Result<String> {
    let not_json =
        |error: serde_json::Error| Error::new(ErrorKind::Internal, VerbWords::NotJson { why: error.to_string() });
    match format {
        ReportFormat::Text | ReportFormat::Json => serde_json::to_string(document).map_err(not_json),
        ReportFormat::Github => Ok(report::github(findings)),
        ReportFormat::Junit => Ok(report::junit(findings)),
        ReportFormat::Sarif => serde_json::to_string_pretty(&report::sarif(findings)).map_err(not_json),
    }
}

pub(super) fn write_report(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(|error| unwritable(file, &error))
}

fn append(file: &Path, text: &str) -> Result<()> {
    let opened = fs::OpenOptions::new().append(true).create(true).open(file);
    opened.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| unwritable(file, &error))
}

fn unwritable(file: &Path, error: &std::io::Error) -> Error {
    let words = VerbWords::ReportUnwritable { file: file.display().to_string(), why: error.to_string() };
    Error::new(ErrorKind::Missing, words)
}
