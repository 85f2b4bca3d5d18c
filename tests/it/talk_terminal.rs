//! Questions on a real terminal: this test binary is started again in a pseudo-terminal, where it plays a role.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio, exit};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Parser as _;
use portwright::cli::progress::Progress;
use portwright::cli::prompt::{ConflictQuestion, Judge, Person, Prompter};
use portwright::cli::{Arguments, Environment, Interrupt, Talk};
use portwright::error::Result;
use portwright::model::Port;
use portwright::words::cli::CliWords;
use portwright::words::{Lang, Message};

use crate::terminal::Terminal;

/// The variable that makes the test `role` act.
const ROLE: &str = "PORTWRIGHT_IT_ROLE";

/// The file into which a role writes its exit code, when it is set.
const TOLD: &str = "PORTWRIGHT_IT_TOLD";

/// The role whose terminal the role `closing` closes.
const CLOSED_ROLE: &str = "PORTWRIGHT_IT_CLOSED_ROLE";

/// How long anything may take on a machine that compiles beside the test.
const DEADLINE: Duration = Duration::from_secs(20);

/// What the terminal gets when the cursor is shown.
const CURSOR_SHOWN: &str = "\x1b[?25h";

/// Asks one question, as a verb would, and says what became of it. Does nothing unless it is started for that.
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    if role == "closing" {
        close_a_terminal();
    }
    let environment = Environment::of_this_process();
    let lang = environment.lang(&[]);
    let arguments = Arguments::try_parse_from(["portwright", "scan"]).expect("a command line");
    let talk = Talk::new(lang, &arguments.global, &environment);
    let interrupt = Interrupt::install();
    let terminal_before = terminal_settings();
    let result = ask(&role, &talk, &interrupt);
    let sane = terminal_before == terminal_settings();
    match result {
        Ok(answer) => {
            tell(&format!("answer {answer} sane {sane}"), 0);
        }
        Err(error) => {
            talk.error(&error, "scan");
            tell(&format!("sane {sane}"), error.kind().exit_code());
        }
    }
}

/// Tells the test, without a panic when the terminal has gone, and ends.
fn tell(text: &str, code: u8) -> ! {
    let _ = writeln!(std::io::stdout(), "{text}");
    if let Some(told) = std::env::var_os(TOLD) {
        let begun = PathBuf::from(&told).with_extension("begun");
        std::fs::write(&begun, code.to_string()).and_then(|()| std::fs::rename(begun, told)).expect("it is told");
    }
    exit(i32::from(code));
}

/// Opens a terminal with a question in it, and ends with the terminal open: the system closes it.
fn close_a_terminal() -> ! {
    let role = std::env::var(CLOSED_ROLE).expect("a role");
    let (_, shown) = QUESTIONS.into_iter().find(|(name, _)| *name == role).expect("a question");
    let _terminal = open_at(&role, shown);
    exit(0);
}

fn ask(role: &str, talk: &Talk, interrupt: &Interrupt) -> Result<String> {
    let person = &mut Person::new(talk, interrupt);
    let what = Message::from(CliWords::EngineChooses);
    match role {
        "progress" => Ok(work(talk)),
        "confirm" => person.confirm(&what, true).map(|answer| answer.to_string()),
        "word" => person.typed_confirmation(&what, "kill nginx").map(|answer| answer.to_string()),
        _ => {
            let wanted = Port::new(8000).expect("a port");
            let question =
                ConflictQuestion { what, name: "web:80".into(), wanted, suggested: Port::new(8001), others: 2 };
            // As if a signal came while nothing waits for a key.
            let between = |_: &str| {
                interrupt.flag().store(true, Ordering::SeqCst);
                Err(CliWords::WantsPort.into())
            };
            let judge: Judge<'_> = if role == "between" { &between } else { &judge };
            person.choose(&question, judge).map(|answer| format!("{answer:?}"))
        }
    }
}

/// Works on two steps until a line comes on stdin: the first is done at once, the second lasts.
fn work(talk: &Talk) -> String {
    let mut progress = Progress::new(talk);
    progress.step(CliWords::PortColumn);
    progress.step(CliWords::EngineChooses);
    progress.bytes(1024, 2048);
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line).expect("stdin");
    progress.done();
    format!("read {read}")
}

