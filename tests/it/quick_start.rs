//! `quick-start`, `check` and `undo` on projects that others could have written.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::support::{Sandbox, free_block, hold};

/// The seed's layout: two services behind one variable each, with comments and quirks that must survive.
fn classic(first: u16) -> (String, String) {
    let second = first + 1;
    let compose = format!(
        "services:\n  deno:\n    image: x # the deno side\n    ports:\n      - \"${{DENO_PORT:-{first}}}:8000\"\n  go:\n    image: x\n    ports:\n      - \"${{GO_PORT:-{second}}}:8000\"\n"
    );
    let env = format!("# ports\nDENO_PORT={first}  # main\n\nexport GO_PORT='{second}'\nSECRET=hunter2-canary\n");
    (compose, env)
}

fn classic_sandbox(first: u16) -> Sandbox {
    let (compose, env) = classic(first);
    Sandbox::new(&[("docker-compose.yml", &compose), (".env", &env)])
}

#[test]
fn the_classic_moves_one_port_past_its_sibling_and_undo_gives_back_the_bytes() {
    let first = free_block(4);
    let sandbox = classic_sandbox(first);
    let before = sandbox.contents();
    let _held = hold(first);
    let answer = sandbox.run(&["quick-start", "--yes", "--no-launch", "--json"]).expect_code(0);
    let document = answer.json();
    assert_eq!(document["schema"], "portwright.quick-start/1");
    let (_, env) = classic(first);
    let expected = env.replace(&format!("DENO_PORT={first}"), &format!("DENO_PORT={}", first + 2));
    assert_eq!(sandbox.read(".env"), expected);
    assert_eq!(sandbox.read("docker-compose.yml"), classic(first).0);
    let change = &document["changes"][0];
    assert_eq!(change["kind"], "replace");
    assert_eq!(change["line"], 2);
    assert!(document["undo_id"].is_string());
    sandbox.run(&["undo", "--yes"]).expect_code(0);
    assert_eq!(sandbox.contents(), before);
    let again = sandbox.run(&["undo", "--yes"]).expect_code(0);
    assert!(again.stderr.contains("nothing to undo"), "{}", again.stderr);
}

#[test]
fn a_second_run_changes_nothing() {
    let first = free_block(4);
    let sandbox = classic_sandbox(first);
    let _held = hold(first);
    sandbox.run(&["quick-start", "--yes", "--no-launch"]).expect_code(0);
    let after_first = sandbox.contents();
    let again = sandbox.run(&["quick-start", "--yes", "--no-launch", "--json"]).expect_code(0);
    assert_eq!(again.json()["changes"], serde_json::json!([]));
    assert_eq!(sandbox.contents(), after_first);
}

#[test]
fn a_dry_run_shows_the_change_and_writes_nothing() {
    let first = free_block(4);
    let sandbox = classic_sandbox(first);
    let before = sandbox.contents();
    let _held = hold(first);
    let answer = sandbox.run(&["quick-start", "--yes", "--dry-run", "--json"]).expect_code(0);
    let document = answer.json();
    assert_eq!(document["dry_run"], true);
    assert_eq!(document["undo_id"], serde_json::Value::Null);
    assert_eq!(document["bindings"][0]["state"], "conflict");
    assert_eq!(document["bindings"][0]["suggested"], first + 2);
    assert_eq!(sandbox.contents(), before);
    let state = sandbox.home().join(".local/state/portwright");
    assert!(!state.join("projects").exists() || std::fs::read_dir(state.join("projects")).unwrap().count() == 0);
}

