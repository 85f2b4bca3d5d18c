//! What runs that ended badly have left in the project and in its state.

use super::{apart, late, unknown};
use crate::deploy::order::ProjectOrder;
use crate::disk::{Dirs, ProjectState};
use crate::model::{Leftovers, Sight};

pub(super) async fn look(order: &ProjectOrder, dirs: Option<&Dirs>) -> Sight<Leftovers> {
    let Some(dirs) = dirs.cloned() else { return Sight::Nothing };
    let directory = order.directory.clone();
    let looked = apart(move || {
        let Some(state) = ProjectState::existing(&dirs, &directory)? else { return Ok(Leftovers::default()) };
        let interrupted = state.interrupted()?.map(|note| note.verb);
        Ok(Leftovers { interrupted, in_progress: state.is_locked(), ..Leftovers::default() })
    });
    match looked.await {
        Some(Ok(left)) => Sight::Known(left),
        Some(Err(error)) => {
            let error: crate::error::Error = error;
            unknown(error.message())
        }
        None => late(),
    }
}
