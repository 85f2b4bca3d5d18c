//! The rendered model with its ports apart, and how two renderings differ: what every edit is judged by.

use std::collections::BTreeMap;

use super::ground::{Ground, Reader, survey};
use super::item::{Item, Value};
use super::ports::{Entry, entries};
use super::render::{Rendered, render};
use super::{Request, Snapshot};
use crate::error::Result;
use crate::model::PublishedPort;

/// What became of looking at a project.
pub(crate) enum Look<T> {
    Needs(Vec<std::path::PathBuf>),
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
}

impl Picture {
    /// Renders the project.
    pub(crate) fn take(request: &Request, snapshot: &Snapshot) -> Result<Look<Self>> {
        let mut reader = Reader::new(snapshot);
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
        let mut ports = BTreeMap::new();
        if let Value::Map(sections) = &mut rendered.tree.value {
            sections.retain(|key, _| !key.starts_with("x-"));
            if let Some(Value::Map(services)) = sections.get_mut("services").map(|item| &mut item.value) {
                for (name, service) in services {
                    let Value::Map(keys) = &mut service.value else { continue };
                    let found = match keys.remove("ports") {
                        Some(item) => entries(name, &item, &rendered.sources)?,
                        None => Vec::new(),
                    };
                    ports.insert(name.clone(), found);
                }
            }
        }
        Ok(Some(Self { ground, rendered, ports }))
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
