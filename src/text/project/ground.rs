//! Which files make the project, and with which environment: what compose decides before it reads a service.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, MAIN_SEPARATOR, Path, PathBuf};
use std::rc::Rc;

use super::super::dotenv;
use super::super::yaml::File;
use super::{Request, Snapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::words::Message;
use crate::words::text::TextWords;

/// How many files, or documents in them, one project may consist of: the largest real one seen has 20, includes can fan
/// out, and each is merged over all before it.
pub(crate) const MAX_FILES: usize = 500;

/// The names that compose looks for, best first (compose-go `cli/options.go`).
const FILE_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// The names of files that are merged over the found one, best first.
const OVERRIDE_NAMES: [&str; 4] =
    ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// Reads from the snapshot and remembers what it lacks.
pub(crate) struct Reader<'a> {
    snapshot: &'a Snapshot,
    needs: BTreeSet<PathBuf>,
    parsed: BTreeMap<PathBuf, Rc<File>>,
}

impl<'a> Reader<'a> {
    /// Reads `snapshot`, of which these files are parsed already.
    pub(crate) fn new(snapshot: &'a Snapshot, parsed: BTreeMap<PathBuf, Rc<File>>) -> Self {
        Self { snapshot, needs: BTreeSet::new(), parsed }
    }

    /// Returns a compose file, parsed once.
    pub(crate) fn parse(&mut self, path: &Path) -> Result<Rc<File>> {
        if let Some(file) = self.parsed.get(path) {
            return Ok(Rc::clone(file));
        }
        let Some(bytes) = self.read(path) else {
            return Err(Error::new(ErrorKind::Missing, TextWords::NoSuchFile { file: path.to_owned() }));
        };
        let file = Rc::new(File::parse(path, bytes)?);
        self.parsed.insert(path.to_owned(), Rc::clone(&file));
        Ok(file)
    }

    /// Returns the contents; `None` when there is no such file, or when it is not known yet.
    pub(crate) fn read(&mut self, path: &Path) -> Option<&'a [u8]> {
        if let Some(found) = self.snapshot.get(path) {
            return found.as_deref();
        }
        self.needs.insert(path.to_owned());
        None
    }

    /// Returns what was asked for and is not in the snapshot.
    pub(crate) fn needs(self) -> Result<Vec<PathBuf>> {
        if self.needs.len() + self.snapshot.len() > MAX_FILES {
            return Err(Error::new(ErrorKind::Refused, TextWords::TooManyFiles { limit: MAX_FILES }));
        }
        Ok(self.needs.into_iter().collect())
    }
}

/// The files of a project and their environment.
pub(crate) struct Ground {
    /// The project directory.
    pub(crate) directory: PathBuf,
    /// The compose files, in the order in which they are merged.
    pub(crate) files: Vec<PathBuf>,
    /// Whether compose finds the files itself, and so finds an override file too.
    pub(crate) discovered: bool,
    /// The `.env` file that is read last, so that its values win.
    pub(crate) env_file: PathBuf,
    /// The variables: the shell's over those of the files. The values are secrets.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) warnings: Vec<Message>,
}

/// Finds the files and reads the environment; `None` when the directory has no compose file.
pub(crate) fn survey(request: &Request, reader: &mut Reader<'_>) -> Result<Option<Ground>> {
    let home = normalized(&request.directory);
    let mut warnings = Vec::new();
    let mut env = request.shell.clone();
    let explicit = explicit_env_files(request, &home);
    let first_env = match explicit.last() {
        Some(last) => last.clone(),
        None => home.join(".env"),
    };
    let own_env = explicit.is_empty() && env_file_allowed(request);
    if !explicit.is_empty() {
        env = with_files(env, &explicit, true, reader)?;
    } else if own_env && request.files.is_empty() {
        env = with_files(env, std::slice::from_ref(&first_env), false, reader)?;
    }
    let (files, discovered) = match named_files(request, &home, &env) {
        Some(files) => (files, false),
        None => (discover(&home, reader, &mut warnings), true),
    };
    let Some(first) = files.first() else { return Ok(None) };
    if !discovered {
        reader.read(&override_beside(first));
    }
    let directory = first.parent().unwrap_or(&home).to_owned();
    let beside = directory.join(".env");
    if own_env {
        env = with_files(env, std::slice::from_ref(&beside), false, reader)?;
    }
    let is_at_home = !explicit.is_empty() || request.files.is_empty() && reader.read(&first_env).is_some();
    let env_file = if is_at_home { first_env } else { beside };
    warn_duplicates(&env_file, reader, &mut warnings)?;
    Ok(Some(Ground { directory, files, discovered, env_file, env, warnings }))
}

