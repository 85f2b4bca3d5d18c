//! `undo`: puts back what the last run changed, and says what it found.

use serde::Serialize;

use super::args::{Arguments, RuntimeChoice, UndoArgs};
use super::interrupt::Interrupt;
use super::service::agree;
use super::{Ending, Environment, Talk, diff, runtime, wishes};
use crate::deploy;
use crate::disk::{EditedSince, ProjectState, Run, Undone};
use crate::error::{Error, ErrorKind, Result};
use crate::model::FileEdit;
use crate::words::verbs::VerbWords;

const SCHEMA: &str = "portwright.undo/1";

/// `undo --json`.
#[derive(Debug, Serialize)]
struct UndoDocument<'a> {
    schema: &'static str,
    /// The change that was taken back; `null` when there was none.
    undo_id: Option<&'a str>,
    files: Vec<UndoneFile>,
    /// The names of what was stopped.
    stopped: &'a [String],
}

#[derive(Debug, Serialize)]
struct UndoneFile {
    /// The file, relative to the project.
    file: String,
    /// `restored` or `removed`.
    action: &'static str,
}

pub(super) fn run(arguments: &Arguments, typed: &UndoArgs, talk: &Talk, environment: &Environment) -> Result<Ending> {
    let order = wishes::project_order(arguments, &typed.project, RuntimeChoice::Auto, environment)?;
    let dirs = wishes::dirs(environment)?;
    // A project whose files are gone or broken can be undone all the same.
    let loaded = deploy::find(&order, &wishes::bundled_directory(&dirs)).ok();
    let state = match &loaded {
        Some(loaded) => loaded.state(&dirs)?,
        None if deploy::home(&order).is_dir() => ProjectState::existing(&dirs, &deploy::home(&order))?,
        None => None,
    };
    let Some(state) = state else { return nothing(talk) };
    let interrupt = Interrupt::install();
    let mut note = |note: crate::words::Message| talk.note(note);
    let lock = deploy::take_lock(&state, "undo", &mut note)?;
    if let Some(recovered) = state.recover(&lock)? {
        talk.note(deploy::recovered_note(&recovered));
    }
    let Some(last) = state.last_run()? else { return nothing(talk) };
    announce(&last, &state, talk);
    if !typed.yes && !agree(talk, &interrupt, VerbWords::AskUndo)? {
        return Ok(Ending::Judged(ErrorKind::Interrupted));
    }
    interrupt.check()?;
    let outcome = runtime::block_on(deploy::undo(&order, loaded.as_ref(), &state, &lock, &mut note))??;
    outcome.stopped.iter().for_each(|name| talk.say(VerbWords::Stopped { name: name.clone() }));
    match &outcome.files {
        Undone::Nothing => nothing(talk),
        Undone::Edited(files) => Err(edited(files, &state, talk)),
        Undone::Restored(run) => {
            for file in &run.files {
                let shown = diff::relative(&file.path, state.directory());
                let created = file.before.is_none();
                talk.say(if created { VerbWords::Removed { file: shown } } else { VerbWords::PutBack { file: shown } });
            }
            if talk.json {
                talk.json(&document(&state, run, &outcome.stopped))?;
            }
            Ok(Ending::Done)
        }
    }
}

fn nothing(talk: &Talk) -> Result<Ending> {
    if talk.json {
        talk.json(&UndoDocument { schema: SCHEMA, undo_id: None, files: Vec::new(), stopped: &[] })?;
    }
    talk.note(VerbWords::NothingToUndo);
    Ok(Ending::Done)
}

fn document<'a>(state: &ProjectState, run: &'a Run, stopped: &'a [String]) -> UndoDocument<'a> {
    let files = run.files.iter().map(|file| UndoneFile {
        file: diff::relative(&file.path, state.directory()),
        action: if file.before.is_some() { "restored" } else { "removed" },
    });
    UndoDocument { schema: SCHEMA, undo_id: Some(run.id.as_str()), files: files.collect(), stopped }
}

fn announce(run: &Run, state: &ProjectState, talk: &Talk) {
    run.note.lines.iter().for_each(|line| talk.say(VerbWords::ToolLine { line: line.clone() }));
    for file in &run.files {
        talk.say(VerbWords::WillPutBack { file: diff::relative(&file.path, state.directory()) });
    }
}

/// Shows what was edited since, with every value hidden that is not a port, and refuses.
fn edited(files: &[EditedSince], state: &ProjectState, talk: &Talk) -> Error {
    for file in files {
        let edit = FileEdit {
            file: file.path.clone(),
            before: file.current.clone(),
            after: file.restored.clone().unwrap_or_default(),
        };
        talk.show(&diff::unified(&edit, state.directory(), &[], talk.lang, talk.err));
    }
    let names: Vec<_> = files.iter().map(|file| diff::relative(&file.path, state.directory())).collect();
    Error::new(ErrorKind::Refused, VerbWords::EditedSince { files: names.join(", ") }).hint(VerbWords::HintEditedSince)
}
