//! Renders a project: documents, `include`, `extends` and several files, in the order of compose-go `loader` (read at
//! 2026-07-21).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::super::interpolate::Template;
use super::super::yaml::{File, Kind};
use super::ground::{Ground, MAX_FILES, Reader, normalized, with_files};
use super::item::{Expander, Item, Origin, Scope, Source, Value};
use super::merge::{has_marks, merge, pairs, settle};
use crate::error::{Error, ErrorKind, Result};
use crate::model::SourceSpot;
use crate::words::text::TextWords;

/// How many services may extend each other in a row: real projects use 3, and each level costs a stack frame.
const MAX_EXTENDS: usize = 32;

/// How deep files may include each other: real projects use 2, and each level costs a stack frame.
const MAX_INCLUDES: usize = 16;

/// What compose makes of the files.
pub(crate) struct Rendered {
    /// The project name.
    pub(crate) name: String,
    /// The merged model, all services with all their profiles.
    pub(crate) tree: Item,
    /// How many values were expanded for it.
    pub(crate) values: usize,
    /// The files it came from; [`Origin::source`] counts in them.
    pub(crate) sources: Vec<Source>,
    /// The variables that were not set and had no default, with the place that used each first.
    pub(crate) unset: BTreeMap<String, SourceSpot>,
}

/// Renders the project that stands on `ground`; `name` is the one that the command line gives.
pub(crate) fn render(ground: &Ground, name: Option<&str>, reader: &mut Reader<'_>) -> Result<Rendered> {
    let mut renderer = Renderer::new(reader);
    let name = renderer.project_name(ground, name)?;
    let mut env = ground.env.clone();
    env.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    let scope = Rc::new(Scope { base: ground.directory.clone(), env });
    let tree = renderer.files(&ground.files, &scope, &[])?;
    let Some(tree) = tree.filter(|tree| tree.map().is_some_and(|entries| !entries.is_empty())) else {
        let file = ground.files.first().cloned().unwrap_or_default();
        return Err(Error::new(ErrorKind::Refused, TextWords::EmptyComposeFile { file }));
    };
    let tree = renderer.with_environment(tree);
    Ok(Rendered { name, tree, values: renderer.count, sources: renderer.sources, unset: renderer.unset })
}

struct Renderer<'r, 'a> {
    reader: &'r mut Reader<'a>,
    sources: Vec<Source>,
    count: usize,
    merged: usize,
    unset: BTreeMap<String, SourceSpot>,
    /// The services of files that others extend from, by file and by the scope of the one that extends.
    bases: Vec<Base>,
}

struct Base {
    path: PathBuf,
    scope: Rc<Scope>,
    services: Rc<BTreeMap<String, Item>>,
    source: usize,
}

/// A service that is being extended: its name and the file that it stands in.
type Link = (PathBuf, String);

impl<'r, 'a> Renderer<'r, 'a> {
    fn new(reader: &'r mut Reader<'a>) -> Self {
        Self { reader, sources: Vec::new(), count: 0, merged: 0, unset: BTreeMap::new(), bases: Vec::new() }
    }

    /// The command line wins over `COMPOSE_PROJECT_NAME`, that over `name:`, that over the directory.
    fn project_name(&mut self, ground: &Ground, given: Option<&str>) -> Result<String> {
        let from_env = ground.env.get("COMPOSE_PROJECT_NAME").map(String::as_str).filter(|name| !name.is_empty());
        if let Some(name) = given.or(from_env) {
            if normalized_name(name) != name || name.is_empty() {
                let hint = TextWords::HintProjectName { name: normalized_name(name) };
                let words = TextWords::BadProjectName { name: name.to_owned() };
                return Err(Error::new(ErrorKind::Refused, words).hint(hint));
            }
            return Ok(name.to_owned());
        }
        let mut written = None;
        for path in &ground.files {
            let file = self.reader.parse(path)?;
            written = file.documents().iter().filter_map(|root| name_key(&file, *root)).next_back().or(written);
        }
        let lookup = |name: &str| ground.env.get(name).cloned();
        let expanded = written.and_then(|text| Template::parse(&text).ok()?.expand(&lookup).ok());
        let from_file = expanded.map(|expansion| normalized_name(&expansion.text)).filter(|name| !name.is_empty());
        let directory = ground.directory.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = from_file.unwrap_or_else(|| normalized_name(&directory.unwrap_or_default()));
        if name.is_empty() {
            let words = TextWords::NoProjectName { directory: ground.directory.clone() };
            return Err(Error::new(ErrorKind::Refused, words).hint(TextWords::HintNameProject));
        }
        Ok(name)
    }

