//! What is seen of the settings of a system's network, before anybody judges it.

use super::PortRange;

/// A setting as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// It has this value, in the spelling of the system.
    Value(String),
    /// It is not set, and the system uses its built-in default (a value of the Windows registry).
    Absent,
    /// This system does not have it.
    Unsupported,
    /// It could not be read, because of this (the system's own words).
    Unknown(String),
}

impl Observed {
    /// Returns the value with single spaces between its words; `None` where there is none.
    #[must_use]
    pub fn value(&self) -> Option<String> {
        match self {
            Self::Value(text) => Some(text.split_whitespace().collect::<Vec<_>>().join(" ")),
            Self::Absent | Self::Unsupported | Self::Unknown(_) => None,
        }
    }
}

/// What the system counts of the trouble that a setting could mend. `None` is "cannot be seen here", which is no need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TuneSigns {
    /// Different local TCP ports of the ephemeral range that are in use, `TIME_WAIT` included.
    pub ephemeral_in_use: Option<u64>,
    /// Connections that the firewall keeps track of.
    pub tracked: Option<u64>,
    /// How often the queue of half-open connections was full since the start of the system.
    pub half_open_full: Option<u64>,
    /// Packets that were dropped because the queue of a processor was full, since the start of the system.
    pub backlog_drops: Option<u64>,
    /// Ranges of ports that the system keeps from being bound (`WinNAT` of Windows).
    pub excluded: Vec<PortRange>,
    /// The names of the congestion controls that the system offers.
    pub congestion_controls: Vec<String>,
}
