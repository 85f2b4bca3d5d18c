//! Checks of the folders that are written to.

use super::said;
use crate::model::{Finding, Fix, FolderSight, Observation, Sight};
use crate::words::doctor::DoctorWords as W;

/// A MiB, in bytes.
const MIB: u64 = 1 << 20;

/// Below this a run cannot be sure to write its journal, its backups and the project's files: four times the largest
/// file that is read.
const ROOM_LEAST: u64 = 16 * MIB;

/// Below this the next image or log is likely to fill the disk.
const ROOM_COMFORT: u64 = 512 * MIB;

/// A change of files makes some twenty: a journal, backups, new contents.
const FILES_LEAST: u64 = 100;

/// A pull unpacks thousands.
const FILES_COMFORT: u64 = 5_000;

/// There is room where something is written.
pub(super) fn space(facts: &Observation) -> Finding {
    let line = |folder: &FolderSight, free: u64| W::RoomIn { path: folder.path.clone(), mib: free / MIB };
    let remedy = |folder: &FolderSight| W::DiskRemedy { path: folder.path.clone() };
    tightest(facts, |folder| &folder.free_bytes, (ROOM_LEAST, ROOM_COMFORT), line, remedy)
}

/// More files can be made there.
pub(super) fn files(facts: &Observation) -> Finding {
    let line = |folder: &FolderSight, count: u64| W::FilesIn { path: folder.path.clone(), count };
    let remedy = |folder: &FolderSight| W::DiskFilesRemedy { path: folder.path.clone() };
    tightest(facts, |folder| &folder.free_files, (FILES_LEAST, FILES_COMFORT), line, remedy)
}

/// Judges the folders by what they have left, and names every one that has too little.
fn tightest(
    facts: &Observation,
    left: impl Fn(&FolderSight) -> &Sight<u64>,
    (least, comfort): (u64, u64),
    line: impl Fn(&FolderSight, u64) -> W,
    remedy: impl Fn(&FolderSight) -> W,
) -> Finding {
    let mut known: Vec<(&FolderSight, u64)> =
        facts.folders.iter().filter_map(|folder| Some((folder, *left(folder).known()?))).collect();
    known.sort_by_key(|(_, left)| *left);
    let below = |limit: u64| {
        let short = known.iter().filter(move |(_, left)| *left < limit);
        short.map(|(folder, left)| line(folder, *left).into()).collect::<Vec<_>>()
    };
    let unknown = facts.folders.iter().find_map(|folder| match left(folder) {
        Sight::Unknown(why) => Some(said(why)),
        Sight::Known(_) | Sight::Nothing => None,
    });
    match (known.first(), unknown) {
        (Some((folder, left)), _) if *left < least => Finding::fail(below(least), remedy(folder)),
        (Some((folder, left)), _) if *left < comfort => Finding::warn(below(comfort), remedy(folder)),
        (_, Some(why)) => Finding::unknown(why),
        (Some((folder, left)), None) => Finding::pass(line(folder, *left)),
        (None, None) => Finding::skipped(W::NotToldHere),
    }
}

/// The folders that were seen.
fn seen_folders(facts: &Observation) -> impl Iterator<Item = &FolderSight> {
    facts.folders.iter().filter(|folder| folder.free_bytes.known().is_some())
}

/// This user may write there.
pub(super) fn writable(facts: &Observation) -> Finding {
    let closed: Vec<&FolderSight> = seen_folders(facts).filter(|folder| !folder.writable).collect();
    match closed.first() {
        _ if seen_folders(facts).next().is_none() => Finding::skipped(W::NotToldHere),
        None => Finding::pass(W::AllWritable),
        Some(first) => {
            let line = |folder: &&FolderSight| W::NotWritable { path: folder.path.clone() }.into();
            let remedy = W::WritableRemedy { path: first.path.clone() };
            Finding::fail(closed.iter().map(line).collect(), remedy)
        }
    }
}

/// Our own folders are this user's alone.
pub(super) fn private(facts: &Observation) -> Finding {
    let open: Vec<&FolderSight> = seen_folders(facts).filter(|folder| folder.open_to_others).collect();
    match open.first() {
        _ if seen_folders(facts).next().is_none() => Finding::skipped(W::NotToldHere),
        None => Finding::pass(W::AllPrivate),
        Some(first) => {
            let line = |folder: &&FolderSight| W::OpenFolder { path: folder.path.clone() }.into();
            let remedy = W::PrivateRemedy { path: first.path.clone() };
            let fix = Fix::MakePrivate(open.iter().map(|folder| folder.path.clone()).collect());
            Finding::fail(open.iter().map(line).collect(), remedy).fixable(fix)
        }
    }
}

/// Our state is on a disk whose locks hold.
pub(super) fn own_disk(facts: &Observation) -> Finding {
    let shared = |folder: &&FolderSight| folder.purpose == "state" && folder.shared_disk.is_some();
    match seen_folders(facts).find(shared) {
        _ if seen_folders(facts).next().is_none() => Finding::skipped(W::NotToldHere),
        None => Finding::pass(W::OnOwnDisk),
        Some(folder) => {
            let system = folder.shared_disk.clone().unwrap_or_default();
            let line = W::SharedDisk { path: folder.path.clone(), system };
            Finding::warn(vec![line.into()], W::SharedDiskRemedy)
        }
    }
}
