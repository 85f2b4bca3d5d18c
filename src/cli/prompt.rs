//! Questions: asked only when stdin and stderr are terminals, answered by keys, and left in order when interrupted.
//!
//! Choices are numbered lines and one answer line that is rewritten in place: nothing else on the screen moves, so it
//! reads well through a screen reader, in a narrow window, and in Chinese. Keys come from `console`; dialoguer, which
//! is made of it, swallows Ctrl-D and hides the cursor.

use std::time::Duration;

use console::{Key, Term};

use super::escape;
use super::interrupt::{Interrupt, interrupted};
use super::output::{Paint, Talk};
use crate::error::{Error, ErrorKind, Result};
use crate::host::terminal::RawTerminal;
use crate::model::Port;
use crate::words::prompt::PromptWords;
use crate::words::{Message, Say};

/// Longest answer that can be typed, in characters: far above any port or word to confirm with.
const ANSWER_MAX: usize = 64;

/// What Ctrl-D sends while the terminal is raw.
const END_OF_TRANSMISSION: char = '\u{4}';

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

/// How long a wait for a key may not notice a signal that landed on another thread.
const SIGNAL_NOTICED_AFTER: Duration = Duration::from_millis(50);

/// A person at the terminal.
#[derive(Debug)]
pub struct Person<'a> {
    talk: &'a Talk,
    interrupt: &'a Interrupt,
}

impl<'a> Person<'a> {
    /// Makes the person that `talk` speaks with.
    #[must_use]
    pub const fn new(talk: &'a Talk, interrupt: &'a Interrupt) -> Self {
        Self { talk, interrupt }
    }

    /// Fails at once, with the flags that answer beforehand, when nobody can be asked.
    fn must_be_there(&self, problem: PromptWords, hint: PromptWords) -> Result<()> {
        if self.talk.can_ask() { Ok(()) } else { Err(Error::new(ErrorKind::Usage, problem).hint(hint)) }
    }

    /// Asks, and leaves the terminal as a shell expects it, whatever the question comes to.
    fn ask<T>(&self, question: impl FnOnce(&Asking<'_>) -> Result<T>) -> Result<T> {
        let terminal = Term::stderr();
        let raw = RawTerminal::enter().map_err(|_| interrupted())?;
        let asking = Asking { talk: self.talk, interrupt: self.interrupt, terminal, raw };
        let result = question(&asking);
        if result.is_err() {
            // The terminal may have gone; then nothing is left to put in order.
            let _ = asking.terminal.write_line("").and_then(|()| asking.terminal.show_cursor());
        }
        result
    }
}

/// A question while it is open.
struct Asking<'a> {
    talk: &'a Talk,
    interrupt: &'a Interrupt,
    terminal: Term,
    raw: RawTerminal,
}

/// A line of the menu.
struct Choice {
    /// `None` for a port that is typed in.
    answer: Option<Answer>,
    text: PromptWords,
}

