//! Proves that an edit changes what was planned and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use granit_parser::{Event, ScalarStyle};
use serde::Deserialize;
use serde_yaml::Value;

use super::super::project::{Analysis, Comparison, Look, Request, Snapshot, is_sexagesimal};
use super::super::yaml::{File, Kind, NodeId, events};
use super::Goal;
use crate::error::{Error, ErrorKind, Result};
use crate::model::PublishedPort;
use crate::words::text::TextWords;

/// Proves that `after` differs from `before` in the scalars of `expected` alone, which have these values now.
pub(crate) fn file(path: &Path, before: &File, after: &str, expected: &BTreeMap<NodeId, String>) -> Result<()> {
    let sound = same_events(before, after, expected) && same_trees(before, after, expected).unwrap_or(false);
    if sound {
        return Ok(());
    }
    let first = expected.keys().next().map_or(0, |node| before.node(*node).span.start);
    let at = before.spot_at(path, first);
    let words = TextWords::ProofYaml { file: at.file, line: at.line, column: at.column };
    Err(Error::new(ErrorKind::Refused, words).hint(TextWords::HintOverride))
}

fn same_events(before: &File, after: &str, expected: &BTreeMap<NodeId, String>) -> bool {
    let (mut left, mut right) = (events(before.text()), events(after));
    let mut nodes = 0;
    loop {
        let (one, two) = match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(Ok((one, _))), Some(Ok((two, _)))) => (one, two),
            _ => return false,
        };
        let is_node =
            matches!(one, Event::Scalar(..) | Event::Alias(_) | Event::SequenceStart(..) | Event::MappingStart(..));
        let wanted = is_node.then(|| expected.get(&NodeId::nth(nodes))).flatten();
        nodes += usize::from(is_node);
        let sound = match wanted {
            None => one == two,
            Some(value) => became(&one, &two, value),
        };
        if !sound {
            return false;
        }
    }
}

/// Tells whether the scalar `one` became the scalar `two` with that value, written as before but for quotes that the
/// value needs.
fn became(one: &Event<'_>, two: &Event<'_>, value: &str) -> bool {
    let (Event::Scalar(_, style, anchor, tag), Event::Scalar(now, style_now, anchor_now, tag_now)) = (one, two) else {
        return false;
    };
    let quoted = *style == ScalarStyle::Plain && *style_now == ScalarStyle::DoubleQuoted && is_sexagesimal(value);
    now == value && (style == style_now || quoted) && anchor == anchor_now && tag == tag_now
}

/// Compares the trees of the second parser; `None` when it cannot read one.
fn same_trees(before: &File, after: &str, expected: &BTreeMap<NodeId, String>) -> Option<bool> {
    let (left, right) = (trees(before.text())?, trees(after)?);
    let wanted: BTreeSet<(String, String)> = expected
        .iter()
        .filter_map(|(node, now)| match &before.node(*node).kind {
            Kind::Scalar(value, _) => Some((value.clone(), now.clone())),
            _ => None,
        })
        .filter(|(before, now)| before != now)
        .collect();
    let mut found = BTreeSet::new();
    if left.len() != right.len() {
        return Some(false);
    }
    let compared = left.iter().zip(&right).try_for_each(|(left, right)| differences(left, right, &mut found));
    Some(compared.is_some() && found == wanted)
}

fn trees(text: &str) -> Option<Vec<Value>> {
    serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).ok()).collect()
}

/// Collects the scalars that differ, with what they became; `None` when the shapes differ.
fn differences(left: &Value, right: &Value, found: &mut BTreeSet<(String, String)>) -> Option<()> {
    match (left, right) {
        (Value::Sequence(left), Value::Sequence(right)) if left.len() == right.len() => {
            left.iter().zip(right).try_for_each(|(left, right)| differences(left, right, found))
        }
        (Value::Mapping(left), Value::Mapping(right)) if left.len() == right.len() => {
            left.iter().zip(right).try_for_each(
                |((key, left), (other, right))| {
                    if key == other { differences(left, right, found) } else { None }
                },
            )
        }
        (Value::Tagged(left), Value::Tagged(right)) if left.tag == right.tag => {
            differences(&left.value, &right.value, found)
        }
        (left, right) if left == right => Some(()),
        (left, right) => {
            found.insert((scalar(left)?, scalar(right)?));
            Some(())
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Proves that the project as compose renders it from the second snapshot, the one after the edit, has the goals
/// fulfilled and is otherwise as before. What the same variable decides for services that are not active moves with it.
pub(crate) fn project(
    before: &Analysis,
    goals: &[Goal<'_>],
    request: &Request,
    snapshots: (&Snapshot, &Snapshot),
) -> Result<()> {
    let refused = |words| Err(Error::new(ErrorKind::Refused, words).hint(TextWords::HintOverride));
    let picture = match before.picture.retake(request, snapshots.0, snapshots.1)? {
        Look::Seen(picture) => picture,
        Look::Needs(_) | Look::Absent => return refused(TextWords::ProofElsewhere { place: "files".to_owned() }),
    };
    let changes = match before.picture.compare(&picture) {
        Comparison::PortsOnly(changes) => changes,
        Comparison::Elsewhere(place) => return refused(TextWords::ProofElsewhere { place }),
    };
    let is_moved = |published: PublishedPort, goal: &Goal<'_>| published.range() == Some(goal.ports);
    let is_looked_at =
        |service: &str, index| before.spots.iter().any(|spot| spot.service == service && spot.index == index);
    let mut open: BTreeMap<(&str, usize), &Goal<'_>> = goals
        .iter()
        .filter(|goal| goal.mapping.published.range() != Some(goal.ports))
        .map(|goal| ((goal.service, goal.index), goal))
        .collect();
    for change in &changes {
        let planned = open.remove(&(change.service.as_str(), change.index));
        let sound = match planned {
            Some(goal) => is_moved(change.after, goal),
            None => {
                !is_looked_at(&change.service, change.index) && goals.iter().any(|goal| is_moved(change.after, goal))
            }
        };
        if !sound {
            return refused(TextWords::ProofPorts { service: change.service.clone() });
        }
    }
    match open.keys().next() {
        Some((service, _)) => refused(TextWords::ProofPorts { service: (*service).to_owned() }),
        None => Ok(()),
    }
}
