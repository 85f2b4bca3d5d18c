//! Where state, data and configuration live on each system.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::failure::failure;
use super::os;
use crate::error::{Error, ErrorKind, Result};
use crate::words::disk::DiskWords;

/// The name of our folder in each base folder.
const FOLDER: &str = "portwright";

/// The folders of this user. None of them is made until something is kept in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// Locks, journals, backups, leases: `$XDG_STATE_HOME/portwright`, else `~/.local/state/portwright`.
    pub state: PathBuf,
    /// The bundled server's project: `$XDG_DATA_HOME/portwright`, else `~/.local/share/portwright`.
    pub data: PathBuf,
    /// Configuration: `$XDG_CONFIG_HOME/portwright`, else `~/.config/portwright`.
    pub config: PathBuf,
}

impl Dirs {
    /// Returns the file of the user's pool of port leases.
    #[must_use]
    pub fn pool(&self) -> PathBuf {
        self.state.join("pool.json")
    }

    /// Decides the folders from environment variables: the XDG ones on every Unix (macOS too), `LOCALAPPDATA` and
    /// `APPDATA` on Windows. Relative values are ignored, as the XDG specification asks.
    pub fn from_environment(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        if cfg!(windows) { windows(lookup) } else { xdg(lookup) }
    }
}

/// Makes a folder and its missing parents, each with mode 0700; a folder that exists is left as it is.
pub fn create_private_folder(path: &Path) -> Result<()> {
    os::create_folder(path).map_err(|error| failure(&error, path))
}

/// Takes the right to write to a folder away from everybody but its owner; returns its mode before and after.
///
/// # Errors
/// `Missing` when it is another user's.
pub fn make_private(path: &Path) -> Result<(u32, u32)> {
    os::close_to_others(path).map_err(|error| failure(&error, path))
}

fn xdg(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Dirs> {
    let absolute = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = |name: &str, below_home: &str| match (absolute(name), absolute("HOME")) {
        (Some(base), _) => Ok(base.join(FOLDER)),
        (None, Some(home)) => Ok(home.join(below_home).join(FOLDER)),
        (None, None) => Err(no_home("HOME", name)),
    };
    Ok(Dirs {
        state: base("XDG_STATE_HOME", ".local/state")?,
        data: base("XDG_DATA_HOME", ".local/share")?,
        config: base("XDG_CONFIG_HOME", ".config")?,
    })
}

fn windows(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Dirs> {
    let base = |name: &str, below_profile: &str| match (lookup(name), lookup("USERPROFILE")) {
        (Some(base), _) if !base.is_empty() => Ok(PathBuf::from(base).join(FOLDER)),
        (_, Some(profile)) if !profile.is_empty() => Ok(PathBuf::from(profile).join(below_profile).join(FOLDER)),
        _ => Err(no_home("USERPROFILE", name)),
    };
    let local = base("LOCALAPPDATA", "AppData/Local")?;
    Ok(Dirs { state: local.join("state"), data: local.join("data"), config: base("APPDATA", "AppData/Roaming")? })
}

fn no_home(variable: &str, alternative: &str) -> Error {
    Error::new(ErrorKind::Missing, DiskWords::NoHome { variable: variable.into() })
        .hint(DiskWords::NoHomeHint { variable: variable.into(), alternative: alternative.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
    }

    /// `/h` is no absolute path on Windows, where nobody sets these.
    #[cfg(unix)]
    #[test]
    fn xdg_variables_come_before_home() {
        let dirs = xdg(environment(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")])).unwrap();
        assert_eq!(dirs.state, Path::new("/s/portwright"));
        assert_eq!(dirs.data, Path::new("/h/.local/share/portwright"));
        assert_eq!(dirs.config, Path::new("/h/.config/portwright"));
    }

    #[test]
    fn without_home_the_error_names_the_variable_and_exits_5() {
        for pairs in [&[][..], &[("HOME", "")], &[("HOME", "relative")]] {
            let error = xdg(environment(pairs)).unwrap_err();
            assert_eq!(error.kind().exit_code(), 5);
            assert!(error.to_string().contains("HOME"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn home_is_not_needed_when_every_xdg_variable_is_set() {
        let pairs = [("XDG_STATE_HOME", "/s"), ("XDG_DATA_HOME", "/d"), ("XDG_CONFIG_HOME", "/c")];
        assert_eq!(xdg(environment(&pairs)).unwrap().config, Path::new("/c/portwright"));
    }

    #[test]
    fn windows_uses_the_application_data_folders() {
        let dirs = windows(environment(&[("LOCALAPPDATA", "/l"), ("APPDATA", "/r")])).unwrap();
        assert_eq!(dirs.state, Path::new("/l/portwright/state"));
        assert_eq!(dirs.config, Path::new("/r/portwright"));
        assert!(windows(environment(&[])).unwrap_err().to_string().contains("USERPROFILE"));
    }

    #[cfg(unix)]
    #[test]
    fn folders_are_made_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        create_private_folder(&path).unwrap();
        create_private_folder(&path).unwrap();
        for folder in [path.as_path(), path.parent().unwrap()] {
            assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}
