//! The JSON document of `doctor`: exactly the contract's fields, in its order, in English.

use serde::Serialize;

use crate::model::{Finding, Outcome};
use crate::plan::diagnose::Diagnosed;
use crate::words::{Lang, ListOf, Say};

/// What `doctor --json` prints.
#[derive(Debug, Serialize)]
pub(super) struct DoctorDocument {
    schema: &'static str,
    checks: Vec<CheckView>,
    summary: SummaryView,
}

#[derive(Debug, Serialize)]
struct CheckView {
    id: &'static str,
    outcome: &'static str,
    severity: &'static str,
    title: String,
    evidence: String,
    remedy: Option<String>,
    fixable: bool,
}

#[derive(Debug, Serialize)]
struct SummaryView {
    pass: usize,
    warn: usize,
    fail: usize,
    unknown: usize,
    skipped: usize,
}

impl DoctorDocument {
    pub(super) fn new(answers: &[Diagnosed]) -> Self {
        let view = |answer: &Diagnosed| CheckView {
            id: answer.check.id,
            outcome: answer.finding.outcome.name(),
            severity: answer.check.severity.name(),
            title: answer.check.title.say(Lang::En),
            evidence: evidence(&answer.finding, Lang::En),
            remedy: answer.finding.remedy.as_ref().map(|remedy| remedy.say(Lang::En)),
            fixable: answer.finding.fix.is_some(),
        };
        let of = |outcome| count(answers, outcome);
        let summary = SummaryView {
            pass: of(Outcome::Pass),
            warn: of(Outcome::Warn),
            fail: of(Outcome::Fail),
            unknown: of(Outcome::Unknown),
            skipped: of(Outcome::Skipped),
        };
        Self { schema: "portwright.doctor/1", checks: answers.iter().map(view).collect(), summary }
    }
}

/// Returns what shows the outcome, in one line.
pub(super) fn evidence(finding: &Finding, lang: Lang) -> String {
    ListOf(finding.evidence.clone()).say(lang)
}

/// Returns how many checks ended so.
pub(super) fn count(answers: &[Diagnosed], outcome: Outcome) -> usize {
    answers.iter().filter(|answer| answer.finding.outcome == outcome).count()
}
