//! A spanned YAML tree over `granit_parser`: every node knows its bytes, style, tag and alias target.
//!
//! Events are the parser's; what compose adds is ours: duplicate keys are an error that names both lines, the first
//! byte order mark is skipped but counted, and size and depth are limited. Aliases stay aliases here: whoever expands
//! them counts what comes out.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::error::{Error, ErrorKind, Result};
use crate::model::SourceSpot;
use crate::words::text::TextWords;

/// The largest file that is read, in bytes: the largest real compose file seen has 80 KiB.
pub(crate) const MAX_FILE_BYTES: usize = 1 << 20;

/// How deep a file may nest: real files stay below 12, and each level costs a stack frame of every walk.
pub(crate) const MAX_NESTING: usize = 64;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// How many bytes lie between two counts of characters: a column costs at most that many steps, however long the line.
const COUNT_EVERY: usize = 1024;

/// The index of a node in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(usize);

impl NodeId {
    /// Returns the id of the node that starts as number `index` in its file.
    pub(crate) fn nth(index: usize) -> Self {
        Self(index)
    }
}

/// What stands in front of a value and changes how compose merges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// None, or one that changes nothing.
    Plain,
    /// `!!str`: never a number, a boolean or null.
    Str,
    /// `!reset`: the value of the files before is dropped.
    Reset,
    /// `!override`: the value of the files before is replaced.
    Override,
}

/// A node.
pub(crate) struct Node {
    /// Its bytes in the text, quotes included, byte order mark not counted.
    pub(crate) span: Range<usize>,
    /// Its tag.
    pub(crate) tag: Tag,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a node is.
pub(crate) enum Kind {
    /// A scalar: its value after unescaping, and how it is written.
    Scalar(String, ScalarStyle),
    /// A sequence.
    Sequence(Vec<NodeId>),
    /// A mapping, in the order of the file.
    Mapping(Vec<(NodeId, NodeId)>),
    /// An alias of that node.
    Alias(NodeId),
}

/// A parsed file.
pub(crate) struct File {
    text: String,
    bom: usize,
    line_starts: Vec<usize>,
    /// How many characters start before every [`COUNT_EVERY`]th byte.
    counts: Vec<usize>,
    nodes: Vec<Node>,
    documents: Vec<NodeId>,
}

impl File {
    /// Parses `bytes`; `path` names the file in errors.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let (text, bom) = decode(path, bytes)?;
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut counts = vec![0];
        for block in text.as_bytes().chunks(COUNT_EVERY) {
            counts.push(counts.last().copied().unwrap_or_default() + starts(block));
        }
        let text_owned = text.to_owned();
        let mut file = Self { text: text_owned, bom, line_starts, counts, nodes: Vec::new(), documents: Vec::new() };
        let mut builder = Builder::default();
        for event in events(text) {
            let (event, span) = event.map_err(|error| {
                let at = file.spot_at(path, error.marker().byte_offset().unwrap_or_default());
                refused(TextWords::YamlSyntax { file: at.file, line: at.line, column: at.column, why: error.info() })
            })?;
            builder.take(&mut file, path, &event, &span)?;
        }
        Ok(file)
    }

    /// Returns the roots of the documents.
    pub(crate) fn documents(&self) -> &[NodeId] {
        &self.documents
    }

