//! `pool`: leases ports, gives them back, shows them, and runs programs with ports of their own.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::args::{
    Arguments, BecomeArgs, PoolAllocArgs, PoolArgs, PoolLeaseArgs, PoolRunArgs, PoolVerb, PoolWhichArgs,
};
use super::pool_document::{LeasesDocument, ReleaseDocument, UsageDocument};
use super::table::{Cell, table};
use super::{Ending, Environment, Talk, wishes};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{self, Listening};
use crate::lease::{
    Granted, Lease, Life, Looked, Options, Pool, PoolToml, Release, Request, SHARED_RUN_TTL, SHARED_TTL, TTL, Wan,
};
use crate::model::{Port, Secret, utc};
use crate::plan;
use crate::words::lease::LeaseWords;
use crate::words::verbs::VerbWords;
use crate::words::{Message, Say};

/// The file that names WANs, and a shared store.
const CONFIG: &str = "pool.toml";
/// What names a shared store, the file that holds its URL, and the group.
const STORE_VARIABLE: &str = "PORTWRIGHT_POOL_STORE";
const STORE_FILE_VARIABLE: &str = "PORTWRIGHT_POOL_STORE_FILE";
const GROUP_VARIABLE: &str = "PORTWRIGHT_POOL_GROUP";
/// The group of hosts that were put into none.
const GROUP: &str = "default";
/// The hidden verb that a program with sockets is started by.
const BECOME: &str = "become";
/// How often ports are taken anew when somebody binds one at the same moment.
const ATTEMPTS: u32 = 3;
/// Who holds a lease that was taken for nobody in this namespace: its first process, which lasts as long as it does.
const FIRST_PROCESS: u32 = 1;

pub(super) fn run(arguments: &Arguments, verb: &PoolVerb, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let pool = open(arguments, verb.pool(), environment)?;
    let result = match verb {
        PoolVerb::Alloc(typed) => alloc(&pool, typed, talk),
        PoolVerb::Release(typed) => release(&pool, &typed.which, talk),
        PoolVerb::Renew(typed) => {
            let renewed = pool.renew(&meant(&typed.which), typed.ttl)?;
            show(&pool.looked_at(renewed), talk)
        }
        PoolVerb::List(_) => list(&pool, talk),
        PoolVerb::Usage(_) => usage(&pool, talk),
        PoolVerb::Gc(_) => {
            let collected = pool.collect()?;
            gone(&pool, collected, Vec::new(), talk)
        }
        PoolVerb::Run(typed) => run_program(&pool, typed, talk),
    };
    pool.notes().into_iter().for_each(|note| talk.warn(note));
    result
}

fn open(arguments: &Arguments, typed: &PoolArgs, environment: &Environment) -> Result<Pool> {
    let read = pool_toml(arguments, typed, environment)?;
    let usual = Options::default();
    let options = Options { patience: typed.wait.unwrap_or(usual.patience), on_weak_disk: typed.weak_disk, ..usual };
    let store = match &typed.state {
        Some(_) => None,
        None => store(typed, &read, environment)?,
    };
    let options = Options { wans: read.wans, ..options };
    if let Some(url) = store {
        let given = environment.variable(GROUP_VARIABLE).map(str::to_owned);
        let group = typed.group.clone().or(given).or(read.group).unwrap_or_else(|| GROUP.to_owned());
        return Pool::open_shared(&url, &group, options);
    }
    let state = match &typed.state {
        Some(path) => wishes::working_directory()?.join(path),
        None => wishes::dirs(environment)?.pool(),
    };
    Pool::open_with(&state, options)
}

/// Finds the URL of a shared store: as it was typed, in the environment, in `pool.toml`.
fn store(typed: &PoolArgs, read: &PoolToml, environment: &Environment) -> Result<Option<Secret>> {
    let file = |path: &Path| {
        let open = |path| LeaseWords::StoreFileOpen { path }.into();
        let close = |path| LeaseWords::CloseStoreFile { path }.into();
        let text = host::read_secret(path, LeaseWords::StoreFileUnreadable, open, close)?;
        Ok(Some(Secret::new(text.trim())))
    };
    let variable = |name| environment.variable(name).map(str::to_owned);
    match (&typed.store, &typed.store_file) {
        (Some(url), _) => return Ok(Some(url.clone())),
        (None, Some(path)) => return file(path),
        (None, None) => {}
    }
    match (variable(STORE_VARIABLE), variable(STORE_FILE_VARIABLE)) {
        (Some(url), _) => return Ok(Some(Secret::new(url))),
        (None, Some(path)) => return file(Path::new(&path)),
        (None, None) => {}
    }
    match &read.store_file {
        Some(path) => file(path),
        None => Ok(read.store.clone()),
    }
}

