//! The front door: the only room that reads arguments, prompts or prints. It makes no decision about ports, files or
//! containers.

pub mod args;
mod bench;
mod bench_document;
mod bench_report;
mod bench_table;
mod check;
pub mod command;
mod daemon;
pub mod diff;
mod doctor;
mod doctor_bundle;
mod doctor_document;
mod doctor_fix;
mod doctor_report;
pub mod environment;
pub mod error;
pub mod escape;
mod import;
pub mod interrupt;
pub mod json;
mod mapping;
mod mask;
pub mod output;
mod pages;
mod plot;
mod pool;
mod pool_document;
pub mod progress;
pub mod prompt;
mod quick_start;
mod redact;
pub mod report;
mod runtime;
mod scan;
mod service;
pub mod table;
mod token;
mod tune;
mod tunnel;
mod undo;
mod usage;
mod values;
mod why;
mod wishes;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches as _;
use clap::error::ErrorKind as ClapKind;

pub use args::Arguments;
use args::{TunnelVerb, Verb};
pub use environment::Environment;
pub use interrupt::Interrupt;
pub use output::Talk;
pub use values::port as read_port;

use crate::error::{Error, ErrorKind, Result};
use crate::words::Lang;
use crate::words::cli::CliWords;

/// How a verb ended that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Done, and all is well: exit code 0.
    Done,
    /// Done, and the answer that was printed is a judgement with the exit code of this kind (`check` found a conflict).
    Judged(ErrorKind),
    /// Done, and the exit code is that of the program that was run.
    Passed(u8),
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Done => Self::SUCCESS,
            Ending::Judged(kind) => Self::from(kind.exit_code()),
            Ending::Passed(code) => Self::from(code),
        }
    }
}

/// Runs one command line; `raw` begins with the name of the program.
pub fn run(raw: impl Iterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let raw = help_as_flag(raw.collect());
    let lang = environment.lang(&raw);
    // JSON is never translated, and clap's findings name arguments as the command shows them.
    let command_lang = if environment::typed_globals(&raw).json { Lang::En } else { lang };
    match parse(&raw, command_lang) {
        Ok(arguments) => {
            let talk = Talk::new(lang, &arguments.global, environment);
            let verb = arguments.verb.name();
            finish(&talk, verb, guarded(|| dispatch(&arguments, &talk, environment)))
        }
        Err(finding) => refuse(&finding, &raw, command_lang, environment),
    }
}

fn dispatch(arguments: &Arguments, talk: &Talk, environment: &Environment) -> Result<Ending> {
    match &arguments.verb {
        Verb::QuickStart(typed) => quick_start::run(arguments, typed, talk, environment),
        Verb::Check(typed) => check::run(arguments, typed, talk, environment),
        Verb::Scan(typed) => scan::run(arguments, typed, talk, environment),
        Verb::Undo(typed) => undo::run(arguments, typed, talk, environment),
        Verb::Status(typed) => service::status(arguments, typed, talk, environment),
        Verb::Logs(typed) => service::logs(arguments, typed, talk, environment),
        Verb::Down(typed) => service::down(arguments, typed, talk, environment),
        Verb::Tunnel { verb: TunnelVerb::Server(typed) } => tunnel::server(typed, talk, environment),
        Verb::Tunnel { verb: TunnelVerb::Client(typed) } => tunnel::client(typed, talk, environment),
        Verb::Tunnel { verb: TunnelVerb::Token { verb } } => token::run(arguments, verb, talk, environment),
        Verb::Tunnel { verb: TunnelVerb::Health(typed) } => tunnel::health(typed, talk, environment),
        Verb::Tunnel { verb: TunnelVerb::Status(typed) } => mapping::status(arguments, typed, talk, environment),
        Verb::Mapping { verb } => mapping::run(arguments, verb, talk, environment),
        Verb::Tune(typed) => tune::run(arguments, typed, talk, environment),
        Verb::Why(typed) => why::run(arguments, typed, talk, environment),
        Verb::Doctor(typed) => doctor::run(arguments, typed, talk, environment),
        Verb::Completions(typed) => pages::completions(typed, talk),
        Verb::Man(typed) => pages::man(typed, talk),
        Verb::Pool { verb } => pool::run(arguments, verb, talk, environment),
        Verb::Service { verb } => daemon::run(verb, talk, environment),
        Verb::Bench(typed) => bench::run(typed, talk),
        Verb::Supervise(typed) => tunnel::supervise(typed),
        Verb::Become(typed) => Err(pool::become_program(typed)),
    }
}

/// Turns a panic, which is always a bug of ours, into an error with the exit code of one.
fn guarded(verb: impl FnOnce() -> Result<Ending>) -> Result<Ending> {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(verb));
    caught.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, CliWords::Panicked)))
}

fn finish(talk: &Talk, verb: &str, result: Result<Ending>) -> ExitCode {
    match result {
        Ok(ending) => ending.into(),
        Err(error) if output::is_output_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            talk.error(&error, verb);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn parse(raw: &[OsString], lang: Lang) -> Result<Arguments, clap::Error> {
    let mut matches = command::command(lang).try_get_matches_from(raw)?;
    Arguments::from_arg_matches_mut(&mut matches)
}

/// Answers a command line that asked for help or the version, or that cannot be understood.
fn refuse(finding: &clap::Error, raw: &[OsString], lang: Lang, environment: &Environment) -> ExitCode {
    let talk = Talk::new(lang, &environment::typed_globals(raw), environment);
    let page = |color: bool| if color { finding.render().ansi().to_string() } else { finding.render().to_string() };
    match finding.kind() {
        ClapKind::DisplayHelp | ClapKind::DisplayVersion => {
            finish(&talk, "help", output::write_out(&page(talk.out.color)).map(|()| Ending::Done))
        }
        ClapKind::DisplayHelpOnMissingArgumentOrSubcommand if !talk.json => {
            output::write_err(&page(talk.err.color));
            ExitCode::from(ErrorKind::Usage.exit_code())
        }
        _ => {
            let mut command = command::command(lang);
            command.build();
            let words: Vec<String> = raw.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            let path = usage::typed_path(&command, &words);
            let error = usage::error(finding, &mut command, &path);
            finish(&talk, path.first().map_or("error", String::as_str), Err(error))
        }
    }
}

/// Reads `help VERB` as `VERB --help`: what people type who come from other tools.
fn help_as_flag(mut raw: Vec<OsString>) -> Vec<OsString> {
    if raw.get(1).is_some_and(|word| word == "help") {
        raw.remove(1);
        raw.push("--help".into());
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_bug_of_ours_with_exit_code_1() {
        let error = guarded(|| panic!("on purpose")).expect_err("an error");
        assert_eq!((error.kind(), error.kind().exit_code()), (ErrorKind::Internal, 1));
    }

    #[test]
    fn help_before_a_verb_is_the_help_of_that_verb() {
        let line = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(help_as_flag(line("portwright help tunnel server")), line("portwright tunnel server --help"));
        assert_eq!(help_as_flag(line("portwright scan --process help")), line("portwright scan --process help"));
    }
}
