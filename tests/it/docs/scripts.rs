//! The scripts of the guides: each block of shell is run by a test, or is one of a kind that no test can run. And each
//! command within a sentence is one that the program knows.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use portwright::words::Lang;

use super::{Block, blocks, sources};
use crate::launches::{Launches, healthy, until};
use crate::support::{Answer, PORTWRIGHT, Sandbox, free_block, have};

/// What becomes of a block.
enum Run {
    /// This test runs it, or each of its commands.
    By(&'static str),
    /// It is of a kind that docs/testing.md names with the reason.
    Not(&'static str),
}

use Run::{By, Not};

/// Every block of shell: its document, a part of its first line, and what becomes of it. Documents in Chinese show the
/// same blocks.
const BLOCKS: [(&str, &str, Run); 19] = [
    ("README.md", "scripts/test.sh", Not("the tests themselves")),
    ("README.md", "cargo install", Not("the tests themselves")),
    ("README.md", "scripts/install.sh --from", By("the_script_installs_from_a_folder_a_file_url_and_a_server")),
    ("README.md", "cargo run --release -- quick-start", By("every_command_of_the_readme_does_what_it_shows")),
    (
        "bench.md",
        "portwright bench serve",
        By("every_test_runs_against_its_own_target_and_the_document_has_the_fields_of_the_contract"),
    ),
    ("bench.md", "sudo unshare", Not("measurements")),
    ("bench.md", "cargo build --release", Not("measurements")),
    ("pool.md", "port=$(portwright pool alloc", By("the_scripts_of_the_guide_lease_and_give_back")),
    ("pool.md", "portwright pool run", By("the_scripts_of_the_guide_lease_and_give_back")),
    ("server.md", "portwright tunnel token create", By("the_tokens_of_the_guide_are_made_listed_and_revoked")),
    ("server.md", "url=http", By("the_requests_of_the_guide_are_answered")),
    (
        "service.md",
        "sudo portwright service install server",
        By("a_real_systemd_runs_server_and_client_with_all_that_the_units_forbid"),
    ),
    ("service.md", "DATABASE=", By("a_real_systemd_runs_server_and_client_with_all_that_the_units_forbid")),
    (
        "service.md",
        "sudo portwright service install client",
        By("a_real_systemd_runs_server_and_client_with_all_that_the_units_forbid"),
    ),
    (
        "service.md",
        "sudo portwright service uninstall",
        By("a_real_systemd_runs_server_and_client_with_all_that_the_units_forbid"),
    ),
    ("tuning.md", "portwright tune ", By("what_a_host_needs_is_applied_effective_and_reverted_to_the_byte")),
    ("tunnel.md", "(umask 077", By("a_server_of_ones_own_is_set_up_as_the_guide_shows")),
    ("tunnel.md", "portwright tunnel client --join", By("a_server_of_ones_own_is_set_up_as_the_guide_shows")),
    ("tunnel.md", "curl -s", By("a_server_of_ones_own_is_set_up_as_the_guide_shows")),
];

/// Documents whose scripts are for who works on the program, or whose tables name programs that are measured.
const OF_DEVELOPERS: [&str; 2] = ["testing.md", "benchmarks.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document for users, in both languages: its name and its text.
fn documents() -> Vec<(String, String)> {
    let in_folder = |folder: &str| {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder").flatten();
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "md"))
    };
    let is_for_users = |(name, _): &(String, String)| !OF_DEVELOPERS.contains(&name.as_str());
    let paths = in_folder("docs").chain(in_folder("docs/zh-CN")).chain([root().join("README.md")]);
    let named = |path: PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).expect("a document"))
    };
    paths.map(named).filter(is_for_users).collect()
}

/// The blocks of shell of a text; those that are written into a file are none.
fn scripts(text: &str) -> impl Iterator<Item = Block> {
    blocks(text).into_iter().filter(|block| ["sh", "bash", "shell"].contains(&block.info.as_str()))
}

