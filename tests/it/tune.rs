//! `tune` in a network and mount namespace of its own: real keys of the kernel, a real folder for the start of the
//! system, and nothing of the host touched.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, PORTWRIGHT, Sandbox, have};
use crate::terminal::Terminal;

const FILE: &str = "/etc/sysctl.d/90-portwright.conf";
const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";
const SOMAXCONN: &str = "net.core.somaxconn";

/// How long a program may take to come to a point that it is sure to reach.
const PATIENCE: Duration = Duration::from_secs(20);

/// A namespace that lasts as long as this value. Its `/etc/sysctl.d` is empty and its own.
struct Namespace(Child);

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Namespace {
    /// Makes a namespace after these commands of a shell; `None` where that is not allowed.
    fn new(prepare: &str) -> Option<Self> {
        let script = format!("mount -t tmpfs none /etc/sysctl.d && {{ {prepare}; }} && echo ready && exec cat");
        let mut command = Command::new("unshare");
        command.args(["-n", "-m", "--propagation", "private", "sh", "-c", &script]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut namespace = Self(child.ok()?);
        let mut ready = [0; 6];
        let works = namespace.0.stdout.take().is_some_and(|mut stdout| stdout.read_exact(&mut ready).is_ok());
        have("namespaces, as root", works).then_some(namespace)
    }

    /// A program about to run within, with the sandbox's home.
    fn command(&self, sandbox: &Sandbox, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let pid = self.0.id().to_string();
        let project = format!("--wd={}", sandbox.project().display());
        command.args(["-t", &pid, "-n", "-m", &project]).args(words).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", sandbox.home()).env("LANG", "C.UTF-8").env("DOCKER_HOST", "unix:///nonexistent.sock");
        command
    }

    fn run(&self, sandbox: &Sandbox, arguments: &[&str]) -> Answer {
        let words = [&[PORTWRIGHT], arguments].concat();
        self.command(sandbox, &words).output().expect("the program runs").into()
    }

    fn shell(&self, sandbox: &Sandbox, script: &str) -> String {
        let answer: Answer = self.command(sandbox, &["sh", "-c", script]).output().expect("sh runs").into();
        answer.expect_code(0).stdout
    }

    /// Every key that `tune` knows, with its bytes as the kernel gives them, and our file.
    fn everything(&self, sandbox: &Sandbox) -> String {
        let one = |setting: &Value| {
            let path = setting["key"].as_str().expect("a key").replace('.', "/");
            format!("echo {path}; cat /proc/sys/{path} 2>/dev/null; ")
        };
        let script: String = self.settings(sandbox, &[]).iter().map(one).collect();
        self.shell(sandbox, &(script + "ls -la --time-style=+ /etc/sysctl.d/*; true"))
    }

    fn settings(&self, sandbox: &Sandbox, arguments: &[&str]) -> Vec<Value> {
        let answer = self.run(sandbox, &[&["tune", "show", "--json"], arguments].concat()).expect_code(0).json();
        assert!(answer["schema"] == "portwright.tune/1" && answer["os"] == "linux", "{answer}");
        answer["settings"].as_array().expect("settings").clone()
    }
}

fn of<'a>(settings: &'a [Value], key: &str) -> &'a Value {
    settings.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("no {key} in {settings:?}"))
}

/// A state folder is there once something was kept; a project's port is in the range of outgoing connections.
fn project() -> Sandbox {
    Sandbox::new(&[("compose.yaml", "services:\n  web:\n    image: x\n    ports: [\"40000:80\"]\n")])
}

