//! Wrong command lines: clap finds what is wrong, the catalogue says it, in the house form and the person's language.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind as ClapKind};

use super::values;
use crate::error::{Error, ErrorKind};
use crate::words::Message;
use crate::words::cli::CliWords;

/// Turns clap's finding into our error: what is wrong, the usage line of the verb, and the way out.
///
/// `command` is the built command, `path` the verb that was typed (empty, `scan`, `tunnel server`).
pub(super) fn error(finding: &clap::Error, command: &mut Command, path: &[String]) -> Error {
    let name = ["portwright"].into_iter().chain(path.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let way_out = way_out(finding).unwrap_or_else(|| CliWords::TryHelp { command: name }.into());
    let hint = CliWords::WithUsage { hint: Box::new(way_out), usage: usage(command, path) };
    Error::new(ErrorKind::Usage, what(finding)).hint(hint)
}

/// Returns the verb that the words name, as far as they do.
pub(super) fn typed_path(command: &Command, words: &[String]) -> Vec<String> {
    let mut path = Vec::new();
    let mut here = command;
    for word in words {
        if let Some(next) = here.find_subcommand(word) {
            path.push(next.get_name().to_owned());
            here = next;
        }
    }
    path
}

fn usage(command: &mut Command, path: &[String]) -> String {
    let mut here = command;
    for name in path {
        match here.find_subcommand_mut(name) {
            Some(next) => here = next,
            None => return String::new(),
        }
    }
    let usage = here.render_usage().to_string();
    usage.split_once(' ').map_or(usage.clone(), |(_, line)| line.to_owned())
}

fn what(finding: &clap::Error) -> Message {
    let argument = || text(finding, ContextKind::InvalidArg);
    let value = || text(finding, ContextKind::InvalidValue);
    let words = match finding.kind() {
        ClapKind::UnknownArgument => CliWords::UnknownArgument { argument: argument() },
        ClapKind::InvalidSubcommand => CliWords::UnknownVerb { verb: text(finding, ContextKind::InvalidSubcommand) },
        ClapKind::InvalidValue | ClapKind::TooFewValues | ClapKind::WrongNumberOfValues if value().is_empty() => {
            CliWords::ValueMissing { argument: argument() }
        }
        ClapKind::InvalidValue => CliWords::InvalidValue { argument: argument(), value: value() },
        ClapKind::ValueValidation => CliWords::InvalidValueBecause {
            argument: argument(),
            value: value(),
            reason: Box::new(values::reason(finding).unwrap_or_else(|| CliWords::ValueRefused.into())),
        },
        ClapKind::TooManyValues => CliWords::ValueUnwanted { argument: argument() },
        ClapKind::MissingRequiredArgument => CliWords::ArgumentMissing { arguments: argument() },
        ClapKind::MissingSubcommand | ClapKind::DisplayHelpOnMissingArgumentOrSubcommand => CliWords::VerbMissing,
        ClapKind::ArgumentConflict => conflict(argument(), text(finding, ContextKind::PriorArg)),
        ClapKind::InvalidUtf8 => CliWords::NotUtf8,
        _ => CliWords::NotUnderstood { detail: finding.kind().to_string() },
    };
    words.into()
}

/// An argument that is its own rival was given twice.
fn conflict(argument: String, other: String) -> CliWords {
    if argument == other { CliWords::UsedTwice { argument } } else { CliWords::Conflict { argument, other } }
}

fn way_out(finding: &clap::Error) -> Option<Message> {
    let suggested = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| finding.get(kind).map(first))
        .filter(|name| !name.is_empty());
    let name = suggested.map(|name| CliWords::DidYouMean { name }.into());
    let valid = Some(text(finding, ContextKind::ValidValue)).filter(|values| !values.is_empty());
    name.or_else(|| valid.map(|values| CliWords::PossibleValues { values }.into()))
}

fn text(finding: &clap::Error, kind: ContextKind) -> String {
    match finding.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        Some(ContextValue::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn first(value: &ContextValue) -> String {
    match value {
        ContextValue::String(text) => text.clone(),
        ContextValue::Strings(texts) => texts.first().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
