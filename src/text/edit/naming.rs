//! Gives every fixed container name of a project an ending, for a copy of the project: two containers of one engine
//! cannot share a name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::project::{Comparison, Look, Picture, Request, Snapshot, analyse};
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

/// Tells whether two ways of naming a project render the same from `snapshot`.
pub fn renders_alike(left: &Request, right: &Request, snapshot: &Snapshot) -> Result<bool> {
    let (Look::Seen(left), Look::Seen(right)) = (Picture::take(left, snapshot)?, Picture::take(right, snapshot)?)
    else {
        return Ok(false);
    };
    let same_place = left.ground.directory == right.ground.directory;
    Ok(same_place && matches!(left.compare(&right), Comparison::PortsOnly(changes) if changes.is_empty()))
}

/// Names the volumes and networks whose name is fixed, so that all copies of a project have them together: those that
/// the project makes itself, as `volumes.data`.
pub fn fixed_names(request: &Request, snapshot: &Snapshot) -> Result<Vec<String>> {
    let Look::Seen(picture) = Picture::take(request, snapshot)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for section in ["volumes", "networks"] {
        let entries = picture.rendered.tree.get(section).and_then(|section| section.map());
        for (name, entry) in entries.into_iter().flatten() {
            let external = entry.get("external").is_some_and(|external| external.text() != Some("false"));
            if entry.text_of("name").is_some() && !external {
                found.push(format!("{section}.{name}"));
            }
        }
    }
    Ok(found)
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
    fn what_all_copies_would_share_is_named() {
        let text = "services: {a: {image: x}}\nvolumes:\n  own: {}\n  one: {name: shop}\n  far: {name: s, external: true}\n\
                    networks: {net: {name: shop}}\n";
        let request = at_home();
        let (_, snapshot) = loaded(&request, &[("compose.yaml", text)]).expect("a readable project");
        assert_eq!(fixed_names(&request, &snapshot).expect("names"), ["volumes.one", "networks.net"]);
    }

    #[test]
    fn another_env_file_renders_another_project() {
        let text = "services: {a: {image: \"x:${TAG:-1}\"}}\n";
        let request = at_home();
        let files = [("compose.yaml", text), (".env", "TAG=1\n"), ("two.env", "TAG=2\n")];
        let other = Request { env_file: Some("two.env".into()), ..at_home() };
        let (_, mut snapshot) = loaded(&request, &files).expect("a readable project");
        snapshot.extend(loaded(&other, &files).expect("a readable project").1);
        assert!(renders_alike(&request, &request, &snapshot).expect("an answer"));
        assert!(!renders_alike(&request, &other, &snapshot).expect("an answer"));
    }

    #[test]
    fn a_project_without_fixed_names_needs_no_edit() {
        assert!(renamed(&[("compose.yaml", "services:\n  a:\n    image: x\n")]).is_empty());
    }
}
