//! The last lines of the log, kept in memory for the API: the newest minutes, within a bound, with secrets masked.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::Context;

use crate::model::Secret;

/// How long a line is kept.
const KEEP: Duration = Duration::from_mins(15);

/// The most lines that are kept, and the most bytes of one.
const LINES_MAX: usize = 2000;
const LINE_BYTES_MAX: usize = 2048;

/// What stands in the place of a secret.
const MASK: &str = "***";

/// What tokens and join codes begin with.
const SECRET_PREFIXES: [&str; 2] = ["pwt_", "pwj_"];

/// The lines of this process, which has one log however many servers run in it.
static BOOK: Mutex<Book> = Mutex::new(Book { lines: VecDeque::new(), secrets: Vec::new() });

struct Book {
    lines: VecDeque<LogLine>,
    secrets: Vec<Secret>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct LogLine {
    /// Milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub(crate) level: &'static str,
    /// The message, then its fields as `name=value`.
    pub(crate) message: String,
}

fn book() -> MutexGuard<'static, Book> {
    BOOK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Masks `secret` in every line from now on.
pub(crate) fn hide(secret: &Secret) {
    let mut book = book();
    if !book.secrets.iter().any(|known| known.matches(secret.expose().as_bytes())) {
        book.secrets.push(secret.clone());
    }
}

/// Returns the newest `limit` lines that are at least as important as `least`, the oldest first.
pub(crate) fn lines(limit: usize, least: Level) -> Vec<LogLine> {
    let book = book();
    let important =
        book.lines.iter().rev().filter(|line| line.level.parse::<Level>().is_ok_and(|level| level <= least));
    let mut lines: Vec<_> = important.take(limit).cloned().collect();
    lines.reverse();
    lines
}

/// Copies what is logged into the book.
pub(crate) struct Layer;

impl<S: Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        book().add(LogLine { at_ms, level, message: text.line() });
    }
}

impl Book {
    fn add(&mut self, mut line: LogLine) {
        line.message = self.masked(line.message);
        let keep_since = line.at_ms.saturating_sub(u64::try_from(KEEP.as_millis()).unwrap_or(u64::MAX));
        while self.lines.len() >= LINES_MAX || self.lines.front().is_some_and(|first| first.at_ms < keep_since) {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Returns a line without secrets: the ones that are known, and every word that is a token or a join code.
    fn masked(&self, mut line: String) -> String {
        for secret in &self.secrets {
            line = line.replace(secret.expose(), MASK);
        }
        for prefix in SECRET_PREFIXES {
            while let Some(place) = line.find(prefix) {
                let rest = line.get(place + prefix.len()..).unwrap_or_default();
                let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && !"-_".contains(letter));
                let end = place + prefix.len() + length.unwrap_or(rest.len());
                line.replace_range(place..end, MASK);
            }
        }
        line
    }
}

/// An event as one line.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn line(self) -> String {
        let mut line = self.message + &self.fields;
        if line.len() > LINE_BYTES_MAX {
            line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
            line.push('…');
        }
        line
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn lines_are_kept_without_secrets_and_by_importance() {
        hide(&Secret::new("8f1d2c3b4a596877"));
        let logging = tracing_subscriber::registry().with(Layer);
        tracing::subscriber::with_default(logging, || {
            tracing::warn!(port = 10022, key = "8f1d2c3b4a596877", "logbook test of pwt_abc-DEF and pwj_x, done");
            tracing::debug!("logbook test in detail");
        });
        let ours = |least| {
            let lines = lines(LINES_MAX, least);
            lines.into_iter().filter(|line| line.message.starts_with("logbook test")).collect::<Vec<_>>()
        };
        let important = ours(Level::WARN);
        let [line] = important.as_slice() else { panic!("one line: {important:?}") };
        let text = "logbook test of *** and ***, done port=10022 key=\"***\"";
        assert_eq!((line.level, line.message.as_str()), ("warn", text));
        assert_eq!(ours(Level::TRACE).len(), 2);
    }

    #[test]
    fn a_book_is_bounded_in_lines_in_time_and_in_width() {
        let mut book = Book { lines: VecDeque::new(), secrets: Vec::new() };
        let line = |at_ms| LogLine { at_ms, level: "info", message: String::new() };
        (0..LINES_MAX as u64 + 5).for_each(|at_ms| book.add(line(at_ms)));
        assert_eq!((book.lines.len(), book.lines.front().map(|line| line.at_ms)), (LINES_MAX, Some(5)));
        book.add(line(60 * 60 * 1000));
        assert_eq!(book.lines.len(), 1, "the others are too old");
        let long = Text { message: "字".repeat(LINE_BYTES_MAX), fields: String::new() }.line();
        assert!(long.len() <= LINE_BYTES_MAX + '…'.len_utf8() && long.ends_with('…'));
    }
}
