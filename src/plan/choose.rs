//! Chooses ports: what moves where, by name, by answer or by itself.

use std::collections::BTreeMap;

use super::judge::{host_network, judge, look, mapping_of, stopped_wanting};
use super::known::{has_fixed_meaning, is_blocked_by_browsers};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Binding, BindingState, Endpoint, Facts, Lever, Mapping, MappingId, Move, Port, PortRange, ProbeOutcome, Project,
    PublishedPort,
};
use crate::words::plan::PlanWords;
use crate::words::{ListOf, Message};

/// What happens to a port in conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Leave it open, for a person to answer.
    Ask,
    /// Choose another port.
    Auto,
    /// Leave the port as it is.
    Keep,
    /// Refuse.
    Fail,
}

/// A person's answer for one conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Choose another port.
    Automatic,
    /// Take this port.
    Manual(Port),
    /// Leave the port as it is.
    Keep,
}

/// What the person wants of the ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// What happens to conflicts without an answer of their own.
    pub policy: Policy,
    /// Ports wanted by name (`--port NAME=PORT`).
    pub named: Vec<(String, Port)>,
    /// Where automatic choice looks; by default from the wanted port up.
    pub range: Option<PortRange>,
    /// Whether what a stopped container will want counts as taken.
    pub strict: bool,
    /// Whether an override file may be written, so that a port which cannot be edited in place can move all the same.
    pub override_file: bool,
    /// Answers, by the first mapping of the group they are for.
    pub answers: BTreeMap<MappingId, Decision>,
}

/// Which ports move, and what is known of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortPlan {
    /// The judgement on the ports as they are; a blocked one has a suggestion where there is one.
    pub bindings: Vec<Binding>,
    /// The decided moves, in the order of the mappings.
    pub moves: Vec<Move>,
    /// Conflicts that wait for an answer: the first mapping of each group.
    pub open: Vec<MappingId>,
    /// What deserves to be known.
    pub warnings: Vec<Message>,
    /// Chosen endpoints that no bind has confirmed; with their answers in the facts, choose again.
    pub to_probe: Vec<Endpoint>,
}

/// Decides the ports of `project`. Deterministic: the same facts and wishes give the same plan.
///
/// # Errors
/// `Usage` for a `--port` name that fits no port or several; `Refused` for a named port that is taken, for conflicts
/// under [`Policy::Fail`], and under [`Policy::Auto`] for what can only be moved by hand or when no port is free.
pub fn choose(project: &Project, facts: &Facts, wishes: &Wishes) -> Result<PortPlan> {
    let named = named_ports(project, wishes)?;
    let leaving = leaving(project, &named);
    let judgement = judge(project, facts, wishes.strict, &leaving);
    let mut plan = PortPlan {
        bindings: judgement.bindings,
        moves: Vec::new(),
        open: Vec::new(),
        warnings: judgement.warnings,
        to_probe: Vec::new(),
    };
    let mut chooser = Chooser { project, facts, wishes, given: Vec::new(), leaving };
    for (lead, port) in &named {
        chooser.place_named(&mut plan, *lead, *port)?;
    }
    let mut unresolved = Vec::new();
    for lead in leads(project) {
        if named.contains_key(&lead) || !chooser.must_move(&plan.bindings, lead) {
            continue;
        }
        let candidate = chooser.candidate(lead);
        if let Ok(port) = &candidate {
            suggest(&mut plan.bindings, project, lead, *port);
            plan.to_probe.extend(chooser.unprobed(lead, *port));
        }
        match (wishes.answers.get(&lead), wishes.policy) {
            (Some(Decision::Automatic), _) | (None, Policy::Auto) => {
                chooser.place(&mut plan, lead, candidate?)?;
                continue;
            }
            (None, Policy::Ask) => plan.open.push(lead),
            (None, Policy::Fail) => unresolved.push(lead),
            (Some(Decision::Keep | Decision::Manual(_)), _) | (None, Policy::Keep) => {}
        }
        // Two suggestions of one table never name the same port.
        if let Ok(port) = candidate {
            chooser.reserve(lead, port);
        }
    }
    plan.moves.sort_by_key(|decided| decided.mappings.first().copied());
    if unresolved.is_empty() { Ok(plan) } else { Err(unresolved_error(project, &plan.bindings, &unresolved)) }
}

