//! The checks of `doctor`: one table, and one pure function for each, from what was seen to what is to be said.

mod engine;
mod folders;
mod machine;
mod project;
mod state;
#[cfg(test)]
mod tests;
mod tunnel;

use crate::model::{Finding, Observation, Outcome, Severity, Sight, Trouble};
use crate::words::Message;
use crate::words::doctor::DoctorWords;

/// A check.
#[derive(Debug)]
pub struct Check {
    /// Its stable name.
    pub id: &'static str,
    /// How much depends on it.
    pub severity: Severity,
    /// What is well when it passes.
    pub title: DoctorWords,
    judge: fn(&Observation) -> Finding,
}

impl Check {
    const fn new(id: &'static str, severity: Severity, title: DoctorWords, judge: fn(&Observation) -> Finding) -> Self {
        Self { id, severity, title, judge }
    }

    /// Judges what was seen.
    #[must_use]
    pub fn judge(&self, seen: &Observation) -> Finding {
        (self.judge)(seen)
    }
}

use DoctorWords as W;
use Severity::{Error, Warning};

/// Every check, in the order in which they are told.
pub static CHECKS: [Check; 63] = [
    Check::new("engine", Error, W::EngineTitle, engine::answers),
    Check::new("engine-address", Error, W::EngineAddressTitle, engine::address),
    Check::new("engine-version", Error, W::EngineVersionTitle, engine::version),
    Check::new("engine-containers", Error, W::EngineContainersTitle, engine::containers),
    Check::new("engine-platform", Warning, W::EnginePlatformTitle, engine::platform),
    Check::new("engine-remote", Warning, W::EngineRemoteTitle, engine::remote),
    Check::new("engine-start", Warning, W::EngineStartTitle, engine::starts),
    Check::new("compose", Error, W::ComposeTitle, engine::compose),
    Check::new("compose-version", Warning, W::ComposeVersionTitle, engine::compose_version),
    Check::new("services", Error, W::ServicesTitle, engine::services),
    Check::new("project-files", Error, W::ProjectFilesTitle, project::files),
    Check::new("project-lints", Warning, W::ProjectLintsTitle, project::lints),
    Check::new("ports", Error, W::PortsTitle, project::ports),
    Check::new("ports-privileged", Warning, W::PrivilegedTitle, project::privileged),
    Check::new("ports-ephemeral", Warning, W::EphemeralTitle, project::ephemeral),
    Check::new("exposure", Warning, W::ExposureTitle, project::exposure),
    Check::new("redirected-ports", Error, W::RedirectsTitle, project::redirects),
    Check::new("firewall", Warning, W::FirewallTitle, project::firewall),
    Check::new("launched", Error, W::LaunchedTitle, tunnel::launched),
    Check::new("tunnel-config", Error, W::ConfigTitle, tunnel::config),
    Check::new("tunnel-certificate", Error, W::CertificateTitle, tunnel::certificate),
    Check::new("tunnel-api", Error, W::ApiTitle, tunnel::api),
    Check::new("tunnel-control", Error, W::ControlTitle, tunnel::control),
    Check::new("tunnel-version", Warning, W::ServerVersionTitle, tunnel::program),
    Check::new("tunnel-clock", Error, W::ServerClockTitle, tunnel::server_clock),
    Check::new("tunnel-mappings", Error, W::MappingsTitle, tunnel::mappings),
    Check::new("tunnel-clients", Warning, W::ClientsTitle, tunnel::clients),
    Check::new("tunnel-targets", Warning, W::TargetsTitle, tunnel::targets),
    Check::new("server-entry", Error, W::WayEntryTitle, tunnel::way_entry),
    Check::new("server-name", Error, W::WayNameTitle, tunnel::way_name),
    Check::new("server-reach", Error, W::WayReachTitle, tunnel::way_reach),
    Check::new("server-trust", Error, W::WayTrustTitle, tunnel::way_trust),
    Check::new("server-token", Error, W::WayTokenTitle, tunnel::way_token),
    Check::new("server-version", Warning, W::WayVersionTitle, tunnel::way_version),
    Check::new("server-clock", Error, W::WayClockTitle, tunnel::way_clock),
    Check::new("disk-space", Error, W::DiskTitle, folders::space),
    Check::new("disk-files", Error, W::DiskFilesTitle, folders::files),
    Check::new("folders-writable", Error, W::WritableTitle, folders::writable),
    Check::new("folders-private", Error, W::PrivateTitle, folders::private),
    Check::new("state-disk", Warning, W::SharedDiskTitle, folders::own_disk),
    Check::new("memory", Error, W::MemoryTitle, machine::memory),
    Check::new("descriptors", Error, W::DescriptorsTitle, machine::descriptors),
    Check::new("system-files", Error, W::SystemFilesTitle, machine::system_files),
    Check::new("tasks", Error, W::TasksTitle, machine::tasks),
    Check::new("backlog", Warning, W::BacklogTitle, machine::backlog),
    Check::new("connections", Error, W::ConnectionsTitle, machine::connections),
    Check::new("forwarding", Error, W::ForwardingTitle, machine::forwarding),
    Check::new("outgoing-ports", Error, W::OutgoingTitle, machine::outgoing),
    Check::new("clock", Error, W::ClockTitle, machine::clock),
    Check::new("loopback", Error, W::LoopbackTitle, machine::loopback),
    Check::new("localhost", Error, W::LocalhostTitle, machine::localhost),
    Check::new("name-servers", Warning, W::NameServersTitle, machine::name_servers),
    Check::new("home", Error, W::HomeTitle, machine::home),
    Check::new("variables", Warning, W::VariablesTitle, machine::variables),
    Check::new("interrupted-change", Error, W::InterruptedTitle, state::interrupted),
    Check::new("half-written-files", Warning, W::StagedTitle, state::staged),
    Check::new("state-records", Error, W::RecordsTitle, state::records),
    Check::new("dead-service", Warning, W::DeadServiceTitle, state::dead_service),
    Check::new("left-containers", Warning, W::LeftContainersTitle, engine::left_containers),
    Check::new("pool", Error, W::PoolTitle, state::pool),
    Check::new("pool-config", Error, W::PoolConfigTitle, state::pool_config),
    Check::new("leases", Warning, W::LeasesTitle, state::leases),
    Check::new("pool-room", Error, W::PoolRoomTitle, state::pool_room),
];

