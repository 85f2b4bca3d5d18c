//! `service`: units that the real systemd judges, a manager that only records, a real systemd in a container, and what
//! a server tells its manager over a real socket.

mod machine;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::scan::program_for_everyone;
use crate::support::{Answer, Sandbox, free_block, have};

/// A key that no rule against examples refuses.
pub(crate) const CONFIG: &str = "api: { api_key: \"8f1d2c3b4a5968778695a4b3c2d1e0ff\" }\n";

/// How exposed a unit may be, in the judgement of `systemd-analyze security`: 2.0 of 10, in tenths.
const EXPOSURE_MAX: &str = "20";

/// A service manager that writes down what it is asked. It knows a service as soon as it is enabled, and as running
/// once it was started.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$*" >> "$0.calls"
state="${0%/*}/state"
case "$*" in
    *is-system-running*) echo running ;;
    *--version*) echo "systemd 255 (255.4)" ;;
    *" enable "*) [ -e "$state" ] || echo enabled > "$state" ;;
    *" disable "*) rm -f "$state" ;;
    *" start "*) echo started > "$state" ;;
    *" stop "*) echo enabled > "$state" ;;
    *" show "*)
        case "$(cat "$state" 2>/dev/null)" in
            started) printf 'LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nSubState=running\nMainPID=812\n' ;;
            enabled) printf 'LoadState=loaded\nUnitFileState=enabled\nActiveState=inactive\nSubState=dead\nMainPID=0\n' ;;
            *) printf 'LoadState=not-found\nActiveState=inactive\n' ;;
        esac ;;
esac
"#;

/// A sandbox with a private configuration, and the manager above before all others on the search path.
struct Ground {
    sandbox: Sandbox,
    path: String,
}

impl Ground {
    fn new() -> Self {
        let sandbox = Sandbox::new(&[("config.yaml", CONFIG), ("bin/systemctl", SYSTEMCTL)]);
        let mode = |file: &str, mode| {
            fs::set_permissions(sandbox.project().join(file), fs::Permissions::from_mode(mode)).expect("a mode");
        };
        mode("config.yaml", 0o600);
        mode("bin/systemctl", 0o755);
        let path = format!("{}:{}", sandbox.project().join("bin").display(), std::env::var("PATH").expect("a path"));
        Self { sandbox, path }
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        let mut typed = vec!["service"];
        typed.extend(arguments);
        self.sandbox.command(&typed).env("PATH", &self.path).output().expect("the program runs").into()
    }

    fn unit(&self, name: &str) -> PathBuf {
        self.sandbox.home().join(format!(".config/systemd/user/{name}.service"))
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.sandbox.project().join("bin/systemctl.calls")).unwrap_or_default();
        let told = |line: &&str| !line.contains("is-system-running") && !line.contains("--version");
        text.lines().filter(told).filter(|line| !line.contains(" show ")).map(str::to_owned).collect()
    }

    /// A join code of a server of this sandbox.
    fn join_code(&self) -> String {
        let typed = ["tunnel", "token", "create", "--config", "config.yaml", "--name", "laptop", "--json"];
        let made = self.sandbox.run(&typed).expect_code(0).json();
        made["token"]["join_code"].as_str().expect("a code").to_owned()
    }
}

/// Lets the real systemd judge a unit; returns whether it did.
fn judged(name: &str, unit: &str) -> bool {
    if !have("systemd-analyze", Command::new("systemd-analyze").arg("--version").output().is_ok()) {
        return false;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(format!("{name}.service"));
    fs::write(&file, unit).expect("a unit");
    let told = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze").args(arguments).arg(&file).output().expect("it runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), said)
    };
    let (well, said) = told(&["verify"]);
    assert!(well && said.trim().is_empty(), "{said}\n{unit}");
    let (well, said) = told(&["security", "--offline=true", &format!("--threshold={EXPOSURE_MAX}")]);
    assert!(well, "{said}");
    true
}

