//! From bytes to statements.

use std::ops::Range;

use super::{Assignment, MAX_FILE_BYTES, Quote, Statement};
use crate::error::{Error, ErrorKind, Result};
use crate::words::Message;
use crate::words::dotenv::DotenvWords;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// How many bytes are looked at to recognise UTF-16 without a byte order mark.
const UTF16_SAMPLE: usize = 64;

pub(super) fn statements(bytes: &[u8]) -> Result<Vec<Statement>> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(refused(DotenvWords::TooLarge { limit: MAX_FILE_BYTES / 1024 }, DotenvWords::TooLargeHint));
    }
    if is_utf16(bytes) {
        return Err(refused(DotenvWords::Utf16, DotenvWords::Utf16Hint));
    }
    let mut reader = Reader { bytes, at: 0, place: Place { at: 0, line: 1, column: 1 } };
    if bytes.starts_with(BOM) {
        reader.at = BOM.len();
        reader.place.at = BOM.len();
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let Place { line, column, .. } = reader.place_of(at);
        return Err(refused(DotenvWords::Nul { line, column }, DotenvWords::NulHint));
    }
    let mut statements = Vec::new();
    while reader.skip(char::is_whitespace) {
        statements.extend(reader.statement()?);
    }
    Ok(statements)
}

fn refused(words: impl Into<Message>, hint: DotenvWords) -> Error {
    Error::new(ErrorKind::Refused, words).hint(hint)
}

fn is_utf16(bytes: &[u8]) -> bool {
    let sample = bytes.get(..bytes.len().min(UTF16_SAMPLE)).unwrap_or_default();
    let zeros_at = |parity: usize| sample.iter().skip(parity).step_by(2).all(|byte| *byte == 0);
    let marked = bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF");
    marked || (sample.len() >= 4 && (zeros_at(0) != zeros_at(1)))
}

/// The blanks that compose skips inside a statement; a line feed is not one of them.
fn is_blank(character: char) -> bool {
    matches!(character, '\t' | '\x0B' | '\x0C' | '\r' | ' ' | '\u{85}' | '\u{A0}')
}

/// A byte offset with its line and its column in characters, both from 1.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    line: usize,
    column: usize,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The place that was asked for last; places are asked for in order, so counting goes on from there.
    place: Place,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Moves over characters that `skipped` accepts; tells whether anything is left.
    fn skip(&mut self, skipped: impl Fn(char) -> bool) -> bool {
        while let Some((character, length)) = first_char(self.rest()) {
            if !skipped(character) {
                return true;
            }
            self.at += length;
        }
        false
    }

    fn place_of(&mut self, at: usize) -> Place {
        let between = self.bytes.get(self.place.at..at).unwrap_or_default();
        for byte in between {
            if *byte == b'\n' {
                self.place.line += 1;
                self.place.column = 1;
            } else if byte & 0xC0 != 0x80 {
                self.place.column += 1;
            }
        }
        self.place.at = at;
        self.place
    }

    fn line_end(&self) -> usize {
        self.rest().iter().position(|byte| *byte == b'\n').map_or(self.bytes.len(), |length| self.at + length)
    }

    /// Reads one statement; `None` for one that defines nothing.
    fn statement(&mut self) -> Result<Option<Statement>> {
        if self.rest().starts_with(b"#") {
            return Ok(self.comment());
        }
        let exported = self.skip_export()?;
        let start = self.place_of(self.at);
        let Some((name, delimiter)) = self.name(start)? else { return Ok(None) };
        if delimiter == '\n' {
            return Ok(Some(Statement::Inherit(name)));
        }
        let (value_span, quote) = self.value(&name)?;
        let Place { line, column, .. } = start;
        Ok(Some(Statement::Assign(Assignment { name, line, column, value_span, quote, exported })))
    }

    fn comment(&mut self) -> Option<Statement> {
        let start = self.at;
        let before = self.bytes.get(..start).unwrap_or_default();
        let own_line = before.iter().rev().find(|byte| !matches!(byte, b' ' | b'\t')).is_none_or(|byte| *byte == b'\n');
        self.at = self.line_end();
        let line = self.bytes.get(start..self.at).unwrap_or_default();
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        (own_line || before == BOM).then(|| Statement::Comment(start..start + length))
    }

    fn skip_export(&mut self) -> Result<bool> {
        const WORD: &[u8] = b"export";
        let rest = self.rest();
        let follows = rest.strip_prefix(WORD).and_then(<[u8]>::first);
        if !follows.is_some_and(|byte| matches!(byte, b'\t' | b'\n' | b'\x0C' | b'\r' | b' ')) {
            return Ok(false);
        }
        let Place { line, column, .. } = self.place_of(self.at);
        self.at += WORD.len();
        if self.skip(is_blank) {
            return Ok(true);
        }
        Err(refused(DotenvWords::NameMissing { line, column }, DotenvWords::SyntaxHint))
    }

    /// Reads a name and what ends it. `None` when the file ends first: compose then defines nothing.
    fn name(&mut self, start: Place) -> Result<Option<(String, char)>> {
        let mut name = String::new();
        while let Some((character, length)) = first_char(self.rest()) {
            let here = self.at;
            self.at += length;
            match character {
                '=' | ':' | '\n' => {
                    name.truncate(name.trim_end().len());
                    let Place { line, column, .. } = start;
                    return if name.contains(' ') {
                        Err(refused(DotenvWords::NameSpace { line, column }, DotenvWords::SyntaxHint))
                    } else {
                        Ok(Some((name, character)))
                    };
                }
                '_' | '.' | '-' | '[' | ']' => {}
                _ if is_blank(character) || character.is_alphanumeric() => {}
                _ => {
                    let Place { line, column, .. } = self.place_of(here);
                    let words = DotenvWords::NameCharacter { line, column, character };
                    return Err(refused(words, DotenvWords::SyntaxHint));
                }
            }
            name.push(character);
        }
        Ok(None)
    }

    fn value(&mut self, name: &str) -> Result<(Range<usize>, Quote)> {
        let delimiter = self.at;
        self.skip(is_blank);
        let (quote, mark) = match self.rest().first() {
            Some(b'\'') => (Quote::Single, b'\''),
            Some(b'"') => (Quote::Double, b'"'),
            _ => return Ok((self.unquoted(delimiter), Quote::None)),
        };
        let open = self.at;
        let Some(length) = quoted_length(self.rest().get(1..).unwrap_or_default(), mark) else {
            let Place { line, column, .. } = self.place_of(open);
            let words = DotenvWords::Unterminated { line, column, name: name.to_owned() };
            return Err(refused(words, DotenvWords::SyntaxHint));
        };
        let span = open + 1..open + 1 + length;
        self.at = span.end + 1;
        Ok((span, quote))
    }

    /// Reads to the end of the line. The span of an empty value stands behind the spaces that follow the delimiter.
    fn unquoted(&mut self, delimiter: usize) -> Range<usize> {
        let start = self.at;
        let end = self.line_end();
        let line = self.bytes.get(start..end).unwrap_or_default();
        self.at = end;
        let length = line.windows(2).position(|pair| pair == b" #").unwrap_or(line.len());
        let length = trimmed_length(line.get(..length).unwrap_or_default());
        if length > 0 {
            return start..start + length;
        }
        let blanks = self.bytes.get(delimiter..start).unwrap_or_default();
        let empty = delimiter + blanks.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        empty..empty
    }
}

