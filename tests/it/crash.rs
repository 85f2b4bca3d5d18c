//! Crashes and failures at every system call of a change: all old or all new, and nothing left lying about.
//!
//! A run under strace is counted once; then a fresh copy is run for each call, with the process killed there, or with
//! the call failing. The process is this test binary in a role.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a fixture that cannot be laid out fails; counts are shown"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, ExitStatus, Stdio};

use portwright::disk::{Direction, ProjectState, Undone};
use portwright::error::{ErrorKind, Result};

use crate::disk::{
    Fixture, NEW_COMPOSE, NEW_ENV, OLD_COMPOSE, OLD_ENV, at, create, edit, in_role, lock, my_fixture, note, options,
    skip, try_lock,
};

/// Every call that changes a file or a folder, or makes a change durable.
const CALLS: &str = "openat,write,fsync,fdatasync,rename,renameat2,unlink,unlinkat,rmdir,linkat,mkdir,chmod,fchmod,\
                     fchmodat,fchown,ftruncate";

/// How many times the victim opens and writes `/dev/null` first. strace counts calls by thread, and the test harness's
/// own thread opens libraries and writes its greeting: the calls that matter must have higher numbers than those.
const AHEAD_OF_THE_HARNESS: usize = 64;

/// What the killed process was about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// Two files edited and one created, each by renaming.
    Apply,
    /// The same, with one file that must be overwritten in place.
    ApplyInPlace,
    /// All of that taken back.
    Undo,
}

impl Scenario {
    const ALL: [Self; 3] = [Self::Apply, Self::ApplyInPlace, Self::Undo];

    fn role(self) -> &'static str {
        match self {
            Self::Apply | Self::ApplyInPlace => "apply",
            Self::Undo => "undo",
        }
    }

    fn fixture(self) -> Fixture {
        let fixture = Fixture::in_memory();
        if self != Self::Apply {
            fs::hard_link(fixture.project.join(".env"), fixture.root().join("second-name")).unwrap();
        }
        if self == Self::Undo {
            apply(&fixture.open()).unwrap();
        }
        fixture
    }

    fn finished(self) -> Shape {
        if self == Self::Undo { Shape::Old } else { Shape::New }
    }

    fn unstarted(self) -> Shape {
        if self == Self::Undo { Shape::New } else { Shape::Old }
    }
}

/// What the files of the project are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Old,
    New,
    Mixed,
}

fn shape(fixture: &Fixture) -> Shape {
    let texts = [".env", "compose.yaml", "created"].map(|name| fixture.text(name));
    if texts == [OLD_ENV, OLD_COMPOSE, "(absent)"] {
        Shape::Old
    } else if texts == [NEW_ENV, NEW_COMPOSE, "created\n"] {
        Shape::New
    } else {
        Shape::Mixed
    }
}

fn apply(state: &ProjectState) -> Result<()> {
    let held = try_lock(state)?;
    state.recover(&held)?;
    let changes = [
        edit(".env", OLD_ENV, NEW_ENV),
        edit("compose.yaml", OLD_COMPOSE, NEW_COMPOSE),
        create("created", "created\n"),
    ];
    state.apply(&held, &changes, &note(), options()).map(drop)
}

fn undo(state: &ProjectState) -> Result<()> {
    let held = try_lock(state)?;
    state.recover(&held)?;
    assert!(matches!(state.undo(&held, at(2))?, Undone::Restored(_)));
    Ok(())
}

/// Plays the process that is killed; an ordinary run has nothing to do here.
#[test]
fn role_of_the_victim() {
    let apply_role = my_fixture("apply").map(|fixture| (fixture, apply as fn(&ProjectState) -> Result<()>));
    let undo_role = || my_fixture("undo").map(|fixture| (fixture, undo as fn(&ProjectState) -> Result<()>));
    let Some((fixture, act)) = apply_role.or_else(undo_role) else { return };
    for _ in 0..AHEAD_OF_THE_HARNESS {
        fs::write("/dev/null", "-").unwrap();
    }
    let result = fixture.try_open().and_then(|state| act(&state));
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(error.kind().exit_code().into());
    }
}

