//! The rows of netstat2. On macOS it needs headers of the system's developers to be built, so `lsof` names the processes
//! there.

use netstat2::{AddressFamilyFlags, ProtocolFlags, ProtocolSocketInfo, SocketInfo, TcpState};

use super::sockets::{Look, Row, counts};
use crate::model::{Endpoint, Port, Protocol, SocketState};

/// Everything that netstat2 can list.
pub(super) const EVERY_PROTOCOL: ProtocolFlags = ProtocolFlags::TCP.union(ProtocolFlags::UDP);

/// The rows of netstat2, and why there are not more of them.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
    pub(super) trouble: Option<String>,
}

/// Lists the sockets that count for `look`.
pub(super) fn netstat(look: &Look, protocols: ProtocolFlags) -> Table {
    let families = AddressFamilyFlags::IPV4 | AddressFamilyFlags::IPV6;
    // Elsewhere the system's list names the processes at no further cost.
    #[cfg(target_os = "linux")]
    let found = netstat2::iterate_sockets_info_without_pids(families, protocols);
    #[cfg(not(target_os = "linux"))]
    let found = netstat2::iterate_sockets_info(families, protocols);
    let mut table = Table::default();
    match found {
        Ok(found) => {
            for socket in found {
                match socket {
                    Ok(socket) => table.rows.extend(row_of(&socket).filter(|row| counts(look, row))),
                    Err(error) => table.trouble = Some(error.to_string()),
                }
            }
        }
        Err(error) => table.trouble = Some(error.to_string()),
    }
    table
}

fn row_of(socket: &SocketInfo) -> Option<Row> {
    let (protocol, state) = match &socket.protocol_socket_info {
        ProtocolSocketInfo::Tcp(tcp) => (Protocol::Tcp, state_of(tcp.state)),
        ProtocolSocketInfo::Udp(_) => (Protocol::Udp, SocketState::Open),
    };
    let address = socket.local_addr();
    let port = Port::new(socket.local_port())?;
    #[cfg(target_os = "linux")]
    let (uid, inode) = (Some(socket.uid), socket.inode);
    #[cfg(not(target_os = "linux"))]
    let (uid, inode) = (None, 0);
    Some(Row {
        endpoint: Endpoint { address, port, protocol, v6only: false },
        state,
        uid,
        inode,
        // 0 is the idle process of Windows, which stands for nobody.
        pid: socket.associated_pids.iter().copied().filter(|pid| *pid != 0).min(),
        cgroup: None,
    })
}

fn state_of(state: TcpState) -> SocketState {
    match state {
        TcpState::Listen => SocketState::Listen,
        TcpState::TimeWait => SocketState::TimeWait,
        // Bound, and not yet connected or listening.
        TcpState::Closed => SocketState::Bound,
        _ => SocketState::Connected,
    }
}
