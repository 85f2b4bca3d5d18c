//! Who answers where the container engine is expected.

use super::{in_time, late};
use crate::deploy::observe;
use crate::deploy::order::ProjectOrder;
use crate::docker::Engine;
use crate::error::Error;
use crate::model::{EngineAnswer, EngineFailure, EngineFault, EngineSight, Sight, Told};
use crate::words::Message;
use crate::words::docker::DockerWords;

pub(super) async fn look(order: &ProjectOrder) -> Sight<EngineSight> {
    in_time(async {
        Sight::Known(match observe::connect(order).await {
            Ok(engine) => EngineSight::Answers(answer(&engine).await),
            Err(error) => EngineSight::Fails(failure(&error)),
        })
    })
    .await
}

async fn answer(engine: &Engine) -> EngineAnswer {
    let listed = async {
        match engine.containers().await {
            Ok(containers) => Sight::Known(containers.len()),
            Err(error) => Sight::Unknown(Told::from(error.message())),
        }
    };
    // The greeting took a part of the time of the whole; what is left is enough for an engine that is well.
    let containers = tokio::time::timeout(super::LISTING, listed).await.unwrap_or_else(|_| late());
    let identity = engine.identity();
    EngineAnswer {
        kind: identity.kind.name().to_owned(),
        version: identity.version.clone(),
        address: identity.address.clone(),
        os: identity.os.clone(),
        arch: identity.arch.clone(),
        local: identity.local,
        rootless: identity.rootless,
        containers,
    }
}

fn failure(error: &Error) -> EngineFailure {
    use DockerWords as D;
    let fault = match error.message() {
        Message::Docker(D::NoSocket { .. }) => EngineFault::Absent,
        Message::Docker(D::UnsupportedHost { .. } | D::UnknownContext { .. } | D::TlsHost { .. }) => {
            EngineFault::Address
        }
        Message::Docker(D::ApiMismatch { .. }) => EngineFault::Versions,
        _ => EngineFault::Broken,
    };
    EngineFailure { fault, why: Told::from(error.message()), remedy: error.way_out().map(Told::from) }
}