/// Reads the file that names WANs and a store: the one that was named, or the first of those that may be there.
fn pool_toml(arguments: &Arguments, typed: &PoolArgs, environment: &Environment) -> Result<PoolToml> {
    let project = arguments.global.directory.clone().unwrap_or_default();
    let usual = [Some(project.join(CONFIG)), wishes::dirs(environment).ok().map(|dirs| dirs.config.join(CONFIG))];
    let path = match &typed.config {
        Some(path) => path.clone(),
        None => match usual.into_iter().flatten().find(|path| path.is_file()) {
            Some(path) => path,
            None => return Ok(PoolToml { wans: Wan::defaults(), ..PoolToml::default() }),
        },
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let words = LeaseWords::PoolTomlUnread { path: path.clone(), why: error.to_string() };
        Error::new(ErrorKind::Missing, words)
    })?;
    let mut read = PoolToml::read(&text).map_err(|error| error.context(LeaseWords::InFile { path: path.clone() }))?;
    // A path in a file is meant from where the file is.
    read.store_file = read.store_file.map(|file| path.parent().unwrap_or(Path::new("")).join(file));
    Ok(read)
}

fn request(pool: &Pool, typed: &PoolLeaseArgs, holder: Option<u32>) -> Request {
    let usual = match (pool.is_shared(), holder) {
        (false, _) => TTL,
        (true, Some(_)) => SHARED_TTL,
        // Without a holder it is ours, and renewed.
        (true, None) => SHARED_RUN_TTL,
    };
    Request {
        wan: typed.wan,
        count: typed.count,
        contiguous: typed.contiguous,
        range: typed.range,
        ttl: typed.ttl.unwrap_or(usual),
        purpose: typed.purpose.clone().unwrap_or_default(),
        holder,
    }
}

fn alloc(pool: &Pool, typed: &PoolAllocArgs, talk: &Talk) -> Result<Ending> {
    let holder = typed.pid.unwrap_or_else(|| host::caller().unwrap_or(FIRST_PROCESS));
    let leases = pool.grant(&request(pool, &typed.lease, Some(holder)))?;
    let result = if talk.json {
        talk.json(&LeasesDocument::new(&pool.looked_at(leases.clone())))
    } else {
        talk.data(&leases.iter().map(|lease| lease.port.to_string() + "\n").collect::<String>())
    };
    // Nobody knows of the ports: better that others get them.
    if result.is_err() {
        for lease in leases {
            pool.release(&Release::Id(lease.id))?;
        }
    }
    result.map(|()| Ending::Done)
}

fn meant(typed: &PoolWhichArgs) -> Release {
    match (&typed.id, typed.pid) {
        (Some(id), _) => Release::Id(id.clone()),
        (None, Some(pid)) => Release::Pid(pid),
        (None, None) => Release::Ports(typed.ports.clone(), typed.wan),
    }
}

fn release(pool: &Pool, typed: &PoolWhichArgs, talk: &Talk) -> Result<Ending> {
    let released = pool.release(&meant(typed))?;
    let is_released = |port: &Port| released.iter().any(|lease| lease.port == *port);
    let not_leased = typed.ports.iter().copied().filter(|port| !is_released(port)).collect();
    let ending = gone(pool, released.clone(), not_leased, talk)?;
    if released.is_empty() && typed.ports.is_empty() {
        talk.note(LeaseWords::NothingLeased);
    }
    Ok(ending)
}

/// Tells what was given back, and what was not leased in the first place.
fn gone(pool: &Pool, released: Vec<Granted>, not_leased: Vec<Port>, talk: &Talk) -> Result<Ending> {
    for lease in &released {
        talk.say(LeaseWords::Released { port: lease.port, holder: lease.holder.pid });
    }
    for port in &not_leased {
        talk.note(LeaseWords::NotLeased { port: *port });
    }
    if talk.json {
        talk.json(&ReleaseDocument::new(&pool.looked_at(released), not_leased))?;
    }
    Ok(Ending::Done)
}

fn list(pool: &Pool, talk: &Talk) -> Result<Ending> {
    let leases = pool.leases()?;
    show(&pool.looked_at(leases), talk)
}

