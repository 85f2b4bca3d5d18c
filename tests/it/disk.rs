//! The room `disk` on real files: links, modes, owners, mounts, locks, undo.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be laid out fails its test")]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portwright::disk::{
    ApplyOptions, Change, Dirs, Note, PROJECT_FILE_BYTES_MAX, ProjectLock, ProjectState, Run, Undone, read_project_file,
};
use portwright::error::{Error, ErrorKind};

pub(crate) const OLD_ENV: &str = "SECRET=canary-4711\nPORT=8000\n";
pub(crate) const NEW_ENV: &str = "SECRET=canary-4711\nPORT=8002\n";
pub(crate) const OLD_COMPOSE: &str = "services: {web: {ports: ['8000:80']}}\n";
pub(crate) const NEW_COMPOSE: &str = "services: {web: {ports: ['8002:80']}}\n";

/// A project with a state folder of its own.
pub(crate) struct Fixture {
    root: Option<tempfile::TempDir>,
    pub(crate) project: PathBuf,
    pub(crate) state: PathBuf,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::in_folder(&std::env::temp_dir())
    }

    /// A fixture in memory where the system has such a folder: hundreds of them are not slowed down by a busy disk.
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::in_folder(memory) } else { Self::new() }
    }

    fn in_folder(folder: &Path) -> Self {
        let root = tempfile::tempdir_in(folder).unwrap();
        let mut fixture = Self::at(root.path());
        fixture.root = Some(root);
        fixture.lay_out();
        fixture
    }

    /// The fixture that another process laid out.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: None, project: root.join("project"), state: root.join("state") }
    }

    fn lay_out(&self) {
        fs::create_dir_all(&self.project).unwrap();
        self.write(".env", OLD_ENV);
        self.write("compose.yaml", OLD_COMPOSE);
    }

    pub(crate) fn root(&self) -> &Path {
        self.project.parent().unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.project.join(name), text).unwrap();
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.project.join(name)).unwrap_or_else(|_| "(absent)".to_owned())
    }

    pub(crate) fn try_open(&self) -> Result<ProjectState, Error> {
        let state = self.state.clone();
        let dirs = Dirs { state, data: self.root().join("data"), config: self.root().join("config") };
        ProjectState::open(&dirs, &self.project)
    }

    pub(crate) fn open(&self) -> ProjectState {
        self.try_open().unwrap()
    }

    /// The names in the project's folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.project).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn apply(&self, changes: &[Change]) -> Result<Option<Run>, Error> {
        let state = self.open();
        state.apply(&lock(&state), changes, &note(), options())
    }

    fn undo(&self) -> Result<Undone, Error> {
        let state = self.open();
        state.undo(&lock(&state), at(2))
    }

    /// Asserts that an apply failed with `kind`, said `text`, changed nothing and left nothing.
    fn assert_refused(&self, change: Change, kind: ErrorKind, text: &str) {
        let names = self.names();
        let error = self.apply(&[edit("compose.yaml", OLD_COMPOSE, NEW_COMPOSE), change]).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains(text)), (kind, true), "{error}");
        assert_eq!((self.text("compose.yaml"), self.names()), (OLD_COMPOSE.to_owned(), names));
        assert!(!self.open().folder().join("journal.json").exists());
    }
}

pub(crate) fn try_lock(state: &ProjectState) -> Result<ProjectLock, Error> {
    state.lock("test", Duration::from_secs(10), &mut |_| ())
}

pub(crate) fn lock(state: &ProjectState) -> ProjectLock {
    try_lock(state).unwrap()
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) fn options() -> ApplyOptions {
    ApplyOptions { follow_links_outside: false, now: at(1) }
}

pub(crate) fn note() -> Note {
    Note { verb: "quick-start".into(), lines: vec!["PORT: 8000 -> 8002".into()] }
}

pub(crate) fn edit(name: impl AsRef<Path>, before: &str, after: &str) -> Change {
    let (before, after) = (Some(before.as_bytes().to_vec()), after.as_bytes().to_vec());
    Change { path: name.as_ref().to_path_buf(), before, after, private: false }
}

