//! `tunnel server`, its health check, and the supervisor of the native runtime.

use super::args::{PeerArgs, ServeArgs, SuperviseArgs, TunnelClientArgs, TunnelServerArgs};
use super::{Ending, Environment, Talk, runtime, wishes};
use crate::deploy;
use crate::error::{Error, ErrorKind, Result};
use crate::host::{self, Notifier, StopSignals};
use crate::model::Secret;
use crate::tunnel;
use crate::tunnel::client::{ClientOptions, Progress};
use crate::tunnel::issuing::Sources;
use crate::tunnel::server::Insistence;
use crate::words::Say;
use crate::words::trust::TrustWords;
use crate::words::verbs::VerbWords;

/// The variable that holds the client's token, where neither a file nor a join code does.
pub(super) const TOKEN_VARIABLE: &str = "PORTWRIGHT_TOKEN";

pub(super) fn server(typed: &ServeArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let variables = wishes::text_variables(environment);
    let from = Sources {
        config: Some(&typed.server.config),
        env_file: typed.server.env_file.as_deref(),
        environment: &variables,
    };
    let announce = |code: &Secret| {
        // Shown once, and to whoever started the server: nobody has a token otherwise.
        let shown = talk.data(&TrustWords::JoinCodeLine { code: code.expose().to_owned() }.say(talk.lang));
        if shown.is_ok() {
            talk.note(TrustWords::ShownOnce);
            talk.hint(TrustWords::RunOnClient);
        }
    };
    let wanted = Insistence { insecure: typed.insecure, first_token: !typed.no_first_token };
    let summary = tunnel::server::main_entry(from, wanted, announce)?;
    if summary.cut > 0 {
        talk.note(VerbWords::CutVisitors { count: summary.cut });
    }
    Ok(Ending::Done)
}

/// What was typed of a client's server.
pub(super) fn options_of(typed: &PeerArgs) -> ClientOptions {
    ClientOptions {
        server: typed.server.clone(),
        join: typed.join.as_ref().map(Secret::new),
        token_file: typed.token_file.clone(),
        pin: typed.pin.clone(),
        ca: typed.ca.clone(),
        identity: typed.cert.clone().zip(typed.key.clone()),
        insecure: typed.insecure,
        exposes: typed.exposes.clone(),
        ..ClientOptions::default()
    }
}

/// Stays connected until SIGTERM or SIGINT; a second signal does not wait for streams to finish.
pub(super) fn client(typed: &TunnelClientArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let variables = wishes::text_variables(environment);
    let token = variables.get(TOKEN_VARIABLE).map(Secret::new);
    let options = ClientOptions {
        token: token.filter(|_| typed.peer.token_file.is_none() && typed.peer.join.is_none()),
        legacy_v1: typed.legacy_v1,
        name: typed.name.clone(),
        verbose: talk.verbose,
        notifier: Notifier::from_variables(&variables),
        ..options_of(&typed.peer)
    };
    if typed.legacy_v1 {
        talk.warn(VerbWords::LegacyV1);
    }
    tunnel::client::main_entry(&options, |progress| match progress {
        Progress::Connected { server, name } => talk.say(VerbWords::TunnelConnected { server, name }),
        Progress::ConnectedV1 { server } => talk.say(VerbWords::TunnelConnectedV1 { server }),
        Progress::Waiting { error, wait } => {
            talk.warn(error.message().clone());
            talk.say(VerbWords::TunnelWaiting { seconds: format!("{:.1}", wait.as_secs_f64()) });
        }
    })?;
    Ok(Ending::Done)
}

pub(super) fn health(typed: &TunnelServerArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let variables = wishes::text_variables(environment);
    let address = tunnel::server::api_address(Some(&typed.config), typed.env_file.as_deref(), &variables)?;
    let health = tunnel::health_probe(address)?;
    talk.say(VerbWords::ServerHealth { address: address.to_string(), status: health.status });
    Ok(Ending::Done)
}

/// Runs the supervisor below the service manager of Windows, until that asks it to stop.
pub(super) fn host(typed: &SuperviseArgs) -> Result<Ending> {
    let (state, spec) = (typed.state.clone(), typed.spec.clone());
    host::run_below_manager(move |stop| {
        // The manager is told by the exit code alone; what went wrong is in the log of the service.
        runtime::block_on(deploy::supervise(&state, &spec, stop)).and_then(|done| done)
    })?;
    Ok(Ending::Done)
}

pub(super) fn supervise(typed: &SuperviseArgs) -> Result<Ending> {
    runtime::block_on(async {
        let no_signals =
            |error: std::io::Error| Error::new(ErrorKind::Missing, VerbWords::NoRuntime { why: error.to_string() });
        let mut signals = StopSignals::listen().map_err(no_signals)?;
        deploy::supervise(&typed.state, &typed.spec, async move { signals.next().await }).await
    })??;
    Ok(Ending::Done)
}