/// Takes only 9000.
fn judge(typed: &str) -> Result<Port, Message> {
    match portwright::cli::read_port(typed)? {
        port if port.get() == 9000 => Ok(port),
        _ => Err(CliWords::UnknownVerb { verb: "taken".into() }.into()),
    }
}

/// What `stty` says of the terminal on stdin; `None` without a terminal.
fn terminal_settings() -> Option<Vec<u8>> {
    let output = Command::new("stty").arg("-a").stdin(Stdio::inherit()).output().ok()?;
    output.status.success().then_some(output.stdout)
}

fn role_command(role: &str, lang: Lang) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["talk_terminal::role", "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env("TERM", "xterm").env_remove("LC_ALL").env_remove("PORTWRIGHT_LANG");
    command.env("LANG", if lang == Lang::ZhCn { "zh_CN.UTF-8" } else { "en_US.UTF-8" });
    command
}

fn open(role: &str, lang: Lang) -> Terminal {
    Terminal::open(role_command(role, lang))
}

/// Opens a terminal in which the question of `role` is open, which shows as `shown`.
fn open_at(role: &str, shown: &str) -> Terminal {
    let mut terminal = open(role, Lang::En);
    if ["manual", "between"].contains(&role) {
        terminal.sees(LAST_CHOICE).types(DOWN).sees("> manual").sees(LAST_CHOICE).types("\r");
    }
    terminal.sees(shown);
    terminal
}

const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";

/// The last line of the menu: once it is there, the menu is.
const LAST_CHOICE: &str = "automatic for this and 2 more";

#[test]
fn each_choice_is_reached_by_the_arrow_keys() {
    let cases: [(&[&str], &str, &str); 5] = [
        (&[], "\r", "Automatic"),
        (&["> manual", "> keep 8000"], "\r", "Keep"),
        (&["> manual", "> keep 8000", "> stop and change nothing"], "\r", "Abort"),
        (&[], "q", "Abort"),
        (&[], "\x1b", "Abort"),
    ];
    for (marks, last, answer) in cases {
        let mut terminal = open_at("choose", LAST_CHOICE);
        for mark in marks {
            terminal.types_each(&[DOWN]).sees(mark).sees(LAST_CHOICE);
        }
        terminal.types_each(&[last]).sees(CURSOR_SHOWN).sees(&format!("answer {answer} sane true")).ends_with(0);
    }
    let mut terminal = open("choose", Lang::En);
    terminal.sees("chosen by the engine").sees("> automatic: use 8001").sees(LAST_CHOICE).types_each(&[UP]);
    terminal
        .sees(&format!("> {LAST_CHOICE}"))
        .types_each(&["\r"])
        .sees("answer AutomaticForAll sane true")
        .ends_with(0);
}

#[test]
fn a_typed_port_is_refused_with_its_reason_until_it_will_do() {
    let mut terminal = open("choose", Lang::En);
    terminal.sees(LAST_CHOICE).types_each(&[DOWN]).sees("> manual").sees(LAST_CHOICE).types_each(&["\r"]);
    terminal.sees("Port: ").types_each(&["7", "0", "0", "0", "0", "\r"]);
    terminal.sees("refused: a port is a whole number from 1 to 65535");
    terminal.sees("Port: ").types_each(&["\r"]).sees("refused: a port is a whole number from 1 to 65535");
    terminal.sees("Port: ").types_each(&["8", "0", "8", "1", "\r"]).sees("refused: there is no command `taken`");
    terminal.sees("Port: ").types_each(&["9", "0", "0", "0", "\r"]);
    terminal.sees("answer Manual(Port(9000)) sane true").ends_with(0);
}

#[test]
fn a_confirmation_takes_yes_no_and_its_default() {
    for (key, answer) in [("y", "yes"), ("N", "no"), ("\r", "yes"), ("\x1b", "no")] {
        let mut terminal = open("confirm", Lang::En);
        terminal.sees("chosen by the engine [Y/n] ").types_each(&[key]).sees(&format!("chosen by the engine {answer}"));
        terminal.sees(CURSOR_SHOWN).sees(&format!("answer {} sane true", answer == "yes")).ends_with(0);
    }
}

