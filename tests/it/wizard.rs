//! The wizard as a person meets it: `quick-start` in a real terminal, answered key by key.

use crate::support::{Sandbox, free_block, hold};
use crate::terminal::Terminal;

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

fn wizard(sandbox: &Sandbox, arguments: &[&str]) -> Terminal {
    Terminal::open(sandbox.command(&[&["quick-start", "--no-launch"], arguments].concat()))
}

#[test]
fn automatic_moves_the_port_past_its_sibling_after_the_diff_was_agreed_to() {
    let first = free_block(4);
    let sandbox = classic(first);
    let _held = hold(first);
    let mut wizard = wizard(&sandbox, &[]);
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
    let mut wizard = wizard(&sandbox, &[]);
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
    let mut keeping = wizard(&sandbox, &[]);
    keeping.sees("stop and change nothing").types(DOWN).sees("> manual").types(DOWN).sees("> keep");
    keeping.types("\r").ends_with(0);
    let mut stopping = wizard(&sandbox, &[]);
    stopping.sees("stop and change nothing").types(DOWN).sees("> manual").types(DOWN).sees("> keep").types(DOWN);
    stopping.sees("> stop and change nothing").types("\r").ends_with(130);
    let mut declining = wizard(&sandbox, &[]);
    declining.sees("stop and change nothing").types("\r").sees("Write these changes?").types("n").ends_with(130);
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn ctrl_c_at_any_question_ends_with_130_and_changes_nothing() {
    let first = free_block(4);
    let sandbox = classic(first);
    let before = sandbox.contents();
    let _held = hold(first);
    wizard(&sandbox, &[]).sees("stop and change nothing").types("\x03").sees("\x1b[?25h").ends_with(130);
    let mut typing = wizard(&sandbox, &[]);
    typing.sees("stop and change nothing").types(DOWN).sees("> manual").types("\r").sees("Port:").types("\x03");
    typing.ends_with(130);
    let mut agreeing = wizard(&sandbox, &[]);
    agreeing.sees("stop and change nothing").types("\r").sees("Write these changes?").types("\x03").ends_with(130);
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn the_wizard_speaks_chinese() {
    let first = free_block(4);
    let sandbox = classic(first);
    let _held = hold(first);
    let mut wizard = wizard(&sandbox, &["--lang", "zh-CN"]);
    wizard.sees("冲突").sees("自动").types("\r").sees("写入这些修改").types("y").ends_with(0);
    assert!(sandbox.read(".env").contains(&format!("DENO_PORT={}  # main", first + 2)));
}
