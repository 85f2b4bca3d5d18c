//! `quick-start`: shows each stage of a run and asks what only a person can decide; the stages themselves are in
//! `deploy`.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::args::{Arguments, OnConflict, QuickStartArgs};
use super::interrupt::Interrupt;
use super::json::{ChangeView, LaunchedView, QuickStartDocument, UrlView};
use super::progress::Progress;
use super::prompt::{Answer, ConflictQuestion, Person, Prompter};
use super::{Ending, Environment, Talk, diff, runtime, table, tune, wishes};
use crate::deploy::{self, Audience, Order, Planned, Report};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Binding, Mapping, MappingId, Move, Port, PortRange, Project, Use};
use crate::plan::{Decision, Policy, PortPlan, Wishes};
use crate::words::deploy::DeployWords;
use crate::words::instance::InstanceWords;
use crate::words::plan::PlanWords;
use crate::words::verbs::VerbWords;
use crate::words::{Message, Say};

/// How long a service may take until it answers, when nothing else is said: images are there, and a slow start of a
/// database is within it.
const WAIT: Duration = Duration::from_mins(1);

pub(super) fn run(
    arguments: &Arguments,
    typed: &QuickStartArgs,
    talk: &Talk,
    environment: &Environment,
) -> Result<Ending> {
    let order = order(arguments, typed, talk, environment)?;
    if typed.tune && !typed.dry_run {
        deploy::tune::may_change()?;
    }
    let dirs = wishes::dirs(environment)?;
    let interrupt = Interrupt::install();
    let flag = deploy::Interrupt::new(interrupt.flag());
    let mut wizard = Wizard {
        talk,
        person: Person::new(talk, &interrupt),
        progress: Progress::new(talk),
        consented: typed.yes || matches!(typed.on_conflict, Some(OnConflict::Auto)),
        launches: order.launch,
        decided: None,
    };
    let layout = wishes::layout(&dirs, order.bind);
    let report = runtime::block_on(deploy::quick_start(&order, &layout, &dirs, &flag, &mut wizard))?;
    wizard.progress.done();
    let report = report?;
    if talk.json {
        talk.json(&document(&report))?;
    } else {
        conclude(&report, typed.project.instance.as_deref(), talk)?;
        if report.takes_clients {
            talk.hint(DeployWords::JoinWith { place: place(arguments, typed.project.instance.as_deref()) });
        }
    }
    let ports = planned_ports(&report.planned);
    if typed.tune && !typed.dry_run {
        // Where nobody can be asked, the flag is the consent.
        return Ok(tune::after_start(ports, wizard.consented || !talk.can_ask(), talk, environment));
    }
    tune::offer(ports, talk, environment);
    Ok(Ending::Done)
}

/// The ports that the project publishes once the plan is carried out.
fn planned_ports(planned: &Planned) -> Vec<PortRange> {
    let mappings = planned.loaded.project.mappings.iter().enumerate();
    let port = |(at, mapping): (usize, &Mapping)| {
        let range = mapping.published.range()?;
        let moved = planned.ports.moves.iter().find(|decided| decided.mappings.contains(&MappingId(at)));
        let first = moved.map_or(range.first(), |decided| decided.to);
        PortRange::new(first, first.checked_add(range.count() - 1)?)
    };
    mappings.filter_map(port).collect()
}

/// The flags with which another verb finds the same project, as a shell takes them.
fn place(arguments: &Arguments, instance: Option<&str>) -> String {
    let directory = arguments.global.directory.as_ref().map(|directory| {
        let text = directory.display().to_string();
        let is_plain = text.chars().all(|letter| letter.is_alphanumeric() || "/._-+@%:,".contains(letter));
        if is_plain { format!(" -C {text}") } else { format!(" -C '{}'", text.replace('\'', r"'\''")) }
    });
    let instance = instance.map(|name| format!(" --instance {name}"));
    [directory, instance].into_iter().flatten().collect()
}

