//! Tells whether a stretch names the variable or the port.

use super::stretches::{Ports, Stretch, Variables};
use crate::words::prose;

/// Yields the offsets of the mentions of the variable that count.
pub(super) fn variable<'a>(text: &'a [u8], name: &'a str, stretch: &'a Stretch) -> impl Iterator<Item = usize> + 'a {
    let whole = |rest: &[u8]| !rest.first().is_some_and(|byte| is_word(*byte));
    let counts = move |(before, after): (&[u8], &[u8])| {
        let dollars = |before: &[u8]| before.iter().rev().take_while(|byte| **byte == b'$').count();
        let braced = before.strip_suffix(b"{").is_some_and(|before| dollars(before) % 2 == 1);
        let reference = whole(after) && (braced || dollars(before) % 2 == 1);
        match stretch.variables {
            Variables::No => false,
            Variables::References => reference,
            Variables::PassedOn => {
                let alone = before.trim_ascii().is_empty() || matches!(before, b"\"" | b"'");
                reference || alone && matches!(after.trim_ascii(), b"" | b":" | b"\"" | b"'")
            }
            Variables::Prose => {
                let starts = before.last().is_none_or(|byte| !is_word(*byte));
                let ticked = before.ends_with(b"`") && after.starts_with(b"`");
                reference || ticked || starts && after.starts_with(b"=")
            }
        }
    };
    occurrences(text, name.as_bytes()).filter(move |at| counts(around(text, *at, name.len())))
}

/// Yields the offsets of the mentions of the port that count.
pub(super) fn port<'a>(text: &'a [u8], port: &'a str, stretch: &'a Stretch) -> impl Iterator<Item = usize> + 'a {
    let whole = stretch.ports == Ports::WholeValue && is_whole_value(text, port);
    let counts = move |(before, after): (&[u8], &[u8])| match stretch.ports {
        Ports::No => false,
        Ports::BehindHost | Ports::WholeValue => whole || stands_alone(before, after) && is_behind_host(before, false),
        Ports::Prose => {
            is_published_by_command(before, after)
                || stands_alone(before, after)
                    && (is_behind_host(before, true) || is_called_a_port(before, after) || is_with_protocol(after))
        }
    };
    occurrences(text, port.as_bytes()).filter(move |at| counts(around(text, *at, port.len())))
}

/// Yields the offsets of the mentions of the port that are reached on this host beyond doubt: behind a name or address of
/// the host itself; in prose also where the words say that it is a port.
pub(super) fn reached_here<'a>(
    text: &'a [u8],
    port: &'a str,
    stretch: &'a Stretch,
) -> impl Iterator<Item = usize> + 'a {
    let counts = move |(before, after): (&[u8], &[u8])| {
        let here = stands_alone(before, after) && is_behind_this_host(before);
        match stretch.ports {
            Ports::No => false,
            Ports::BehindHost | Ports::WholeValue => here,
            Ports::Prose => {
                let alone = before.last() != Some(&b':') && stands_alone(before, after);
                here || is_published_by_command(before, after)
                    || alone && (is_called_a_port(before, after) || is_with_protocol(after))
            }
        }
    };
    occurrences(text, port.as_bytes()).filter(move |at| counts(around(text, *at, port.len())))
}

/// Tells whether a name or an address that always means this host, and `:`, stand before the port.
fn is_behind_this_host(before: &[u8]) -> bool {
    let Some(before) = before.strip_suffix(b":") else { return false };
    if before.ends_with(b"[::1]") {
        return true;
    }
    let length = before.iter().rev().take_while(|byte| is_word(**byte) || b".-".contains(byte)).count();
    let (_, host) = before.split_at(before.len() - length);
    let labels: Vec<_> = host.split(|byte| *byte == b'.').collect();
    let numeric = labels.iter().all(|label| !label.is_empty() && label.iter().all(u8::is_ascii_digit));
    labels.last().is_some_and(|label| label.eq_ignore_ascii_case(b"localhost"))
        || host.eq_ignore_ascii_case(b"host.docker.internal")
        || labels.len() == 4 && numeric && labels.first() == Some(&b"127".as_slice())
}

fn occurrences<'a>(text: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    text.windows(wanted.len().max(1)).enumerate().filter(move |(_, window)| *window == wanted).map(|(at, _)| at)
}

