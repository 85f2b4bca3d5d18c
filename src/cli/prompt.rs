//! Questions: asked only when stdin and stderr are terminals, and left with a sane terminal when interrupted.
//!
//! dialoguer asks; this room gives it its words and looks, and sees to signals. dialoguer counts line feeds to know
//! how much to erase, so nothing that it erases may be wider than the terminal.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use console::Term;
use dialoguer::theme::Theme;
use dialoguer::{Confirm, Input, Select};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::escape;
use super::interrupt::{Interrupt, interrupted};
use super::output::{Paint, Talk, write_err};
use crate::error::{Error, ErrorKind, Result};
use crate::host::Waker;
use crate::model::Port;
use crate::words::prompt::PromptWords;
use crate::words::{Message, Say};

/// A conflict that a person decides about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictQuestion {
    /// What is in the way of what, and who it is.
    pub what: Message,
    /// The name by which `--port NAME=PORT` reaches the mapping.
    pub name: String,
    /// The port as it stands.
    pub wanted: Port,
    /// What automatic choice would take, when there is anything.
    pub suggested: Option<Port>,
    /// How many more conflicts follow this one.
    pub others: usize,
}

/// What a person decided about a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Take the suggestion.
    Automatic,
    /// Take the suggestion, and those of all conflicts that follow.
    AutomaticForAll,
    /// Take this port, which passed the check.
    Manual(Port),
    /// Leave it as it is.
    Keep,
    /// Stop and change nothing.
    Abort,
}

/// Judges a port that is being typed in: the port, or why it will not do.
pub type Judge<'a> = &'a dyn Fn(&str) -> Result<Port, Message>;

/// Someone who answers questions: a person at a terminal, or a test.
pub trait Prompter {
    /// Asks what to do about a conflict.
    fn choose(&mut self, question: &ConflictQuestion, judge: Judge<'_>) -> Result<Answer>;

    /// Asks a yes-or-no question.
    fn confirm(&mut self, question: &Message, default: bool) -> Result<bool>;

    /// Asks for `word` to be typed; tells whether it was.
    fn typed_confirmation(&mut self, question: &Message, word: &str) -> Result<bool>;
}

/// How long an open question may not notice a signal that landed on another thread, or between two keys.
const SIGNAL_NOTICED_AFTER: Duration = Duration::from_millis(50);

/// What stands before a line to type on.
const INPUT_MARK: &str = "> ";

/// A person at the terminal.
#[derive(Debug)]
pub struct Person<'a> {
    talk: &'a Talk,
    interrupt: &'a Interrupt,
}

/// A line of the menu.
struct Choice {
    /// `None` for a port that is typed in.
    answer: Option<Answer>,
    text: PromptWords,
}

impl<'a> Person<'a> {
    /// Makes the person that `talk` speaks with; `interrupt` must be installed, or Ctrl-C ends the process at once.
    #[must_use]
    pub const fn new(talk: &'a Talk, interrupt: &'a Interrupt) -> Self {
        Self { talk, interrupt }
    }

    /// Fails at once, with the flags that answer beforehand, when nobody can be asked.
    fn must_be_there(&self, problem: PromptWords, hint: PromptWords) -> Result<()> {
        if self.talk.can_ask() { Ok(()) } else { Err(Error::new(ErrorKind::Usage, problem).hint(hint)) }
    }

    /// Asks, and shows the cursor again when a signal, Ctrl-C or a terminal that has gone ends the question: all of
    /// them mean the same.
    fn ask<T>(&self, question: impl FnOnce() -> dialoguer::Result<T>) -> Result<T> {
        self.interrupt.check()?;
        let waker = Waker::of_this_thread();
        let asked = thread::scope(|scope| {
            let (open, closed) = mpsc::channel::<()>();
            scope.spawn(move || {
                while closed.recv_timeout(SIGNAL_NOTICED_AFTER) == Err(RecvTimeoutError::Timeout) {
                    if self.interrupt.requested() {
                        waker.wake();
                    }
                }
            });
            let asked = question();
            drop(open);
            asked
        });
        let answer = asked.map_err(|_| interrupted()).and_then(|answer| self.interrupt.check().map(|()| answer));
        if answer.is_err() {
            let terminal = Term::stderr();
            // The terminal may have gone; then nothing is left to put in order.
            let _ = terminal.write_line("").and_then(|()| terminal.show_cursor());
        }
        answer
    }

