//! The rendered model with its ports apart, and how two renderings differ: what every edit is judged by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use super::super::dotenv;
use super::ground::{Ground, Reader, normalized, survey};
use super::item::{Item, Value};
use super::ports::{Entry, MAX_PORTS, entries};
use super::render::{Rendered, render, wrong_kind};
use super::{Request, Snapshot};
use crate::error::Result;
use crate::model::PublishedPort;

/// What became of looking at a project.
pub(crate) enum Look<T> {
    Needs(Vec<PathBuf>),
    Absent,
    Seen(T),
}

/// A rendered project.
pub(crate) struct Picture {
    pub(crate) ground: Ground,
    /// Its tree is without `ports` and without the top-level `x-` keys, which compose does not act on.
    pub(crate) rendered: Rendered,
    /// The entries of `ports` of every service, active or not.
    pub(crate) ports: BTreeMap<String, Vec<Entry>>,
    /// What the services' `env_file`s give them, but for the project's own `.env`. The values are secrets.
    env_files: BTreeMap<PathBuf, BTreeMap<String, String>>,
}

impl Picture {
    /// Renders the project.
    pub(crate) fn take(request: &Request, snapshot: &Snapshot) -> Result<Look<Self>> {
        Self::take_with(request, Reader::new(snapshot, BTreeMap::new()))
    }

    /// Renders the project of another snapshot; what `self` was made of, from `before`, is not parsed again.
    pub(crate) fn retake(&self, request: &Request, before: &Snapshot, after: &Snapshot) -> Result<Look<Self>> {
        let same = self.rendered.sources.iter().filter(|source| before.get(&source.path) == after.get(&source.path));
        let parsed = same.map(|source| (source.path.clone(), Rc::clone(&source.file))).collect();
        Self::take_with(request, Reader::new(after, parsed))
    }

    fn take_with(request: &Request, mut reader: Reader<'_>) -> Result<Look<Self>> {
        let taken = Self::try_take(request, &mut reader);
        let needs = reader.needs()?;
        if !needs.is_empty() {
            return Ok(Look::Needs(needs));
        }
        Ok(taken?.map_or(Look::Absent, Look::Seen))
    }

    fn try_take(request: &Request, reader: &mut Reader<'_>) -> Result<Option<Self>> {
        let Some(ground) = survey(request, reader)? else { return Ok(None) };
        let mut rendered = render(&ground, request.project_name.as_deref(), reader)?;
        let ports = take_ports(&mut rendered)?;
        let env_files = passed_files(&ground, &rendered, reader);
        Ok(Some(Self { ground, rendered, ports, env_files }))
    }

    /// Returns the rendered services.
    pub(crate) fn services(&self) -> Option<&BTreeMap<String, Item>> {
        self.rendered.tree.get("services")?.map()
    }

    /// Tells what differs in `after`.
    pub(crate) fn compare(&self, after: &Self) -> Comparison {
        if self.rendered.name != after.rendered.name {
            return Comparison::Elsewhere("name".to_owned());
        }
        if let Some(path) = difference(&self.rendered.tree, &after.rendered.tree, String::new()) {
            return Comparison::Elsewhere(path);
        }
        for (file, values) in &self.env_files {
            let now = after.env_files.get(file);
            let differs = |(name, value): &(&String, &String)| now.and_then(|now| now.get(*name)) != Some(*value);
            if let Some((name, _)) = values.iter().find(differs) {
                return Comparison::Elsewhere(format!("{}: {name}", file.display()));
            }
        }
        let mut changes = Vec::new();
        for (service, before) in &self.ports {
            let path = || Comparison::Elsewhere(format!("services.{service}.ports"));
            let Some(after) = after.ports.get(service).filter(|after| after.len() == before.len()) else {
                return path();
            };
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                if !before.same_but_published(after) {
                    return path();
                }
                if before.published != after.published {
                    changes.push(Change { service: service.clone(), index, after: after.published });
                }
            }
        }
        Comparison::PortsOnly(changes)
    }
}

