//! The contract's JSON documents, as views of the model: exactly the contract's fields, in its order, never translated.

use std::path::Path;

use serde::Serialize;

use super::diff::{changed_lines, relative};
use super::pool_document::LeaseView;
use crate::deploy::{Rule, Why};
use crate::model::{
    Binding, BindingState, ContainerState, FileEdit, Holder, Mapping, Port, Protocol, Socket, SourceSpot, Unseen,
};
use crate::words::{Lang, Message, Say};

/// The language of texts inside documents.
const JSON_LANG: Lang = Lang::En;

/// What stands in place of a secret in a document.
const JSON_MASK: &str = "***";

/// A published port with its judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BindingView {
    service: String,
    variable: Option<String>,
    host_ip: String,
    port: Option<Port>,
    container_port: Port,
    protocol: Protocol,
    source: SourceView,
    state: &'static str,
    holder: Option<HolderView>,
    suggested: Option<Port>,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct SourceView {
    file: String,
    line: usize,
    column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct HolderView {
    kind: &'static str,
    pid: Option<u32>,
    process: Option<String>,
    user: Option<String>,
    container: Option<String>,
    compose_project: Option<String>,
    compose_service: Option<String>,
}

impl SourceView {
    fn new(spot: &SourceSpot, directory: &Path) -> Self {
        Self { file: relative(&spot.file, directory), line: spot.line, column: spot.column }
    }
}

impl HolderView {
    fn new(holder: &Holder) -> Self {
        Self {
            kind: holder.kind.name(),
            pid: holder.pid,
            process: holder.process.clone(),
            user: holder.user.clone(),
            container: holder.container.clone(),
            compose_project: holder.compose_project.clone(),
            compose_service: holder.compose_service.clone(),
        }
    }
}

impl BindingView {
    /// Makes the view; the source file is named relative to `directory`. All addresses are `0.0.0.0`, as compose
    /// shows them, and the reason is the state's name where there is no more to say.
    #[must_use]
    pub fn new(binding: &Binding, mapping: &Mapping, directory: &Path) -> Self {
        Self {
            service: mapping.service.clone(),
            variable: mapping.variable.clone(),
            host_ip: mapping.host_ip.map_or_else(|| "0.0.0.0".to_owned(), |address| address.to_string()),
            port: binding.port,
            container_port: binding.container_port,
            protocol: mapping.protocol,
            source: SourceView::new(&mapping.source, directory),
            state: binding.state.name(),
            holder: binding.holder.as_ref().map(HolderView::new),
            suggested: binding.suggested,
            reason: binding.reason.as_ref().map_or_else(|| binding.state.say(JSON_LANG), |why| why.say(JSON_LANG)),
        }
    }
}

/// How many bindings are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    free: usize,
    own: usize,
    conflict: usize,
    reserved: usize,
    privileged: usize,
    unknown: usize,
}

impl Summary {
    /// Counts.
    #[must_use]
    pub fn of<'a>(bindings: impl Iterator<Item = &'a Binding>) -> Self {
        let mut summary = Self::default();
        for binding in bindings {
            let count = match binding.state {
                BindingState::Free => &mut summary.free,
                BindingState::Own => &mut summary.own,
                BindingState::Conflict => &mut summary.conflict,
                BindingState::Reserved => &mut summary.reserved,
                BindingState::Privileged => &mut summary.privileged,
                BindingState::Unknown => &mut summary.unknown,
            };
            *count += 1;
        }
        summary
    }
}

/// `check --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckDocument {
    schema: &'static str,
    directory: String,
    bindings: Vec<BindingView>,
    summary: Summary,
}

impl CheckDocument {
    /// Makes the document of a project directory; `rows` are its bindings with their mappings.
    #[must_use]
    pub fn new(directory: &Path, rows: &[(&Binding, &Mapping)]) -> Self {
        Self {
            schema: "portwright.check/1",
            directory: directory.display().to_string(),
            bindings: bindings(rows, directory),
            summary: Summary::of(rows.iter().map(|(binding, _)| *binding)),
        }
    }
}