#[test]
fn units_of_the_machine_are_sound_and_hardly_exposed() {
    let ground = Ground::new();
    let dry = |arguments: &[&str]| {
        let mut typed = vec!["service", "install"];
        typed.extend(arguments);
        typed.push("--dry-run");
        // Without the manager of the test: the real one of this machine is asked for its version.
        ground.sandbox.run(&typed).expect_code(0).stdout
    };
    let plain = dry(&["server", "--config", "config.yaml"]);
    judged("portwright-server", &plain);
    assert!(plain.contains("\nDynamicUser=yes\n") && plain.contains("\nCapabilityBoundingSet=\n"), "{plain}");

    ground.sandbox.write("low.yaml", &format!("{CONFIG}port_range: {{ from: 80, end: 90 }}\n"));
    ground.sandbox.write("my env", "PORTWRIGHT_LOG_LEVEL=info\n");
    let low =
        dry(&["server", "--config", "low.yaml", "--env-file", "my env", "--run-as", "tunnel", "--name", "odd-one"]);
    assert!(low.contains("\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n") && low.contains("\nUser=tunnel\n"), "{low}");
    assert!(low.contains(&format!("\nLoadCredential=env:{}/my env\n", ground.sandbox.project().display())), "{low}");
    judged("odd-one", &low);

    ground.sandbox.write("key", "8f1d2c3b4a5968778695a4b3c2d1e0ff");
    fs::set_permissions(ground.sandbox.project().join("key"), fs::Permissions::from_mode(0o600)).expect("a mode");
    ground.sandbox.write(
        "files.yaml",
        "api: { api_key_file: key }\ndatabase: { url_file: database-url }\n\
         tunnel: { cert_file: cert.pem, key_file: key.pem, client_ca: ca.pem }\n",
    );
    let files = dry(&["server", "--config", "files.yaml"]);
    let folder = ground.sandbox.project().display().to_string();
    for (credential, variable, file) in [
        ("api_key", "PORTWRIGHT_API_API_KEY_FILE", "key"),
        ("database_url", "PORTWRIGHT_DATABASE_URL_FILE", "database-url"),
        ("tunnel_cert", "PORTWRIGHT_TUNNEL_CERT_FILE", "cert.pem"),
        ("tunnel_key", "PORTWRIGHT_TUNNEL_KEY_FILE", "key.pem"),
        ("client_ca", "PORTWRIGHT_TUNNEL_CLIENT_CA", "ca.pem"),
    ] {
        assert!(files.contains(&format!("\nLoadCredential={credential}:{folder}/{file}\n")), "{file}: {files}");
        assert!(files.contains(&format!("{variable}=%d/{credential}")), "{variable}: {files}");
    }
    assert_eq!(files.matches("LoadCredential=").count(), 6, "the configuration and what it names: {files}");
    judged("portwright-files", &files);

    ground.sandbox.write(
        "authority.yaml",
        &format!("{CONFIG}database: {{ url: \"postgres://pw@db.example.org/pw?sslrootcert={folder}/ca.pem\" }}\n"),
    );
    fs::set_permissions(ground.sandbox.project().join("authority.yaml"), fs::Permissions::from_mode(0o600))
        .expect("a mode");
    let warned = ground.sandbox.run(&["service", "install", "server", "--config", "authority.yaml", "--dry-run"]);
    assert!(warned.expect_code(0).stderr.contains(&format!("cannot read {folder}/ca.pem")), "nobody else can read it");

    let code = ground.join_code();
    let client = dry(&["client", "--join", &code, "--client-name", "cabin", "--expose", "127.0.0.1:22"]);
    assert!(client.contains("--token-file ${CREDENTIALS_DIRECTORY}/token"), "{client}");
    judged("portwright-client", &client);
    assert!(!fs::exists("/etc/portwright/portwright-client.token").expect("an answer"), "a dry run writes nothing");
}

