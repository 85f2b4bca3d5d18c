//! The house rules as a test: who may import whom, what pure rooms may not touch, words that may not appear, sizes.
//!
//! The rules are explained in ARCHITECTURE.md; a failure names the file, the line and the rule.

use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms each room may import; `error` is the kind-and-message type, `words` the catalogue.
const MAY_IMPORT: [(&str, &[&str]); 14] = [
    ("model", &["words"]),
    ("words", &["model"]),
    ("error", &["words"]),
    ("text", &["model", "words", "error"]),
    ("plan", &["model", "text", "words", "error"]),
    ("host", &["model", "words", "error"]),
    ("disk", &["model", "words", "error"]),
    ("docker", &["model", "text", "words", "error"]),
    ("remote", &["model", "words", "error", "host"]),
    ("tunnel", &["model", "words", "error", "host", "disk", "remote"]),
    ("bench", &["model", "words", "error", "host"]),
    ("lease", &["model", "words", "error", "host", "disk", "remote"]),
    ("deploy", &["model", "text", "plan", "words", "error", "host", "disk", "docker", "lease", "tunnel"]),
    (
        "cli",
        &["model", "text", "plan", "words", "error", "host", "disk", "docker", "lease", "tunnel", "bench", "deploy"],
    ),
];

/// Rooms without effects: values in, values out.
const PURE: [&str; 5] = ["model", "words", "error", "text", "plan"];

/// Files without effects in rooms that have them.
const PURE_FILES: [&str; 4] =
    ["src/tunnel/config.rs", "src/bench/plan.rs", "src/lease/table.rs", "src/lease/format.rs"];

/// What no pure room may name.
const EFFECTS: [&str; 12] = [
    "std::fs",
    "std::process",
    "std::thread",
    "std::env",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "SystemTime",
    "Instant",
    "tokio::",
    "rand::",
    "std::io::stdin",
];

/// Where `#[cfg(target_os)]`, `#[cfg(unix)]` and `#[cfg(windows)]` may stand.
const PLATFORM_ROOMS: [&str; 3] = ["src/host/", "src/disk/", "src/docker/engine"];

/// Words that promise work or hide a problem, and room names that say nothing.
const BANNED: [&str; 6] = ["TODO", "FIXME", "#[allow(", "#[ignore", "unimplemented!(", "todo!("];

/// A file longer than this is no longer one thing; tests beside the code count.
const FILE_LINES_MAX: usize = 900;

/// The longest line. rustfmt keeps code to 120 columns and leaves attributes and literals alone, which may be a little
/// longer; texts of the catalogue and captured data of tests are as long as they are.
const LINE_COLUMNS_MAX: usize = 130;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of the project").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), &mut found);
    found.sort();
    let relative = |path: &Path| path.strip_prefix(root()).expect("below the root").display().to_string();
    found.iter().map(|path| (relative(path), fs::read_to_string(path).expect("a source file"))).collect()
}

/// The room of a file: the first folder below `src`, or the file itself.
fn room(path: &str) -> &str {
    let below = path.strip_prefix("src/").unwrap_or(path);
    below.split(['/', '.']).next().unwrap_or(below)
}

/// The lines outside comments, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The rooms that a line imports or names: `crate::room`, also in groups.
fn named_rooms(line: &str) -> Vec<String> {
    line.match_indices("crate::")
        .map(|(at, prefix)| {
            line[at + prefix.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        })
        .filter(|name: &String| !name.is_empty())
        .collect()
}

/// The part of a file that is not tests beside the code; nothing of a file that is all tests.
fn outside_tests<'a>(path: &str, text: &'a str) -> &'a str {
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return "";
    }
    let end = text.find("\nmod tests {").or_else(|| text.find("#[cfg(test)]\nmod ")).unwrap_or(text.len());
    &text[..end]
}

fn fail_with(broken: &[String]) {
    assert!(broken.is_empty(), "{} house rules broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let mut broken = Vec::new();
    for (path, text) in sources("src") {
        let room = room(&path);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
            if !["lib", "main"].contains(&room) {
                broken.push(format!("{path}: the room {room} is not in the table"));
            }
            continue;
        };
        for (number, line) in code(&text) {
            for name in named_rooms(line) {
                let is_room = MAY_IMPORT.iter().any(|(known, _)| *known == name);
                if is_room && name != room && !allowed.contains(&name.as_str()) {
                    broken.push(format!(
                        "{path}:{number}: {room} may not import {name} (ARCHITECTURE.md, \"Who may import whom\")"
                    ));
                }
            }
        }
    }
    fail_with(&broken);
}

