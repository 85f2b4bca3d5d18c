//! What happens to leases when things happen to processes, machines and files.

use std::net::TcpListener;

use std::process::Command;

use super::{Pool, kill, sleeper, wait_for};
use crate::support::{PORTWRIGHT, have};

/// Changes the file of the pool as `edit` says.
fn edit(pool: &Pool, edit: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(pool.file()).expect("the file");
    let edited = edit(&text);
    assert_ne!(text, edited, "nothing to edit in {text}");
    std::fs::write(pool.file(), edited).expect("the file");
}

/// Replaces the value of a field.
fn set(text: &str, field: &str, value: &str) -> String {
    let mark = format!("\"{field}\":");
    let (before, rest) = text.split_once(&mark).expect("the field");
    let end = rest.find([',', '}']).expect("an end");
    format!("{before}{mark}{value}{}", &rest[end..])
}

fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_killed_holder_loses_its_lease_at_the_next_look() {
    let pool = Pool::new(1);
    let holder = sleeper();
    pool.alloc(&["--pid", &holder.id().to_string()]);
    pool.run(&["alloc", "--range", &pool.range]).expect_code(3);
    kill(holder);
    assert_eq!(pool.alloc(&[]), [pool.first()]);
}

#[test]
fn a_lease_whose_port_is_in_use_outlives_its_holder_and_is_told_so() {
    let pool = Pool::new(1);
    let holder = sleeper();
    pool.alloc(&["--pid", &holder.id().to_string()]);
    let used = TcpListener::bind(("127.0.0.1", pool.first())).expect("a port");
    kill(holder);
    let leases = pool.leases();
    assert_eq!(leases[0]["state"], "over-in-use");
    let by = leases[0]["in_use_by"].as_str().expect("a user");
    assert!(by.contains(&std::process::id().to_string()), "{by}");
    pool.run(&["alloc", "--range", &pool.range]).expect_code(3);
    assert_eq!(pool.run(&["gc", "--json"]).expect_code(0).json()["released"].as_array().map(Vec::len), Some(0));
    drop(used);
    assert_eq!(pool.run(&["gc", "--json"]).expect_code(0).json()["released"][0]["port"], pool.first());
}

#[test]
fn after_a_reboot_the_same_number_with_the_same_start_is_another_process() {
    let pool = Pool::new(1);
    let holder = sleeper();
    pool.alloc(&["--pid", &holder.id().to_string()]);
    edit(&pool, |text| set(text, "boot_id", "\"6f1c1e0c-0000-4000-8000-000000000000\""));
    assert!(pool.leases().is_empty());
    kill(holder);
}

#[test]
fn a_number_that_another_process_has_now_is_no_proof_of_life() {
    let pool = Pool::new(1);
    let holder = sleeper();
    pool.alloc(&["--pid", &holder.id().to_string()]);
    edit(&pool, |text| set(text, "start", "1"));
    assert_eq!(pool.alloc(&[]), [pool.first()]);
    kill(holder);
}

/// In a namespace of its own, a process gets the very number of one that was killed, though not within the same hundredth
/// of a second, in which the kernel counts when processes start (proc(5), starttime).
#[test]
fn a_reused_process_id_does_not_keep_the_lease_of_the_dead() {
    if !have("unshare as root", works(Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]))) {
        return;
    }
    let pool = Pool::new(1);
    let script = format!(
        "set -e; echo 1000 > /proc/sys/kernel/ns_last_pid; sleep 100 & first=$!
         start() {{ cut -d' ' -f22 /proc/$1/stat; }}; began=$(start $first)
         {PORTWRIGHT} pool alloc --range {range} --pid $first
         kill -9 $first; wait $first || true
         for _ in $(seq 200); do echo $((first - 1)) > /proc/sys/kernel/ns_last_pid; sleep 100 & [ $! = $first ] && [ $(start $!) != $began ] && break; kill -9 $!; wait $! || true; done
         [ $! = $first ]; {PORTWRIGHT} pool list --json; {PORTWRIGHT} pool alloc --range {range} --pid $$; kill -9 $!",
        range = pool.range
    );
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "bash", "-c", &script]).env("HOME", pool.sandbox.home());
    let output = command.output().expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!([lines[0], lines[2]], [pool.first().to_string(), pool.first().to_string()]);
    assert!(lines[1].contains("\"leases\":[]"), "{text}");
}