fn take_ports(rendered: &mut Rendered) -> Result<BTreeMap<String, Vec<Entry>>> {
    let mut ports = BTreeMap::new();
    let mut budget = MAX_PORTS;
    let Value::Map(sections) = &mut rendered.tree.value else { return Ok(ports) };
    sections.retain(|key, _| !key.starts_with("x-"));
    let Some(services) = sections.get_mut("services") else { return Ok(ports) };
    let wrong = |item: &Item, key: &str| {
        let source = rendered.sources.get(item.origin.source);
        source.map(|source| wrong_kind(source.spot(item.origin.node), key, "mapping"))
    };
    if !services.is_null() && services.map().is_none() {
        return wrong(services, "services").map_or(Ok(ports), Err);
    }
    let Value::Map(services) = &mut services.value else { return Ok(ports) };
    for (name, service) in services {
        if let Some(error) = service.map().is_none().then(|| wrong(service, &format!("services.{name}"))).flatten() {
            return Err(error);
        }
        let Value::Map(keys) = &mut service.value else { continue };
        let item = keys.remove("ports");
        let found = item.map(|item| entries(name, &item, &rendered.sources, &mut budget)).transpose()?;
        ports.insert(name.clone(), found.unwrap_or_default());
    }
    Ok(ports)
}

/// Returns the files that a service's `env_file` names.
pub(crate) fn env_files_of(rendered: &Rendered, service: &Item) -> Vec<PathBuf> {
    let Some(listed) = service.get("env_file") else { return Vec::new() };
    let items = listed.list().unwrap_or(std::slice::from_ref(listed));
    let resolved = items.iter().filter_map(|item| {
        let source = rendered.sources.get(item.origin.source)?;
        let path = item.text().or_else(|| item.text_of("path"))?;
        Some(normalized(&source.scope.base.join(path)))
    });
    resolved.collect()
}

/// Reads the files that services get as their environment. One that cannot be read is left to compose to complain of.
fn passed_files(
    ground: &Ground,
    rendered: &Rendered,
    reader: &mut Reader<'_>,
) -> BTreeMap<PathBuf, BTreeMap<String, String>> {
    let services = rendered.tree.get("services").and_then(Item::map).into_iter().flatten();
    let named: BTreeSet<PathBuf> = services.flat_map(|(_, service)| env_files_of(rendered, service)).collect();
    let lookup = |name: &str| ground.env.get(name).cloned();
    let mut found = BTreeMap::new();
    for path in named.into_iter().filter(|path| *path != ground.env_file) {
        let document = reader.read(&path).and_then(|bytes| dotenv::Document::parse(bytes).ok());
        if let Some(values) = document.and_then(|document| document.resolve(&lookup).ok()) {
            found.insert(path, values);
        }
    }
    found
}

/// How two renderings differ.
pub(crate) enum Comparison {
    /// In these published ports and in nothing else.
    PortsOnly(Vec<Change>),
    /// In something else; the keys that lead to the first difference.
    Elsewhere(String),
}

/// A published port that differs.
pub(crate) struct Change {
    pub(crate) service: String,
    /// The position in the service's `ports`.
    pub(crate) index: usize,
    pub(crate) after: PublishedPort,
}

/// Returns the keys that lead to the first difference. Names keys only: values may be secrets.
fn difference(before: &Item, after: &Item, path: String) -> Option<String> {
    if before.same(after) {
        return None;
    }
    if let (Value::Map(left), Value::Map(right)) = (&before.value, &after.value) {
        let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        for (key, item) in left {
            match right.get(key) {
                None => return Some(join(key)),
                Some(other) => {
                    if let Some(found) = difference(item, other, join(key)) {
                        return Some(found);
                    }
                }
            }
        }
        return right.keys().find(|key| !left.contains_key(*key)).map(|key| join(key)).or(Some(path));
    }
    Some(path)
}