    /// Loads files and merges each over those before it.
    fn files(&mut self, paths: &[PathBuf], scope: &Rc<Scope>, including: &[PathBuf]) -> Result<Option<Item>> {
        let mut whole: Option<Item> = None;
        for path in paths {
            for (item, source) in self.documents(path, scope, !including.is_empty())? {
                let item = self.with_includes(item, path, scope, including)?;
                let item = self.with_extends(item, source)?;
                whole = Some(self.merged(whole, item)?);
            }
        }
        Ok(whole)
    }

    fn merged(&mut self, before: Option<Item>, item: Item) -> Result<Item> {
        self.merged += 1;
        if self.merged > MAX_FILES {
            return Err(Error::new(ErrorKind::Refused, TextWords::TooManyFiles { limit: MAX_FILES }));
        }
        let marked = has_marks(&item);
        let whole = match before {
            Some(before) => merge(before, item, &mut Vec::new()),
            None => item,
        };
        Ok(if marked { settle(whole) } else { whole })
    }

    fn documents(&mut self, path: &Path, scope: &Rc<Scope>, included: bool) -> Result<Vec<(Item, usize)>> {
        let file = self.reader.parse(path)?;
        let index = self.sources.len();
        let source = Source { path: path.to_owned(), file: Rc::clone(&file), scope: Rc::clone(scope), included };
        self.sources.push(source.clone());
        let mut documents = Vec::new();
        for root in file.documents() {
            let mut expander = Expander { source: &source, index, count: &mut self.count, unset: &mut self.unset };
            let item = expander.document(*root)?;
            if item.map().is_none() {
                let at = source.spot(*root);
                return Err(wrong_kind(at, "/", "mapping"));
            }
            documents.push((item, index));
        }
        Ok(documents)
    }

    fn spot(&self, origin: Origin) -> SourceSpot {
        self.sources
            .get(origin.source)
            .map_or_else(|| SourceSpot { file: PathBuf::new(), line: 1, column: 1 }, |source| source.spot(origin.node))
    }

    fn with_includes(&mut self, mut item: Item, path: &Path, scope: &Rc<Scope>, including: &[PathBuf]) -> Result<Item> {
        let Value::Map(entries) = &mut item.value else { return Ok(item) };
        let Some(includes) = entries.remove("include").filter(|includes| !includes.is_null()) else {
            return Ok(item);
        };
        let Some(list) = includes.list() else {
            return Err(wrong_kind(self.spot(includes.origin), "include", "list"));
        };
        let chain: Vec<PathBuf> = including.iter().cloned().chain([path.to_owned()]).collect();
        for include in list {
            let imported = self.include(include, scope, &chain)?;
            item = import(item, imported);
        }
        Ok(item)
    }

    fn include(&mut self, include: &Item, scope: &Rc<Scope>, chain: &[PathBuf]) -> Result<Option<Item>> {
        let at = self.spot(include.origin);
        let listed = match include.text() {
            Some(path) => vec![path.to_owned()],
            None => texts(include.get("path")),
        };
        if listed.iter().any(|path| is_remote(path)) {
            let words = TextWords::RemoteFile { file: at.file, line: at.line };
            return Err(Error::new(ErrorKind::Refused, words));
        }
        let paths: Vec<PathBuf> = listed.iter().map(|path| normalized(&scope.base.join(path))).collect();
        let Some(first) = paths.first() else { return Err(wrong_kind(at, "include.path", "string")) };
        if chain.contains(first) || chain.len() > MAX_INCLUDES {
            let words = TextWords::IncludeCycle { file: at.file, line: at.line, name: first.clone() };
            return Err(Error::new(ErrorKind::Refused, words));
        }
        let base = match include.text_of("project_directory").filter(|text| !text.is_empty()) {
            Some(directory) => normalized(&scope.base.join(directory)),
            None => first.parent().unwrap_or(first).to_owned(),
        };
        let named: Vec<PathBuf> = texts(include.get("env_file"))
            .iter()
            .filter(|file| *file != "/dev/null")
            .map(|file| normalized(&scope.base.join(file)))
            .collect();
        let env = if include.get("env_file").is_some() {
            with_files(scope.env.clone(), &named, true, self.reader)?
        } else {
            with_files(scope.env.clone(), &[base.join(".env")], false, self.reader)?
        };
        self.files(&paths, &Rc::new(Scope { base, env }), chain)
    }

