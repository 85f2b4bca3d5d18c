//! Decides how each published port can be changed, the narrowest way, by trying it on a copy.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;

use granit_parser::ScalarStyle;

use super::super::dotenv;
use super::super::yaml::{Kind, NodeId};
use super::item::{Item, Source, Via};
use super::picture::{Comparison, Look, Picture, env_files_of};
use super::ports::Entry;
use super::written::{Decider, Written};
use super::{Request, Snapshot};
use crate::error::Result;
use crate::model::{EditRefusal, Lever, Mapping, Port, PortRange, Project, ProjectService, SourceSpot};
use crate::words::Message;
use crate::words::text::TextWords;

/// The ports that a variable is set to on trial; two, in case it has one of them already.
const PROBES: [u16; 2] = [45_678, 39_211];

/// How many values all trials may render together. The largest real project seen (20,000 values) leaves room for 100
/// variables; beyond, a port is changed in the compose file instead.
const MAX_TRIED_VALUES: usize = 2_000_000;

/// How many odd places are named before the rest is left out.
const MAX_WARNINGS: usize = 200;

/// A project with what an edit needs to know beyond the model.
pub(crate) struct Analysis {
    pub(crate) project: Project,
    pub(crate) picture: Picture,
    /// One for each mapping of the project.
    pub(crate) spots: Vec<Spot>,
}

/// Where a mapping stands, and what changing it means.
pub(crate) struct Spot {
    pub(crate) service: String,
    /// The position in the service's `ports`.
    pub(crate) index: usize,
    pub(crate) handle: Handle,
}

/// What changing a published port means.
#[derive(Clone)]
pub(crate) enum Handle {
    /// Nothing can be changed in place.
    None,
    /// The variable gets this text, with the port put in at `at`.
    Variable { name: String, text: String, at: Range<usize> },
    /// These bytes of a scalar's text are replaced (byte order mark not counted).
    Splice { path: PathBuf, node: NodeId, span: Range<usize> },
}

impl Handle {
    /// Returns the value that the variable gets for `ports`.
    pub(crate) fn value(text: &str, at: &Range<usize>, ports: PortRange) -> String {
        let (before, after) = (text.get(..at.start).unwrap_or_default(), text.get(at.end..).unwrap_or_default());
        format!("{before}{ports}{after}")
    }
}

/// Looks at a project and decides every lever.
pub(crate) fn analyse(request: &Request, snapshot: &Snapshot) -> Result<Look<Analysis>> {
    let picture = match Picture::take(request, snapshot)? {
        Look::Needs(paths) => return Ok(Look::Needs(paths)),
        Look::Absent => return Ok(Look::Absent),
        Look::Seen(picture) => picture,
    };
    let mut judge = Judge::new(request, snapshot, &picture);
    let profiles = active_profiles(request, &picture);
    let (mut services, mut mappings, mut spots) = (Vec::new(), Vec::new(), Vec::new());
    for (name, item) in picture.services().into_iter().flatten().filter(|(_, item)| is_active(item, &profiles)) {
        services.push(ProjectService {
            name: name.clone(),
            container_name: item.text_of("container_name").map(str::to_owned),
            host_network: item.text_of("network_mode") == Some("host"),
        });
        for (index, entry) in picture.ports.get(name).into_iter().flatten().enumerate() {
            let Some(protocol) = entry.protocol() else {
                judge.warn(TextWords::SctpIgnored { service: name.clone() });
                continue;
            };
            let verdict = judge.verdict(name, index, entry);
            spots.push(Spot { service: name.clone(), index, handle: verdict.handle });
            mappings.push(Mapping {
                service: name.clone(),
                host_ip: entry.host_ip,
                published: entry.published,
                container: entry.container,
                protocol,
                source: verdict.source,
                variable: verdict.variable,
                lever: verdict.lever,
            });
        }
    }
    let (warnings, edit_warnings) = judge.warnings();
    let ground = &picture.ground;
    let project = Project {
        name: picture.rendered.name.clone(),
        directory: ground.directory.clone(),
        files: ground.files.clone(),
        env_file: ground.env_file.clone(),
        services,
        mappings,
        warnings,
        edit_warnings,
    };
    Ok(Look::Seen(Analysis { project, picture, spots }))
}

