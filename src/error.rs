//! The one error: a kind that decides the exit code, a message of the catalogue, where it happened, and a hint.
//!
//! A message is an enum with fields (see [`crate::words`]), so code that must branch matches on it; nothing ever
//! compares text.

use crate::words::{Lang, Message, Say};

/// What an error means for the caller; decides the exit code of the process (stable).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A bug of ours.
    Internal,
    /// The command line or a configuration cannot be understood. Nothing was changed.
    Usage,
    /// Judged unsafe or impossible. Nothing was changed.
    Refused,
    /// Another run is at it, or the plan went stale. Nothing was changed.
    Busy,
    /// The surroundings lack something: no engine, no permission, an unreadable file. Nothing was changed.
    Missing,
    /// Launched, but verification failed.
    Unhealthy,
    /// Stopped midway with the state recorded; `undo` or another run continues.
    Partial,
    /// Interrupted by a person or a signal.
    Interrupted,
}

impl ErrorKind {
    /// Returns the exit code that the contract fixes for this kind.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Busy => 4,
            Self::Missing => 5,
            Self::Unhealthy => 6,
            Self::Partial => 7,
            Self::Interrupted => 130,
        }
    }

    /// Returns the kind that has this exit code, as another run of this program ended with; `None` for any other.
    #[must_use]
    pub fn of_exit_code(code: i64) -> Option<Self> {
        const ALL: [ErrorKind; 8] = [
            ErrorKind::Internal,
            ErrorKind::Usage,
            ErrorKind::Refused,
            ErrorKind::Busy,
            ErrorKind::Missing,
            ErrorKind::Unhealthy,
            ErrorKind::Partial,
            ErrorKind::Interrupted,
        ];
        ALL.into_iter().find(|kind| i64::from(kind.exit_code()) == code)
    }
}

/// An error to show to a person: what, where, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    kind: ErrorKind,
    message: Message,
    context: Vec<Message>,
    hint: Option<Message>,
}

/// The result of anything in Portwright that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<Message>) -> Self {
        Self(Box::new(Parts { kind, message: message.into(), context: Vec::new(), hint: None }))
    }

    /// Adds the way out: a sentence with a command or a file to look at.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Message>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds where it happened ("while planning service `web`"); the innermost place is added first.
    #[must_use]
    pub fn context(mut self, place: impl Into<Message>) -> Self {
        self.0.context.push(place.into());
        self
    }

    /// Returns the same error as another kind, for a caller that knows more about what was changed.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns what went wrong.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// Returns the places, innermost first.
    #[must_use]
    pub fn places(&self) -> &[Message] {
        &self.0.context
    }

    /// Returns the way out, if there is one.
    #[must_use]
    pub fn way_out(&self) -> Option<&Message> {
        self.0.hint.as_ref()
    }
}

impl std::fmt::Display for Error {
    /// Writes the English message and its places on one line, for logs and tests; `cli` renders errors for people.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0.message.say(Lang::En))?;
        self.0.context.iter().try_for_each(|place| write!(formatter, " ({place})"))
    }
}

impl std::error::Error for Error {}
