//! Cuts a file into the stretches in which names are looked for, each with the place to tell and the rules for it.

use std::ops::Range;

use crate::text::dotenv::{Document, Quote};

/// The longest heading that is told, in characters: one line of a terminal beside the file name.
const MAX_PLACE_CHARS: usize = 60;

/// Sections of a compose file whose numbers are judged elsewhere or are no ports of this host.
const NOT_OURS: [&str; 3] = ["ports", "expose", "image"];

/// Sections of a compose file whose items are names with values.
const NAMED_VALUES: [&str; 3] = ["environment", "args", "labels"];

/// Words in a name that say that a port is the one seen from outside.
const OUTSIDE: [&str; 5] = ["PUBLIC", "EXTERNAL", "ADVERTISED", "PUBLISHED", "HOST_PORT"];

/// Sections of a compose file whose values may be changed with consent: what services tell others about themselves.
const EDITABLE: [&str; 2] = ["environment", "labels"];

/// Words in a name that say that a value is for use inside the container, where the port does not move.
const INSIDE: [&str; 6] = ["HEALTH", "HEALTHCHECK", "INTERNAL", "LISTEN", "BIND", "PROBE"];

/// Where a port may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    /// Nowhere.
    No,
    /// Behind a host that is reached from outside.
    BehindHost,
    /// There, or as the whole value.
    WholeValue,
    /// Wherever prose names a port.
    Prose,
}

/// Which mentions of the variable count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Variables {
    /// None: the text is not expanded.
    No,
    /// `$NAME` and `${NAME…}`, where `$$` is a dollar.
    References,
    /// Those, and the name alone, which passes the variable on to the container.
    PassedOn,
    /// References, `NAME=` and the name in backticks.
    Prose,
}

/// A stretch of a file.
pub(super) struct Stretch {
    /// Its bytes.
    pub(super) span: Range<usize>,
    /// The line in which it starts, from 1, and the offset of that line.
    pub(super) line: usize,
    pub(super) line_start: usize,
    /// What to tell as its place.
    pub(super) place: String,
    pub(super) ports: Ports,
    pub(super) variables: Variables,
    /// Whether ports in it may be changed with consent.
    pub(super) editable: bool,
}

/// Cuts a `.env` file into its values, but for those of the moved variable itself. An unreadable file has none.
pub(super) fn of_env(bytes: &[u8], variable: Option<&str>) -> Vec<Stretch> {
    let Ok(document) = Document::parse(bytes) else { return Vec::new() };
    let (mut line, mut line_start, mut counted) = (1, 0, 0);
    let others = document.assignments().filter(|assignment| Some(assignment.name.as_str()) != variable);
    others
        .map(|assignment| {
            let span = assignment.value_span.clone();
            let passed = bytes.get(counted..span.start).unwrap_or_default();
            line += passed.split(|byte| *byte == b'\n').count() - 1;
            if let Some(last) = passed.iter().rposition(|byte| *byte == b'\n') {
                line_start = counted + last + 1;
            }
            counted = span.start;
            let whole = is_called_a_port(&assignment.name);
            let quoted = assignment.quote == Quote::Single;
            Stretch {
                span,
                line,
                line_start,
                editable: !is_inside(&assignment.name),
                place: assignment.name.clone(),
                ports: if whole { Ports::WholeValue } else { Ports::BehindHost },
                variables: if quoted { Variables::No } else { Variables::References },
            }
        })
        .collect()
}

/// Yields the lines of a file with their numbers and offsets.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, usize, &[u8])> {
    let mut start = 0;
    bytes.split(|byte| *byte == b'\n').enumerate().map(move |(index, line)| {
        let line_start = start;
        start += line.len() + 1;
        (index + 1, line_start, line)
    })
}

