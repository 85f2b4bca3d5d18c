//! Checks of the project in the directory: its files, its ports, and what is in the way of its visitors.

use super::{said, seen, troubled};
use crate::model::{EngineSight, Finding, Observation, Port, PortSight, ProjectSight, RedirectSight};
use crate::words::Message;
use crate::words::doctor::DoctorWords as W;

/// Ports of programs that trust whoever reaches them, or are attacked where they can be reached, as the programs are
/// installed (IANA's registry and their own documentation).
const TRUSTING: [(u16, &str); 14] = [
    (1433, "SQL Server"),
    (2375, "the engine's API"),
    (2379, "etcd"),
    (3306, "MySQL"),
    (5432, "PostgreSQL"),
    (5672, "RabbitMQ"),
    (5984, "CouchDB"),
    (6379, "Redis"),
    (8086, "InfluxDB"),
    (9042, "Cassandra"),
    (9092, "Kafka"),
    (9200, "Elasticsearch"),
    (11211, "memcached"),
    (27017, "MongoDB"),
];

fn with_project(facts: &Observation, judge: impl FnOnce(&ProjectSight) -> Finding) -> Finding {
    seen(&facts.project, W::NoProject, judge)
}

fn with_ports(facts: &Observation, judge: impl FnOnce(&[PortSight]) -> Finding) -> Finding {
    with_project(facts, |project| {
        if project.trouble.is_some() {
            return Finding::skipped(W::ToldBy { id: "project-files".to_owned() });
        }
        seen(
            &project.ports,
            W::NoPorts,
            |ports| {
                if ports.is_empty() { Finding::skipped(W::NoPorts) } else { judge(ports) }
            },
        )
    })
}

/// The files can be read.
pub(super) fn files(facts: &Observation) -> Finding {
    with_project(facts, |project| match &project.trouble {
        None => Finding::pass(W::ProjectRead { directory: project.directory.clone() }),
        Some(trouble) => troubled(trouble, W::ProjectFilesRemedy),
    })
}

/// The files say nothing that is odd.
pub(super) fn lints(facts: &Observation) -> Finding {
    with_project(facts, |project| {
        if project.lints.is_empty() {
            Finding::pass(W::NothingOdd)
        } else {
            Finding::warn(project.lints.iter().map(said).collect(), W::LintsRemedy)
        }
    })
}

/// Nobody else has a published port.
pub(super) fn ports(facts: &Observation) -> Finding {
    with_ports(facts, |ports| {
        let blocked = |port: &&PortSight| matches!(port.state.as_str(), "conflict" | "reserved");
        let blocked: Vec<&PortSight> = ports.iter().filter(blocked).collect();
        if let Some(port) = blocked.first().and_then(|first| first.port) {
            return Finding::fail(blocked.into_iter().filter_map(taken).collect(), W::PortsRemedy { port });
        }
        match ports.iter().find(|port| port.state == "unknown") {
            Some(port) => Finding::unknown(taken(port).unwrap_or_else(|| W::NotSeen.into())),
            None => Finding::pass(W::PortsFree { count: ports.len() }),
        }
    })
}

fn taken(seen: &PortSight) -> Option<Message> {
    let reason = seen.reason.clone().unwrap_or_default();
    let (name, place) = (seen.name.clone(), seen.place.clone());
    Some(W::PortTaken { name, port: seen.port?, place, reason }.into())
}

/// This user may bind the ports.
pub(super) fn privileged(facts: &Observation) -> Finding {
    with_ports(facts, |ports| {
        let refused: Vec<&PortSight> = ports.iter().filter(|port| port.state == "privileged").collect();
        match refused.first() {
            None => Finding::pass(W::PortsAllowed),
            Some(first) => {
                let remedy = W::PrivilegedRemedy { name: first.name.clone() };
                Finding::warn(refused.into_iter().filter_map(taken).collect(), remedy)
            }
        }
    })
}