#[test]
fn from_another_namespace_nothing_is_taken_on_doubt() {
    if !have("unshare as root", works(Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]))) {
        return;
    }
    let pool = Pool::new(1);
    let holder = sleeper();
    pool.alloc(&["--pid", &holder.id().to_string(), "--ttl", "1h"]);
    let within = |arguments: &str| {
        let mut command = Command::new("unshare");
        let script = format!("{PORTWRIGHT} pool {arguments}; true");
        command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script]).env("HOME", pool.sandbox.home());
        String::from_utf8_lossy(&command.output().expect("unshare runs").stdout).into_owned()
    };
    assert!(within("list --json").contains("\"state\":\"unsure\""));
    // Not even after its death, which nobody there can see; who can see it takes it.
    kill(holder);
    within("gc");
    assert_eq!(within(&format!("alloc --range {}", pool.range)), "");
    assert_eq!(pool.alloc(&[]), [pool.first()]);

    // A lease of theirs, whose holder is gone with the namespace, lasts as long as its time.
    pool.run(&["release", &pool.first().to_string()]).expect_code(0);
    assert_eq!(within(&format!("alloc --ttl 2s --range {}", pool.range)).trim(), pool.first().to_string());
    assert_eq!(pool.leases()[0]["state"], "unsure");
    wait_for("its time is over", || pool.leases().is_empty());
}

/// A clock that was set is one that stood elsewhere at the last renewal, and that is what the file says here.
#[test]
fn setting_the_clock_of_the_wall_changes_no_lease() {
    let pool = Pool::new(1);
    let holder = sleeper();
    pool.alloc(&["--pid", &holder.id().to_string(), "--ttl", "1h"]);
    for renewed in ["0", "4102444800", "18446744073709551615"] {
        edit(&pool, |text| set(text, "renewed_s", renewed));
        assert_eq!(pool.leased(), [u64::from(pool.first())]);
    }
    edit(&pool, |text| set(text, "renewed_boot_ms", "0").replacen("\"ttl_ms\":3600000", "\"ttl_ms\":1", 1));
    assert!(pool.leases().is_empty());
    kill(holder);
}

#[test]
fn a_damaged_file_is_set_aside_and_what_is_whole_in_it_goes_on() {
    let pool = Pool::new(4);
    let holder = sleeper();
    pool.alloc(&["-n", "2", "--pid", &holder.id().to_string()]);
    let whole = std::fs::read(pool.file()).expect("the file");
    let text = String::from_utf8(whole.clone()).expect("text");
    let second = text.rfind("{\"id\"").expect("a second lease");
    for (bytes, kept) in
        [(&whole[..second + 9], 1), (&whole[..0], 0), (&b"garbage\0"[..], 0), (&whole[..second / 4], 0)]
    {
        std::fs::write(pool.file(), bytes).expect("the file");
        let answer = pool.run(&["list", "--json"]).expect_code(0);
        assert_eq!(answer.json()["leases"].as_array().map(Vec::len), Some(kept));
        assert!(answer.stderr.contains("damaged") && answer.stderr.contains("pool.json.bad-"), "{}", answer.stderr);
        let again = pool.run(&["list", "--json"]).expect_code(0);
        assert_eq!((again.json()["leases"].as_array().map(Vec::len), again.stderr.as_str()), (Some(kept), ""));
    }
    let folder = std::fs::read_dir(pool.file().parent().expect("a folder")).expect("a folder");
    let names = folder.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    assert_eq!(names.filter(|name| name.contains(".bad-")).count(), 4);
    kill(holder);
}

#[test]
fn the_file_of_a_newer_portwright_is_left_as_it_is() {
    let pool = Pool::new(4);
    pool.alloc(&[]);
    edit(&pool, |text| text.replace("\"format\": 1", "\"format\": 2"));
    let before = std::fs::read(pool.file()).expect("the file");
    pool.run(&["alloc", "--range", &pool.range]).expect_code(5);
    assert_eq!(std::fs::read(pool.file()).expect("the file"), before);
}

#[test]
fn a_lock_that_nobody_gives_back_ends_the_wait_with_4() {
    let pool = Pool::new(4);
    pool.alloc(&[]);
    let lock =
        std::fs::OpenOptions::new().write(true).open(pool.file().with_added_extension("lock")).expect("the lock");
    lock.lock().expect("a lock");
    let answer = pool.run(&["alloc", "--wait", "1"]).expect_code(4);
    assert!(answer.stderr.contains("within 1 s"), "{}", answer.stderr);
    drop(lock);
    pool.alloc(&[]);
}

/// A child that outlives the killed `pool run` keeps its port, also before it has bound it.
#[test]
fn a_child_keeps_its_port_when_its_runner_is_killed() {
    let pool = Pool::new(1);
    let mut command = pool.sandbox.command(&["pool", "run", "--range", &pool.range, "--", "cat"]);
    let mut runner = command.stdin(std::process::Stdio::piped()).spawn().expect("the program runs");
    let input = runner.stdin.take();
    wait_for("the child holds the lease", || {
        pool.leases().first().is_some_and(|lease| lease["holder"]["pid"] != runner.id())
    });
    kill(runner);
    assert_eq!(pool.leased(), [u64::from(pool.first())]);
    drop(input);
    wait_for("the lease ends with the child", || pool.leases().is_empty());
}