fn around(text: &[u8], at: usize, length: usize) -> (&[u8], &[u8]) {
    (text.get(..at).unwrap_or_default(), text.get(at + length..).unwrap_or_default())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_whole_value(text: &[u8], port: &str) -> bool {
    let quoted = text.trim_ascii();
    let inner = |mark: &[u8]| quoted.strip_prefix(mark)?.strip_suffix(mark);
    inner(b"\"").or(inner(b"'")).unwrap_or(quoted) == port.as_bytes()
}

/// Tells whether a number is not a part of a longer token: `18000`, `8000ms`, `8000.5`, `8000-8010`, `8000:80`.
fn stands_alone(before: &[u8], after: &[u8]) -> bool {
    let clear_before = before.last().is_none_or(|byte| !is_word(*byte) && !b".-,".contains(byte));
    let goes_on = |rest: &[u8]| rest.first().is_some_and(|byte| !byte.is_ascii_whitespace());
    let clear_after = match after.split_first() {
        None => true,
        Some((b'.' | b'-' | b':', rest)) => !goes_on(rest),
        Some((byte, _)) => !is_word(*byte) && !b"%@".contains(byte),
    };
    clear_before && clear_after
}

/// Tells whether a host that is reached from outside and `:` stand before the port. In prose a host of one label counts
/// in a URL, and so does a `:` alone; elsewhere the wildcard address is one that a container listens on.
fn is_behind_host(before: &[u8], prose: bool) -> bool {
    let Some(before) = before.strip_suffix(b":") else { return false };
    if before.ends_with(b"]") || before.ends_with(b"}") {
        return prose || !before.ends_with(b"[::]");
    }
    let length = before.iter().rev().take_while(|byte| is_word(**byte) || b".-".contains(byte)).count();
    let (rest, host) = before.split_at(before.len() - length);
    if host.is_empty() {
        return prose && rest.last().is_none_or(|byte| byte.is_ascii_whitespace() || b"`\"'(".contains(byte));
    }
    let in_url = rest.ends_with(b"//") || rest.ends_with(b"@");
    let labels = host.split(|byte| *byte == b'.').collect::<Vec<_>>();
    let numeric = |label: &&[u8]| label.iter().all(u8::is_ascii_digit) && !label.is_empty();
    match labels.as_slice() {
        [label] => label.eq_ignore_ascii_case(b"localhost") || (prose && in_url && !numeric(label)),
        [_, _, _, _] if labels.iter().all(numeric) => prose || host != b"0.0.0.0",
        [.., last] => in_url || host.eq_ignore_ascii_case(b"host.docker.internal") || (prose && is_local_ending(last)),
        [] => false,
    }
}

/// Tells whether a dotted name without `//` before it is a host on this machine or network and not a file (`a.py:80`).
fn is_local_ending(label: &[u8]) -> bool {
    [b"localhost".as_slice(), b"local", b"lan", b"internal", b"test"].iter().any(|end| label.eq_ignore_ascii_case(end))
}

/// Tells whether the word before or after the number is "port", also as the end of a name (`API_PORT=`, `serverPort:`).
fn is_called_a_port(before: &[u8], after: &[u8]) -> bool {
    let between = |byte: &u8| b" \t*`\"'(:=|".contains(byte);
    let gap = before.iter().rev().take_while(|byte| between(byte)).count();
    let (before, _) = before.split_at(before.len() - gap);
    let gap = after.iter().take_while(|byte| b" *`\"')".contains(byte)).count();
    let (_, after) = after.split_at(gap);
    let next = after.iter().position(|byte| !is_word(*byte)).and_then(|end| after.get(..end)).unwrap_or(after);
    let before = prose::IS.iter().find_map(|word| before.strip_suffix(word.as_bytes())).unwrap_or(before);
    ends_in_port(before)
        || next.eq_ignore_ascii_case(b"port")
        || before.ends_with(prose::PORT.as_bytes())
        || after.starts_with(prose::PORT.as_bytes())
}

fn ends_in_port(before: &[u8]) -> bool {
    let before = before.strip_suffix(b"s").or(before.strip_suffix(b"S")).unwrap_or(before);
    let Some((stem, word)) = before.split_last_chunk::<4>() else { return false };
    let own_word = stem.last().is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let camel = word == b"Port" && stem.last().is_some_and(u8::is_ascii_lowercase);
    camel || own_word && word.eq_ignore_ascii_case(b"port")
}

/// Tells whether it is the published side of `docker run -p 8000:80`.
fn is_published_by_command(before: &[u8], after: &[u8]) -> bool {
    let flag = [b"-p ".as_slice(), b"--publish ", b"--publish="].iter().any(|flag| before.ends_with(flag));
    flag && after.strip_prefix(b":").and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit)
}

fn is_with_protocol(after: &[u8]) -> bool {
    after.starts_with(b"/tcp") || after.starts_with(b"/udp")
}