#[test]
fn a_service_is_installed_once_started_stopped_and_removed_and_each_step_may_be_repeated() {
    let ground = Ground::new();
    assert_eq!(ground.run(&["status", "--user"]).code, 3);
    assert_eq!(ground.run(&["start", "server", "--user"]).code, 3);
    let install = ["install", "server", "--config", "config.yaml", "--user", "--yes"];
    let first = ground.run(&install).expect_code(0);
    assert!(first.stderr.contains("+ExecStart=") && first.stderr.contains("service start server --user"));
    let unit = fs::read_to_string(ground.unit("portwright-server")).expect("a unit");
    let config = ground.sandbox.project().join("config.yaml");
    assert!(unit.contains(&format!("--config {} --no-first-token", config.display())), "{unit}");
    assert!(unit.contains("\nRestartSteps=6\n") && !unit.contains("8f1d2c3b"), "{unit}");
    assert_eq!(ground.calls(), ["--user daemon-reload", "--user enable --quiet portwright-server.service"]);

    let again = ground.run(&install).expect_code(0);
    assert!(again.stderr.contains("nothing was changed"), "{}", again.stderr);
    assert_eq!(ground.calls().len(), 2, "the manager is not asked again");
    assert_eq!(ground.run(&["status", "--user"]).code, 6);
    ground.run(&["start", "--user"]).expect_code(0);
    let status = ground.run(&["status", "server", "--user", "--json"]).expect_code(0).json();
    let row = &status["services"][0];
    assert_eq!(status["schema"], "portwright.service/1");
    assert!(row["name"] == "portwright-server" && row["role"] == "server" && row["scope"] == "user", "{status}");
    assert!(row["installed"] == true && row["enabled"] == true && row["pid"] == 812, "{status}");
    assert!(row["manager"] == "systemd" && row["state"] == "active (running)", "{status}");
    assert_eq!(row["log"], "journalctl --user -u portwright-server.service");
    ground.sandbox.write("other.yaml", &format!("{CONFIG}tunnel: {{ listen_port: 9001 }}\n"));
    let changed = ground.run(&["install", "server", "--config", "other.yaml", "--user", "--yes"]).expect_code(0);
    assert!(changed.stderr.contains("service stop server --user`, then") && changed.stderr.contains("-ExecStart="));
    ground.run(&["stop", "--user"]).expect_code(0);
    assert_eq!(ground.run(&["status", "--user"]).code, 6);
    assert_eq!(ground.run(&["uninstall", "--user"]).code, 2, "nobody can be asked");
    ground.run(&["uninstall", "--user", "--yes"]).expect_code(0);
    assert!(!ground.unit("portwright-server").exists());
    assert!(ground.calls().contains(&"--user disable --quiet --now portwright-server.service".to_owned()));
    assert_eq!(ground.calls().last().map(String::as_str), Some("--user daemon-reload"));
    let gone = ground.run(&["uninstall", "--user", "--yes", "--json"]).expect_code(0).json();
    assert_eq!(gone["services"][0]["installed"], false);
}

#[test]
fn a_join_code_becomes_a_private_file_and_the_unit_holds_no_secret() {
    let ground = Ground::new();
    let code = ground.join_code();
    let install = ["install", "client", "--join", &code, "--user", "--yes", "--json"];
    let answer = ground.run(&install).expect_code(0);
    let unit = fs::read_to_string(ground.unit("portwright-client")).expect("a unit");
    let token = ground.sandbox.home().join(".config/portwright/portwright-client.token");
    let secret = fs::read_to_string(&token).expect("a token");
    assert!(secret.starts_with("pwt_") && fs::metadata(&token).expect("a file").permissions().mode() & 0o777 == 0o600);
    for text in [&unit, &answer.stdout, &answer.stderr] {
        assert!(!text.contains(secret.trim()) && !text.contains("pwj_"), "{text}");
    }
    assert!(unit.contains(&format!("--token-file {}", token.display())) && unit.contains("--pin sha256:"), "{unit}");
    let changes = answer.json()["changes"].to_string();
    assert!(changes.contains("ExecStart=") && changes.contains("create"), "{changes}");

    let again = ground.run(&install).expect_code(0).json();
    assert_eq!(again["changes"], serde_json::json!([]));
    // A token that a person replaced is theirs and stays.
    fs::write(&token, "mine").expect("written");
    ground.run(&["uninstall", "client", "--user", "--yes"]).expect_code(0);
    assert!(token.exists() && !ground.unit("portwright-client").exists());
    ground.run(&install).expect_code(0);
    ground.run(&["uninstall", "client", "--user", "--yes"]).expect_code(0);
    assert!(!token.exists(), "one that is as it was written goes");
    let damaged = &code[..60];
    assert_eq!(ground.run(&["install", "client", "--join", damaged, "--user", "--yes"]).code, 2);
}