/// The block of a document that begins with this.
fn script(text: &str, begins: &str) -> String {
    let found = scripts(text).find(|block| block.lines.first().is_some_and(|line| line.contains(begins)));
    found.unwrap_or_else(|| panic!("no block {begins:?}")).lines.join("\n")
}

#[test]
fn every_script_of_the_guides_is_run_by_a_test_or_told_why_not() {
    let sources = sources(&root().join("tests"));
    let testing = std::fs::read_to_string(root().join("docs/testing.md")).expect("a document");
    let mut seen = Vec::new();
    for (name, text) in documents() {
        for block in scripts(&text) {
            let first = block.lines.first().expect("a line");
            let place = BLOCKS.iter().position(|(document, begins, _)| *document == name && first.contains(begins));
            seen.push(place.unwrap_or_else(|| panic!("{name}: nobody runs {first:?}")));
        }
    }
    for (place, (document, begins, run)) in BLOCKS.iter().enumerate() {
        assert!(seen.contains(&place), "{document} has no block {begins:?}");
        match run {
            By(test) => assert!(sources.contains(&format!("fn {test}(")), "{test} is no test"),
            Not(kind) => assert!(testing.contains(&format!("| {kind} |")), "docs/testing.md does not tell of {kind}"),
        }
    }
}

/// The commands within sentences: what stands between two backticks on one line, outside of blocks.
fn mentioned(text: &str) -> Vec<String> {
    let mut inside = false;
    let lines = text.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        inside ^= is_fence;
        !inside && !is_fence
    });
    let spans = lines.flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.filter_map(|span| span.strip_prefix("portwright ")).map(str::to_owned).collect()
}

#[test]
fn every_command_within_a_sentence_is_one_that_the_program_knows() {
    let whole = portwright::cli::command::command(Lang::En);
    let globals: Vec<String> = flags(&whole).collect();
    let mut count = 0;
    for (name, text) in documents() {
        for line in mentioned(&text) {
            let (mut command, mut follows_flag) = (&whole, false);
            for word in line.split_whitespace().take_while(|word| *word != "--") {
                count += 1;
                if let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) {
                    let flag = flag.split('=').next().unwrap_or_default();
                    let known = flags(command).chain(globals.iter().cloned()).any(|known| known == flag);
                    assert!(known || ["help", "version"].contains(&flag), "{name}: `portwright {line}` has no {word}");
                    follows_flag = true;
                    continue;
                }
                let verbs: Vec<&str> = word.split('|').collect();
                let found: Vec<_> = verbs.iter().filter_map(|verb| command.find_subcommand(verb)).collect();
                let is_value = follows_flag || command.get_positionals().next().is_some() || word == "VERB";
                assert!(found.len() == verbs.len() || is_value, "{name}: `portwright {line}` has no verb {word}");
                follows_flag = false;
                command = found.first().copied().unwrap_or(command);
            }
        }
    }
    assert!(count > 80, "{count} words");
}

/// The names of a command's flags, long and short.
fn flags(command: &clap::Command) -> impl Iterator<Item = String> {
    let of = |argument: &clap::Arg| {
        let short = argument.get_short().map(String::from);
        [argument.get_long().map(str::to_owned), short].into_iter().flatten()
    };
    command.get_arguments().flat_map(of)
}

/// Runs a script with the program on its search path.
fn shell(sandbox: &Sandbox, script: &str) -> Answer {
    let template = sandbox.command(&[]);
    let folder = Path::new(PORTWRIGHT).parent().expect("a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).expect("a path");
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(sandbox.project()).env_clear().stdin(Stdio::null());
    for (name, value) in template.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        command.env(name, value);
    }
    command.env("PATH", path).output().expect("sh runs").into()
}

