//! Listening sockets that another program is given: `LISTEN_FDS`, as systemd has it (`sd_listen_fds(3)`).
//!
//! The program gets them as the file descriptors from 3 on, and `LISTEN_PID` has to be its own process id, which nobody
//! knows before it is there. So what is started is this executable again, which has that number, and which then becomes
//! the program ([`become_program`]).

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;

use socket2::{Domain, Socket, Type};

use super::tcp_options::BACKLOG;
use crate::model::{Port, Protocol};

/// A socket for another program, and what it is called there.
#[derive(Debug)]
pub struct Listening {
    /// The socket, bound, and listening where it is TCP.
    pub socket: Socket,
    /// Its name in `LISTEN_FDNAMES`, without colons.
    pub name: String,
}

/// Binds a socket that a program can be given: on one address, or on every one, of both families where `ipv6` says so.
/// TCP listens.
///
/// # Errors
/// As the system's.
pub fn listen(address: Option<IpAddr>, port: Port, protocol: Protocol, ipv6: bool) -> io::Result<Socket> {
    let every = if ipv6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    let bound = SocketAddr::new(address.unwrap_or(every), port.get());
    let is_tcp = protocol == Protocol::Tcp;
    let socket = Socket::new(Domain::for_address(bound), if is_tcp { Type::STREAM } else { Type::DGRAM }, None)?;
    if bound.is_ipv6() {
        socket.set_only_v6(address.is_some())?;
    }
    #[cfg(unix)]
    socket.set_reuse_address(is_tcp)?;
    socket.bind(&bound.into())?;
    if is_tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

/// Returns the command that starts `program` with these sockets; `verb` is the one of this executable that calls
/// [`become_program`] with the words behind `--`. The sockets live in the command, and are closed here when it is dropped.
///
/// # Errors
/// `Unsupported` where programs do not inherit numbered descriptors (Windows).
pub fn handing_on(verb: &str, program: &OsStr, sockets: Vec<Listening>) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([verb, "--"]).arg(program);
    let names: Vec<&str> = sockets.iter().map(|listening| listening.name.as_str()).collect();
    command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    imp::map(&mut command, sockets)?;
    Ok(command)
}

/// Makes this process another program, which knows its own process id from `LISTEN_PID`. Returns only when that fails.
#[must_use]
pub fn become_program(words: &[OsString]) -> io::Error {
    let Some((program, arguments)) = words.split_first() else { return io::ErrorKind::NotFound.into() };
    let mut command = Command::new(program);
    command.args(arguments).env("LISTEN_PID", std::process::id().to_string());
    imp::exec(&mut command)
}

#[cfg(unix)]
mod imp {
    use std::io;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use command_fds::{CommandFdExt, FdMapping};

    use super::Listening;

    /// The number of the first one (`SD_LISTEN_FDS_START`).
    const FIRST: i32 = 3;

    pub(super) fn map(command: &mut Command, sockets: Vec<Listening>) -> io::Result<()> {
        let map = |(child_fd, listening): (i32, Listening)| FdMapping { parent_fd: listening.socket.into(), child_fd };
        command.fd_mappings((FIRST..).zip(sockets).map(map).collect()).map_err(io::Error::other)?;
        Ok(())
    }

    pub(super) fn exec(command: &mut Command) -> io::Error {
        command.exec()
    }
}

#[cfg(not(unix))]
mod imp {
    use std::io;
    use std::process::Command;

    use super::Listening;

    pub(super) fn map(_: &mut Command, _: Vec<Listening>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn exec(_: &mut Command) -> io::Error {
        io::ErrorKind::Unsupported.into()
    }
}