    /// Returns a node of this file.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        const MISSING: &Node =
            &Node { span: 0..0, tag: Tag::Plain, kind: Kind::Scalar(String::new(), ScalarStyle::Plain) };
        self.nodes.get(id.0).unwrap_or(MISSING)
    }

    /// Returns the text of a span.
    pub(crate) fn slice(&self, span: Range<usize>) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    /// Returns the whole text, without byte order mark.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns how many bytes stand before the text: 3 for a byte order mark, else 0.
    pub(crate) fn bom(&self) -> usize {
        self.bom
    }

    /// Returns the place of byte `offset`, which is called `path`.
    pub(crate) fn spot_at(&self, path: &Path, offset: usize) -> SourceSpot {
        let line = self.line_at(offset);
        let start = self.line_starts.get(line - 1).copied().unwrap_or_default();
        let column = self.characters_before(offset).saturating_sub(self.characters_before(start)) + 1;
        SourceSpot { file: path.to_owned(), line, column }
    }

    fn line_at(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).max(1)
    }

    fn characters_before(&self, offset: usize) -> usize {
        let block = offset / COUNT_EVERY;
        let rest = self.text.as_bytes().get(block * COUNT_EVERY..offset).unwrap_or_default();
        self.counts.get(block).copied().unwrap_or_default() + starts(rest)
    }

    /// Returns the bytes of a scalar without its quotes, when they are the value itself: nothing escaped, nothing
    /// folded, no block style. Offsets into the value are then offsets into this span.
    pub(crate) fn verbatim(&self, id: NodeId) -> Option<Range<usize>> {
        let node = self.node(id);
        let Kind::Scalar(value, style) = &node.kind else { return None };
        let inner = match style {
            ScalarStyle::Plain => node.span.clone(),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted if node.span.len() >= 2 => {
                node.span.start + 1..node.span.end - 1
            }
            _ => return None,
        };
        (self.slice(inner.clone()) == value).then_some(inner)
    }
}

/// Returns the parser's events of `text`, without comments.
pub(crate) fn events(text: &str) -> impl Iterator<Item = Result<(Event<'_>, Span), granit_parser::ScanError>> {
    let mut options = granit_parser::options! { block_nesting_limit: MAX_NESTING, flow_nesting_limit: MAX_NESTING };
    options.set_emit_comments(false);
    Parser::new_from_str_with_options(text, options)
}

/// Counts the characters that start in `bytes`.
fn starts(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

fn refused(words: TextWords) -> Error {
    Error::new(ErrorKind::Refused, words)
}

fn decode<'a>(path: &Path, bytes: &'a [u8]) -> Result<(&'a str, usize)> {
    let file = path.to_owned();
    if bytes.len() > MAX_FILE_BYTES {
        return Err(refused(TextWords::FileTooLarge { file, bytes: bytes.len(), limit: MAX_FILE_BYTES }));
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(refused(TextWords::FileIsUtf16 { file }).hint(TextWords::HintSaveAsUtf8));
    }
    let (rest, bom) = bytes.strip_prefix(BOM).map_or((bytes, 0), |rest| (rest, BOM.len()));
    let text = std::str::from_utf8(rest).map_err(|error| {
        let line = rest.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
        refused(TextWords::FileNotUtf8 { file, line }).hint(TextWords::HintSaveAsUtf8)
    })?;
    Ok((text, bom))
}

enum Open {
    Sequence(Vec<NodeId>),
    Mapping { entries: Vec<(NodeId, NodeId)>, key: Option<NodeId>, lines: HashMap<String, usize> },
}

#[derive(Default)]
struct Builder {
    open: Vec<(NodeId, Open)>,
    anchors: BTreeMap<usize, NodeId>,
}

impl Builder {
    fn take(&mut self, file: &mut File, path: &Path, event: &Event<'_>, span: &Span) -> Result<()> {
        let bytes = span.byte_range().unwrap_or_default();
        let (kind, anchor) = match event {
            Event::Scalar(value, style, anchor, _) => (Kind::Scalar(value.clone().into_owned(), *style), *anchor),
            Event::Alias(id) => (Kind::Alias(self.alias_target(file, path, *id, bytes.start)?), 0),
            Event::SequenceStart(_, anchor, _) => (Kind::Sequence(Vec::new()), *anchor),
            Event::MappingStart(_, anchor, _) => (Kind::Mapping(Vec::new()), *anchor),
            Event::SequenceEnd | Event::MappingEnd => return self.close(file, path, bytes.end),
            _ => return Ok(()),
        };
        let opened = match kind {
            Kind::Sequence(_) => Some(Open::Sequence(Vec::new())),
            Kind::Mapping(_) => Some(Open::Mapping { entries: Vec::new(), key: None, lines: HashMap::new() }),
            Kind::Scalar(..) | Kind::Alias(_) => None,
        };
        let id = NodeId(file.nodes.len());
        file.nodes.push(Node { span: bytes, tag: tag_of(event), kind });
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        match opened {
            Some(open) => self.open.push((id, open)),
            None => self.attach(file, path, id)?,
        }
        Ok(())
    }

