//! Why a request to the API is not granted: a stable code and status for programs, words for people.

use crate::model::Port;
use crate::tunnel::policy::Denial;
use crate::tunnel::store::StoreFault;
use crate::words::tunnel::{TunnelWords, Wanting};

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The code; part of the API, never translated.
    pub(crate) code: &'static str,
    /// What a person reads.
    pub(crate) words: TunnelWords,
}

impl Refusal {
    pub(crate) const fn new(status: u16, code: &'static str, words: TunnelWords) -> Self {
        Self { status, code, words }
    }

    /// A field that is missing or cannot be used.
    pub(crate) fn field(field: &'static str, wanted: Wanting) -> Self {
        Self::new(400, "invalid_field", TunnelWords::InvalidField { field, wanted })
    }

    /// A target that the server does not dial.
    pub(crate) fn target(denial: Denial, target: String) -> Self {
        let words = match denial {
            Denial::Special => TunnelWords::TargetSpecial { target },
            Denial::Own => TunnelWords::TargetOwn { target },
            Denial::Listed => TunnelWords::TargetListed { target },
            Denial::Public => TunnelWords::TargetPublic { target },
        };
        Self::new(403, "target_denied", words)
    }

    /// A port that already is a mapping.
    pub(crate) fn exists(port: Port) -> Self {
        Self::new(409, "mapping_exists", TunnelWords::MappingExists { port })
    }

    /// A port number that already is a mapping of another protocol.
    pub(crate) fn exists_as(port: Port, protocol: String) -> Self {
        Self::new(409, "mapping_exists", TunnelWords::MappingExistsAs { port, protocol })
    }

    /// A write that the database did not take.
    pub(crate) fn store(fault: StoreFault, port: Port) -> Self {
        match fault {
            StoreFault::Exists => Self::exists(port),
            StoreFault::Full => Self::new(507, "storage_full", TunnelWords::StorageFull),
            StoreFault::Failed => Self::new(500, "storage_failed", TunnelWords::StorageFailed),
        }
    }

    /// A failure of ours, with the details in the log.
    pub(crate) const fn internal() -> Self {
        Self::new(500, "internal", TunnelWords::InternalFailure)
    }
}