fn active_profiles(request: &Request, picture: &Picture) -> BTreeSet<String> {
    if !request.profiles.is_empty() {
        return request.profiles.iter().cloned().collect();
    }
    let named = picture.ground.env.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    named.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

fn is_active(service: &Item, profiles: &BTreeSet<String>) -> bool {
    let own = service.get("profiles").and_then(Item::list).unwrap_or_default();
    own.is_empty() || profiles.contains("*") || own.iter().filter_map(Item::text).any(|name| profiles.contains(name))
}

struct Verdict {
    source: SourceSpot,
    variable: Option<String>,
    lever: Lever,
    handle: Handle,
}

/// What a trial of a variable showed.
enum Trial {
    /// Only the published ports of these entries move.
    Clean(BTreeSet<(String, usize)>),
    /// Something else changes too: the keys that lead there.
    Elsewhere(String),
    /// Nothing changes, or the project can no longer be read.
    Useless,
}

struct Judge<'a> {
    request: &'a Request,
    snapshot: &'a Snapshot,
    picture: &'a Picture,
    trials: BTreeMap<String, Rc<Trial>>,
    /// The variables that the `.env` file assigns.
    assigned: BTreeSet<String>,
    /// Which services use a scalar for their ports, by file and node.
    users: BTreeMap<(PathBuf, NodeId), BTreeSet<String>>,
    warnings: Vec<Message>,
}

impl<'a> Judge<'a> {
    fn new(request: &'a Request, snapshot: &'a Snapshot, picture: &'a Picture) -> Self {
        let mut users: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        for (service, entries) in &picture.ports {
            for entry in entries {
                let Some(source) = picture.rendered.sources.get(entry.origin.source) else { continue };
                let key = (source.path.clone(), entry.origin.node);
                users.entry(key).or_default().insert(service.clone());
            }
        }
        let bytes = snapshot.get(&picture.ground.env_file).and_then(Option::as_deref);
        let document = bytes.and_then(|bytes| dotenv::Document::parse(bytes).ok());
        let names = |document: dotenv::Document| document.assignments().map(|found| found.name.clone()).collect();
        let assigned = document.map(names).unwrap_or_default();
        Self { request, snapshot, picture, trials: BTreeMap::new(), assigned, users, warnings: Vec::new() }
    }

    fn verdict(&mut self, service: &str, index: usize, entry: &Entry) -> Verdict {
        let Some(source) = self.picture.rendered.sources.get(entry.origin.source) else {
            let source = SourceSpot { file: PathBuf::new(), line: 1, column: 1 };
            let lever = locked("lost", TextWords::LostSource, source.clone());
            return Verdict { source, variable: None, lever, handle: Handle::None };
        };
        let node = entry.origin.node;
        let start = source.spot(node);
        self.warn_sexagesimal(source, node, &start);
        let Some(range) = entry.published.range() else {
            let lever = locked("random", TextWords::LockedRandom, start.clone());
            return Verdict { source: start, variable: None, lever, handle: Handle::None };
        };
        let written = Written::of(source, node, &entry.published_at);
        let at = written.start.map_or_else(|| start.clone(), |offset| source.file.spot_at(&source.path, offset));
        match written.decider {
            Decider::Literal => {
                let (lever, handle) = self.literal(source, entry, written.span, &at);
                Verdict { source: at, variable: None, lever, handle }
            }
            Decider::Mixed { variables } => {
                let (code, why) = match variables.as_slice() {
                    [one] => ("composed", TextWords::LockedComposed { name: one.clone() }),
                    _ => ("several-variables", TextWords::LockedSeveral { names: variables.join(", ") }),
                };
                Verdict { source: at.clone(), variable: None, lever: locked(code, why, at), handle: Handle::None }
            }
            Decider::Variable { name, text, at: inside, whole } => {
                let handle = Handle::Variable { name: name.clone(), text, at: inside };
                let (lever, handle) =
                    self.variable(&Asked { service, index, range, entry, source, at: &at }, handle, {
                        whole.then_some(written.span).flatten()
                    });
                Verdict { source: at, variable: Some(name), lever, handle }
            }
        }
    }

