//! Changes ports inside values that services tell others, and proves that nothing else in the file changed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::super::yaml::{File, Kind, NodeId};
use super::proof;
use crate::error::Result;
use crate::model::Port;

/// The sections of a service whose values may be changed.
const SECTIONS: [&str; 2] = ["environment", "labels"];

/// The sections in which nothing is changed: what is checked or reached inside a container.
const INSIDE: [&str; 3] = ["healthcheck", "ports", "expose"];

/// A scalar, by node, with the bytes of its text.
type Scalars = Vec<(NodeId, Range<usize>)>;

/// Returns the contents of a compose file with those of `spots` (byte ranges) replaced by their ports that stand in a
/// scalar under `environment` or `labels`.
///
/// # Errors
/// `Refused` when the file cannot be read, or would differ in anything else.
pub fn respell_compose(path: &Path, bytes: &[u8], spots: &[(Range<usize>, Port)]) -> Result<Vec<u8>> {
    let file = File::parse(path, bytes)?;
    let mut scalars = Vec::new();
    for root in file.documents() {
        collect(&file, *root, false, &mut scalars);
    }
    let bom = file.bom();
    let mut expected: BTreeMap<NodeId, String> = BTreeMap::new();
    let mut kept = Vec::new();
    for (node, inner) in scalars {
        let inner = inner.start + bom..inner.end + bom;
        let within = |spot: &Range<usize>| inner.start <= spot.start && spot.end <= inner.end;
        let own: Vec<_> = spots.iter().filter(|(spot, _)| within(spot)).cloned().collect();
        if own.is_empty() {
            continue;
        }
        let shifted: Vec<_> =
            own.iter().map(|(spot, port)| (spot.start - inner.start..spot.end - inner.start, *port)).collect();
        let text = bytes.get(inner).unwrap_or_default();
        expected.insert(node, String::from_utf8_lossy(&spliced(text, &shifted)).into_owned());
        kept.extend(own);
    }
    let after = spliced(bytes, &kept);
    let text = String::from_utf8_lossy(after.get(bom..).unwrap_or_default()).into_owned();
    proof::file(path, &file, &text, &expected)?;
    Ok(after)
}

fn collect(file: &File, node: NodeId, is_section: bool, found: &mut Scalars) {
    match &file.node(node).kind {
        Kind::Scalar(..) if is_section => found.extend(file.verbatim(node).map(|inner| (node, inner))),
        Kind::Scalar(..) | Kind::Alias(_) => {}
        Kind::Sequence(items) => items.iter().for_each(|item| collect(file, *item, is_section, found)),
        Kind::Mapping(entries) => {
            for (key, value) in entries {
                let name = match &file.node(*key).kind {
                    Kind::Scalar(name, _) => name.as_str(),
                    _ => continue,
                };
                if !INSIDE.contains(&name) || is_section {
                    collect(file, *value, is_section || SECTIONS.contains(&name), found);
                }
            }
        }
    }
}

/// Returns `bytes` with each spot replaced by its port.
#[must_use]
pub fn spliced(bytes: &[u8], spots: &[(Range<usize>, Port)]) -> Vec<u8> {
    let mut ordered: Vec<_> = spots.iter().collect();
    ordered.sort_by_key(|(spot, _)| spot.start);
    let mut after = Vec::with_capacity(bytes.len());
    let mut done = 0;
    for (spot, port) in ordered {
        after.extend_from_slice(bytes.get(done..spot.start).unwrap_or_default());
        after.extend_from_slice(port.to_string().as_bytes());
        done = spot.end;
    }
    after.extend_from_slice(bytes.get(done..).unwrap_or_default());
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scalars_of_the_two_sections_change_also_in_flow_style() {
        let text = "\u{feff}services:\n  web:\n    environment: {A: \"http://localhost:8000\", B: 'x:8000'}\n    \
                    labels:\n    - u=http://localhost:8000\n    healthcheck:\n      environment: localhost:8000\n";
        let spots: Vec<_> = text.match_indices("8000").map(|(at, found)| at..at + found.len()).collect();
        let port = Port::new(9).expect("a port");
        let spots: Vec<_> = spots.into_iter().map(|span| (span, port)).collect();
        let after = respell_compose(Path::new("/p/compose.yaml"), text.as_bytes(), &spots).expect("a proof");
        assert_eq!(String::from_utf8(after).expect("text"), text.replacen("8000", "9", 3));
    }
}
