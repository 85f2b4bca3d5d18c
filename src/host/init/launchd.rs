//! launchd: property lists, and `launchctl`. Its verbs `bootstrap`, `bootout`, `kickstart` and `print` are those of
//! macOS 10.11 and later (launchctl(1)).

use std::path::{Path, PathBuf};

use super::tool::ask;
use super::{Folders, Job, Scope, Standing, Word};
use crate::error::{Error, ErrorKind, Result};
use crate::words::daemon::DaemonWords;

const PLIST: &str = include_str!("../../../templates/portwright.plist");

/// What `launchctl print` and `bootout` end with where there is no such service (ESRCH; 113 is launchd's own).
const NO_SERVICE: [&str; 2] = ["Could not find service", "No such process"];

pub(super) fn place(name: &str, scope: Scope, folders: &Folders) -> PathBuf {
    let folder = match scope {
        Scope::System => PathBuf::from("/Library/LaunchDaemons"),
        Scope::User => folders.home.join("Library/LaunchAgents"),
    };
    folder.join(format!("{name}.plist"))
}

pub(super) fn render(job: &Job) -> String {
    let program = std::iter::once(job.program.display().to_string());
    let words = program.chain(job.arguments.iter().map(Word::plain));
    let command: Vec<String> = words.map(|word| format!("        <string>{}</string>\n", escaped(&word))).collect();
    let user = |name: &String| format!("    <key>UserName</key>\n    <string>{}</string>\n", escaped(name));
    let fields = [
        ("{command}", command.concat()),
        ("{user}", job.run_as.as_ref().map(user).unwrap_or_default()),
        ("{folder}", escaped(&job.folder.display().to_string())),
        ("{label}", escaped(&job.name)),
    ];
    fields.iter().fold(PLIST.to_owned(), |text, (mark, value)| text.replace(mark, value))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The name of the domain that services of this scope are in; `gui` is that of the user who is logged in.
fn domain(scope: Scope) -> Result<String> {
    match scope {
        Scope::System => Ok("system".to_owned()),
        Scope::User => ask("id", &["-u"]).map(|answer| format!("gui/{}", answer.text.trim())),
    }
}

fn target(name: &str, scope: Scope) -> Result<String> {
    Ok(format!("{}/{name}", domain(scope)?))
}

pub(super) fn answers() -> Result<()> {
    ask("launchctl", &["version"]).map(|_| ())
}

fn told(words: &[&str], kind: ErrorKind) -> Result<()> {
    let answer = ask("launchctl", words)?;
    if answer.well || NO_SERVICE.iter().any(|sign| answer.complaint.contains(sign)) && words.contains(&"bootout") {
        return Ok(());
    }
    let command = format!("launchctl {}", words.join(" "));
    Err(Error::new(kind, DaemonWords::ManagerRefused { command, why: answer.complaint }))
}

/// launchd starts what is bootstrapped at once, because `RunAtLoad` is what starts it with the system.
pub(super) fn enable(name: &str, scope: Scope, unit: &Path) -> Result<()> {
    told(&["bootout", &target(name, scope)?], ErrorKind::Partial)?;
    told(&["enable", &target(name, scope)?], ErrorKind::Partial)?;
    told(&["bootstrap", &domain(scope)?, &unit.display().to_string()], ErrorKind::Partial)
}

pub(super) fn disable(name: &str, scope: Scope) -> Result<()> {
    told(&["bootout", &target(name, scope)?], ErrorKind::Partial)
}

pub(super) fn start(name: &str, scope: Scope) -> Result<()> {
    let target = target(name, scope)?;
    if !ask("launchctl", &["print", &target])?.well {
        let folders = Folders { config: PathBuf::new(), home: std::env::home_dir().unwrap_or_default() };
        let unit = place(name, scope, &folders).display().to_string();
        told(&["bootstrap", &domain(scope)?, &unit], ErrorKind::Unhealthy)?;
    }
    told(&["kickstart", &target], ErrorKind::Unhealthy)
}

/// With `KeepAlive` a signal would only start it again: the service is taken out until the next start of the system.
pub(super) fn stop(name: &str, scope: Scope) -> Result<()> {
    disable(name, scope)
}

pub(super) fn standing(name: &str, scope: Scope) -> Result<Standing> {
    let answer = ask("launchctl", &["print", &target(name, scope)?])?;
    Ok(if answer.well { read_standing(&answer.text) } else { Standing::default() })
}

/// Reads `launchctl print`: lines `state = running`, `pid = 812`, `last exit code = 3`. Apple calls the text no
/// interface, so what is missing in it is unknown and no error.
fn read_standing(text: &str) -> Standing {
    let value = |name: &str| {
        text.lines().find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('=')).map(str::trim)
    };
    let state = value("state").unwrap_or_default();
    let exit = value("last exit code").filter(|code| !["0", "(never exited)"].contains(code));
    Standing {
        enabled: true,
        running: state == "running",
        state: state.to_owned(),
        pid: value("pid").and_then(|pid| pid.parse().ok()),
        since: None,
        detail: exit.map(|code| format!("last exit code {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::job;
    use super::*;

    #[test]
    fn a_property_list_starts_the_service_again_and_gives_it_enough_files() {
        let text = render(&Job { folder: "/a & b".into(), ..job() });
        let flat: String = text.split_whitespace().collect();
        assert!(flat.contains("<key>KeepAlive</key><true/>"), "{text}");
        assert!(flat.contains("<key>NumberOfFiles</key><integer>65536</integer>"));
        assert!(text.contains("<string>/a &amp; b</string>") && text.contains("<string>server</string>"));
        assert!(text.contains("<string>/etc/portwright/my config.yaml</string>") && !text.contains('{'));
        let named: String = render(&Job { run_as: Some("tunnel".into()), ..job() }).split_whitespace().collect();
        assert!(named.contains("<key>UserName</key><string>tunnel</string>") && !flat.contains("UserName"));
    }

    #[test]
    fn units_lie_where_launchd_looks() {
        let folders = Folders { config: "/h/.config".into(), home: "/h".into() };
        assert_eq!(place("x", Scope::User, &folders), Path::new("/h/Library/LaunchAgents/x.plist"));
        assert_eq!(place("x", Scope::System, &folders), Path::new("/Library/LaunchDaemons/x.plist"));
    }

    #[test]
    fn what_launchctl_prints_is_read() {
        let text = "system/portwright-server = {\n\tactive count = 1\n\tstate = running\n\n\tpid = 812\n\
                    \tlast exit code = (never exited)\n}\n";
        let standing = read_standing(text);
        assert!(standing.running && standing.pid == Some(812) && standing.detail.is_none());
        let standing = read_standing("\tstate = spawn scheduled\n\tlast exit code = 3\n");
        assert!(!standing.running && standing.detail.as_deref() == Some("last exit code 3"));
    }
}