    fn variable(&mut self, asked: &Asked<'_>, handle: Handle, token: Option<Range<usize>>) -> (Lever, Handle) {
        let Handle::Variable { name, .. } = &handle else {
            return (locked("lost", TextWords::LostSource, asked.at.clone()), Handle::None);
        };
        if self.request.shell.contains_key(name) {
            return (Lever::Shell { name: name.clone() }, Handle::None);
        }
        let known = self.trials.get(name).map(Rc::clone);
        let trial = known.unwrap_or_else(|| Rc::new(self.trial(&handle, asked.range)));
        self.trials.insert(name.clone(), Rc::clone(&trial));
        let clean = matches!(&*trial, Trial::Clean(moved) if moved.contains(&(asked.service.to_owned(), asked.index)));
        if clean {
            return (Lever::Variable { name: name.clone(), assigned: self.assigned.contains(name) }, handle);
        }
        if token.is_none() {
            let why = TextWords::LockedVariable { name: name.clone() };
            return (locked("variable", why, asked.at.clone()), Handle::None);
        }
        let (lever, splice) = self.literal(asked.source, asked.entry, token, asked.at);
        if matches!(lever, Lever::Literal { .. }) {
            let (file, line) = (asked.at.file.clone(), asked.at.line);
            let name = name.clone();
            self.warn(match &*trial {
                Trial::Elsewhere(place) => {
                    let place = place.clone();
                    TextWords::VariableUsedElsewhere { file, line, name, place }
                }
                Trial::Clean(_) | Trial::Useless => TextWords::VariableNotSettable { file, line, name },
            });
        }
        (lever, splice)
    }

    /// Sets the variable in a copy of the `.env` file and looks at what that changes.
    fn trial(&self, handle: &Handle, range: PortRange) -> Trial {
        let Handle::Variable { name, text, at } = handle else { return Trial::Useless };
        if self.trials.len() * self.picture.rendered.values > MAX_TRIED_VALUES {
            return Trial::Useless;
        }
        let probe = PROBES.into_iter().filter_map(|first| shifted(range, first)).find(|probe| *probe != range);
        let Some(probe) = probe else { return Trial::Useless };
        let env_file = &self.picture.ground.env_file;
        let Some(bytes) = with_variable(self.snapshot, env_file, name, &Handle::value(text, at, probe)) else {
            return Trial::Useless;
        };
        let mut snapshot = self.snapshot.clone();
        snapshot.insert(env_file.clone(), Some(bytes));
        let after = self.picture.retake(self.request, self.snapshot, &snapshot);
        let Ok(Look::Seen(after)) = after else { return Trial::Useless };
        match self.picture.compare(&after) {
            Comparison::Elsewhere(place) => Trial::Elsewhere(place),
            Comparison::PortsOnly(changes) => {
                if changes.iter().all(|change| change.after.range() == Some(probe)) {
                    Trial::Clean(changes.into_iter().map(|change| (change.service, change.index)).collect())
                } else {
                    Trial::Useless
                }
            }
        }
    }

    fn literal(&self, source: &Source, entry: &Entry, span: Option<Range<usize>>, at: &SourceSpot) -> (Lever, Handle) {
        let node = entry.origin.node;
        let users = self.users.get(&(source.path.clone(), node));
        let services = || users.map(|names| names.iter().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default();
        let block = matches!(source.file.node(node).kind, Kind::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded));
        let lock = if source.included {
            Some(("included", TextWords::LockedIncluded { file: source.path.clone() }))
        } else if !source.path.starts_with(&self.picture.ground.directory) {
            Some(("outside", TextWords::LockedOutside { file: source.path.clone() }))
        } else if entry.origin.via == Via::Alias {
            Some(("alias", TextWords::LockedAlias { services: services() }))
        } else if entry.origin.via == Via::Merge {
            Some(("merge", TextWords::LockedMerge { services: services() }))
        } else if users.is_some_and(|users| users.len() > 1) {
            Some(("shared", TextWords::LockedShared { services: services() }))
        } else if block {
            Some(("block", TextWords::LockedBlock))
        } else {
            None
        };
        let (code, why) = match (lock, span) {
            (None, Some(span)) => {
                let handle = Handle::Splice { path: source.path.clone(), node, span: span.clone() };
                let bom = source.file.bom();
                let span = span.start + bom..span.end + bom;
                return (Lever::Literal { file: source.path.clone(), span }, handle);
            }
            (Some(lock), _) => lock,
            (None, None) => ("escape", TextWords::LockedEscape),
        };
        (locked(code, why, at.clone()), Handle::None)
    }

