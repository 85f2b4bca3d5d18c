//! Running a program inside a container of ours, beside its service.

use std::fmt;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::StreamExt as _;

use super::engine::{CALL_DEADLINE, Engine};
use super::failure::{Failure, within};
use crate::error::Result;

/// What a program said that ran to its end.
#[derive(Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code.
    pub code: i64,
    /// What it wrote to stdout; may be a secret.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
}

impl fmt::Debug for Ran {
    /// Leaves out what was said: it may be a secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ran").field("code", &self.code).finish_non_exhaustive()
    }
}

impl Engine {
    /// Runs `words` as the service's user in a container of ours, which must run, and waits for its end. What it says
    /// goes to the caller and into no log.
    ///
    /// # Errors
    /// `Refused` for a container that is not ours; `Missing` when the engine refuses, or when it takes longer than 20 s.
    pub async fn run_inside(&self, name: &str, words: &[String]) -> Result<Ran> {
        const CALL: &str = "POST /exec/{id}/start";
        let found = self.owned(name).await?;
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(words.to_vec()),
            ..CreateExecOptions::default()
        };
        let creating = self.api.create_exec(&found.id, options);
        let id = within("POST /containers/{id}/exec", CALL_DEADLINE, creating).await?.id;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let running = async {
            let StartExecResults::Attached { mut output, .. } = self.api.start_exec(&id, None).await? else {
                return Ok(());
            };
            while let Some(piece) = output.next().await {
                match piece? {
                    LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                    LogOutput::StdOut { message } | LogOutput::Console { message } => {
                        stdout.extend_from_slice(&message);
                    }
                    LogOutput::StdIn { .. } => {}
                }
            }
            Ok(())
        };
        within(CALL, CALL_DEADLINE, running).await?;
        let ended = within("GET /exec/{id}/json", CALL_DEADLINE, self.api.inspect_exec(&id)).await?;
        let code = ended.exit_code.ok_or(Failure::Late(CALL, CALL_DEADLINE.as_secs()))?;
        Ok(Ran { code, stdout, stderr })
    }
}
