//! The wizard as a person meets it: `quick-start` in a real terminal, answered key by key.

use std::process::Stdio;
use std::time::Duration;

use expectrl::process::unix::WaitStatus;
use expectrl::session::{OsSession, Session};
use expectrl::{Eof, Expect as _};

use crate::support::{Sandbox, free_block, hold};

/// Far above what a loaded machine needs for one screen.
const DEADLINE: Duration = Duration::from_mins(1);

const DOWN: &str = "\x1b[B";

/// Two services; the first port is taken, and the second service wants the next one.
fn classic(first: u16) -> Sandbox {
    let compose = format!(
        "services:\n  deno:\n    image: x\n    ports: [\"${{DENO_PORT:-{first}}}:8000\"]\n  go:\n    image: x\n    ports: [\"${{GO_PORT:-{}}}:8000\"]\n",
        first + 1
    );
    let env = format!("# ports\nDENO_PORT={first}  # main\nGO_PORT={}\nSECRET=hunter2\n", first + 1);
    Sandbox::new(&[("compose.yaml", &compose), (".env", &env)])
}

struct Wizard(OsSession);

impl Wizard {
    fn open(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut command = sandbox.command(&[&["quick-start", "--no-launch"], arguments].concat());
        command.env("TERM", "xterm-256color").stdin(Stdio::inherit());
        let mut session = Session::spawn(command).expect("a terminal");
        session.set_expect_timeout(Some(DEADLINE));
        Self(session)
    }

    fn sees(&mut self, text: &str) -> &mut Self {
        let seen = self.0.expect(text);
        seen.unwrap_or_else(|error| panic!("{text:?} did not appear: {error}"));
        self
    }

    fn types(&mut self, keys: &str) -> &mut Self {
        self.0.send(keys).expect("the terminal takes keys");
        self
    }

    fn ends_with(&mut self, code: i32) {
        self.0.expect(Eof).expect("the end");
        let status = self.0.get_process().wait().expect("a status");
        assert!(matches!(status, WaitStatus::Exited(_, ended) if ended == code), "{status:?}, not {code}");
    }
}

#[test]
fn automatic_moves_the_port_past_its_sibling_after_the_diff_was_agreed_to() {
    let first = free_block(4);
    let sandbox = classic(first);
    let _held = hold(first);
    let mut wizard = Wizard::open(&sandbox, &[]);
    wizard.sees(&format!("> automatic: use {}", first + 2)).sees("stop and change nothing").types("\r");
    wizard.sees(&format!("+DENO_PORT={}  # main", first + 2)).sees("Write these changes?").types("y").ends_with(0);
    let expected = format!("# ports\nDENO_PORT={}  # main\nGO_PORT={}\nSECRET=hunter2\n", first + 2, first + 1);
    assert_eq!(sandbox.read(".env"), expected);
}

#[test]
fn a_manual_port_is_checked_while_it_is_asked_for() {
    let first = free_block(10);
    let sandbox = classic(first);
    let _held = (hold(first), hold(first + 5));
    let mut wizard = Wizard::open(&sandbox, &[]);
    wizard.sees("stop and change nothing").types(DOWN).sees("> manual").sees("stop and change nothing").types("\r");
    wizard.sees("Port:").types(&format!("{}\r", first + 1)).sees("service go of this project wants it too");
    wizard.sees("Port:").types(&format!("{}\r", first + 5)).sees("refused:");
    wizard.sees("Port:").types(&format!("{}\r", first + 7)).sees("Write these changes?").types("y").ends_with(0);
    assert!(sandbox.read(".env").contains(&format!("DENO_PORT={}  # main", first + 7)));
}

#[test]
fn keep_and_stop_and_no_leave_every_byte() {
    let first = free_block(4);
    let sandbox = classic(first);
    let before = sandbox.contents();
    let _held = hold(first);
    let mut keeping = Wizard::open(&sandbox, &[]);
    keeping.sees("stop and change nothing").types(DOWN).sees("> manual").types(DOWN).sees("> keep");
    keeping.types("\r").ends_with(0);
    let mut stopping = Wizard::open(&sandbox, &[]);
    stopping.sees("stop and change nothing").types(DOWN).sees("> manual").types(DOWN).sees("> keep").types(DOWN);
    stopping.sees("> stop and change nothing").types("\r").ends_with(130);
    let mut declining = Wizard::open(&sandbox, &[]);
    declining.sees("stop and change nothing").types("\r").sees("Write these changes?").types("n").ends_with(130);
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn ctrl_c_at_any_question_ends_with_130_and_changes_nothing() {
    let first = free_block(4);
    let sandbox = classic(first);
    let before = sandbox.contents();
    let _held = hold(first);
    Wizard::open(&sandbox, &[]).sees("stop and change nothing").types("\x03").sees("\x1b[?25h").ends_with(130);
    let mut typing = Wizard::open(&sandbox, &[]);
    typing.sees("stop and change nothing").types(DOWN).sees("> manual").types("\r").sees("Port:").types("\x03");
    typing.ends_with(130);
    let mut agreeing = Wizard::open(&sandbox, &[]);
    agreeing.sees("stop and change nothing").types("\r").sees("Write these changes?").types("\x03").ends_with(130);
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn the_wizard_speaks_chinese() {
    let first = free_block(4);
    let sandbox = classic(first);
    let _held = hold(first);
    let mut wizard = Wizard::open(&sandbox, &["--lang", "zh-CN"]);
    wizard.sees("冲突").sees("自动").types("\r").sees("写入这些修改").types("y").ends_with(0);
    assert!(sandbox.read(".env").contains(&format!("DENO_PORT={}  # main", first + 2)));
}