#[test]
fn what_a_host_needs_is_applied_effective_and_reverted_to_the_byte() {
    let Some(space) = Namespace::new(
        "echo 100 > /proc/sys/net/core/somaxconn; echo 8080 > /proc/sys/net/ipv4/ip_local_reserved_ports",
    ) else {
        return;
    };
    let sandbox = project();
    let before = space.everything(&sandbox);
    let seen = space.settings(&sandbox, &[]);
    let somaxconn = of(&seen, SOMAXCONN);
    assert_eq!((&somaxconn["state"], &somaxconn["wanted"]), (&json!("change"), &json!("4096")));
    assert_eq!(of(&seen, RESERVED)["wanted"], "8080,40000");
    // A device's queue belongs to the host and is not in here.
    assert_eq!(of(&seen, "net.core.netdev_max_backlog")["state"], "unsupported");
    assert_eq!(space.everything(&sandbox), before, "looking changes nothing");

    let done = space.run(&sandbox, &["tune", "apply", "--yes", "--json"]).expect_code(0).json();
    let settings = done["settings"].as_array().expect("settings");
    assert!([SOMAXCONN, RESERVED].iter().all(|key| of(settings, key)["state"] == "applied"), "{done}");
    let values = "cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_local_reserved_ports";
    assert_eq!(space.shell(&sandbox, values), "4096\n8080,40000\n");
    let file = space.shell(&sandbox, &format!("cat {FILE}"));
    assert!(file.contains("net.core.somaxconn = 4096\n") && file.contains("reserved_ports = 8080,40000\n"), "{file}");
    // The program that reads the file at the start of the system takes it.
    space.shell(&sandbox, &format!("! command -v sysctl || sysctl -p {FILE}"));
    assert_eq!(of(&space.settings(&sandbox, &[]), SOMAXCONN)["state"], "applied");
    let again = space.run(&sandbox, &["tune", "apply", "--yes"]).expect_code(0);
    assert!(again.stderr.contains("this host needs no change"), "{}", again.stderr);

    let back = space.run(&sandbox, &["tune", "revert", "--yes", "--json"]).expect_code(0).json();
    assert_eq!(back["reverted"]["restored"], json!([SOMAXCONN, RESERVED]));
    assert_eq!(back["reverted"]["file_removed"], true);
    assert_eq!(space.everything(&sandbox), before);
    let nothing = space.run(&sandbox, &["tune", "revert", "--yes"]).expect_code(0);
    assert!(nothing.stderr.contains("nothing was applied"), "{}", nothing.stderr);
}

#[test]
fn every_setting_of_every_profile_comes_back_as_it_was() {
    let Some(space) = Namespace::new(
        "echo 0 > /proc/sys/net/ipv4/tcp_syncookies; echo reno > /proc/sys/net/ipv4/tcp_congestion_control",
    ) else {
        return;
    };
    let sandbox = project();
    let before = space.everything(&sandbox);
    for profile in ["load-test", "legacy"] {
        space.run(&sandbox, &["tune", "apply", "--profile", profile, "--yes"]).expect_code(0);
    }
    let range = space.shell(&sandbox, "cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/net/ipv4/tcp_fin_timeout");
    assert_eq!(range, "23000\t65535\n30\n");
    // The limits of buffers belong to the host: the kernel refuses them in here, and the rest is done.
    let wan = space.run(&sandbox, &["tune", "apply", "--profile", "wan", "--yes", "--json"]).expect_code(7).json();
    let settings = wan["settings"].as_array().expect("settings");
    assert_eq!(of(settings, "net.ipv4.tcp_slow_start_after_idle")["state"], "applied");
    let refused = of(settings, "net.core.rmem_max");
    assert!(refused["state"] == "refused" && refused["wanted"] == "16777216", "{refused}");
    let file = space.shell(&sandbox, &format!("cat {FILE}"));
    assert!(
        file.contains("tcp_fin_timeout = 30") && file.contains("after_idle = 0") && !file.contains("rmem_max"),
        "{file}"
    );
    space.run(&sandbox, &["tune", "revert", "--yes"]).expect_code(0);
    assert_eq!(space.everything(&sandbox), before);
}

/// Opens as many connections as its first argument says to the port that is the second, says the local port of the last
/// one, and keeps them until its input ends.
const CONNECT: &str = "import socket, sys
place = ('127.0.0.1', int(sys.argv[2]))
server = socket.create_server(place)
held = [socket.create_connection(place) for _ in range(int(sys.argv[1]))]
print(held[-1].getsockname()[1] if held else place[1], flush=True)
sys.stdin.read()";

/// Connections within a namespace; they end with the value.
struct Connections(Child);