fn show(leases: &[Looked], talk: &Talk) -> Result<Ending> {
    if talk.json {
        talk.json(&LeasesDocument::new(leases))?;
        return Ok(Ending::Done);
    }
    if leases.is_empty() {
        talk.note(LeaseWords::NoLeases);
        return Ok(Ending::Done);
    }
    let headers: [Message; 7] = [
        LeaseWords::PortColumn.into(),
        LeaseWords::WanColumn.into(),
        LeaseWords::HolderColumn.into(),
        LeaseWords::PurposeColumn.into(),
        LeaseWords::ExpiresColumn.into(),
        LeaseWords::IdColumn.into(),
        VerbWords::StateColumn.into(),
    ];
    let state = |looked: &Looked| {
        let words: Message = match (looked.is_over, &looked.used_by, looked.life) {
            (true, Some(owner), _) => LeaseWords::OverInUse { holder: Box::new(plan::held_by(owner).into()) }.into(),
            (true, None, _) => LeaseWords::Over.into(),
            (false, _, Life::Unsure) => LeaseWords::Unsure.into(),
            (false, ..) => LeaseWords::Held.into(),
        };
        words.say(talk.lang)
    };
    let row = |looked: &Looked| {
        let lease = &looked.lease;
        let program = host::process_of(lease.holder.pid).filter(|_| looked.life == Life::Alive);
        let host = lease.holder.standpoint.host.as_deref().filter(|_| looked.life == Life::Unsure);
        let holder = program.map(|program| format!(" {}", program.name)).or(host.map(|host| format!("@{host}")));
        let holder = holder.unwrap_or_default();
        vec![
            Cell::new(&lease.port.to_string()),
            Cell::new(&lease.wan.map(|wan| wan.to_string()).unwrap_or_default()),
            Cell::new(&format!("{}{holder}", lease.holder.pid)),
            Cell::new(&lease.purpose),
            Cell::new(&utc(looked.expires_s)),
            Cell::new(&lease.id),
            Cell::new(&state(looked)),
        ]
    };
    talk.data(&table(&headers, &leases.iter().map(row).collect::<Vec<_>>(), talk.lang, talk.out))?;
    Ok(Ending::Done)
}

fn usage(pool: &Pool, talk: &Talk) -> Result<Ending> {
    let (usage, unseen) = pool.usage()?;
    if talk.json {
        talk.json(&UsageDocument::new(&usage, &unseen))?;
        return Ok(Ending::Done);
    }
    let headers: [Message; 8] = [
        LeaseWords::WanColumn.into(),
        VerbWords::NameColumn.into(),
        LeaseWords::RangeColumn.into(),
        LeaseWords::TotalColumn.into(),
        LeaseWords::LeasedColumn.into(),
        LeaseWords::InUseColumn.into(),
        LeaseWords::ReservedColumn.into(),
        LeaseWords::FreeColumn.into(),
    ];
    let row = |usage: &crate::lease::Usage| {
        let counts = [usage.total, usage.leased, usage.in_use, usage.reserved, usage.free];
        let mut row = vec![
            Cell::new(&usage.wan.index.to_string()),
            Cell::new(&usage.wan.name),
            Cell::new(&usage.wan.range.to_string()),
        ];
        row.extend(counts.iter().map(|count| Cell::new(&count.to_string())));
        row
    };
    talk.data(&table(&headers, &usage.iter().map(row).collect::<Vec<_>>(), talk.lang, talk.out))?;
    for unseen in unseen {
        talk.note(unseen.why);
    }
    Ok(Ending::Done)
}

/// Runs a program for as long as it takes; its ports are its own until it ends, however it ends.
fn run_program(pool: &Pool, typed: &PoolRunArgs, talk: &Talk) -> Result<Ending> {
    if talk.json {
        return Err(Error::new(ErrorKind::Usage, LeaseWords::RunJson));
    }
    let program = typed.command.first().cloned().unwrap_or_default();
    let mut request = request(pool, &typed.lease, None);
    if request.purpose.is_empty() {
        request.purpose = PathBuf::from(&program).file_name().unwrap_or(&program).to_string_lossy().into_owned();
    }
    let (lease, sockets) = leased(pool, &request, typed)?;
    pool.notes().into_iter().for_each(|note| talk.warn(note));
    let (mut command, held) = match sockets {
        Sockets::Handed(sockets) => (handing_on(&filled(&program, &lease), sockets)?, Vec::new()),
        Sockets::Held(sockets) => (Command::new(filled(&program, &lease)), sockets),
    };
    command.args(typed.command.iter().skip(1).map(|word| filled(word, &lease))).env("PORT", lease.port().to_string());
    for (index, port) in lease.ports().enumerate() {
        command.env(format!("PORT{}", index + 1), port.to_string());
    }
    // The lease lasts as long as the child, even when this process is killed: its port may still come into use.
    let lease = std::cell::RefCell::new(lease);
    let warn = |result: Result<()>| result.unwrap_or_else(|error| talk.warn(error.message().clone()));
    let mut renewals = Renewals::new(lease.borrow().renewal());
    let interval = if pool.is_shared() { renewals.every / TRIES_PER_RENEWAL } else { renewals.every };
    let started = |pid| match lease.borrow_mut().pass_to(pid) {
        // It has ended already.
        Err(error) if error.kind() == ErrorKind::Missing => {}
        passed => warn(passed),
    };
    let tick = || {
        if pool.is_shared() {
            renewals.look(&lease.borrow(), talk);
        } else {
            warn(lease.borrow().renew());
        }
    };
    let code = host::stand_in(command, interval, started, tick);
    drop(held);
    warn(lease.into_inner().release());
    Ok(Ending::Passed(code.map_err(|error| not_started(&program, &error))?))
}

