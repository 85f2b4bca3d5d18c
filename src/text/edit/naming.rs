//! Gives every fixed container name of a project an ending, for a copy of the project: two containers of one engine
//! cannot share a name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::project::{Look, Request, Snapshot, analyse};
use super::{Splices, compose_edit};
use crate::error::{Error, ErrorKind, Result};
use crate::model::FileEdit;
use crate::words::instance::InstanceWords;
use crate::words::text::TextWords;

/// Works out the edits that put `ending` behind every `container_name`, also of services that are not active.
///
/// Refused where a name is not written as it reads; a snapshot that holds no project is `Busy`.
pub fn rename_containers(request: &Request, snapshot: &Snapshot, ending: &str) -> Result<Vec<FileEdit>> {
    let before = match analyse(request, snapshot)? {
        Look::Seen(before) => before,
        Look::Needs(_) | Look::Absent => {
            return Err(Error::new(ErrorKind::Busy, TextWords::StalePicture).hint(TextWords::HintPlanAgain));
        }
    };
    let mut splices: BTreeMap<PathBuf, Splices> = BTreeMap::new();
    let services = before.picture.services().into_iter().flatten();
    for name in services.filter_map(|(_, service)| service.get("container_name")).filter(|name| name.text().is_some()) {
        let source = before.picture.rendered.sources.get(name.origin.source);
        let source = source.ok_or_else(|| Error::new(ErrorKind::Internal, TextWords::LostSource))?;
        let Some(inner) = source.file.verbatim(name.origin.node) else {
            let at = source.spot(name.origin.node);
            let words = InstanceWords::NameLocked { file: at.file.display().to_string(), line: at.line };
            return Err(Error::new(ErrorKind::Refused, words).hint(InstanceWords::HintNameLocked));
        };
        let change = (inner.end..inner.end, ending.to_owned());
        splices.entry(source.path.clone()).or_default().insert(name.origin.node, change);
    }
    let edits = splices.into_iter().map(|(path, splices)| compose_edit(&before, path, snapshot, &splices));
    edits.filter_map(Result::transpose).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::project::tests::{at_home, loaded};

    fn renamed(files: &[(&str, &str)]) -> Vec<String> {
        let request = at_home();
        let (_, snapshot) = loaded(&request, files).expect("a readable project");
        let edits = rename_containers(&request, &snapshot, "-ci").expect("edits");
        edits.into_iter().map(|edit| String::from_utf8(edit.after).expect("text")).collect()
    }

    #[test]
    fn every_container_name_gets_the_ending_however_it_is_written() {
        let text = "services:\n  a: {image: x, container_name: one}\n  b:\n    image: x\n    container_name: \"two\" # b\n  \
                    c:\n    profiles: [late]\n    container_name: ${NAME:-three}\n  d:\n    image: x\n";
        let wanted = text
            .replace(": one", ": one-ci")
            .replace("\"two\"", "\"two-ci\"")
            .replace("${NAME:-three}", "${NAME:-three}-ci");
        assert_eq!(renamed(&[("compose.yaml", text)]), [wanted]);
    }

    #[test]
    fn a_project_without_fixed_names_needs_no_edit() {
        assert!(renamed(&[("compose.yaml", "services:\n  a:\n    image: x\n")]).is_empty());
    }
}
