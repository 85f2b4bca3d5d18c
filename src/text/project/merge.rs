//! How compose merges one value over another (compose-go `override/merge.go`, read at 2026-07-21).
//!
//! What decides ports, names, profiles and variables follows it exactly. Elsewhere a clash of kinds, which compose
//! refuses, lets the later value win: compose itself will say so.

use std::collections::BTreeMap;

use super::item::{Item, Mark, Value};

/// Merges `over` over `base`; both stand at `path`. Marks of `over` stay, so that it can be merged once more.
pub(crate) fn merge(base: Item, over: Item, path: &mut Vec<String>) -> Item {
    if over.mark != Mark::Merge {
        return over;
    }
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let (base, over) = match rule(&parts) {
        Rule::Replace => return over,
        Rule::Pairs => (pairs(base), pairs(over)),
        Rule::Strings => (strings(base), strings(over)),
        Rule::Names => (names(base), names(over)),
        Rule::Build => (build(base), build(over)),
        Rule::Logging if drivers_differ(&base, &over) => return over,
        Rule::Usual | Rule::Logging => (base, over),
    };
    if over.is_null() {
        return base;
    }
    let origin = over.origin;
    let value = match (base.value, over.value) {
        (Value::Map(base), Value::Map(over)) => Value::Map(merge_maps(base, over, path)),
        (Value::List(mut base), Value::List(over)) => {
            base.extend(over);
            Value::List(base)
        }
        (_, over) => over,
    };
    Item { value, origin, mark: Mark::Merge }
}

fn merge_maps(
    mut base: BTreeMap<String, Item>,
    over: BTreeMap<String, Item>,
    path: &mut Vec<String>,
) -> BTreeMap<String, Item> {
    for (key, item) in over {
        let merged = match base.remove(&key) {
            Some(before) => {
                path.push(key.clone());
                let merged = merge(before, item, path);
                path.pop();
                merged
            }
            None => item,
        };
        base.insert(key, merged);
    }
    base
}

/// Tells whether anything in the value resets or overrides.
pub(crate) fn has_marks(item: &Item) -> bool {
    item.mark != Mark::Merge
        || match &item.value {
            Value::Map(entries) => entries.values().any(has_marks),
            Value::List(items) => items.iter().any(has_marks),
            Value::Null | Value::Text(_) => false,
        }
}

/// Takes the marks away once they have done their work: what is reset goes, what overrides stays.
pub(crate) fn settle(item: Item) -> Item {
    let value = match item.value {
        Value::Map(entries) => {
            let kept = entries.into_iter().filter(|(_, item)| item.mark != Mark::Reset);
            Value::Map(kept.map(|(key, item)| (key, settle(item))).collect())
        }
        Value::List(items) => Value::List(items.into_iter().map(settle).collect()),
        other => other,
    };
    Item { value, origin: item.origin, mark: Mark::Merge }
}

enum Rule {
    Usual,
    Replace,
    Pairs,
    Strings,
    Names,
    Build,
    Logging,
}

fn rule(path: &[&str]) -> Rule {
    match path {
        ["services", _, "command" | "entrypoint"] | ["services", _, "healthcheck", "test"] => Rule::Replace,
        ["services", _, "environment" | "labels" | "annotations" | "sysctls"]
        | ["services", _, "build", "args" | "labels" | "additional_contexts"]
        | ["services", _, "deploy", "labels"]
        | ["networks" | "volumes", _, "labels"] => Rule::Pairs,
        ["services", _, "dns" | "dns_opt" | "dns_search" | "env_file" | "label_file" | "tmpfs" | "extra_hosts"] => {
            Rule::Strings
        }
        ["services", _, "depends_on" | "networks" | "models"] => Rule::Names,
        ["services", _, "build"] => Rule::Build,
        ["services", _, "logging"] => Rule::Logging,
        _ => Rule::Usual,
    }
}

/// Turns a list of `NAME=value` into a mapping; `NAME` alone has no value.
pub(crate) fn pairs(item: Item) -> Item {
    let Value::List(items) = &item.value else { return item };
    let mut entries = BTreeMap::new();
    for entry in items {
        let Some(text) = entry.text() else { return item };
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Value::Text(value.to_owned())),
            None => (text, Value::Null),
        };
        entries.insert(key.to_owned(), Item { value, ..entry.clone() });
    }
    Item { value: Value::Map(entries), ..item }
}

/// Turns one text or a mapping into a list, as compose does before it appends.
fn strings(item: Item) -> Item {
    let value = match &item.value {
        Value::Text(_) => Value::List(vec![Item { mark: Mark::Merge, ..item.clone() }]),
        Value::Map(entries) => {
            let texts = entries.iter().map(|(key, item)| {
                let text = item.text().map_or_else(|| key.clone(), |value| format!("{key}={value}"));
                item.with_value(Value::Text(text))
            });
            Value::List(texts.collect())
        }
        Value::Null | Value::List(_) => return item,
    };
    Item { value, ..item }
}

/// Turns a list of names into a mapping without values.
fn names(item: Item) -> Item {
    let Value::List(items) = &item.value else { return item };
    let named = items.iter().map(|entry| Some((entry.text()?.to_owned(), entry.with_value(Value::Null))));
    match named.collect::<Option<BTreeMap<_, _>>>() {
        Some(entries) => Item { value: Value::Map(entries), ..item },
        None => item,
    }
}

fn build(item: Item) -> Item {
    if item.text().is_none() {
        return item;
    }
    let context = Item { mark: Mark::Merge, ..item.clone() };
    Item { value: Value::Map(BTreeMap::from([("context".to_owned(), context)])), ..item }
}

fn drivers_differ(base: &Item, over: &Item) -> bool {
    matches!((base.text_of("driver"), over.text_of("driver")), (Some(base), Some(over)) if base != over)
}