fn run(fixture: &Fixture, scenario: Scenario, strace: &[&str]) -> (ExitStatus, String) {
    let wrapper: Vec<&str> = ["strace", "-f", "-qq"].iter().chain(strace).copied().collect();
    let mut command = in_role(&wrapper, "crash::role_of_the_victim", scenario.role(), fixture);
    let output = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn run_with(fixture: &Fixture, scenario: Scenario, call: &str, fault: &str) -> (ExitStatus, String) {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:{fault}"));
    run(fixture, scenario, &["-o", "/dev/null", "-e", &trace, "-e", &inject])
}

/// Runs to the end once, and returns each call that names the fixture: its name, and which call of that name it is in
/// its thread, which is how strace counts.
fn calls(scenario: Scenario) -> Vec<(String, usize)> {
    let fixture = scenario.fixture();
    let log = fixture.root().join("log");
    let (status, text) = run(&fixture, scenario, &["-y", "-e", &format!("trace={CALLS}"), "-o", log.to_str().unwrap()]);
    assert!(status.success(), "{text}");
    assert_eq!(shape(&fixture), scenario.finished());
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut found = Vec::new();
    let (root, log) = (fixture.root().to_str().unwrap(), fs::read_to_string(&log).unwrap());
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(char::is_whitespace) else { continue };
        let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
        let count = counts.entry((thread, name)).or_default();
        *count += 1;
        if arguments.contains(root) {
            found.push((thread, name, *count));
        }
    }
    for (thread, name, nth) in &found {
        let others = counts.iter().filter(|((other, call), _)| other != thread && call == name);
        assert!(others.into_iter().all(|(_, count)| count < nth), "{name} {nth} is not the victim's alone: {log}");
    }
    assert!(found.len() > 30, "strace must see the calls: {log}");
    found.into_iter().map(|(_, name, nth)| (name.to_owned(), nth)).collect()
}

fn strace_works() -> bool {
    let probe = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    let works = probe.is_ok_and(|output| output.status.success());
    if !works {
        skip("strace, and the right to trace");
    }
    works
}

/// Asserts that neither the project nor its state holds anything unfinished.
fn assert_no_debris(fixture: &Fixture, place: &str) {
    let names = fixture.names();
    assert!(names.iter().all(|name| !name.starts_with(".portwright-")), "{place}: {names:?}");
    let state = fixture.open();
    for entry in fs::read_dir(state.folder()).unwrap().flatten() {
        let path = entry.path();
        let unfinished = path.extension().is_some_and(|extension| extension == "new");
        assert!(!unfinished && !path.ends_with("journal.json"), "{place}: {}", path.display());
    }
}

/// Recovers, and asserts that all is old or all is new, that `undo` knows which, and that work can go on.
fn assert_recovers(fixture: &Fixture, scenario: Scenario, place: &str) -> Shape {
    let state = fixture.open();
    state.recover(&lock(&state)).unwrap_or_else(|error| panic!("{place}: {error}"));
    let settled = shape(fixture);
    assert_ne!(settled, Shape::Mixed, "{place}");
    assert_no_debris(fixture, place);
    assert_eq!(state.last_run().unwrap().is_some(), settled == Shape::New, "{place}");
    let go_on = if settled == Shape::Old { apply(&state) } else { undo(&state) };
    go_on.unwrap_or_else(|error| panic!("{place}, afterwards: {error}"));
    assert_eq!(shape(fixture), if settled == Shape::Old { Shape::New } else { Shape::Old }, "{place}, afterwards");
    assert_no_debris(fixture, place);
    if scenario != Scenario::Apply {
        let second = fs::read_to_string(fixture.root().join("second-name")).unwrap();
        assert_eq!(second, fixture.text(".env"), "{place}: the second name");
    }
    settled
}

fn kill_everywhere(scenario: Scenario) {
    if !strace_works() {
        return;
    }
    let mut outcomes = BTreeMap::new();
    for (call, nth) in calls(scenario) {
        let fixture = scenario.fixture();
        let place = format!("{call} {nth}");
        let (status, text) = run_with(&fixture, scenario, &call, &format!("signal=KILL:when={nth}"));
        assert!(!status.success(), "{place} was not reached: {text}");
        *outcomes.entry(format!("{:?}", assert_recovers(&fixture, scenario, &place))).or_insert(0) += 1;
    }
    println!("killed at {} calls: {outcomes:?}", outcomes.values().sum::<usize>());
    assert_eq!(outcomes.len(), 2, "some end old and some new: {outcomes:?}");
}

