//! `mapping import`: shows which mappings other programs' files would give, and makes them through the API.

use serde::Serialize;
use serde_json::{Value, json};

use super::args::{Arguments, MappingImportArgs};
use super::mapping::{access, ask, number, text};
use super::{Ending, Environment, Interrupt, Talk};
use crate::error::{Error, ErrorKind, Result};
use crate::tunnel::import::{self, Imported};
use crate::words::import::ImportWords;
use crate::words::verbs::VerbWords;
use crate::words::{Lang, Say};

#[derive(Serialize)]
struct ImportDocument {
    schema: &'static str,
    mappings: Vec<ImportedView>,
    remarks: Vec<String>,
}

/// A mapping as it would be asked for, and what became of it: `planned`, `created` or `refused`.
#[derive(Serialize)]
struct ImportedView {
    state: &'static str,
    error: Option<String>,
    mapping: Value,
}

pub(super) fn run(
    arguments: &Arguments,
    typed: &MappingImportArgs,
    talk: &Talk,
    environment: &Environment,
) -> Result<Ending> {
    let Imported { mut mappings, remarks } = import::read(&typed.imports)?;
    if let Some(client) = &typed.client {
        for mapping in mappings.iter_mut().filter_map(Value::as_object_mut) {
            if mapping.get("use_tunnel") != Some(&json!(false)) {
                mapping.insert("client".to_owned(), json!(client));
            }
        }
    }
    let mut views: Vec<ImportedView> =
        mappings.into_iter().map(|mapping| ImportedView { state: "planned", error: None, mapping }).collect();
    if !talk.json {
        show(&views, talk)?;
        for remark in &remarks {
            talk.warn(remark.clone());
        }
    }
    let agreed = !views.is_empty() && (typed.yes || may(&views, talk)?);
    if agreed {
        let (_, caller) = access(arguments, &typed.api, talk, environment)?;
        for view in &mut views {
            match ask(&caller, "/api/mapping/create", Some(&view.mapping)) {
                Ok(_) => view.state = "created",
                // Each by itself: a port that is taken does not keep the others out.
                Err(error) if error.kind() == ErrorKind::Refused => {
                    (view.state, view.error) = ("refused", Some(error.message().say(talk.lang)));
                }
                Err(error) => return Err(stopped_midway(error, &views)),
            }
        }
    } else if !views.is_empty() && !talk.json {
        talk.hint(VerbWords::HintYes);
    }
    let made = views.iter().filter(|view| view.state == "created").count();
    let refused = views.iter().any(|view| view.state == "refused");
    if talk.json {
        let remarks = remarks.iter().map(|remark| remark.say(Lang::En)).collect();
        talk.json(&ImportDocument { schema: "portwright.mapping.import/1", mappings: views, remarks })?;
    } else if agreed {
        for view in views.iter().filter(|view| view.state == "refused") {
            let why = view.error.clone().unwrap_or_default();
            talk.warn(ImportWords::Refused { port: number(&view.mapping, "source_port"), why });
        }
        talk.say(ImportWords::Done { made, count: views.len() });
    }
    Ok(match (refused, made) {
        (false, _) => Ending::Done,
        (true, 0) => Ending::Judged(ErrorKind::Refused),
        (true, _) => Ending::Judged(ErrorKind::Partial),
    })
}

fn show(views: &[ImportedView], talk: &Talk) -> Result<()> {
    if views.is_empty() {
        talk.note(ImportWords::NothingFound);
    }
    for ImportedView { mapping, .. } in views {
        let target = format!("{}:{}", text(mapping, "target_host"), number(mapping, "target_port"));
        let (port, name) = (number(mapping, "source_port"), text(mapping, "name"));
        let line = ImportWords::WouldCreate { port, target, name }.say(talk.lang);
        talk.data(&super::escape::line(line.trim_end()))?;
    }
    Ok(())
}

fn may(views: &[ImportedView], talk: &Talk) -> Result<bool> {
    if !talk.can_ask() {
        return Ok(false);
    }
    super::service::agree(talk, &Interrupt::install(), VerbWords::AskImport { count: views.len() })
}

/// An API that went away after the first mappings were made.
fn stopped_midway(error: Error, views: &[ImportedView]) -> Error {
    if views.iter().all(|view| view.state != "created") {
        return error;
    }
    let made = views.iter().filter(|view| view.state == "created").count();
    Error::new(ErrorKind::Partial, error.message().clone()).context(ImportWords::Done { made, count: views.len() })
}
