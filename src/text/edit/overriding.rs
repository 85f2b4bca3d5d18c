//! Moves ports by a compose override file: `ports: !override` with every port of the service, because compose appends
//! the ports of a second file otherwise.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::super::project::{Analysis, Entry, Handle, Request, Value, override_beside};
use super::super::yaml::{File, Kind, NodeId};
use super::{EditRequest, EditStyle, Edited, Goal, file_edit, in_place, is_in_place, proof, with_edits};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Lever, PortRange};
use crate::words::Message;
use crate::words::text::TextWords;

/// Stands between file names in the request that proves an override; no file name has it.
const PATH_SEPARATOR: &str = "\n";

/// Edits the override file, or makes it.
pub(crate) fn edit(before: &Analysis, request: &EditRequest<'_>, goals: &[Goal<'_>]) -> Result<Edited> {
    let ground = &before.picture.ground;
    let found = if ground.discovered { ground.files.get(1).cloned() } else { None };
    let path = found.unwrap_or_else(|| ground.files.first().map(|file| override_beside(file)).unwrap_or_default());
    let wanted = request.style == EditStyle::Override;
    let is_there = |goal: &&Goal<'_>| match goal.handle {
        Handle::Splice { path: own, .. } if *own == path => true,
        _ => !wanted && is_in_place(before, goal, goals),
    };
    let (inside, outside): (Vec<&Goal<'_>>, Vec<&Goal<'_>>) = goals.iter().partition(is_there);
    let inside: Vec<Goal<'_>> = inside.into_iter().cloned().collect();
    let mut files = in_place(before, request.snapshot, &inside)?;
    let base = with_edits(request.snapshot, &files);
    let current = base.get(&path).cloned().flatten();
    let mut services: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for goal in &outside {
        if !services.contains_key(goal.service) {
            services.insert(goal.service, port_lines(&path, before, goal, goals)?);
        }
    }
    let mut contents = current.clone();
    for (service, ports) in &services {
        contents = Some(with_service(&path, contents, service, ports)?);
    }
    files.retain(|edit| edit.file != path);
    let original = request.snapshot.get(&path).cloned().flatten();
    files.extend(file_edit(path.clone(), original, contents.unwrap_or_default()));
    let unasked = outside.iter().filter(|_| !wanted).map(|goal| {
        let why = match &goal.mapping.lever {
            Lever::Locked(refusal) => refusal.why.clone(),
            _ => TextWords::LockedVariable { name: goal.mapping.variable.clone().unwrap_or_default() }.into(),
        };
        let (service, line) = (goal.service.to_owned(), goal.mapping.source.line);
        TextWords::NoteOverridden { file: goal.mapping.source.file.clone(), line, service, why: Box::new(why) }.into()
    });
    let mut notes: Vec<Message> = unasked.collect();
    notes.push(TextWords::NoteComposeTwo { file: path.clone() }.into());
    let mut proved: Request = request.request.clone();
    if !ground.files.contains(&path) && !ground.discovered {
        let files = ground.files.iter().cloned().chain([path.clone()]);
        if proved.files.is_empty() {
            let names: Vec<String> = files.map(|file| file.display().to_string()).collect();
            proved.shell.insert("COMPOSE_FILE".to_owned(), names.join(PATH_SEPARATOR));
            proved.shell.insert("COMPOSE_PATH_SEPARATOR".to_owned(), PATH_SEPARATOR.to_owned());
        } else {
            proved.files = files.collect();
        }
        notes.push(TextWords::NoteAddFile { file: path }.into());
    }
    let after = with_edits(request.snapshot, &files);
    proof::project(before, goals, &proved, (request.snapshot, &after))?;
    Ok(Edited { files, notes })
}

/// Returns the entries of the goal's service as they shall be, one a line.
fn port_lines(path: &Path, before: &Analysis, goal: &Goal<'_>, goals: &[Goal<'_>]) -> Result<Vec<String>> {
    let entries = before.picture.ports.get(goal.service).map(Vec::as_slice).unwrap_or_default();
    let line = |(index, entry): (usize, &Entry)| {
        let moved = goals.iter().find(|other| other.service == goal.service && other.index == index);
        port_line(entry, moved.map(|goal| goal.ports)).ok_or_else(|| {
            let at = goal.mapping.source.clone();
            let words =
                TextWords::OverrideHasService { file: at.file, line: at.line, service: goal.service.to_owned() };
            let hint = TextWords::HintEditOverride { file: path.to_owned(), service: goal.service.to_owned() };
            Error::new(ErrorKind::Refused, words).hint(hint)
        })
    };
    entries.iter().enumerate().map(line).collect()
}

