//! Runs a tool of the system that only prints, with a deadline.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// `netsh`, `sysctl` and `netstat` answer in well under a second; a machine in trouble gets ten times that.
const PATIENCE: Duration = Duration::from_secs(5);

/// A list of 65,535 ports with a line of 128 bytes each; nothing that is read here is longer.
const MOST_OUTPUT: u64 = 8 << 20;

/// Runs the program at the absolute path `program` and returns what it printed, at most 8 MiB of it, as text.
///
/// The path is absolute because a bare name is looked up beside our own executable on Windows.
pub(super) fn output_of(program: &Path, arguments: &[&str]) -> io::Result<String> {
    run(program, arguments, PATIENCE)
}

fn run(program: &Path, arguments: &[&str], patience: Duration) -> io::Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (sender, receiver) = mpsc::channel();
    let reader = thread::Builder::new().spawn(move || {
        let mut bytes = Vec::new();
        let read = stdout.take(MOST_OUTPUT).read_to_end(&mut bytes).map(|_| bytes);
        // The receiver is gone once the deadline has passed; then nobody wants the text.
        drop(sender.send(read));
    });
    // Without a reader the channel is closed, and the program is ended like one that hangs.
    drop(reader);
    let answer = receiver.recv_timeout(patience);
    if answer.is_err() {
        child.kill()?;
    }
    child.wait()?;
    let bytes = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_prints_is_heard() {
        let text = output_of(Path::new("/bin/sh"), &["-c", "echo heard"]).expect("sh runs");
        assert_eq!(text, "heard\n");
    }

    #[test]
    fn a_tool_that_hangs_is_ended_at_the_deadline() {
        let error = run(Path::new("/bin/sh"), &["-c", "exec sleep 60"], Duration::from_millis(50));
        assert_eq!(error.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
    }

    #[test]
    fn a_tool_that_is_not_there_is_an_error() {
        assert!(output_of(Path::new("/nonexistent/netsh"), &[]).is_err());
    }
}