impl Drop for Connections {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Connections {
    /// Opens them; also returns the local port of the last one.
    fn open(space: &Namespace, sandbox: &Sandbox, count: &str, port: &str) -> (Self, u16) {
        let mut command = space.command(sandbox, &["python3", "-c", CONNECT, count, port]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("it prints");
        (Self(child), line.trim().parse().expect("a port"))
    }
}

#[test]
fn a_shortage_of_ports_is_measured_and_ended_and_reserved_ports_are_not_given_out() {
    if !have("python3", Command::new("python3").arg("--version").output().is_ok()) {
        return;
    }
    let Some(space) = Namespace::new("ip link set lo up; echo 40000 40009 > /proc/sys/net/ipv4/ip_local_port_range")
    else {
        return;
    };
    let sandbox = Sandbox::new(&[]);
    let range = "net.ipv4.ip_local_port_range";
    assert_eq!(of(&space.settings(&sandbox, &[]), range)["state"], "ok");
    let (held, _) = Connections::open(&space, &sandbox, "8", "7000");
    let short = of(&space.settings(&sandbox, &[]), range).clone();
    assert_eq!(short["wanted"], "23000 60999");
    assert!(short["why"].as_str().is_some_and(|why| why.contains("8 of 10 ports are in use")), "{short}");
    space.run(&sandbox, &["tune", "apply", "--yes"]).expect_code(0);
    // More connections than the old range had ports.
    let (more, _) = Connections::open(&space, &sandbox, "20", "7001");
    drop((held, more));
    space.run(&sandbox, &["tune", "revert", "--yes"]).expect_code(0);
    assert_eq!(space.shell(&sandbox, "cat /proc/sys/net/ipv4/ip_local_port_range"), "40000\t40009\n");

    space.shell(&sandbox, "echo 41000 41001 > /proc/sys/net/ipv4/ip_local_port_range");
    space.run(&sandbox, &["tune", "apply", "--port", "41000", "--yes"]).expect_code(0);
    let (_held, given) = Connections::open(&space, &sandbox, "1", "7002");
    assert_eq!(given, 41001);
    // A service binds it all the same.
    let _service = Connections::open(&space, &sandbox, "0", "41000");
}

#[test]
fn where_the_kernel_refuses_everything_nothing_is_left_behind() {
    let Some(space) = Namespace::new(
        "echo 100 > /proc/sys/net/core/somaxconn; mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys",
    ) else {
        return;
    };
    let sandbox = Sandbox::new(&[]);
    let before = space.everything(&sandbox);
    let answer = space.run(&sandbox, &["tune", "apply", "--yes"]).expect_code(5);
    assert!(answer.stderr.contains(&format!("refused: {SOMAXCONN}: the system says: Read-only")), "{}", answer.stderr);
    assert_eq!(space.everything(&sandbox), before);
    assert!(space.run(&sandbox, &["tune", "revert", "--yes"]).expect_code(0).stderr.contains("nothing was applied"));
}

#[test]
fn a_right_that_is_missing_midway_puts_the_first_values_back() {
    // Not even root writes into an immutable file.
    let prepare = "echo 100 > /etc/sysctl.d/fixed; chattr +i /etc/sysctl.d/fixed; \
        mount --bind /etc/sysctl.d/fixed /proc/sys/net/core/somaxconn";
    let Some(space) = Namespace::new(prepare) else { return };
    let sandbox = project();
    let before = space.everything(&sandbox);
    let answer = space.run(&sandbox, &["tune", "apply", "--yes"]).expect_code(5);
    assert!(answer.stderr.contains(&format!("the system denies {SOMAXCONN}")), "{}", answer.stderr);
    assert_eq!(space.everything(&sandbox), before);
    assert!(space.run(&sandbox, &["tune", "revert", "--yes"]).expect_code(0).stderr.contains("nothing was applied"));
}

#[test]
fn what_somebody_changed_since_is_said_and_our_ports_alone_leave_a_list() {
    let Some(space) = Namespace::new("echo 100 > /proc/sys/net/core/somaxconn") else { return };
    let sandbox = project();
    space.run(&sandbox, &["tune", "apply", "--yes"]).expect_code(0);
    space.shell(
        &sandbox,
        "echo 9000 > /proc/sys/net/core/somaxconn; echo 40000,50000 > /proc/sys/net/ipv4/ip_local_reserved_ports",
    );
    let refused = space.run(&sandbox, &["tune", "revert"]).expect_code(2);
    assert!(refused.stderr.contains(&format!("{SOMAXCONN} is 9000, which somebody set since")), "{}", refused.stderr);
    assert_eq!(space.shell(&sandbox, "cat /proc/sys/net/core/somaxconn"), "9000\n");
    let done = space.run(&sandbox, &["tune", "revert", "--yes"]).expect_code(0);
    assert!(done.stderr.contains("somebody set since"), "{}", done.stderr);
    let values = "cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_local_reserved_ports; ls /etc/sysctl.d";
    assert_eq!(space.shell(&sandbox, values), "100\n50000\n");
}

#[test]
fn a_run_that_is_killed_midway_is_reverted_by_its_record() {
    // A pipe in the place of the file that is being written stops the run there, after the values.
    let Some(space) = Namespace::new("echo 100 > /proc/sys/net/core/somaxconn; mkfifo /etc/sysctl.d/90-portwright.new")
    else {
        return;
    };
    let sandbox = project();
    let words = [PORTWRIGHT, "tune", "apply", "--yes"];
    let mut command = space.command(&sandbox, &words);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program runs");
    let end = Instant::now() + PATIENCE;
    while space.shell(&sandbox, "cat /proc/sys/net/core/somaxconn") != "4096\n" {
        assert!(Instant::now() < end, "the value is set");
    }
    child.kill().expect("it is killed");
    child.wait().expect("it is collected");
    space.run(&sandbox, &["tune", "revert", "--yes"]).expect_code(0);
    let values = "cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_local_reserved_ports; ls /etc/sysctl.d";
    assert_eq!(space.shell(&sandbox, values), "100\n\n");
}

#[test]
fn edits_of_the_file_are_said_before_they_are_lost() {
    let Some(space) = Namespace::new("echo 100 > /proc/sys/net/core/somaxconn") else { return };
    let sandbox = project();
    space.run(&sandbox, &["tune", "apply", "--yes"]).expect_code(0);
    space.shell(&sandbox, &format!("echo vm.swappiness = 1 >> {FILE}"));
    for words in [&["tune", "apply", "--profile", "legacy"][..], &["tune", "revert"]] {
        let unasked = space.run(&sandbox, words).expect_code(2);
        assert!(unasked.stderr.contains(&format!("{FILE} was edited since")), "{}", unasked.stderr);
        assert!(space.shell(&sandbox, &format!("cat {FILE}")).contains("swappiness"));
    }
    let mut terminal = in_terminal(&space, &sandbox, &["revert"]);
    terminal.sees("was edited since").sees("Put these values back (2)?").types("y");
    terminal.sees("Also those that somebody changed since?").types("n").sees("left: ").ends_with(0);
    assert!(space.shell(&sandbox, &format!("cat {FILE} /proc/sys/net/core/somaxconn")).ends_with("= 1\n100\n"));
    space.shell(&sandbox, &format!("rm {FILE}"));
    space.run(&sandbox, &["tune", "apply", "--yes"]).expect_code(0);
    space.shell(&sandbox, &format!("echo vm.swappiness = 1 >> {FILE}"));
    space.run(&sandbox, &["tune", "revert", "--yes"]).expect_code(0);
    assert_eq!(space.shell(&sandbox, "ls /etc/sysctl.d"), "");
}

#[test]
fn a_file_of_another_user_stops_apply_and_revert() {
    let Some(space) = Namespace::new("echo 100 > /proc/sys/net/core/somaxconn") else { return };
    let (first, second) = (project(), project());
    space.run(&first, &["tune", "apply", "--yes"]).expect_code(0);
    space.shell(&first, "echo 100 > /proc/sys/net/core/somaxconn");
    let file = space.shell(&first, &format!("cat {FILE}"));
    assert!(space.run(&second, &["tune", "apply", "--yes"]).expect_code(3).stderr.contains(FILE));
    assert!(space.run(&second, &["tune", "revert", "--yes"]).expect_code(5).stderr.contains(FILE));
    assert_eq!(space.shell(&first, &format!("cat {FILE} /proc/sys/net/core/somaxconn")), file + "100\n");
}

#[test]
fn nobody_without_consent_or_rights_and_no_container_changes_anything() {
    let container = "mount -t tmpfs none /run; touch /run/.containerenv; mount --bind /etc/hosts /etc/hosts";
    let prepare = "echo 100 > /proc/sys/net/core/somaxconn";
    let (Some(space), Some(inside)) = (Namespace::new(prepare), Namespace::new(&format!("{prepare}; {container}")))
    else {
        return;
    };
    let sandbox = project();
    let before = space.everything(&sandbox);
    let unasked = space.run(&sandbox, &["tune", "apply"]).expect_code(2);
    assert!(unasked.stderr.contains("--yes"), "{}", unasked.stderr);
    // Where others may look, so that nobody's program can run.
    let place = tempfile::tempdir().expect("a folder");
    let program = place.path().join("portwright");
    std::fs::copy(PORTWRIGHT, &program).expect("a copy");
    open_to_all(place.path());
    let words = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        program.to_str().expect("a path"),
        "tune",
        "apply",
        "--yes",
    ];
    let mut command = space.command(&sandbox, &words);
    let nobody: Answer = command.env("HOME", "/nonexistent").current_dir("/").output().expect("it runs").into();
    assert!(nobody.expect_code(5).stderr.contains("only root"));
    assert_eq!(space.everything(&sandbox), before);

