//! A machine with a real systemd as process 1: a container whose programs are those of this host.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::CONFIG;
use crate::support::{Answer, PORTWRIGHT, have, have_docker};

/// How long the machine may take to come up; it takes a second or two.
const BOOT_PATIENCE: Duration = Duration::from_mins(1);

/// How long a service may take to be started again after it was killed; its pause is 5 s.
const RESTART_PATIENCE: Duration = Duration::from_mins(1);

/// What systemd itself needs: without privileges that a machine of CI may lack, such as `CAP_SYS_RESOURCE`.
const CAPABILITIES: [&str; 7] =
    ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_NICE", "DAC_READ_SEARCH", "SYS_BOOT", "AUDIT_CONTROL"];

/// Units that have no business in a container.
const MASKED: [&str; 7] = [
    "systemd-udevd.service",
    "systemd-udevd-kernel.socket",
    "systemd-udevd-control.socket",
    "systemd-udev-trigger.service",
    "systemd-timesyncd.service",
    "systemd-resolved.service",
    "getty.target",
];

/// The machine; it goes with the value.
struct Machine {
    name: String,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let quiet = |arguments: &[&str]| {
            let _ = Command::new("docker").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        };
        quiet(&["rm", "-f", &self.name]);
        quiet(&["rmi", "-f", &self.name]);
    }
}

