//! The command line from outside: help, wrong usage, languages, and streams that close or fill up.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The verbs that a person sees, as they are typed.
const VERBS: [&str; 11] = [
    "quick-start",
    "check",
    "scan",
    "undo",
    "status",
    "logs",
    "down",
    "tunnel",
    "tunnel server",
    "bench",
    "bench serve",
];

fn portwright() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwright"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn run(line: &str) -> Output {
    portwright().args(line.split_whitespace()).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn every_verb_has_help_with_its_flags_and_examples_in_both_languages() {
    for (lang, headings) in [("en", ["Usage: ", "Examples:\n"]), ("zh-CN", ["用法：", "示例：\n"])] {
        for verb in VERBS {
            let output = run(&format!("{verb} --help --lang {lang}"));
            let page = text(&output.stdout);
            assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{verb}");
            for part in headings.iter().chain(&["--json", "--directory", "--lang", "--quiet", "--color"]) {
                assert!(page.contains(part), "{part:?} in the help of {verb}:\n{page}");
            }
            assert!(page.matches("  portwright ").count() >= 3, "examples of {verb}:\n{page}");
        }
    }
}

#[test]
fn the_flags_of_the_contract_are_all_there() {
    let flags = [
        (
            "quick-start",
            "--yes -y, --on-conflict --port --range --dry-run --no-launch --wait --runtime -f, --env-file \
                         --bind --strict --override --ripple --follow --instance --profile",
        ),
        ("check", "--file --env-file --profile --instance --range --strict --format --report"),
        ("scan", "--range --free --protocol --process --watch --interval"),
        ("undo", "--yes -f, --file --env-file --profile --instance"),
        ("status", "-f, --file --env-file --profile --instance"),
        ("logs", "-f, --follow --tail --file --env-file --profile --instance"),
        ("down", "--yes -f, --file --env-file --profile --instance"),
        ("tunnel server", "--config --env-file"),
        ("bench", "--test --connections --size --duration --rounds --direct --report --echo --no-data"),
        ("bench serve", "--listen"),
    ];
    for (verb, flags) in flags {
        let page = text(&run(&format!("{verb} --help")).stdout);
        for flag in flags.split_whitespace() {
            assert!(page.contains(flag), "{flag} in the help of {verb}:\n{page}");
        }
    }
}

#[test]
fn up_is_quick_start_and_internal_verbs_are_not_shown() {
    assert_eq!(run("up --help").stdout, run("quick-start --help").stdout);
    assert_eq!(run("help scan").stdout, run("scan --help").stdout);
    let pages = text(&run("--help").stdout) + &text(&run("tunnel --help").stdout);
    assert!(!pages.contains("supervise") && !pages.contains("health"), "{pages}");
}

#[test]
fn the_language_comes_from_the_flag_or_the_surroundings() {
    let page = |variables: &[(&str, &str)], line: &str| {
        let output = portwright().args(line.split_whitespace()).envs(variables.iter().copied()).output();
        text(&output.expect("the program runs").stdout)
    };
    let chinese = page(&[], "--help --lang zh-CN");
    assert_eq!(page(&[("LANG", "zh_CN.UTF-8")], "--help"), chinese);
    assert_eq!(page(&[("LANG", "en_US.UTF-8"), ("LC_ALL", "zh_CN.UTF-8")], "--help"), chinese);
    assert_eq!(page(&[("LC_ALL", "C"), ("PORTWRIGHT_LANG", "zh-CN")], "--help"), chinese);
    assert_eq!(page(&[("LANG", "zh_CN.UTF-8")], "--help --lang=en"), page(&[], "--help"));
}

