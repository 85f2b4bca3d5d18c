//! What runs that ended badly leave: changes cut short, damaged records, pools that nobody can read.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use super::{Diagnosis, NO_ENGINE, web};
use crate::launches::until;
use crate::support::{Answer, Sandbox, free_block, have, hold};

/// Diagnoses a project whose engine is not the point.
fn diagnosed(sandbox: &Sandbox) -> Diagnosis {
    Diagnosis::of(sandbox.command(&["doctor", "--json", "--skip", "engine"]).env("DOCKER_HOST", NO_ENGINE))
}

/// A project on a port that is held, so that a run has something to change.
fn project() -> (Sandbox, std::net::TcpListener) {
    let port = free_block(3);
    (Sandbox::new(&[("compose.yaml", &web(port))]), hold(port))
}

fn move_the_port(sandbox: &Sandbox) -> Command {
    let mut command = sandbox.command(&["quick-start", "--yes", "--no-launch"]);
    command.env("DOCKER_HOST", NO_ENGINE);
    command
}

/// Moves the port in a run that is killed at a rename; tells whether it was.
fn killed_at_rename(sandbox: &Sandbox, rename: usize) -> bool {
    let run = move_the_port(sandbox);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-o", "/dev/null", "-e", "trace=rename,renameat,renameat2"]);
    traced.args(["-e", &format!("inject=rename,renameat,renameat2:signal=SIGKILL:when={rename}")]);
    traced.arg(run.get_program()).args(run.get_args()).current_dir(sandbox.project()).env_clear();
    for (name, value) in run.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        traced.env(name, value);
    }
    let ended = traced.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("strace runs");
    !ended.success()
}

#[test]
fn a_change_that_was_cut_short_is_found() {
    let strace = Command::new("strace").arg("-V").output().is_ok();
    if !have("strace", strace) {
        return;
    }
    let (sandbox, _held) = project();
    // The first rename names the holder of the lock; the second begins the journal, the third commits it.
    killed_at_rename(&sandbox, 4);
    let seen = diagnosed(&sandbox);
    let check = seen.check("interrupted-change");
    assert_eq!((&check["outcome"], &check["fixable"]), (&"fail".into(), &true.into()), "{}", seen.document);
    assert!(check["evidence"].to_string().contains("quick-start"), "{check}");
    // What the remedy says: the next run settles it.
    move_the_port(&sandbox).output().expect("it runs");
    assert_eq!(diagnosed(&sandbox).outcome("interrupted-change"), "pass");
}

#[test]
fn a_half_written_file_a_damaged_record_and_an_open_folder_are_found() {
    let (sandbox, _held) = project();
    Answer::from(move_the_port(&sandbox).output().expect("it runs")).expect_code(0);
    assert_eq!(diagnosed(&sandbox).alarms(), [] as [String; 0]);

    sandbox.write(".portwright-01795781436000-1-0.tmp", "half");
    diagnosed(&sandbox).finds("half-written-files", "warn", ".portwright-01795781436000-1-0.tmp", "--fix");
    fs::remove_file(sandbox.project().join(".portwright-01795781436000-1-0.tmp")).expect("removed");

    let state = sandbox.home().join(".local/state/portwright");
    let projects = fs::read_dir(state.join("projects")).expect("states").flatten();
    let last = projects.map(|entry| entry.path().join("last.json")).find(|path| path.exists()).expect("a receipt");
    let whole = fs::read(&last).expect("a receipt");
    fs::write(&last, &whole[..whole.len() / 2]).expect("damaged");
    diagnosed(&sandbox).finds("state-records", "fail", "last.json", "either");
    fs::write(&last, &whole).expect("mended");

    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).expect("opened");
    let seen = diagnosed(&sandbox);
    seen.finds("folders-private", "fail", &state.display().to_string(), "chmod go-w");
    assert_eq!(seen.check("folders-private")["fixable"], true);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("closed");
    assert_eq!(diagnosed(&sandbox).alarms(), [] as [String; 0]);
}

#[test]
fn a_pool_that_is_damaged_or_used_up_and_a_configuration_of_nonsense_are_found() {
    let sandbox = Sandbox::new(&[]);
    sandbox.run(&["pool", "alloc"]).expect_code(0);
    assert_eq!(diagnosed(&sandbox).alarms(), [] as [String; 0]);
    let pool = sandbox.home().join(".local/state/portwright/pool.json");
    let whole = fs::read(&pool).expect("a pool");
    fs::write(&pool, &whole[..whole.len() - 5]).expect("damaged");
    diagnosed(&sandbox).finds("pool", "fail", "pool.json", "portwright pool gc");
    // What the remedy says.
    sandbox.run(&["pool", "gc"]).expect_code(0);
    assert_eq!(diagnosed(&sandbox).outcome("pool"), "pass");

    sandbox.write("pool.toml", "[[wan]]\nindex = 0\nrange = \"9-8\"\n");
    diagnosed(&sandbox).finds("pool-config", "fail", "9-8", "");
    let port = free_block(2);
    sandbox.write("pool.toml", &format!("[[wan]]\nindex = 0\nrange = \"{port}-{}\"\n", port + 1));
    let _held = (hold(port), hold(port + 1));
    diagnosed(&sandbox).finds("pool-room", "fail", "0 of 2", "pool.toml");
}