impl Machine {
    /// Starts one; `None` where it cannot be had.
    fn start(name: &str) -> Option<Self> {
        let systemd = Path::new("/lib/systemd/systemd").exists() && Path::new("/usr/bin/dbus-daemon").exists();
        if !have_docker() || !have("systemd and dbus", systemd) {
            return None;
        }
        let machine = Self { name: format!("pw-it-systemd-{name}-{}", std::process::id()) };
        machine.make_image();
        let folder = Path::new(PORTWRIGHT).parent().expect("a folder").display().to_string();
        let mut command = Command::new("docker");
        command.args(["run", "-d", "--name", &machine.name, "--network", "none", "--tmpfs", "/run", "--tmpfs", "/tmp"]);
        for capability in CAPABILITIES {
            command.args(["--cap-add", capability]);
        }
        command.args(["--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]);
        command.args(["-v", "/usr:/usr:ro", "-v", &format!("{folder}:/opt/portwright:ro")]);
        command.args(["-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro"]);
        if Path::new("/sys/fs/cgroup/systemd").exists() {
            command.args(["-v", "/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd:rw"]);
        }
        // Mounts that systemd makes for one service must be able to reach it, which a container forbids at first.
        command.args([machine.name.as_str(), "/bin/sh", "-c"]);
        command.arg("mount --make-rshared / && exec /lib/systemd/systemd --unit=multi-user.target");
        let output = command.output().expect("docker runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let deadline = Instant::now() + BOOT_PATIENCE;
        loop {
            let state = machine.run("systemctl is-system-running").stdout;
            if ["running", "degraded"].contains(&state.trim()) {
                return Some(machine);
            }
            let alive = Command::new("docker").args(["logs", &machine.name]).output().expect("docker runs");
            let log = String::from_utf8_lossy(&alive.stderr).into_owned();
            assert!(Instant::now() < deadline, "systemd does not come up: {state}\n{log}");
        }
    }

    /// Imports a root folder that holds the accounts of this host, and nothing else that is in `/usr` already.
    fn make_image(&self) {
        let root = tempfile::tempdir().expect("a folder");
        let path = |name: &str| root.path().join(name);
        for folder in
            ["etc/systemd/system", "var/lib", "var/log", "var/tmp", "proc", "sys", "dev", "root", "usr", "opt"]
        {
            fs::create_dir_all(path(folder)).expect("a folder");
        }
        for folder in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{folder}"), path(folder)).expect("a link");
        }
        symlink("/run", path("var/run")).expect("a link");
        fs::write(path("etc/machine-id"), "").expect("a file");
        for unit in MASKED {
            symlink("/dev/null", path("etc/systemd/system").join(unit)).expect("a link");
        }
        let copied = ["passwd", "group", "nsswitch.conf", "ld.so.cache", "dbus-1", "pam.d", "security", "alternatives"];
        for name in copied {
            let status = Command::new("cp").arg("-a").arg(Path::new("/etc").join(name)).arg(path("etc")).status();
            assert!(status.expect("cp runs").success(), "{name}");
        }
        let mut packed = Command::new("tar")
            .arg("-C")
            .arg(root.path())
            .args(["-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .expect("tar runs");
        let mut import = Command::new("docker");
        import.args(["import", "--change", "ENV container=docker", "-", &self.name]).stdout(Stdio::null());
        let status = import.stdin(packed.stdout.take().expect("a pipe")).status().expect("docker runs");
        assert!(packed.wait().expect("tar ends").success() && status.success());
    }

    /// Runs a line of shell.
    fn run(&self, line: &str) -> Answer {
        let environment = ["-e", "HOME=/root", "-e", "LANG=C.UTF-8"];
        let mut command = Command::new("docker");
        command.arg("exec").args(environment).args([self.name.as_str(), "/bin/sh", "-c", line]);
        command.output().expect("docker runs").into()
    }

    fn ours(&self, line: &str) -> Answer {
        self.run(&format!("/opt/portwright/portwright {line}"))
    }

    /// The process id of a service's first process.
    fn pid(&self, name: &str) -> u64 {
        let status = self.ours(&format!("service status --name {name} --json")).json();
        status["services"][0]["pid"].as_u64().unwrap_or_default()
    }
}

#[test]
fn a_real_systemd_runs_server_and_client_with_all_that_the_units_forbid() {
    let Some(machine) = Machine::start("system") else { return };
    let config = format!("mkdir -p /etc/portwright && cat > /etc/portwright/config.yaml <<'END'\n{CONFIG}END\n");
    machine.run(&config).expect_code(0);
    machine.run("chmod 600 /etc/portwright/config.yaml").expect_code(0);
    let install = "service install server --config /etc/portwright/config.yaml --yes";
    machine.ours(install).expect_code(0);
    assert!(machine.ours(install).expect_code(0).stderr.contains("nothing was changed"));
    assert_eq!(machine.ours("service status").code, 6);
    // `start` waits for READY=1, so the server answers now.
    machine.ours("service start server").expect_code(0);
    let log = machine.run("journalctl -u portwright-server --no-pager").stdout;
    let status = machine.ours("service status --json").expect_code(0).json();
    let row = &status["services"][0];
    assert!(row["enabled"] == true && row["state"] == "active (running)", "{status}\n{log}");
    let user = machine.run(&format!("stat -c %u /proc/{}", row["pid"])).stdout;
    assert!(user.trim().parse::<u32>().is_ok_and(|id| id > 60_000), "a user that exists only now: {user}");
    assert!(log.contains("serving") && !log.contains("pwj_"), "{log}");

    // The database of a running server takes a token from root; a client joins with it, as a service as well.
    let token = "PORTWRIGHT_DATABASE_PATH=/var/lib/portwright-server/data/mappings.db /opt/portwright/portwright \
                 tunnel token create --config /etc/portwright/config.yaml --name cabin --json";
    let made = machine.run(token).expect_code(0).json();
    let code = made["token"]["join_code"].as_str().expect("a code").to_owned();
    machine.ours(&format!("service install client --join {code} --yes")).expect_code(0);
    machine.ours("service start client").expect_code(0);
    let deadline = Instant::now() + RESTART_PATIENCE;
    while !machine.run("systemctl show -p StatusText portwright-client").stdout.contains("as cabin") {
        let log = machine.run("journalctl -u portwright-client --no-pager").stdout;
        assert!(Instant::now() < deadline, "the client connects: {log}");
    }
    assert_eq!(machine.run("stat -c %a /etc/portwright/portwright-client.token").stdout.trim(), "600");
    machine.ours("service status").expect_code(0);

    files_of_root_are_handed_over(&machine);
    let before = machine.pid("portwright-server");
    machine.run(&format!("kill -KILL {before}")).expect_code(0);
    let deadline = Instant::now() + RESTART_PATIENCE;
    while [0, before].contains(&machine.pid("portwright-server")) || machine.ours("service status server").code != 0 {
        assert!(Instant::now() < deadline, "a killed server is started again");
    }
    machine.ours("service stop").expect_code(0);
    assert_eq!(machine.ours("service status").code, 6);
    machine.ours("service uninstall --yes").expect_code(0);
    assert_eq!(machine.ours("service status").code, 3);
    let left = machine.run("ls /etc/systemd/system /etc/systemd/system/*.wants /etc/portwright").stdout;
    assert!(!left.contains("portwright-") && left.contains("config.yaml"), "{left}");
    assert!(machine.run("ls /var/lib/portwright-server/data").stdout.contains("mappings.db"), "data stays");
}

/// A second server, whose key and whose database's URL are in files of root: it says where it looks for the database.
fn files_of_root_are_handed_over(machine: &Machine) {
    let lines = "cd /etc/portwright && umask 077 && printf 8f1d2c3b4a5968778695a4b3c2d1e0ff > key && \
                 printf 'postgres://pw:canary-4711@127.0.0.1:1/shared' > url && cat > shared.yaml <<'END'\n\
                 tunnel: { listen_port: 9001 }\napi: { listen_port: 8081, api_key_file: /etc/portwright/key }\n\
                 database: { url_file: /etc/portwright/url }\nEND\n";
    machine.run(lines).expect_code(0);
    let install = "service install server --config /etc/portwright/shared.yaml --name pw-shared --yes";
    machine.ours(install).expect_code(0);
    machine.run("systemctl start --no-block pw-shared").expect_code(0);
    let log = || machine.run("journalctl -u pw-shared --no-pager").stdout;
    let deadline = Instant::now() + RESTART_PATIENCE;
    while !log().contains("127.0.0.1:1/shared") {
        assert!(Instant::now() < deadline, "it has read the URL: {}", log());
    }
    assert!(!log().contains("canary-4711"), "the password stays out of the log");
    machine.ours("service uninstall --name pw-shared --yes").expect_code(0);
}

#[test]
fn a_user_of_a_real_systemd_runs_a_server_of_their_own() {
    let Some(machine) = Machine::start("user") else { return };
    let user = "echo tester:x:1234:1234::/home/tester:/bin/sh >> /etc/passwd && echo tester:x:1234: >> /etc/group && \
                echo 'tester:*:19000:0:99999:7:::' > /etc/shadow && mkdir -p /home/tester /run/user/1234 && \
                chown 1234:1234 /home/tester /run/user/1234 && chmod 700 /run/user/1234 && \
                systemctl start user@1234.service";
    machine.run(user).expect_code(0);
    let run = |line: &str| {
        let variables = "HOME=/home/tester XDG_RUNTIME_DIR=/run/user/1234";
        let switch = "setpriv --reuid 1234 --regid 1234 --clear-groups env";
        machine.run(&format!("cd /home/tester && {switch} {variables} sh -c '{line}'"))
    };
    let ours = |line: &str| run(&format!("/opt/portwright/portwright {line}"));
    machine.run(&format!("cat > /home/tester/config.yaml <<'END'\n{CONFIG}END\n")).expect_code(0);
    ours("service install server --config config.yaml --user --yes").expect_code(0);
    ours("service start --user").expect_code(0);
    let status = ours("service status --user --json").expect_code(0).json();
    let row = &status["services"][0];
    assert!(row["scope"] == "user" && row["enabled"] == true && row["state"] == "active (running)", "{status}");
    let seccomp = machine.run(&format!("grep -E '^(Seccomp|NoNewPrivs):' /proc/{}/status", row["pid"])).stdout;
    let set: Vec<&str> = seccomp.split_whitespace().collect();
    assert_eq!(set, ["NoNewPrivs:", "1", "Seccomp:", "2"], "what the unit forbids is forbidden");
    ours("service uninstall --user --yes").expect_code(0);
    assert_eq!(ours("service status --user").code, 3);
    run("test -e .local/state/portwright/services/portwright-server/data/mappings.db").expect_code(0);
}
