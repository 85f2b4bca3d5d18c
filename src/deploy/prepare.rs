//! Makes the plan of a run: ports chosen and confirmed by binds, answers asked for, and the exact bytes of every file.

use super::observe::probe;
use super::order::Order;
use super::project::LoadedProject;
use super::{Audience, instance, ripple};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Endpoint, Facts, FileEdit, Move, Port, Project, Use};
use crate::plan::{self, Decision, PortPlan, Wishes};
use crate::text::edit::{EditRequest, EditStyle, Edited, edit};
use crate::text::project::{Loaded, Snapshot, load};
use crate::words::Message;
use crate::words::deploy::DeployWords;

/// The most rounds of choosing and probing. Each round rules out a port that no table showed; a thousand of those in a
/// row mean that something is wrong.
const ROUNDS_MAX: usize = 1_000;

/// A complete plan: nothing is left to choose.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The project as it is.
    pub loaded: LoadedProject,
    /// The judgement and the moves.
    pub ports: PortPlan,
    /// New contents of files, those of files to be created among them.
    pub edits: Vec<FileEdit>,
    /// The project as it will be.
    pub after: Project,
    /// What a person is shown of the edits: the same, but for copies, which are shown against the originals.
    pub shown: Vec<FileEdit>,
    /// Other places that name a moved port or its variable.
    pub uses: Vec<Use>,
    /// What would change at those places with consent, against the files as the moves make them.
    pub ripple: Vec<FileEdit>,
    /// Whether that was agreed to.
    pub rippled: bool,
    /// What deserves to be known.
    pub warnings: Vec<Message>,
}

impl Planned {
    /// Takes the changes of other places into the writes.
    pub(super) fn accept_ripple(&mut self) {
        for change in &self.ripple {
            match self.edits.iter_mut().find(|edit| edit.file == change.file) {
                Some(edit) => edit.after.clone_from(&change.after),
                None => self.edits.push(change.clone()),
            }
        }
        self.rippled = true;
    }

    /// Returns the contents that a file of the project directory will have.
    ///
    /// # Errors
    /// `Missing` when there is no such file.
    pub(super) fn contents(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.after.directory.join(name);
        if let Some(edit) = self.edits.iter().find(|edit| edit.file == path) {
            return Ok(edit.after.clone());
        }
        super::project::contents(&self.after.directory, &path)?
            .ok_or_else(|| Error::new(ErrorKind::Missing, DeployWords::FileGone { path }))
    }
}

/// Plans a run.
///
/// # Errors
/// As [`plan::choose`] and [`edit`]; `Interrupted` when the person aborts.
pub fn prepare(
    loaded: LoadedProject,
    facts: &mut Facts,
    order: &Order,
    audience: &mut dyn Audience,
) -> Result<Planned> {
    let ports = ask(&loaded.project, facts, &order.wishes, audience)?;
    let style = if order.wishes.override_file { EditStyle::Override } else { EditStyle::InPlace };
    let Edited { files: mut edits, notes } = edit(&EditRequest {
        request: &loaded.request,
        snapshot: &loaded.snapshot,
        project: &loaded.project,
        moves: &ports.moves,
        style,
    })?;
    let mut snapshot = loaded.snapshot.clone();
    snapshot.extend(edits.iter().map(|edit| (edit.file.clone(), Some(edit.after.clone()))));
    let after = match load(&loaded.request, &snapshot)? {
        Loaded::Ready(project) => *project,
        Loaded::Absent | Loaded::Needs(_) => return Err(super::project::no_project(&loaded.project.directory)),
    };
    let uses = ripple::uses(&loaded, &snapshot, &after);
    let mut rippled = match ripple::edits(&loaded, &snapshot, &after) {
        Ok(edits) => edits,
        Err(error) if order.ripple => return Err(error),
        // Nobody asked for them: without a proof they are only told.
        Err(_) => Vec::new(),
    };
    if loaded.instance.is_some() {
        // What a copy gets is decided before it is copied.
        if order.ripple {
            snapshot.extend(rippled.iter().map(|edit| (edit.file.clone(), Some(edit.after.clone()))));
        }
        rippled.clear();
    }
    create_fresh(&loaded, &snapshot, &mut edits);
    let mut shown = edits.clone();
    if let Some(instance) = &loaded.instance {
        let copied = instance::copied(instance, &loaded.request, &snapshot)?;
        (edits, shown) = (copied.edits, copied.shown);
    }
    let mut warnings = loaded.project.warnings.clone();
    warnings.extend(ports.warnings.iter().cloned());
    if !ports.moves.is_empty() {
        warnings.extend(loaded.project.edit_warnings.iter().cloned());
    }
    warnings.extend(notes);
    warnings.extend(instance::warnings(&loaded));
    let mut planned = Planned { loaded, ports, edits, after, shown, uses, ripple: rippled, rippled: false, warnings };
    if order.ripple {
        planned.accept_ripple();
    }
    Ok(planned)
}