#[test]
fn a_unit_that_a_person_wrote_or_edited_is_left_alone_until_told() {
    let ground = Ground::new();
    let install = ["install", "server", "--config", "config.yaml", "--user", "--yes"];
    let unit = ground.unit("portwright-server");
    fs::create_dir_all(unit.parent().expect("a folder")).expect("a folder");
    fs::write(&unit, "[Service]\nExecStart=/bin/true\n").expect("a unit of others");
    let refused = ground.run(&install).expect_code(3);
    assert!(refused.stderr.contains("did not write it") && refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(ground.run(&["uninstall", "server", "--user", "--yes"]).code, 3);
    assert_eq!(fs::read_to_string(&unit).expect("still there"), "[Service]\nExecStart=/bin/true\n");
    assert!(ground.calls().is_empty());

    let forced: Vec<&str> = install.iter().copied().chain(["--force"]).collect();
    let shown = ground.run(&forced).expect_code(0).stderr;
    assert!(shown.contains("-ExecStart=/bin/true") && shown.contains("+ExecStart="), "{shown}");
    let edited = fs::read_to_string(&unit).expect("ours").replace("WatchdogSec=60", "WatchdogSec=90");
    fs::write(&unit, &edited).expect("an edit by hand");
    for typed in [&install[..], &["uninstall", "server", "--user", "--yes"]] {
        let refused = ground.run(typed).expect_code(3);
        assert!(refused.stderr.contains("edited by hand"), "{}", refused.stderr);
        assert_eq!(fs::read_to_string(&unit).expect("still there"), edited);
    }
    let detail = ground.run(&["status", "--user", "--json"]).json()["services"][0]["detail"].to_string();
    assert!(detail.contains("edited by hand"), "{detail}");
    ground.run(&["uninstall", "server", "--user", "--yes", "--force"]).expect_code(0);
    assert!(!unit.exists());
}

#[test]
fn where_no_manager_runs_nothing_is_changed_and_the_way_out_is_named() {
    let ground = Ground::new();
    let typed = ["service", "install", "server", "--config", "config.yaml", "--user", "--yes"];
    let empty = ground.sandbox.project().join("empty");
    fs::create_dir(&empty).expect("a folder");
    let answer: Answer = ground.sandbox.command(&typed).env("PATH", &empty).output().expect("it runs").into();
    let answer = answer.expect_code(5);
    assert!(answer.stderr.contains("systemd does not run") && answer.stderr.contains("--runtime native"));
    assert!(!ground.unit("portwright-server").exists());
    let bad = ["install", "server", "--config", "nowhere.yaml", "--user", "--yes"];
    assert_eq!(ground.run(&bad).code, 5);
    ground.sandbox.write("weak.yaml", "api: { api_key: \"changeme\" }\n");
    assert_eq!(ground.run(&["install", "server", "--config", "weak.yaml", "--user", "--yes"]).code, 3);
    ground.sandbox.write("far.yaml", &format!("{CONFIG}database: {{ path: /srv/far/mappings.db }}\n"));
    let far = ["install", "server", "--config", "far.yaml", "--dry-run"];
    let refused = ground.run(&far).expect_code(3);
    assert!(refused.stderr.contains("--run-as"), "{}", refused.stderr);
    let named: Vec<&str> = far.iter().copied().chain(["--run-as", "tunnel"]).collect();
    assert!(ground.run(&named).expect_code(0).stdout.contains("\nReadWritePaths=\"/srv/far\"\n"));
}

#[test]
fn without_rights_nothing_is_changed_and_the_way_out_is_a_service_of_the_user() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = program_for_everyone(folder.path());
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).expect("a folder");
    for (name, text, mode) in [("bin/systemctl", SYSTEMCTL, 0o755), ("config.yaml", CONFIG, 0o644)] {
        fs::write(folder.path().join(name), text).expect("a file");
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).expect("a mode");
    }
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .args(["service", "install", "server", "--name", "pw-it-no-rights", "--yes", "--lang", "en", "--config"])
        .arg(folder.path().join("config.yaml"))
        .envs([("PATH", path.as_str()), ("HOME", "/nonexistent")])
        .output();
    let changed = output.as_ref().is_ok_and(|output| !String::from_utf8_lossy(&output.stderr).contains("setpriv:"));
    if !have("root and setpriv", changed) {
        return;
    }
    let answer = Answer::from(output.expect("it ran")).expect_code(5);
    assert!(answer.stderr.contains("add `--user`"), "{}", answer.stderr);
    assert!(!Path::new("/etc/systemd/system/pw-it-no-rights.service").exists());
}