fn fail_everywhere(scenario: Scenario, errno: &str) {
    if !strace_works() {
        return;
    }
    for (call, nth) in calls(scenario) {
        let fixture = scenario.fixture();
        let (status, text) = run_with(&fixture, scenario, &call, &format!("error={errno}:when={nth}"));
        let place = format!("{errno} at {call} {nth} ({status}: {text})");
        match status.code() {
            Some(0) => assert_eq!(shape(&fixture), scenario.finished(), "{place}"),
            Some(3..=5) => {
                assert_eq!(shape(&fixture), scenario.unstarted(), "{place}");
                assert!(text.contains(fixture.root().to_str().unwrap()), "names the path: {place}");
                if !matches!(call.as_str(), "unlink" | "unlinkat" | "rmdir") {
                    assert_no_debris(&fixture, &place);
                }
            }
            Some(7) => {
                let state = fixture.open();
                state.recover(&lock(&state)).unwrap_or_else(|error| panic!("{place}: {error}"));
                assert_eq!(shape(&fixture), scenario.finished(), "{place}");
            }
            _ => panic!("{place}"),
        }
        assert_recovers(&fixture, scenario, &place);
    }
}

#[test]
fn killed_at_any_call_of_apply_all_files_are_old_or_all_are_new() {
    kill_everywhere(Scenario::Apply);
}

#[test]
fn killed_at_any_call_of_an_overwrite_in_place_all_files_are_old_or_all_are_new() {
    kill_everywhere(Scenario::ApplyInPlace);
}

#[test]
fn killed_at_any_call_of_undo_all_files_are_old_or_all_are_new() {
    kill_everywhere(Scenario::Undo);
}

#[test]
fn a_full_disk_at_any_call_changes_nothing_or_is_finished_by_the_next_run() {
    for scenario in Scenario::ALL {
        fail_everywhere(scenario, "ENOSPC");
    }
}

#[test]
fn a_failing_disk_at_any_call_changes_nothing_or_is_finished_by_the_next_run() {
    for scenario in Scenario::ALL {
        fail_everywhere(scenario, "EIO");
    }
}

/// Lays out a change that was killed when two of its three files were new.
fn half_done() -> Fixture {
    let (call, nth) = calls(Scenario::Apply).into_iter().rfind(|(call, _)| call == "linkat").unwrap();
    let fixture = Scenario::Apply.fixture();
    run_with(&fixture, Scenario::Apply, &call, &format!("signal=KILL:when={nth}"));
    assert_eq!(shape(&fixture), Shape::Mixed);
    fixture
}

#[test]
fn a_journal_cut_at_any_byte_is_refused_and_touches_nothing() {
    if !strace_works() {
        return;
    }
    let fixture = half_done();
    let state = fixture.open();
    let path = state.folder().join("journal.json");
    let whole = fs::read(&path).unwrap();
    let before = (fixture.names(), fixture.text(".env"), fixture.text("compose.yaml"));
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let error = state.recover(&lock(&state)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{length}");
        assert!(error.to_string().contains("journal"), "{error}");
        assert!(error.way_out().unwrap().to_string().contains("backups"));
        assert_eq!((fixture.names(), fixture.text(".env"), fixture.text("compose.yaml")), before);
    }
    fs::write(&path, &whole).unwrap();
    let recovered = state.recover(&lock(&state)).unwrap().unwrap();
    assert_eq!((recovered.direction, recovered.note.clone(), recovered.files.len()), (Direction::Forward, note(), 3));
    assert!(recovered.message().to_string().contains("was finished"));
    assert_eq!(shape(&fixture), Shape::New);
}

#[test]
fn a_file_edited_between_crash_and_recovery_stops_it_and_it_says_which_is_which() {
    if !strace_works() {
        return;
    }
    let fixture = half_done();
    fixture.write("compose.yaml", "edited\n");
    let state = fixture.open();
    let error = state.recover(&lock(&state)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Partial);
    let text = error.to_string();
    let part = |from: &str, to: &str| text.split(from).nth(1).unwrap().split(to).next().unwrap().to_owned();
    assert!(part("; changed: ", ";").ends_with("/.env"), "{text}");
    assert!(part("as before: ", ";").ends_with("/created"), "{text}");
    assert!(part("neither: ", ")").ends_with("/compose.yaml"), "{text}");
    assert_eq!((fixture.text("compose.yaml"), fixture.text(".env")), ("edited\n".into(), NEW_ENV.into()));
}
