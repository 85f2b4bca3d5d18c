//! A pseudo-terminal with the program in it, and a person before it.

use std::process::{Command, Stdio};
use std::time::Duration;

use expectrl::process::unix::WaitStatus;
use expectrl::session::{OsSession, Session};
use expectrl::{Eof, Expect as _};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Terminal(OsSession);

impl Terminal {
    /// Runs a program in a terminal of its own.
    pub(crate) fn open(mut command: Command) -> Self {
        command.env("TERM", "xterm-256color").stdin(Stdio::inherit());
        let mut session = Session::spawn(command).expect("a pseudo-terminal");
        session.set_expect_timeout(Some(PATIENCE));
        Self(session)
    }

    /// Waits for a text.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> &mut Self {
        self.reads_up_to(text);
        self
    }

    /// Waits for a text and returns what was shown before it.
    #[track_caller]
    pub(crate) fn reads_up_to(&mut self, text: &str) -> String {
        let seen = self.0.expect(text).unwrap_or_else(|error| panic!("{text:?} did not appear: {error}"));
        String::from_utf8_lossy(seen.before()).into_owned()
    }

    /// Sends keys as one write.
    pub(crate) fn types(&mut self, keys: &str) -> &mut Self {
        self.0.send(keys).expect("the terminal takes keys");
        self
    }

    /// Sends each key as a write of its own, as a keyboard does.
    pub(crate) fn types_each(&mut self, keys: &[&str]) -> &mut Self {
        for key in keys {
            self.types(key);
        }
        self
    }

    /// Sends a signal, by its option of `kill`.
    pub(crate) fn is_sent(&mut self, signal: &str) -> &mut Self {
        let pid = self.0.get_process().pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
        self
    }

    /// Waits for the end; returns what was shown since the last look.
    #[track_caller]
    pub(crate) fn ends_with(&mut self, code: i32) -> String {
        let rest = self.0.expect(Eof).expect("the end");
        let shown = String::from_utf8_lossy(rest.as_bytes()).into_owned();
        match self.0.get_process().wait().expect("an exit status") {
            WaitStatus::Exited(_, seen) => assert_eq!(seen, code, "{shown}"),
            other => panic!("ended with {other:?}: {shown}"),
        }
        shown
    }
}
