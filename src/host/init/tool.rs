//! Runs the tool of a service manager and hears what it says.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::words::daemon::DaemonWords;

/// A service may take 90 s to say that it is ready (`DefaultTimeoutStartSec`) and 45 s to stop.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a tool answered.
pub(super) struct Answer {
    /// Whether it ended with 0.
    pub(super) well: bool,
    /// What it printed.
    pub(super) text: String,
    /// What it complained about, on one line.
    pub(super) complaint: String,
}

/// Runs `program`, which the search path names: these tools lie in different folders on different systems.
///
/// # Errors
/// `Missing` when it is not there or does not end.
pub(super) fn ask(program: &str, arguments: &[&str]) -> Result<Answer> {
    run(program, arguments).map_err(|error| {
        let words = DaemonWords::ToolFailed { tool: program.to_owned(), why: error.to_string() };
        Error::new(ErrorKind::Missing, words)
    })
}

fn run(program: &str, arguments: &[&str]) -> io::Result<Answer> {
    let mut command = Command::new(program);
    // Messages are compared by nobody, but people paste them into search engines.
    command.args(arguments).env("LC_ALL", "C.UTF-8").env("SYSTEMD_PAGER", "").env("SYSTEMD_COLORS", "0");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (sender, receiver) = mpsc::channel();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::spawn(move || {
        let text = read(stdout);
        // Nobody listens any more once the deadline has passed.
        drop(sender.send((text, read(stderr))));
    });
    let Ok((text, complaint)) = receiver.recv_timeout(PATIENCE) else {
        child.kill()?;
        child.wait()?;
        return Err(io::ErrorKind::TimedOut.into());
    };
    let well = child.wait()?.success();
    let complaint = complaint.split_whitespace().collect::<Vec<_>>().join(" ");
    Ok(Answer { well, text, complaint })
}

fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    // What was read before an error is all that there is.
    let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
