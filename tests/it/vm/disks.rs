//! Pools on disks that other machines may have, too: the kernel's own client of NFS with its own server behind it, and the
//! 9p on which the machine's root lies. Of SMB, Debian's tools do not understand the kernel's server.

use std::path::Path;

use super::{in_vm, works};
use crate::support::{Answer, Sandbox};

const SHARED: &str = "/tmp/nfs.here";
const NFS: &str = "/tmp/nfs";

/// Shares a folder of this machine by NFS and mounts it on another.
fn mount_nfs() {
    for folder in [SHARED, NFS] {
        std::fs::create_dir(folder).expect("a folder");
    }
    works("modprobe -a nfsd nfsv4");
    works("mount -t nfsd nfsd /proc/fs/nfsd");
    works(&format!("exportfs -o rw,no_root_squash,insecure,fsid=0 127.0.0.1:{SHARED}"));
    works("rpc.mountd --no-nfs-version 3");
    works("rpc.nfsd --no-nfs-version 3 1");
    // Nobody has anything to claim from before the server's start, for which it would wait 90 s.
    std::fs::write("/proc/fs/nfsd/v4_end_grace", "Y").expect("the end of that time");
    works(&format!("mount -i -t nfs4 -o addr=127.0.0.1,clientaddr=127.0.0.1 127.0.0.1:/ {NFS}"));
}

fn pool(sandbox: &Sandbox, folder: &str, verb: &str, arguments: &[&str]) -> Answer {
    let file = Path::new(folder).join("pool.json");
    sandbox.run(&[&["pool", verb, "--state", file.to_str().expect("a path")], arguments].concat())
}

#[track_caller]
fn is_refused(answer: &Answer, name: &str) {
    assert_eq!(answer.code, 3, "{}", answer.stderr);
    let words = [&format!("is on {name}"), "--weak-disk"];
    assert!(words.iter().all(|word| answer.stderr.contains(word)), "{}", answer.stderr);
}

#[test]
fn a_pool_on_nfs_is_refused_and_one_that_is_accepted_works() {
    if !in_vm() {
        return;
    }
    mount_nfs();
    let sandbox = Sandbox::new(&[]);
    is_refused(&pool(&sandbox, NFS, "alloc", &[]), "NFS");
    assert_eq!(std::fs::read_dir(NFS).expect("a folder").count(), 0, "nothing is left there");
    let [first, second] = [(), ()].map(|()| pool(&sandbox, NFS, "alloc", &["--weak-disk"]).expect_code(0).stdout);
    assert_ne!(first, second);
    let list = pool(&sandbox, NFS, "list", &["--weak-disk", "--json"]).expect_code(0).json();
    assert_eq!(list["leases"].as_array().map(Vec::len), Some(2), "{list}");
    assert!(Path::new(SHARED).join("pool.json").is_file(), "it is where the server has its folder");
    works(&format!("umount -i {NFS}"));
}

/// What `statfs` tells of it is what the other machine's disk is called there.
#[test]
fn a_pool_on_the_9p_of_a_virtual_machine_is_refused() {
    if in_vm() {
        is_refused(&pool(&Sandbox::new(&[]), "/told", "alloc", &[]), "9p");
    }
}
