//! systemd: units, and `systemctl`.

use std::path::PathBuf;

use super::tool::ask;
use super::{Folders, Job, Scope, Standing, Word};
use crate::error::{Error, ErrorKind, Result};
use crate::words::daemon::DaemonWords;

const SYSTEM_UNIT: &str = include_str!("../../../templates/portwright-system.service");
const USER_UNIT: &str = include_str!("../../../templates/portwright-user.service");

/// Where an administrator's units are; packages put theirs elsewhere.
const SYSTEM_UNITS: &str = "/etc/systemd/system";

/// The first version that lets pauses between starts grow (`RestartSteps`).
const GROWING_PAUSES_SINCE: u32 = 254;

pub(super) fn place(name: &str, scope: Scope, folders: &Folders) -> PathBuf {
    let folder = match scope {
        Scope::System => PathBuf::from(SYSTEM_UNITS),
        Scope::User => folders.config.join("systemd/user"),
    };
    folder.join(unit(name))
}

fn unit(name: &str) -> String {
    format!("{name}.service")
}

/// Returns the version of the systemd that is here; 0 where there is none.
pub(super) fn version() -> u32 {
    let text = ask("systemctl", &["--version"]).map(|answer| answer.text).unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Writes the unit for a systemd of this version.
pub(super) fn render(job: &Job, version: u32) -> String {
    let template = match job.scope {
        Scope::System => SYSTEM_UNIT,
        Scope::User => USER_UNIT,
    };
    let pauses = if version >= GROWING_PAUSES_SINCE {
        "RestartSec=1\nRestartSteps=6\nRestartMaxDelaySec=60\n"
    } else {
        "RestartSec=5\n"
    };
    let user = match &job.run_as {
        Some(user) => format!("User={user}\n"),
        None => "DynamicUser=yes\n".to_owned(),
    };
    let capabilities = if job.low_ports { "CAP_NET_BIND_SERVICE" } else { "" };
    let program = std::iter::once(Word::text(job.program.display().to_string()));
    let command: Vec<String> = program.chain(job.arguments.iter().cloned()).map(|word| typed(&word, job)).collect();
    let settings = settings(job);
    let fields = [
        ("{description}", job.description.as_str()),
        ("{command}", &command.join(" ")),
        ("{settings}", &settings),
        ("{pauses}", pauses),
        ("{user}", &user),
        ("{capabilities}", capabilities),
        ("{folder}", &job.folder.display().to_string().replace('%', "%%")),
        ("{name}", &job.name),
    ];
    fields.iter().fold(template.to_owned(), |text, (mark, value)| text.replace(mark, value))
}

/// The lines that only some jobs have: files that systemd reads for the service, variables, folders to write to.
fn settings(job: &Job) -> String {
    let mut lines = Vec::new();
    let words = job.arguments.iter().chain(job.variables.iter().map(|(_, word)| word));
    if job.scope == Scope::System {
        for word in words {
            if let Word::File { credential, path } = word {
                let path = path.display().to_string().replace('%', "%%");
                lines.push(format!("LoadCredential={credential}:{path}\n"));
            }
        }
    }
    for (name, word) in &job.variables {
        let value = match word {
            // Variables are not replaced in `Environment=`; `%d` is the folder of the credentials.
            Word::File { credential, .. } if job.scope == Scope::System => format!("%d/{credential}"),
            other => other.plain().replace('%', "%%"),
        };
        lines.push(format!("Environment={}\n", quoted(&format!("{name}={value}"))));
    }
    for folder in &job.writes {
        lines.push(format!("ReadWritePaths={}\n", quoted(&folder.display().to_string().replace('%', "%%"))));
    }
    lines.concat()
}

/// A word of `ExecStart=`: `%` and `$` have a meaning there, and quotes keep what has spaces together.
fn typed(word: &Word, job: &Job) -> String {
    let text = match word {
        // Unlike `%d`, which came with systemd 250, this is known wherever credentials are.
        Word::File { credential, .. } if job.scope == Scope::System => {
            return format!("${{CREDENTIALS_DIRECTORY}}/{credential}");
        }
        other => other.plain(),
    };
    let text = text.replace('%', "%%").replace('$', "$$");
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,%$@+[]".contains(letter);
    if !text.is_empty() && text.chars().all(plain) { text } else { quoted(&text) }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn systemctl<'a>(scope: Scope, words: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = match scope {
        Scope::System => vec!["--no-ask-password"],
        Scope::User => vec!["--user"],
    };
    arguments.extend(words);
    arguments
}

/// Asks whether a systemd runs: `offline` and silence say that none does.
pub(super) fn answers(scope: Scope) -> Result<()> {
    let answer = ask("systemctl", &systemctl(scope, &["is-system-running"]));
    let state = answer.map(|answer| answer.text.trim().to_owned()).unwrap_or_default();
    if ["", "offline", "unknown"].contains(&state.as_str()) {
        let words = match scope {
            Scope::System => DaemonWords::NoSystemd,
            Scope::User => DaemonWords::NoUserSystemd,
        };
        return Err(Error::new(ErrorKind::Missing, words).hint(DaemonWords::HintNative));
    }
    Ok(())
}

fn told(scope: Scope, words: &[&str], kind: ErrorKind) -> Result<()> {
    let answer = ask("systemctl", &systemctl(scope, words))?;
    if answer.well {
        return Ok(());
    }
    let denied = ["Access denied", "authentication required", "Permission denied"];
    if denied.iter().any(|sign| answer.complaint.contains(sign)) {
        let error = Error::new(ErrorKind::Missing, DaemonWords::NoRights { why: answer.complaint });
        return Err(error.hint(DaemonWords::HintUser));
    }
    let command = format!("systemctl {}", systemctl(scope, words).join(" "));
    Err(Error::new(kind, DaemonWords::ManagerRefused { command, why: answer.complaint }))
}