fn bindings(rows: &[(&Binding, &Mapping)], directory: &Path) -> Vec<BindingView> {
    rows.iter().map(|(binding, mapping)| BindingView::new(binding, mapping, directory)).collect()
}

/// One change of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeView {
    file: String,
    kind: &'static str,
    before: Option<String>,
    after: Option<String>,
    line: usize,
}

impl ChangeView {
    /// Makes the changes of an edit, a changed line each, with secrets hidden; a new file is one change at line 1.
    /// `kind` is `create`, `replace`, `add` or `remove`. `shown` names the variables whose values may be seen.
    #[must_use]
    pub fn of(edit: &FileEdit, directory: &Path, shown: &[String]) -> Vec<Self> {
        let file = relative(&edit.file, directory);
        let lines = changed_lines(edit, shown, JSON_MASK);
        if edit.before.is_none() {
            let after = lines.into_iter().filter_map(|line| line.after).map(|line| line + "\n").collect();
            return vec![Self { file, kind: "create", before: None, after: Some(after), line: 1 }];
        }
        let view = |line: super::diff::ChangedLine| {
            let kind = match (&line.before, &line.after) {
                (Some(_), Some(_)) => "replace",
                (None, _) => "add",
                (Some(_), None) => "remove",
            };
            Self { file: file.clone(), kind, before: line.before, after: line.after, line: line.line }
        };
        lines.into_iter().map(view).collect()
    }
}

/// What runs after a launch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaunchedView {
    /// The name of the container, the compose project or the process.
    pub name: String,
    /// `docker`, `podman`, `compose` or `native`.
    pub runtime: String,
    /// The container's id, or the process id.
    pub id: Option<String>,
    /// The image, where there is one.
    pub image: Option<String>,
    /// The state as the runtime names it.
    pub state: String,
}

/// An address at which a service answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UrlView {
    /// The service, or what of it answers there.
    pub name: String,
    /// The address.
    pub url: String,
}

/// `quick-start --json`; fields that a stage has not reached stay empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuickStartDocument {
    schema: &'static str,
    directory: String,
    runtime: String,
    bindings: Vec<BindingView>,
    /// The changes, planned or made.
    pub changes: Vec<ChangeView>,
    /// What runs.
    pub launched: Option<LaunchedView>,
    /// Where it answers.
    pub urls: Vec<UrlView>,
    warnings: Vec<String>,
    /// What `undo` takes back.
    pub undo_id: Option<String>,
    /// Whether nothing was changed because the person wanted only to see.
    pub dry_run: bool,
}

impl QuickStartDocument {
    /// Makes the document with nothing changed and nothing launched.
    #[must_use]
    pub fn new(directory: &Path, runtime: &str, rows: &[(&Binding, &Mapping)]) -> Self {
        Self {
            schema: "portwright.quick-start/1",
            directory: directory.display().to_string(),
            runtime: runtime.to_owned(),
            bindings: bindings(rows, directory),
            changes: Vec::new(),
            launched: None,
            urls: Vec::new(),
            warnings: Vec::new(),
            undo_id: None,
            dry_run: false,
        }
    }

    /// Adds a warning.
    pub fn warn(&mut self, warning: &Message) {
        self.warnings.push(warning.say(JSON_LANG));
    }
}

/// A socket with its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SocketView {
    protocol: Protocol,
    address: String,
    port: Port,
    state: &'static str,
    pid: Option<u32>,
    process: Option<String>,
    user: Option<String>,
    container: Option<String>,
    compose_project: Option<String>,
    compose_service: Option<String>,
}

