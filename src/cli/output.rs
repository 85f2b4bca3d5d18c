//! How Portwright speaks: data to stdout, everything else to stderr, in the person's language.
//!
//! Nothing here panics: a reader of stdout that has gone ends the run quietly, a full disk is an error with a message,
//! and a closed stderr is not noticed.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::args::GlobalArgs;
use super::environment::{Environment, Terminals};
use super::escape;
use crate::error::{Error, ErrorKind, Result};
use crate::words::cli::CliWords;
use crate::words::{Lang, Message, Say};

/// How one stream looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether it gets colour.
    pub color: bool,
    /// Whether symbols beyond ASCII can be shown.
    pub unicode: bool,
    /// Its width in columns; `None` for a stream that is no terminal, where nothing is wrapped.
    pub width: Option<u16>,
}

/// A colour; it never carries a meaning that the text does not carry too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Errors, conflicts, removed lines.
    Red,
    /// What is well, added lines.
    Green,
    /// Warnings.
    Yellow,
    /// Hints, places in files.
    Cyan,
    /// Headings.
    Bold,
    /// What matters less.
    Dim,
}

impl Paint {
    /// Returns the sequence that begins the colour.
    pub(super) const fn start(self) -> &'static str {
        match self {
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Red => "\x1b[31m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Cyan => "\x1b[36m",
        }
    }
}

/// Ends any colour.
pub(super) const PAINT_STOP: &str = "\x1b[0m";

impl Look {
    /// Returns `text` in a colour, or as it is where there is none.
    #[must_use]
    pub fn paint(self, text: &str, paint: Paint) -> String {
        if self.color { format!("{}{text}{PAINT_STOP}", paint.start()) } else { text.to_owned() }
    }

    /// Returns the sign between old and new.
    #[must_use]
    pub const fn arrow(self) -> &'static str {
        if self.unicode { "→" } else { "->" }
    }

    /// Returns what stands in place of a secret.
    #[must_use]
    pub const fn mask(self) -> &'static str {
        if self.unicode { "•••" } else { "***" }
    }
}

/// The voice of one run.
#[derive(Debug, Clone)]
pub struct Talk {
    /// The language.
    pub lang: Lang,
    /// Whether only data and errors are printed.
    pub quiet: bool,
    /// How much more than usual is said: 0, 1 or 2 and more.
    pub verbose: u8,
    /// Whether stdout gets one JSON document and nothing else.
    pub json: bool,
    /// How stdout looks.
    pub out: Look,
    /// How stderr looks.
    pub err: Look,
    terminals: Terminals,
    answered: Arc<AtomicBool>,
}

impl Talk {
    /// Makes the voice for a command line in its surroundings.
    #[must_use]
    pub fn new(lang: Lang, global: &GlobalArgs, environment: &Environment) -> Self {
        let look = |terminal: bool| Look {
            color: environment.color(global.color, terminal),
            unicode: environment.unicode(),
            width: environment.columns.filter(|_| terminal),
        };
        let terminals = environment.terminals;
        Self {
            lang,
            quiet: global.quiet,
            verbose: global.verbose,
            json: global.json,
            out: look(terminals.stdout),
            err: look(terminals.stderr),
            terminals,
            answered: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Tells whether a person is there to answer: stdin and stderr are terminals.
    #[must_use]
    pub const fn can_ask(&self) -> bool {
        self.terminals.stdin && self.terminals.stderr
    }

    /// Tells whether progress may be drawn: stdout and stderr are terminals, and the person did not ask for quiet.
    #[must_use]
    pub const fn can_draw(&self) -> bool {
        self.terminals.stderr && self.terminals.stdout && !self.quiet
    }

    /// Says something on stderr, unless quiet.
    pub fn say(&self, message: impl Into<Message>) {
        if !self.quiet {
            write_err(&escape::lines(&message.into().say(self.lang)));
        }
    }

    /// Says something on stderr that only a person who asked for more (`-v`) wants to read.
    pub fn detail(&self, message: impl Into<Message>) {
        if self.verbose > 0 {
            self.say(message);
        }
    }

    /// Warns on stderr, unless quiet.
    pub fn warn(&self, message: impl Into<Message>) {
        self.marked(&CliWords::WarningMark, Paint::Yellow, &message.into());
    }

    /// Remarks on stderr, unless quiet.
    pub fn note(&self, message: impl Into<Message>) {
        self.marked(&CliWords::NoteMark, Paint::Cyan, &message.into());
    }

    /// Names the way on, on stderr, unless quiet.
    pub fn hint(&self, message: impl Into<Message>) {
        self.marked(&CliWords::HintMark, Paint::Cyan, &message.into());
    }

    fn marked(&self, mark: &CliWords, paint: Paint, message: &Message) {
        if !self.quiet {
            let text = join_mark(&self.err.paint(&mark.say(self.lang), paint), &message.say(self.lang), self.lang);
            write_err(&text);
        }
    }

    /// Shows a text of several lines that this room rendered and escaped (a table, a diff) on stderr, unless quiet.
    pub fn show(&self, rendered: &str) {
        if !self.quiet {
            write_err(rendered);
        }
    }

    /// Prints data on stdout: a text that this room rendered and escaped. A line feed is added where it lacks one.
    ///
    /// Under `--json` nothing is printed: stdout is for the document.
    pub fn data(&self, rendered: &str) -> Result<()> {
        if self.json { Ok(()) } else { write_out(rendered) }
    }

    /// Prints the document on stdout. A run has one: an error that follows is told on stderr alone.
    pub fn json(&self, document: &impl Serialize) -> Result<()> {
        self.answered.store(true, Ordering::Relaxed);
        let text = if self.terminals.stdout {
            serde_json::to_string_pretty(document)
        } else {
            serde_json::to_string(document)
        };
        match text {
            Ok(text) => write_out(&text),
            Err(error) => Err(Error::new(ErrorKind::Internal, CliWords::NotJson { why: error.to_string() })),
        }
    }

    /// Tells whether the document was printed.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Writes rendered text to stderr, also when quiet.
pub(super) fn write_err(text: &str) {
    let mut stream = io::stderr().lock();
    // A closed or full stderr leaves nobody to tell.
    let _ = stream.write_all(with_line_feed(text).as_bytes());
    let _ = stream.flush();
}

/// Puts a mark before a text: Chinese marks end in a full-width colon and take no space.
pub(super) fn join_mark(mark: &str, text: &str, lang: Lang) -> String {
    let space = if lang == Lang::ZhCn { "" } else { " " };
    format!("{mark}{space}{}", escape::lines(text))
}

fn with_line_feed(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

/// Writes to stdout at once, so that a failure is seen here and not when the process ends.
pub(super) fn write_out(text: &str) -> Result<()> {
    let mut stream = io::stdout().lock();
    let written = stream.write_all(with_line_feed(text).as_bytes()).and_then(|()| stream.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Error::new(ErrorKind::Interrupted, CliWords::OutputClosed),
        _ => Error::new(ErrorKind::Missing, CliWords::OutputFailed { why: error.to_string() }),
    })
}

/// Tells whether `error` only says that the reader of stdout has gone (`| head`), which ends a run with 0 and no words.
pub(super) fn is_output_closed(error: &Error) -> bool {
    matches!(error.message(), Message::Cli(CliWords::OutputClosed))
}
