//! `doctor --watch` on a real terminal.

use std::process::Command;

use crate::support::{PORTWRIGHT, Sandbox};
use crate::terminal::Terminal;

/// Keys of Ctrl-C.
const INTERRUPT: &str = "\u{3}";

#[test]
fn watching_shows_what_breaks_and_what_is_mended_and_an_interrupt_ends_it_with_the_terminal_as_it_was() {
    let sandbox = Sandbox::new(&[]);
    let folder = sandbox.home().join(".local/state/portwright");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    mode(0o700);
    // The shell, which an interrupt does not end, tells the settings of its terminal before and after.
    let line = format!(
        "trap : INT; stty -g; {PORTWRIGHT} doctor --watch --interval 1 --only folders-private --color never; echo ended $?; stty -g"
    );
    let template = sandbox.command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", &line]).current_dir(sandbox.project()).env_clear();
    for (name, value) in template.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        command.env(name, value);
    }
    let mut terminal = Terminal::open(command);
    let settings = terminal.reads_up_to("\n").trim().to_owned();
    terminal.sees("ok folders-private").sees("\u{1b}[2J");
    mode(0o777);
    terminal.sees("broken folders-private").sees("chmod go-w");
    mode(0o700);
    terminal.sees("ok folders-private").types(INTERRUPT).sees("ended 130");
    let rest = terminal.ends_with(0);
    assert!(rest.contains(&settings), "{settings} became {rest}");
}