    /// `22:22` without quotes is 1342 for every parser that counts in sixties, docker-compose 1 among them.
    fn warn_sexagesimal(&mut self, source: &Source, node: NodeId, at: &SourceSpot) {
        if let Kind::Scalar(text, ScalarStyle::Plain) = &source.file.node(node).kind
            && is_sexagesimal(text)
        {
            let (file, line, text) = (at.file.clone(), at.line, text.clone());
            self.warn(TextWords::BareSexagesimal { file, line, text });
        }
    }

    fn warn(&mut self, words: TextWords) {
        let message = words.into();
        if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&message) {
            self.warnings.push(message);
        }
    }

    /// Returns the warnings of the whole project, each once, and those that matter only when a port moves.
    fn warnings(mut self) -> (Vec<Message>, Vec<Message>) {
        let picture = self.picture;
        let mut all = picture.ground.warnings.clone();
        for (name, at) in picture.rendered.unset.iter().take(MAX_WARNINGS) {
            let (file, line) = (at.file.clone(), at.line);
            all.push(TextWords::VariableUnset { file, line, name: name.clone() }.into());
        }
        let moved = self.trials.values().filter(|trial| matches!(***trial, Trial::Clean(_))).count();
        for (service, item) in picture.services().into_iter().flatten().filter(|_| moved > 0) {
            if env_files_of(&picture.rendered, item).contains(&picture.ground.env_file) {
                let (file, service) = (picture.ground.env_file.clone(), service.clone());
                self.warn(TextWords::EnvFilePassedOn { file, service });
            }
        }
        all.append(&mut self.warnings);
        all.into_iter().partition(|warning| !concerns_edits(warning))
    }
}

/// Tells whether a warning matters only when a port moves.
fn concerns_edits(warning: &Message) -> bool {
    use TextWords::{EnvFilePassedOn, VariableNotSettable, VariableUsedElsewhere};
    let Message::Text(words) = warning else { return false };
    matches!(words, EnvFilePassedOn { .. } | VariableNotSettable { .. } | VariableUsedElsewhere { .. })
}

/// What is asked about one mapping.
struct Asked<'a> {
    service: &'a str,
    index: usize,
    range: PortRange,
    entry: &'a Entry,
    source: &'a Source,
    at: &'a SourceSpot,
}

fn locked(code: &'static str, why: TextWords, at: SourceSpot) -> Lever {
    Lever::Locked(Box::new(EditRefusal { code, why: why.into(), at, way_out: TextWords::HintOverride.into() }))
}

/// Returns as many ports as `range` has, from `first` on.
fn shifted(range: PortRange, first: u16) -> Option<PortRange> {
    let first = Port::new(first)?;
    PortRange::new(first, first.checked_add(range.count() - 1)?)
}

/// Returns the bytes of the `.env` file with a variable set; `None` when that cannot be done.
fn with_variable(snapshot: &Snapshot, env_file: &PathBuf, name: &str, value: &str) -> Option<Vec<u8>> {
    match snapshot.get(env_file).and_then(Option::as_deref) {
        Some(bytes) => dotenv::Document::parse(bytes).and_then(|document| document.set(name, value)).ok(),
        None => dotenv::create(name, value).ok(),
    }
}

/// Tells whether a bare scalar is a number in base 60 for YAML 1.1.
pub(crate) fn is_sexagesimal(text: &str) -> bool {
    let mut parts = text.split(':');
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.next().is_some_and(digits)
        && text.contains(':')
        && parts.all(|part| digits(part) && part.len() <= 2 && part.parse::<u8>().is_ok_and(|number| number < 60))
}
