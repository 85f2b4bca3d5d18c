//! Ripple: other places that name a moved port or its variable.
//!
//! Precision before recall: a wrong hit costs trust, a missed one costs a look at the README. A port counts where it
//! is reached from outside: behind `localhost`, an address or a dotted name, or where a name says that it is one. It
//! does not count on the container side: in `ports` and `expose`, as an image tag, behind `0.0.0.0`, or behind a host
//! name of one label, which in `.env` and compose files is another service. Comments do not count either.

mod matching;
mod respell;
mod stretches;

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::model::{Port, SourceSpot, Use};
pub use respell::respelled;
use stretches::Stretch;

/// How many places are told at most: a list longer than this is not read, and each place costs a walk along its line.
pub const MAX_USES: usize = 200;

/// What is looked for.
struct Wanted<'a> {
    variable: Option<&'a str>,
    port: String,
}

/// Returns the places in `texts` (absolute paths with contents) that name `variable` or `port`, in order, the first
/// in each value or line, at most [`MAX_USES`]. Spans in `skip` (in bytes) are places that the move itself changes.
/// Files are taken for what their names say: `.env` files, compose files (`.yml`, `.yaml`), else prose. Results hold
/// names of keys and headings, never values.
#[must_use]
pub fn uses(
    variable: Option<&str>,
    port: Port,
    texts: &[(PathBuf, &[u8])],
    skip: &[(PathBuf, Range<usize>)],
) -> Vec<Use> {
    let wanted = Wanted { variable, port: port.to_string() };
    let mut found = Vec::new();
    for (file, bytes) in texts {
        let skipped: Vec<_> = skip.iter().filter(|(path, _)| path == file).map(|(_, span)| span).collect();
        let stretches = match Kind::of(file) {
            Kind::Env => stretches::of_env(bytes, variable),
            Kind::Compose => stretches::of_compose(bytes),
            Kind::Prose => stretches::of_prose(bytes),
        };
        let kept = |at: &usize| !skipped.iter().any(|span| span.contains(at));
        for stretch in &stretches {
            for (at, name) in first_hits(&wanted, bytes, stretch, &kept) {
                if found.len() == MAX_USES {
                    return found;
                }
                let is_port = name == wanted.port;
                let at = spot(file, bytes, stretch, at);
                let spans = if is_port { editable(&wanted.port, bytes, stretch, &kept) } else { Vec::new() };
                found.push(Use { at, name: name.to_owned(), place: stretch.place.clone(), spans });
            }
        }
    }
    found
}

/// Returns the mentions of the port in a stretch that may be changed with consent.
fn editable(port: &str, bytes: &[u8], stretch: &Stretch, kept: &dyn Fn(&usize) -> bool) -> Vec<Range<usize>> {
    if !stretch.editable {
        return Vec::new();
    }
    let text = bytes.get(stretch.span.clone()).unwrap_or_default();
    let offsets = matching::reached_here(text, port, stretch).map(|offset| stretch.span.start + offset);
    offsets.filter(kept).map(|at| at..at + port.len()).collect()
}

/// What a file is, by its name.
enum Kind {
    Env,
    Compose,
    Prose,
}

impl Kind {
    fn of(file: &Path) -> Self {
        let name = file.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let mut endings = name.split('.').skip(1);
        if endings.clone().any(|ending| ending == "env") {
            Self::Env
        } else if endings.any(|ending| matches!(ending, "yml" | "yaml")) {
            Self::Compose
        } else {
            Self::Prose
        }
    }
}

/// Returns the first mentions in a stretch that are `kept`: offsets in the file with the name found.
fn first_hits<'a>(
    wanted: &'a Wanted<'_>,
    bytes: &[u8],
    stretch: &Stretch,
    kept: &dyn Fn(&usize) -> bool,
) -> impl Iterator<Item = (usize, &'a str)> {
    let text = bytes.get(stretch.span.clone()).unwrap_or_default();
    let in_file = |offset: usize| stretch.span.start + offset;
    let variable = wanted
        .variable
        .and_then(|name| matching::variable(text, name, stretch).map(in_file).find(kept).map(|at| (at, name)));
    let port = matching::port(text, &wanted.port, stretch).map(in_file).find(kept).map(|at| (at, wanted.port.as_str()));
    variable.into_iter().chain(port)
}

/// Returns the place of byte `at`, counted on from the start of the line in which the stretch starts.
fn spot(file: &Path, bytes: &[u8], stretch: &Stretch, at: usize) -> SourceSpot {
    let between = bytes.get(stretch.line_start..at).unwrap_or_default();
    let line = stretch.line + between.split(|byte| *byte == b'\n').count() - 1;
    let tail = between.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let column = 1 + tail.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
    SourceSpot { file: file.to_owned(), line, column }
}

#[cfg(test)]
mod tests;
