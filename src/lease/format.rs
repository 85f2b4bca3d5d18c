//! The table as a file: JSON for people and programs, one lease a line, so that what is left of a damaged file can
//! still be read line by line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::table::{Granted, Holder, Standpoint, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Port, PortRange};
use crate::words::lease::LeaseWords;

/// The format of the file. A field added to it raises the number, because an older Portwright would drop the field.
const FORMAT: u32 = 1;

/// How the lines above the leases begin.
const STANDPOINTS: &str = "\"standpoints\": ";
const RESTED: &str = "\"rested\": ";

/// A lease as it is written; its standpoint is a place in the list above the leases.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    wan: Option<u32>,
    port: Port,
    pid: u32,
    start: Option<u64>,
    standpoint: usize,
    #[serde(borrow)]
    purpose: Cow<'a, str>,
    ttl_ms: u64,
    renewed_boot_ms: u64,
    renewed_s: u64,
}

#[derive(Deserialize)]
struct Header {
    format: u32,
    #[serde(default)]
    portwright: String,
}

/// Ports that rest, by WAN: ranges of ports that follow one another, because most were given back in their order.
type Rested = BTreeMap<u32, Vec<(Port, Port)>>;

#[derive(Deserialize)]
struct Document<'a> {
    format: u32,
    standpoints: Vec<Standpoint>,
    rested: Rested,
    #[serde(borrow)]
    leases: Vec<Line<'a>>,
}

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A table.
    Whole(Table),
    /// What can still be read of a damaged one.
    Damaged(Table),
}

/// Reads a file.
///
/// # Errors
/// `Missing` for the format of a newer Portwright, which must not be rebuilt.
pub(super) fn read(bytes: &[u8]) -> Result<Read> {
    // Read once where everything is as expected: others wait meanwhile.
    let document = serde_json::from_slice(bytes).ok().filter(|document: &Document<'_>| document.format <= FORMAT);
    if document.is_none()
        && let Ok(Header { format, portwright }) = serde_json::from_slice(bytes)
        && format > FORMAT
    {
        let words = LeaseWords::NewerPool { version: portwright.clone() };
        return Err(Error::new(ErrorKind::Missing, words).hint(LeaseWords::NewerPoolHint { version: portwright }));
    }
    let whole = document.and_then(|Document { standpoints, rested, leases, .. }| {
        let count = leases.len();
        let table = table(standpoints, rested, leases);
        (table.leases.len() == count).then_some(table)
    });
    Ok(whole.map_or_else(|| Read::Damaged(salvage(&String::from_utf8_lossy(bytes))), Read::Whole))
}

/// Builds a table of lines; those that cannot be meant are left out.
fn table(standpoints: Vec<Standpoint>, rested: Rested, lines: Vec<Line<'_>>) -> Table {
    let rested = rested.into_iter().map(|(wan, ranges)| (wan, unfolded(&ranges))).collect();
    let standpoints: Vec<_> = standpoints.into_iter().map(Arc::new).collect();
    let mut seen = std::collections::HashSet::new();
    let leases = lines.into_iter().filter_map(|line| {
        let standpoint = Arc::clone(standpoints.get(line.standpoint)?);
        seen.insert((line.wan, line.port)).then_some(Granted {
            id: line.id.into_owned(),
            wan: line.wan,
            port: line.port,
            holder: Holder { pid: line.pid, start: line.start, standpoint },
            purpose: line.purpose.into_owned(),
            ttl_ms: line.ttl_ms,
            renewed_boot_ms: line.renewed_boot_ms,
            renewed_s: line.renewed_s,
        })
    });
    Table { leases: leases.collect(), rested }
}

/// Reads the lines that are still whole.
fn salvage(text: &str) -> Table {
    let lines = || text.lines().map(|line| line.trim().trim_end_matches(','));
    let value = |mark: &str| lines().find_map(|line| line.strip_prefix(mark));
    let standpoints = value(STANDPOINTS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let rested = value(RESTED).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let leases = lines().filter(|line| line.starts_with("{\"id\"")).filter_map(|line| serde_json::from_str(line).ok());
    table(standpoints, rested, leases.collect())
}

/// Writes a table.
pub(super) fn write(table: &Table) -> Vec<u8> {
    let mut standpoints: Vec<&Standpoint> = Vec::new();
    let mut lines: Vec<u8> = Vec::new();
    for lease in &table.leases {
        let known = standpoints.iter().position(|one| **one == *lease.holder.standpoint);
        let standpoint = known.unwrap_or_else(|| {
            standpoints.push(&lease.holder.standpoint);
            standpoints.len() - 1
        });
        let line = Line {
            id: Cow::Borrowed(&lease.id),
            wan: lease.wan,
            port: lease.port,
            pid: lease.holder.pid,
            start: lease.holder.start,
            standpoint,
            purpose: Cow::Borrowed(&lease.purpose),
            ttl_ms: lease.ttl_ms,
            renewed_boot_ms: lease.renewed_boot_ms,
            renewed_s: lease.renewed_s,
        };
        lines.extend_from_slice(if lines.is_empty() { b"\n".as_slice() } else { b",\n" });
        // Numbers and strings alone: there is nothing in them that JSON cannot hold.
        let _ = serde_json::to_writer(&mut lines, &line);
    }
    let version = env!("CARGO_PKG_VERSION");
    let rested: Rested = table.rested.iter().map(|(wan, ports)| (*wan, folded(ports))).collect();
    let (standpoints, rested) = (json(&standpoints), json(&rested));
    let header = format!("{{\n\"format\": {FORMAT},\n\"portwright\": \"{version}\",\n");
    let above = format!("{STANDPOINTS}{standpoints},\n{RESTED}{rested},\n\"leases\": [");
    [header.as_bytes(), above.as_bytes(), &lines, b"\n]\n}\n"].concat()
}

fn folded(ports: &[Port]) -> Vec<(Port, Port)> {
    let mut ranges: Vec<(Port, Port)> = Vec::new();
    for port in ports {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*port) => *last = *port,
            _ => ranges.push((*port, *port)),
        }
    }
    ranges
}

