//! Checks of what was launched, of the bundled tunnel server, and of a client's way to a server.

use super::machine::can_be_right;
use super::{seen, troubled};
use crate::model::{
    ClientSight, ClockSight, EngineSight, Finding, MappingSight, Observation, RunSight, ServerSight, Sight, utc,
};
use crate::words::Message;
use crate::words::doctor::DoctorWords as W;

/// Certificates of authorities on the internet last 90 days or less and are renewed a month before their end; one with
/// less than this left is not being renewed.
const CERTIFICATE_COMFORT_S: u64 = 14 * 86_400;

/// Two clocks are compared by whole seconds, and an answer may be under way for five of them.
const CLOCKS_COMFORT_S: u64 = 10;

/// Beyond five minutes others refuse, too: it is the limit of Kerberos and of most signed requests.
const CLOCKS_MOST_S: u64 = 300;

/// The steps of the way, in their order.
const STEPS: [&str; 5] = ["entry", "name", "reach", "link", "session"];

fn is_running(facts: &Observation) -> bool {
    facts.launched.known().is_some_and(|runs| runs.iter().any(|run| run.state == "running"))
}

/// What was launched runs and is well. A container of a person's own project may have ended because its work is done.
pub(super) fn launched(facts: &Observation) -> Finding {
    let is_server = facts.server.known().is_some();
    let engine_fails = matches!(facts.engine, Sight::Known(EngineSight::Fails(_)));
    if engine_fails && matches!(facts.launched, Sight::Unknown(_)) {
        return Finding::skipped(W::ToldBy { id: "engine".to_owned() });
    }
    seen(&facts.launched, W::NothingLaunched, |runs| {
        let is_bad = |run: &&RunSight| {
            matches!(run.state.as_str(), "restarting" | "dead")
                || run.health.as_deref() == Some("unhealthy")
                || (is_server && run.state != "running")
        };
        let line = |run: &RunSight| -> Message {
            let state = run.health.clone().filter(|_| run.state == "running").unwrap_or_else(|| run.state.clone());
            W::RunIs { name: run.name.clone(), state }.into()
        };
        let bad: Vec<Message> = runs.iter().filter(is_bad).map(line).collect();
        match (bad.is_empty(), runs.first()) {
            (true, Some(first)) => Finding { evidence: vec![line(first)], ..Finding::pass(W::NothingLaunched) },
            (true, None) => Finding::skipped(W::NothingLaunched),
            (false, _) => Finding::fail(bad, W::RunRemedy),
        }
    })
}

fn with_server(facts: &Observation, judge: impl FnOnce(&ServerSight) -> Finding) -> Finding {
    seen(&facts.server, W::NoServer, judge)
}

/// Judges a server that runs.
fn with_running(facts: &Observation, judge: impl FnOnce(&ServerSight) -> Finding) -> Finding {
    with_server(facts, |server| if is_running(facts) { judge(server) } else { Finding::skipped(W::NothingLaunched) })
}

/// The configuration is understood.
pub(super) fn config(facts: &Observation) -> Finding {
    with_server(facts, |server| match &server.config_trouble {
        None => Finding::pass(W::ConfigFine),
        Some(trouble) => troubled(trouble, W::ConfigRemedy),
    })
}

/// The certificate that a server was given is valid, and will be for some time.
pub(super) fn certificate(facts: &Observation) -> Finding {
    with_server(facts, |server| {
        seen(&server.certificate, W::CertificateOwn, |(from, until)| {
            let Some(now) = facts.machine.known().map(|machine| machine.clock_s) else {
                return Finding::unknown(W::NotSeen);
            };
            if !can_be_right(now) {
                return Finding::skipped(W::ToldBy { id: "clock".to_owned() });
            }
            let time = utc(*until);
            if now < *from {
                return Finding::fail(vec![W::CertificateEarly { time: utc(*from) }.into()], W::CertificateRemedy);
            }
            match until.checked_sub(now) {
                None => Finding::fail(vec![W::CertificateOver { time }.into()], W::CertificateRemedy),
                Some(left) if left < CERTIFICATE_COMFORT_S => {
                    Finding::warn(vec![W::CertificateUntil { time }.into()], W::CertificateRemedy)
                }
                Some(_) => Finding::pass(W::CertificateUntil { time }),
            }
        })
    })
}