#[test]
fn pure_rooms_touch_no_effects() {
    let mut broken = Vec::new();
    for (path, text) in sources("src") {
        let pure = PURE.contains(&room(&path)) || PURE_FILES.contains(&path.as_str());
        for (number, line) in code(&text) {
            if let Some(effect) = EFFECTS.iter().find(|effect| pure && line.contains(**effect)) {
                broken.push(format!("{path}:{number}: a pure room may not name {effect}"));
            }
        }
    }
    fail_with(&broken);
}

#[test]
fn only_cli_prints() {
    let mut broken = Vec::new();
    for (path, text) in sources("src") {
        let talks = room(&path) == "cli" || path == "src/main.rs";
        for (number, line) in code(&text) {
            let prints =
                ["println!", "eprintln!", "print!(", "stdout()", "stderr()"].iter().any(|word| line.contains(word));
            if prints && !talks {
                broken.push(format!("{path}:{number}: only cli prints"));
            }
        }
    }
    fail_with(&broken);
}

#[test]
fn platform_differences_stay_in_their_rooms() {
    let mut broken = Vec::new();
    for (path, text) in sources("src") {
        if PLATFORM_ROOMS.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        for (number, line) in code(&text) {
            if ["target_os", "cfg(unix", "cfg(windows", "cfg(not(unix"].iter().any(|word| line.contains(word)) {
                broken.push(format!("{path}:{number}: platform differences belong to host, disk or docker/engine"));
            }
        }
    }
    fail_with(&broken);
}

#[test]
fn no_file_promises_work_or_hides_a_problem() {
    let mut broken = Vec::new();
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        if path == "tests/tidy.rs" {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if let Some(word) = BANNED.iter().find(|word| line.contains(**word)) {
                broken.push(format!("{path}:{}: {word}", index + 1));
            }
        }
    }
    fail_with(&broken);
}

#[test]
fn rooms_are_not_named_after_what_they_are_made_of() {
    let vague = ["util", "utils", "helper", "helpers", "common", "misc", "manager", "handler"];
    let names =
        sources("src").into_iter().flat_map(|(path, _)| path.split(['/', '.']).map(str::to_owned).collect::<Vec<_>>());
    fail_with(&names.filter(|name| vague.contains(&name.as_str())).collect::<Vec<_>>());
}

#[test]
fn files_and_lines_keep_their_size() {
    let mut broken = Vec::new();
    for (path, text) in sources("src") {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!("{path}: {lines} lines, more than {FILE_LINES_MAX}"));
        }
        if room(&path) == "words" {
            continue;
        }
        for (index, line) in
            outside_tests(&path, &text).lines().enumerate().filter(|(_, line)| line.chars().count() > LINE_COLUMNS_MAX)
        {
            broken.push(format!("{path}:{}: {} columns", index + 1, line.chars().count()));
        }
    }
    fail_with(&broken);
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = sources("src")
        .into_iter()
        .filter(|(path, text)| !path.ends_with("/tests.rs") && !text.starts_with("//!"))
        .map(|(path, _)| path);
    fail_with(&silent.collect::<Vec<_>>());
}

/// The words of people are in the catalogue: outside of it and of the tests, no source speaks Chinese.
#[test]
fn texts_for_people_live_in_the_catalogue() {
    let han = |line: &str| line.chars().any(|letter| ('\u{4e00}'..='\u{9fff}').contains(&letter));
    let mut broken = Vec::new();
    for (path, text) in sources("src") {
        if room(&path) == "words" {
            continue;
        }
        for (number, _) in code(outside_tests(&path, &text)).filter(|(_, line)| han(line)) {
            broken.push(format!("{path}:{number}: Chinese text outside src/words"));
        }
    }
    fail_with(&broken);
}

/// A message that nobody says is dead: each entry of the catalogue is named somewhere outside of it.
#[test]
fn every_message_of_the_catalogue_is_said_somewhere() {
    let files = sources("src");
    let said: String = files.iter().filter(|(path, _)| room(path) != "words").map(|(_, text)| text.as_str()).collect();
    let within: Vec<_> = files.iter().filter(|(path, _)| room(path) == "words").collect();
    let mut broken = Vec::new();
    for (path, text) in &within {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with("        ")) {
            let name: String = line.trim_start().chars().take_while(char::is_ascii_alphanumeric).collect();
            let is_entry = name.starts_with(|first: char| first.is_ascii_uppercase())
                && (line.contains("=>") || line.trim_end().ends_with('{') || line.contains(" { "))
                && !line.contains("::")
                && line.chars().nth(8).is_some_and(|first| first.is_ascii_uppercase());
            let path_of = format!("::{name}");
            let is_said = said.contains(&path_of) || within.iter().any(|(_, other)| other.contains(&path_of));
            if is_entry && !is_said && !said.contains(&format!("{name},")) {
                broken.push(format!("{path}:{}: nobody says {name}", index + 1));
            }
        }
    }
    fail_with(&broken);
}
