//! Progress of steps that take a while: one line on stderr, only on a terminal, gone when the step is done.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::escape;
use super::output::Talk;
use crate::words::{Lang, Message, Say};

/// How long a step lasts before it is worth a line: what is quicker only flickers.
const APPEARS_AFTER: Duration = Duration::from_millis(500);

/// How often the line moves: often enough to be seen alive, seldom enough for a slow connection.
const TICK: Duration = Duration::from_millis(120);

/// The progress of one run; silent where nobody watches.
#[derive(Debug)]
pub struct Progress {
    lang: Lang,
    unicode: bool,
    draws: bool,
    shown: Option<Shown>,
}

#[derive(Debug)]
struct Shown {
    line: ProgressBar,
    /// Dropped to tell the thread that the step is over.
    open: mpsc::Sender<()>,
    appears: JoinHandle<()>,
}

impl Progress {
    /// Makes a progress that draws nothing yet.
    #[must_use]
    pub fn new(talk: &Talk) -> Self {
        Self { lang: talk.lang, unicode: talk.err.unicode, draws: talk.can_draw(), shown: None }
    }

    /// Ends the step before and begins one.
    pub fn step(&mut self, message: impl Into<Message>) {
        self.done();
        if !self.draws {
            return;
        }
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        line.set_style(style("{spinner} {msg} {elapsed}", self.unicode));
        line.set_message(escape::line(&message.into().say(self.lang)).into_owned());
        let (open, closed) = mpsc::channel::<()>();
        let drawn = line.clone();
        let appears = thread::spawn(move || {
            if closed.recv_timeout(APPEARS_AFTER) == Err(RecvTimeoutError::Timeout) {
                drawn.set_draw_target(ProgressDrawTarget::stderr());
                drawn.enable_steady_tick(TICK);
            }
        });
        self.shown = Some(Shown { line, open, appears });
    }

    /// Tells how many bytes of the step are done; a `total` of 0 is unknown.
    pub fn bytes(&self, done: u64, total: u64) {
        let Some(shown) = &self.shown else { return };
        if total > 0 && shown.line.length() != Some(total) {
            shown.line.set_length(total);
            shown.line.set_style(style("{spinner} {msg} {bytes}/{total_bytes} {elapsed}", self.unicode));
        }
        shown.line.set_position(done);
    }

    /// Ends the step and clears its line.
    pub fn done(&mut self) {
        if let Some(Shown { line, open, appears }) = self.shown.take() {
            drop(open);
            // The thread does not panic; joined so that it cannot draw after the line was cleared.
            let _ = appears.join();
            line.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done();
    }
}

fn style(template: &str, unicode: bool) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
    style.tick_chars(if unicode { "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ " } else { "-\\|/ " })
}
