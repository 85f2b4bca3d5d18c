//! Checks of the container engine.

use super::{said, seen};
use crate::model::{EngineFailure, EngineFault, EngineSight, Finding, Observation};
use crate::words::doctor::DoctorWords as W;

/// An engine answers, or none is needed.
pub(super) fn answers(facts: &Observation) -> Finding {
    seen(&facts.engine, W::NotAsked, |engine| match engine {
        EngineSight::Answers(answer) => Finding::pass(W::EngineAnswers {
            kind: answer.kind.clone(),
            version: answer.version.clone(),
            address: answer.address.clone(),
        }),
        EngineSight::Fails(failure) if failure.fault == EngineFault::Absent && !needs_engine(facts) => {
            Finding::skipped(W::NativeWithout)
        }
        EngineSight::Fails(failure) => failed(failure),
    })
}

/// A person's own compose project runs in an engine; what we lay out ourselves does without.
fn needs_engine(facts: &Observation) -> bool {
    facts.project.known().is_some_and(|project| project.is_compose)
}

fn failed(failure: &EngineFailure) -> Finding {
    let remedy = failure.remedy.as_ref().map_or_else(|| W::EngineRemedy.into(), said);
    Finding::fail(vec![said(&failure.why)], remedy)
}