impl From<&Socket> for SocketView {
    fn from(socket: &Socket) -> Self {
        let container = socket.owner.container.as_ref();
        let compose = container.and_then(|container| container.compose.as_ref());
        Self {
            protocol: socket.endpoint.protocol,
            address: socket.endpoint.address.to_string(),
            port: socket.endpoint.port,
            state: socket.state.name(),
            pid: socket.owner.pid,
            process: socket.owner.process.clone(),
            user: socket.owner.user.clone(),
            container: container.map(|container| container.name.clone()),
            compose_project: compose.map(|compose| compose.project.clone()),
            compose_service: compose.map(|compose| compose.service.clone()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct UnseenView {
    what: &'static str,
    why: String,
}

/// `scan --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScanDocument {
    schema: &'static str,
    sockets: Vec<SocketView>,
    unseen: Vec<UnseenView>,
    free: Vec<Port>,
}

impl ScanDocument {
    /// Makes the document.
    #[must_use]
    pub fn new<'a>(sockets: impl Iterator<Item = &'a Socket>, unseen: &[Unseen], free: &[Port]) -> Self {
        Self {
            schema: "portwright.scan/1",
            sockets: sockets.map(SocketView::from).collect(),
            unseen: unseen_views(unseen),
            free: free.to_vec(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct WhyContainerView {
    name: String,
    id: String,
    state: &'static str,
    restarts: bool,
    host_ip: String,
    port: Port,
    container_port: Port,
    protocol: Protocol,
    compose_project: Option<String>,
    compose_service: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct RuleView {
    kind: &'static str,
    from: Port,
    to: Port,
}

/// `why --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WhyDocument {
    schema: &'static str,
    port: Port,
    sockets: Vec<SocketView>,
    containers: Vec<WhyContainerView>,
    bindings: Vec<BindingView>,
    leases: Vec<LeaseView>,
    reserved: Vec<RuleView>,
    advice: Vec<String>,
    free: Option<Port>,
    unseen: Vec<UnseenView>,
}

impl WhyDocument {
    /// Makes the document.
    #[must_use]
    pub fn new(why: &Why) -> Self {
        let directory = why.project.as_ref().map(|(loaded, _)| loaded.project.directory.clone()).unwrap_or_default();
        let containers = why.containers.iter().map(|(container, published)| WhyContainerView {
            name: container.identity.name.clone(),
            id: container.identity.id.clone(),
            state: if container.state == ContainerState::Running { "running" } else { "stopped" },
            restarts: container.restarts,
            host_ip: published.host_ip.map_or_else(|| "0.0.0.0".to_owned(), |address| address.to_string()),
            port: published.host_port,
            container_port: published.container_port,
            protocol: published.protocol,
            compose_project: container.identity.compose.as_ref().map(|compose| compose.project.clone()),
            compose_service: container.identity.compose.as_ref().map(|compose| compose.service.clone()),
        });
        let rule = |rule: &Rule| RuleView { kind: rule.name(), from: rule.range().first(), to: rule.range().last() };
        Self {
            schema: "portwright.why/1",
            port: why.port,
            sockets: why.sockets.iter().map(SocketView::from).collect(),
            containers: containers.collect(),
            bindings: why.bindings().map(|(binding, mapping)| BindingView::new(binding, mapping, &directory)).collect(),
            leases: why.leases.iter().map(LeaseView::of).collect(),
            reserved: why.rules.iter().map(rule).collect(),
            advice: why.advice.iter().map(|advice| advice.say(JSON_LANG)).collect(),
            free: why.free,
            unseen: unseen_views(&why.unseen),
        }
    }
}

fn unseen_views(unseen: &[Unseen]) -> Vec<UnseenView> {
    unseen.iter().map(|unseen| UnseenView { what: unseen.what, why: unseen.why.say(JSON_LANG) }).collect()
}

/// A launched service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// `docker`, `podman`, `compose` or `native`.
    pub runtime: String,
    /// The state as the runtime names it.
    pub state: String,
    /// `healthy`, `unhealthy`, `starting`; `None` where nothing watches its health.
    pub health: Option<String>,
    /// The container's id, or the process id.
    pub id: Option<String>,
    /// Its published ports.
    pub ports: Vec<Port>,
    /// Where it answers.
    pub urls: Vec<String>,
}

/// `status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusDocument {
    schema: &'static str,
    services: Vec<ServiceView>,
}

impl StatusDocument {
    /// Makes the document.
    #[must_use]
    pub const fn new(services: Vec<ServiceView>) -> Self {
        Self { schema: "portwright.status/1", services }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{HolderKind, Lever, MappingId, PortRange, PublishedPort};
    use crate::words::plan::PlanWords;

    fn port(number: u16) -> Port {
        Port::new(number).expect("a port")
    }

    fn mapping() -> Mapping {
        Mapping {
            service: "web".into(),
            host_ip: None,
            published: PublishedPort::Fixed(PortRange::single(port(8000))),
            container: PortRange::single(port(80)),
            protocol: Protocol::Tcp,
            source: SourceSpot { file: "/srv/app/compose.yaml".into(), line: 4, column: 9 },
            variable: Some("WEB_PORT".into()),
            lever: Lever::Variable { name: "WEB_PORT".into(), assigned: true },
        }
    }

    fn binding() -> Binding {
        Binding {
            mapping: MappingId(0),
            port: Some(port(8000)),
            container_port: port(80),
            state: BindingState::Conflict,
            holder: Some(Holder {
                kind: HolderKind::Process,
                pid: Some(812),
                process: Some("nginx".into()),
                user: None,
                container: None,
                compose_project: None,
                compose_service: None,
            }),
            suggested: Some(port(8001)),
            reason: Some(PlanWords::HeldByPid { pid: 812 }.into()),
        }
    }

    fn value(document: &impl Serialize) -> Value {
        serde_json::to_value(document).expect("JSON")
    }

    #[test]
    fn the_check_document_has_exactly_the_fields_of_the_contract() {
        let document = CheckDocument::new(Path::new("/srv/app"), &[(&binding(), &mapping())]);
        assert_eq!(
            value(&document),
            json!({
                "schema": "portwright.check/1",
                "directory": "/srv/app",
                "bindings": [{
                    "service": "web", "variable": "WEB_PORT", "host_ip": "0.0.0.0", "port": 8000,
                    "container_port": 80, "protocol": "tcp",
                    "source": {"file": "compose.yaml", "line": 4, "column": 9},
                    "state": "conflict",
                    "holder": {
                        "kind": "process", "pid": 812, "process": "nginx", "user": null, "container": null,
                        "compose_project": null, "compose_service": null
                    },
                    "suggested": 8001, "reason": "process 812"
                }],
                "summary": {"free": 0, "own": 0, "conflict": 1, "reserved": 0, "privileged": 0, "unknown": 0}
            })
        );
        let text = serde_json::to_string(&document).expect("JSON");
        assert!(text.starts_with("{\"schema\":\"portwright.check/1\""));
    }

    #[test]
    fn the_quick_start_document_hides_secrets_of_changed_files() {
        let mut document = QuickStartDocument::new(Path::new("/srv/app"), "native", &[]);
        let edit = FileEdit {
            file: "/srv/app/.env".into(),
            before: Some(b"KEY=s3cret\nWEB_PORT=8000\n".to_vec()),
            after: b"KEY=s3cret\nWEB_PORT=8001\n".to_vec(),
        };
        let created = FileEdit { file: "/srv/app/new.env".into(), before: None, after: b"KEY=s3cret\n".to_vec() };
        let shown = ["WEB_PORT".to_owned()];
        document.changes =
            [edit, created].iter().flat_map(|edit| ChangeView::of(edit, Path::new("/srv/app"), &shown)).collect();
        document.warn(&PlanWords::HeldByUnknown.into());
        assert_eq!(
            value(&document),
            json!({
                "schema": "portwright.quick-start/1", "directory": "/srv/app", "runtime": "native", "bindings": [],
                "changes": [
                    {"file": ".env", "kind": "replace", "before": "WEB_PORT=8000", "after": "WEB_PORT=8001", "line": 2},
                    {"file": "new.env", "kind": "create", "before": null, "after": "KEY=***\n", "line": 1}
                ],
                "launched": null, "urls": [], "warnings": ["something that cannot be named"],
                "undo_id": null, "dry_run": false
            })
        );
    }

    #[test]
    fn a_binding_without_a_fixed_port_or_a_reason_is_still_whole() {
        let binding = Binding { port: None, state: BindingState::Free, holder: None, reason: None, ..binding() };
        let view = value(&BindingView::new(&binding, &mapping(), Path::new("/elsewhere")));
        assert_eq!((&view["port"], &view["reason"]), (&Value::Null, &json!("free")));
        assert_eq!(view["source"]["file"], "/srv/app/compose.yaml");
    }
}
