//! Settings of the system's network: what they are, what of them this host needs, changing them, and putting them back.
//!
//! Before the first value changes, a record in the state folder has what was there, so that `revert` works also after a
//! crash. No value is believed to be set until it was read again.

mod apply;
mod revert;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use apply::{Applied, apply, in_container, may_change};
pub use revert::{Answer, BootFile, Outlook, Reverted, Step, StepKind, revert};

use crate::disk::{Dirs, ProjectState};
use crate::error::Result;
use crate::host;
use crate::model::{Os, PortRange};
use crate::plan::tune::{self, Judged, Profile, Situation};

/// The name of the record.
const RECORD: &str = "tune";

/// What is asked of `tune`.
#[derive(Debug, Clone)]
pub struct TuneOrder {
    /// What the host is tuned for.
    pub profile: Profile,
    /// The ports of the services of this host.
    pub ports: Vec<PortRange>,
}

/// The settings of this host as they were judged.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// The system.
    pub os: Os,
    /// What for.
    pub profile: Profile,
    /// The settings that the system is known to have.
    pub settings: Vec<Judged>,
}

/// What was changed on this system, and what was there before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Backup {
    values: BTreeMap<String, Kept>,
    /// What we wrote into the file that the system reads at its start; `None` where we wrote none.
    boot_file: Option<String>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// `None` for absent.
    before: Option<String>,
    ours: String,
}

impl Backup {
    fn applied(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(key, kept)| (key.clone(), kept.ours.clone())).collect()
    }
}

/// Looks at every setting and changes nothing.
///
/// # Errors
/// Those of a record that cannot be read.
pub fn show(order: &TuneOrder, dirs: Option<&Dirs>) -> Result<Tuning> {
    let state = dirs.map(existing_state).transpose()?.flatten();
    let backup: Option<Backup> = state.map(|state| state.load_json(RECORD)).transpose()?.flatten();
    Ok(look(order, &backup.unwrap_or_default().applied()))
}

/// The state of the system is kept like that of a project whose folder is the state folder itself.
fn existing_state(dirs: &Dirs) -> Result<Option<ProjectState>> {
    if dirs.state.is_dir() { ProjectState::existing(dirs, &dirs.state) } else { Ok(None) }
}

fn record_path(state: &ProjectState) -> PathBuf {
    state.folder().join(RECORD).with_extension("json")
}

fn look(order: &TuneOrder, applied: &BTreeMap<String, String>) -> Tuning {
    let os = host::os();
    let seen = Situation {
        observed: tune::keys(os).into_iter().map(|key| (key, host::tuning::read(key))).collect(),
        signs: host::tuning::signs(),
        ports: order.ports.clone(),
    };
    Tuning { os, profile: order.profile, settings: tune::judge(os, order.profile, &seen, applied) }
}

/// Returns the file from which the system sets our values when it starts, where there is one.
#[must_use]
pub fn boot_file() -> Option<PathBuf> {
    host::tuning::boot_file().map(PathBuf::from)
}

/// Sets a value, or takes it away for `None`.
fn set(key: &str, value: Option<&str>) -> std::io::Result<()> {
    value.map_or_else(|| host::tuning::clear(key), |value| host::tuning::write(key, value))
}
