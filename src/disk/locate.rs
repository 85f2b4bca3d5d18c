//! Where a path of the project really leads.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::failure::{failure, refused};
use super::os;
use crate::error::Result;
use crate::words::disk::DiskWords;

/// How many links in a row are followed: the kernel's own limit (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// Where the real file lies, seen from the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the project's folder.
    Inside,
    /// Outside, and the path says so itself (`--env-file ../shared.env`); no link is involved.
    NamedOutside,
    /// Outside, although the path does not say so: a link leads there.
    LinkedOutside,
}

/// A path with its links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The real path: no component of it is a link.
    pub real: PathBuf,
    /// The links that the last component went through, in order; empty for a plain file.
    pub links: Vec<PathBuf>,
    /// Where the real file lies.
    pub place: Place,
    /// Whether something exists there.
    pub exists: bool,
}

/// Resolves the links of `path` (relative paths start in `project`). A dangling link and a circle of links are refused;
/// a path without link that does not exist is located, with `exists` false, when its folder exists.
pub fn locate(project: &Path, path: &Path) -> Result<Located> {
    let project = project.canonicalize().map_err(|error| failure(&error, project))?;
    let named = without_dots(&project.join(path));
    let fail = |error: &io::Error, at: &Path| {
        if os::is_link_loop(error) { link_loop(path) } else { failure(error, at) }
    };
    let mut links = Vec::new();
    let mut real = with_real_folder(&named).map_err(|error| fail(&error, &named))?;
    let own_folder = real.parent().map(Path::to_path_buf).unwrap_or_default();
    loop {
        match real.symlink_metadata() {
            Ok(metadata) if metadata.is_symlink() => {
                if links.len() == LINKS_MAX {
                    return Err(link_loop(path));
                }
                let target = real.read_link().map_err(|error| fail(&error, &real))?;
                let next = real.parent().unwrap_or(Path::new("/")).join(target);
                links.push(std::mem::replace(&mut real, next));
                real = with_real_folder(&real).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => dangling(path, &real),
                    _ => fail(&error, &real),
                })?;
            }
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound && links.is_empty() => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(dangling(path, &real)),
            Err(error) => return Err(fail(&error, &real)),
        }
    }
    let place = if real.starts_with(&project) {
        Place::Inside
    } else if !is_named_inside(&named, &project) && real.starts_with(&own_folder) {
        Place::NamedOutside
    } else {
        Place::LinkedOutside
    };
    let exists = real.symlink_metadata().is_ok();
    Ok(Located { real, links, place, exists })
}

/// Tells whether the path says that it is in the project, by whatever name of the project's folder.
fn is_named_inside(named: &Path, project: &Path) -> bool {
    let mut folders = named.ancestors().skip(1);
    folders.any(|folder| folder == project || folder.canonicalize().is_ok_and(|real| real == project))
}

fn link_loop(path: &Path) -> crate::error::Error {
    let path = path.to_path_buf();
    refused(DiskWords::LinkLoop { path: path.clone() }).hint(DiskWords::LinkHint { path })
}

fn dangling(path: &Path, target: &Path) -> crate::error::Error {
    let (path, target) = (path.to_path_buf(), target.to_path_buf());
    refused(DiskWords::DanglingLink { path: path.clone(), target }).hint(DiskWords::LinkHint { path })
}

/// Resolves the links of the folder part and leaves the last component alone. A path that ends in `..` is a folder.
fn with_real_folder(path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => Ok(folder.canonicalize()?.join(name)),
        _ => path.canonicalize(),
    }
}

/// Resolves `.` and `..` by the text alone, which is what the path says; where it leads is another question.
fn without_dots(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, component| {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
        clean
    })
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_plain_file_is_inside_and_has_no_links() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(".env"), "A=1").unwrap();
        let located = locate(root.path(), Path::new(".env")).unwrap();
        assert_eq!(located.real, root.path().canonicalize().unwrap().join(".env"));
        assert_eq!((located.place, located.exists, located.links.len()), (Place::Inside, true, 0));
        assert!(!locate(root.path(), Path::new("none")).unwrap().exists);
    }

    #[test]
    fn links_inside_are_followed_one_by_one() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("conf")).unwrap();
        std::fs::write(root.path().join("conf/real"), "A=1").unwrap();
        symlink("conf/second", root.path().join(".env")).unwrap();
        symlink("real", root.path().join("conf/second")).unwrap();
        let located = locate(root.path(), Path::new(".env")).unwrap();
        assert!(located.real.ends_with("conf/real"));
        assert_eq!((located.place, located.links.len()), (Place::Inside, 2));
    }

    #[test]
    fn a_link_out_of_the_project_is_told_from_a_path_out_of_it() {
        let root = tempfile::tempdir().unwrap();
        let project = root.path().join("project");
        std::fs::create_dir(&project).unwrap();
        std::fs::write(root.path().join("shared.env"), "A=1").unwrap();
        symlink("../shared.env", project.join(".env")).unwrap();
        symlink("..", project.join("up")).unwrap();
        assert_eq!(locate(&project, Path::new(".env")).unwrap().place, Place::LinkedOutside);
        assert_eq!(locate(&project, Path::new("up/shared.env")).unwrap().place, Place::LinkedOutside);
        assert_eq!(locate(&project, Path::new("../shared.env")).unwrap().place, Place::NamedOutside);
    }

    #[test]
    fn another_name_of_the_project_does_not_hide_a_link_out_of_it() {
        let root = tempfile::tempdir().unwrap();
        let (project, alias) = (root.path().join("project"), root.path().join("alias"));
        std::fs::create_dir(&project).unwrap();
        symlink("project", &alias).unwrap();
        symlink("..", project.join("up")).unwrap();
        std::fs::write(root.path().join("shared.env"), "A=1").unwrap();
        std::fs::write(project.join(".env"), "A=1").unwrap();
        assert_eq!(locate(&alias, &alias.join(".env")).unwrap().place, Place::Inside);
        assert_eq!(locate(&project, &alias.join("up/shared.env")).unwrap().place, Place::LinkedOutside);
    }

    #[test]
    fn dangling_links_and_loops_are_refused() {
        let root = tempfile::tempdir().unwrap();
        symlink("nowhere", root.path().join("dangling")).unwrap();
        symlink("no/where", root.path().join("deep")).unwrap();
        symlink("b", root.path().join("a")).unwrap();
        symlink("a", root.path().join("b")).unwrap();
        for (name, text) in [("dangling", "does not exist"), ("deep", "does not exist"), ("a", "back to itself")] {
            let error = locate(root.path(), Path::new(name)).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Refused);
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