    let before = inside.everything(&sandbox);
    for verb in ["apply", "revert"] {
        let answer = inside.run(&sandbox, &["tune", verb, "--yes", "--json"]).expect_code(5).json();
        assert!(answer["error"]["message"].as_str().is_some_and(|text| text.contains("container")), "{answer}");
    }
    assert_eq!(inside.everything(&sandbox), before);
}

#[test]
fn quick_start_offers_it_and_does_it_when_told() {
    let container = "mount -t tmpfs none /run; touch /run/.containerenv; mount --bind /etc/hosts /etc/hosts";
    let (Some(space), Some(inside)) = (Namespace::new("true"), Namespace::new(container)) else { return };
    let sandbox = project();
    let offered = space.run(&sandbox, &["quick-start", "--yes", "--no-launch"]).expect_code(0);
    assert!(offered.stderr.contains("`portwright tune apply` changes them"), "{}", offered.stderr);
    let reserved = "cat /proc/sys/net/ipv4/ip_local_reserved_ports";
    assert_eq!(space.shell(&sandbox, reserved), "\n");
    space.run(&sandbox, &["quick-start", "--yes", "--no-launch", "--tune", "--dry-run"]).expect_code(0);
    assert_eq!(space.shell(&sandbox, reserved), "\n");
    // A moved port is the one that counts.
    let moved = ["quick-start", "--yes", "--no-launch", "--tune", "--port", "web=40005"];
    let done = space.run(&sandbox, &moved).expect_code(0);
    assert!(done.stderr.contains("applied: net.ipv4.ip_local_reserved_ports = 40005"), "{}", done.stderr);
    assert_eq!(space.shell(&sandbox, reserved), "40005\n");
    let again = space.run(&sandbox, &["quick-start", "--yes", "--no-launch"]).expect_code(0);
    assert!(!again.stderr.contains("tune apply"), "{}", again.stderr);
    space.run(&sandbox, &["tune", "revert", "--yes"]).expect_code(0);

    let sandbox = project();
    let before = sandbox.contents();
    assert!(inside.run(&sandbox, &moved).expect_code(5).stderr.contains("container"));
    assert_eq!(sandbox.contents(), before);
}

/// `tune` in a terminal, within a namespace.
fn in_terminal(space: &Namespace, sandbox: &Sandbox, arguments: &[&str]) -> Terminal {
    Terminal::open(space.command(sandbox, &[&[PORTWRIGHT, "tune"], arguments].concat()))
}

#[test]
fn a_person_is_asked_and_may_leave_what_somebody_changed() {
    let Some(space) = Namespace::new("echo 100 > /proc/sys/net/core/somaxconn") else { return };
    let sandbox = project();
    let before = space.everything(&sandbox);
    in_terminal(&space, &sandbox, &["apply"]).sees("Change these settings (2)?").types("n").ends_with(130);
    assert_eq!(space.everything(&sandbox), before);
    in_terminal(&space, &sandbox, &["apply"])
        .sees("Change these settings (2)?")
        .types("y")
        .sees("applied")
        .ends_with(0);
    space.shell(&sandbox, "echo 9000 > /proc/sys/net/core/somaxconn");
    let mut terminal = in_terminal(&space, &sandbox, &["revert"]);
    terminal.sees("which somebody set since").sees("Put these values back (2)?").types("y");
    terminal.sees("Also those that somebody changed since?").types("n").sees("left: ").ends_with(0);
    let values = "cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_local_reserved_ports; ls /etc/sysctl.d";
    assert_eq!(space.shell(&sandbox, values), "9000\n\n");
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[test]
fn each_setting_is_explained_and_a_profile_that_is_none_is_refused() {
    let sandbox = Sandbox::new(&[]);
    let answer = sandbox.run(&["tune", "--json", "--profile", "wan"]).expect_code(0).json();
    assert_eq!(answer["profile"], "wan");
    for setting in answer["settings"].as_array().expect("settings") {
        let text = |field: &str| setting[field].as_str().is_some_and(|text| !text.is_empty());
        assert!(["key", "state", "why", "source", "confidence"].iter().all(|field| text(field)), "{setting}");
    }
    let screen = sandbox.run(&["tune"]).expect_code(0).stdout;
    assert!(screen.contains("net.core.somaxconn = ") && screen.contains("source: "), "{screen}");
    let chinese = sandbox.run(&["tune", "--lang", "zh-CN"]).expect_code(0).stdout;
    assert!(chinese.contains("来源："), "{chinese}");
    sandbox.run(&["tune", "show", "--profile", "fast"]).expect_code(2);
}
