//! `service`: the tunnel server and client as services of the system.

use std::path::PathBuf;

use serde::Serialize;

use super::args::{
    InstallArgs, InstallRole, RoleChoice, ServiceArgs, ServiceRemoveArgs, ServiceScopeArgs, ServiceVerb,
};
use super::diff::unified;
use super::interrupt::Interrupt;
use super::json::ChangeView;
use super::output::Paint;
use super::service::agree_to;
use super::table::{Cell, table};
use super::tunnel::options_of;
use super::{Ending, Environment, Talk, wishes};
use crate::deploy::daemon::{self, ClientWish, Ground, Installation, Role, ServerWish, Service, Wish};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{Manager, Scope};
use crate::tunnel::client::ClientOptions;
use crate::words::Say;
use crate::words::daemon::DaemonWords;
use crate::words::verbs::VerbWords;

/// `service … --json`.
#[derive(Debug, Serialize)]
struct ServiceDocument {
    schema: &'static str,
    services: Vec<ServiceRow>,
    /// The changes of files, planned or made; those of secret files are only named.
    changes: Vec<ChangeView>,
    warnings: Vec<String>,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct ServiceRow {
    name: String,
    role: Option<&'static str>,
    manager: &'static str,
    scope: &'static str,
    installed: bool,
    enabled: bool,
    running: bool,
    state: String,
    pid: Option<u32>,
    since: Option<String>,
    unit: String,
    log: String,
    detail: Option<String>,
}

impl ServiceDocument {
    fn new(ground: &Ground, services: &[Service]) -> Self {
        let services = services.iter().map(|service| row(ground, service)).collect();
        let (changes, warnings) = (Vec::new(), Vec::new());
        Self { schema: "portwright.service/1", services, changes, warnings, dry_run: false }
    }
}

fn row(ground: &Ground, service: &Service) -> ServiceRow {
    let standing = &service.standing;
    let remark = service.remark.as_ref().map(ToString::to_string);
    ServiceRow {
        name: service.name.clone(),
        role: service.role.map(Role::name),
        manager: ground.manager.name(),
        scope: ground.scope.name(),
        installed: service.installed,
        enabled: standing.enabled,
        running: standing.running,
        state: state(service),
        pid: standing.pid,
        since: standing.since.clone(),
        unit: service.unit.display().to_string(),
        log: service.log.clone(),
        detail: standing.detail.clone().or(remark),
    }
}

/// The state in the manager's word; ours where it has none.
fn state(service: &Service) -> String {
    match (service.installed, service.standing.state.as_str()) {
        (false, _) => "not installed".to_owned(),
        (true, "") => "unknown".to_owned(),
        (true, state) => state.to_owned(),
    }
}

pub(super) fn run(verb: &ServiceVerb, talk: &Talk, environment: &Environment) -> Result<Ending> {
    match verb {
        ServiceVerb::Install { role } => install(role, talk, environment),
        ServiceVerb::Uninstall(typed) => uninstall(typed, talk, environment),
        ServiceVerb::Start(typed) => set_running(typed, true, talk, environment),
        ServiceVerb::Stop(typed) => set_running(typed, false, talk, environment),
        ServiceVerb::Status(typed) => status(typed, talk, environment),
        ServiceVerb::Host(typed) => super::tunnel::host(typed),
    }
}

fn ground(typed: &ServiceScopeArgs, environment: &Environment) -> Result<Ground> {
    let scope = if typed.user { Scope::User } else { Scope::System };
    let home = ["HOME", "USERPROFILE"].into_iter().find_map(|name| environment.variable(name));
    Ok(Ground::new(scope, &wishes::dirs(environment)?, &home.map(PathBuf::from).unwrap_or_default()))
}

fn wish(role: &InstallRole) -> (Wish, &InstallArgs, Role) {
    match role {
        InstallRole::Server(typed) => {
            let wish = ServerWish {
                config: typed.config.clone(),
                env_file: typed.env_file.clone(),
                insecure: typed.insecure,
                run_as: typed.install.run_as.clone(),
            };
            (Wish::Server(wish), &typed.install, Role::Server)
        }
        InstallRole::Client(typed) => {
            let options = ClientOptions { name: typed.client_name.clone(), ..options_of(&typed.peer) };
            let wish = ClientWish { options, run_as: typed.install.run_as.clone() };
            (Wish::Client(Box::new(wish)), &typed.install, Role::Client)
        }
    }
}

fn install(role: &InstallRole, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let (wish, typed, role) = wish(role);
    let ground = ground(&typed.scope, environment)?;
    let name = typed.scope.name.clone().unwrap_or_else(|| role.service_name());
    let program = std::env::current_exe()
        .map_err(|error| Error::new(ErrorKind::Missing, DaemonWords::NoProgram { why: error.to_string() }))?;
    let installation = daemon::plan(&ground, &name, &program, &wish)?;
    show(&installation, typed.dry_run, talk)?;
    if typed.dry_run {
        return document(&ground, &name, Some(&installation), true, talk).map(|()| Ending::Done);
    }
    if !installation.changes_nothing() && !typed.yes && (installation.objection.is_none() || typed.force) {
        let interrupt = Interrupt::install();
        if !agree_to(talk, &interrupt, &DaemonWords::AskInstall { name: name.clone() }.into())? {
            return Ok(Ending::Judged(ErrorKind::Interrupted));
        }
    }
    if daemon::install(&ground, &installation, typed.force)? {
        talk.say(DaemonWords::Installed { name: name.clone() });
        let next = |verb| command(verb, &ground, installation.role, typed);
        if daemon::services(&ground, Some(&name), &[])?.iter().any(|service| service.standing.running) {
            talk.hint(DaemonWords::HintRestart { stop: next("stop"), start: next("start") });
        } else {
            talk.hint(DaemonWords::HintStart { command: next("start") });
        }
        if ground.scope == Scope::User && ground.manager == Manager::Systemd {
            talk.hint(DaemonWords::HintLinger);
        }
    } else {
        talk.say(DaemonWords::AlreadyInstalled { name: name.clone() });
    }
    document(&ground, &name, Some(&installation), false, talk).map(|()| Ending::Done)
}

/// The command for the next step, with the flags that this one had.
fn command(verb: &str, ground: &Ground, role: Role, typed: &InstallArgs) -> String {
    let which = typed.scope.name.as_ref().map_or_else(|| role.name().to_owned(), |name| format!("--name {name}"));
    let user = if ground.scope == Scope::User { " --user" } else { "" };
    format!("portwright service {verb} {which}{user}")
}

/// Shows the unit, or what changes of it. A dry run is asked for the unit itself, which goes to stdout.
fn show(installation: &Installation, dry_run: bool, talk: &Talk) -> Result<()> {
    if dry_run && !talk.json {
        talk.data(&String::from_utf8_lossy(&installation.unit.after))?;
    } else if !talk.json && !installation.changes_nothing() {
        let root = std::path::Path::new("");
        talk.show(&unified(&installation.unit, root, &[], talk.lang, talk.err));
    }
    for path in installation.private_changes() {
        talk.note(DaemonWords::PrivateFile { file: path.display().to_string() });
    }
    installation.warnings.iter().for_each(|warning| talk.warn(warning.clone()));
    installation.notes.iter().for_each(|note| talk.note(note.clone()));
    if dry_run {
        installation.objection.iter().for_each(|words| talk.warn(words.clone()));
        talk.note(DaemonWords::WouldWrite { file: installation.unit.file.display().to_string() });
    }
    Ok(())
}

/// Prints the document of one service, where one is wanted.
fn document(
    ground: &Ground,
    name: &str,
    installation: Option<&Installation>,
    dry_run: bool,
    talk: &Talk,
) -> Result<()> {
    if !talk.json {
        return Ok(());
    }
    let mut document = ServiceDocument::new(ground, &daemon::services(ground, Some(name), &[])?);
    document.dry_run = dry_run;
    if let Some(installation) = installation {
        let root = std::path::Path::new("");
        document.changes = ChangeView::of(&installation.unit, root, &[]);
        document.warnings = installation.warnings.iter().map(ToString::to_string).collect();
    }
    talk.json(&document)
}

/// The services that are meant: those that are there, where none was named.
fn meant(typed: &ServiceArgs, environment: &Environment) -> Result<(Ground, Vec<Service>)> {
    let ground = ground(&typed.scope, environment)?;
    let roles = match typed.role {
        Some(RoleChoice::Server) => vec![Role::Server],
        Some(RoleChoice::Client) => vec![Role::Client],
        None => Role::ALL.to_vec(),
    };
    let mut services = daemon::services(&ground, typed.scope.name.as_deref(), &roles)?;
    if services.iter().any(|service| service.installed) {
        services.retain(|service| service.installed || typed.role.is_some());
    }
    Ok((ground, services))
}

fn status(typed: &ServiceArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let (ground, services) = meant(typed, environment)?;
    if talk.json {
        talk.json(&ServiceDocument::new(&ground, &services))?;
    } else {
        talk.data(&rendered(&services, talk))?;
        for service in &services {
            service.remark.iter().for_each(|remark| talk.warn(remark.clone()));
            if service.installed {
                talk.note(DaemonWords::LogIs { name: service.name.clone(), log: service.log.clone() });
            }
        }
    }
    let installed: Vec<&Service> = services.iter().filter(|service| service.installed).collect();
    Ok(if installed.is_empty() {
        talk.hint(DaemonWords::HintInstall);
        Ending::Judged(ErrorKind::Refused)
    } else if installed.iter().all(|service| service.standing.running) {
        Ending::Done
    } else {
        Ending::Judged(ErrorKind::Unhealthy)
    })
}

fn rendered(services: &[Service], talk: &Talk) -> String {
    let headers = [
        VerbWords::NameColumn.into(),
        VerbWords::StateColumn.into(),
        DaemonWords::EnabledColumn.into(),
        DaemonWords::PidColumn.into(),
        DaemonWords::SinceColumn.into(),
        DaemonWords::UnitColumn.into(),
    ];
    let rows: Vec<Vec<Cell>> = services
        .iter()
        .map(|service| {
            let standing = &service.standing;
            let state = match (service.installed, standing.running) {
                (false, _) => Cell::new(&DaemonWords::NotInstalledState.say(talk.lang)),
                (true, true) => Cell::new(&state(service)).painted(Paint::Green),
                (true, false) => Cell::new(&state(service)).painted(Paint::Red),
            };
            let enabled = if standing.enabled { DaemonWords::Yes } else { DaemonWords::No };
            vec![
                Cell::new(&service.name),
                state,
                Cell::new(&enabled.say(talk.lang)),
                Cell::maybe(standing.pid.map(|pid| pid.to_string()).as_deref()),
                Cell::maybe(standing.since.as_deref()),
                Cell::new(&service.unit.display().to_string()),
            ]
        })
        .collect();
    table(&headers, &rows, talk.lang, talk.out)
}

fn uninstall(typed: &ServiceRemoveArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let (ground, services) = meant(&typed.service, environment)?;
    let there: Vec<&Service> = services.iter().filter(|service| service.installed).collect();
    if there.is_empty() {
        for service in &services {
            talk.note(DaemonWords::NotInstalled { name: service.name.clone() });
        }
    } else if !typed.service.yes {
        let interrupt = Interrupt::install();
        let names = there.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ");
        if !agree_to(talk, &interrupt, &DaemonWords::AskUninstall { names }.into())? {
            return Ok(Ending::Judged(ErrorKind::Interrupted));
        }
    }
    for service in there {
        for path in daemon::uninstall(&ground, service, typed.force)? {
            talk.say(VerbWords::Removed { file: path.display().to_string() });
        }
        talk.note(DaemonWords::DataStays { folder: ground.folder(&service.name).display().to_string() });
    }
    if talk.json {
        let names: Vec<String> = services.into_iter().map(|service| service.name).collect();
        let left: Result<Vec<Vec<Service>>> =
            names.iter().map(|name| daemon::services(&ground, Some(name), &[])).collect();
        talk.json(&ServiceDocument::new(&ground, &left?.concat()))?;
    }
    Ok(Ending::Done)
}

fn set_running(typed: &ServiceArgs, run: bool, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let (ground, services) = meant(typed, environment)?;
    for service in &services {
        daemon::set_running(&ground, service, run)?;
        let name = service.name.clone();
        talk.say(if run { DaemonWords::Started { name } } else { DaemonWords::StoppedUntilBoot { name } });
    }
    if run && services.iter().any(|service| service.role == Some(Role::Server)) {
        talk.hint(DaemonWords::HintToken);
    }
    if talk.json {
        let names = services.iter().map(|service| daemon::services(&ground, Some(&service.name), &[]));
        talk.json(&ServiceDocument::new(&ground, &names.collect::<Result<Vec<_>>>()?.concat()))?;
    }
    Ok(Ending::Done)
}
