//! Limits of the system that a program may raise for itself.

/// Raises the number of files and sockets that this process may have open as far as its user may. Where that fails, the
/// old limit stands, and whoever reaches it learns so there.
pub fn raise_open_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}