/// Tells whether `port` could be given to the group of `lead`, beside the moves that are already decided.
///
/// # Errors
/// The reason why not.
pub fn try_port(
    project: &Project,
    facts: &Facts,
    decided: &[Move],
    lead: MappingId,
    port: Port,
) -> Result<(), Message> {
    let wishes = Wishes {
        policy: Policy::Fail,
        named: Vec::new(),
        range: None,
        strict: true,
        override_file: true,
        answers: BTreeMap::new(),
    };
    let leaving = decided.iter().flat_map(|other| other.mappings.iter().copied()).collect();
    let mut chooser = Chooser { project, facts, wishes: &wishes, given: Vec::new(), leaving };
    for other in decided {
        if let Some(first) = other.mappings.first() {
            chooser.reserve(*first, other.to);
        }
    }
    chooser.objection(lead, port).map_or(Ok(()), Err)
}

/// Returns the mappings that move together with `lead`: those that share its variable, as far as one port can serve
/// them all. A mapping that would meet an earlier one on the same address moves by itself.
#[must_use]
pub fn group_of(project: &Project, lead: MappingId) -> Vec<MappingId> {
    let Lever::Variable { name, .. } = &mapping_of(project, lead).lever else { return vec![lead] };
    let shares = |mapping: &Mapping| matches!(&mapping.lever, Lever::Variable { name: other, .. } if other == name);
    let mut together: Vec<MappingId> = Vec::new();
    for (index, mapping) in project.mappings.iter().enumerate().filter(|(_, mapping)| shares(mapping)) {
        if together.iter().any(|earlier| meet(mapping_of(project, *earlier), mapping)) {
            if MappingId(index) == lead {
                return vec![lead];
            }
        } else {
            together.push(MappingId(index));
        }
    }
    together
}

/// Tells whether two mappings want the same endpoint.
fn meet(one: &Mapping, other: &Mapping) -> bool {
    let (Some(ports), Some(others)) = (fixed(one), fixed(other)) else { return false };
    let first = ports.first().max(others.first());
    let address = |mapping: &Mapping| Endpoint::published(mapping.host_ip, first, mapping.protocol, true);
    ports.contains(first)
        && others.contains(first)
        && address(one).iter().any(|endpoint| address(other).iter().any(|rival| endpoint.conflicts_with(rival)))
}

/// Returns the name under which the choice for `mapping` is remembered.
#[must_use]
pub fn sticky_name(mapping: &Mapping) -> String {
    format!("{}:{}/{}", mapping.service, mapping.container.first(), mapping.protocol)
}

/// Returns the first mapping of each group, in order.
fn leads(project: &Project) -> Vec<MappingId> {
    let ids = (0..project.mappings.len()).map(MappingId);
    ids.filter(|id| group_of(project, *id).first() == Some(id)).collect()
}

fn fixed(mapping: &Mapping) -> Option<PortRange> {
    match mapping.published {
        PublishedPort::Fixed(range) => Some(range),
        PublishedPort::AnyOf(_) | PublishedPort::Random => None,
    }
}

/// Returns the block of ports that `mapping` would have if it began at `first`.
fn block(mapping: &Mapping, first: Port) -> Option<PortRange> {
    let count = fixed(mapping)?.count();
    PortRange::new(first, first.checked_add(count - 1)?)
}

fn suggest(bindings: &mut [Binding], project: &Project, lead: MappingId, first: Port) {
    let group = group_of(project, lead);
    for binding in bindings.iter_mut().filter(|binding| group.contains(&binding.mapping)) {
        let Some(range) = fixed(mapping_of(project, binding.mapping)) else { continue };
        let steps = binding.port.map_or(0, |port| port.get().saturating_sub(range.first().get()));
        binding.suggested = first.checked_add(steps);
    }
}

struct Chooser<'a> {
    project: &'a Project,
    facts: &'a Facts,
    wishes: &'a Wishes,
    /// Blocks given in this run, with the group that has them.
    given: Vec<(MappingId, PortRange)>,
    /// Mappings that leave their ports because a person gave them others.
    leaving: Vec<MappingId>,
}