/// Cuts a compose file into lines, each under the keys that enclose it. Keys are told by indentation: the result is for
/// people to look at, and a file in flow style is only told less exactly.
pub(super) fn of_compose(bytes: &[u8]) -> Vec<Stretch> {
    let mut keys: Vec<(usize, String)> = Vec::new();
    let mut stretches = Vec::new();
    for (line, line_start, text) in lines(bytes) {
        let text = without_comment(text);
        let indent = text.iter().take_while(|byte| **byte == b' ').count();
        let body = text.get(indent..).unwrap_or_default();
        if body.is_empty() {
            continue;
        }
        let dashes = dashes(body);
        let from = indent + dashes;
        let item = body.get(dashes..).unwrap_or_default();
        while keys.last().is_some_and(|(depth, _)| if dashes > 0 { *depth > indent } else { *depth >= indent }) {
            keys.pop();
        }
        let named = keys.iter().any(|(_, key)| NAMED_VALUES.contains(&key.as_str()));
        let (key, value) = match key_of(item, b':') {
            Some((key, value)) => {
                keys.push((from, key.clone()));
                (Some(key), value)
            }
            None if named => key_of(item, b'=').map_or((None, 0), |(key, value)| (Some(key), value)),
            None => (None, 0),
        };
        let within = |wanted: &str| keys.iter().any(|(_, key)| key == wanted);
        let enclosing = keys.last().map(|(_, key)| key.clone()).unwrap_or_default();
        let nothing_follows = item.get(value..).unwrap_or_default().trim_ascii().is_empty();
        let pass_on = named && (nothing_follows || key.is_none());
        let place = key.unwrap_or(enclosing);
        let seen_outside = keys.iter().any(|(_, key)| EDITABLE.contains(&key.as_str()));
        stretches.push(Stretch {
            editable: seen_outside && !nothing_follows && !is_inside(&place),
            span: line_start + from + if nothing_follows { 0 } else { value }..line_start + text.len(),
            line,
            line_start,
            ports: if NOT_OURS.iter().any(|section| within(section)) {
                Ports::No
            } else if named && is_port_seen_outside(&place, within("args")) {
                Ports::WholeValue
            } else {
                Ports::BehindHost
            },
            place,
            variables: if pass_on { Variables::PassedOn } else { Variables::References },
        });
    }
    stretches
}

/// Tells whether a bare number under this name is a port as seen from outside. A build argument is baked into what
/// browsers load, so there any port counts.
fn is_port_seen_outside(name: &str, build_argument: bool) -> bool {
    let upper = name.to_ascii_uppercase();
    is_called_a_port(name) && (build_argument || OUTSIDE.iter().any(|word| upper.contains(word)))
}

fn is_inside(name: &str) -> bool {
    name.split(['_', '-', '.']).any(|word| INSIDE.iter().any(|inside| word.eq_ignore_ascii_case(inside)))
}

/// Tells whether one word of a name is "port": `API_PORT`, not `SUPPORTED`.
fn is_called_a_port(name: &str) -> bool {
    name.split(['_', '-', '.']).any(|word| word.eq_ignore_ascii_case("port") || word.eq_ignore_ascii_case("ports"))
}

/// Cuts a comment off, and white space at the end. A ` #` in quotes is taken for one too, which may miss a use.
fn without_comment(line: &[u8]) -> &[u8] {
    let starts = |at: usize| at == 0 || line.get(at - 1).is_some_and(u8::is_ascii_whitespace);
    let comment = line.iter().enumerate().position(|(at, byte)| *byte == b'#' && starts(at));
    line.get(..comment.unwrap_or(line.len())).unwrap_or_default().trim_ascii_end()
}

/// Returns the length of the `- ` marks at the start of a line.
fn dashes(body: &[u8]) -> usize {
    let mut length = 0;
    while body.get(length..).is_some_and(|rest| rest.starts_with(b"- ") || rest == b"-") {
        length += 1;
        length += body.get(length..).unwrap_or_default().iter().take_while(|byte| **byte == b' ').count();
    }
    length
}

/// Reads a key of plain characters that `delimiter` ends; returns it with the offset of what follows.
fn key_of(item: &[u8], delimiter: u8) -> Option<(String, usize)> {
    let quotes = item.iter().take_while(|byte| matches!(byte, b'"' | b'\'')).count();
    let rest = item.get(quotes..)?;
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte)).count();
    let key = std::str::from_utf8(rest.get(..length)?).ok().filter(|key| !key.is_empty())?;
    let closing = if delimiter == b':' { quotes } else { 0 };
    let end = quotes + length + closing;
    let follows = item.get(end + 1).is_none_or(|byte| delimiter == b'=' || *byte == b' ');
    (item.get(end) == Some(&delimiter) && follows).then(|| (key.to_owned(), end + 1))
}

/// Cuts prose into lines, each under its Markdown heading.
pub(super) fn of_prose(bytes: &[u8]) -> Vec<Stretch> {
    let mut place = String::new();
    let mut fenced = false;
    let mut stretches = Vec::new();
    for (line, line_start, text) in lines(bytes) {
        let body = text.trim_ascii();
        if body.starts_with(b"```") || body.starts_with(b"~~~") {
            fenced = !fenced;
        } else if let Some(heading) = heading(body).filter(|_| !fenced) {
            place = heading;
        }
        stretches.push(Stretch {
            span: line_start..line_start + text.len(),
            line,
            line_start,
            place: place.clone(),
            editable: true,
            ports: Ports::Prose,
            variables: Variables::Prose,
        });
    }
    stretches
}

fn heading(line: &[u8]) -> Option<String> {
    let marks = line.iter().take_while(|byte| **byte == b'#').count();
    let text = line.get(marks..).filter(|rest| (1..=6).contains(&marks) && rest.starts_with(b" "))?;
    let text = String::from_utf8_lossy(text.trim_ascii());
    Some(text.chars().filter(|character| !character.is_control()).take(MAX_PLACE_CHARS).collect())
}
