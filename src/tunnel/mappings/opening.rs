//! A mapping's way into service: its target is judged, its port bound, its listener started.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};

use super::Inner;
use crate::host::prepare_listener;
use crate::model::Port;
use crate::tunnel::datagrams;
use crate::tunnel::dial::Dials;
use crate::tunnel::forward::{Forwarder, Pace, Route, this_machine};
use crate::tunnel::policy::{Denial, Host};
use crate::tunnel::proto::Kind;
use crate::tunnel::refusal::Refusal;
use crate::tunnel::request::Wanted;
use crate::tunnel::rules::Rules;
use crate::tunnel::visitors::{self, Entry};
use crate::words::tunnel::TunnelWords;

/// A bound port with what is done with its visitors.
pub(super) enum Opened {
    Directly(TcpListener, Route),
    ThroughTunnel(TcpListener, Entry),
    Datagrams(UdpSocket, Entry),
}

impl Inner {
    /// Judges a target as far as it can be before it is dialled: an address, and whether there is a tunnel at all.
    pub(super) fn judge(&self, wanted: &Wanted) -> Result<(), Refusal> {
        let row = &wanted.row;
        if row.use_tunnel && self.tunnel.is_none() {
            return Err(Refusal::new(503, "tunnel_unavailable", TunnelWords::TunnelUnavailable));
        }
        let Host::Address(address) = wanted.host else { return Ok(()) };
        let own = |address, port| self.own.covers(address, port) || (port == row.source_port && this_machine(address));
        let denial = if row.use_tunnel {
            // The client judges the address that it dials; what no mapping may reach is refused here already.
            let denial = self.policy.judge("", address, row.target_port, |_, _| false);
            denial.filter(|denial| matches!(denial, Denial::Special | Denial::Listed))
        } else {
            self.policy.judge("", address, row.target_port, own)
        };
        let target = || SocketAddr::new(address, row.target_port.get()).to_string();
        denial.map_or(Ok(()), |denial| Err(Refusal::target(denial, target())))
    }

    /// Judges the target and binds the public port.
    pub(super) async fn open(&self, wanted: &Wanted, rules: &Arc<Rules>) -> Result<Opened, Refusal> {
        self.judge(wanted)?;
        let row = &wanted.row;
        if row.use_tunnel {
            return self.open_through_tunnel(wanted, rules).await;
        }
        let listener = self.bind(row.source_port).await?;
        let route = Route {
            port: row.source_port,
            host: wanted.host.clone(),
            target_port: row.target_port,
            rules: Arc::clone(rules),
            policy: Arc::clone(&self.policy),
            own: Arc::clone(&self.own),
            accepts: Arc::clone(&self.accepts),
            dials: Dials::default(),
            trouble: Pace::default(),
        };
        Ok(Opened::Directly(listener, route))
    }

    async fn open_through_tunnel(&self, wanted: &Wanted, rules: &Arc<Rules>) -> Result<Opened, Refusal> {
        let row = &wanted.row;
        let entry = Entry {
            port: row.source_port,
            client: row.client.clone(),
            host: wanted.host.to_string(),
            target_port: row.target_port,
            proxy: wanted.proxy,
            rules: Arc::clone(rules),
            accepts: Arc::clone(&self.accepts),
            trouble: Pace::default(),
        };
        match wanted.kind {
            Kind::Tcp => Ok(Opened::ThroughTunnel(self.bind(row.source_port).await?, entry)),
            Kind::Udp => {
                let address = SocketAddr::new(self.ports.listen, row.source_port.get());
                let socket = UdpSocket::bind(address).await;
                Ok(Opened::Datagrams(socket.map_err(|error| bind_refusal(&error, row.source_port))?, entry))
            }
        }
    }

    async fn bind(&self, port: Port) -> Result<TcpListener, Refusal> {
        let address = SocketAddr::new(self.ports.listen, port.get());
        let listener = TcpListener::bind(address).await.map_err(|error| bind_refusal(&error, port))?;
        prepare_listener(&listener).map_err(|error| bind_refusal(&error, port))?;
        Ok(listener)
    }

    pub(super) async fn serve(&self, opened: Opened) -> Result<Forwarder, Refusal> {
        let (port, forwarder) = match (opened, &self.tunnel) {
            (Opened::Directly(listener, route), _) => (route.port, Forwarder::start(listener, route)),
            (Opened::ThroughTunnel(listener, entry), Some(tunnel)) => {
                let port = entry.port;
                let started = visitors::start(&tunnel.queue, listener, entry).await;
                (port, started.map_err(|error| bind_refusal(&error, port))?)
            }
            (Opened::Datagrams(socket, entry), Some(tunnel)) => {
                let port = entry.port;
                let started = datagrams::start(&tunnel.queue, socket, entry).await;
                // Direct mappings connect with TCP, which a port of UDP cannot lead back here.
                return started.map_err(|error| bind_refusal(&error, port));
            }
            (Opened::ThroughTunnel(..) | Opened::Datagrams(..), None) => return Err(Refusal::internal()),
        };
        self.own.add(port);
        Ok(forwarder)
    }
}

fn bind_refusal(error: &io::Error, port: Port) -> Refusal {
    match error.kind() {
        io::ErrorKind::AddrInUse => Refusal::new(409, "port_in_use", TunnelWords::PortInUse { port }),
        io::ErrorKind::PermissionDenied => Refusal::new(403, "port_privileged", TunnelWords::PortPrivileged { port }),
        _ => Refusal::new(503, "port_unavailable", TunnelWords::PortUnavailable { port, reason: error.to_string() }),
    }
}