impl Chooser<'_> {
    fn mapping(&self, id: MappingId) -> &Mapping {
        mapping_of(self.project, id)
    }

    fn must_move(&self, bindings: &[Binding], lead: MappingId) -> bool {
        let group = group_of(self.project, lead);
        bindings.iter().filter(|binding| group.contains(&binding.mapping)).any(|binding| {
            fixed(self.mapping(binding.mapping)).is_some()
                && (binding.state.blocks() || binding.state == BindingState::Privileged)
        })
    }

    fn reserve(&mut self, lead: MappingId, first: Port) {
        for id in group_of(self.project, lead) {
            if let Some(range) = block(self.mapping(id), first) {
                self.given.push((lead, range));
            }
        }
    }

    /// Decides a move after checking that the file can be edited.
    fn place(&mut self, plan: &mut PortPlan, lead: MappingId, to: Port) -> Result<()> {
        let mapping = self.mapping(lead);
        let Some(range) = fixed(mapping) else { return Ok(()) };
        check_lever(mapping, to, self.wishes.override_file)?;
        if let Some(ephemeral) = self.facts.ephemeral.filter(|ephemeral| ephemeral.contains(to)) {
            plan.warnings.push(PlanWords::WarnEphemeral { port: to, range: ephemeral }.into());
        }
        plan.moves.push(Move { mappings: group_of(self.project, lead), from: range.first(), to });
        self.reserve(lead, to);
        Ok(())
    }

    fn place_named(&mut self, plan: &mut PortPlan, lead: MappingId, port: Port) -> Result<()> {
        let mapping = self.mapping(lead);
        if fixed(mapping).is_some_and(|range| range.first() == port) && !self.must_move(&plan.bindings, lead) {
            self.reserve(lead, port);
            return Ok(());
        }
        if let Some(why) = self.objection(lead, port) {
            let (service, protocol) = (mapping.service.clone(), mapping.protocol);
            let refused = PlanWords::PortRefused { port, protocol, service, why: Box::new(why) };
            return Err(Error::new(ErrorKind::Refused, refused));
        }
        suggest(&mut plan.bindings, self.project, lead, port);
        plan.to_probe.extend(self.unprobed(lead, port));
        self.place(plan, lead, port)
    }

    fn unprobed(&self, lead: MappingId, first: Port) -> Vec<Endpoint> {
        let mappings = group_of(self.project, lead).into_iter().map(|id| self.mapping(id));
        let endpoints = mappings.flat_map(|mapping| {
            let ports = block(mapping, first).into_iter().flat_map(PortRange::ports);
            ports.flat_map(|port| Endpoint::published(mapping.host_ip, port, mapping.protocol, self.facts.ipv6))
        });
        endpoints.filter(|endpoint| self.facts.engine_is_local && !self.facts.probes.contains_key(endpoint)).collect()
    }

    /// Says why the group of `lead` cannot have the block that begins at `first`; `None` when it can.
    fn objection(&self, lead: MappingId, first: Port) -> Option<Message> {
        let group = group_of(self.project, lead);
        group.iter().find_map(|id| {
            let mapping = self.mapping(*id);
            let Some(range) = block(mapping, first) else {
                return Some(PlanWords::RangeFull { range: PortRange::single(first) }.into());
            };
            range.ports().find_map(|port| self.objection_to_port(&group, mapping, port))
        })
    }

    fn objection_to_port(&self, group: &[MappingId], mapping: &Mapping, port: Port) -> Option<Message> {
        if let Some(service) = self.wanted_by_sibling(group, mapping, port) {
            return Some(PlanWords::SiblingWants { service }.into());
        }
        if let Some(service) = self.given_to_other(group, mapping, port) {
            return Some(PlanWords::GivenTwice { port, service }.into());
        }
        let verdict = look(self.project, self.facts, mapping, port);
        match verdict.state {
            BindingState::Free | BindingState::Own | BindingState::Unknown => None,
            BindingState::Conflict | BindingState::Reserved | BindingState::Privileged => verdict.reason,
        }
    }

    fn wanted_by_sibling(&self, group: &[MappingId], mapping: &Mapping, port: Port) -> Option<String> {
        let siblings = self.project.mappings.iter().enumerate();
        let wants = |sibling: &Mapping| match sibling.published {
            PublishedPort::Fixed(range) | PublishedPort::AnyOf(range) => range.contains(port),
            PublishedPort::Random => false,
        };
        siblings
            .filter(|(index, _)| !group.contains(&MappingId(*index)))
            .filter(|(index, _)| !self.leaving.contains(&MappingId(*index)))
            .map(|(_, sibling)| sibling)
            .filter(|sibling| sibling.protocol == mapping.protocol && !host_network(self.project, &sibling.service))
            .find(|sibling| wants(sibling))
            .map(|sibling| sibling.service.clone())
    }

    fn given_to_other(&self, group: &[MappingId], mapping: &Mapping, port: Port) -> Option<String> {
        let taken = self.given.iter().find(|(lead, range)| {
            !group.contains(lead) && range.contains(port) && self.mapping(*lead).protocol == mapping.protocol
        })?;
        Some(self.mapping(taken.0).service.clone())
    }

    /// Finds the port that automatic choice takes for the group of `lead`.
    fn candidate(&self, lead: MappingId) -> Result<Port> {
        let mapping = self.mapping(lead);
        let wanted = fixed(mapping).map_or(Port::MAX, PortRange::first);
        if has_fixed_meaning(wanted) {
            return Err(fixed_meaning(self.project, self.facts, lead, wanted));
        }
        if let Some(error) = self.elsewhere(mapping, wanted) {
            return Err(error);
        }
        let in_range = |port: &Port| self.wishes.range.is_none_or(|range| range.contains(*port));
        let sticky = self.facts.sticky.get(&sticky_name(mapping)).copied();
        let sticky = sticky.filter(|port| in_range(port) && self.would_do(lead, *port));
        if let Some(port) = sticky {
            return Ok(port);
        }
        let ranges = self.search(wanted);
        let in_ephemeral = |port: &Port| self.facts.ephemeral.is_some_and(|range| range.contains(*port));
        let ports = || ranges.iter().flat_map(|range| range.ports());
        let outside = ports().filter(|port| !in_ephemeral(port)).find(|port| self.would_do(lead, *port));
        let found = outside.or_else(|| ports().filter(in_ephemeral).find(|port| self.would_do(lead, *port)));
        found.ok_or_else(|| self.exhausted(lead, wanted, &ranges))
    }

    /// Refuses for a mapping whose address this host does not have: no port would help.
    fn elsewhere(&self, mapping: &Mapping, wanted: Port) -> Option<Error> {
        let endpoints = Endpoint::published(mapping.host_ip, wanted, mapping.protocol, self.facts.ipv6);
        let foreign = |endpoint: &&Endpoint| self.facts.probes.get(endpoint) == Some(&ProbeOutcome::NotLocal);
        let address = endpoints.iter().find(foreign)?.address.to_string();
        let why = Box::new(PlanWords::AddressNotHere { address }.into());
        let (service, protocol) = (mapping.service.clone(), mapping.protocol);
        let words = PlanWords::UnresolvedItem { service, port: wanted, protocol, why };
        Some(Error::new(ErrorKind::Refused, words).hint(PlanWords::HintAddress))
    }

    /// Returns where to look: the range that was asked for, or from the wanted port up.
    fn search(&self, wanted: Port) -> Vec<PortRange> {
        match self.wishes.range {
            Some(range) => vec![range],
            None => PortRange::new(wanted, Port::MAX).into_iter().collect(),
        }
    }

    /// Tells whether automatic choice may take the block that begins at `first`.
    fn would_do(&self, lead: MappingId, first: Port) -> bool {
        let group = group_of(self.project, lead);
        let acceptable = |mapping: &Mapping, port: Port| {
            let reserved = self.facts.reserved.iter().any(|range| range.contains(port));
            let wanted_low = fixed(mapping).is_some_and(|range| range.first().get() < self.facts.unprivileged_from);
            let privileged = port.get() < self.facts.unprivileged_from && !wanted_low;
            let stopped = stopped_wanting(self.project, self.facts, mapping, port).is_some();
            !reserved && !privileged && !stopped && !is_blocked_by_browsers(port, mapping.protocol)
        };
        let blocks = group.iter().map(|id| (self.mapping(*id), block(self.mapping(*id), first)));
        let mut blocks = blocks.map(|(mapping, range)| range.map(|range| (mapping, range)));
        blocks.all(|pair| {
            pair.is_some_and(|(mapping, range)| {
                range
                    .ports()
                    .all(|port| acceptable(mapping, port) && self.objection_to_port(&group, mapping, port).is_none())
            })
        })
    }

    fn exhausted(&self, lead: MappingId, wanted: Port, ranges: &[PortRange]) -> Error {
        let range = ranges.first().copied().unwrap_or(PortRange::single(wanted));
        let count = ranges.iter().map(|range| usize::from(range.count())).sum();
        let service = self.mapping(lead).service.clone();
        let low = Port::new(20000).and_then(|low| PortRange::new(low, low.checked_add(999)?));
        let error = Error::new(ErrorKind::Refused, PlanWords::Exhausted { count, range, service });
        low.map_or(error.clone(), |range| error.hint(PlanWords::HintWiden { range }))
    }
}