    fn with_extends(&mut self, mut item: Item, source: usize) -> Result<Item> {
        let Value::Map(entries) = &mut item.value else { return Ok(item) };
        let Some(services) = entries.get_mut("services") else { return Ok(item) };
        let Value::Map(raw) = &services.value else { return Ok(item) };
        if raw.values().all(|service| service.get("extends").is_none()) {
            return Ok(item);
        }
        let raw = raw.clone();
        let mut done = BTreeMap::new();
        for name in raw.keys() {
            done.insert(name.clone(), self.extended(name, &raw, source, &mut Vec::new())?);
        }
        services.value = Value::Map(done);
        Ok(item)
    }

    /// Returns a service with what it extends merged under it.
    fn extended(
        &mut self,
        name: &str,
        services: &BTreeMap<String, Item>,
        source: usize,
        chain: &mut Vec<Link>,
    ) -> Result<Item> {
        let path = self.sources.get(source).map(|source| source.path.clone()).unwrap_or_default();
        let Some(service) = services.get(name) else {
            let words = TextWords::NoServiceToExtend { file: path, service: name.to_owned() };
            return Err(Error::new(ErrorKind::Refused, words));
        };
        let Some(extends) = service.get("extends") else { return Ok(service.clone()) };
        let at = self.spot(extends.origin);
        let link = (path, name.to_owned());
        if chain.contains(&link) || chain.len() > MAX_EXTENDS {
            let words = TextWords::ExtendsCycle { file: at.file, line: at.line, service: name.to_owned() };
            return Err(Error::new(ErrorKind::Refused, words));
        }
        chain.push(link);
        let Some(wanted) = extends.text().or_else(|| extends.text_of("service")) else {
            return Err(wrong_kind(at, "extends.service", "string"));
        };
        let base = match extends.text_of("file") {
            Some(file) if is_remote(file) => {
                let words = TextWords::RemoteFile { file: at.file, line: at.line };
                return Err(Error::new(ErrorKind::Refused, words));
            }
            Some(file) => self.extended_from_file(wanted, file, source, chain)?,
            None => self.extended(wanted, services, source, chain)?,
        };
        chain.pop();
        let mut service = service.clone();
        if let Value::Map(entries) = &mut service.value {
            entries.remove("extends");
        }
        Ok(merge(settle(base), service, &mut vec!["services".to_owned(), name.to_owned()]))
    }

    fn extended_from_file(&mut self, wanted: &str, file: &str, source: usize, chain: &mut Vec<Link>) -> Result<Item> {
        let (scope, included) = match self.sources.get(source) {
            Some(source) => (Rc::clone(&source.scope), source.included),
            None => return Err(Error::new(ErrorKind::Internal, TextWords::LostSource)),
        };
        let path = normalized(&scope.base.join(file));
        let known = self.bases.iter().find(|base| base.path == path && Rc::ptr_eq(&base.scope, &scope));
        if let Some(base) = known {
            let (services, source) = (Rc::clone(&base.services), base.source);
            return self.extended(wanted, &services, source, chain);
        }
        let base = path.parent().unwrap_or(&path).to_owned();
        let there = Rc::new(Scope { base, env: scope.env.clone() });
        let mut whole: Option<Item> = None;
        let mut index = source;
        for (item, found) in self.documents(&path, &there, included)? {
            index = found;
            whole = Some(self.merged(whole, item)?);
        }
        let services = whole.as_ref().and_then(|whole| whole.get("services")?.map()).cloned().unwrap_or_default();
        let services = Rc::new(services);
        self.bases.push(Base { path, scope, services: Rc::clone(&services), source: index });
        self.extended(wanted, &services, index, chain)
    }

