//! Every compose file of public projects: each published port is moved alone, and nothing else may change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use portwright::error::Error;
use portwright::model::{Lever, Mapping, MappingId, Move, Port, PortRange, Project, PublishedPort};
use portwright::text::edit::{EditRequest, EditStyle, Edited, edit};
use portwright::text::project::{Loaded, Request, Snapshot, load};
use portwright::words::Message;
use portwright::words::text::TextWords;

/// How often a load may ask for more files or for one more required variable.
const MAX_ROUNDS: usize = 100;

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let found = std::env::var_os("PORTWRIGHT_CORPUS").map_or(beside, PathBuf::from);
    if found.is_dir() {
        return fs::canonicalize(found).ok();
    }
    assert!(std::env::var_os("PORTWRIGHT_REQUIRE_ALL").is_none(), "the corpus is missing: set PORTWRIGHT_CORPUS");
    println!("skipped: needs the corpus (set PORTWRIGHT_CORPUS)");
    None
}

fn compose_files(root: &Path) -> Vec<PathBuf> {
    let mut open = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a readable directory").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                open.push(path);
            } else if name.contains("compose") && path.extension().is_some_and(|end| end == "yml" || end == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn requests(files: &[PathBuf]) -> Vec<Request> {
    let all = vec!["*".to_owned()];
    let alone = files.iter().map(|file| Request {
        directory: file.parent().expect("a directory").to_owned(),
        files: vec![file.clone()],
        profiles: all.clone(),
        ..Request::default()
    });
    let directories: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    let together = directories.into_iter().map(|directory| Request {
        directory: directory.to_owned(),
        profiles: all.clone(),
        ..Request::default()
    });
    alone.chain(together).collect()
}

fn read_more(snapshot: &mut Snapshot, paths: Vec<PathBuf>) {
    for path in paths {
        let contents = fs::metadata(&path).ok().filter(fs::Metadata::is_file).and_then(|_| fs::read(&path).ok());
        snapshot.insert(path, contents);
    }
}

/// Loads a project; variables that it requires are given through the shell.
fn load_all(request: &mut Request, snapshot: &mut Snapshot) -> Result<Option<Project>, Error> {
    for round in 0..MAX_ROUNDS {
        match load(request, snapshot) {
            Ok(Loaded::Ready(project)) => return Ok(Some(*project)),
            Ok(Loaded::Absent) => return Ok(None),
            Ok(Loaded::Needs(paths)) => read_more(snapshot, paths),
            Err(error) => match error.message() {
                Message::Text(TextWords::RequiredVariable { name, .. }) => {
                    request.shell.insert(name.clone(), format!("{}", 20_000 + round));
                }
                _ => return Err(error),
            },
        }
    }
    panic!("{}: the load never ends", request.directory.display());
}

fn group(project: &Project, wanted: &Mapping) -> Vec<MappingId> {
    let same = |mapping: &Mapping| match (&mapping.lever, &wanted.lever) {
        (Lever::Variable { name: one, .. }, Lever::Variable { name: two, .. }) => one == two,
        _ => std::ptr::eq(mapping, wanted),
    };
    project.mappings.iter().enumerate().filter(|(_, mapping)| same(mapping)).map(|(at, _)| MappingId(at)).collect()
}

/// What identifies a mapping but for its published port.
fn rest(mapping: &Mapping) -> String {
    format!("{} {:?} {} {}", mapping.service, mapping.host_ip, mapping.container, mapping.protocol)
}

fn check_moved(before: &Project, after: &Project, moved: &[MappingId], to: Port) {
    assert_eq!(before.mappings.len(), after.mappings.len());
    for (at, (one, two)) in before.mappings.iter().zip(&after.mappings).enumerate() {
        assert_eq!(rest(one), rest(two));
        if moved.contains(&MappingId(at)) {
            assert_eq!(two.published.range().map(PortRange::first), Some(to));
        } else {
            assert_eq!(one.published, two.published);
        }
    }
    assert_eq!((&before.name, &before.services), (&after.name, &after.services));
}

/// All bytes but those of one number (and two quotes) stay.
fn check_bytes(edited: &Edited) {
    for file in &edited.files {
        let before = file.before.clone().unwrap_or_default();
        let front = before.iter().zip(&file.after).take_while(|(one, two)| one == two).count();
        let tails = before[front..].iter().rev().zip(file.after[front..].iter().rev());
        let back = tails.take_while(|(one, two)| one == two).count();
        assert!(before.len() - front - back <= 40, "{} changes more than a value", file.file.display());
    }
}

#[derive(Default)]
struct Tally {
    projects: usize,
    mappings: usize,
    moved: BTreeMap<&'static str, usize>,
    refused: BTreeMap<String, usize>,
    unread: Vec<String>,
}

fn try_moves(request: &Request, snapshot: &Snapshot, project: &Project, style: EditStyle, tally: &mut Tally) {
    let to = Port::new(45_678).expect("a port");
    for mapping in &project.mappings {
        let Some(range) = mapping.published.range() else { continue };
        tally.mappings += 1;
        let moved = match style {
            EditStyle::InPlace => group(project, mapping),
            EditStyle::Override => {
                let own = |other: &Mapping| std::ptr::eq(other, mapping);
                project.mappings.iter().position(own).map(MappingId).into_iter().collect()
            }
        };
        let plan = [Move { mappings: moved.clone(), from: range.first(), to }];
        match edit(&EditRequest { request, snapshot, project, moves: &plan, style }) {
            Ok(edited) => {
                assert!(!edited.files.is_empty());
                let mut after = snapshot.clone();
                after.extend(edited.files.iter().map(|file| (file.file.clone(), Some(file.after.clone()))));
                let mut again = request.clone();
                if style == EditStyle::InPlace {
                    check_bytes(&edited);
                }
                for note in &edited.notes {
                    if let Message::Text(TextWords::NoteAddFile { file }) = note {
                        again.files = project.files.iter().cloned().chain([file.clone()]).collect();
                    }
                }
                let reloaded = load_all(&mut again, &mut after).expect("still readable").expect("still there");
                check_moved(project, &reloaded, &moved, to);
                *tally.moved.entry(kind(&mapping.lever)).or_default() += 1;
            }
            Err(error) => {
                let code = match &mapping.lever {
                    Lever::Locked(refusal) if style == EditStyle::InPlace => refusal.code.to_owned(),
                    Lever::Shell { .. } if style == EditStyle::InPlace => "shell".to_owned(),
                    _ => format!("{}: {error}", mapping.source.file.display()),
                };
                *tally.refused.entry(code).or_default() += 1;
            }
        }
    }
}

fn kind(lever: &Lever) -> &'static str {
    match lever {
        Lever::Variable { assigned: true, .. } => "variable, assigned",
        Lever::Variable { assigned: false, .. } => "variable, appended",
        Lever::Literal { .. } => "literal",
        Lever::Shell { .. } => "shell",
        Lever::Locked(_) => "locked",
    }
}

