//! `doctor --fix`: asks for each thing that can be mended, and tells what was done.

use super::prompt::{Person, Prompter as _};
use super::{Interrupt, Talk};
use crate::deploy::{self, HealthOrder, ProjectOrder};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Outcome;
use crate::plan::diagnose::Diagnosed;
use crate::words::Say;
use crate::words::doctor::DoctorWords;
use crate::words::verbs::VerbWords;

/// Mends what the answers say can be mended; tells whether anything was.
///
/// # Errors
/// `Usage` where nobody can be asked; `Interrupted` when the person aborts. One that cannot be mended is told, and is
/// no error: what is still broken decides the exit code.
pub(super) fn run(
    answers: &[Diagnosed],
    order: &ProjectOrder,
    health: &HealthOrder,
    yes: bool,
    talk: &Talk,
) -> Result<bool> {
    let is_broken =
        |answer: &&Diagnosed| !answer.accepted && matches!(answer.finding.outcome, Outcome::Fail | Outcome::Warn);
    let interrupt = Interrupt::install();
    let mut mended = false;
    for answer in answers.iter().filter(is_broken) {
        let Some(fix) = &answer.finding.fix else { continue };
        let id = answer.check.id.to_owned();
        if !yes {
            let remedy = answer.finding.remedy.as_ref().map(|remedy| remedy.say(talk.lang)).unwrap_or_default();
            if !talk.can_ask() {
                return Err(Error::new(ErrorKind::Usage, VerbWords::NeedsConsent).hint(VerbWords::HintYes));
            }
            let question = DoctorWords::AskFix { id: id.clone(), remedy }.into();
            if !Person::new(talk, &interrupt).confirm(&question, false)? {
                continue;
            }
        }
        interrupt.check()?;
        match deploy::mend(order, health, fix, &mut |note| talk.note(note)) {
            Ok(receipts) => {
                mended = true;
                for receipt in receipts {
                    talk.say(receipt);
                }
            }
            Err(error) => talk.warn(DoctorWords::FixFailed { id, why: Box::new(error.message().clone()) }),
        }
    }
    if !mended {
        talk.note(DoctorWords::NothingToFix);
    }
    Ok(mended)
}