pub(crate) fn create(name: &str, after: &str) -> Change {
    Change { path: name.into(), before: None, after: after.as_bytes().to_vec(), private: false }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that a test needs something that this machine lacks; fails where everything must be there.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn skip(what: &str) {
    println!("skipped: needs {what}");
    assert!(std::env::var_os("PORTWRIGHT_REQUIRE_ALL").is_none(), "needs {what}");
}

#[test]
fn apply_then_undo_gives_back_every_byte_and_removes_what_was_created() {
    let fixture = Fixture::new();
    let changes = [edit(".env", OLD_ENV, NEW_ENV), edit("compose.yaml", OLD_COMPOSE, NEW_COMPOSE), create("new", "n")];
    let run = fixture.apply(&changes).unwrap().unwrap();
    assert_eq!((fixture.text(".env"), fixture.text("compose.yaml")), (NEW_ENV.into(), NEW_COMPOSE.into()));
    assert_eq!(fixture.names(), [".env", "compose.yaml", "new"]);
    assert!(run.files.iter().all(|file| !file.in_place));
    assert_eq!(fixture.open().last_run().unwrap().unwrap(), run);

    assert_eq!(fixture.undo().unwrap(), Undone::Restored(run));
    assert_eq!((fixture.text(".env"), fixture.text("compose.yaml")), (OLD_ENV.into(), OLD_COMPOSE.into()));
    assert_eq!(fixture.names(), [".env", "compose.yaml"]);
    assert_eq!(fixture.undo().unwrap(), Undone::Nothing);
}

#[test]
fn a_run_that_changes_nothing_keeps_the_undo_of_the_one_before() {
    let fixture = Fixture::new();
    let run = fixture.apply(&[edit(".env", OLD_ENV, NEW_ENV)]).unwrap();
    assert_eq!(fixture.apply(&[edit(".env", NEW_ENV, NEW_ENV)]).unwrap(), None);
    assert_eq!(fixture.open().last_run().unwrap(), run);
}

#[test]
fn undo_after_an_edit_names_the_file_and_changes_nothing() {
    let fixture = Fixture::new();
    fixture.apply(&[edit(".env", OLD_ENV, NEW_ENV), edit("compose.yaml", OLD_COMPOSE, NEW_COMPOSE)]).unwrap();
    fixture.write(".env", "edited\n");
    let Undone::Edited(edited) = fixture.undo().unwrap() else { panic!("must not undo") };
    assert_eq!(edited.len(), 1);
    assert!(edited[0].path.ends_with(".env"));
    assert_eq!(edited[0].current.as_deref(), Some(&b"edited\n"[..]));
    assert_eq!(edited[0].restored.as_deref(), Some(OLD_ENV.as_bytes()));
    assert!(!format!("{edited:?}").contains("canary"));
    assert_eq!((fixture.text(".env"), fixture.text("compose.yaml")), ("edited\n".into(), NEW_COMPOSE.into()));
}

#[test]
fn a_file_edited_after_the_plan_is_busy_and_nothing_changes() {
    let fixture = Fixture::new();
    fixture.write(".env", "edited\n");
    fixture.assert_refused(edit(".env", OLD_ENV, NEW_ENV), ErrorKind::Busy, "changed after the plan");
    fixture.assert_refused(create(".env", NEW_ENV), ErrorKind::Busy, "changed after the plan");
    fixture.assert_refused(edit("gone", OLD_ENV, NEW_ENV), ErrorKind::Busy, "changed after the plan");
}

#[test]
fn mode_and_owner_stay_and_new_secrets_are_private() {
    let fixture = Fixture::new();
    let env = fixture.project.join(".env");
    set_mode(&env, 0o640);
    if is_root() {
        std::os::unix::fs::chown(&env, Some(1234), Some(4321)).unwrap();
    }
    let before = fs::metadata(&env).unwrap();
    let mut token = create("token", "t");
    token.private = true;
    let changes =
        [edit(".env", OLD_ENV, NEW_ENV), create(".env.local", "A=1\n"), create("config.yaml", "a: 1\n"), token];
    fixture.apply(&changes).unwrap();
    let after = fs::metadata(&env).unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert_ne!(after.ino(), before.ino());
    assert_eq!(mode(&fixture.project.join(".env.local")), 0o600);
    assert_eq!(mode(&fixture.project.join("token")), 0o600);
    assert_eq!(mode(&fixture.project.join("config.yaml")) & !0o044, 0o600);
    fixture.undo().unwrap();
    let undone = fs::metadata(&env).unwrap();
    assert_eq!((undone.mode(), undone.uid(), undone.gid()), (before.mode(), before.uid(), before.gid()));
}

#[test]
fn a_link_inside_the_project_stays_a_link_and_its_target_changes() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.project.join("conf")).unwrap();
    fs::rename(fixture.project.join(".env"), fixture.project.join("conf/env")).unwrap();
    symlink("conf/env", fixture.project.join(".env")).unwrap();
    fixture.apply(&[edit(".env", OLD_ENV, NEW_ENV)]).unwrap();
    assert_eq!(fs::read_link(fixture.project.join(".env")).unwrap(), Path::new("conf/env"));
    assert_eq!(fixture.text("conf/env"), NEW_ENV);
    fixture.undo().unwrap();
    assert_eq!(fs::read_link(fixture.project.join(".env")).unwrap(), Path::new("conf/env"));
    assert_eq!(fixture.text("conf/env"), OLD_ENV);
}

