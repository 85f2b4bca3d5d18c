//! Settings of the system's network: what they are, and what of them this host needs.

use std::collections::BTreeMap;

use crate::disk::Dirs;
use crate::error::Result;
use crate::host;
use crate::model::{Os, PortRange};
use crate::plan::tune::{self, Judged, Profile, Situation};

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

/// Looks at every setting and changes nothing.
///
/// # Errors
/// Those of a backup record that cannot be read.
pub fn show(order: &TuneOrder, _dirs: Option<&Dirs>) -> Result<Tuning> {
    Ok(look(order, &BTreeMap::new()))
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