fn explicit_env_files(request: &Request, home: &Path) -> Vec<PathBuf> {
    if let Some(file) = &request.env_file {
        return vec![normalized(&home.join(file))];
    }
    let named = request.shell.get("COMPOSE_ENV_FILES").map(String::as_str).unwrap_or_default();
    named.split(',').filter(|name| !name.is_empty()).map(|name| normalized(&home.join(name))).collect()
}

fn env_file_allowed(request: &Request) -> bool {
    let disabled = request.shell.get("COMPOSE_DISABLE_ENV_FILE").map(String::as_str);
    !matches!(disabled, Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// Adds the values of `.env` files to `env`: what is there stays; a later file wins over an earlier one.
pub(crate) fn with_files(
    env: BTreeMap<String, String>,
    files: &[PathBuf],
    required: bool,
    reader: &mut Reader<'_>,
) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for path in files {
        let Some(bytes) = reader.read(path) else {
            if required {
                return Err(Error::new(ErrorKind::Missing, TextWords::NoSuchFile { file: path.clone() }));
            }
            continue;
        };
        let lookup = |name: &str| env.get(name).or_else(|| found.get(name)).cloned();
        let in_file = |error: Error| error.context(TextWords::InFile { file: path.clone() });
        let values = dotenv::Document::parse(bytes).and_then(|file| file.resolve(&lookup)).map_err(in_file)?;
        found.extend(values);
    }
    let mut all = found;
    all.extend(env);
    Ok(all)
}

fn named_files(request: &Request, home: &Path, env: &BTreeMap<String, String>) -> Option<Vec<PathBuf>> {
    let absolute = |name: &Path| normalized(&home.join(name));
    if !request.files.is_empty() {
        return Some(request.files.iter().map(|name| absolute(name)).collect());
    }
    let names = env.get("COMPOSE_FILE").filter(|names| !names.is_empty())?;
    let usual = if MAIN_SEPARATOR == '\\' { ";" } else { ":" };
    let separator = env.get("COMPOSE_PATH_SEPARATOR").filter(|text| !text.is_empty()).map_or(usual, String::as_str);
    Some(names.split(separator).map(|name| absolute(Path::new(name))).collect())
}

fn discover(home: &Path, reader: &mut Reader<'_>, warnings: &mut Vec<Message>) -> Vec<PathBuf> {
    let mut present = |names: [&str; 4]| -> Vec<PathBuf> {
        names.into_iter().map(|name| home.join(name)).filter(|path| reader.read(path).is_some()).collect()
    };
    let (found, overrides) = (present(FILE_NAMES), present(OVERRIDE_NAMES));
    for candidates in [&found, &overrides] {
        if let [used, ignored, ..] = candidates.as_slice() {
            let words = TextWords::SeveralComposeFiles { used: used.clone(), ignored: ignored.clone() };
            warnings.push(words.into());
        }
    }
    let first = found.into_iter().take(1);
    let files: Vec<PathBuf> = first.collect();
    if files.is_empty() { files } else { files.into_iter().chain(overrides.into_iter().take(1)).collect() }
}

/// Returns the name of the override file that belongs to a compose file, which compose then finds by itself.
pub(crate) fn override_beside(file: &Path) -> PathBuf {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, "yaml"));
    file.with_file_name(format!("{stem}.override.{extension}"))
}

fn warn_duplicates(env_file: &Path, reader: &mut Reader<'_>, warnings: &mut Vec<Message>) -> Result<()> {
    let Some(bytes) = reader.read(env_file) else { return Ok(()) };
    let document = dotenv::Document::parse(bytes)
        .map_err(|error| error.context(TextWords::InFile { file: env_file.to_owned() }))?;
    for (name, lines) in document.duplicates() {
        let file = env_file.to_owned();
        let line = lines.last().copied().unwrap_or_default();
        warnings.push(TextWords::DuplicateVariable { file, name, line }.into());
    }
    Ok(())
}

/// Takes `.` and `..` out of a path by its text alone, as compose does.
pub(crate) fn normalized(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}