fn fixed_meaning(project: &Project, facts: &Facts, lead: MappingId, port: Port) -> Error {
    let mapping = mapping_of(project, lead);
    let verdict = look(project, facts, mapping, port);
    let why = verdict.reason.unwrap_or_else(|| PlanWords::Free.into());
    let words = PlanWords::FixedMeaning { port, service: mapping.service.clone(), why: Box::new(why) };
    let flag = format!("{}:{}=PORT", mapping.service, mapping.container.first());
    Error::new(ErrorKind::Refused, words).hint(PlanWords::HintSetPort { flag })
}

/// Refuses for what no file decides; where a port cannot be edited, the edit says why, or finds another file for it.
fn check_lever(mapping: &Mapping, to: Port, override_file: bool) -> Result<()> {
    let Lever::Shell { name } = &mapping.lever else { return Ok(()) };
    if override_file {
        return Ok(());
    }
    let words = PlanWords::ShellDecides { variable: name.clone(), service: mapping.service.clone() };
    let hint = PlanWords::HintShell { variable: name.clone(), port: to };
    Err(Error::new(ErrorKind::Refused, words).hint(hint))
}

/// Returns the name by which `--port` reaches the mapping most plainly.
fn flag_name(mapping: &Mapping) -> String {
    mapping.variable.clone().unwrap_or_else(|| format!("{}:{}", mapping.service, mapping.container.first()))
}

