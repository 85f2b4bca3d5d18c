//! Engines that are absent, dead, silent, too old, too new, or no engines at all; and compose.

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use super::{Diagnosis, NO_ENGINE, script, web};
use crate::docker_fake::{VERSION, fake, reply};
use crate::scan::{NOBODY, program_for_everyone};
use crate::support::{Sandbox, free_block, have};

/// A compose project, which needs an engine.
fn project() -> Sandbox {
    Sandbox::new(&[("compose.yaml", &web(free_block(1)))])
}

fn asked(sandbox: &Sandbox, host: &str) -> Diagnosis {
    Diagnosis::of(sandbox.command(&["doctor", "--json"]).env("DOCKER_HOST", host))
}

fn at(path: &Path) -> String {
    format!("unix://{}", path.display())
}

#[test]
fn an_engine_that_is_absent_dead_or_silent_is_told_apart() {
    let sandbox = project();
    asked(&sandbox, NO_ENGINE).finds("engine", "fail", "does not exist", "install Docker");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    // Accepts and never answers.
    asked(&sandbox, &at(&path)).finds("engine", "fail", "gave no answer", "systemctl restart docker");
    drop(listener);
    asked(&sandbox, &at(&path)).finds("engine", "fail", "not running", "systemctl start docker");
}

#[test]
fn an_engine_is_not_missed_where_nothing_needs_it() {
    let seen = asked(&Sandbox::new(&[]), NO_ENGINE);
    assert_eq!((seen.outcome("engine"), seen.alarms().len()), ("skipped", 0), "{}", seen.document);
}

#[test]
fn an_address_or_a_context_of_no_use_is_named() {
    let sandbox = project();
    asked(&sandbox, "ssh://user@example.org").finds("engine-address", "fail", "ssh://", "ssh -NL");
    let mut command = sandbox.command(&["doctor", "--json"]);
    command.env_remove("DOCKER_HOST").env("DOCKER_CONTEXT", "nowhere");
    Diagnosis::of(&mut command).finds("engine-address", "fail", "nowhere", "docker context");
    let closed = format!("tcp://127.0.0.1:{}", free_block(1));
    asked(&sandbox, &closed).finds("engine", "fail", "cannot reach", "DOCKER_HOST");
}

#[test]
fn what_is_no_engine_or_speaks_another_version_is_said_so() {
    let sandbox = project();
    let (_folder, path) = fake(|_, stream| drop(stream.write_all(b"220 mail.example ESMTP\r\n")));
    asked(&sandbox, &at(&path)).finds("engine", "fail", "does not answer like", "DOCKER_HOST");
    let (_folder, path) =
        fake(|_, stream| reply(stream, "400 Bad Request", "Client sent an HTTP request to an HTTPS server.\n"));
    asked(&sandbox, &at(&path)).finds("engine-address", "fail", "TLS", "");
    for (least, most) in [("1.12", "1.39"), ("1.60", "1.99")] {
        let body = format!(r#"{{"ApiVersion":"{most}","MinAPIVersion":"{least}"}}"#);
        let (_folder, path) = fake(move |_, stream| reply(stream, "200 OK", &body));
        asked(&sandbox, &at(&path)).finds("engine-version", "fail", most, "update the engine");
    }
}

/// An engine that greets as `version` has it and lists containers as `list` writes them.
fn greeting(version: String, list: Option<&'static str>) -> (tempfile::TempDir, std::path::PathBuf) {
    fake(move |line, stream| {
        if line.contains("/version") {
            reply(stream, "200 OK", &version);
        } else if line.contains("/containers/json") {
            match list {
                Some(list) => reply(stream, "200 OK", list),
                // The next question finds the connection held, as of an engine that hangs on its storage.
                None => std::thread::park(),
            }
        } else {
            reply(stream, "404 Not Found", r#"{"message":"page not found"}"#);
        }
    })
}

#[test]
fn an_engine_that_greets_and_then_hangs_is_found() {
    let sandbox = Sandbox::new(&[]);
    let (_folder, path) = greeting(VERSION.to_owned(), None);
    asked(&sandbox, &at(&path)).finds("engine-containers", "fail", "no answer within", "journalctl -u docker");
}

#[test]
fn an_engine_of_another_kind_of_machine_and_a_container_without_its_folder_are_found() {
    let sandbox = Sandbox::new(&[]);
    let arch = if cfg!(target_arch = "aarch64") { "riscv64" } else { "arm64" };
    let (_folder, path) = greeting(VERSION.replace("amd64", arch), Some("[]"));
    asked(&sandbox, &at(&path)).finds("engine-platform", "warn", arch, "--runtime native");
    let native = VERSION.replace("amd64", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" });
    let list = r#"[{"Id":"ab","Names":["/portwright-tunnel-old"],"State":"exited","Ports":[],
        "Labels":{"dev.portwright.directory":"/nonexistent/old"}}]"#;
    let (_folder, path) = greeting(native, Some(list));
    asked(&sandbox, &at(&path)).finds(
        "left-containers",
        "warn",
        "/nonexistent/old",
        "docker rm -f portwright-tunnel-old",
    );
}

#[test]
fn compose_that_is_missing_or_too_old_is_found() {
    let sandbox = project();
    let (_folder, path) = greeting(VERSION.to_owned(), Some("[]"));
    let programs = sandbox.home().join("bin");
    let with_path = |folder: &Path| {
        let mut command = sandbox.command(&["doctor", "--json"]);
        Diagnosis::of(command.env("DOCKER_HOST", at(&path)).env("PATH", folder))
    };
    with_path(&programs).finds("compose", "fail", "neither docker compose", "docker-compose-plugin");
    script(&programs, "docker-compose", "#!/bin/sh\necho 1.25.0\n");
    with_path(&programs).finds("compose-version", "warn", "1.25", "docker-compose");
    script(&programs, "docker-compose", "#!/bin/sh\necho 1.29.2\n");
    assert_eq!(with_path(&programs).alarms(), [] as [String; 0]);
}

#[test]
fn a_user_who_may_not_speak_to_the_engine_nor_bind_a_port_is_told_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = program_for_everyone(folder.path());
    let socket = folder.path().join("engine.sock");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    script(folder.path(), "compose.yaml", "services:\n  web:\n    image: x\n    ports: [\"127.0.0.1:80:80\"]\n");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--bounding-set", "-all"]);
    command.arg(&program).args(["doctor", "--json", "--accept", "engine", "-C"]).arg(folder.path());
    command
        .current_dir("/")
        .env_clear()
        .env("DOCKER_HOST", at(&socket))
        .env("HOME", "/tmp")
        .env("PATH", "/usr/bin:/bin");
    let works = Command::new("setpriv").args(["--reuid", NOBODY, "true"]).status().is_ok_and(|status| status.success());
    if !have("root and setpriv", works) {
        return;
    }
    let seen = Diagnosis::of(&mut command);
    let (engine, port) = (seen.check("engine"), seen.check("ports-privileged"));
    assert!(engine["evidence"].to_string().contains("permission denied"), "{engine}");
    assert!(engine["remedy"].to_string().contains("usermod -aG docker"), "{engine}");
    assert!(port["outcome"] == "warn" && port["remedy"].to_string().contains("--port web:80="), "{port}");
    // What takes root to see is not known, and no alarm.
    assert_eq!(seen.outcome("firewall"), "unknown", "{}", seen.document);
}
