//! Leases and the machine below them: a clock that is set, and disks on which a lock does not hold.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use portwright::host::boot_clock;

use super::{Pool, kill, sleeper};
use crate::support::{PORTWRIGHT, have};

/// Sets the clock of this machine, for as long as this lives. What has passed meanwhile is kept.
struct Clock {
    wall: SystemTime,
    boot: Duration,
}

impl Clock {
    fn now() -> Self {
        Self { wall: SystemTime::now(), boot: boot_clock() }
    }

    fn set(to: SystemTime) {
        let seconds = to.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let at = format!("@{}.{:09}", seconds.as_secs(), seconds.subsec_nanos());
        let done = Command::new("date").args(["-s", &at]).stdout(Stdio::null()).status();
        assert!(done.is_ok_and(|status| status.success()), "the clock cannot be set");
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        Self::set(self.wall + boot_clock().saturating_sub(self.boot));
    }
}

/// Sets the real clock, for everybody on this machine: only where `PORTWRIGHT_CLOCK=1` says that nobody minds.
#[test]
fn a_clock_that_is_really_set_takes_no_lease_and_gives_none_more_time() {
    if std::env::var_os("PORTWRIGHT_CLOCK").is_none_or(|value| value != "1") {
        eprintln!("skipped: PORTWRIGHT_CLOCK=1 lets this test set the clock");
        return;
    }
    let pool = Pool::new(2);
    let holder = sleeper();
    pool.alloc(&["--pid", &holder.id().to_string(), "--ttl", "30m"]);
    let clock = Clock::now();
    let hour = Duration::from_hours(1);
    for wall in [clock.wall + hour, clock.wall - hour, SystemTime::UNIX_EPOCH + hour] {
        Clock::set(wall);
        assert_eq!(pool.leased(), [u64::from(pool.first())]);
        assert_eq!(pool.alloc(&["--ttl", "30m"]), [pool.first() + 1]);
        pool.run(&["release", &(pool.first() + 1).to_string()]).expect_code(0);
    }
    drop(clock);
    assert_eq!(pool.leased(), [u64::from(pool.first())]);
    kill(holder);
}

/// The real program sees what a kernel says that has such a disk: the answer of `statfs` is replaced on its way.
#[test]
fn a_pool_on_a_disk_of_other_machines_is_refused_unless_it_is_accepted() {
    let tried = Command::new("strace").args(["-e", "inject=statfs:poke_exit=@arg2=00", "true"]).output();
    if !have("strace with poke_exit", tried.is_ok_and(|output| output.status.success())) {
        return;
    }
    let pool = Pool::new(2);
    pool.alloc(&[]);
    let before = std::fs::read(pool.file()).expect("the file");
    // As the first eight bytes of `struct statfs` have it.
    let disks = [
        ("NFS", "6969000000000000"),
        ("SMB", "424d53ff00000000"),
        ("SMB", "424d53fe00000000"),
        ("9p", "9719020100000000"),
        ("AFS", "4f41465300000000"),
    ];
    for (name, magic) in disks {
        let on_disk = |arguments: &[&str]| {
            let mut command = Command::new("strace");
            let answer = format!("inject=statfs,fstatfs:poke_exit=@arg2={magic}");
            command.args(["-f", "-o", "/dev/null", "-e", &answer, PORTWRIGHT, "pool", "alloc", "--range", &pool.range]);
            command.args(arguments).env("HOME", pool.sandbox.home()).env("LANG", "C.UTF-8");
            for name in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
                command.env_remove(name);
            }
            command.output().expect("strace runs")
        };
        let output = on_disk(&[]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{name}: {text}");
        assert!(text.contains(&format!("is on {name}")) && text.contains("--weak-disk"), "{text}");
        assert_eq!(std::fs::read(pool.file()).expect("the file"), before);
        let accepted = on_disk(&["--weak-disk"]);
        assert_eq!(accepted.status.code(), Some(0), "{}", String::from_utf8_lossy(&accepted.stderr));
        let port = String::from_utf8_lossy(&accepted.stdout).trim().to_owned();
        pool.run(&["release", &port]).expect_code(0);
        std::fs::write(pool.file(), &before).expect("the file");
    }
}

/// A disk without locks (`ENOLCK`) is said to be one; nothing is changed without a lock.
#[test]
fn a_disk_that_has_no_locks_is_an_error_and_no_lease() {
    let tried = Command::new("strace").args(["-e", "inject=flock:error=ENOLCK", "true"]).output();
    if !have("strace", tried.is_ok_and(|output| output.status.success())) {
        return;
    }
    let pool = Pool::new(2);
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", "inject=flock:error=ENOLCK", PORTWRIGHT, "pool", "alloc"]);
    command.args(["--range", &pool.range]).env("HOME", pool.sandbox.home()).env("LANG", "C.UTF-8");
    for name in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        command.env_remove(name);
    }
    let output = command.output().expect("strace runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && output.stdout.is_empty(), "{text}");
    assert!(text.contains("pool.json.lock"), "{text}");
    assert!(!pool.file().exists());
}
