//! Reports of `doctor` for machines, from the same answers as the page and the JSON document: `JUnit` XML, SARIF 2.1.0,
//! annotations of GitHub Actions.

use std::fmt::Write as _;

use serde_json::json;

use super::args::ReportFormat;
use super::doctor_document::{DoctorDocument, count, evidence};
use super::report::{annotation_data, annotation_property, xml};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Outcome, Severity};
use crate::plan::diagnose::Diagnosed;
use crate::words::verbs::VerbWords;
use crate::words::{Lang, Say};

/// Renders the answers in a form for machines; text is the page's own affair, and stands for JSON here.
///
/// # Errors
/// `Internal` where they cannot be put into JSON.
pub(super) fn rendered(format: ReportFormat, answers: &[Diagnosed], lang: Lang) -> Result<String> {
    let not_json =
        |error: serde_json::Error| Error::new(ErrorKind::Internal, VerbWords::NotJson { why: error.to_string() });
    match format {
        ReportFormat::Text | ReportFormat::Json => {
            serde_json::to_string(&DoctorDocument::new(answers)).map_err(not_json)
        }
        ReportFormat::Github => Ok(github(answers, lang)),
        ReportFormat::Junit => Ok(junit(answers, lang)),
        ReportFormat::Sarif => serde_json::to_string_pretty(&sarif(answers, lang)).map_err(not_json),
    }
}

/// What shows the outcome, and what helps.
fn sentence(answer: &Diagnosed, lang: Lang) -> String {
    let remedy = answer.finding.remedy.as_ref().map(|remedy| format!(" -> {}", remedy.say(lang)));
    evidence(&answer.finding, lang) + &remedy.unwrap_or_default()
}

fn fails(answer: &Diagnosed) -> bool {
    answer.finding.outcome == Outcome::Fail && !answer.accepted
}

/// One test case for each check. What was not looked at, and what was accepted, is skipped.
fn junit(answers: &[Diagnosed], lang: Lang) -> String {
    let (tests, failures) = (answers.len(), answers.iter().filter(|answer| fails(answer)).count());
    let looked_at = [Outcome::Pass, Outcome::Warn].map(|outcome| count(answers, outcome)).into_iter().sum::<usize>();
    let skipped = tests - failures - looked_at;
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" skipped=\"{skipped}\"");
    let _ = writeln!(text, "<testsuites {counts}>");
    let _ = writeln!(text, "  <testsuite name=\"portwright.doctor\" {counts} errors=\"0\">");
    for answer in answers {
        let (id, title) = (answer.check.id, xml(&answer.check.title.say(lang)));
        let _ = write!(text, "    <testcase classname=\"{id}\" name=\"{title}\"");
        let (outcome, sentence) = (answer.finding.outcome.name(), xml(&sentence(answer, lang)));
        let _ = match answer.finding.outcome {
            Outcome::Pass => writeln!(text, "/>"),
            Outcome::Warn => {
                writeln!(text, ">\n      <system-out>{outcome}: {sentence}</system-out>\n    </testcase>")
            }
            Outcome::Fail if !answer.accepted => {
                writeln!(text, ">\n      <failure type=\"{id}\" message=\"{sentence}\"/>\n    </testcase>")
            }
            Outcome::Fail | Outcome::Unknown | Outcome::Skipped => {
                writeln!(text, ">\n      <skipped message=\"{sentence}\"/>\n    </testcase>")
            }
        };
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// How bad an answer is, as the formats call it; `None` for one that is no news.
fn level(answer: &Diagnosed) -> Option<&'static str> {
    match (answer.finding.outcome, answer.check.severity) {
        _ if answer.accepted => None,
        (Outcome::Fail, Severity::Error) => Some("error"),
        (Outcome::Fail | Outcome::Warn, _) => Some("warning"),
        (Outcome::Pass | Outcome::Unknown | Outcome::Skipped, _) => None,
    }
}

/// One result for each check that fails or warns (OASIS). A machine has no lines, so results have no place.
fn sarif(answers: &[Diagnosed], lang: Lang) -> serde_json::Value {
    let rule =
        |answer: &Diagnosed| json!({"id": answer.check.id, "shortDescription": {"text": answer.check.title.say(lang)}});
    let rules: Vec<_> = answers.iter().map(rule).collect();
    let result = |answer: &Diagnosed| {
        let level = level(answer)?;
        Some(json!({"ruleId": answer.check.id, "level": level, "message": {"text": sentence(answer, lang)}}))
    };
    let results: Vec<_> = answers.iter().filter_map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "portwright", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": results
        }]
    })
}

/// Annotations as GitHub Actions reads them from stdout ("Workflow commands", GitHub documentation).
fn github(answers: &[Diagnosed], lang: Lang) -> String {
    let mut text = String::new();
    for (answer, level) in answers.iter().filter_map(|answer| Some((answer, level(answer)?))) {
        let title = annotation_property(&format!("doctor {}", answer.check.id));
        let _ = writeln!(text, "::{level} title={title}::{}", annotation_data(&sentence(answer, lang)));
    }
    text
}