fn unfolded(ranges: &[(Port, Port)]) -> Vec<Port> {
    let ranges = ranges.iter().filter_map(|(first, last)| PortRange::new(*first, *last));
    ranges.flat_map(PortRange::ports).collect()
}

/// Numbers and strings alone: there is nothing in them that JSON cannot hold.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Table {
        let standpoint = |name: &str| Arc::new(Standpoint { boot_id: Some(name.into()), ..Standpoint::default() });
        let lease = |id: &str, wan, number, at: &str| Granted {
            id: id.into(),
            wan,
            port: Port::new(number).unwrap(),
            holder: Holder { pid: 7, start: Some(70), standpoint: standpoint(at) },
            purpose: "a \"quoted\"\nname".into(),
            ttl_ms: 1,
            renewed_boot_ms: 2,
            renewed_s: 3,
        };
        let leases =
            vec![lease("a", Some(0), 10, "one"), lease("b", None, 11, "other"), lease("c", Some(1), 10, "one")];
        Table { leases, rested: BTreeMap::from([(0, [9, 7, 8, 12].map(|number| Port::new(number).unwrap()).to_vec())]) }
    }

    #[test]
    fn a_table_is_the_same_after_it_was_written_and_the_file_is_json() {
        for table in [full(), Table::default()] {
            let bytes = write(&table);
            assert_eq!(read(&bytes).unwrap(), Read::Whole(table));
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap();
        }
    }

    #[test]
    fn a_file_cut_at_any_byte_is_damaged_and_gives_back_the_lines_before_the_cut() {
        let (table, bytes) = (full(), write(&full()));
        let text = String::from_utf8(bytes.clone()).unwrap();
        // Behind the last brace there is nothing to lose but the line's end.
        for length in 0..bytes.len() - 1 {
            let Read::Damaged(saved) = read(&bytes[..length]).unwrap() else { panic!("cut at {length}") };
            let whole = |lease: &&Granted| {
                text.find(&format!("{{\"id\":\"{}\"", lease.id))
                    .is_some_and(|start| text[start..].find('}').is_some_and(|end| start + end < length))
            };
            let expected: Vec<&Granted> = table.leases.iter().filter(whole).collect();
            assert_eq!(saved.leases.iter().collect::<Vec<_>>(), expected, "cut at {length}");
        }
    }

    #[test]
    fn garbage_and_a_port_leased_twice_are_damage_and_a_newer_format_is_not() {
        for garbage in [&b""[..], b"\0\0\0\0", b"{}", b"[]", b"{\"format\":1}", b"\xff\xfe"] {
            assert_eq!(read(garbage).unwrap(), Read::Damaged(Table::default()));
        }
        let twice = String::from_utf8(write(&full()))
            .unwrap()
            .replace("\"port\":11", "\"port\":10")
            .replace("null,\"port\"", "0,\"port\"");
        assert!(matches!(read(twice.as_bytes()).unwrap(), Read::Damaged(table) if table.leases.len() == 2));
        let newer = "{\"format\": 2, \"portwright\": \"9.9\", \"anything\": []}";
        let error = read(newer.as_bytes()).unwrap_err();
        assert_eq!(error.kind().exit_code(), 5);
        assert!(error.to_string().contains("9.9"));
    }
}