/// The server of this directory answers where its API is published.
pub(super) fn api(facts: &Observation) -> Finding {
    with_running(facts, |server| {
        let address = server.api.clone();
        match &server.health {
            Some(health) if health.is_own => Finding::pass(W::ApiAnswers { address }),
            Some(_) => Finding::fail(vec![W::ApiForeign { address }.into()], W::ServerRemedy),
            None => Finding::fail(vec![W::ApiSilent { address }.into()], W::ServerRemedy),
        }
    })
}

/// Clients can connect.
pub(super) fn control(facts: &Observation) -> Finding {
    with_running(facts, |server| match (&server.control, server.control_answers) {
        (None, _) => Finding::skipped(W::NoControl),
        (Some(address), true) => Finding::pass(W::ControlAnswers { address: address.clone() }),
        (Some(address), false) => {
            Finding::fail(vec![W::ControlSilent { address: address.clone() }.into()], W::ServerRemedy)
        }
    })
}

/// The launched server is of the version of this program.
pub(super) fn program(facts: &Observation) -> Finding {
    with_running(facts, |server| match &server.health {
        Some(health) if health.is_own && health.version != facts.version => {
            let (theirs, ours) = (health.version.clone(), facts.version.clone());
            Finding::warn(vec![W::VersionsApart { theirs, ours }.into()], W::ServerVersionRemedy)
        }
        Some(health) => Finding::pass(W::VersionIs { version: health.version.clone() }),
        None => Finding::skipped(W::ToldBy { id: "tunnel-api".to_owned() }),
    })
}

/// Judges how far two clocks are apart. One that cannot be right has an alarm of its own.
fn apart(facts: &Observation, clocks: Option<ClockSight>) -> Finding {
    let Some(ClockSight { theirs_s, ours_s }) = clocks else { return Finding::unknown(W::NoServerClock) };
    if !can_be_right(ours_s) || facts.machine.known().is_some_and(|machine| !can_be_right(machine.clock_s)) {
        return Finding::skipped(W::ToldBy { id: "clock".to_owned() });
    }
    let (theirs, ours) = (utc(theirs_s), utc(ours_s));
    let seconds = theirs_s.abs_diff(ours_s);
    let evidence = || vec![W::ClocksApart { theirs, ours, seconds }.into()];
    match seconds {
        _ if seconds <= CLOCKS_COMFORT_S => Finding::pass(W::ClocksAgree { seconds }),
        _ if seconds <= CLOCKS_MOST_S => Finding::warn(evidence(), W::ClocksRemedy),
        _ => Finding::fail(evidence(), W::ClocksRemedy),
    }
}

/// The launched server's clock shows what ours does. Containers of a virtual machine fall behind while it sleeps.
pub(super) fn server_clock(facts: &Observation) -> Finding {
    with_running(facts, |server| match &server.health {
        Some(health) if health.is_own => apart(facts, health.clocks),
        Some(_) | None => Finding::skipped(W::ToldBy { id: "tunnel-api".to_owned() }),
    })
}

fn with_mappings(facts: &Observation, judge: impl FnOnce(&[MappingSight]) -> Finding) -> Finding {
    with_running(facts, |server| {
        if server.health.as_ref().is_none_or(|health| !health.is_own) {
            return Finding::skipped(W::ToldBy { id: "tunnel-api".to_owned() });
        }
        seen(&server.mappings, W::NoMappings, |mappings| {
            if mappings.is_empty() { Finding::skipped(W::NoMappings) } else { judge(mappings) }
        })
    })
}

/// Every mapping has its listener.
pub(super) fn mappings(facts: &Observation) -> Finding {
    with_mappings(facts, |mappings| {
        let failed: Vec<&MappingSight> = mappings.iter().filter(|mapping| mapping.state == "failed").collect();
        let line = |mapping: &&MappingSight| {
            W::MappingFailed { port: mapping.port, reason: mapping.error.clone().unwrap_or_default() }.into()
        };
        match failed.first() {
            None => Finding::pass(W::MappingsFine { count: mappings.len() }),
            Some(first) => Finding::fail(failed.iter().map(line).collect(), W::MappingRemedy { port: first.port }),
        }
    })
}

