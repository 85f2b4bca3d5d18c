//! `doctor` on machines that were broken on purpose: each fault is found by its own check, named, and told what mends it,
//! and no other check is set off. What takes root (namespaces, mounts, firewall rules) is done in namespaces of its own.

mod engine;
mod machine;
mod project;
mod secrets;
mod state;
mod tunnel;
mod watch;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{Answer, PORTWRIGHT, Sandbox, have};

/// An engine that is not there.
const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";

/// What `doctor --json` says.
pub(crate) struct Diagnosis {
    document: Value,
    code: i32,
}

impl Diagnosis {
    /// Runs a command that prints the document.
    #[track_caller]
    fn of(command: &mut Command) -> Self {
        let answer = Answer::from(command.output().expect("the program runs"));
        let document = answer.json();
        assert_eq!(document["schema"], "portwright.doctor/1", "{document}");
        Self { document, code: answer.code }
    }

    /// Diagnoses the project of a sandbox where no engine answers.
    #[track_caller]
    fn here(sandbox: &Sandbox) -> Self {
        Self::of(sandbox.command(&["doctor", "--json"]).env("DOCKER_HOST", NO_ENGINE))
    }

    /// What it says of one check.
    #[track_caller]
    fn check(&self, id: &str) -> &Value {
        let checks = self.document["checks"].as_array().expect("checks");
        checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no check {id}: {}", self.document))
    }

    fn outcome(&self, id: &str) -> &str {
        self.check(id)["outcome"].as_str().expect("an outcome")
    }

    /// The checks that fail or warn, without those that do so on this very machine when nothing was broken.
    fn alarms(&self) -> Vec<String> {
        let checks = self.document["checks"].as_array().expect("checks");
        let loud = checks.iter().filter(|check| check["outcome"] == "fail" || check["outcome"] == "warn");
        let names = loud.map(|check| check["id"].as_str().expect("an id").to_owned());
        names.filter(|id| !usual().contains(id)).collect()
    }

    /// Fails unless exactly this check is set off, with `outcome`, evidence that names the fault, and a remedy.
    #[track_caller]
    fn finds(&self, id: &str, outcome: &str, evidence: &str, remedy: &str) {
        let check = self.check(id);
        assert_eq!(check["outcome"], outcome, "{check}");
        let text = |field: &str| check[field].as_str().unwrap_or_default();
        assert!(text("evidence").contains(evidence), "{evidence:?} is not named: {check}");
        assert!(text("remedy").contains(remedy) && !text("remedy").is_empty(), "{remedy:?} is not told: {check}");
        assert_eq!(self.alarms(), [id], "{}", self.document);
        assert_eq!(self.code, if outcome == "fail" { 3 } else { 0 }, "{}", self.document);
    }
}

/// What tests beside this one do to a shared engine: a container of theirs may outlive its folder by a moment.
const NOT_OURS: [&str; 2] = ["--skip", "left-containers"];

/// The alarms of this very machine, before anything is broken.
fn usual() -> &'static [String] {
    static USUAL: OnceLock<Vec<String>> = OnceLock::new();
    USUAL.get_or_init(|| {
        let sandbox = Sandbox::new(&[]);
        let answer = sandbox.run(&[&["doctor", "--json"], &NOT_OURS[..]].concat());
        let document = answer.json();
        let checks = document["checks"].as_array().expect("checks");
        let loud = checks.iter().filter(|check| check["outcome"] == "fail" || check["outcome"] == "warn");
        loud.map(|check| check["id"].as_str().expect("an id").to_owned()).collect()
    })
}

/// A project that publishes `port` of a service that nothing is known about.
fn web(port: u16) -> String {
    format!("services:\n  web:\n    image: x\n    ports: [\"127.0.0.1:{port}:80\"]\n")
}

/// Tells whether namespaces can be made and mounted in.
fn have_namespaces() -> bool {
    let works = Command::new("unshare").args(["-m", "-n", "true"]).output();
    have("root and unshare", works.is_ok_and(|output| output.status.success()))
}

/// `doctor --json`, to be run for a sandbox after `script`, in namespaces of its own. `$HOME` and the project's folder
/// are as outside.
fn broken_by(sandbox: &Sandbox, flags: &[&str], script: &str) -> Command {
    let script = format!("set -e\n{script}\nexec {PORTWRIGHT} doctor --json");
    let template = sandbox.command(&[]);
    let mut command = Command::new("unshare");
    command.args(flags).args(["sh", "-c", &script]).current_dir(sandbox.project()).env_clear();
    for (name, value) in template.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.env("DOCKER_HOST", NO_ENGINE);
    command
}

/// Puts an executable script into a folder.
fn script(folder: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(folder).expect("a folder");
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it may be run");
}

