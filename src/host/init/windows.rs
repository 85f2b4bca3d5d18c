//! The service control manager of Windows.
//!
//! The unit is a text that records the command line; what Windows runs is registered through its API. The service runs
//! as `LocalService`, which has hardly any rights, and is started again 60 s after it ended with an error.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceFailureActions,
    ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::tool::ask;
use super::{Body, Job, Standing, Word};
use crate::error::{Error, ErrorKind, Result};
use crate::words::daemon::DaemonWords;

/// The pause before a service that failed is started again.
const RESTART_PAUSE: Duration = Duration::from_mins(1);

/// A day without a failure makes the next one the first again.
const FAILURES_FORGOTTEN: Duration = Duration::from_hours(24);

/// How long a service may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(45);

/// How long our own service may take to end before Windows is told that it has ended.
const END_PATIENCE: Duration = Duration::from_secs(25);

/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The account that runs the service, by the name that Windows knows in every language.
const ACCOUNT: &str = "NT AUTHORITY\\LocalService";

/// System, administrators and the account of the service, by their numbers: names are in the language of the system.
const ADMITTED: [&str; 3] = ["*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F", "*S-1-5-19:(OI)(CI)M"];

/// `ERROR_ACCESS_DENIED`, `ERROR_SERVICE_ALREADY_RUNNING`, `ERROR_SERVICE_DOES_NOT_EXIST`, `ERROR_SERVICE_NOT_ACTIVE`.
const ACCESS_DENIED: i32 = 5;
const ALREADY_RUNNING: i32 = 1056;
const NO_SUCH_SERVICE: i32 = 1060;
const NOT_ACTIVE: i32 = 1062;