    /// An alias inside the very node that it names would never end.
    fn alias_target(&self, file: &File, path: &Path, anchor: usize, at: usize) -> Result<NodeId> {
        let target = self.anchors.get(&anchor).copied();
        target.filter(|target| self.open.iter().all(|(open, _)| open != target)).ok_or_else(|| {
            let at = file.spot_at(path, at);
            refused(TextWords::AliasCycle { file: at.file, line: at.line, column: at.column })
        })
    }

    fn close(&mut self, file: &mut File, path: &Path, end: usize) -> Result<()> {
        let Some((id, open)) = self.open.pop() else { return Ok(()) };
        if let Some(node) = file.nodes.get_mut(id.0) {
            node.span.end = end.max(node.span.start);
            node.kind = match open {
                Open::Sequence(items) => Kind::Sequence(items),
                Open::Mapping { entries, .. } => Kind::Mapping(entries),
            };
        }
        self.attach(file, path, id)
    }

    fn attach(&mut self, file: &mut File, path: &Path, id: NodeId) -> Result<()> {
        match self.open.last_mut() {
            None => file.documents.push(id),
            Some((_, Open::Sequence(items))) => items.push(id),
            Some((_, Open::Mapping { entries, key, lines })) => {
                if let Some(key) = key.take() {
                    entries.push((key, id));
                    return Ok(());
                }
                if let Kind::Scalar(name, _) = &file.node(id).kind {
                    let line = file.line_at(file.node(id).span.start);
                    if let Some(first) = lines.insert(name.clone(), line) {
                        let (file, key) = (path.to_owned(), name.clone());
                        return Err(refused(TextWords::DuplicateKey { file, line, key, first }));
                    }
                }
                *key = Some(id);
            }
        }
        Ok(())
    }
}

fn tag_of(event: &Event<'_>) -> Tag {
    let Some(tag) = event.tag() else { return Tag::Plain };
    match tag.original().as_str() {
        "!reset" => Tag::Reset,
        "!override" => Tag::Override,
        _ if tag.is_yaml_core_schema_tag("str") => Tag::Str,
        _ => Tag::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> File {
        File::parse(Path::new("f"), text.as_bytes()).expect("a readable file")
    }

    #[test]
    fn columns_count_characters_however_long_the_line() {
        let text = format!("a: 1\r\nb: [{} end]\n", "'镜像é', ".repeat(700));
        let file = parsed(&format!("\u{FEFF}{text}"));
        for word in ["1\r", "b:", "end"] {
            let offset = text.find(word).expect("the word");
            let at = file.spot_at(Path::new("f"), offset);
            let line = text[..offset].rsplit('\n').next().expect("a line");
            assert_eq!(
                (at.line, at.column),
                (text[..offset].matches('\n').count() + 1, line.chars().count() + 1),
                "{word}"
            );
        }
        assert_eq!(file.bom(), 3);
    }

    #[test]
    fn only_scalars_that_are_written_as_they_read_are_verbatim() {
        let texts = ["plain", "'single'", "\"double\"", "'it''s'", "\"\\x41\"", "|\n  block", "!!str 8", "a\n  b"];
        let verbatim = texts.map(|text| {
            let file = parsed(&format!("k: {text}\n"));
            let Kind::Mapping(entries) = &file.node(file.documents()[0]).kind else { panic!("a mapping") };
            file.verbatim(entries[0].1).map(|span| file.slice(span).to_owned())
        });
        assert_eq!(
            verbatim.each_ref().map(Option::as_deref),
            [Some("plain"), Some("single"), Some("double"), None, None, None, Some("8"), None]
        );
    }
}
