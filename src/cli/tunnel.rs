//! `tunnel server`, its health check, and the supervisor of the native runtime.

use super::args::{SuperviseArgs, TunnelClientArgs, TunnelServerArgs};
use super::{Ending, Environment, Talk, runtime, wishes};
use crate::deploy;
use crate::error::{Error, ErrorKind, Result};
use crate::host::StopSignals;
use crate::tunnel::client::{ClientOptions, Progress};
use crate::tunnel;
use crate::words::verbs::VerbWords;

pub(super) fn server(typed: &TunnelServerArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let variables = wishes::text_variables(environment);
    let summary = tunnel::server::main_entry(Some(&typed.config), typed.env_file.as_deref(), &variables)?;
    if summary.cut > 0 {
        talk.note(VerbWords::CutVisitors { count: summary.cut });
    }
    Ok(Ending::Done)
}

/// Stays connected until SIGTERM or SIGINT; a second signal does not wait for streams to finish.
pub(super) fn client(typed: &TunnelClientArgs, talk: &Talk) -> Result<Ending> {
    let options = ClientOptions {
        server: typed.server.clone(),
        join: typed.join.clone(),
        token_file: typed.token_file.clone(),
        pin: typed.pin.clone(),
        ca: typed.ca.clone(),
        identity: typed.cert.clone().zip(typed.key.clone()),
        insecure: typed.insecure,
        name: typed.name.clone(),
        exposes: typed.exposes.clone(),
        legacy_v1: typed.legacy_v1,
        verbose: talk.verbose,
    };
    tunnel::client::main_entry(&options, |progress| match progress {
        Progress::Connected { server, name } => talk.say(VerbWords::TunnelConnected { server, name }),
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

pub(super) fn supervise(typed: &SuperviseArgs) -> Result<Ending> {
    runtime::block_on(async {
        let no_signals =
            |error: std::io::Error| Error::new(ErrorKind::Missing, VerbWords::NoRuntime { why: error.to_string() });
        let mut signals = StopSignals::listen().map_err(no_signals)?;
        deploy::supervise(&typed.state, &typed.spec, async move { signals.next().await }).await
    })??;
    Ok(Ending::Done)
}
