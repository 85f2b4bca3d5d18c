//! Checks of the machine: disks, memory, limits, network, clock.

use super::said;
use crate::model::{Finding, FolderSight, Observation, Sight};
use crate::words::doctor::DoctorWords as W;

/// A MiB, in bytes.
const MIB: u64 = 1 << 20;

/// Below this a run cannot be sure to write its journal, its backups and the project's files: four times the largest
/// file that is read.
const ROOM_LEAST: u64 = 16 * MIB;

/// Below this the next image or log is likely to fill the disk.
const ROOM_COMFORT: u64 = 512 * MIB;

/// There is room where something is written.
pub(super) fn disk_space(facts: &Observation) -> Finding {
    let room = |folder: &FolderSight| folder.free_bytes.known().copied();
    let line = |folder: &FolderSight| {
        W::RoomIn { path: folder.path.clone(), mib: room(folder).unwrap_or_default() / MIB }.into()
    };
    let below = |limit: u64| facts.folders.iter().filter(move |folder| room(folder).is_some_and(|free| free < limit));
    let remedy = |folder: &FolderSight| W::DiskRemedy { path: folder.path.clone() };
    if let Some(first) = below(ROOM_LEAST).next() {
        return Finding::fail(below(ROOM_LEAST).map(line).collect(), remedy(first));
    }
    if let Some(first) = below(ROOM_COMFORT).next() {
        return Finding::warn(below(ROOM_COMFORT).map(line).collect(), remedy(first));
    }
    let unknown = facts.folders.iter().find_map(|folder| match &folder.free_bytes {
        Sight::Unknown(why) => Some(said(why)),
        Sight::Known(_) | Sight::Nothing => None,
    });
    let tightest = facts.folders.iter().filter(|folder| room(folder).is_some()).min_by_key(|folder| room(folder));
    match (tightest, unknown) {
        (_, Some(why)) => Finding::unknown(why),
        (Some(folder), None) => Finding::pass(line(folder)),
        (None, None) => Finding::skipped(W::NotAsked),
    }
}