    fn say(&self, words: &impl Say) -> String {
        escape::lines(&words.say(self.talk.lang)).into_owned()
    }

    /// Asks for a port until one passes the check.
    fn manual(&self, judge: Judge<'_>) -> Result<Port> {
        let passed = Cell::new(None);
        let theme = Plain(self.talk);
        let input = Input::<String>::with_theme(&theme)
            .with_prompt(self.say(&PromptWords::PortQuestion))
            .allow_empty(true)
            .validate_with(|typed: &String| {
                let port = judge(typed.trim());
                port.map(|port| passed.set(Some(port)))
                    .map_err(|reason| self.say(&PromptWords::Refused { reason: Box::new(reason) }))
            });
        self.ask(|| input.interact_text())?;
        passed.get().ok_or_else(interrupted)
    }
}

fn menu(question: &ConflictQuestion) -> Vec<Choice> {
    let keep = PromptWords::Keep { port: question.wanted.get() };
    let mut menu = vec![
        Choice { answer: None, text: PromptWords::Manual },
        Choice { answer: Some(Answer::Keep), text: keep },
        Choice { answer: Some(Answer::Abort), text: PromptWords::Abort },
    ];
    if let Some(port) = question.suggested {
        let text = PromptWords::Automatic { port: port.get() };
        menu.insert(0, Choice { answer: Some(Answer::Automatic), text });
        if question.others > 0 {
            let text = PromptWords::AutomaticForAll { others: question.others };
            menu.push(Choice { answer: Some(Answer::AutomaticForAll), text });
        }
    }
    menu
}

impl Prompter for Person<'_> {
    fn choose(&mut self, question: &ConflictQuestion, judge: Judge<'_>) -> Result<Answer> {
        self.must_be_there(
            PromptWords::CannotAskAboutConflict { question: Box::new(question.what.clone()) },
            PromptWords::AnswerConflictByFlag { name: question.name.clone() },
        )?;
        write_err(&self.talk.err.paint(&self.say(&question.what), Paint::Bold));
        let menu = menu(question);
        let theme = Plain(self.talk);
        let select = Select::with_theme(&theme)
            .with_prompt(self.say(&PromptWords::Choose))
            .items(menu.iter().map(|choice| self.say(&choice.text)))
            .default(0);
        match self.ask(|| select.interact_opt())?.and_then(|chosen| menu.get(chosen)) {
            Some(Choice { answer: Some(answer), .. }) => Ok(*answer),
            Some(Choice { answer: None, .. }) => self.manual(judge).map(Answer::Manual),
            None => Ok(Answer::Abort),
        }
    }

    fn confirm(&mut self, question: &Message, default: bool) -> Result<bool> {
        self.must_be_there(PromptWords::CannotConfirm, PromptWords::ConfirmByFlag)?;
        let mut question = self.say(question);
        let marks = marks(default).say(self.talk.lang);
        if question.contains('\n') || question.width() + marks.width() + 2 > columns() {
            write_err(&question);
            question.clear();
        }
        let theme = Plain(self.talk);
        let confirm = Confirm::with_theme(&theme).with_prompt(question).default(default);
        Ok(self.ask(|| confirm.interact_opt())?.unwrap_or(false))
    }

    fn typed_confirmation(&mut self, question: &Message, word: &str) -> Result<bool> {
        self.must_be_there(PromptWords::CannotConfirm, PromptWords::ConfirmOnTerminal)?;
        write_err(&self.say(question));
        write_err(&self.say(&PromptWords::TypeToConfirm { word: word.to_owned() }));
        let theme = Plain(self.talk);
        let input = Input::<String>::with_theme(&theme).with_prompt(INPUT_MARK).allow_empty(true);
        Ok(self.ask(|| input.interact_text())?.trim() == word)
    }
}

