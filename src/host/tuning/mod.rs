//! Settings of the system's network: read, write, and the file from which Linux sets them at its start.

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(any(windows, test))]
mod netsh;
#[cfg(windows)]
mod windows;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
use elsewhere as system;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;
#[cfg(windows)]
use windows as system;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use super::{Look, Owners, port_rules, sockets};
use crate::model::{Observed, Protocol, SocketState, TuneSigns};

/// Reads the setting `key` of this system.
#[must_use]
pub fn read(key: &str) -> Observed {
    system::read(key)
}

/// Counts what asks for other settings: looks at all sockets, some milliseconds for each ten thousand.
#[must_use]
pub fn signs() -> TuneSigns {
    let rules = port_rules();
    let in_use = rules.ephemeral.and_then(|range| {
        let (seen, _) = sockets(&Look { wanted: vec![range], owners: Owners::None });
        let taken = |socket: &&crate::model::Socket| {
            socket.endpoint.protocol == Protocol::Tcp
                && matches!(socket.state, SocketState::Connected | SocketState::TimeWait)
        };
        let ports = |all: &Vec<crate::model::Socket>| {
            let used = all.iter().filter(taken).map(|socket| socket.endpoint.port);
            used.filter(|port| range.contains(*port)).collect::<BTreeSet<_>>().len()
        };
        seen.known().map(ports).and_then(|count| u64::try_from(count).ok())
    });
    TuneSigns { ephemeral_in_use: in_use, excluded: rules.excluded, ..system::signs() }
}

/// Writes a value. Whether the system took it is seen by reading alone.
///
/// # Errors
/// Those of the system: `PermissionDenied` where this user may not, anything else where it refuses the value.
pub fn write(key: &str, value: &str) -> io::Result<()> {
    system::write(key, value)
}

/// Takes a value away that was absent before (the Windows registry).
///
/// # Errors
/// As [`write`]; `Unsupported` where every key has a value.
pub fn clear(key: &str) -> io::Result<()> {
    system::clear(key)
}

/// Tells whether this user may change settings of the system: root, or an administrator of Windows.
#[must_use]
pub fn may_change() -> bool {
    system::may_change()
}

/// Returns the file from which the system sets our values when it starts; `None` where there is no such file, because
/// values last by themselves (Windows) or until the next start (macOS).
#[must_use]
pub fn boot_file() -> Option<&'static Path> {
    system::BOOT_FILE.map(Path::new)
}

/// Reads that file; `None` when there is none.
///
/// # Errors
/// Those of the system.
pub fn read_boot_file() -> io::Result<Option<String>> {
    let Some(path) = boot_file() else { return Ok(None) };
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces that file as a whole, readable for everybody; `None` removes it. Its folder is not made.
///
/// # Errors
/// Those of the system.
pub fn write_boot_file(text: Option<&str>) -> io::Result<()> {
    let Some(path) = boot_file() else { return Ok(()) };
    // The names of files that are read at the start end with `.conf`.
    let staged = path.with_extension("new");
    let Some(text) = text else {
        // Left behind by a run that was killed.
        return remove(&staged).and_then(|()| remove(path));
    };
    let written = File::create(&staged).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&staged, path)
    });
    written.inspect_err(|_| {
        let _ = fs::remove_file(&staged);
    })
}

/// Removes a file; one that is not there is as good as removed.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