#[test]
fn a_port_that_is_used_after_its_lease_is_found() {
    let sandbox = Sandbox::new(&[]);
    let mut sleeper = Command::new("sleep").arg("1000").spawn().expect("sleep runs");
    let words = ["pool", "alloc", "--pid", &sleeper.id().to_string()];
    let port: u16 = sandbox.run(&words).expect_code(0).stdout.trim().parse().expect("a port");
    let _held = hold(port);
    sleeper.kill().expect("it ends");
    sleeper.wait().expect("it is gone");
    until("the lease is over", || diagnosed(&sandbox).outcome("leases") == "warn");
    diagnosed(&sandbox).finds("leases", "warn", &port.to_string(), &format!("portwright why {port}"));
}

/// Runs `doctor --fix` and returns what it said.
fn fixed(sandbox: &Sandbox, more: &[&str]) -> Answer {
    let words = [&["doctor", "--fix", "--skip", "engine"], more].concat();
    Answer::from(sandbox.command(&words).env("DOCKER_HOST", NO_ENGINE).output().expect("it runs"))
}

#[test]
fn what_fix_does_it_asks_for_tells_and_can_be_taken_back() {
    let (sandbox, _held) = project();
    Answer::from(move_the_port(&sandbox).output().expect("it runs")).expect_code(0);
    let half = ".portwright-01795781436000-1-0.tmp";
    sandbox.write(half, "half");
    let state = sandbox.home().join(".local/state/portwright");
    let pool = state.join("pool.json");
    sandbox.run(&["pool", "alloc"]).expect_code(0);
    fs::write(&pool, "{").expect("damaged");
    let before = sandbox.contents();
    fixed(&sandbox, &[]).expect_code(2);
    assert_eq!(sandbox.contents(), before, "nobody agreed");

    let said = fixed(&sandbox, &["--yes"]).expect_code(0).stderr;
    assert!(said.contains("portwright undo") && said.contains("pool"), "{said}");
    assert!(!sandbox.project().join(half).exists());
    assert_eq!(diagnosed(&sandbox).alarms(), [] as [String; 0]);
    let again = fixed(&sandbox, &["--yes"]).expect_code(0).stderr;
    assert!(again.contains("nothing here can be mended"), "{again}");

    sandbox.run(&["undo", "--yes"]).expect_code(0);
    assert_eq!(sandbox.read(half), "half");
    fs::remove_file(sandbox.project().join(half)).expect("removed");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).expect("opened");
    let said = fixed(&sandbox, &["--yes"]).expect_code(0).stderr;
    assert!(said.contains("chmod 777") && diagnosed(&sandbox).alarms().is_empty(), "{said}");
}

#[test]
fn fix_settles_a_change_that_was_cut_short_and_what_it_finished_can_be_undone() {
    if !have("strace", Command::new("strace").arg("-V").output().is_ok()) {
        return;
    }
    let (mut finished, mut taken_back) = (0, 0);
    for rename in 2.. {
        let (sandbox, _held) = project();
        let old = sandbox.contents();
        if !killed_at_rename(&sandbox, rename) {
            break;
        }
        if diagnosed(&sandbox).outcome("interrupted-change") != "fail" {
            continue;
        }
        fixed(&sandbox, &["--only", "interrupted-change"]).expect_code(2);
        assert_eq!(diagnosed(&sandbox).outcome("interrupted-change"), "fail", "nobody agreed");
        let said = fixed(&sandbox, &["--only", "interrupted-change", "--yes"]).expect_code(0).stderr;
        assert!(said.contains("an interrupted run"), "{said}");
        let settled = diagnosed(&sandbox);
        for id in ["interrupted-change", "half-written-files", "state-records"] {
            assert_eq!(settled.outcome(id), "pass", "killed at rename {rename}: {}", settled.document);
        }
        if sandbox.contents() == old {
            taken_back += 1;
            assert!(said.contains("taken back"), "{said}");
        } else {
            finished += 1;
            assert!(said.contains("portwright undo"), "{said}");
            sandbox.run(&["undo", "--yes"]).expect_code(0);
            assert_eq!(sandbox.contents(), old, "killed at rename {rename}");
        }
    }
    assert!(finished > 0 && taken_back > 0, "finished {finished}, taken back {taken_back}");
}