#[test]
fn the_tokens_of_the_guide_are_made_listed_and_revoked() {
    let sandbox = Sandbox::new(&[("config.yaml", "api: { api_key: \"8f1d2c3b4a5968778695a4b3c2d1e0ff\" }\n")]);
    let text = include_str!("../../../docs/server.md");
    let said = shell(&sandbox, &script(text, "portwright tunnel token create")).expect_code(0).stdout;
    assert!(said.matches("pwj_").count() == 2 && said.contains("10000-10009"), "{said}");
    let left = sandbox.run(&["tunnel", "token", "list", "--config", "config.yaml", "--json"]).expect_code(0).json();
    let kept = left["tokens"].as_array().expect("tokens").iter().filter(|token| token["revoked_at"].is_null());
    assert_eq!(kept.map(|token| token["name"].as_str()).collect::<Vec<_>>(), [Some("ci")], "{left}");
}

#[test]
fn the_requests_of_the_guide_are_answered() {
    if !have("curl", Command::new("curl").arg("--version").output().is_ok()) {
        return;
    }
    let launches = Launches::new(&[]);
    launches.quick_start(&["--runtime", "native"]).expect_code(0);
    let script = script(include_str!("../../../docs/server.md"), "url=http");
    let script = script.replace(":8080", &format!(":{}", launches.first));
    let script = script.replace("10000", &(launches.first + 50).to_string());
    let said = shell(&launches.sandbox, &script).expect_code(0).stdout;
    assert!(said.contains("\"status\":\"ok\""), "{said}");
    assert_eq!(said.matches("\"success\":true").count(), 3, "{said}");
    assert!(said.contains(&format!("\"source_port\":{}", launches.first + 50)), "{said}");
}

/// A program that runs until the end of its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command of the guide.
fn started(sandbox: &Sandbox, line: &str) -> Running {
    let words: Vec<&str> = line.strip_prefix("portwright ").expect("ours").split_whitespace().collect();
    let mut command = sandbox.command(&words);
    Running(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program runs"))
}

/// Answers each visitor with what it sends.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reads = stream.try_clone().expect("a second handle");
            let _ = std::io::copy(&mut reads, &mut stream);
            let _ = stream.shutdown(Shutdown::Write);
        }
    });
    port
}

#[test]
fn a_server_of_ones_own_is_set_up_as_the_guide_shows() {
    let has = |tool: &str, flag: &str| have(tool, Command::new(tool).arg(flag).output().is_ok());
    if !has("curl", "--version") || !has("openssl", "version") {
        return;
    }
    let first = free_block(100);
    let (control, api, target) = (first + 40, first + 41, echo());
    let text = include_str!("../../../docs/tunnel.md");
    let here = |text: &str| {
        let text = text.replace("tunnel.example.org", "127.0.0.1").replace("10100", &(first + 9).to_string());
        let text = text.replace("10000", &first.to_string()).replace("9000", &control.to_string());
        text.replace("8080", &api.to_string()).replace(": 22,", &format!(": {target},"))
    };
    let config = blocks(text).into_iter().find(|block| block.info == "yaml").expect("a configuration");
    let sandbox = Sandbox::new(&[("config.yaml", &here(&(config.lines.join("\n") + "\n")))]);
    let setup = script(text, "(umask 077");
    let (key, server) = setup.split_once('\n').expect("two commands");
    shell(&sandbox, key).expect_code(0);
    let mut server = started(&sandbox, server);
    let lines = BufReader::new(server.0.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let code = lines.flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let code = code.into_iter().find(|word| word.starts_with("pwj_")).expect("a join code");
    until("the server answers", || healthy(api));
    let _client = started(&sandbox, &script(text, "portwright tunnel client --join").replace("pwj_…", &code));
    let create = script(text, "curl -s");
    let (create, visit) = create.rsplit_once('\n').expect("two commands");
    let said = shell(&sandbox, &here(create)).expect_code(0).stdout;
    assert!(said.contains("\"success\":true"), "{said}");
    // What ssh would do.
    assert!(visit.starts_with("ssh -p 10000 "), "{visit}");
    until("a visitor gets through", || {
        let Ok(mut visitor) = TcpStream::connect((Ipv4Addr::LOCALHOST, first)) else { return false };
        let mut answer = [0; 5];
        visitor.write_all(b"hello").is_ok() && visitor.read_exact(&mut answer).is_ok() && &answer == b"hello"
    });
}