#[test]
fn links_that_leave_dangle_or_circle_are_refused() {
    let fixture = Fixture::new();
    fs::write(fixture.root().join("outside"), OLD_ENV).unwrap();
    symlink("../outside", fixture.project.join("out")).unwrap();
    symlink("nowhere", fixture.project.join("dangling")).unwrap();
    symlink("loop", fixture.project.join("loop")).unwrap();
    for (name, text) in [("out", "leads out"), ("dangling", "does not exist"), ("loop", "back to itself")] {
        fixture.assert_refused(edit(name, OLD_ENV, NEW_ENV), ErrorKind::Refused, text);
    }
    let state = fixture.open();
    let options = ApplyOptions { follow_links_outside: true, ..options() };
    state.apply(&lock(&state), &[edit("out", OLD_ENV, NEW_ENV)], &note(), options).unwrap();
    assert_eq!(fs::read_to_string(fixture.root().join("outside")).unwrap(), NEW_ENV);
    assert!(fs::symlink_metadata(fixture.project.join("out")).unwrap().is_symlink());
}

#[test]
fn two_names_for_one_file_are_refused() {
    let fixture = Fixture::new();
    symlink("compose.yaml", fixture.project.join("alias")).unwrap();
    let change = edit("alias", OLD_COMPOSE, "other\n");
    fixture.assert_refused(change, ErrorKind::Refused, "the same file");
}

#[test]
fn a_pipe_in_place_of_env_is_refused_at_once() {
    let fixture = Fixture::new();
    fs::remove_file(fixture.project.join(".env")).unwrap();
    assert!(Command::new("mkfifo").arg(fixture.project.join(".env")).status().unwrap().success());
    fixture.assert_refused(edit(".env", OLD_ENV, NEW_ENV), ErrorKind::Refused, "not a regular file");
    let error = read_project_file(&fixture.project, Path::new(".env"), PROJECT_FILE_BYTES_MAX).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}

#[test]
fn a_file_with_two_names_is_overwritten_in_place_and_says_so() {
    let fixture = Fixture::new();
    fs::hard_link(fixture.project.join(".env"), fixture.root().join("second")).unwrap();
    let run = fixture.apply(&[edit(".env", OLD_ENV, NEW_ENV)]).unwrap().unwrap();
    assert!(run.files[0].in_place);
    assert!(run.warnings()[0].to_string().contains("overwritten in place"));
    assert_eq!(fs::read_to_string(fixture.root().join("second")).unwrap(), NEW_ENV);
    fixture.undo().unwrap();
    assert_eq!(fs::read_to_string(fixture.root().join("second")).unwrap(), OLD_ENV);
}

