//! Checks of what Portwright itself keeps, and of what runs that ended badly have left.

use super::seen;
use crate::model::{Finding, Fix, Observation};
use crate::words::doctor::DoctorWords as W;

/// No change of files was interrupted.
pub(super) fn interrupted(facts: &Observation) -> Finding {
    seen(&facts.leftovers, W::NoProject, |left| match &left.interrupted {
        None => Finding::pass(W::NothingInterrupted),
        Some(_) if left.in_progress => Finding::pass(W::InProgress),
        Some(verb) => {
            let evidence = W::Interrupted { verb: verb.clone() }.into();
            Finding::fail(vec![evidence], W::InterruptedRemedy).fixable(Fix::Recover)
        }
    })
}