/// A program of ours under a manager that is this test; it is killed with the value.
struct Managed {
    child: Child,
    socket: UnixDatagram,
}

impl Managed {
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let path = sandbox.home().join("notify");
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).expect("a socket");
        // Only a program that says nothing for this long fails the test; none of it is measured.
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a patience");
        let mut command = sandbox.command(arguments);
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        Self { child, socket }
    }

    /// Waits until the program says `wanted`; what else it says is let pass.
    fn expect(&self, wanted: &str) {
        let mut bytes = [0; 1024];
        loop {
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{wanted}: {error}"));
            if String::from_utf8_lossy(&bytes[..length]).starts_with(wanted) {
                return;
            }
        }
    }

    fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().expect("kill runs").success());
        self.expect("STOPPING=1");
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server_config(folder: &Path, first: u16) -> String {
    let (api, tunnel, from, end) = (first, first + 1, first + 2, first + 5);
    format!(
        "api: {{ api_key: \"8f1d2c3b4a5968778695a4b3c2d1e0ff\", listen_port: {api} }}\n\
         tunnel: {{ listen: 127.0.0.1, listen_port: {tunnel} }}\nport_range: {{ from: {from}, end: {end} }}\n\
         database: {{ path: {}/mappings.db }}\n",
        folder.display()
    )
}

#[test]
fn server_and_client_tell_their_manager_that_they_are_ready_alive_and_stopping() {
    let sandbox = Sandbox::new(&[]);
    let first = free_block(6);
    sandbox.write("config.yaml", &server_config(&sandbox.project(), first));
    let made = sandbox.run(&["tunnel", "token", "create", "--config", "config.yaml", "--name", "a", "--json"]);
    let code = made.expect_code(0).json()["token"]["join_code"].as_str().expect("a code").to_owned();
    let arguments = ["tunnel", "client", "--join", &code];
    let mut client = Managed::start(&sandbox, &arguments);
    client.expect("READY=1");
    client.expect("STATUS=not connected");
    client.expect("WATCHDOG=1");
    client.terminate();

    let mut server = Managed::start(&sandbox, &["tunnel", "server", "--config", "config.yaml"]);
    server.expect("READY=1");
    assert!(std::net::TcpStream::connect(("127.0.0.1", first)).is_ok(), "it is ready when it says so");
    server.expect("WATCHDOG=1");
    server.expect("WATCHDOG=1");
    server.terminate();
}