#[test]
fn paths_with_spaces_newlines_and_bytes_that_are_no_text_work() {
    for name in ["with space", "new\nline", "端口"].map(str::as_bytes).into_iter().chain([&b"\xff\xfe"[..]]) {
        let root = tempfile::tempdir().unwrap();
        let mut fixture = Fixture::at(root.path());
        fixture.project = root.path().join(std::ffi::OsStr::from_bytes(name));
        fixture.lay_out();
        let file = PathBuf::from(std::ffi::OsStr::from_bytes(name));
        fs::write(fixture.project.join(&file), OLD_ENV).unwrap();
        let run = fixture.apply(&[edit(&file, OLD_ENV, NEW_ENV)]).unwrap().unwrap();
        assert_eq!(fixture.open().last_run().unwrap().unwrap(), run);
        assert_eq!(fixture.undo().unwrap(), Undone::Restored(run));
        assert_eq!(fs::read_to_string(fixture.project.join(&file)).unwrap(), OLD_ENV);
    }
}

#[test]
fn a_project_that_is_gone_exits_5_and_names_it() {
    let fixture = Fixture::new();
    let dirs = Dirs { state: fixture.state.clone(), data: "/d".into(), config: "/c".into() };
    let error = ProjectState::open(&dirs, &fixture.root().join("gone")).unwrap_err();
    assert_eq!(error.kind().exit_code(), 5);
    assert!(error.to_string().contains("gone"), "{error}");
}

#[test]
fn the_state_folder_is_private_and_a_looser_one_is_refused() {
    let fixture = Fixture::new();
    fixture.apply(&[edit(".env", OLD_ENV, NEW_ENV)]).unwrap();
    let mut open = vec![fixture.state.clone()];
    while let Some(path) = open.pop() {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
        }
    }
    set_mode(&fixture.state, 0o770);
    let dirs = Dirs { state: fixture.state.clone(), data: "/d".into(), config: "/c".into() };
    let error = ProjectState::open(&dirs, &fixture.project).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("nobody else can write"), "{error}");
}