#[test]
fn nothing_is_wrong_where_nothing_is_broken_and_nothing_is_changed_by_looking() {
    let sandbox = Sandbox::new(&[]);
    let all = |folder: &Path| {
        let mut command = Command::new("find");
        let output = command.arg(folder).args(["-printf", "%p %s %m %T@\n"]).output().expect("find runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let root = sandbox.project().parent().expect("a root").to_owned();
    let before = all(&root);
    for _ in 0..2 {
        let seen = Diagnosis::of(&mut sandbox.command(&[&["doctor", "--json"], &NOT_OURS[..]].concat()));
        assert_eq!(seen.alarms(), [] as [String; 0], "{}", seen.document);
    }
    assert_eq!(all(&root), before);
    let summary = Diagnosis::here(&sandbox).document["summary"].clone();
    let counted: u64 =
        ["pass", "warn", "fail", "unknown", "skipped"].iter().filter_map(|name| summary[name].as_u64()).sum();
    assert_eq!(counted, portwright::plan::diagnose::CHECKS.len() as u64, "{summary}");
}

#[test]
fn ids_that_do_not_exist_are_refused_with_the_nearest_one() {
    let sandbox = Sandbox::new(&[]);
    for flag in ["--only", "--skip", "--accept"] {
        let answer = sandbox.run(&["doctor", flag, "prots"]).expect_code(2);
        assert!(answer.stderr.contains("`ports`"), "{}", answer.stderr);
    }
}

#[test]
fn what_is_accepted_does_not_change_the_exit_code_and_strict_counts_warnings() {
    let sandbox = Sandbox::new(&[("compose.yaml", &web(0).replace("127.0.0.1:0:80", "80"))]);
    let run = |words: &[&str]| {
        let mut command = sandbox.command(&[&["doctor", "--json"], words].concat());
        Answer::from(command.env("DOCKER_HOST", NO_ENGINE).output().expect("it runs"))
    };
    run(&["--only", "engine"]).expect_code(3);
    run(&["--only", "engine", "--accept", "engine"]).expect_code(0);
    run(&["--only", "engine", "--skip", "engine"]).expect_code(0);
    let variable = |words: &[&str]| {
        let mut command = sandbox.command(&[&["doctor", "--json", "--only", "variables"], words].concat());
        Answer::from(command.env("PORTWRIGHT_API_LISTENPORT", "1").output().expect("it runs"))
    };
    variable(&[]).expect_code(0);
    variable(&["--strict"]).expect_code(3);
    variable(&["--strict", "--accept", "variables"]).expect_code(0);
}

#[test]
fn facts_that_were_printed_are_judged_again_elsewhere() {
    let sandbox = Sandbox::new(&[]);
    let facts = sandbox.run(&["doctor", "--facts"]).expect_code(0).stdout;
    sandbox.write("facts.json", &facts);
    let replay = || {
        let words = ["doctor", "--json", "--from-facts", "facts.json"];
        Diagnosis::of(&mut sandbox.command(&[&words[..], &NOT_OURS].concat()))
    };
    assert_eq!(replay().alarms(), [] as [String; 0]);
    let clock: Value = serde_json::from_str(&facts).expect("JSON");
    let clock = clock["machine"]["known"]["clock_s"].as_u64().expect("a clock").to_string();
    sandbox.write("facts.json", &facts.replace(&clock, "1000000000"));
    replay().finds("clock", "fail", "2001-09-09", "set-ntp");
    for broken in ["", "{}", "[1]", &facts.replace("doctor-facts/1", "doctor-facts/9")] {
        sandbox.write("facts.json", broken);
        sandbox.run(&["doctor", "--from-facts", "facts.json"]).expect_code(5);
    }
}

#[test]
fn every_check_has_its_section_in_the_documentation_and_every_section_its_check() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md");
    let page = std::fs::read_to_string(page).expect("docs/doctor.md");
    let mut told: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut known: Vec<&str> = portwright::plan::diagnose::CHECKS.iter().map(|check| check.id).collect();
    told.sort_unstable();
    known.sort_unstable();
    assert_eq!(told, known);
}

#[test]
fn reports_for_machines_say_what_the_page_says() {
    let sandbox = Sandbox::new(&[("compose.yaml", &web(crate::support::free_block(1)))]);
    let run = |words: &[&str]| {
        let mut command = sandbox.command(&[&["doctor", "--only", "engine"], words].concat());
        Answer::from(command.env("DOCKER_HOST", NO_ENGINE).output().expect("it runs")).expect_code(3).stdout
    };
    let page = run(&[]);
    assert!(page.contains("broken engine") && page.contains("install Docker"), "{page}");
    let junit = run(&["--format", "junit"]);
    assert!(junit.contains("failures=\"1\"") && junit.contains("<failure type=\"engine\" message=\""), "{junit}");
    let github = run(&["--format", "github"]);
    assert!(github.starts_with("::error title=doctor engine::"), "{github}");
    let sarif: Value =
        serde_json::from_str(&run(&["--format", "sarif", "--report", "json=doctor.json"])).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "engine");
    let written: Value = serde_json::from_str(&sandbox.read("doctor.json")).expect("JSON");
    assert_eq!(written["schema"], "portwright.doctor/1");
    sandbox.run(&["doctor", "--watch", "--json"]).expect_code(2);
    let chinese = run(&["--lang", "zh-CN"]);
    assert!(chinese.contains("故障 engine") && chinese.contains("没有容器引擎"), "{chinese}");
}
