//! The service manager of Windows where there is none: never asked, because [`super::service_manager`] names another.

use std::path::Path;

use super::{Job, Standing};
use crate::error::{Error, ErrorKind, Result};
use crate::words::daemon::DaemonWords;

fn absent<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Missing, DaemonWords::NoManager))
}

pub(super) fn run_below_manager(_: super::Body) -> Result<()> {
    absent()
}

pub(super) fn close_folder(_: &Path) -> Result<()> {
    absent()
}

pub(super) fn enable(_: &Job) -> Result<()> {
    absent()
}

pub(super) fn disable(_: &str) -> Result<()> {
    absent()
}

pub(super) fn start(_: &str) -> Result<()> {
    absent()
}

pub(super) fn stop(_: &str) -> Result<()> {
    absent()
}

pub(super) fn standing(_: &str) -> Result<Standing> {
    absent()
}
