//! Systems of which nothing is known.

use std::io;

use crate::model::{Observed, TuneSigns};

/// No file sets values at the start of the system.
pub(super) const BOOT_FILE: Option<&str> = None;

/// Has no settings.
pub(super) fn read(_: &str) -> Observed {
    Observed::Unsupported
}

/// Has nothing to write.
pub(super) fn write(_: &str, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Has nothing to clear.
pub(super) fn clear(_: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Counts nothing.
pub(super) fn signs() -> TuneSigns {
    TuneSigns::default()
}

/// Nobody may change what is not there.
pub(super) fn may_change() -> bool {
    false
}
