//! How a published port is written inside its scalar: by itself, by a variable, or by several parts together.

use std::ops::Range;

use super::super::interpolate::{Part, Template};
use super::super::yaml::{Kind, NodeId};
use super::item::Source;

/// What decides a published port.
pub(crate) enum Decider {
    /// Its own digits.
    Literal,
    /// One variable, whose text has the port at `at`; `whole` when it gives nothing but the port.
    Variable { name: String, text: String, at: Range<usize>, whole: bool },
    /// Several parts together.
    Mixed { variables: Vec<String> },
}

/// How a published port is written.
pub(crate) struct Written {
    pub(crate) decider: Decider,
    /// The bytes in the file's text that stand for the port, or for the variable that decides it.
    pub(crate) span: Option<Range<usize>>,
    /// Where the port, or the first part of it, is written; unknown where the scalar is not written as it reads.
    pub(crate) start: Option<usize>,
}

impl Written {
    /// Looks at the scalar `node`, whose expanded text has the published port at `published`.
    pub(crate) fn of(source: &Source, node: NodeId, published: &Range<usize>) -> Self {
        let base = source.file.verbatim(node).map(|inner| inner.start);
        let in_file = |span: Range<usize>| base.map(|base| base + span.start..base + span.end);
        let Kind::Scalar(value, _) = &source.file.node(node).kind else {
            return Self { decider: Decider::Mixed { variables: Vec::new() }, span: None, start: None };
        };
        let pieces = pieces(source, value);
        let touched: Vec<&Piece> = pieces.iter().filter(|piece| piece.overlaps(published)).collect();
        let (decider, span) = match touched.as_slice() {
            [piece] if piece.contains(published) => {
                let at = published.start - piece.expanded.start..published.end - piece.expanded.start;
                if let Some(name) = piece.variable.clone() {
                    let whole = piece.expanded == *published;
                    let span = in_file(piece.written.clone());
                    (Decider::Variable { name, text: piece.text.clone(), at, whole }, span)
                } else {
                    let from = piece.written.start;
                    (Decider::Literal, in_file(from + at.start..from + at.end))
                }
            }
            _ => {
                let variables = touched.iter().filter_map(|piece| piece.variable.clone()).collect();
                let first = touched.first().map(|piece| piece.written.clone());
                return Self {
                    decider: Decider::Mixed { variables },
                    span: None,
                    start: first.and_then(in_file).map(|span| span.start),
                };
            }
        };
        let start = span.as_ref().map(|span| span.start);
        Self { decider, span, start }
    }
}

/// A part of a scalar before and after variables are put in.
struct Piece {
    variable: Option<String>,
    written: Range<usize>,
    expanded: Range<usize>,
    text: String,
}

impl Piece {
    fn overlaps(&self, span: &Range<usize>) -> bool {
        self.expanded.start < span.end && span.start < self.expanded.end
    }

    fn contains(&self, span: &Range<usize>) -> bool {
        self.expanded.start <= span.start && span.end <= self.expanded.end
    }
}

fn pieces(source: &Source, value: &str) -> Vec<Piece> {
    let Ok(template) = Template::parse(value) else { return Vec::new() };
    let lookup = |name: &str| source.scope.lookup(name);
    let mut at = 0;
    let mut found = Vec::new();
    for part in template.parts() {
        let written = part.span();
        let (variable, text) = match part {
            Part::Literal { text, .. } => (None, text.clone()),
            Part::Dollar { .. } => (None, "$".to_owned()),
            Part::Variable { name, .. } => {
                let token = value.get(written.clone()).unwrap_or_default();
                let expansion = Template::parse(token).and_then(|token| token.expand(&lookup)).unwrap_or_default();
                (Some(name.clone()), expansion.text)
            }
        };
        let expanded = at..at + text.len();
        at = expanded.end;
        found.push(Piece { variable, written, expanded, text });
    }
    found
}
