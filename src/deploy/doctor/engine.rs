//! Who answers where the container engine is expected.

use super::project::trouble;
use super::{in_time, late, shown};
use crate::deploy::observe;
use crate::deploy::order::ProjectOrder;
use crate::docker::{ComposeTool, Engine};
use crate::error::Error;
use crate::model::{
    ComposeSight, Container, ContainerSight, ContainerState, EngineAnswer, EngineFailure, EngineFault, EngineSight,
    Sight, Told,
};
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
            Ok(containers) => Sight::Known(containers.iter().filter_map(container).collect()),
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

/// A container that was made for a folder, by us or by compose; others are none of our business.
fn container(found: &Container) -> Option<ContainerSight> {
    let composed = found.identity.compose.as_ref().and_then(|compose| compose.directory.clone());
    let directory = found.portwright_directory.clone().or(composed)?;
    Some(ContainerSight {
        name: found.identity.name.clone(),
        running: found.state == ContainerState::Running,
        has_directory: directory.is_dir(),
        directory: shown(&directory),
        is_ours: found.portwright_directory.is_some(),
    })
}

/// The compose that is installed, or why there is none.
pub(super) async fn compose(order: &ProjectOrder) -> Sight<ComposeSight> {
    let environment = order.environment.clone();
    let found = ComposeTool::find(&|name| environment.get(name).cloned(), &order.directory);
    in_time(async {
        Sight::Known(match found.await {
            Ok(tool) => ComposeSight { command: tool.command().to_owned(), version: tool.version(), trouble: None },
            Err(error) => ComposeSight { trouble: Some(trouble(&error)), ..ComposeSight::default() },
        })
    })
    .await
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