#[test]
fn a_typed_confirmation_wants_the_exact_words() {
    for (words, answer) in [("kill nginx", true), ("yes", false), ("", false)] {
        let mut terminal = open("word", Lang::En);
        terminal.sees("Type kill nginx to confirm:").sees("> ").types_each(&[words, "\r"]);
        terminal.sees(&format!("answer {answer} sane true")).ends_with(0);
    }
}

#[test]
fn the_questions_are_asked_in_chinese() {
    let mut terminal = open("choose", Lang::ZhCn);
    terminal.sees("用方向键和回车选择：").sees("> 自动：改用 8001").sees("手动：输入端口").sees("保留 8000");
    terminal.sees("停止，不做任何修改").sees("自动，其余 2 个也一样");
    terminal.types_each(&[DOWN]).sees("> 手动：输入端口").sees("也一样").types_each(&["\r"]);
    terminal.sees("端口：").types_each(&["x", "\r"]).sees("不可用：端口应为 1 到 65535 之间的整数");
    terminal.sees("端口：").types_each(&["9000", "\r"]).sees("answer Manual(Port(9000)) sane true").ends_with(0);
    let mut terminal = open("confirm", Lang::ZhCn);
    terminal.sees("[Y/n] ").types_each(&["n"]).sees("否").sees("answer false sane true").ends_with(0);
}

/// The questions: their role, and the text that shows that one is open.
const QUESTIONS: [(&str, &str); 4] =
    [("choose", LAST_CHOICE), ("manual", "Port: "), ("confirm", "[Y/n] "), ("word", "> ")];

#[test]
fn ctrl_c_stops_at_every_question_and_leaves_the_terminal_sane() {
    for (role, shown) in QUESTIONS {
        let mut terminal = open_at(role, shown);
        terminal.types_each(&["\x03"]).sees(CURSOR_SHOWN);
        terminal.sees("interrupted; nothing was changed").sees("sane true").ends_with(130);
    }
}

/// The role asks on a thread that is not the first: signals land on another one.
#[test]
fn signals_stop_at_every_question_whatever_thread_they_land_on() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        for (role, shown) in QUESTIONS {
            let mut terminal = open_at(role, shown);
            terminal.is_sent(signal).sees(CURSOR_SHOWN);
            terminal.sees("interrupted; nothing was changed").sees("sane true").ends_with(130);
        }
    }
}

#[test]
fn a_signal_between_two_waits_for_a_key_is_not_lost() {
    let mut terminal = open_at("between", "Port: ");
    terminal.types_each(&["\r"]).sees("refused: ").sees("Port: ").sees(CURSOR_SHOWN);
    terminal.sees("interrupted; nothing was changed").sees("sane true").ends_with(130);
}

#[test]
fn a_terminal_that_is_closed_stops_at_every_question() {
    for (role, _) in QUESTIONS {
        let folder = tempfile::tempdir().expect("a folder");
        let told = folder.path().join("told");
        let status = role_command("closing", Lang::En).env(CLOSED_ROLE, role).env(TOLD, &told).status();
        assert!(status.expect("the role runs").success());
        let deadline = Instant::now() + DEADLINE;
        while !told.exists() {
            assert!(Instant::now() < deadline, "{role} did not end with its terminal");
            std::thread::yield_now();
        }
        assert_eq!(std::fs::read_to_string(&told).expect("what the role told"), "130", "{role}");
    }
}

#[test]
fn a_question_without_a_terminal_is_a_usage_error_that_names_the_flag() {
    for (role, flag) in [("choose", "`--port web:80=PORT`"), ("confirm", "`--yes`"), ("word", "on a terminal")] {
        let output = role_command(role, Lang::En).stdin(Stdio::null()).output().expect("the role runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("no terminal to ask on") && said.contains(flag), "{said}");
    }
}

#[test]
fn progress_appears_for_a_step_that_lasts_and_goes_when_it_is_done() {
    let mut terminal = open("progress", Lang::En);
    let before = terminal.reads_up_to("chosen by the engine 1.00 KiB/2.00 KiB");
    assert!(!before.contains("PORT"), "the quick step was drawn");
    terminal.types_each(&["\r"]).sees("\x1b[2K").sees("answer read 1 sane true").ends_with(0);
}

#[test]
fn progress_is_silent_where_nobody_watches() {
    let output = role_command("progress", Lang::En).stdin(Stdio::null()).output().expect("the role runs");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