fn not_started(program: &OsStr, error: &std::io::Error) -> Error {
    let words = LeaseWords::NotStarted { program: program.to_string_lossy().into_owned(), why: error.to_string() };
    Error::new(ErrorKind::Missing, words)
}

/// Sockets on the ports of a lease.
enum Sockets {
    /// Kept here, so that no connection gets the ports.
    Held(Vec<Socket>),
    /// For the program.
    Handed(Vec<Listening>),
}

/// Takes the lease, and the sockets that were asked for. A port that somebody bound between the two is given back, and
/// others are taken.
fn leased(pool: &Pool, request: &Request, typed: &PoolRunArgs) -> Result<(Lease, Sockets)> {
    let mut attempts = 1..=ATTEMPTS;
    loop {
        let lease = pool.acquire(request)?;
        let sockets = match typed.listen {
            Some(listen) => lease.listen(listen.protocols()).map(Sockets::Handed),
            None if typed.hold => lease.bind().map(Sockets::Held),
            None => Ok(Sockets::Held(Vec::new())),
        };
        match sockets {
            Ok(sockets) => return Ok((lease, sockets)),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && attempts.next().is_some() => {}
            Err(error) => return Err(unheld(&lease, &error)),
        }
    }
}

fn handing_on(program: &OsStr, sockets: Vec<Listening>) -> Result<Command> {
    host::handing_on(BECOME, program, sockets).map_err(|error| {
        if error.kind() == std::io::ErrorKind::Unsupported {
            return Error::new(ErrorKind::Refused, LeaseWords::NoListening);
        }
        not_started(program, &error)
    })
}

/// Makes this process the program that a person wanted to run; what is returned is why it could not be started.
pub(super) fn become_program(typed: &BecomeArgs) -> Error {
    let error = host::become_program(&typed.command);
    not_started(typed.command.first().map_or(OsStr::new(""), OsString::as_os_str), &error)
}

/// How often a renewal is tried in the time after which it is due.
const TRIES_PER_RENEWAL: u32 = 5;

/// Renewals of a lease in a shared store, which may be out of reach for a while.
struct Renewals {
    every: Duration,
    last: Instant,
    is_lost: bool,
}

impl Renewals {
    fn new(every: Duration) -> Self {
        Self { every, last: Instant::now(), is_lost: false }
    }

    /// Renews when that is due; a store that is lost is told once, and so is its return.
    fn look(&mut self, lease: &Lease, talk: &Talk) {
        if !self.is_lost && self.last.elapsed() < self.every {
            return;
        }
        match lease.renew() {
            Ok(()) => {
                self.last = Instant::now();
                if std::mem::take(&mut self.is_lost) {
                    talk.warn(LeaseWords::StoreBack);
                }
            }
            Err(error) => {
                let was_lost = std::mem::replace(&mut self.is_lost, true);
                match error.kind() {
                    _ if was_lost => {}
                    // The store answers, and somebody else has the port.
                    ErrorKind::Refused => talk.warn(error.message().clone()),
                    _ => talk.warn(LeaseWords::StoreLost { reason: Box::new(error.message().clone()) }),
                }
            }
        }
    }
}

fn unheld(lease: &Lease, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Missing, LeaseWords::NotHeld { port: lease.port(), why: error.to_string() })
}

/// Puts ports in the place of `{port}`, the first one, and of `{port1}` and so on.
fn filled(word: &OsString, lease: &Lease) -> OsString {
    let Some(text) = word.to_str().filter(|text| text.contains("{port")) else { return word.clone() };
    let text = text.replace("{port}", &lease.port().to_string());
    let ports = lease.ports().enumerate();
    ports.fold(text, |text, (index, port)| text.replace(&format!("{{port{}}}", index + 1), &port.to_string())).into()
}
