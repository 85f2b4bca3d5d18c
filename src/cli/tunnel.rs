//! `tunnel server`, its health check, and the supervisor of the native runtime.

use super::args::{SuperviseArgs, TunnelServerArgs};
use super::{Ending, Environment, Talk, runtime, wishes};
use crate::deploy;
use crate::error::{Error, ErrorKind, Result};
use crate::host::StopSignals;
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
