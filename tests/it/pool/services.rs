//! Leases and services: `check` and `quick-start` see what others have leased, and lease what they chose.

use super::{Pool, kill, sleeper};

const COMPOSE: &str = "services:\n  web:\n    image: web\n    ports: [\"PORT:80\"]\n";

fn project(ports: u16) -> Pool {
    let pool = Pool::new(ports);
    pool.sandbox.write("compose.yaml", &COMPOSE.replace("PORT", &pool.first().to_string()));
    pool
}

#[test]
fn a_lease_of_another_is_a_conflict_that_names_its_holder() {
    let pool = project(10);
    let holder = sleeper();
    pool.alloc(&["--count", "2", "--pid", &holder.id().to_string()]);
    let document = pool.sandbox.run(&["check", "--json"]).expect_code(3).json();
    let binding = &document["bindings"][0];
    assert_eq!(binding["state"], "conflict");
    assert_eq!((&binding["holder"]["pid"], &binding["holder"]["process"]), (&holder.id().into(), &"cat".into()));
    assert_eq!(binding["suggested"], pool.first() + 2);

    let why = pool.sandbox.run(&["why", &pool.first().to_string(), "--json"]).expect_code(0).json();
    assert_eq!(why["leases"][0]["holder"]["pid"], holder.id());
    assert_eq!(why["free"], pool.first() + 2);

    let arguments = ["quick-start", "--yes", "--no-launch", "--json"];
    pool.sandbox.run(&arguments).expect_code(0);
    assert!(pool.sandbox.read("compose.yaml").contains(&format!("\"{}:80\"", pool.first() + 2)));
    kill(holder);
}

#[test]
fn a_dead_holder_is_no_conflict() {
    let pool = project(10);
    let holder = sleeper();
    pool.alloc(&["--pid", &holder.id().to_string()]);
    kill(holder);
    pool.sandbox.run(&["check"]).expect_code(0);
}

#[test]
fn a_port_that_was_leased_for_the_program_is_its_own() {
    let pool = project(10);
    let check = [super::super::support::PORTWRIGHT, "check", "--json"];
    let arguments = [&["pool", "run", "--range", &pool.range, "--"], &check[..]].concat();
    let document = pool.sandbox.run(&arguments).expect_code(0).json();
    assert_eq!(document["bindings"][0]["state"], "free");
}

#[test]
fn a_check_without_a_pool_makes_none() {
    let pool = project(10);
    pool.sandbox.run(&["check"]).expect_code(0);
    assert!(!pool.file().exists());
}