/// Chooses until a bind has confirmed every port that was chosen or suggested.
///
/// # Errors
/// As [`plan::choose`].
pub(super) fn settle(project: &Project, facts: &mut Facts, wishes: &Wishes) -> Result<PortPlan> {
    for _ in 0..ROUNDS_MAX {
        let ports = plan::choose(project, facts, wishes)?;
        if ports.to_probe.is_empty() {
            return Ok(ports);
        }
        ports.to_probe.iter().for_each(|endpoint| probe(facts, *endpoint));
    }
    Err(Error::new(ErrorKind::Refused, DeployWords::ProbingEndless))
}

/// Asks for an answer to each conflict, one after the other, each beside the answers before it.
fn ask(project: &Project, facts: &mut Facts, wishes: &Wishes, audience: &mut dyn Audience) -> Result<PortPlan> {
    let mut wishes = wishes.clone();
    loop {
        let ports = settle(project, facts, &wishes)?;
        let Some(lead) = ports.open.first().copied() else { return Ok(ports) };
        let group = plan::group_of(project, lead);
        let mut check = |port: Port| {
            for mapping in group.iter().filter_map(|id| project.mappings.get(id.0)) {
                let endpoints = Endpoint::published(mapping.host_ip, port, mapping.protocol, facts.ipv6);
                for endpoint in endpoints {
                    probe(facts, endpoint);
                }
            }
            plan::try_port(project, facts, &ports.moves, lead, port)
        };
        let answer: Decision = audience.answer(project, &ports, lead, &mut check)?;
        wishes.answers.insert(lead, answer);
    }
}

/// Names the chosen ports, so that the same project gets the same ones again.
pub(super) fn choices(project: &Project, moves: &[Move]) -> std::collections::BTreeMap<String, Port> {
    let moves = moves.iter().flat_map(|decided| {
        let mappings = decided.mappings.iter().filter_map(|id| project.mappings.get(id.0));
        mappings.map(|mapping| (plan::sticky_name(mapping), decided.to))
    });
    moves.collect()
}

/// Says of each move what became what, for the receipt.
pub(super) fn move_lines(planned: &Planned) -> Vec<String> {
    let moves = planned.ports.moves.iter().filter_map(|decided| {
        let mapping = planned.loaded.project.mappings.get(decided.mappings.first()?.0)?;
        Some(format!("{}: {} -> {}", plan::sticky_name(mapping), decided.from, decided.to))
    });
    moves.collect()
}

/// Files of a fresh project are written whole, with their edits in them.
fn create_fresh(loaded: &LoadedProject, snapshot: &Snapshot, edits: &mut Vec<FileEdit>) {
    for file in &loaded.fresh {
        let after = snapshot.get(file).cloned().flatten().unwrap_or_default();
        edits.retain(|edit| edit.file != *file);
        edits.push(FileEdit { file: file.clone(), before: None, after });
    }
}