fn order(arguments: &Arguments, typed: &QuickStartArgs, talk: &Talk, environment: &Environment) -> Result<Order> {
    let is_copy = typed.project.instance.is_some();
    if is_copy && typed.override_file {
        return Err(Error::new(ErrorKind::Usage, InstanceWords::NoOverride).hint(InstanceWords::HintNoOverride));
    }
    let policy = match (typed.on_conflict, typed.yes) {
        (Some(OnConflict::Ask), _) if !talk.can_ask() => {
            return Err(Error::new(ErrorKind::Usage, VerbWords::NobodyToAsk).hint(VerbWords::HintNobodyToAsk));
        }
        (Some(OnConflict::Ask), _) => Policy::Ask,
        (Some(OnConflict::Auto), _) | (None, true) => Policy::Auto,
        // Who asks for a copy asks for ports of its own.
        (None, false) if is_copy => Policy::Auto,
        (Some(OnConflict::Keep), _) => Policy::Keep,
        (None, false) if talk.can_ask() => Policy::Ask,
        (Some(OnConflict::Fail), _) | (None, false) => Policy::Fail,
    };
    Ok(Order {
        project: wishes::project_order(arguments, &typed.project, typed.runtime, environment)?,
        wishes: Wishes {
            named: typed.ports.iter().map(|wish| (wish.name.clone(), wish.port)).collect(),
            range: typed.range,
            strict: typed.strict,
            override_file: typed.override_file,
            ..wishes::ports(policy)
        },
        dry_run: typed.dry_run,
        launch: !typed.no_launch && !matches!(typed.runtime, super::args::RuntimeChoice::None),
        wait: typed.wait.unwrap_or(WAIT),
        bind: typed.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        follow_links: typed.follow,
        ripple: typed.ripple,
    })
}

/// The one who is shown the stages: a person at a terminal, or nobody in CI.
struct Wizard<'a> {
    talk: &'a Talk,
    person: Person<'a>,
    progress: Progress,
    consented: bool,
    /// Whether something is started after the files are written.
    launches: bool,
    /// The answer that a person gave for all conflicts that follow.
    decided: Option<Decision>,
}

impl Wizard<'_> {
    fn table(&self, project: &Project, bindings: &[Binding]) {
        let rows = rows(project, bindings);
        self.talk.show(&table::bindings(rows.iter().copied(), self.talk.lang, self.talk.err));
    }

    fn show_plan(&self, planned: &Planned) {
        let project = &planned.loaded.project;
        self.table(project, &planned.ports.bindings);
        let moves = planned.ports.moves.iter();
        moves
            .filter_map(|decided| moved(project, &planned.ports.bindings, decided))
            .for_each(|words| self.talk.say(words));
        let shown = shown_variables(planned);
        if let Some(instance) = &planned.loaded.instance {
            let (name, folder) = (instance.name.clone(), instance.folder.display().to_string());
            self.talk.note(InstanceWords::Files { name, folder });
        }
        for edit in &planned.shown {
            self.talk.show(&diff::unified(edit, &project.directory, &shown, self.talk.lang, self.talk.err));
        }
        if planned.rippled && !planned.ripple.is_empty() {
            self.talk.note(DeployWords::RippleShown { count: planned.ripple.len() });
            self.show_ripple(planned);
        }
        let left: Vec<_> = planned.uses.iter().filter(|found| !is_rippled(planned, found)).collect();
        if !left.is_empty() {
            self.talk.note(VerbWords::OtherPlaces { count: left.len() });
            for found in left {
                let file = diff::relative(&found.at.file, &project.directory);
                let (line, name, place) = (found.at.line, found.name.clone(), found.place.clone());
                self.talk.say(VerbWords::OtherPlace { file, line, name, place });
            }
        }
        if !planned.rippled && !planned.ripple.is_empty() && !self.may_ask() {
            self.talk.hint(DeployWords::HintRipple);
        }
        planned.warnings.iter().for_each(|warning| self.talk.warn(warning.clone()));
    }
}