fn names_of(project: &Project, id: MappingId) -> Vec<String> {
    let mapping = mapping_of(project, id);
    let exact = format!("{}:{}", mapping.service, mapping.container.first());
    let with_protocol = format!("{exact}/{}", mapping.protocol);
    let mut names = vec![mapping.service.clone(), exact, with_protocol];
    names.extend(mapping.variable.clone());
    names
}

/// Resolves `--port` names and manual answers to the groups that they mean.
fn named_ports(project: &Project, wishes: &Wishes) -> Result<BTreeMap<MappingId, Port>> {
    let mut named = BTreeMap::new();
    for (name, port) in &wishes.named {
        let candidates = leads(project).into_iter().filter(|lead| {
            let group = group_of(project, *lead);
            group.iter().any(|id| fixed(mapping_of(project, *id)).is_some() && names_of(project, *id).contains(name))
        });
        let fits: Vec<_> = candidates.collect();
        let known =
            |ids: &[MappingId]| ids.iter().map(|id| flag_name(mapping_of(project, *id))).collect::<Vec<_>>().join(", ");
        let words = match fits.as_slice() {
            [lead, rest @ ..] if rest.is_empty() || mapping_of(project, *lead).variable.as_ref() == Some(name) => {
                if named.insert(*lead, *port).is_none_or(|before| before == *port) {
                    continue;
                }
                PlanWords::NamedTwice { name: name.clone() }
            }
            [] => PlanWords::NoSuchName { name: name.clone(), known: known(&leads(project)) },
            several => PlanWords::AmbiguousName { name: name.clone(), known: known(several) },
        };
        return Err(Error::new(ErrorKind::Usage, words).hint(PlanWords::HintPortNames));
    }
    for (lead, decision) in &wishes.answers {
        if let Decision::Manual(port) = decision {
            named.insert(*lead, *port);
        }
    }
    Ok(named)
}

/// Returns the mappings that a named port takes away from the ports that they want.
fn leaving(project: &Project, named: &BTreeMap<MappingId, Port>) -> Vec<MappingId> {
    let moved = named
        .iter()
        .filter(|(lead, port)| fixed(mapping_of(project, **lead)).is_some_and(|range| range.first() != **port));
    moved.flat_map(|(lead, _)| group_of(project, *lead)).collect()
}

fn unresolved_error(project: &Project, bindings: &[Binding], leads: &[MappingId]) -> Error {
    let blocked = bindings.iter().filter(|binding| {
        leads.iter().any(|lead| group_of(project, *lead).contains(&binding.mapping))
            && (binding.state.blocks() || binding.state == BindingState::Privileged)
    });
    let items = blocked.filter_map(|binding| {
        let mapping = mapping_of(project, binding.mapping);
        let why = Box::new(binding.reason.clone().unwrap_or_else(|| PlanWords::HeldByUnknown.into()));
        let (service, protocol) = (mapping.service.clone(), mapping.protocol);
        Some(PlanWords::UnresolvedItem { service, port: binding.port?, protocol, why })
    });
    let list = ListOf(items.map(Message::from).collect());
    let flag = leads.first().map(|lead| {
        let mapping = mapping_of(project, *lead);
        let name =
            mapping.variable.clone().unwrap_or_else(|| format!("{}:{}", mapping.service, mapping.container.first()));
        let suggested = bindings.iter().find(|binding| binding.mapping == *lead).and_then(|binding| binding.suggested);
        format!("{name}={}", suggested.map_or_else(|| "PORT".to_owned(), |port| port.to_string()))
    });
    let hint = PlanWords::HintUnresolved { flag: flag.unwrap_or_default() };
    Error::new(ErrorKind::Refused, PlanWords::Unresolved { list }).hint(hint)
}
