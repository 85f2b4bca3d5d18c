//! Every command that README.md, docs/quick-start.md and docs/service.md show is run, in their order, where no container
//! engine answers.
//!
//! A block ```` ```console ```` holds commands (`$ …`, with `# exit code N` behind those that do not end with 0) and
//! lines of their output, in which `…` stands for anything. A block with `file=NAME` is written to that file first.
//! The ports 8000 to 8009 stand for ten free ones. Documents in Chinese show the same blocks.

#[cfg(unix)]
mod scripts;

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Answer, Sandbox, free_block, have};

/// How long a program started with `&` may take until its port answers.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// An engine that is not there: the commands then run natively, and leave nothing behind.
const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";

/// A fenced block: the words behind the fence, and its lines.
struct Block {
    info: String,
    lines: Vec<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(info), None) => open = Some(Block { info: info.trim().to_owned(), lines: Vec::new() }),
            (Some(_), Some(block)) => found.push(block),
            (None, Some(mut block)) => {
                block.lines.push(line.to_owned());
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

/// A command of a document, the exit code that it ends with, and lines that it prints.
struct Shown {
    command: String,
    code: i32,
    output: Vec<String>,
}

fn shown(block: &Block) -> Vec<Shown> {
    let mut found: Vec<Shown> = Vec::new();
    for line in &block.lines {
        if let Some(typed) = line.strip_prefix("$ ") {
            let (command, code) = typed.split_once("# exit code ").unwrap_or((typed, "0"));
            let code = code.trim().parse().expect("an exit code");
            found.push(Shown { command: command.trim().to_owned(), code, output: Vec::new() });
        } else if let Some(last) = found.last_mut() {
            last.output.push(line.clone());
        }
    }
    found
}

/// Puts free ports in the place of 8000 to 8009.
fn with_ports(text: &str, first: u16) -> String {
    (0..10).fold(text.to_owned(), |text, step| text.replace(&format!("800{step}"), &(first + step).to_string()))
}

/// What a line says, without its spacing, with every process id of python3 and every user the same.
fn plain(line: &str) -> String {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    for at in 1..words.len() {
        let (before, after) = words.split_at_mut(at);
        let follows_process = matches!(before.last(), Some(&("(pid" | "python3")));
        if let Some(word) = after.first_mut().filter(|word| follows_process && word.contains(')')) {
            *word = word.trim_start_matches(|sign: char| sign == '(' || sign.is_ascii_digit());
        }
    }
    words.join(" ")
}

/// Tells whether `line` is what `pattern` shows: its parts between `…`, in their order.
fn matches(pattern: &str, line: &str) -> bool {
    let (pattern, line) = (plain(pattern), plain(line));
    if !pattern.contains('…') {
        return pattern == line;
    }
    let mut rest = line.as_str();
    pattern.split('…').all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// A program that a document starts with `&`; it ends with the value.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `python3 -m http.server PORT`, the one program of others that the documents run.
fn start(command: &str) -> Background {
    let words: Vec<&str> = command.split_whitespace().collect();
    let (Some((program, arguments)), Some(port)) = (words.split_first(), words.last()) else { panic!("{command}") };
    assert_eq!(*program, "python3", "only python3 is started by documents");
    let port: u16 = port.parse().expect("the port comes last");
    let child = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let background = Background(child.expect("python3 starts"));
    let end = Instant::now() + START_PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(Instant::now() < end, "{command} answers");
        std::thread::yield_now();
    }
    background
}

fn run(sandbox: &Sandbox, command: &str, lang: &str) -> Answer {
    let ours = command.strip_prefix("portwright ").or_else(|| command.strip_prefix("cargo run --release -- "));
    let arguments: Vec<&str> = ours.unwrap_or_else(|| panic!("not ours: {command}")).split_whitespace().collect();
    let output = sandbox.command(&arguments).env("DOCKER_HOST", NO_ENGINE).env("LANG", lang).output();
    output.expect("the program runs").into()
}

/// What a program speaks when it is asked for English, and for Chinese.
const LANGUAGES: [&str; 2] = ["C.UTF-8", "zh_CN.UTF-8"];

/// Does what a document shows, in both languages. Its text is compared in English. In Chinese the exit codes and the
/// lines of diffs are the same, and what is a sentence in English is none there.
fn follow(document: &str) {
    for lang in LANGUAGES {
        follow_in(document, lang);
    }
}

fn follow_in(document: &str, lang: &str) {
    if !have("python3", Command::new("python3").arg("--version").output().is_ok()) {
        return;
    }
    let sandbox = Sandbox::new(&[]);
    let first = free_block(10);
    let mut started = Vec::new();
    let mut count = 0;
    for block in blocks(document) {
        let file = block.info.split_whitespace().find_map(|word| word.strip_prefix("file="));
        if let Some(name) = file {
            sandbox.write(name, &with_ports(&(block.lines.join("\n") + "\n"), first));
        }
        if block.info != "console" {
            let typed = block.lines.iter().find(|line| line.trim_start().starts_with("portwright "));
            assert_eq!(typed, None, "a command that no test runs");
            continue;
        }
        for Shown { command, code, output } in shown(&block) {
            let command = with_ports(&command, first);
            if let Some(program) = command.strip_suffix('&') {
                started.push(start(program));
                continue;
            }
            if let Some(folder) = command.strip_prefix("mkdir ") {
                std::fs::create_dir(sandbox.project().join(folder)).expect("a folder");
                continue;
            }
            let answer = run(&sandbox, &command, lang);
            count += 1;
            let said = format!("{}{}", answer.stdout, answer.stderr);
            assert_eq!(answer.code, code, "{command}\n{said}");
            for line in output {
                let line = with_ports(&line, first);
                if lang != LANGUAGES[0] && (line.starts_with("+++") || !line.starts_with(['-', '+'])) {
                    let sentence = SENTENCES.iter().any(|begins| line.starts_with(begins));
                    assert!(!sentence || said.chars().any(is_chinese), "{command}: no Chinese in\n{said}");
                    assert!(!sentence || !said.contains(&line), "{command}: English in\n{said}");
                    continue;
                }
                assert!(said.lines().any(|printed| matches(&line, printed)), "{command}: no line {line:?} in\n{said}");
            }
        }
    }
    assert!(count > 0, "the document shows commands");
}

#[test]
fn every_command_of_the_readme_does_what_it_shows() {
    follow(include_str!("../../README.md"));
}

#[test]
fn every_command_of_the_quick_start_guide_does_what_it_shows() {
    follow(include_str!("../../docs/quick-start.md"));
}

#[test]
#[cfg(target_os = "linux")]
fn every_command_of_the_guide_to_services_does_what_it_shows() {
    follow(include_str!("../../docs/service.md"));
}

/// The text of every source and test.
fn sources(folder: &std::path::Path) -> String {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let text = |path: std::path::PathBuf| match path.extension().is_some_and(|ending| ending == "rs") {
        _ if path.is_dir() => sources(&path),
        true => std::fs::read_to_string(path).expect("a source"),
        false => String::new(),
    };
    entries.map(text).collect()
}

#[test]
fn every_test_that_a_promise_names_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = sources(&root.join("src")) + &sources(&root.join("tests"));
    let tests =
        include_str!("../../docs/promises.md").lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once("| "));
    let names: Vec<&str> = tests
        .flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2))
        .filter(|name| name.contains('_') && name.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_'))
        .collect();
    assert!(names.len() > 60, "{names:?}");
    for name in names {
        assert!(sources.contains(&format!("fn {name}(")), "{name} is no test");
    }
}

