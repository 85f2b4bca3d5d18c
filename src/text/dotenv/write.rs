//! Edits: the narrowest change of bytes, proven by reading the result back.

use std::ops::Range;

use super::{Assignment, Document, Quote, Statement};
use crate::error::{Error, ErrorKind, Result};
use crate::text::interpolate::Template;
use crate::words::dotenv::DotenvWords;

/// How many variables a refusal names at most; a port is hardly ever made of more.
const MAX_NAMED: usize = 3;

/// Returns the contents of a file that gives one variable a value.
pub fn create(name: &str, value: &str) -> Result<Vec<u8>> {
    Document::parse(b"")?.set(name, value)
}

/// Bytes to put in place of a span.
struct Splice {
    span: Range<usize>,
    text: String,
}

impl Document {
    /// Returns the file with `name` set to `value`, changing as little as possible.
    ///
    /// The last assignment gets the value: quotes, `export`, comment and line ending stay, and quotes are added only to
    /// a value that needs them. A variable that is not assigned gets a line of its own: behind the last commented
    /// sample (`#NAME=…`), else at the end. Refused are a value that is taken from other variables (setting it would
    /// lose that reference), a value that compose could not read back, and a name that compose cannot replace. The
    /// result is read back first: every other statement is as before. Values below the line that refer to the variable
    /// change with it.
    pub fn set(&self, name: &str, value: &str) -> Result<Vec<u8>> {
        let unwritable = || refused(DotenvWords::Unwritable { name: name.to_owned() }, DotenvWords::UnwritableHint);
        let splice = match self.last(name) {
            Some(assignment) => {
                self.keep_references(assignment)?;
                self.replacement(assignment, value)
            }
            None if is_name(name) => self.insertion(name, value),
            None => return Err(refused(DotenvWords::BadName { name: name.to_owned() }, DotenvWords::BadNameHint)),
        }
        .ok_or_else(unwritable)?;
        let parts = (self.bytes.get(..splice.span.start), self.bytes.get(splice.span.end..));
        let (Some(before), Some(after)) = parts else { return Err(unwritable()) };
        let edited = [before, splice.text.as_bytes(), after].concat();
        if self.reads_back(&edited, name, value) { Ok(edited) } else { Err(unwritable()) }
    }

    /// Refuses an assignment that takes its value from variables.
    fn keep_references(&self, assignment: &Assignment) -> Result<()> {
        if assignment.quote == Quote::Single {
            return Ok(());
        }
        let decoded = self.decoded(assignment);
        let template = Template::parse(&decoded).map_err(|error| super::explain(assignment, error))?;
        let mut variables = template.variables();
        if variables.is_empty() {
            return Ok(());
        }
        variables.sort_unstable();
        variables.dedup();
        variables.truncate(MAX_NAMED);
        let variables = variables.join(", ");
        let words = DotenvWords::Indirect {
            line: assignment.line,
            name: assignment.name.clone(),
            variables: variables.clone(),
        };
        Err(refused(words, DotenvWords::IndirectHint { variables }))
    }

    fn replacement(&self, assignment: &Assignment, value: &str) -> Option<Splice> {
        let inner = assignment.value_span.clone();
        let outer = inner.start - assignment.quote.width()..inner.end + assignment.quote.width();
        match assignment.quote {
            Quote::Single => Some(Splice { span: inner, text: single_quoted_inner(value)? }),
            Quote::Double if !value.contains(['"', '\\', '$']) => Some(Splice { span: inner, text: value.to_owned() }),
            Quote::Double => Some(Splice { span: outer, text: single_quoted(value)? }),
            Quote::None if self.is_comment_by_mistake(assignment) => {
                Some(Splice { span: inner.start..inner.start, text: unquoted(value)? + " " })
            }
            Quote::None => Some(Splice { span: outer, text: unquoted(value)? }),
        }
    }

    /// Tells whether the value is what its author took for a comment: `A= # note`, which compose reads as `# note`.
    fn is_comment_by_mistake(&self, assignment: &Assignment) -> bool {
        let before = self.bytes.get(..assignment.value_span.start).unwrap_or_default();
        self.raw(assignment).starts_with(b"#") && before.ends_with(b" ")
    }

