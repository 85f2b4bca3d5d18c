//! Why a request to the API is not granted: a stable code and status for programs, words for people.

use crate::error::Error;
use crate::model::Port;
use crate::tunnel::policy::Denial;
use crate::tunnel::store::StoreFault;
use crate::words::Message;
use crate::words::trust::TrustWords;
use crate::words::tunnel::{TunnelWords, Wanting};

/// How long a caller that asked too often should wait, in seconds: a second refills what it may ask.
pub(crate) const RETRY_AFTER_S: u64 = 1;

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The code; part of the API, never translated.
    pub(crate) code: &'static str,
    /// What a person reads.
    pub(crate) words: TunnelWords,
    /// The field of the request that it is about.
    pub(crate) field: Option<String>,
}

impl Refusal {
    pub(crate) const fn new(status: u16, code: &'static str, words: TunnelWords) -> Self {
        Self { status, code, words, field: None }
    }

    /// Says which field of the request it is about.
    pub(crate) fn about(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// A field that is missing or cannot be used.
    pub(crate) fn field(field: &'static str, wanted: Wanting) -> Self {
        Self::new(400, "invalid_field", TunnelWords::InvalidField { field, wanted }).about(field)
    }

    /// A field that no one knows.
    pub(crate) fn unknown_field(field: String) -> Self {
        Self::new(400, "invalid_field", TunnelWords::UnknownField { field: field.clone() }).about(field)
    }

    /// A field that is given twice.
    pub(crate) fn field_twice(field: String) -> Self {
        Self::new(400, "invalid_field", TunnelWords::FieldTwice { field: field.clone() }).about(field)
    }

    /// A mapping whose listener is about to be opened.
    pub(crate) const fn reloading() -> Self {
        Self::new(503, "reloading", TunnelWords::Reloading)
    }

    /// A port that is no mapping.
    pub(crate) fn no_mapping(port: Port) -> Self {
        Self::new(404, "mapping_not_found", TunnelWords::MappingNotFound { port })
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

    /// What a verb for tokens refused.
    pub(crate) fn token(error: &Error) -> Self {
        let reason = TunnelWords::Because { reason: Box::new(error.message().clone()) };
        let words = match error.message() {
            Message::Trust(words) => words,
            Message::Tunnel(TunnelWords::StorageUnavailable | TunnelWords::PostgresUnusable { .. }) => {
                return Self::storage(StoreFault::Unavailable);
            }
            _ => return Self::new(500, "storage_failed", reason),
        };
        match words {
            TrustWords::BadTokenName | TrustWords::TokenNameReserved { .. } => {
                Self::new(400, "invalid_field", reason).about("name")
            }
            TrustWords::TokenNameTaken { .. } => Self::new(409, "token_exists", reason),
            TrustWords::NoSuchToken { .. } => Self::new(404, "token_not_found", reason),
            _ => Self::new(500, "token_failed", reason),
        }
    }

    /// A write that the database did not take.
    pub(crate) fn store(fault: StoreFault, port: Port) -> Self {
        match fault {
            StoreFault::Exists => Self::exists(port),
            fault => Self::storage(fault),
        }
    }

    /// A question or a write that the database did not take.
    pub(crate) fn storage(fault: StoreFault) -> Self {
        match fault {
            StoreFault::Full => Self::new(507, "storage_full", TunnelWords::StorageFull),
            StoreFault::Unavailable => Self::new(503, "storage_unavailable", TunnelWords::StorageUnavailable),
            StoreFault::Exists | StoreFault::Failed => Self::new(500, "storage_failed", TunnelWords::StorageFailed),
        }
    }

    /// A caller that asks too often; [`RETRY_AFTER_S`] later it may ask again.
    pub(crate) const fn rate_limited() -> Self {
        Self::new(429, "rate_limited", TunnelWords::RateLimited)
    }

    /// A failure of ours, with the details in the log.
    pub(crate) const fn internal() -> Self {
        Self::new(500, "internal", TunnelWords::InternalFailure)
    }
}