#[test]
fn a_wrong_command_line_is_explained_with_a_way_out_and_exits_with_2() {
    let cases = [
        ("scna", "there is no command `scna`", "did you mean `scan`?"),
        ("tunnel servr", "there is no command `servr`", "did you mean `server`?"),
        ("scan --rnage 1-2", "there is no argument `--rnage`", "did you mean `--range`?"),
        ("scan --protocol xyz", "`xyz` is not a value of", "possible values: tcp, udp, all"),
        ("scan --range 9-2", "from the lower port to the higher", "run `portwright scan --help`"),
        ("scan --range 0-2", "within 1 to 65535", "usage: portwright scan [OPTIONS]"),
        ("scan --range", "needs a value", "run `portwright scan --help`"),
        ("up --port web", "such as web=8081", "run `portwright quick-start --help`"),
        ("up --port web=70000", "from 1 to 65535", "usage: portwright quick-start [OPTIONS]"),
        ("up --bind localhost", "it is an IP address", "run"),
        ("up --on-conflict maybe", "`maybe` is not a value of", "possible values: ask, auto, keep, fail"),
        ("up --instance ../x", "a name has at most 32 characters", "run"),
        ("tunnel server", "this is missing: --config <FILE>", "usage: portwright tunnel server --config <FILE>"),
        ("scan -q -v", "cannot be used with", "run"),
        ("scan --lang fr", "`fr` is not a value of", "possible values: en, zh-CN"),
        ("logs web db", "there is no argument `db`", "usage: portwright logs [OPTIONS] [SERVICE]"),
    ];
    for (line, what, way_out) in cases {
        let output = run(line);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{line}: {said}");
        assert!(said.starts_with("error: ") && said.contains(what), "{line}: {said}");
        assert!(said.contains("\nhint: ") && said.contains(way_out), "{line}: {said}");
    }
}

#[test]
fn a_wrong_command_line_is_explained_in_chinese() {
    let said = text(&run("scan --range 9-2 --lang zh-CN").stderr);
    assert!(said.starts_with("错误：`9-2` 不能作为 `--range <起-止>` 的值：范围写作"), "{said}");
    assert!(said.contains("\n提示：运行 `portwright scan --help` 查看帮助\n用法：portwright scan [选项]\n"), "{said}");
}

#[test]
fn nothing_typed_shows_the_help_on_stderr_and_exits_with_2() {
    let output = run("");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(text(&output.stderr).contains("Commands:"));
}

#[test]
fn failures_under_json_are_one_english_document() {
    for (line, schema) in [
        ("scan --range 9-2 --json --lang zh-CN", "portwright.scan/1"),
        ("--json chekc", "portwright.error/1"),
        ("--json", "portwright.error/1"),
        ("tunnel server --json", "portwright.tunnel/1"),
    ] {
        let output = run(line);
        let document: Value = serde_json::from_slice(&output.stdout).expect(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert_eq!(document["schema"], schema, "{line}");
        assert_eq!(document["error"]["kind"], "usage", "{line}");
        assert!(document["error"]["message"].as_str().is_some_and(str::is_ascii), "{document}");
        assert!(document["error"]["hint"].as_str().is_some_and(str::is_ascii), "{document}");
        assert!(text(&output.stdout).starts_with("{\"schema\":"), "{line}");
    }
}

#[test]
fn colour_is_used_when_asked_for_and_never_into_a_pipe() {
    let colourful = |line: &str, variable: &str| {
        let output = portwright().args(line.split_whitespace()).env(variable, "1").output().expect("the program runs");
        output.stdout.contains(&0x1b) || output.stderr.contains(&0x1b)
    };
    assert!(!colourful("--help", "X") && !colourful("scna", "X"));
    assert!(colourful("--help --color always", "X") && colourful("scna --color=always", "NO_COLOR"));
    assert!(colourful("scna", "CLICOLOR_FORCE") && !colourful("scna --color never", "CLICOLOR_FORCE"));
}

#[cfg(unix)]
fn shell(script: &str) -> Output {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).env("P", env!("CARGO_BIN_EXE_portwright")).env_remove("LANG").env_remove("LC_ALL");
    command.stdin(Stdio::null()).output().expect("sh runs")
}

#[test]
#[cfg(unix)]
fn a_reader_that_leaves_ends_the_run_quietly() {
    let output = shell("{ \"$P\" --help; echo \"code $?\" >&2; } | true");
    assert_eq!(text(&output.stderr), "code 0\n");
    let output = shell("\"$P\" --help | head -1");
    assert_eq!(text(&output.stdout), "Brings a containerised service up on a machine that nobody prepared\n");
    assert_eq!(text(&output.stderr), "");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error_and_closed_streams_are_no_panic() {
    let output = shell("\"$P\" --help >/dev/full");
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output.stderr).starts_with("error: the output cannot be written: "), "{}", text(&output.stderr));
    for (script, code) in [
        ("\"$P\" scna 2>/dev/full", 2),
        ("\"$P\" scna 2>&-", 2),
        ("\"$P\" --help >&-", 0),
        ("\"$P\" scna --json >/dev/full 2>&1", 2),
        ("\"$P\" scna >&- 2>&- <&-", 2),
    ] {
        assert_eq!(shell(script).status.code(), Some(code), "{script}");
    }
}
