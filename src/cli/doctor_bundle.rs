//! `doctor bundle`: everything that a report of a fault needs in one archive, with every known secret taken out.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::doctor_document::DoctorDocument;
use super::mask::Mask;
use super::output::Look;
use super::redact::Redactor;
use super::{Ending, Environment, Talk, doctor, wishes};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Observation, utc};
use crate::plan::diagnose::{self, Wanted};
use crate::words::Lang;
use crate::words::doctor::DoctorWords;

/// The most that is taken of a file of the project, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What `doctor bundle --json` prints.
#[derive(Debug, Serialize)]
struct BundleDocument {
    schema: &'static str,
    file: String,
    entries: Vec<String>,
}

/// Writes the archive and tells its name.
pub(super) fn run(
    named: Option<&Path>,
    seen: &Observation,
    files: &[PathBuf],
    redactor: &Redactor,
    talk: &Talk,
    environment: &Environment,
) -> Result<Ending> {
    let time = seen.machine.known().map(|machine| utc(machine.clock_s)).unwrap_or_default();
    let usual = || PathBuf::from(format!("portwright-doctor-{}.tar", time.replace(':', "")));
    let path = wishes::working_directory()?.join(named.map_or_else(usual, Path::to_path_buf));
    let failed = |why: String| {
        Error::new(ErrorKind::Missing, DoctorWords::BundleUnwritten { file: path.display().to_string(), why })
    };
    let entries = entries(seen, files, redactor, environment).map_err(|error| failed(error.to_string()))?;
    // A file that is there is somebody's: nothing is written over.
    let file = File::create_new(&path).map_err(|error| failed(error.to_string()))?;
    write(file, &entries).map_err(|error| failed(error.to_string()))?;
    let shown = path.display().to_string();
    if talk.json {
        let entries = entries.into_iter().map(|(name, _)| name).collect();
        talk.json(&BundleDocument { schema: "portwright.doctor-bundle/1", file: shown, entries })?;
    } else {
        talk.say(DoctorWords::BundleWritten { file: shown });
    }
    Ok(Ending::Done)
}

/// The names and texts of the archive.
fn entries(
    seen: &Observation,
    files: &[PathBuf],
    redactor: &Redactor,
    environment: &Environment,
) -> serde_json::Result<Vec<(String, String)>> {
    let answers = diagnose::diagnose(seen, &Wanted::default());
    let plain = Look { color: false, unicode: false, width: None };
    let mut entries = vec![
        ("facts.json".to_owned(), serde_json::to_string_pretty(seen)?),
        ("doctor.json".to_owned(), serde_json::to_string_pretty(&DoctorDocument::new(&answers))?),
        ("doctor.txt".to_owned(), doctor::screen(&answers, true, Lang::En, plain)),
    ];
    for file in files {
        let Some(text) = contents(file) else { continue };
        let lines: Vec<&str> = text.lines().collect();
        let masked = Mask { shown: &[], sign: "***" }.lines(file, &lines).join("\n");
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        entries.push((format!("project/{name}"), masked + "\n"));
    }
    let home = environment.variable("HOME").filter(|home| home.len() > 1);
    let clean = |text: String| {
        let text = redactor.text(&text);
        home.map_or_else(|| text.clone(), |home| text.replace(home, "~"))
    };
    Ok(entries.into_iter().map(|(name, text)| (name, clean(text))).collect())
}

fn contents(file: &Path) -> Option<String> {
    let is_small = std::fs::metadata(file).is_ok_and(|data| data.is_file() && data.len() <= FILE_BYTES_MAX);
    let bytes = is_small.then(|| std::fs::read(file).ok())??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(file: File, entries: &[(String, String)]) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(file);
    for (name, text) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, format!("portwright-doctor/{name}"), text.as_bytes())?;
    }
    archive.into_inner()?.flush()
}
