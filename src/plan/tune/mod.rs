//! What could be tuned on a system, and what of it this host needs: a table for each system, judged against what was
//! read and counted. Nothing is proposed where nothing is measured that asks for it, except what a profile is for.

mod linux;
mod macos;
mod ports;
mod windows;

use std::collections::BTreeMap;

pub use ports::{is_port_list, without_ours};

use crate::model::{Observed, Os, PortRange, TuneSigns};
use crate::words::ListOf;
use crate::words::tune::TuneWords;

/// What the host is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// A host that runs services: only what was measured to be short.
    Default,
    /// Services for visitors far away, over lossy lines.
    Wan,
    /// A host that opens very many connections of its own.
    LoadTest,
    /// What the predecessor's script set on Windows, and its counterpart elsewhere.
    Legacy,
}

impl Profile {
    /// Returns the stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Wan => "wan",
            Self::LoadTest => "load-test",
            Self::Legacy => "legacy",
        }
    }
}

/// How sure it is what a setting does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// The vendor's current document says so, or it was measured.
    Documented,
    /// An old document of the vendor, or several independent reports.
    Reported,
    /// Said by scripts and texts that name no source.
    Folklore,
}

impl Confidence {
    /// Returns the stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Reported => "reported",
            Self::Folklore => "folklore",
        }
    }
}

/// How a setting stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TuneState {
    /// Nothing asks for another value.
    Ok,
    /// Another value is proposed.
    Change,
    /// The value is one that `tune apply` set.
    Applied,
    /// The system did not take the value.
    Refused,
    /// This system does not have the setting.
    Unsupported,
    /// The setting could not be read.
    Unknown,
}

impl TuneState {
    /// Returns the stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Change => "change",
            Self::Applied => "applied",
            Self::Refused => "refused",
            Self::Unsupported => "unsupported",
            Self::Unknown => "unknown",
        }
    }
}

/// A setting that a system has, with what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    key: &'static str,
    default: &'static str,
    about: TuneWords,
    source: TuneWords,
    confidence: Confidence,
    needs_restart: bool,
    /// Returns the value that this host needs; `None` where the current one will do.
    need: fn(&str, &Situation, Profile) -> Option<Need>,
}

/// A value that is needed, and what was seen that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    value: String,
    reason: TuneWords,
}

impl Need {
    fn new(value: &(impl ToString + ?Sized), reason: TuneWords) -> Self {
        Self { value: value.to_string(), reason }
    }
}

/// All that was seen of a host.
#[derive(Debug, Clone, Default)]
pub struct Situation {
    /// What was read, by key.
    pub observed: BTreeMap<&'static str, Observed>,
    /// What the system counts.
    pub signs: TuneSigns,
    /// The ports of the services of this host, which outgoing connections should not get.
    pub ports: Vec<PortRange>,
}

impl Situation {
    /// Returns the value of a setting with single spaces; `None` where there is none.
    fn value(&self, key: &str) -> Option<String> {
        self.observed.get(key)?.value()
    }
}

/// A setting that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The name, as the system spells it.
    pub key: &'static str,
    /// The value; `None` where it is not set or could not be read.
    pub current: Option<String>,
    /// The value that is proposed or was refused.
    pub wanted: Option<String>,
    /// The default of the system.
    pub default: &'static str,
    /// How it stands.
    pub state: TuneState,
    /// What the setting does, and what was seen of it.
    pub why: ListOf,
    /// Where that is from.
    pub source: TuneWords,
    /// How sure it is.
    pub confidence: Confidence,
    /// Whether a change works only after a restart of the system.
    pub needs_restart: bool,
}

/// Returns the keys that there are on `os`.
#[must_use]
pub fn keys(os: Os) -> Vec<&'static str> {
    settings(os).iter().map(|setting| setting.key).collect()
}

fn settings(os: Os) -> Vec<Setting> {
    match os {
        Os::Linux => linux::settings(),
        Os::MacOs => macos::settings(),
        Os::Windows => windows::settings(),
        Os::Other => Vec::new(),
    }
}

/// Judges every setting of `os`; `applied` has the values that an earlier run set, by key.
#[must_use]
pub fn judge(os: Os, profile: Profile, seen: &Situation, applied: &BTreeMap<String, String>) -> Vec<Judged> {
    settings(os).into_iter().map(|setting| judged(setting, profile, seen, applied)).collect()
}

fn judged(setting: Setting, profile: Profile, seen: &Situation, applied: &BTreeMap<String, String>) -> Judged {
    let observed = seen.observed.get(setting.key).unwrap_or(&Observed::Unsupported);
    let current = observed.value();
    let mut why = vec![setting.about.into()];
    let mut wanted = None;
    let state = match observed {
        Observed::Unsupported => TuneState::Unsupported,
        Observed::Unknown(reason) => {
            why.push(TuneWords::Unread { why: reason.clone() }.into());
            TuneState::Unknown
        }
        Observed::Value(_) | Observed::Absent => {
            match (setting.need)(current.as_deref().unwrap_or_default(), seen, profile) {
                Some(need) => {
                    why.push(need.reason.into());
                    wanted = Some(need.value);
                    TuneState::Change
                }
                None if current.is_some() && applied.get(setting.key) == current.as_ref() => TuneState::Applied,
                None => TuneState::Ok,
            }
        }
    };
    Judged {
        key: setting.key,
        current,
        wanted,
        default: setting.default,
        state,
        why: ListOf(why),
        source: setting.source.clone(),
        confidence: setting.confidence,
        needs_restart: setting.needs_restart,
    }
}

/// Makes a setting that works at once.
fn row(
    key: &'static str,
    default: &'static str,
    about: TuneWords,
    source: TuneWords,
    confidence: Confidence,
    need: fn(&str, &Situation, Profile) -> Option<Need>,
) -> Setting {
    Setting { key, default, about, source, confidence, needs_restart: false, need }
}

/// Raises a number to `least`.
fn at_least(current: &str, least: u64, reason: TuneWords) -> Option<Need> {
    let number: u64 = current.parse().ok()?;
    (number < least).then(|| Need::new(&least, reason))
}

/// Leaves a value as it is.
fn leave(_: &str, _: &Situation, _: Profile) -> Option<Need> {
    None
}

/// Tells whether `used` of `all` is more than `percent`.
fn exceeds(used: u64, all: u64, percent: u64) -> bool {
    used.saturating_mul(100) > all.saturating_mul(percent)
}

/// Returns the text of the file from which Linux sets values at its start. `backup` is where the values are that were
/// there before.
#[must_use]
pub fn sysctl_file(values: &BTreeMap<String, String>, backup: &str) -> String {
    let mut text = "# Written by `portwright tune apply`; `portwright tune revert` removes it.\n".to_owned();
    text.extend(["# The values that were there before: ", backup, "\n"]);
    for (key, value) in values {
        text.extend([key, " = ", value.as_str(), "\n"]);
    }
    text
}

#[cfg(test)]
mod tests;
