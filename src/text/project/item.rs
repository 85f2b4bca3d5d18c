//! Values of the rendered model: aliases expanded, merge keys applied, variables put in. Every value remembers the node
//! it was written as.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::rc::Rc;

use granit_parser::ScalarStyle;

use super::super::interpolate::{Template, TemplateError};
use super::super::yaml::{File, Kind, MAX_NESTING, NodeId, Tag};
use crate::error::{Error, ErrorKind, Result};
use crate::model::SourceSpot;
use crate::words::text::TextWords;

/// How many values one rendering may expand to: the largest real project seen has 20,000, and a file of 400 bytes can
/// ask for billions.
pub(crate) const MAX_EXPANDED: usize = 250_000;

/// How deep expanded values may nest, aliases included: each level costs a stack frame.
const MAX_DEPTH: usize = 2 * MAX_NESTING;

/// The environment and the directory that a file is read with. The values are secrets.
pub(crate) struct Scope {
    /// What relative paths start from.
    pub(crate) base: PathBuf,
    /// The variables.
    pub(crate) env: BTreeMap<String, String>,
}

impl Scope {
    pub(crate) fn lookup(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
}

/// A file with the scope it was read in.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) file: Rc<File>,
    pub(crate) scope: Rc<Scope>,
    /// Whether the project includes the file, instead of naming it.
    pub(crate) included: bool,
}

impl Source {
    /// Returns where a node starts.
    pub(crate) fn spot(&self, node: NodeId) -> SourceSpot {
        self.file.spot_at(&self.path, self.file.node(node).span.start)
    }
}

/// How a value was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Via {
    /// It stands where it is used.
    Direct,
    /// Through an alias (`*name`).
    Alias,
    /// Through a merge key (`<<`).
    Merge,
}

/// The node that a value was written as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// The index of its source.
    pub(crate) source: usize,
    pub(crate) node: NodeId,
    pub(crate) via: Via,
}

/// What compose does with the value of the files before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Merge,
    Reset,
    Override,
}

/// A value with its origin.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
    pub(crate) mark: Mark,
}

/// A value.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Text(String),
    List(Vec<Item>),
    Map(BTreeMap<String, Item>),
}

impl Item {
    pub(crate) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }

    pub(crate) fn map(&self) -> Option<&BTreeMap<String, Self>> {
        if let Value::Map(entries) = &self.value { Some(entries) } else { None }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.map()?.get(key)
    }

    /// Returns the text of an entry, when it is one.
    pub(crate) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Returns a value made up by us where `self` stands.
    pub(crate) fn with_value(&self, value: Value) -> Self {
        Self { value, origin: self.origin, mark: Mark::Merge }
    }

    /// Tells whether both render the same; where they are written does not matter.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Null, Value::Null) => true,
            (Value::Text(left), Value::Text(right)) => left == right,
            (Value::List(left), Value::List(right)) => {
                left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.same(right))
            }
            (Value::Map(left), Value::Map(right)) => {
                left.len() == right.len()
                    && left.iter().zip(right).all(|((one, left), (two, right))| one == two && left.same(right))
            }
            _ => false,
        }
    }
}

/// Expands the nodes of one source.
pub(crate) struct Expander<'a> {
    pub(crate) source: &'a Source,
    pub(crate) index: usize,
    /// How many values the rendering has so far.
    pub(crate) count: &'a mut usize,
    /// The variables that were not set, with the place that used each first.
    pub(crate) unset: &'a mut BTreeMap<String, SourceSpot>,
}