/// How questions look: plain ASCII marks, the catalogue's words, and colour only where the voice has it.
struct Plain<'a>(&'a Talk);

impl Plain<'_> {
    /// Writes a yes-or-no question, which may stand on a line above already, and what follows it.
    fn confirm_line(&self, f: &mut dyn Write, prompt: &str, end: &PromptWords) -> fmt::Result {
        let space = if prompt.is_empty() { "" } else { " " };
        write!(f, "{prompt}{space}{}", end.say(self.0.lang))
    }
}

impl Theme for Plain<'_> {
    fn format_prompt(&self, f: &mut dyn Write, prompt: &str) -> fmt::Result {
        f.write_str(prompt)
    }

    fn format_error(&self, f: &mut dyn Write, error: &str) -> fmt::Result {
        f.write_str(&self.0.err.paint(&fold(error, columns()), Paint::Red))
    }

    fn format_confirm_prompt(&self, f: &mut dyn Write, prompt: &str, default: Option<bool>) -> fmt::Result {
        self.confirm_line(f, prompt, &marks(default.unwrap_or_default()))?;
        f.write_char(' ')
    }

    fn format_confirm_prompt_selection(&self, f: &mut dyn Write, prompt: &str, answer: Option<bool>) -> fmt::Result {
        let answer = if answer.unwrap_or_default() { PromptWords::Yes } else { PromptWords::No };
        self.confirm_line(f, prompt, &answer)
    }

    fn format_input_prompt(&self, f: &mut dyn Write, prompt: &str, _default: Option<&str>) -> fmt::Result {
        f.write_str(prompt)
    }

    fn format_input_prompt_selection(&self, f: &mut dyn Write, prompt: &str, typed: &str) -> fmt::Result {
        write!(f, "{prompt}{typed}")
    }

    fn format_select_prompt_selection(&self, f: &mut dyn Write, _prompt: &str, chosen: &str) -> fmt::Result {
        self.format_select_prompt_item(f, chosen, true)
    }

    fn format_select_prompt_item(&self, f: &mut dyn Write, text: &str, active: bool) -> fmt::Result {
        if active {
            f.write_str(&self.0.err.paint(&format!("{INPUT_MARK}{text}"), Paint::Cyan))
        } else {
            write!(f, "  {text}")
        }
    }
}

const fn marks(default: bool) -> PromptWords {
    if default { PromptWords::YesByDefault } else { PromptWords::NoByDefault }
}

fn columns() -> usize {
    usize::from(Term::stderr().size().1)
}

/// Breaks lines where the terminal would.
fn fold(text: &str, columns: usize) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut used = 0;
    for letter in text.chars() {
        let width = letter.width().unwrap_or(0);
        if letter == '\n' {
            used = 0;
        } else if used + width > columns {
            folded.push('\n');
            used = width;
        } else {
            used += width;
        }
        folded.push(letter);
    }
    folded
}

/// Answers given beforehand, for tests.
#[cfg(test)]
pub(crate) mod scripted {
    use std::collections::VecDeque;

    use super::{Answer, ConflictQuestion, Judge, Message, Prompter, Result, interrupted};

    /// One answer.
    #[derive(Debug, Clone)]
    pub(crate) enum Reply {
        /// To a conflict; never `Answer::Manual`.
        Choose(Answer),
        /// To a conflict: these are typed one after the other, until one passes the check.
        Type(Vec<&'static str>),
        /// To a confirmation of either kind.
        Confirm(bool),
        /// Ctrl-C.
        Interrupt,
    }

    /// Gives its replies in order, and takes an end of the script as Ctrl-C.
    #[derive(Debug, Default)]
    pub(crate) struct Script {
        pub(crate) replies: VecDeque<Reply>,
        pub(crate) refusals: Vec<Message>,
        pub(crate) asked: Vec<Message>,
    }

    impl Script {
        pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
            Self { replies: replies.into_iter().collect(), ..Self::default() }
        }