pub(super) fn reload(scope: Scope) -> Result<()> {
    told(scope, &["daemon-reload"], ErrorKind::Partial)
}

pub(super) fn enable(name: &str, scope: Scope) -> Result<()> {
    reload(scope)?;
    told(scope, &["enable", "--quiet", &unit(name)], ErrorKind::Partial)
}

pub(super) fn disable(name: &str, scope: Scope) -> Result<()> {
    told(scope, &["disable", "--quiet", "--now", &unit(name)], ErrorKind::Partial)
}

pub(super) fn start(name: &str, scope: Scope) -> Result<()> {
    told(scope, &["start", &unit(name)], ErrorKind::Unhealthy)
}

pub(super) fn stop(name: &str, scope: Scope) -> Result<()> {
    told(scope, &["stop", &unit(name)], ErrorKind::Partial)
}

/// The properties that are asked for, in one call.
const PROPERTIES: &str = "--property=LoadState,UnitFileState,ActiveState,SubState,MainPID,ActiveEnterTimestamp,Result";

pub(super) fn standing(name: &str, scope: Scope) -> Result<Standing> {
    let answer = ask("systemctl", &systemctl(scope, &["show", PROPERTIES, &unit(name)]))?;
    if !answer.well {
        let command = format!("systemctl show {}", unit(name));
        return Err(Error::new(ErrorKind::Missing, DaemonWords::ManagerRefused { command, why: answer.complaint }));
    }
    Ok(read_standing(&answer.text))
}

fn read_standing(text: &str) -> Standing {
    let property = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.filter(|value| !value.is_empty())
    };
    let (active, sub) = (property("ActiveState").unwrap_or_default(), property("SubState").unwrap_or_default());
    let known = property("LoadState").is_some_and(|state| state != "not-found");
    Standing {
        enabled: property("UnitFileState").is_some_and(|state| state.starts_with("enabled")),
        running: active == "active",
        state: if known { format!("{active} ({sub})") } else { String::new() },
        pid: property("MainPID").and_then(|pid| pid.parse().ok()).filter(|pid| *pid > 0),
        since: property("ActiveEnterTimestamp").filter(|_| active == "active").map(str::to_owned),
        detail: property("Result").filter(|result| *result != "success").map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::job;
    use super::*;

    fn line<'a>(text: &'a str, key: &str) -> &'a str {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_else(|| panic!("{key}"))
    }

    #[test]
    fn a_system_service_reads_its_files_through_systemd_and_has_no_user_of_its_own() {
        let text = render(&job(), 252);
        assert_eq!(
            line(&text, "ExecStart"),
            "/usr/local/bin/portwright tunnel server --config ${CREDENTIALS_DIRECTORY}/config"
        );
        assert_eq!(line(&text, "LoadCredential"), "config:/etc/portwright/my config.yaml");
        assert_eq!((line(&text, "DynamicUser"), line(&text, "CapabilityBoundingSet")), ("yes", ""));
        assert_eq!(line(&text, "StateDirectory"), "portwright-server");
        assert!(!text.contains('{') || text.matches('{').count() == 1, "every mark is replaced: {text}");
        assert!(!text.contains("RestartSteps"));
        let low = Job { low_ports: true, run_as: Some("tunnel".into()), ..job() };
        let text = render(&low, 255);
        assert_eq!(line(&text, "AmbientCapabilities"), "CAP_NET_BIND_SERVICE");
        assert_eq!((line(&text, "User"), line(&text, "RestartSteps")), ("tunnel", "6"));
    }

    #[test]
    fn what_has_a_meaning_in_a_unit_is_escaped() {
        let arguments = vec![Word::text("a b"), Word::text("50%"), Word::text("$HOME"), Word::text("q\"\\")];
        let variables = vec![("NAME", Word::text("100% \"x\""))];
        let job = Job { arguments, variables, scope: Scope::User, folder: "/home/a b/50%".into(), ..job() };
        let text = render(&job, 252);
        assert_eq!(line(&text, "ExecStart"), r#"/usr/local/bin/portwright "a b" 50%% $$HOME "q\"\\""#);
        assert_eq!(line(&text, "Environment"), r#""NAME=100%% \"x\"""#);
        assert_eq!(line(&text, "WorkingDirectory"), "/home/a b/50%%");
    }

    #[test]
    fn what_systemctl_shows_is_read() {
        let text = "MainPID=812\nResult=success\nLoadState=loaded\nActiveState=active\nSubState=running\n\
                    UnitFileState=enabled\nActiveEnterTimestamp=Fri 2026-11-27 15:31:06 UTC\n";
        let standing = read_standing(text);
        assert!(standing.enabled && standing.running && standing.detail.is_none());
        assert_eq!((standing.pid, standing.state.as_str()), (Some(812), "active (running)"));
        let text = "MainPID=0\nResult=exit-code\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\n\
                    UnitFileState=disabled\nActiveEnterTimestamp=\n";
        let standing = read_standing(text);
        assert!(!standing.enabled && !standing.running && standing.pid.is_none() && standing.since.is_none());
        assert_eq!(standing.detail.as_deref(), Some("exit-code"));
        assert_eq!(read_standing("LoadState=not-found\nActiveState=inactive\n").state, "");
    }
}
