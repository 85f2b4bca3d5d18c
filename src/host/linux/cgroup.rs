//! Containers by cgroup: the id that engines put into the path of a container's cgroup.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

/// The id of a Docker or Podman container in hexadecimal digits.
const ID: usize = 64;
/// Where the second version of cgroups is mounted, alone or beside the first.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// A large Kubernetes node has some thousands of cgroups; reading 20,000 folders takes about 0.2 s.
const MOST_FOLDERS: usize = 20_000;

/// Returns the id of the container that the process runs in.
pub(super) fn container_of(pid: u32) -> Option<String> {
    container_id(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?).map(str::to_owned)
}

/// Finds the first run of exactly 64 hexadecimal digits: `/docker/<id>`, `docker-<id>.scope`, `libpod-<id>.scope`,
/// `cri-containerd-<id>.scope`. The first is the outermost container, which this host's engine knows.
fn container_id(text: &str) -> Option<&str> {
    text.split(|c: char| !matches!(c, '0'..='9' | 'a'..='f')).find(|run| run.len() == ID)
}

/// Returns the containers whose cgroups have these numbers, by number.
pub(super) fn containers_by_cgroup(wanted: &HashSet<u64>) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    let root = MOUNTS.iter().find(|mount| Path::new(mount).join("cgroup.controllers").exists());
    let mut waiting: Vec<PathBuf> = root.map(PathBuf::from).into_iter().collect();
    let mut opened = 0;
    while let Some(folder) = waiting.pop() {
        if found.len() == wanted.len() || opened == MOST_FOLDERS {
            break;
        }
        opened += 1;
        // A cgroup that is gone by now holds no socket.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = entry.path();
            if wanted.contains(&entry.ino())
                && let Some(id) = path.to_str().and_then(container_id)
            {
                found.insert(entry.ino(), id.to_owned());
            }
            waiting.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_in_the_paths_of_every_engine() {
        let id = "2189ecb9f0a1".repeat(5) + "0123";
        for path in [
            format!("9:name=systemd:/docker/{id}\n0::/docker/{id}\n"),
            format!("0::/system.slice/docker-{id}.scope\n"),
            format!("0::/machine.slice/libpod-{id}.scope/container\n"),
            format!("0::/machine.slice/libpod-conmon-{id}.scope\n"),
            format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope\n"),
        ] {
            assert_eq!(container_id(&path), Some(id.as_str()), "{path}");
        }
    }

    #[test]
    fn other_paths_hold_no_container() {
        let longer = "a".repeat(65);
        for path in ["0::/\n", "0::/user.slice/user-1000.slice/session-3.scope\n", &format!("0::/docker/{longer}\n")] {
            assert_eq!(container_id(path), None, "{path}");
        }
    }
}