/// How lines begin that are sentences.
const SENTENCES: [&str; 3] = ["error: ", "hint: ", "note: "];

fn is_chinese(letter: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&letter)
}

/// Documents that are there in Chinese, too.
const IN_BOTH_LANGUAGES: [&str; 12] = [
    "bench",
    "doctor",
    "editing",
    "monitoring",
    "pool",
    "ports",
    "quick-start",
    "server",
    "service",
    "tuning",
    "tunnel",
    "windows",
];

#[test]
fn chinese_documents_show_the_same_blocks_under_as_many_headings() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let headings = |text: &str| -> Vec<usize> {
        let mut inside = false;
        let outside = text.lines().filter(|line| {
            inside ^= line.starts_with("```");
            !inside
        });
        outside.filter_map(|line| Some(line.split_once("# ")?.0.len()).filter(|_| line.starts_with('#'))).collect()
    };
    let fenced = |text: &str| -> Vec<(String, Vec<String>)> {
        blocks(text).into_iter().map(|block| (block.info, block.lines)).collect()
    };
    for name in IN_BOTH_LANGUAGES {
        let read = |path: std::path::PathBuf| std::fs::read_to_string(&path).expect("a document");
        let (english, chinese) =
            (read(docs.join(format!("{name}.md"))), read(docs.join("zh-CN").join(format!("{name}.md"))));
        assert_eq!(fenced(&english), fenced(&chinese), "{name}");
        assert_eq!(headings(&english), headings(&chinese), "{name}");
        assert!(chinese.chars().any(is_chinese), "{name}");
        let links = chinese.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for file in links.filter(|file| !file.is_empty() && !file.contains("://")) {
            assert!(docs.join("zh-CN").join(file).exists(), "{name}: {file}");
        }
    }
}
