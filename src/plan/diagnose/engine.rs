//! Checks of the container engine, of compose and of the services that keep engines running.

use super::{said, seen};
use crate::model::{
    ComposeSight, ContainerSight, EngineAnswer, EngineFailure, EngineFault, EngineSight, Finding, Observation, Outcome,
    ServiceSight, Sight,
};
use crate::words::Message;
use crate::words::doctor::DoctorWords as W;

/// The first compose that knows the Compose Specification (release notes of docker-compose 1.27.0).
const COMPOSE_OLDEST: (u32, u32) = (1, 27);

/// From here on a service is started again and again: a person who restarts it does so once or twice.
const RESTARTS_MANY: u32 = 5;

/// An engine answers, or none is needed.
pub(super) fn answers(facts: &Observation) -> Finding {
    seen(&facts.engine, W::NotSeen, |engine| match engine {
        EngineSight::Answers(answer) => Finding::pass(W::EngineAnswers {
            kind: answer.kind.clone(),
            version: answer.version.clone(),
            address: answer.address.clone(),
        }),
        EngineSight::Fails(failure) => match failure.fault {
            EngineFault::Absent if !needs_engine(facts) => Finding::skipped(W::NativeWithout),
            // The bundled server runs without; somebody who has an engine wants to know all the same.
            EngineFault::Broken if !needs_engine(facts) => {
                Finding { outcome: Outcome::Warn, ..failed(failure, W::EngineRemedy) }
            }
            EngineFault::Absent | EngineFault::Broken => failed(failure, W::EngineRemedy),
            EngineFault::Address => Finding::skipped(W::ToldBy { id: "engine-address".to_owned() }),
            EngineFault::Versions => Finding::skipped(W::ToldBy { id: "engine-version".to_owned() }),
        },
    })
}

/// A person's own compose project runs in an engine; what we lay out ourselves does without.
fn needs_engine(facts: &Observation) -> bool {
    facts.project.known().is_some_and(|project| project.is_compose)
}

fn failed(failure: &EngineFailure, usual: W) -> Finding {
    let remedy = failure.remedy.as_ref().map_or_else(|| usual.into(), said);
    Finding::fail(vec![said(&failure.why)], remedy)
}

/// The address, and the docker context that may name it, lead somewhere.
pub(super) fn address(facts: &Observation) -> Finding {
    seen(&facts.engine, W::NotSeen, |engine| match engine {
        EngineSight::Answers(answer) => Finding::pass(W::Said { text: plain(&answer.address) }),
        EngineSight::Fails(failure) if failure.fault == EngineFault::Address => failed(failure, W::AddressRemedy),
        EngineSight::Fails(_) => Finding::skipped(W::NoEngine),
    })
}

fn plain(text: &str) -> crate::model::Told {
    crate::model::Told { en: text.to_owned(), zh: text.to_owned() }
}

/// The engine and we have a version of the API in common.
pub(super) fn version(facts: &Observation) -> Finding {
    seen(&facts.engine, W::NotSeen, |engine| match engine {
        EngineSight::Answers(answer) => Finding::pass(W::Said { text: plain(&answer.version) }),
        EngineSight::Fails(failure) if failure.fault == EngineFault::Versions => failed(failure, W::VersionRemedy),
        EngineSight::Fails(_) => Finding::skipped(W::NoEngine),
    })
}

/// Judges an engine that answers.
fn answering(facts: &Observation, judge: impl FnOnce(&EngineAnswer) -> Finding) -> Finding {
    seen(&facts.engine, W::NotSeen, |engine| match engine {
        EngineSight::Answers(answer) => judge(answer),
        EngineSight::Fails(_) => Finding::skipped(W::NoEngine),
    })
}

/// An engine that greets and then does not list its containers is as good as none.
pub(super) fn containers(facts: &Observation) -> Finding {
    answering(facts, |answer| match &answer.containers {
        Sight::Known(containers) => Finding::pass(W::ContainersListed { count: containers.len() }),
        Sight::Unknown(why) => Finding::fail(vec![said(why)], W::EngineRemedy),
        Sight::Nothing => Finding::skipped(W::NotSeen),
    })
}

/// The image of this very executable can run in the engine's containers.
pub(super) fn platform(facts: &Observation) -> Finding {
    if needs_engine(facts) {
        return Finding::skipped(W::ToldBy { id: "engine".to_owned() });
    }
    answering(facts, |answer| {
        let arch = match facts.arch.as_str() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        let own = format!("{}/{arch}", facts.os);
        let engine = format!("{}/{}", answer.os, answer.arch);
        if own == engine {
            Finding::pass(W::PlatformIs { engine })
        } else {
            Finding::warn(vec![W::PlatformApart { own, engine }.into()], W::PlatformRemedy)
        }
    })
}