fn run(style: EditStyle) -> Option<Tally> {
    let root = corpus()?;
    let started = Instant::now();
    let mut tally = Tally::default();
    for mut request in requests(&compose_files(&root)) {
        let mut snapshot = Snapshot::new();
        match load_all(&mut request, &mut snapshot) {
            Ok(Some(project)) => {
                tally.projects += 1;
                let nothing =
                    EditRequest { request: &request, snapshot: &snapshot, project: &project, moves: &[], style };
                assert_eq!(edit(&nothing).expect("nothing to do"), Edited::default());
                try_moves(&request, &snapshot, &project, style, &mut tally);
            }
            Ok(None) => {}
            Err(error) => tally.unread.push(error.to_string()),
        }
    }
    println!("{style:?}: {} projects, {} mappings, {:?}", tally.projects, tally.mappings, started.elapsed());
    println!("  moved: {:?}", tally.moved);
    for (code, count) in &tally.refused {
        println!("  refused {count}: {code}");
    }
    for error in &tally.unread {
        println!("  not read: {error}");
    }
    Some(tally)
}

#[test]
fn every_port_of_the_corpus_moves_alone_or_is_refused() {
    let Some(tally) = run(EditStyle::InPlace) else { return };
    assert!(tally.projects > 100 && tally.moved.values().sum::<usize>() > 100);
}