/// A check with its answer.
#[derive(Debug, Clone)]
pub struct Diagnosed {
    /// The check.
    pub check: &'static Check,
    /// Its answer.
    pub finding: Finding,
    /// Whether a person said that a failure of it is no reason to fail.
    pub accepted: bool,
}

/// Which checks are made, by id. Ids that do not exist are the caller's to refuse (see [`nearest`]).
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only these; all where there are none.
    pub only: Vec<String>,
    /// Not these.
    pub skip: Vec<String>,
    /// These do not count when they fail.
    pub accept: Vec<String>,
}

/// Judges everything that was seen. A check that was left out is skipped, and stands in its place all the same.
#[must_use]
pub fn diagnose(seen: &Observation, wanted: &Wanted) -> Vec<Diagnosed> {
    let named = |ids: &[String], check: &Check| ids.iter().any(|id| id == check.id);
    let made = |check: &'static Check| {
        let left_out = !wanted.only.is_empty() && !named(&wanted.only, check) || named(&wanted.skip, check);
        let finding = if left_out { Finding::skipped(W::NotAsked) } else { check.judge(seen) };
        Diagnosed { check, finding, accepted: named(&wanted.accept, check) }
    };
    CHECKS.iter().map(made).collect()
}

/// Tells whether the answers are a failure: one that failed (with `strict`: or warns) and was not accepted.
#[must_use]
pub fn is_failure(answers: &[Diagnosed], strict: bool) -> bool {
    let counts = |answer: &&Diagnosed| !answer.accepted;
    answers.iter().filter(counts).any(|answer| match answer.finding.outcome {
        Outcome::Fail => true,
        Outcome::Warn => strict,
        Outcome::Pass | Outcome::Unknown | Outcome::Skipped => false,
    })
}

/// Returns the check that is called `id`, or else the id that is nearest to it.
///
/// # Errors
/// The nearest id.
pub fn find(id: &str) -> Result<&'static Check, &'static str> {
    let found = CHECKS.iter().find(|check| check.id == id);
    found.ok_or_else(|| nearest(id))
}

/// Returns the id that is nearest to what was typed: by Levenshtein's distance, one that begins with it first.
fn nearest(typed: &str) -> &'static str {
    let distance = |id: &str| (typed.is_empty() || !id.starts_with(typed), edit_distance(typed, id));
    CHECKS.iter().map(|check| check.id).min_by_key(|id| distance(id)).unwrap_or_default()
}

/// Levenshtein's distance in characters.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&right) {
            let above = *cell;
            before = (diagonal + usize::from(letter != *other)).min(above + 1).min(before + 1);
            diagonal = above;
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Judges a part that was seen; one that was not is unknown, and one that is not there is skipped for this reason.
fn seen<T>(part: &Sight<T>, nothing: DoctorWords, judge: impl FnOnce(&T) -> Finding) -> Finding {
    match part {
        Sight::Known(part) => judge(part),
        Sight::Unknown(why) => Finding::unknown(said(why)),
        Sight::Nothing => Finding::skipped(nothing),
    }
}

/// Makes a message of a sentence that was told.
fn said(text: &crate::model::Told) -> Message {
    W::Said { text: text.clone() }.into()
}

/// What failed as an error told it, with the error's own way out before the usual one.
fn troubled(trouble: &Trouble, usual: DoctorWords) -> Finding {
    let remedy = trouble.remedy.as_ref().map_or_else(|| usual.into(), said);
    Finding::fail(vec![said(&trouble.what)], remedy)
}