fn code(error: &windows_service::Error) -> Option<i32> {
    match error {
        windows_service::Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

fn failed(what: &'static str, kind: ErrorKind) -> impl FnOnce(windows_service::Error) -> Error {
    move |error| {
        let why = match &error {
            windows_service::Error::Winapi(error) => error.to_string(),
            other => other.to_string(),
        };
        if code(&error) == Some(ACCESS_DENIED) {
            return Error::new(ErrorKind::Missing, DaemonWords::NoRights { why });
        }
        Error::new(kind, DaemonWords::ManagerRefused { command: what.to_owned(), why })
    }
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager> {
    let opened = ServiceManager::local_computer(None::<&OsStr>, ServiceManagerAccess::CONNECT | access);
    opened.map_err(failed("OpenSCManager", ErrorKind::Missing))
}

/// Opens a service; `None` where there is none.
fn open(name: &str, access: ServiceAccess) -> Result<Option<Service>> {
    match manager(ServiceManagerAccess::empty())?.open_service(name, access | ServiceAccess::QUERY_STATUS) {
        Ok(service) => Ok(Some(service)),
        Err(error) if code(&error) == Some(NO_SUCH_SERVICE) => Ok(None),
        Err(error) => Err(failed("OpenService", ErrorKind::Missing)(error)),
    }
}

fn known(name: &str, access: ServiceAccess) -> Result<Service> {
    open(name, access)?.ok_or_else(|| {
        let words = DaemonWords::NotInstalled { name: name.to_owned() };
        Error::new(ErrorKind::Refused, words).hint(DaemonWords::HintInstall)
    })
}

/// Lets only the service and administrators into a folder: what lies in `ProgramData` is readable for every user.
pub(super) fn close_folder(folder: &Path) -> Result<()> {
    let path = folder.display().to_string();
    let mut words = vec![path.as_str(), "/inheritance:r", "/grant:r"];
    words.extend(ADMITTED);
    let answer = ask("C:\\Windows\\System32\\icacls.exe", &words)?;
    if answer.well {
        return Ok(());
    }
    let words = DaemonWords::ManagerRefused { command: "icacls".to_owned(), why: answer.complaint };
    Err(Error::new(ErrorKind::Missing, words))
}

/// Registers the service, or changes it where it is registered.
pub(super) fn enable(job: &Job) -> Result<()> {
    let info = ServiceInfo {
        name: OsString::from(&job.name),
        display_name: OsString::from(format!("{} ({})", job.description, job.name)),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        // Quoted by the crate: an unquoted path with a space would run whatever lies before the space.
        executable_path: job.program.clone(),
        launch_arguments: job.arguments.iter().map(|word| OsString::from(Word::plain(word))).collect(),
        dependencies: Vec::new(),
        account_name: Some(OsString::from(ACCOUNT)),
        account_password: None,
    };
    let access = ServiceAccess::CHANGE_CONFIG | ServiceAccess::START | ServiceAccess::QUERY_STATUS;
    let service = match open(&job.name, ServiceAccess::CHANGE_CONFIG | ServiceAccess::START)? {
        Some(service) => {
            service.change_config(&info).map_err(failed("ChangeServiceConfig", ErrorKind::Partial))?;
            service
        }
        None => manager(ServiceManagerAccess::CREATE_SERVICE)?
            .create_service(&info, access)
            .map_err(failed("CreateService", ErrorKind::Partial))?,
    };
    let again = ServiceAction { action_type: ServiceActionType::Restart, delay: RESTART_PAUSE };
    let actions = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FAILURES_FORGOTTEN),
        reboot_msg: None,
        command: None,
        actions: Some(vec![again.clone(), again.clone(), again]),
    };
    service.update_failure_actions(actions).map_err(failed("ChangeServiceConfig2", ErrorKind::Partial))?;
    // What follows is comfort: Wine, and old versions, know neither.
    let _ = service.set_failure_actions_on_non_crash_failures(true);
    let _ = service.set_description(&job.description);
    Ok(())
}

/// Stops the service and takes it out of the registry.
pub(super) fn disable(name: &str) -> Result<()> {
    let Some(service) = open(name, ServiceAccess::STOP | ServiceAccess::DELETE)? else { return Ok(()) };
    end(&service)?;
    service.delete().map_err(failed("DeleteService", ErrorKind::Partial))
}

pub(super) fn start(name: &str) -> Result<()> {
    let service = known(name, ServiceAccess::START)?;
    match service.start::<&OsStr>(&[]) {
        Ok(()) => {}
        Err(error) if code(&error) == Some(ALREADY_RUNNING) => {}
        Err(error) => return Err(failed("StartService", ErrorKind::Unhealthy)(error)),
    }
    reach(&service, ServiceState::Running, ErrorKind::Unhealthy)
}

pub(super) fn stop(name: &str) -> Result<()> {
    end(&known(name, ServiceAccess::STOP)?)
}

fn end(service: &Service) -> Result<()> {
    match service.stop() {
        Ok(_) => reach(service, ServiceState::Stopped, ErrorKind::Partial),
        Err(error) if code(&error) == Some(NOT_ACTIVE) => Ok(()),
        Err(error) => Err(failed("ControlService", ErrorKind::Partial)(error)),
    }
}

fn query(service: &Service) -> Result<ServiceStatus> {
    service.query_status().map_err(failed("QueryServiceStatus", ErrorKind::Missing))
}

/// Waits until the service is in a state.
fn reach(service: &Service, wanted: ServiceState, kind: ErrorKind) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = query(service)?.current_state;
        if state == wanted {
            return Ok(());
        }
        if Instant::now() >= deadline || wanted == ServiceState::Running && state == ServiceState::Stopped {
            let words =
                DaemonWords::ManagerRefused { command: "QueryServiceStatus".to_owned(), why: word(state).into() };
            return Err(Error::new(kind, words));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// The state as `sc query` writes it.
const fn word(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Stopped => "STOPPED",
        ServiceState::StartPending => "START_PENDING",
        ServiceState::StopPending => "STOP_PENDING",
        ServiceState::Running => "RUNNING",
        ServiceState::ContinuePending => "CONTINUE_PENDING",
        ServiceState::PausePending => "PAUSE_PENDING",
        ServiceState::Paused => "PAUSED",
    }
}

pub(super) fn standing(name: &str) -> Result<Standing> {
    let Some(service) = open(name, ServiceAccess::QUERY_CONFIG)? else { return Ok(Standing::default()) };
    let status = query(&service)?;
    let enabled = service.query_config().is_ok_and(|config| config.start_type == ServiceStartType::AutoStart);
    Ok(Standing {
        enabled,
        running: status.current_state == ServiceState::Running,
        state: word(status.current_state).to_owned(),
        pid: status.process_id.filter(|pid| *pid > 0),
        since: None,
        detail: None,
    })
}

/// Runs `body` on a thread of its own, and ends it when Windows asks for that.
pub(super) fn run_below_manager(body: Body) -> Result<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let (done, ended) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    // The dispatcher wants a callback that several threads may share.
    let starting = Mutex::new(Some((body, stopped, done)));
    let mut stop = Some(stop);
    let outcome: Arc<Mutex<Result<()>>> = Arc::new(Mutex::new(Ok(())));
    let kept = Arc::clone(&outcome);
    let dispatched = windows_services::Service::new().can_stop().run(move |_, command| match command {
        windows_services::Command::Start => {
            let taken = starting.lock().ok().and_then(|mut starting| starting.take());
            let Some((body, stopped, done)) = taken else { return };
            let outcome = Arc::clone(&kept);
            thread::spawn(move || {
                let result = body(Box::pin(async { drop(stopped.await) }));
                let failed = result.is_err();
                if let Ok(mut outcome) = outcome.lock() {
                    *outcome = result;
                }
                drop(done);
                if failed {
                    // An end without a word is a failure to Windows, which starts the service again.
                    std::process::exit(i32::from(ErrorKind::Partial.exit_code()));
                }
            });
        }
        windows_services::Command::Stop => {
            stop.take().map(|stop| stop.send(()));
            // Windows may start the service again as soon as it is told that this one has ended.
            if let Ok(ended) = ended.lock() {
                let _ = ended.recv_timeout(END_PATIENCE);
            }
        }
        _ => {}
    });
    if dispatched.is_err() {
        return Err(Error::new(ErrorKind::Usage, DaemonWords::StartedByHand));
    }
    outcome.lock().map_or(Ok(()), |mut outcome| std::mem::replace(&mut *outcome, Ok(())))
}