#[test]
fn without_a_terminal_a_conflict_is_refused_and_consent_is_never_guessed() {
    let first = free_block(4);
    let sandbox = classic_sandbox(first);
    let before = sandbox.contents();
    sandbox.run(&["quick-start", "--no-launch"]).expect_code(2);
    let held = hold(first);
    let answer = sandbox.run(&["quick-start", "--no-launch"]).expect_code(3);
    assert!(answer.stderr.contains(&format!("--port DENO_PORT={}", first + 2)), "{}", answer.stderr);
    drop(held);
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn a_port_can_be_named_by_variable_service_or_service_and_port() {
    for name in ["DENO_PORT", "deno", "deno:8000"] {
        let first = free_block(10);
        let sandbox = classic_sandbox(first);
        let wish = format!("{name}={}", first + 7);
        sandbox.run(&["quick-start", "--yes", "--no-launch", "--port", &wish]).expect_code(0);
        assert!(sandbox.read(".env").contains(&format!("DENO_PORT={}  # main", first + 7)), "{name}");
    }
}

#[test]
fn keep_leaves_the_conflict_and_every_byte() {
    let first = free_block(4);
    let sandbox = classic_sandbox(first);
    let before = sandbox.contents();
    let _held = hold(first);
    sandbox.run(&["quick-start", "--yes", "--on-conflict", "keep", "--no-launch"]).expect_code(0);
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn check_judges_and_changes_nothing() {
    let first = free_block(4);
    let sandbox = classic_sandbox(first);
    let before = sandbox.contents();
    sandbox.run(&["check"]).expect_code(0);
    let _held = hold(first);
    let answer = sandbox.run(&["check", "--json"]).expect_code(3);
    let document = answer.json();
    assert_eq!(document["schema"], "portwright.check/1");
    assert_eq!(document["summary"]["conflict"], 1);
    assert_eq!(document["summary"]["free"], 1);
    let binding = &document["bindings"][0];
    assert_eq!(binding["service"], "deno");
    assert_eq!(binding["variable"], "DENO_PORT");
    assert_eq!(binding["port"], first);
    assert_eq!(binding["container_port"], 8000);
    assert_eq!(binding["protocol"], "tcp");
    assert_eq!(binding["source"]["line"], 5);
    assert_eq!(binding["holder"]["kind"], "process");
    assert_eq!(binding["holder"]["pid"], std::process::id());
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn no_secret_of_the_env_file_appears_anywhere() {
    let first = free_block(4);
    let sandbox = classic_sandbox(first);
    let _held = hold(first);
    let mut said = String::new();
    for arguments in [
        &["quick-start", "--yes", "--dry-run", "-v"][..],
        &["quick-start", "--yes", "--dry-run", "--json"],
        &["check", "--json"],
        &["quick-start", "--yes", "--no-launch", "-v"],
        &["undo", "--yes", "-v"],
    ] {
        let answer = sandbox.run(arguments);
        said.push_str(&answer.stdout);
        said.push_str(&answer.stderr);
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn the_mode_the_owner_and_the_link_of_the_env_file_stay() {
    let first = free_block(4);
    let sandbox = classic_sandbox(first);
    let env = sandbox.project().join(".env");
    let real = sandbox.project().join("settings.env");
    std::fs::rename(&env, &real).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600)).unwrap();
    symlink("settings.env", &env).unwrap();
    let _held = hold(first);
    sandbox.run(&["quick-start", "--yes", "--no-launch"]).expect_code(0);
    assert!(env.symlink_metadata().unwrap().is_symlink());
    assert_eq!(real.metadata().unwrap().mode() & 0o7777, 0o600);
    assert!(sandbox.read("settings.env").contains(&format!("DENO_PORT={}", first + 2)));
    sandbox.run(&["undo", "--yes"]).expect_code(0);
    assert!(env.symlink_metadata().unwrap().is_symlink());
    assert_eq!(sandbox.read(".env"), classic(first).1);
}

#[test]
fn undo_refuses_what_was_edited_since() {
    let first = free_block(4);
    let sandbox = classic_sandbox(first);
    let _held = hold(first);
    sandbox.run(&["quick-start", "--yes", "--no-launch"]).expect_code(0);
    let edited = sandbox.read(".env") + "MORE=1\n";
    sandbox.write(".env", &edited);
    let answer = sandbox.run(&["undo", "--yes"]).expect_code(3);
    assert!(answer.stderr.contains(".env"), "{}", answer.stderr);
    assert_eq!(sandbox.read(".env"), edited);
}

#[test]
fn a_shell_variable_is_not_edited_but_said() {
    let first = free_block(10);
    let sandbox = classic_sandbox(first);
    let before = sandbox.contents();
    let _held = hold(first + 5);
    let output = sandbox
        .command(&["quick-start", "--yes", "--no-launch"])
        .env("DENO_PORT", (first + 5).to_string())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains(&format!("export DENO_PORT={}", first + 6)), "{stderr}");
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn a_missing_variable_is_appended_and_a_literal_is_spliced() {
    let first = free_block(4);
    let compose = format!(
        "services:\r\n  a:\r\n    image: x\r\n    ports: [\"${{A_PORT:-{first}}}:80\"] # flow\r\n  b:\r\n    image: x\r\n    ports:\r\n      - target: 80\r\n        published: {}\r\n",
        first + 1
    );
    let sandbox = Sandbox::new(&[("compose.yaml", &compose), (".env", "X=1")]);
    let _held = (hold(first), hold(first + 1));
    sandbox.run(&["quick-start", "--yes", "--no-launch"]).expect_code(0);
    assert_eq!(sandbox.read(".env"), format!("X=1\nA_PORT={}\n", first + 2));
    let expected = compose.replace(&format!("published: {}", first + 1), &format!("published: {}", first + 3));
    assert_eq!(sandbox.read("compose.yaml"), expected);
}

#[test]
fn a_range_is_stronger_than_what_was_chosen_before() {
    let first = free_block(10);
    let sandbox = classic_sandbox(first);
    let _held = hold(first);
    for (chosen, range) in [(first + 2, None), (first + 6, Some(format!("{}-{}", first + 6, first + 9)))] {
        let mut arguments = vec!["quick-start", "--yes", "--no-launch"];
        arguments.extend(range.iter().flat_map(|range| ["--range", range]));
        sandbox.run(&arguments).expect_code(0);
        assert!(sandbox.read(".env").contains(&format!("DENO_PORT={chosen}  # main")), "{range:?}");
        sandbox.run(&["undo", "--yes"]).expect_code(0);
    }
}
