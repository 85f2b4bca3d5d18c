//! `scan --json` against the real kernel, as root and as an ordinary user.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The user id of `nobody`, which owns nothing.
pub(crate) const NOBODY: &str = "65534";

/// Copies the program to where every user may run it; the build folder may be closed to others.
pub(crate) fn program_for_everyone(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;

    let open = |path: &Path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755));
    let copy = folder.join("portwright");
    std::fs::copy(env!("CARGO_BIN_EXE_portwright"), &copy).expect("the program is copied");
    open(&copy).and_then(|()| open(folder)).expect("permissions are ours to set");
    copy
}

/// Runs `scan --json` as `nobody`; `None` where this test may not change its user.
fn scan_as_nobody() -> Option<Output> {
    let folder = tempfile::tempdir().expect("a folder");
    let program = program_for_everyone(folder.path());
    let output = Command::new("setpriv")
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(&program)
        .args(["scan", "--json", "--lang", "en"])
        .current_dir("/")
        .output();
    match output {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("setpriv:") => Some(output),
        _ => {
            skip("root and setpriv");
            None
        }
    }
}

/// Says that a test cannot run here, or fails where everything has to run.
#[expect(clippy::print_stdout, reason = "a test that was skipped must say so")]
fn skip(what: &str) {
    assert!(std::env::var_os("PORTWRIGHT_REQUIRE_ALL").is_none(), "needs {what}");
    println!("skipped: needs {what}");
}

fn document(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

fn on_port(document: &Value, port: u16) -> &Value {
    let sockets = document["sockets"].as_array().expect("sockets");
    let mut found = sockets.iter().filter(|socket| socket["port"] == port);
    let socket = found.next().expect("the port is listed");
    assert_eq!(found.next(), None, "once");
    socket
}

#[test]
fn root_sees_the_process_of_a_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let output = Command::new(env!("CARGO_BIN_EXE_portwright")).args(["scan", "--json"]).output().expect("it runs");
    let document = document(&output);
    assert_eq!(document["schema"], "portwright.scan/1");
    let socket = on_port(&document, port);
    assert_eq!(socket["pid"], std::process::id());
    assert_eq!(
        (&socket["protocol"], &socket["address"], &socket["state"]),
        (&Value::from("tcp"), &Value::from("127.0.0.1"), &Value::from("listen"))
    );
}

#[test]
fn an_ordinary_user_sees_every_port_and_is_told_what_would_show_the_process() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let Some(output) = scan_as_nobody() else { return };
    let document = document(&output);
    let socket = on_port(&document, port);
    assert_eq!((&socket["state"], &socket["pid"]), (&Value::from("listen"), &Value::Null));
    assert_eq!(socket["user"], "root", "the user is known without the process");
    let unseen = document["unseen"].as_array().expect("unseen");
    let owners = unseen.iter().find(|one| one["what"] == "socket-owners").expect("it says that owners are unseen");
    assert!(owners["why"].as_str().is_some_and(|why| why.contains("sudo portwright scan")), "{owners}");
}