impl Expander<'_> {
    /// Expands a document.
    pub(crate) fn document(&mut self, root: NodeId) -> Result<Item> {
        self.expand(root, Via::Direct, 0)
    }

    fn expand(&mut self, node: NodeId, via: Via, depth: usize) -> Result<Item> {
        *self.count += 1;
        if *self.count > MAX_EXPANDED || depth > MAX_DEPTH {
            let file = self.source.path.clone();
            return Err(Error::new(ErrorKind::Refused, TextWords::TooManyNodes { file, limit: MAX_EXPANDED }));
        }
        let file = Rc::clone(&self.source.file);
        let found = file.node(node);
        let mark = match found.tag {
            Tag::Reset => Mark::Reset,
            Tag::Override => Mark::Override,
            Tag::Plain | Tag::Str => Mark::Merge,
        };
        let value = match &found.kind {
            Kind::Alias(target) => return self.expand(*target, via.max(Via::Alias), depth + 1),
            Kind::Scalar(text, style) => self.scalar(node, text, *style)?,
            Kind::Sequence(items) => {
                let items = items.iter().map(|item| self.expand(*item, via, depth + 1));
                let kept = items.filter(|item| !matches!(item, Ok(item) if item.mark == Mark::Reset));
                Value::List(kept.collect::<Result<_>>()?)
            }
            Kind::Mapping(entries) => Value::Map(self.mapping(entries, via, depth)?),
        };
        Ok(Item { value, origin: Origin { source: self.index, node, via }, mark })
    }

    fn mapping(&mut self, entries: &[(NodeId, NodeId)], via: Via, depth: usize) -> Result<BTreeMap<String, Item>> {
        let file = Rc::clone(&self.source.file);
        let mut own = BTreeMap::new();
        let mut merged = Vec::new();
        for (key, value) in entries {
            let Kind::Scalar(name, style) = &file.node(*key).kind else {
                let at = self.source.spot(*key);
                let words = TextWords::KeyNotText { file: at.file, line: at.line, column: at.column };
                return Err(Error::new(ErrorKind::Refused, words));
            };
            if name == "<<" && *style == ScalarStyle::Plain {
                merged.push(*value);
            } else {
                own.insert(name.clone(), self.expand(*value, via, depth + 1)?);
            }
        }
        for value in merged {
            let found = self.expand(value, Via::Merge, depth + 1)?;
            let at = self.source.spot(value);
            merge_into(&mut own, found, &at)?;
        }
        Ok(own)
    }

    fn scalar(&mut self, node: NodeId, text: &str, style: ScalarStyle) -> Result<Value> {
        let plain = style == ScalarStyle::Plain && self.source.file.node(node).tag != Tag::Str;
        if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Ok(Value::Null);
        }
        if !text.contains('$') {
            return Ok(Value::Text(text.to_owned()));
        }
        let scope = &self.source.scope;
        let expansion = Template::parse(text).and_then(|template| template.expand(&|name| scope.lookup(name)));
        let expansion = expansion.map_err(|error| template_error(&self.source.spot(node), error))?;
        for name in expansion.unset {
            self.unset.entry(name).or_insert_with(|| self.source.spot(node));
        }
        Ok(Value::Text(expansion.text))
    }
}

/// Adds what a merge key brings: what is there already stays.
fn merge_into(own: &mut BTreeMap<String, Item>, found: Item, at: &SourceSpot) -> Result<()> {
    match found.value {
        Value::Map(entries) => {
            for (key, item) in entries {
                if let Entry::Vacant(place) = own.entry(key) {
                    place.insert(item);
                }
            }
            Ok(())
        }
        Value::List(items) if items.iter().all(|item| item.map().is_some()) => {
            items.into_iter().try_for_each(|item| merge_into(own, item, at))
        }
        _ => {
            let words = TextWords::MergeNotMapping { file: at.file.clone(), line: at.line, column: at.column };
            Err(Error::new(ErrorKind::Refused, words))
        }
    }
}

fn template_error(at: &SourceSpot, error: TemplateError) -> Error {
    let (file, line, column) = (at.file.clone(), at.line, at.column);
    match error {
        TemplateError::Invalid { .. } => Error::new(ErrorKind::Refused, TextWords::BadTemplate { file, line, column })
            .hint(TextWords::HintDoubleDollar),
        TemplateError::Required { name, message_from_author } => {
            let why = message_from_author;
            let hint = TextWords::HintSetVariable { name: name.clone() };
            Error::new(ErrorKind::Refused, TextWords::RequiredVariable { file, line, column, name, why }).hint(hint)
        }
        TemplateError::TooDeep | TemplateError::TooLong => {
            Error::new(ErrorKind::Refused, TextWords::TemplateTooLarge { file, line, column })
        }
    }
}