/// Every mapping has the client that serves it.
pub(super) fn clients(facts: &Observation) -> Finding {
    with_mappings(facts, |mappings| {
        let waiting: Vec<&MappingSight> = mappings.iter().filter(|mapping| mapping.state == "waiting").collect();
        let line = |mapping: &&MappingSight| match mapping.client.clone() {
            client if client.is_empty() => W::MappingWaits { port: mapping.port }.into(),
            client => W::MappingWaitsFor { port: mapping.port, client }.into(),
        };
        if waiting.is_empty() {
            Finding::pass(W::ClientsFine)
        } else {
            Finding::warn(waiting.iter().map(line).collect(), W::ClientsRemedy)
        }
    })
}

/// A visitor of each mapping gets to its target.
pub(super) fn targets(facts: &Observation) -> Finding {
    with_mappings(facts, |mappings| {
        let closed = |mapping: &&MappingSight| mapping.reached == Some(false);
        let closed: Vec<&MappingSight> = mappings.iter().filter(closed).collect();
        let line =
            |mapping: &&MappingSight| W::TargetSilent { port: mapping.port, target: mapping.target.clone() }.into();
        let tried = mappings.iter().filter(|mapping| mapping.reached.is_some()).count();
        match closed.first() {
            None if tried == 0 => Finding::skipped(W::NothingTried),
            None => Finding::pass(W::TargetsFine { count: tried }),
            Some(first) => {
                let remedy = W::TargetRemedy { target: first.target.clone() };
                Finding::warn(closed.iter().map(line).collect(), remedy)
            }
        }
    })
}

/// Judges one step of a client's way: those before it must have been made.
fn step(facts: &Observation, name: &str) -> Finding {
    seen(&facts.client, W::NoWay, |client: &ClientSight| {
        let place = |name: &str| STEPS.iter().position(|step| *step == name).unwrap_or(STEPS.len());
        let failed = client.failed_at.as_deref().map(place);
        match (failed, &client.trouble) {
            (Some(failed), Some(trouble)) if failed == place(name) => troubled(trouble, W::WayRemedy),
            (Some(failed), _) if failed < place(name) => Finding::skipped(W::StepBefore),
            _ => Finding::pass(W::WayTo { server: client.server.clone() }),
        }
    })
}

/// What was told of the server is understood.
pub(super) fn way_entry(facts: &Observation) -> Finding {
    step(facts, "entry")
}

/// The server's name has an address.
pub(super) fn way_name(facts: &Observation) -> Finding {
    step(facts, "name")
}

/// The address answers.
pub(super) fn way_reach(facts: &Observation) -> Finding {
    step(facts, "reach")
}

/// The server shows the right certificate.
pub(super) fn way_trust(facts: &Observation) -> Finding {
    step(facts, "link")
}

/// The server takes the token.
pub(super) fn way_token(facts: &Observation) -> Finding {
    step(facts, "session")
}

/// The server's program is of the version of this one.
pub(super) fn way_version(facts: &Observation) -> Finding {
    seen(&facts.client, W::NoWay, |client| {
        let agent = client.agent.as_deref().and_then(|agent| agent.strip_prefix("portwright "));
        match (agent, &client.failed_at) {
            (_, Some(_)) => Finding::skipped(W::StepBefore),
            (None, None) => Finding::skipped(W::NotToldHere),
            (Some(theirs), None) if theirs != facts.version => {
                let (theirs, ours) = (theirs.to_owned(), facts.version.clone());
                Finding::warn(vec![W::VersionsApart { theirs, ours }.into()], W::WayVersionRemedy)
            }
            (Some(version), None) => Finding::pass(W::VersionIs { version: version.to_owned() }),
        }
    })
}

/// The clock of the server that was named shows what ours does. It tells it before it has judged the token.
pub(super) fn way_clock(facts: &Observation) -> Finding {
    seen(&facts.client, W::NoWay, |client| {
        let is_met = client.failed_at.as_deref().is_none_or(|step| step == "session");
        if client.clocks.is_none() && !is_met { Finding::skipped(W::StepBefore) } else { apart(facts, client.clocks) }
    })
}