/// Returns the first character with its length; a byte that is not UTF-8 counts as U+FFFD.
fn first_char(bytes: &[u8]) -> Option<(char, usize)> {
    let head = bytes.get(..bytes.len().min(4))?;
    let chunk = head.utf8_chunks().next()?;
    Some(chunk.valid().chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |first| (first, first.len_utf8())))
}

/// Returns the length without white space at the end.
fn trimmed_length(bytes: &[u8]) -> usize {
    match bytes.utf8_chunks().last() {
        Some(chunk) if chunk.invalid().is_empty() => bytes.len() - chunk.valid().len() + chunk.valid().trim_end().len(),
        _ => bytes.len(),
    }
}

/// Returns how many bytes stand before the closing `mark`.
fn quoted_length(bytes: &[u8], mark: u8) -> Option<usize> {
    let mut escaped = false;
    bytes.iter().position(|byte| {
        let closes = *byte == mark && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    })
}

/// Turns a backslash and `mark` into `mark`; other backslashes stay.
pub(super) fn without_escaped_quotes(raw: &str, mark: char) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut escaped = false;
    for character in raw.chars() {
        if character == '\\' && !escaped {
            escaped = true;
            continue;
        }
        if escaped && character != mark {
            text.push('\\');
        }
        text.push(character);
        escaped = false;
    }
    text
}

/// Expands the escapes of a value in double quotes. `\$` becomes `$$`, which interpolation turns into a dollar. `\c`,
/// unknown escapes, and numbers other than `\0ooo` up to `\0377` stay; of such numbers the zero goes, as in Go.
pub(super) fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let mut characters = after.chars();
        let Some(kind) = characters.next() else {
            plain.push('\\');
            return plain;
        };
        rest = characters.as_str();
        match kind {
            'a' => plain.push('\x07'),
            'b' => plain.push('\x08'),
            'f' => plain.push('\x0C'),
            'n' => plain.push('\n'),
            'r' => plain.push('\r'),
            't' => plain.push('\t'),
            'v' => plain.push('\x0B'),
            '"' | '\\' => plain.push(kind),
            '$' => plain.push_str("$$"),
            '0' => {
                let length = rest.bytes().take(3).take_while(u8::is_ascii_digit).count();
                let (digits, after) = rest.split_at(length);
                match u8::from_str_radix(digits, 8) {
                    Ok(code) if length == 3 => plain.push(char::from(code)),
                    _ => {
                        plain.push('\\');
                        plain.push_str(digits);
                    }
                }
                rest = after;
            }
            _ => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}
