//! The one integration binary: the real program against real files, sockets, terminals and engines.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod compose_corpus;
#[cfg(unix)]
mod contract;
#[cfg(unix)]
mod crash;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod daemon;
#[cfg(unix)]
mod disk;
mod docker_engine;
mod docker_fake;
mod docs;
#[cfg(test)]
#[cfg(unix)]
mod doctor;
mod dotenv_corpus;
mod host;
mod instance;
#[cfg(test)]
#[cfg(unix)]
mod launch;
#[cfg(test)]
#[cfg(unix)]
mod launch_compose;
#[cfg(test)]
#[cfg(unix)]
mod launch_tunnel;
#[cfg(test)]
#[cfg(unix)]
mod launches;
#[cfg(test)]
#[cfg(unix)]
mod mapping;
mod monitoring;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod packages;
#[cfg(test)]
#[cfg(unix)]
mod pool;
mod quick_start;
#[cfg(unix)]
mod ripple;
mod scan;
mod server;
#[cfg(test)]
#[cfg(unix)]
mod stores;
mod support;
mod talk;
#[cfg(unix)]
mod talk_terminal;
#[cfg(test)]
#[cfg(unix)]
mod terminal;
mod trust;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tune;
#[cfg(test)]
#[cfg(unix)]
mod tunnel;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod vm;
#[cfg(test)]
#[cfg(unix)]
mod why;
#[cfg(test)]
#[cfg(unix)]
mod wizard;