    /// Puts values for variables that are passed on by name alone (`environment: [NAME]`).
    fn with_environment(&self, mut tree: Item) -> Item {
        let Value::Map(entries) = &mut tree.value else { return tree };
        if let Some(Value::Map(services)) = entries.get_mut("services").map(|item| &mut item.value) {
            for service in services.values_mut() {
                let Value::Map(keys) = &mut service.value else { continue };
                if let Some(environment) = keys.remove("environment") {
                    keys.insert("environment".to_owned(), self.passed_on(environment));
                }
                let Some(Value::Map(build)) = keys.get_mut("build").map(|build| &mut build.value) else { continue };
                if let Some(args) = build.remove("args") {
                    build.insert("args".to_owned(), self.passed_on(args));
                }
            }
        }
        for section in ["secrets", "configs"] {
            let Some(Value::Map(parts)) = entries.get_mut(section).map(|item| &mut item.value) else { continue };
            for part in parts.values_mut() {
                let Some(name) = part.get("environment").filter(|name| name.text().is_some()).cloned() else {
                    continue;
                };
                let value = self.value_of(&name, name.text().unwrap_or_default());
                if let Value::Map(keys) = &mut part.value {
                    keys.insert("content".to_owned(), name.with_value(value));
                }
            }
        }
        tree
    }

    fn passed_on(&self, item: Item) -> Item {
        let mut item = pairs(item);
        if let Value::Map(entries) = &mut item.value {
            for (name, entry) in entries.iter_mut().filter(|(_, entry)| entry.is_null()) {
                entry.value = self.value_of(entry, name);
            }
        }
        item
    }

    fn value_of(&self, item: &Item, name: &str) -> Value {
        let scope = self.sources.get(item.origin.source).map(|source| &source.scope);
        scope.and_then(|scope| scope.lookup(name)).map_or(Value::Null, Value::Text)
    }
}

/// Adds an included project: what the including file says wins.
fn import(mut item: Item, imported: Option<Item>) -> Item {
    let Some(Item { value: Value::Map(mut imported), .. }) = imported else { return item };
    let Value::Map(entries) = &mut item.value else { return item };
    for section in ["services", "volumes", "networks", "secrets", "configs", "models"] {
        let Some(theirs) = imported.remove(section) else { continue };
        let merged = match entries.remove(section) {
            Some(ours) if !ours.is_null() => merge(theirs, ours, &mut vec![section.to_owned()]),
            _ => theirs,
        };
        entries.insert(section.to_owned(), merged);
    }
    item
}

fn texts(item: Option<&Item>) -> Vec<String> {
    let Some(item) = item else { return Vec::new() };
    let one = item.text().map(str::to_owned);
    let many = item.list().unwrap_or_default().iter().filter_map(|item| item.text().map(str::to_owned));
    one.into_iter().chain(many).collect()
}

fn is_remote(path: &str) -> bool {
    path.contains("://") || path.starts_with("git@") || path.starts_with("github.com/")
}

fn name_key(file: &File, root: super::super::yaml::NodeId) -> Option<String> {
    let Kind::Mapping(entries) = &file.node(root).kind else { return None };
    let text = |id| if let Kind::Scalar(text, _) = &file.node(id).kind { Some(text.clone()) } else { None };
    let found = entries.iter().find(|(key, _)| text(*key).as_deref() == Some("name"));
    found.and_then(|(_, value)| text(*value)).filter(|name| !name.is_empty())
}

/// Returns the name as compose accepts it: lower case letters, digits, `_` and `-`, starting with a letter or digit.
fn normalized_name(name: &str) -> String {
    let lower = name.to_lowercase();
    let kept: String = lower.chars().filter(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-')).collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}

/// The error for a value of another kind than compose wants.
pub(crate) fn wrong_kind(at: SourceSpot, key: &str, wanted: &'static str) -> Error {
    let (file, line, column) = (at.file, at.line, at.column);
    let words = TextWords::WrongKind { file, line, column, key: key.to_owned(), wanted: wanted.to_owned() };
    Error::new(ErrorKind::Refused, words)
}