        fn next_bool(&mut self, question: &Message) -> Result<bool> {
            self.asked.push(question.clone());
            match self.replies.pop_front() {
                Some(Reply::Confirm(answer)) => Ok(answer),
                Some(Reply::Interrupt) | None => Err(interrupted()),
                Some(other) => panic!("{question} was answered with {other:?}"),
            }
        }
    }

    impl Prompter for Script {
        fn choose(&mut self, question: &ConflictQuestion, judge: Judge<'_>) -> Result<Answer> {
            self.asked.push(question.what.clone());
            match self.replies.pop_front() {
                Some(Reply::Choose(answer)) => Ok(answer),
                Some(Reply::Type(attempts)) => {
                    for attempt in attempts {
                        match judge(attempt) {
                            Ok(port) => return Ok(Answer::Manual(port)),
                            Err(reason) => self.refusals.push(reason),
                        }
                    }
                    Err(interrupted())
                }
                Some(Reply::Interrupt) | None => Err(interrupted()),
                Some(other) => panic!("{} was answered with {other:?}", question.what),
            }
        }

        fn confirm(&mut self, question: &Message, _default: bool) -> Result<bool> {
            self.next_bool(question)
        }

        fn typed_confirmation(&mut self, question: &Message, _word: &str) -> Result<bool> {
            self.next_bool(question)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::scripted::{Reply, Script};
    use super::*;
    use crate::words::Lang;
    use crate::words::cli::CliWords;

    fn question(suggested: Option<u16>, others: usize) -> ConflictQuestion {
        ConflictQuestion {
            what: CliWords::EngineChooses.into(),
            name: "web:80".into(),
            wanted: Port::new(8000).expect("a port"),
            suggested: suggested.and_then(Port::new),
            others,
        }
    }

    fn lines(question: &ConflictQuestion) -> Vec<String> {
        menu(question).iter().map(|choice| choice.text.say(Lang::En)).collect()
    }

    #[test]
    fn the_menu_offers_only_what_is_possible() {
        let four = ["automatic: use 8001", "manual: type a port", "keep 8000", "stop and change nothing"];
        assert_eq!(lines(&question(Some(8001), 0)), four);
        assert_eq!(lines(&question(None, 2)), &four[1..]);
        assert_eq!(lines(&question(Some(8001), 2)).last().map(String::as_str), Some("automatic for this and 2 more"));
    }

    /// dialoguer counts the bytes of a choice, without the mark before it, to know how many lines it takes.
    #[test]
    fn each_choice_fits_a_terminal_of_40_columns() {
        let menu = menu(&ConflictQuestion { wanted: Port::new(65535).expect("a port"), ..question(Some(65535), 999) });
        for lang in [Lang::En, Lang::ZhCn] {
            let prompts = menu.iter().map(|choice| choice.text.say(lang)).chain([PromptWords::Choose.say(lang)]);
            for text in prompts {
                assert!(text.len() <= 38, "{text}");
            }
        }
    }

    #[test]
    fn text_is_folded_by_its_width_and_keeps_its_own_lines() {
        assert_eq!(fold("abcdef", 4), "abcd\nef");
        assert_eq!(fold("abcd", 4), "abcd");
        assert_eq!(fold("ab\ncdef", 4), "ab\ncdef");
        assert_eq!(fold("a端口号", 4), "a端\n口号");
    }

    #[test]
    fn a_script_types_until_a_port_passes_and_then_runs_out() {
        let mut script = Script::new([
            Reply::Type(vec!["x", "8001"]),
            Reply::Choose(Answer::Keep),
            Reply::Confirm(true),
            Reply::Interrupt,
        ]);
        let question = question(Some(8001), 0);
        let judge: Judge<'_> = &crate::cli::read_port;
        assert_eq!(script.choose(&question, judge), Ok(Answer::Manual(Port::new(8001).expect("a port"))));
        assert_eq!(script.refusals, [Message::from(CliWords::WantsPort)]);
        assert_eq!(script.choose(&question, judge), Ok(Answer::Keep));
        assert_eq!(script.confirm(&question.what, false), Ok(true));
        assert_eq!(script.confirm(&question.what, true).map_err(|error| error.kind()), Err(ErrorKind::Interrupted));
    }
}
