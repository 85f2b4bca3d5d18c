//! The one integration binary: the real program against real files, sockets, terminals and engines.

#[cfg(unix)]
mod crash;
#[cfg(unix)]
mod disk;
