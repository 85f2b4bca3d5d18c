//! The folders that are written to, and how much room they have.

use std::path::{Path, PathBuf};

use super::{apart, late, shown, unknown};
use crate::deploy::order::ProjectOrder;
use crate::disk::{self, Dirs};
use crate::model::{FolderSight, Sight};

pub(super) async fn look(order: &ProjectOrder, dirs: Option<&Dirs>) -> Vec<FolderSight> {
    let mut folders = vec![("project", order.directory.clone())];
    if let Some(dirs) = dirs {
        folders.push(("state", dirs.state.clone()));
        folders.push(("data", dirs.data.clone()));
    }
    folders.push(("temporary", std::env::temp_dir()));
    let mut seen = Vec::new();
    for (purpose, path) in folders {
        let is_ours = path.is_dir() && matches!(purpose, "state" | "data");
        let path = nearest(&path);
        let place = path.clone();
        let sight = match apart(move || disk::room(&place)).await {
            Some(Ok(room)) => FolderSight {
                free_bytes: Sight::Known(room.free_bytes),
                free_files: room.free_files.map_or(Sight::Nothing, Sight::Known),
                writable: room.writable,
                open_to_others: room.open_to_others && is_ours,
                shared_disk: room.shared_disk.map(str::to_owned),
                ..FolderSight::default()
            },
            Some(Err(error)) => FolderSight { free_bytes: unknown(error.message()), ..FolderSight::default() },
            None => FolderSight { free_bytes: late(), ..FolderSight::default() },
        };
        seen.push(FolderSight { purpose: purpose.to_owned(), path: shown(&path), ..sight });
    }
    seen
}

/// The folder, or the nearest one above it that exists: the one whose disk will be written to.
fn nearest(path: &Path) -> PathBuf {
    path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_path_buf()
}