/// No outgoing connection can have a port first.
pub(super) fn ephemeral(facts: &Observation) -> Finding {
    with_ports(facts, |ports| {
        let at_risk: Vec<(Port, Message)> = ports
            .iter()
            .filter_map(|seen| {
                let (name, port, range) = (seen.name.clone(), seen.port?, seen.at_risk?);
                Some((port, W::AtRisk { name, port, range }.into()))
            })
            .collect();
        match at_risk.first() {
            None => Finding::pass(W::NoneAtRisk),
            Some((port, _)) => {
                let remedy = W::AtRiskRemedy { port: *port };
                Finding::warn(at_risk.into_iter().map(|(_, line)| line).collect(), remedy)
            }
        }
    })
}

/// Tells whether other machines reach what is published there.
fn is_open(port: &PortSight) -> bool {
    matches!(port.host_ip.as_str(), "" | "0.0.0.0" | "::")
}

/// No program that trusts whoever reaches it is open to other machines.
pub(super) fn exposure(facts: &Observation) -> Finding {
    with_ports(facts, |ports| {
        let trusting = |container: Port| TRUSTING.iter().find(|(number, _)| *number == container.get());
        let exposed: Vec<(Port, Port, Message)> = ports
            .iter()
            .filter(|port| is_open(port))
            .filter_map(|seen| {
                let (_, what) = trusting(seen.container_port)?;
                let (name, port, place) = (seen.name.clone(), seen.port?, seen.place.clone());
                let line = W::Exposed { name, port, what: (*what).to_owned(), place };
                Some((port, seen.container_port, line.into()))
            })
            .collect();
        match exposed.first() {
            None => Finding::pass(W::NothingExposed),
            Some((port, container, _)) => {
                let remedy = W::ExposedRemedy { port: *port, container: *container };
                Finding::warn(exposed.into_iter().map(|(_, _, line)| line).collect(), remedy)
            }
        }
    })
}

/// No NAT rule sends visitors elsewhere.
pub(super) fn redirects(facts: &Observation) -> Finding {
    with_ports(facts, |ports| {
        seen(&facts.redirects, W::NoRedirects, |redirects| {
            let of = |seen: &PortSight| {
                let port = seen.port?;
                let takes =
                    |rule: &&RedirectSight| rule.protocol == seen.protocol && (rule.first..=rule.last).contains(&port);
                let rule = redirects.iter().find(takes)?;
                Some((port, W::Redirected { name: seen.name.clone(), port, to: rule.to.clone() }.into()))
            };
            let found: Vec<(Port, Message)> = ports.iter().filter_map(of).collect();
            match found.first() {
                None => Finding::pass(W::NoRedirects),
                Some((port, _)) => {
                    let remedy = W::RedirectRemedy { port: *port };
                    Finding::fail(found.into_iter().map(|(_, line)| line).collect(), remedy)
                }
            }
        })
    })
}

/// The firewall lets visitors in. Ports of a docker daemon of root are rewritten before its rules are asked.
pub(super) fn firewall(facts: &Observation) -> Finding {
    with_ports(facts, |ports| {
        seen(&facts.firewall, W::FirewallAbsent, |firewall| {
            let by_daemon = facts.engine.known().is_some_and(|engine| match engine {
                EngineSight::Answers(answer) => answer.kind == "docker" && !answer.rootless,
                EngineSight::Fails(_) => false,
            });
            if !firewall.drops {
                return Finding::pass(W::FirewallOpen);
            }
            if by_daemon {
                return Finding::pass(W::FirewallPassedBy);
            }
            let is_let_in = |port: Port| firewall.lets_in.iter().any(|range| range.contains(port));
            let dropped: Vec<(Port, Message)> = ports
                .iter()
                .filter(|port| is_open(port))
                .filter_map(|seen| {
                    let port = seen.port.filter(|port| !is_let_in(*port))?;
                    Some((port, W::FirewallDrops { name: seen.name.clone(), port }.into()))
                })
                .collect();
            match dropped.first() {
                None => Finding::pass(W::FirewallOpen),
                Some((port, _)) => {
                    let remedy = W::FirewallRemedy { port: *port };
                    Finding::warn(dropped.into_iter().map(|(_, line)| line).collect(), remedy)
                }
            }
        })
    })
}
