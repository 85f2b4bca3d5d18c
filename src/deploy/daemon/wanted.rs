//! From what a person asked for to the job that a service manager runs.

use std::path::{Path, PathBuf};

use super::{Ground, Role, hidden};
use crate::error::{Error, ErrorKind, Result};
use crate::host::{self, Manager, Scope, Word};
use crate::tunnel::client::{self, ClientOptions};
use crate::tunnel::config::{SharedDatabase, Tls};
use crate::tunnel::{self, server};
use crate::words::Message;
use crate::words::daemon::DaemonWords;

/// Ports below this need rights on every Unix unless an administrator changed it.
const FIRST_FREE_PORT: u16 = 1024;

/// What shall run as a service.
#[derive(Debug, Clone)]
pub enum Wish {
    /// The tunnel server.
    Server(ServerWish),
    /// The tunnel client.
    Client(Box<ClientWish>),
}

/// A server as it was asked for.
#[derive(Debug, Clone)]
pub struct ServerWish {
    /// The configuration.
    pub config: PathBuf,
    /// A file of variables that complete it.
    pub env_file: Option<PathBuf>,
    /// Whether plaintext that others can reach is wanted.
    pub insecure: bool,
    /// The user; `None` for one that exists only while the service runs.
    pub run_as: Option<String>,
}

/// A client as it was asked for.
#[derive(Debug, Clone)]
pub struct ClientWish {
    /// What `tunnel client` is to be given; the join code in it is redeemed and not kept.
    pub options: ClientOptions,
    /// The user; `None` for one that exists only while the service runs.
    pub run_as: Option<String>,
}

/// A job, and what else its installation needs.
pub(super) struct Job {
    pub(super) role: Role,
    pub(super) job: host::Job,
    /// The token to be kept in a file of its own.
    pub(super) token: Option<String>,
    pub(super) warnings: Vec<Message>,
    pub(super) notes: Vec<Message>,
}

/// Makes the job.
pub(super) fn job(ground: &Ground, name: &str, program: &Path, wish: &Wish) -> Result<Job> {
    let mut made = match wish {
        Wish::Server(wish) => server_job(ground, name, program, wish)?,
        Wish::Client(wish) => client_job(ground, name, program, wish)?,
    };
    if ground.scope == Scope::System && ground.manager == Manager::Systemd {
        let words = hidden(program).map(|folder| DaemonWords::ProgramHidden {
            program: program.display().to_string(),
            folder: folder.to_owned(),
        });
        made.warnings.extend(words.map(Into::into));
    }
    if made.job.run_as.is_some() && ground.scope == Scope::User {
        return Err(Error::new(ErrorKind::Usage, DaemonWords::RunAsUser));
    }
    Ok(made)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        let words = DaemonWords::Unreadable { file: path.display().to_string(), why: error.to_string() };
        Error::new(ErrorKind::Missing, words)
    })
}

fn file(credential: &'static str, path: &Path) -> Result<Word> {
    Ok(Word::File { credential, path: absolute(path)? })
}

fn base(ground: &Ground, name: &str, program: &Path, role: Role, run_as: Option<&String>) -> host::Job {
    host::Job {
        name: name.to_owned(),
        description: format!("Portwright tunnel {}", role.name()),
        scope: ground.scope,
        program: program.to_path_buf(),
        arguments: vec![Word::text("tunnel"), Word::text(role.name())],
        variables: Vec::new(),
        folder: ground.folder(name),
        run_as: run_as.cloned(),
        writes: Vec::new(),
        low_ports: false,
    }
}

