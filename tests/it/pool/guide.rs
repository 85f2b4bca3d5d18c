//! The programs of docs/pool.md are run as they stand there.

use std::process::Command;

use super::Pool;
use crate::support::{PORTWRIGHT, have};

/// The fenced blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let document = include_str!("../../../docs/pool.md");
    let after = document.split("```").skip(1).step_by(2);
    after.filter_map(|block| block.strip_prefix(&format!("{language}\n"))).map(str::to_owned).collect()
}

/// Runs a program of the document on a pool of its own; returns what it printed, and ports as steps from the first one.
fn printed(pool: &Pool, interpreter: &str, flag: &str, program: &str) -> String {
    let folder = std::path::Path::new(PORTWRIGHT).parent().expect("a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).expect("a path");
    let mut command = Command::new(interpreter);
    command.args([flag, program]).current_dir(pool.sandbox.project()).env("HOME", pool.sandbox.home());
    for name in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        command.env_remove(name);
    }
    let output = command.env("PATH", path).env("USER", "ada").env("LANG", "C.UTF-8").output().expect("it runs");
    assert!(output.status.success(), "{program}\n{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (0..10).rev().fold(text, |text, step| text.replace(&(pool.first() + step).to_string(), &format!("P{step}")))
}

fn pool() -> Pool {
    let pool = Pool::new(10);
    pool.sandbox.write("pool.toml", &format!("[[wan]]\nindex = 0\nrange = \"{}\"\n", pool.range));
    pool
}

#[test]
fn the_scripts_of_the_guide_lease_and_give_back() {
    if !have("python3", Command::new("python3").arg("--version").output().is_ok()) {
        return;
    }
    let pool = pool();
    let all: Vec<String> = blocks("bash").iter().map(|block| printed(&pool, "bash", "-c", block)).collect();
    assert_eq!(all, ["P0 is ours\n", "listening on P1\n--http P2 --admin P3\n", "a socket on P4\n"]);
    assert!(pool.leases().is_empty());
}

#[test]
fn the_old_names_of_the_predecessor_work_in_python() {
    if !have("python3", Command::new("python3").arg("--version").output().is_ok()) {
        return;
    }
    let pool = pool();
    let programs = blocks("python");
    assert_eq!(programs.len(), 1);
    assert_eq!(printed(&pool, "python3", "-c", &programs[0]), "leased P0\n");
    assert!(pool.leases().is_empty());
    // Released again is no error, and a pool without ports says so with None.
    let more =
        "\nrelease_port(0, port)\nports = [allocate_port(0) for _ in range(11)]\nprint(sorted(map(str, ports)))\n";
    let text = printed(&pool, "python3", "-c", &(programs[0].clone() + more));
    assert!(text.contains("'None'") && (0..10).all(|step| text.contains(&format!("'P{step}'"))), "{text}");
    assert!(pool.leases().is_empty(), "they end with their holder");
}

#[test]
fn the_program_of_the_guide_works_in_node() {
    if !have("node", Command::new("node").arg("--version").output().is_ok()) {
        return;
    }
    let pool = pool();
    let programs = blocks("javascript");
    assert_eq!(programs.len(), 1);
    assert_eq!(printed(&pool, "node", "-e", &programs[0]), "leased P0 P1\n");
    assert!(pool.leases().is_empty());
}

#[test]
fn the_configuration_of_the_guide_is_understood() {
    let pool = Pool::new(1);
    pool.sandbox.write("pool.toml", &blocks("toml").concat());
    let document = pool.run(&["usage", "--json"]).expect_code(0).json();
    assert_eq!(
        (&document["wans"][0]["name"], &document["wans"][1]["address"]),
        (&"office".into(), &"127.0.0.1".into())
    );
}
