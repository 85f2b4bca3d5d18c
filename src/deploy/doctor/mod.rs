//! Looks at everything that `doctor` judges: once, each part beside the others and under a deadline of its own, so that
//! one that hangs is an answer of its own and holds up nothing. Changes nothing.

mod engine;
mod fix;
mod folders;
mod leftovers;
mod machine;
mod pool;
mod project;
mod tunnel;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

pub use fix::mend;

use super::order::ProjectOrder;
use super::project::read;
use crate::disk::Dirs;
use crate::model::{Observation, Sight, Told};
use crate::tunnel::client::ClientOptions;
use crate::tunnel::config::misspelt_variables;
use crate::words::Message;
use crate::words::doctor::DoctorWords;

/// The schema of an observation that is written down.
pub const FACTS_SCHEMA: &str = "portwright.doctor-facts/1";

/// How long any part may take; the promise to whoever waits for the diagnosis.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// How long an engine that has answered may take to list its containers; with the greeting it stays within the whole.
pub(super) const LISTING: Duration = Duration::from_secs(3);

/// What is looked at beside the project of an order.
#[derive(Debug, Clone, Default)]
pub struct HealthOrder {
    /// The user's folders; without them there is no state of ours to look at.
    pub dirs: Option<Dirs>,
    /// Where the bundled project is when no directory is named.
    pub bundled: Option<PathBuf>,
    /// The way of a client to a tunnel server.
    pub client: Option<ClientOptions>,
}

/// Looks at the machine, and at the project of `order` or, where it has none and names no directory, at the bundled one.
pub async fn observe_health(order: &ProjectOrder, health: &HealthOrder) -> Observation {
    let order = &subject(order, health.bundled.as_deref());
    let dirs = health.dirs.as_ref();
    let around = async {
        tokio::join!(
            machine::machine(),
            machine::network(),
            machine::redirects(),
            machine::firewall(),
            machine::services(),
            folders::look(order, dirs),
            leftovers::look(order, dirs),
            pool::look(order, dirs),
        )
    };
    let (engine, compose, project, launched, server, client, around) = tokio::join!(
        engine::look(order),
        engine::compose(order),
        project::look(order, dirs),
        tunnel::launched(order, dirs),
        tunnel::server(order, dirs),
        tunnel::client(health.client.as_ref()),
        around,
    );
    let (machine, network, redirects, firewall, services, folders, leftovers, pool) = around;
    Observation {
        schema: FACTS_SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        engine,
        compose,
        project,
        launched,
        server,
        client,
        machine,
        network,
        redirects,
        firewall,
        services,
        has_home: dirs.is_some(),
        misspelt: misspelt_variables(&order.environment),
        pool,
        folders,
        leftovers,
    }
}

/// The project that is looked at.
fn subject(order: &ProjectOrder, bundled: Option<&Path>) -> ProjectOrder {
    let named = order.directory_named || !order.files.is_empty() || order.instance.is_some();
    let place = bundled.filter(|place| !named && place.is_dir() && matches!(read(order), Ok(None)));
    match place {
        Some(place) => ProjectOrder { directory: place.to_path_buf(), ..order.clone() },
        None => order.clone(),
    }
}

/// A path as it can be written down: what of it is no text is replaced.
fn shown(path: &Path) -> PathBuf {
    path.to_string_lossy().into_owned().into()
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