/// Replaces every literal published port by a variable with that port as its default.
fn with_variables(project: &Project, snapshot: &Snapshot) -> Snapshot {
    let mut spans: BTreeMap<&PathBuf, BTreeSet<(usize, usize)>> = BTreeMap::new();
    for mapping in project.mappings.iter().filter(|mapping| mapping.variable.is_none()) {
        if let Lever::Literal { file, span } = &mapping.lever {
            spans.entry(file).or_default().insert((span.start, span.end));
        }
    }
    let mut after = snapshot.clone();
    for (file, spans) in spans {
        let bytes = after.get_mut(file).and_then(Option::as_mut).expect("the file that was read");
        for (start, end) in spans.into_iter().rev() {
            let port = String::from_utf8(bytes[start..end].to_vec()).expect("digits");
            let variable = format!("${{PW_{start}:-{port}}}");
            bytes.splice(start..end, variable.into_bytes());
        }
    }
    after
}

#[test]
fn ports_of_the_corpus_given_by_variables_move_through_the_env_file() {
    let Some(root) = corpus() else { return };
    let mut tally = Tally::default();
    for mut request in requests(&compose_files(&root)) {
        let mut snapshot = Snapshot::new();
        let Ok(Some(project)) = load_all(&mut request, &mut snapshot) else { continue };
        let mut snapshot = with_variables(&project, &snapshot);
        // A bare scalar in a flow collection cannot hold `${}`: such a file no longer reads.
        let Ok(Some(variant)) = load_all(&mut request, &mut snapshot) else { continue };
        assert_eq!(ours(&project), ours(&variant));
        tally.projects += 1;
        try_moves(&request, &snapshot, &variant, EditStyle::InPlace, &mut tally);
    }
    println!("{} projects, moved: {:?}, refused: {:?}", tally.projects, tally.moved, tally.refused);
    assert!(tally.moved.get("variable, appended").is_some_and(|count| *count > 100));
}

#[test]
fn every_port_of_the_corpus_moves_by_an_override_file() {
    let Some(tally) = run(EditStyle::Override) else { return };
    assert!(tally.moved.values().sum::<usize>() > 100);
}

/// What `docker compose config --format json` says about the ports of every service.
fn oracle(program: &Path, request: &Request) -> Option<BTreeMap<String, Vec<String>>> {
    let mut command = Command::new(program);
    command.current_dir(&request.directory).env_clear().envs(&request.shell).arg("--profile=*");
    for file in &request.files {
        command.arg("-f").arg(file);
    }
    let output = command.args(["config", "--format", "json"]).output().expect("a program to run");
    if !output.status.success() {
        return None;
    }
    let model: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a document");
    let mut all = BTreeMap::new();
    for (name, service) in model["services"].as_object().into_iter().flatten() {
        let text = |port: &serde_json::Value, key: &str| port[key].as_str().unwrap_or_default().to_owned();
        let ports = service["ports"].as_array().into_iter().flatten().filter(|port| port["protocol"] != "sctp");
        let lines = ports.map(|port| {
            let (ip, published, protocol) = (text(port, "host_ip"), text(port, "published"), text(port, "protocol"));
            format!("{ip} {published} {} {protocol}", port["target"])
        });
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        all.insert(name.clone(), lines);
    }
    Some(all)
}