    fn insertion(&self, name: &str, value: &str) -> Option<Splice> {
        let sample = self.statements.iter().rev().find_map(|statement| match statement {
            Statement::Comment(span) if is_sample(self.bytes.get(span.clone())?, name) => Some(span.end),
            _ => None,
        });
        let line_end = sample.and_then(|end| {
            self.bytes.get(end..)?.iter().position(|byte| *byte == b'\n').map(|length| end + length + 1)
        });
        let at = line_end.unwrap_or(self.bytes.len());
        let before = self.bytes.get(..at)?;
        let ending = self.line_ending(at);
        let open = !before.is_empty() && !before.ends_with(b"\n") && !before.ends_with(b"\xEF\xBB\xBF");
        let text = format!("{}{name}={}{ending}", if open { ending } else { "" }, unquoted(value)?);
        Some(Splice { span: at..at, text })
    }

    /// Returns the line ending in use before `at`.
    fn line_ending(&self, at: usize) -> &'static str {
        let before = self.bytes.get(..at).unwrap_or_default();
        let last = before.iter().rposition(|byte| *byte == b'\n');
        let windows = last.is_some_and(|end| before.get(..end).is_some_and(|line| line.ends_with(b"\r")));
        if windows { "\r\n" } else { "\n" }
    }

    /// Tells whether `edited` differs from this file only in that `name` has `value`.
    fn reads_back(&self, edited: &[u8], name: &str, value: &str) -> bool {
        let Ok(edited) = Self::parse(edited) else { return false };
        let Some(target) = edited.last(name) else { return false };
        let literal = edited.value(target, &|_| None).is_ok_and(|read| read == value)
            && (target.quote == Quote::Single || !edited.decoded(target).contains('$'));
        let gone = self.last(name);
        literal && self.others(gone).eq(edited.others(Some(target)))
    }

    /// Yields every statement but one assignment, each as written.
    fn others<'a>(&'a self, left_out: Option<&'a Assignment>) -> impl Iterator<Item = Written<'a>> {
        self.statements.iter().filter_map(move |statement| match statement {
            Statement::Assign(assignment) if left_out == Some(assignment) => None,
            Statement::Assign(assignment) => {
                Some(Written::Assign(&assignment.name, self.raw(assignment), assignment.quote, assignment.exported))
            }
            Statement::Inherit(name) => Some(Written::Inherit(name)),
            Statement::Comment(span) => Some(Written::Comment(self.bytes.get(span.clone())?)),
        })
    }
}

#[derive(PartialEq)]
enum Written<'a> {
    Assign(&'a str, &'a [u8], Quote, bool),
    Inherit(&'a str),
    Comment(&'a [u8]),
}

fn refused(words: DotenvWords, hint: DotenvWords) -> Error {
    Error::new(ErrorKind::Refused, words).hint(hint)
}

/// Tells whether `${name}` can name it.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// Tells whether a comment is `#NAME=…`, blanks and `export` allowed.
fn is_sample(comment: &[u8], name: &str) -> bool {
    let text = comment.trim_ascii_start().strip_prefix(b"#").unwrap_or_default().trim_ascii_start();
    let text = text.strip_prefix(b"export ").unwrap_or(text).trim_ascii_start();
    text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
}

/// Writes a value without quotes where every reader of `.env` files agrees on it, else in single quotes.
fn unquoted(value: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,=".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) { Some(value.to_owned()) } else { single_quoted(value) }
}

fn single_quoted(value: &str) -> Option<String> {
    single_quoted_inner(value).map(|inner| format!("'{inner}'"))
}

/// Writes a value for between single quotes, where `\'` is the only escape. `None` for a backslash before a quote or at
/// the end, which cannot be told from an escape, and for a NUL.
fn single_quoted_inner(value: &str) -> Option<String> {
    let ambiguous = value.contains("\\'") || value.ends_with('\\') || value.contains('\0');
    (!ambiguous).then(|| value.replace('\'', "\\'"))
}
