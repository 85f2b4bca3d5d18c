//! `--ripple`: other places that name a moved port.

use crate::support::{Sandbox, free_block, hold};
use crate::terminal::Terminal;

const RUN: [&str; 4] = ["quick-start", "--yes", "--no-launch", "--json"];

/// A project whose port stands in many places: `@` marks those that move with `--ripple`, `#` the one that always moves,
/// `%` those that never do.
const ENV: &str = "# http://localhost:%\nWEB_PORT=#\nORIGINS=\"https://x.example.org:%,http://localhost:@,http://127.0.0.1:@/a\"\n\
                   OTHER_PORT=%\nDB=postgres://db:%/x\nHEALTH_URL=http://localhost:%/\nTOKEN=ab%cd\n";
const COMPOSE: &str = "services:\n  web:\n    image: x\n    ports: [\"${WEB_PORT:-8000}:%\"]\n    environment:\n      \
                       PUBLIC_URL: \"http://localhost:@/\" # http://localhost:%\n      LISTEN: 127.0.0.1:%\n    labels:\n      \
                       - app.url=http://localhost:@\n    healthcheck:\n      test: curl http://localhost:%/\n    \
                       command: serve --to http://localhost:%\n";
const README: &str = "# Shop\n\nOpen <http://localhost:@/> or `docker run -p @:80 shop`.\nThe API of http://shop.example.org:% has 1% rows.\n";

fn filled(text: &str, variable: u16, rippled: u16, first: u16) -> String {
    let text = text.replacen('#', "\u{0}", usize::from(text.starts_with('#')));
    let text = text.replace("WEB_PORT=#", &format!("WEB_PORT={variable}"));
    text.replace('@', &rippled.to_string()).replace('%', &first.to_string()).replace('\u{0}', "#")
}

fn sandbox(first: u16) -> Sandbox {
    let fill = |text| filled(text, first, first, first);
    Sandbox::new(&[("compose.yaml", &fill(COMPOSE)), (".env", &fill(ENV)), ("README.md", &fill(README))])
}

fn expect(sandbox: &Sandbox, variable: u16, rippled: u16, first: u16) {
    for (name, text) in [("compose.yaml", COMPOSE), (".env", ENV), ("README.md", README)] {
        assert_eq!(sandbox.read(name), filled(text, variable, rippled, first), "{name}");
    }
}

#[test]
fn addresses_of_this_host_move_with_the_port_and_nothing_else_does() {
    let first = free_block(4);
    let sandbox = sandbox(first);
    let before = sandbox.contents();
    let _held = hold(first);
    let answer = sandbox.run(&[&RUN[..], &["--ripple"]].concat()).expect_code(0);
    expect(&sandbox, first + 1, first + 1, first);
    let document = answer.json();
    let changes = document["changes"].as_array().expect("changes");
    let files = |name: &str| changes.iter().filter(|change| change["file"] == name).count();
    assert_eq!((files(".env"), files("compose.yaml"), files("README.md")), (2, 2, 1), "{changes:?}");
    sandbox.run(&["undo", "--yes"]).expect_code(0);
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn without_consent_the_places_are_told_and_stay() {
    let first = free_block(4);
    let sandbox = sandbox(first);
    let _held = hold(first);
    let answer = sandbox.run(&RUN).expect_code(0);
    expect(&sandbox, first + 1, first, first);
    assert!(answer.stderr.contains("README.md:3") && answer.stderr.contains("--ripple"), "{}", answer.stderr);
    assert_eq!(answer.json()["changes"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_dry_run_shows_them_and_writes_nothing() {
    let first = free_block(4);
    let sandbox = sandbox(first);
    let _held = hold(first);
    let answer = sandbox.run(&[&RUN[..], &["--ripple", "--dry-run"]].concat()).expect_code(0);
    assert_eq!(answer.json()["changes"].as_array().map(Vec::len), Some(5));
    expect(&sandbox, first, first, first);
}

#[test]
fn in_a_copy_the_copied_files_change_and_the_project_stays() {
    let first = free_block(4);
    let sandbox = sandbox(first);
    for _ in 0..2 {
        sandbox.run(&[&RUN[..], &["--ripple", "--instance", "a"]].concat()).expect_code(0);
        expect(&sandbox, first, first, first);
        let shelf = sandbox.home().join(".local/share/portwright/instances");
        let project = std::fs::read_dir(shelf).expect("a shelf").flatten().next().expect("a project").path();
        let read = |name: &str| std::fs::read_to_string(project.join("a").join(name)).expect("a copy");
        assert_eq!(read(".env"), filled(ENV, first + 1, first + 1, first));
        assert_eq!(read("0-compose.yaml"), filled(COMPOSE, first + 1, first + 1, first));
    }
}

/// Answers the questions of a run at a terminal: what about the conflict, the other places, the whole.
fn answered(sandbox: &Sandbox, ripple: &str) {
    let mut terminal = Terminal::open(sandbox.command(&["quick-start", "--no-launch"]));
    for (question, keys) in
        [("automatic: use", "\r"), ("Change these places too?", ripple), ("Write these changes?", "y\r")]
    {
        terminal.sees(question).types(keys);
    }
    terminal.ends_with(0);
}

#[test]
fn at_a_terminal_a_person_is_asked_and_both_answers_count() {
    for (keys, agreed) in [("y\r", true), ("\r", false)] {
        let first = free_block(4);
        let sandbox = sandbox(first);
        let _held = hold(first);
        answered(&sandbox, keys);
        expect(&sandbox, first + 1, if agreed { first + 1 } else { first }, first);
    }
}