impl Wizard<'_> {
    fn may_ask(&self) -> bool {
        !self.consented && self.talk.can_ask()
    }

    fn show_ripple(&self, planned: &Planned) {
        let (directory, shown) = (&planned.loaded.project.directory, shown_variables(planned));
        for edit in &planned.ripple {
            self.talk.show(&diff::unified(edit, directory, &shown, self.talk.lang, self.talk.err));
        }
    }
}

/// Tells whether a place is among those that change.
fn is_rippled(planned: &Planned, found: &Use) -> bool {
    let is_copied = planned.loaded.instance.is_some() && planned.loaded.snapshot.contains_key(&found.at.file);
    let in_files = planned.ripple.iter().any(|edit| edit.file == found.at.file);
    planned.rippled && !found.spans.is_empty() && (in_files || is_copied)
}

impl Audience for Wizard<'_> {
    fn step(&mut self, step: Message) {
        self.progress.step(step);
    }

    fn progress(&mut self, done: u64, total: u64) {
        self.progress.bytes(done, total);
    }

    fn note(&mut self, note: Message) {
        self.progress.done();
        self.talk.note(note);
    }

    fn tool_line(&mut self, line: &str) {
        self.progress.done();
        self.talk.detail(VerbWords::ToolLine { line: line.to_owned() });
    }

    fn answer(
        &mut self,
        project: &Project,
        ports: &PortPlan,
        lead: MappingId,
        check: &mut dyn FnMut(Port) -> Result<(), Message>,
    ) -> Result<Decision> {
        if let Some(decided) = self.decided {
            return Ok(decided);
        }
        self.progress.done();
        if ports.open.first() == Some(&lead) && ports.moves.is_empty() {
            self.table(project, &ports.bindings);
        }
        let question =
            question(project, ports, lead).ok_or_else(|| Error::new(ErrorKind::Internal, VerbWords::NobodyToAsk))?;
        let check = RefCell::new(check);
        let judge = |text: &str| {
            let port = super::read_port(text)?;
            (check.borrow_mut())(port).map(|()| port)
        };
        match self.person.choose(&question, &judge)? {
            Answer::Automatic => Ok(Decision::Automatic),
            Answer::AutomaticForAll => {
                self.decided = Some(Decision::Automatic);
                Ok(Decision::Automatic)
            }
            Answer::Manual(port) => Ok(Decision::Manual(port)),
            Answer::Keep => Ok(Decision::Keep),
            Answer::Abort => Err(Error::new(ErrorKind::Interrupted, DeployWords::Declined)),
        }
    }

    fn plan(&mut self, planned: &Planned) {
        self.progress.done();
        self.show_plan(planned);
    }

    fn ripple(&mut self, planned: &Planned) -> Result<bool> {
        if !self.may_ask() {
            return Ok(false);
        }
        self.talk.note(DeployWords::RippleOffered { count: planned.ripple.len() });
        self.show_ripple(planned);
        self.person.confirm(&DeployWords::AskRipple.into(), false)
    }

    fn consent(&mut self, planned: &Planned) -> Result<bool> {
        let nothing_to_do = planned.edits.is_empty() && !self.launches;
        if self.consented || (nothing_to_do && self.talk.can_ask()) {
            return Ok(true);
        }
        if !self.talk.can_ask() {
            return Err(Error::new(ErrorKind::Usage, VerbWords::NeedsConsent).hint(VerbWords::HintConsent));
        }
        let question = if planned.edits.is_empty() { VerbWords::AskLaunch } else { VerbWords::AskApply };
        self.person.confirm(&question.into(), true)
    }
}

fn rows<'a>(project: &'a Project, bindings: &'a [Binding]) -> Vec<(&'a Binding, &'a Mapping)> {
    bindings.iter().filter_map(|binding| Some((binding, project.mappings.get(binding.mapping.0)?))).collect()
}

/// The variables whose values are published ports, and may therefore be shown.
fn shown_variables(planned: &Planned) -> Vec<String> {
    planned.loaded.project.mappings.iter().filter_map(|mapping| mapping.variable.clone()).collect()
}