/// Writes an entry; `None` when it says more than one line can.
fn port_line(entry: &Entry, moved: Option<PortRange>) -> Option<String> {
    let host = moved.or(entry.published.range()).map(|range| range.to_string());
    let protocol = &entry.protocol;
    if entry.rest.is_empty() {
        let address = match entry.host_ip {
            Some(address) if address.is_ipv6() => format!("[{address}]:"),
            Some(address) => format!("{address}:"),
            None => String::new(),
        };
        let host = match (host, address.is_empty()) {
            (Some(host), _) => format!("{host}:"),
            (None, false) => ":".to_owned(),
            (None, true) => String::new(),
        };
        let protocol = if protocol == "tcp" { String::new() } else { format!("/{protocol}") };
        return Some(format!("\"{address}{host}{}{protocol}\"", entry.container));
    }
    let mut line = format!("{{target: {}, protocol: {protocol}", entry.container);
    if let Some(host) = host {
        write!(line, ", published: \"{host}\"").ok()?;
    }
    if let Some(address) = entry.host_ip {
        write!(line, ", host_ip: \"{address}\"").ok()?;
    }
    for (key, item) in &entry.rest {
        let Value::Text(text) = &item.value else { return None };
        write!(line, ", {}: {}", quoted(key), quoted(&text.replace('$', "$$"))).ok()?;
    }
    line.push('}');
    Some(line)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns a key as YAML text: bare where no parser reads it as anything but text.
fn key(name: &str) -> String {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic());
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let word = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&name.to_lowercase().as_str());
    if starts && plain && !word { name.to_owned() } else { quoted(name) }
}

/// Returns the override file with the ports of a service in it.
fn with_service(path: &Path, contents: Option<Vec<u8>>, service: &str, ports: &[String]) -> Result<Vec<u8>> {
    let Some(bytes) = contents.filter(|bytes| !bytes.is_empty()) else {
        return Ok(format!("services:\n{}", block(service, ports, "  ", "\n")).into_bytes());
    };
    let file = File::parse(path, &bytes)?;
    let refused = |line| {
        let (file, service) = (path.to_owned(), service.to_owned());
        let hint = TextWords::HintEditOverride { file: file.clone(), service: service.clone() };
        Error::new(ErrorKind::Refused, TextWords::OverrideHasService { file, line, service }).hint(hint)
    };
    let ending = if file.text().contains("\r\n") { "\r\n" } else { "\n" };
    let root = match file.documents() {
        [] => None,
        [root] => Some(*root),
        _ => return Err(refused(1)),
    };
    let (offset, text) = match root.and_then(|root| entry(&file, root, "services")) {
        None => (file.text().len(), {
            let gap = if file.text().ends_with('\n') || file.text().is_empty() { "" } else { ending };
            format!("{gap}services:{ending}{}", block(service, ports, "  ", ending))
        }),
        Some(services) => match entry(&file, services, service) {
            None => {
                let (at, indent) = first_line(&file, services).ok_or_else(|| refused(1))?;
                (at, block(service, ports, &indent, ending))
            }
            Some(found) => {
                let line = file.spot_at(path, file.node(found).span.start).line;
                if entry(&file, found, "ports").is_some() {
                    return Err(refused(line));
                }
                let (at, indent) = first_line(&file, found).ok_or_else(|| refused(line))?;
                (at, list(ports, &indent, ending))
            }
        },
    };
    let at = offset + file.bom();
    let (front, back) = (bytes.get(..at).unwrap_or_default(), bytes.get(at..).unwrap_or_default());
    Ok([front, text.as_bytes(), back].concat())
}

fn entry(file: &File, node: NodeId, wanted: &str) -> Option<NodeId> {
    let Kind::Mapping(entries) = &file.node(node).kind else { return None };
    let is_wanted = |key: &NodeId| matches!(&file.node(*key).kind, Kind::Scalar(text, _) if text == wanted);
    entries.iter().find(|(key, _)| is_wanted(key)).map(|(_, value)| *value)
}

/// Returns where the first line of a block mapping starts, and how far it is indented.
fn first_line(file: &File, node: NodeId) -> Option<(usize, String)> {
    let Kind::Mapping(entries) = &file.node(node).kind else { return None };
    let (first, _) = entries.first()?;
    let at = file.node(*first).span.start;
    let front = file.slice(0..at);
    let start = front.rfind('\n').map_or(0, |newline| newline + 1);
    let indent = front.get(start..)?;
    (!indent.is_empty() && indent.bytes().all(|byte| byte == b' ')).then(|| (start, indent.to_owned()))
}

fn block(service: &str, ports: &[String], indent: &str, ending: &str) -> String {
    let deeper = format!("{indent}  ");
    format!("{indent}{}:{ending}{}", key(service), list(ports, &deeper, ending))
}

fn list(ports: &[String], indent: &str, ending: &str) -> String {
    let lines = ports.iter().map(|port| format!("{indent}  - {port}{ending}"));
    format!("{indent}ports: !override{ending}{}", lines.collect::<String>())
}