fn server_job(ground: &Ground, name: &str, program: &Path, wish: &ServerWish) -> Result<Job> {
    // The variables of whoever installs it are not those of the service.
    let (config, key_file) = server::load_for_service(&wish.config, wish.env_file.as_deref())?;
    let mut job = base(ground, name, program, Role::Server, wish.run_as.as_ref());
    job.arguments.extend([Word::text("--config"), file("config", &wish.config)?]);
    if let Some(path) = &wish.env_file {
        job.arguments.extend([Word::text("--env-file"), file("env", path)?]);
    }
    if wish.insecure {
        job.arguments.push(Word::text("--insecure"));
    }
    // A join code on stdout would stay in the log.
    job.arguments.push(Word::text("--no-first-token"));
    if let Some(path) = key_file {
        job.variables.push(("PORTWRIGHT_API_API_KEY_FILE", file("api_key", &path)?));
    }
    if let Some(SharedDatabase::File(path)) = &config.database.shared {
        job.variables.push(("PORTWRIGHT_DATABASE_URL_FILE", file("database_url", path)?));
    }
    if let Tls::On { files, client_ca } = &config.tunnel.tls {
        if let Some((certificate, key)) = files {
            job.variables.push(("PORTWRIGHT_TUNNEL_CERT_FILE", file("tunnel_cert", certificate)?));
            job.variables.push(("PORTWRIGHT_TUNNEL_KEY_FILE", file("tunnel_key", key)?));
        }
        if let Some(authority) = client_ca {
            job.variables.push(("PORTWRIGHT_TUNNEL_CLIENT_CA", file("client_ca", authority)?));
        }
    }
    let ports = [config.ports.range.first().get(), config.api.listen.port(), config.tunnel.listen.port()];
    job.low_ports = ports.into_iter().any(|port| (1..FIRST_FREE_PORT).contains(&port));
    let mut notes = Vec::new();
    if config.database.path.is_absolute() {
        let folder = config.database.path.parent().unwrap_or(Path::new("/")).to_path_buf();
        let own = folder.starts_with(&job.folder);
        if ground.scope == Scope::System && ground.manager == Manager::Systemd && !own && wish.run_as.is_none() {
            let database = config.database.path.display().to_string();
            let error = Error::new(ErrorKind::Refused, DaemonWords::DatabaseElsewhere { database });
            return Err(error.hint(DaemonWords::HintRunAs));
        }
        job.writes.extend((!own).then_some(folder));
    } else {
        let database = job
            .folder
            .join(config.database.path.strip_prefix(".").unwrap_or(&config.database.path))
            .display()
            .to_string();
        notes.push(DaemonWords::DatabaseAt { database }.into());
    }
    let sealed = ground.scope == Scope::System && ground.manager == Manager::Systemd && wish.run_as.is_none();
    let authority = tunnel::database_authority(&config.database).filter(|path| sealed && !is_for_all(path));
    let warning = authority.map(|path| DaemonWords::AuthorityHidden { file: path.display().to_string() }.into());
    Ok(Job { role: Role::Server, job, token: None, warnings: warning.into_iter().collect(), notes })
}

/// Tells whether a service with a user of its own can read a file that no manager hands over.
fn is_for_all(path: &Path) -> bool {
    let is_open = std::fs::metadata(path).is_ok_and(|metadata| host::open_to_others(&metadata));
    is_open && path.is_absolute() && hidden(path).is_none()
}

fn client_job(ground: &Ground, name: &str, program: &Path, wish: &ClientWish) -> Result<Job> {
    let mut options = wish.options.clone();
    if options.token_file.as_ref().is_some_and(|path| path.as_os_str() == "-") {
        return Err(Error::new(ErrorKind::Usage, DaemonWords::TokenFromInput));
    }
    client::check(&options)?;
    let mut token = None;
    if let Some(code) = options.join.take() {
        let redeemed = client::redeem(&code)?;
        options.server = Some(redeemed.server);
        options.pin = redeemed.pin;
        options.token_file = Some(ground.token(name));
        token = Some(redeemed.token.expose().to_owned());
    }
    let mut job = base(ground, name, program, Role::Client, wish.run_as.as_ref());
    let words = &mut job.arguments;
    let mut pair = |flag: &str, word: Option<Word>| {
        words.extend(word.map(|word| [Word::text(flag), word]).into_iter().flatten());
    };
    pair("--server", options.server.map(Word::Text));
    pair("--token-file", options.token_file.as_deref().map(|path| file("token", path)).transpose()?);
    pair("--pin", options.pin.map(Word::Text));
    pair("--ca", options.ca.as_deref().map(|path| file("ca", path)).transpose()?);
    pair("--cert", options.identity.as_ref().map(|(path, _)| file("cert", path)).transpose()?);
    pair("--key", options.identity.as_ref().map(|(_, path)| file("key", path)).transpose()?);
    pair("--name", options.name.map(Word::Text));
    for exposed in options.exposes {
        pair("--expose", Some(Word::Text(exposed)));
    }
    words.extend(options.insecure.then(|| Word::text("--insecure")));
    words.extend(options.legacy_v1.then(|| Word::text("--legacy-v1")));
    Ok(Job { role: Role::Client, job, token, warnings: Vec::new(), notes: Vec::new() })
}