/// Says a move as `old → new (who holds the old one)`.
fn moved(project: &Project, bindings: &[Binding], decided: &Move) -> Option<Message> {
    let lead = *decided.mappings.first()?;
    let mapping = project.mappings.get(lead.0)?;
    let count = mapping.published.range().map_or(1, PortRange::count);
    let block = |first: Port| first.checked_add(count - 1).and_then(|last| PortRange::new(first, last));
    let (service, from, to) = (mapping.service.clone(), block(decided.from)?, block(decided.to)?);
    let mut own = bindings.iter().filter(|binding| decided.mappings.contains(&binding.mapping));
    let held =
        own.find_map(|binding| Some((binding.port?, binding.holder.clone().filter(|_| binding.state.blocks())?)));
    Some(match held {
        Some((held, holder)) => VerbWords::MovedFromHolder { service, from, to, held, holder }.into(),
        None => VerbWords::Moved { service, from, to }.into(),
    })
}

fn question(project: &Project, ports: &PortPlan, lead: MappingId) -> Option<ConflictQuestion> {
    let mapping = project.mappings.get(lead.0)?;
    let binding = ports.bindings.iter().find(|binding| binding.mapping == lead && binding.state.blocks());
    let binding = binding.or_else(|| ports.bindings.iter().find(|binding| binding.mapping == lead))?;
    let wanted = binding.port?;
    let why = Box::new(binding.reason.clone().unwrap_or_else(|| PlanWords::HeldByUnknown.into()));
    let (service, protocol) = (mapping.service.clone(), mapping.protocol);
    Some(ConflictQuestion {
        what: PlanWords::UnresolvedItem { service, port: wanted, protocol, why }.into(),
        name: mapping.variable.clone().unwrap_or_else(|| binding.name(mapping)),
        wanted,
        suggested: binding.suggested,
        others: ports.open.len().saturating_sub(1),
    })
}

fn conclude(report: &Report, instance: Option<&str>, talk: &Talk) -> Result<()> {
    let instance = instance.map(str::to_owned);
    if report.dry_run {
        talk.note(VerbWords::DryRun);
        return Ok(());
    }
    if let Some(id) = &report.undo_id {
        let id = id.clone();
        match instance.clone() {
            Some(name) => talk.note(InstanceWords::UndoWith { name, id }),
            None => talk.note(VerbWords::UndoWith { id }),
        }
    }
    let Some(launched) = &report.launched else {
        talk.note(DeployWords::NotLaunched);
        return Ok(());
    };
    talk.say(DeployWords::Started { name: launched.name.clone() });
    for url in &report.urls {
        talk.data(&VerbWords::Address { name: url.name.clone(), url: url.url.clone() }.say(talk.lang))?;
    }
    match instance {
        Some(name) => talk.hint(InstanceWords::HintAfterStart { name }),
        None => talk.hint(VerbWords::HintAfterStart),
    }
    Ok(())
}

fn document(report: &Report) -> QuickStartDocument {
    let project = &report.planned.loaded.project;
    let rows = rows(project, &report.planned.ports.bindings);
    let runtime = report.runtime.map_or("none", deploy::Runtime::name);
    let mut document = QuickStartDocument::new(&project.directory, runtime, &rows);
    let shown = shown_variables(&report.planned);
    let ripple = report.planned.ripple.iter().filter(|_| report.planned.rippled);
    let edits = report.planned.shown.iter().chain(ripple);
    document.changes = edits.flat_map(|edit| ChangeView::of(edit, &project.directory, &shown)).collect();
    document.launched = report.launched.as_ref().map(|launched| LaunchedView {
        name: launched.name.clone(),
        runtime: launched.runtime.name().to_owned(),
        id: launched.id.clone(),
        image: launched.image.clone(),
        state: launched.state.clone(),
    });
    document.urls = report.urls.iter().map(|url| UrlView { name: url.name.clone(), url: url.url.clone() }).collect();
    report.warnings.iter().for_each(|warning| document.warn(warning));
    document.undo_id.clone_from(&report.undo_id);
    document.dry_run = report.dry_run;
    document
}
