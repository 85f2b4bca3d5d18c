//! A `.env` file as compose-go reads it (`dotenv/parser.go`, read at 2026-07-21), kept byte for byte.
//!
//! Odd corners of the reference are kept: `:` ends a name as `=` does, a comment after an unquoted value starts at a
//! space and `#` (not at a tab), `A= # note` has the value `# note`, what follows a closing quote is a new statement,
//! and `'` and `"` values may span lines. Known difference: combining marks are accepted in names.

mod read;
mod write;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::interpolate::{Template, TemplateError};
use crate::error::{Error, ErrorKind, Result};
use crate::words::dotenv::DotenvWords;

pub use write::create;

/// The largest file that is read, in bytes: real ones are below 64 KiB, and Linux passes at most 6 MiB of environment.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// The most bytes that expansions of one file may read from variables; stops files that double a value line by line.
pub const MAX_RESOLVED_BYTES: usize = 16 << 20;

/// How a value is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    /// Not at all.
    None,
    /// In `'`: nothing is expanded.
    Single,
    /// In `"`: escapes and variables are expanded.
    Double,
}

impl Quote {
    /// Returns how many bytes stand on each side of the value for it.
    const fn width(self) -> usize {
        match self {
            Self::None => 0,
            Self::Single | Self::Double => 1,
        }
    }
}

/// A statement that gives a variable a value. Holds no value, only where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The variable.
    pub name: String,
    /// The line of the name, from 1.
    pub line: usize,
    /// The column of the name in characters, from 1.
    pub column: usize,
    /// The bytes of the value in the file, without quotes, comment and blanks around it.
    pub value_span: Range<usize>,
    /// How the value is quoted.
    pub quote: Quote,
    /// Whether `export` stands before the name.
    pub exported: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Statement {
    Assign(Assignment),
    /// A name alone, which takes its value from the environment.
    Inherit(String),
    /// A comment that has its line to itself: its span from `#` to the end of the line, without line ending.
    Comment(Range<usize>),
}

/// A `.env` file.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    bytes: Vec<u8>,
    statements: Vec<Statement>,
}

impl fmt::Debug for Document {
    /// Leaves the bytes out: they hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.statements).finish()
    }
}

impl Document {
    /// Reads a file. Refuses what compose refuses, and also UTF-16, NUL bytes and more than [`MAX_FILE_BYTES`]. Bytes
    /// that are not UTF-8 are kept as they are in values and comments. A bad `${` is found by [`Self::resolve`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Ok(Self { bytes: bytes.to_vec(), statements: read::statements(bytes)? })
    }

    /// Returns the file as it was read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the assignments in order.
    pub fn assignments(&self) -> impl Iterator<Item = &Assignment> {
        self.statements.iter().filter_map(|statement| match statement {
            Statement::Assign(assignment) => Some(assignment),
            Statement::Inherit(_) | Statement::Comment(_) => None,
        })
    }

    /// Returns the last assignment of a variable, the one that counts.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&Assignment> {
        self.assignments().filter(|assignment| assignment.name == name).last()
    }

    /// Returns the variables that are assigned more than once, by name, with their lines in order.
    #[must_use]
    pub fn duplicates(&self) -> Vec<(String, Vec<usize>)> {
        let mut lines: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for assignment in self.assignments() {
            lines.entry(&assignment.name).or_default().push(assignment.line);
        }
        lines.into_iter().filter(|(_, lines)| lines.len() > 1).map(|(name, lines)| (name.to_owned(), lines)).collect()
    }

    /// Returns the value as it is written. It may be a secret: it must not reach any output.
    #[must_use]
    pub fn raw(&self, assignment: &Assignment) -> &[u8] {
        self.bytes.get(assignment.value_span.clone()).unwrap_or_default()
    }

    /// Returns the values as compose sees them, each expanded with the values above it; what `shell` gives wins in
    /// expansions. Names of the shell appear only where the file names them alone on a line. Names that start with a
    /// digit are left out, as compose does; bytes that are not UTF-8 become U+FFFD.
    pub fn resolve(&self, shell: &dyn Fn(&str) -> Option<String>) -> Result<BTreeMap<String, String>> {
        let mut values = BTreeMap::new();
        let read = Cell::new(0_usize);
        for statement in &self.statements {
            match statement {
                Statement::Assign(assignment) => {
                    let lookup = |name: &str| {
                        if read.get() > MAX_RESOLVED_BYTES {
                            return None;
                        }
                        let value = shell(name).or_else(|| values.get(name).cloned())?;
                        read.set(read.get().saturating_add(value.len()));
                        Some(value)
                    };
                    let value = self.value(assignment, &lookup);
                    if read.get() > MAX_RESOLVED_BYTES {
                        return Err(explain(assignment, TemplateError::TooLong));
                    }
                    let value = value.map_err(|error| explain(assignment, error))?;
                    values.insert(assignment.name.clone(), value);
                }
                Statement::Inherit(name) => {
                    if let Some(value) = shell(name) {
                        values.insert(name.clone(), value);
                    }
                }
                Statement::Comment(_) => {}
            }
        }
        values.retain(|name, _| name.starts_with(|first: char| !first.is_ascii_digit()));
        Ok(values)
    }

    fn value(&self, assignment: &Assignment, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, TemplateError> {
        let decoded = self.decoded(assignment);
        if assignment.quote == Quote::Single {
            return Ok(decoded.into_owned());
        }
        Ok(Template::parse(&decoded)?.expand(lookup)?.text)
    }

    /// Returns the value without its quoting and escapes, not expanded.
    fn decoded(&self, assignment: &Assignment) -> Cow<'_, str> {
        let raw = String::from_utf8_lossy(self.raw(assignment));
        match assignment.quote {
            Quote::None => raw,
            Quote::Single => read::without_escaped_quotes(&raw, '\'').into(),
            Quote::Double => read::unescaped(&read::without_escaped_quotes(&raw, '"')).into(),
        }
    }
}

/// Says which assignment a template error is about; names variables, never values or the author's messages.
fn explain(assignment: &Assignment, error: TemplateError) -> Error {
    let (line, name) = (assignment.line, assignment.name.clone());
    let refused = |words: DotenvWords, hint: DotenvWords| Error::new(ErrorKind::Refused, words).hint(hint);
    match error {
        TemplateError::Invalid { .. } => refused(DotenvWords::Template { line, name }, DotenvWords::TemplateHint),
        TemplateError::Required { name: variable, .. } => refused(
            DotenvWords::Required { line, name, variable: variable.clone() },
            DotenvWords::RequiredHint { variable },
        ),
        TemplateError::TooDeep => refused(DotenvWords::TooDeep { line, name }, DotenvWords::TemplateHint),
        TemplateError::TooLong => refused(DotenvWords::TooLong { line, name }, DotenvWords::TooLargeHint),
    }
}

#[cfg(test)]
mod tests;
