//! Looks at everything that `doctor` judges: once, each part beside the others and under a deadline of its own, so that
//! one that hangs is an answer of its own and holds up nothing. Changes nothing.

mod engine;
mod folders;
mod leftovers;
mod project;

use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::order::ProjectOrder;
use crate::disk::Dirs;
use crate::model::{Observation, Sight, Told};
use crate::words::Message;
use crate::words::doctor::DoctorWords;

/// The schema of an observation that is written down.
pub const FACTS_SCHEMA: &str = "portwright.doctor-facts/1";

/// How long any part may take; the promise to whoever waits for the diagnosis.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// How long an engine that has answered may take to list its containers; with the greeting it stays within the whole.
pub(super) const LISTING: Duration = Duration::from_secs(3);

/// Looks at the machine, and at the project of `order` if there is one. Without `dirs` there is no state of ours to
/// look at.
pub async fn observe_health(order: &ProjectOrder, dirs: Option<&Dirs>) -> Observation {
    let (engine, project, folders, leftovers) = tokio::join!(
        engine::look(order),
        project::look(order, dirs),
        folders::look(order, dirs),
        leftovers::look(order, dirs),
    );
    Observation {
        schema: FACTS_SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os: std::env::consts::OS.to_owned(),
        engine,
        project,
        folders,
        leftovers,
    }
}

/// Says that there was no answer in time.
fn late<T>() -> Sight<T> {
    unknown(&DoctorWords::InTime { seconds: DEADLINE.as_secs() }.into())
}

fn unknown<T>(why: &Message) -> Sight<T> {
    Sight::Unknown(Told::from(why))
}

/// Waits for a part, but no longer than its deadline.
async fn in_time<T>(look: impl Future<Output = Sight<T>>) -> Sight<T> {
    tokio::time::timeout(DEADLINE, look).await.unwrap_or_else(|_| late())
}

/// Looks on a thread of its own, which is left alone where it hangs: a disk of another machine cannot be given up on in
/// any other way.
async fn apart<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (send, receive) = oneshot::channel();
    let thread = thread::Builder::new().spawn(move || drop(send.send(look())));
    thread.ok()?;
    tokio::time::timeout(DEADLINE, receive).await.ok()?.ok()
}