#[test]
fn choices_and_records_are_kept_by_project() {
    let fixture = Fixture::new();
    let state = fixture.open();
    let held = lock(&state);
    let port = |number| portwright::model::Port::new(number).unwrap();
    state.remember(&held, &[("web".to_owned(), port(8002))].into()).unwrap();
    state.remember(&held, &[("api".to_owned(), port(8003))].into()).unwrap();
    assert_eq!(state.recall().unwrap(), [("api".to_owned(), port(8003)), ("web".to_owned(), port(8002))].into());
    state.save_json(&held, "launched", &vec!["id"]).unwrap();
    assert_eq!(state.load_json::<Vec<String>>("launched").unwrap(), Some(vec!["id".to_owned()]));
    state.forget_json(&held, "launched").unwrap();
    assert_eq!(state.load_json::<Vec<String>>("launched").unwrap(), None);
    assert_eq!(state.save_json(&held, "../x", &1).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn no_secret_leaves_the_backups() {
    let fixture = Fixture::new();
    let change = edit(".env", OLD_ENV, NEW_ENV);
    assert!(!format!("{change:?}").contains("canary"));
    let run = fixture.apply(&[change]).unwrap();
    assert!(!format!("{run:?}").contains("canary"));
    for name in ["last.json", "lock"] {
        assert!(!fs::read_to_string(fixture.open().folder().join(name)).unwrap().contains("canary"));
    }
}

#[test]
fn few_backups_are_kept_and_the_last_one_always() {
    let fixture = Fixture::new();
    let state = fixture.open();
    let held = lock(&state);
    for number in (1..=9).rev() {
        let (before, after) = (fixture.text(".env"), format!("PORT={number}\n"));
        let options = ApplyOptions { now: at(number), ..options() };
        state.apply(&held, &[edit(".env", &before, &after)], &note(), options).unwrap();
    }
    assert!(fs::read_dir(state.folder().join("backups")).unwrap().count() <= 6);
    assert!(matches!(state.undo(&held, at(20)).unwrap(), Undone::Restored(_)));
    assert_eq!(fixture.text(".env"), "PORT=2\n");
}

const ROLE: &str = "PORTWRIGHT_IT_ROLE";
const FIXTURE: &str = "PORTWRIGHT_IT_FIXTURE";

/// A command that runs `test` of this binary alone, in `role` on `fixture`, behind `wrapper`.
pub(crate) fn in_role(wrapper: &[&str], test: &str, role: &str, fixture: &Fixture) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = wrapper.split_first().map_or_else(
        || Command::new(&this),
        |(program, arguments)| {
            let mut command = Command::new(program);
            command.args(arguments).arg(&this);
            command
        },
    );
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(FIXTURE, fixture.root());
    command
}

/// The fixture on which this process plays `role`; `None` when it is an ordinary test run.
pub(crate) fn my_fixture(role: &str) -> Option<Fixture> {
    let wanted = std::env::var_os(ROLE).is_some_and(|value| value == role);
    let root = std::env::var_os(FIXTURE).filter(|_| wanted)?;
    Some(Fixture::at(Path::new(&root)))
}

/// Plays the process inside of the mount namespace; an ordinary run has nothing to do here.
#[test]
fn role_of_a_process_with_a_mounted_file() {
    let Some(fixture) = my_fixture("mounted") else { return };
    let changes = [edit("compose.yaml", OLD_COMPOSE, NEW_COMPOSE), edit(".env", OLD_ENV, NEW_ENV)];
    let run = fixture.apply(&changes).unwrap().unwrap();
    assert_eq!(run.files.iter().map(|file| file.in_place).collect::<Vec<_>>(), [false, true]);
    assert_eq!((fixture.text(".env"), fixture.text("compose.yaml")), (NEW_ENV.into(), NEW_COMPOSE.into()));
    assert_eq!(fixture.names(), [".env", "compose.yaml"]);
    assert!(matches!(fixture.undo().unwrap(), Undone::Restored(_)));
    assert_eq!((fixture.text(".env"), fixture.text("compose.yaml")), (OLD_ENV.into(), OLD_COMPOSE.into()));
    assert_eq!(fixture.names(), [".env", "compose.yaml"]);
}

/// Runs `test` in `role` after `mount` was done in a mount namespace of its own, and asserts that it succeeds.
fn run_with_mount(fixture: &Fixture, mount: &str, test: &str, role: &str) {
    let script = format!("{mount} && exec \"$@\"");
    let wrapper = ["unshare", "-m", "sh", "-c", &script, "sh"];
    let probe = Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").current_dir(fixture.root()).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return skip("the right to mount (root) and unshare");
    }
    let output = in_role(&wrapper, test, role, fixture).current_dir(fixture.root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_file_that_is_a_mount_of_its_own_is_overwritten_in_place() {
    let fixture = Fixture::new();
    fs::write(fixture.root().join("host.env"), OLD_ENV).unwrap();
    let mount = "mount --bind host.env project/.env";
    run_with_mount(&fixture, mount, "disk::role_of_a_process_with_a_mounted_file", "mounted");
    assert_eq!(fs::read_to_string(fixture.root().join("host.env")).unwrap(), OLD_ENV);
}

/// Plays the process whose project lies on a disk of 64 KiB; an ordinary run has nothing to do here.
#[test]
fn role_of_a_process_with_a_full_disk() {
    let Some(fixture) = my_fixture("full") else { return };
    fixture.lay_out();
    let large = "#".repeat(100_000);
    fixture.assert_refused(edit(".env", OLD_ENV, &large), ErrorKind::Missing, "no space left for");
    fs::hard_link(fixture.project.join(".env"), fixture.project.join("second")).unwrap();
    fixture.assert_refused(edit(".env", OLD_ENV, &large), ErrorKind::Missing, "no space left for");
    assert_eq!(fixture.text(".env"), OLD_ENV);
}

#[test]
fn a_full_disk_leaves_the_old_bytes_also_where_they_are_overwritten_in_place() {
    let mount = "mount -t tmpfs -o size=64k none project";
    run_with_mount(&Fixture::new(), mount, "disk::role_of_a_process_with_a_full_disk", "full");
}

/// Plays an unprivileged user; an ordinary run has nothing to do here.
#[test]
fn role_of_an_unprivileged_user() {
    let Some(fixture) = my_fixture("unprivileged") else { return };
    let env = fixture.project.join(".env");
    set_mode(&env, 0o400);
    fixture.assert_refused(edit(".env", OLD_ENV, NEW_ENV), ErrorKind::Missing, ".env");
    set_mode(&env, 0o600);

    set_mode(&fixture.project, 0o500);
    let run = fixture.apply(&[edit(".env", OLD_ENV, NEW_ENV)]).unwrap().unwrap();
    assert!(run.files[0].in_place);
    fixture.assert_refused(create("new", "n"), ErrorKind::Missing, "has no permission for");
    assert!(matches!(fixture.undo().unwrap(), Undone::Restored(_)));
    assert_eq!(fixture.text(".env"), OLD_ENV);

    set_mode(&fixture.project, 0o700);
    fs::hard_link(fixture.project.join(".env"), fixture.root().join("second")).unwrap();
    fixture.apply(&[edit(".env", OLD_ENV, NEW_ENV), create("new", "n")]).unwrap();
    set_mode(&fixture.project, 0o500);
    assert_eq!(fixture.undo().unwrap_err().kind(), ErrorKind::Missing);
    assert_eq!((fixture.text(".env"), fixture.text("new")), (NEW_ENV.into(), "n".into()));
    set_mode(&fixture.project, 0o700);
    assert!(matches!(fixture.undo().unwrap(), Undone::Restored(_)));
    assert_eq!(fixture.names(), [".env", "compose.yaml"]);
}

#[test]
fn without_permission_nothing_changes_and_a_closed_folder_still_lets_its_files_change() {
    let fixture = Fixture::new();
    if !is_root() {
        let output = in_role(&[], "disk::role_of_an_unprivileged_user", "unprivileged", &fixture).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(fixture.root()).status();
    assert!(owned.unwrap().success());
    let wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let probe =
        Command::new(wrapper[0]).args(&wrapper[1..]).arg(std::env::current_exe().unwrap()).arg("--list").output();
    if !probe.is_ok_and(|output| output.status.success()) {
        return skip("setpriv, and a test binary that user 65534 can run");
    }
    let output = in_role(&wrapper, "disk::role_of_an_unprivileged_user", "unprivileged", &fixture).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn an_immutable_file_is_named_and_nothing_changes() {
    let fixture = Fixture::new();
    let env = fixture.project.join(".env");
    if !Command::new("chattr").arg("+i").arg(&env).output().is_ok_and(|output| output.status.success()) {
        return skip("chattr +i (root, ext4)");
    }
    let refused = std::panic::catch_unwind(|| {
        fixture.assert_refused(edit(".env", OLD_ENV, NEW_ENV), ErrorKind::Missing, ".env");
    });
    assert!(Command::new("chattr").arg("-i").arg(&env).status().unwrap().success());
    refused.unwrap();
}

/// Plays one of several contenders; an ordinary run has nothing to do here.
#[test]
fn role_of_a_contender() {
    let Some(fixture) = my_fixture("contender") else { return };
    let state = fixture.open();
    let held = state.lock("quick-start", Duration::from_mins(1), &mut |_| ()).unwrap();
    state.recover(&held).unwrap();
    let (env, compose) = (fixture.text(".env"), fixture.text("compose.yaml"));
    let turn = |text: &str| text.matches('+').count();
    assert_eq!(turn(&env), turn(&compose));
    let changes = [edit(".env", &env, &format!("{env}+")), edit("compose.yaml", &compose, &format!("{compose}+"))];
    state.apply(&held, &changes, &note(), options()).unwrap();
}

#[test]
fn eight_processes_in_one_project_take_turns_and_never_mix() {
    let fixture = Fixture::new();
    let start = |_| {
        in_role(&[], "disk::role_of_a_contender", "contender", &fixture)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let contenders: Vec<_> = (0..8).map(start).collect();
    for mut contender in contenders {
        assert!(contender.wait().unwrap().success());
    }
    assert_eq!(fixture.text(".env"), format!("{OLD_ENV}++++++++"));
    assert_eq!(fixture.text("compose.yaml"), format!("{OLD_COMPOSE}++++++++"));
}