/// The same, as Portwright sees it.
fn ours(project: &Project) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> =
        project.services.iter().map(|service| (service.name.clone(), Vec::new())).collect();
    for mapping in &project.mappings {
        let ip = mapping.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let lines = all.get_mut(&mapping.service).expect("a service of the project");
        for (step, container) in mapping.container.ports().enumerate() {
            let published = match mapping.published {
                PublishedPort::Fixed(range) => range.ports().nth(step).expect("as many").to_string(),
                PublishedPort::AnyOf(range) => range.to_string(),
                PublishedPort::Random => String::new(),
            };
            lines.push(format!("{ip} {published} {container} {}", mapping.protocol));
        }
    }
    for lines in all.values_mut() {
        lines.sort();
    }
    all
}

#[test]
fn the_ports_are_those_that_docker_compose_renders() {
    let Some(program) = std::env::var_os("PORTWRIGHT_COMPOSE_ORACLE").map(PathBuf::from) else {
        println!("skipped: needs Docker Compose v2 (set PORTWRIGHT_COMPOSE_ORACLE to its program)");
        return;
    };
    let Some(root) = corpus() else { return };
    let (mut same, mut unread) = (0, 0);
    for mut request in requests(&compose_files(&root)) {
        let project = load_all(&mut request, &mut Snapshot::new());
        let theirs = oracle(&program, &request);
        match (project, theirs) {
            (Ok(Some(project)), Some(theirs)) => {
                assert_eq!(ours(&project), theirs, "{request:?}");
                same += 1;
            }
            (project, theirs) => {
                let (ours, theirs) = (project.map(|found| found.is_some()), theirs.is_some());
                unread += usize::from(!matches!(ours, Ok(false)));
                println!("not compared: {request:?}: ours {ours:?}, theirs {theirs}");
            }
        }
    }
    println!("{same} projects with the same ports, {unread} not compared");
    assert!(same > 100);
}

/// Cuts a file, or puts a piece of syntax into it; `turn` decides where and what.
fn mutated(bytes: &[u8], turn: u64) -> Vec<u8> {
    const PIECES: [&str; 12] =
        ["&a ", "*a", "<<: ", "\n", "- ", "${", "}", "\"", ": ", "!override ", "\u{0}", "\u{e9}"];
    // Knuth's multiplier: turns that follow each other land far apart.
    let random = usize::try_from(turn.wrapping_mul(6_364_136_223_846_793_005) >> 33).expect("31 bits");
    let (front, back) = bytes.split_at(random % (bytes.len() + 1));
    match random % 4 {
        0 => front.to_vec(),
        1 => [front, back.get(1..).unwrap_or_default()].concat(),
        _ => [front, PIECES[random / 4 % PIECES.len()].as_bytes(), back].concat(),
    }
}

#[test]
fn broken_files_of_the_corpus_end_with_a_result() {
    let Some(root) = corpus() else { return };
    let (mut loaded, mut refused) = (0, 0);
    for (number, file) in (0_u64..).zip(compose_files(&root)) {
        for turn in 0..12 {
            let mut request = Request {
                directory: file.parent().expect("a directory").to_owned(),
                files: vec![file.clone()],
                ..Request::default()
            };
            let bytes = mutated(&fs::read(&file).expect("a file"), number * 1000 + turn);
            let mut snapshot = Snapshot::from([(file.clone(), Some(bytes))]);
            let Ok(Some(project)) = load_all(&mut request, &mut snapshot) else {
                refused += 1;
                continue;
            };
            loaded += 1;
            try_moves(&request, &snapshot, &project, EditStyle::InPlace, &mut Tally::default());
        }
    }
    println!("{loaded} mutated files read, {refused} refused");
    assert!(loaded > 100 && refused > 100);
}

#[test]
fn a_fixed_port_is_never_random() {
    let Some(root) = corpus() else { return };
    for mut request in requests(&compose_files(&root)) {
        let Ok(Some(project)) = load_all(&mut request, &mut Snapshot::new()) else { continue };
        for mapping in &project.mappings {
            assert!(mapping.source.line > 0 && mapping.source.column > 0);
            assert_eq!(matches!(mapping.published, PublishedPort::Random), mapping.published.range().is_none());
        }
    }
}
