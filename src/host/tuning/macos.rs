//! macOS: `sysctl`. A value lasts until the system starts again; no file is read reliably at that time.

use std::io;
use std::path::Path;

use crate::host::tool::output_of;
use crate::model::{Observed, TuneSigns};

const SYSCTL: &str = "/usr/sbin/sysctl";

/// No file sets values at the start of the system.
pub(super) const BOOT_FILE: Option<&str> = None;

/// Asks `sysctl`; a key that it does not know prints nothing.
pub(super) fn read(key: &str) -> Observed {
    match output_of(Path::new(SYSCTL), &["-n", key]) {
        Ok(text) if text.trim().is_empty() => Observed::Unsupported,
        Ok(text) => Observed::Value(text.trim().to_owned()),
        Err(error) => Observed::Unknown(error.to_string()),
    }
}

/// Tells `sysctl`; whether it obeyed is seen by reading.
pub(super) fn write(key: &str, value: &str) -> io::Result<()> {
    output_of(Path::new(SYSCTL), &["-w", &format!("{key}={value}")]).map(drop)
}

/// Every key has a value.
pub(super) fn clear(_: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Nothing beside the sockets is counted.
pub(super) fn signs() -> TuneSigns {
    TuneSigns::default()
}

/// Tells whether this is root.
pub(super) fn may_change() -> bool {
    rustix::process::geteuid().is_root()
}