impl Asking<'_> {
    fn write(&self, text: &str) -> Result<()> {
        self.terminal.write_str(text).map_err(|_| interrupted())
    }

    fn say(&self, words: &impl Say) -> String {
        escape::lines(&words.say(self.talk.lang)).into_owned()
    }

    /// Waits for a key. Signals, Ctrl-C, Ctrl-D and a terminal that has gone all mean the same: stop.
    fn key(&self) -> Result<Key> {
        loop {
            self.interrupt.check()?;
            if !self.raw.has_input(SIGNAL_NOTICED_AFTER).map_err(|_| interrupted())? {
                continue;
            }
            return match self.terminal.read_key_raw() {
                Ok(Key::CtrlC | Key::Char(END_OF_TRANSMISSION)) | Err(_) => Err(interrupted()),
                Ok(key) => Ok(key),
            };
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

    /// Lets the person pick a line: by its number or the arrow keys, then Enter. Escape and `q` stop. After a key that
    /// means nothing, Enter agrees to nothing: the line is asked again.
    fn pick(&self, menu: &[Choice]) -> Result<Option<Answer>> {
        for (number, choice) in (1_usize..).zip(menu) {
            self.write(&format!("  {number}) {}\n", self.say(&choice.text)))?;
        }
        let count = menu.len();
        let mut chosen = 1;
        let mut stray = false;
        loop {
            self.write(&format!("\r{}", self.say(&PromptWords::Choice { count, chosen })))?;
            let key = self.key()?;
            if stray && key == Key::Enter {
                self.write("\n")?;
                stray = false;
                continue;
            }
            stray = matches!(key, Key::Char(letter) if !"jkq".contains(letter) && in_menu(letter, count).is_none());
            match key {
                Key::ArrowDown | Key::Tab | Key::Char('j') => chosen = chosen % count + 1,
                Key::ArrowUp | Key::BackTab | Key::Char('k') => chosen = (chosen + count - 2) % count + 1,
                Key::Char(letter) if in_menu(letter, count).is_some() => {
                    chosen = in_menu(letter, count).unwrap_or(chosen);
                }
                Key::Enter => {
                    self.write("\n")?;
                    return Ok(menu.get(chosen - 1).and_then(|choice| choice.answer));
                }
                Key::Escape | Key::Char('q') => {
                    self.write("\n")?;
                    return Ok(Some(Answer::Abort));
                }
                _ => {}
            }
        }
    }

    /// Lets the person type a line; `None` after Escape.
    fn line(&self, question: &str) -> Result<Option<String>> {
        self.write(question)?;
        let mut typed = String::new();
        loop {
            match self.key()? {
                Key::Enter => {
                    self.write("\n")?;
                    return Ok(Some(typed));
                }
                Key::Escape => {
                    self.write("\n")?;
                    return Ok(None);
                }
                Key::Backspace => {
                    if let Some(letter) = typed.pop() {
                        self.terminal.clear_chars(columns(letter)).map_err(|_| interrupted())?;
                    }
                }
                Key::Char(letter) if !letter.is_control() && typed.chars().count() < ANSWER_MAX => {
                    typed.push(letter);
                    self.write(letter.encode_utf8(&mut [0; 4]))?;
                }
                _ => {}
            }
        }
    }

    /// Asks for a port until one passes the check; `None` when the person goes back with Escape.
    fn manual(&self, judge: Judge<'_>) -> Result<Option<Port>> {
        let question = self.say(&PromptWords::PortQuestion);
        loop {
            let Some(typed) = self.line(&question)? else { return Ok(None) };
            match judge(typed.trim()) {
                Ok(port) => return Ok(Some(port)),
                Err(reason) => {
                    let refused = self.say(&PromptWords::Refused { reason: Box::new(reason) });
                    self.write(&format!("  {}\n", self.talk.err.paint(&refused, Paint::Red)))?;
                }
            }
        }
    }

    fn conflict(&self, question: &ConflictQuestion, judge: Judge<'_>) -> Result<Answer> {
        let menu = Self::menu(question);
        self.write(&format!("{}\n", self.talk.err.paint(&self.say(&question.what), Paint::Bold)))?;
        loop {
            let answer = match self.pick(&menu)? {
                Some(answer) => Some(answer),
                None => self.manual(judge)?.map(Answer::Manual),
            };
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
    }

    fn yes_or_no(&self, question: &Message, default: bool) -> Result<bool> {
        let marks = if default { PromptWords::YesByDefault } else { PromptWords::NoByDefault };
        let asked = format!("{} {} ", self.say(question), self.say(&marks));
        self.write(&asked)?;
        let mut stray = false;
        let answer = loop {
            match self.key()? {
                Key::Char('y' | 'Y') => break true,
                Key::Char('n' | 'N') | Key::Escape => break false,
                Key::Enter if stray => {
                    stray = false;
                    self.write(&format!("\n{asked}"))?;
                }
                Key::Enter => break default,
                Key::Char(_) => stray = true,
                _ => {}
            }
        };
        self.write(&format!("{}\n", self.say(if answer { &PromptWords::Yes } else { &PromptWords::No })))?;
        Ok(answer)
    }

    fn word(&self, question: &Message, word: &str) -> Result<bool> {
        self.write(&format!("{}\n", self.say(question)))?;
        let typed = self.line(&self.say(&PromptWords::TypeToConfirm { word: word.to_owned() }))?;
        Ok(typed.is_some_and(|typed| typed.trim() == word))
    }
}

fn in_menu(letter: char, count: usize) -> Option<usize> {
    letter.to_digit(10).and_then(|digit| usize::try_from(digit).ok()).filter(|number| (1..=count).contains(number))
}

fn columns(letter: char) -> usize {
    unicode_width::UnicodeWidthChar::width(letter).unwrap_or(0)
}

impl Prompter for Person<'_> {
    fn choose(&mut self, question: &ConflictQuestion, judge: Judge<'_>) -> Result<Answer> {
        self.must_be_there(
            PromptWords::CannotAskAboutConflict { question: Box::new(question.what.clone()) },
            PromptWords::AnswerConflictByFlag { name: question.name.clone() },
        )?;
        self.ask(|asking| asking.conflict(question, judge))
    }

    fn confirm(&mut self, question: &Message, default: bool) -> Result<bool> {
        self.must_be_there(PromptWords::CannotConfirm, PromptWords::ConfirmByFlag)?;
        self.ask(|asking| asking.yes_or_no(question, default))
    }

    fn typed_confirmation(&mut self, question: &Message, word: &str) -> Result<bool> {
        self.must_be_there(PromptWords::CannotConfirm, PromptWords::ConfirmOnTerminal)?;
        self.ask(|asking| asking.word(question, word))
    }
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

    fn menu(question: &ConflictQuestion) -> Vec<String> {
        Asking::menu(question).iter().map(|choice| choice.text.say(crate::words::Lang::En)).collect()
    }

    #[test]
    fn the_menu_offers_only_what_is_possible() {
        let four = ["automatic: use 8001", "manual: type a port", "keep 8000", "stop and change nothing"];
        assert_eq!(menu(&question(Some(8001), 0)), four);
        assert_eq!(menu(&question(None, 2)), &four[1..]);
        assert_eq!(
            menu(&question(Some(8001), 2)).last().map(String::as_str),
            Some("automatic, also for the 2 that follow")
        );
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
