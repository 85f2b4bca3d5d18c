//! `completions` and `man`: what a shell and `man` know of the command line, made from the same tree as the help.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::generate;
use serde::Serialize;

use super::args::{CompletionsArgs, ManArgs};
use super::{Ending, Talk, command};
use crate::error::{Error, ErrorKind, Result};
use crate::words::verbs::VerbWords;

/// What the shell calls the program.
const NAME: &str = "portwright";

#[derive(Serialize)]
struct CompletionsDocument {
    schema: &'static str,
    shell: String,
    script: String,
}

#[derive(Serialize)]
struct ManDocument {
    schema: &'static str,
    pages: Vec<ManPage>,
}

#[derive(Serialize)]
struct ManPage {
    name: String,
    text: String,
}

pub(super) fn completions(typed: &CompletionsArgs, talk: &Talk) -> Result<Ending> {
    let mut script = Vec::new();
    generate(typed.shell, &mut command::command(talk.lang), NAME, &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    if talk.json {
        let shell = typed.shell.to_string();
        talk.json(&CompletionsDocument { schema: "portwright.completions/1", shell, script })?;
    } else {
        talk.data(&script)?;
    }
    Ok(Ending::Done)
}

pub(super) fn man(typed: &ManArgs, talk: &Talk) -> Result<Ending> {
    let mut root = command::command(talk.lang);
    root.build();
    let mut pages = Vec::new();
    collect(&root, NAME, &mut pages)?;
    if let Some(folder) = &typed.to {
        for page in &pages {
            write(&folder.join(format!("{}.1", page.name)), &page.text)?;
            talk.say(VerbWords::PageWritten { name: format!("{}.1", page.name) });
        }
    }
    if talk.json {
        talk.json(&ManDocument { schema: "portwright.man/1", pages })?;
    } else if typed.to.is_none() {
        let wanted = std::iter::once(NAME).chain(typed.verbs.iter().map(String::as_str)).collect::<Vec<_>>().join("-");
        let page = pages
            .iter()
            .find(|page| page.name == wanted)
            .ok_or_else(|| Error::new(ErrorKind::Usage, VerbWords::NoSuchPage { verb: typed.verbs.join(" ") }))?;
        talk.data(&page.text)?;
    }
    Ok(Ending::Done)
}

fn collect(command: &Command, name: &str, pages: &mut Vec<ManPage>) -> Result<()> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.clone().name(name.to_owned()));
    page.render(&mut text)
        .map_err(|error| Error::new(ErrorKind::Internal, VerbWords::OutputFailed { why: error.to_string() }))?;
    pages.push(ManPage { name: name.to_owned(), text: String::from_utf8_lossy(&text).into_owned() });
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages)?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).map_err(|error| {
        let words = VerbWords::ReportUnwritable { file: file.display().to_string(), why: error.to_string() };
        Error::new(ErrorKind::Missing, words)
    })
}