/// What the engine publishes is published here.
pub(super) fn remote(facts: &Observation) -> Finding {
    answering(facts, |answer| {
        let address = answer.address.clone();
        if answer.local {
            Finding::pass(W::Said { text: plain(&address) })
        } else {
            Finding::warn(vec![W::EngineIsRemote { address }.into()], W::RemoteRemedy)
        }
    })
}

/// Compose is there where a project needs it.
pub(super) fn compose(facts: &Observation) -> Finding {
    seen(&facts.compose, W::NotSeen, |compose| match &compose.trouble {
        Some(_) if !needs_engine(facts) => Finding::skipped(W::ComposeNotNeeded),
        Some(trouble) => {
            let remedy = trouble.remedy.as_ref().map_or_else(|| W::ComposeRemedy.into(), said);
            Finding::fail(vec![said(&trouble.what)], remedy)
        }
        None => {
            let ComposeSight { command, version: (major, minor), .. } = compose.clone();
            Finding::pass(W::ComposeIs { command, major, minor })
        }
    })
}

/// Compose knows the files of today.
pub(super) fn compose_version(facts: &Observation) -> Finding {
    seen(&facts.compose, W::NotSeen, |compose| {
        let ComposeSight { command, version: (major, minor), .. } = compose.clone();
        if compose.trouble.is_some() {
            Finding::skipped(W::ToldBy { id: "compose".to_owned() })
        } else if compose.version < COMPOSE_OLDEST {
            Finding::warn(vec![W::ComposeOld { command, major, minor }.into()], W::ComposeRemedy)
        } else {
            Finding::pass(W::ComposeIs { command, major, minor })
        }
    })
}

/// Every container of ours has the folder that it was made for.
pub(super) fn left_containers(facts: &Observation) -> Finding {
    answering(facts, |answer| {
        let left = |container: &&ContainerSight| container.is_ours && !container.has_directory;
        // What another machine's engine has was made for that machine's folders.
        let all = answer.containers.known().filter(|_| answer.local).map(Vec::as_slice).unwrap_or_default();
        let left: Vec<&ContainerSight> = all.iter().filter(left).collect();
        let Some(first) = left.first() else { return Finding::pass(W::NoLeftContainers) };
        let line = |container: &&ContainerSight| {
            W::LeftContainer { name: container.name.clone(), directory: container.directory.clone() }.into()
        };
        let remedy = W::LeftContainerRemedy { name: first.name.clone() };
        Finding::warn(left.iter().map(line).collect(), remedy)
    })
}

/// The engine of this machine is started with it.
pub(super) fn starts(facts: &Observation) -> Finding {
    let is_docker = |answer: &EngineAnswer| answer.local && answer.kind == "docker" && !answer.rootless;
    seen(&facts.services, W::NoServiceManager, |services| {
        answering(facts, |answer| {
            let found = |name: &str| services.iter().find(|service| service.name == name);
            let Some(docker) = found("docker.service").filter(|docker| is_docker(answer) && docker.active == "active")
            else {
                return Finding::skipped(W::NotSeen);
            };
            let is_off = |service: &ServiceSight| service.starts == "disabled";
            if is_off(docker) && found("docker.socket").is_none_or(is_off) {
                Finding::warn(vec![W::EngineNotStarted.into()], W::EngineStartRemedy)
            } else {
                Finding::pass(W::EngineStarts)
            }
        })
    })
}

/// No service of an engine or of ours has failed or fails again and again.
pub(super) fn services(facts: &Observation) -> Finding {
    seen(&facts.services, W::NoServiceManager, |services| {
        let remedy = |service: &ServiceSight| W::ServiceRemedy { name: service.name.clone() };
        let failed: Vec<&ServiceSight> = services.iter().filter(|service| service.active == "failed").collect();
        if let Some(first) = failed.first() {
            let line = |service: &&ServiceSight| W::ServiceFailed { name: service.name.clone() }.into();
            return Finding::fail(failed.iter().map(line).collect(), remedy(first));
        }
        let again = services.iter().find(|service| service.restarts >= RESTARTS_MANY);
        match again {
            Some(service) => {
                let (name, count) = (service.name.clone(), service.restarts);
                let line: Message = W::ServiceRestarts { name, count }.into();
                Finding::warn(vec![line], remedy(service))
            }
            None => Finding::pass(W::ServicesFine { count: services.len() }),
        }
    })
}
