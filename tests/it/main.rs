//! The one integration binary: the real program against real files, sockets, terminals and engines.

mod compose_corpus;
#[cfg(unix)]
mod crash;
#[cfg(unix)]
mod disk;
mod docker_engine;
mod docker_fake;
mod dotenv_corpus;
mod host;
#[cfg(unix)]
mod launch;
#[cfg(unix)]
mod launch_compose;
#[cfg(unix)]
mod launches;
mod quick_start;
mod scan;
mod server;
mod support;
mod talk;
#[cfg(unix)]
mod talk_terminal;
