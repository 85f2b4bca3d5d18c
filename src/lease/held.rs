//! A lease in the hands of its holder: given back when it is dropped.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::Socket;

use super::pool::Pool;
use super::table::{Granted, Holder};
use crate::error::Result;
use crate::host::{self, Listening};
use crate::model::{Port, Protocol};

/// One or more ports, leased until this is dropped.
#[derive(Debug)]
pub struct Lease {
    pool: Pool,
    leases: Vec<Granted>,
}

impl Lease {
    pub(super) const fn new(pool: Pool, leases: Vec<Granted>) -> Self {
        Self { pool, leases }
    }

    /// Returns the first port; the highest one where, against all promises, there is none.
    #[must_use]
    pub fn port(&self) -> Port {
        self.leases.first().map_or(Port::MAX, |lease| lease.port)
    }

    /// Yields the ports, lowest first.
    #[must_use]
    pub fn ports(&self) -> impl ExactSizeIterator<Item = Port> {
        self.leases.iter().map(|lease| lease.port)
    }

    /// Returns the leases as they were granted.
    #[must_use]
    pub fn granted(&self) -> &[Granted] {
        &self.leases
    }

    /// Lets the lease begin anew. One that was lost meanwhile, because the file was, is entered again.
    ///
    /// # Errors
    /// `Busy` when the lock is not to be had.
    pub fn renew(&self) -> Result<()> {
        self.pool.keep(&self.leases, None)
    }

    /// Makes another process the holder, so that the lease lasts as long as that one; this value still gives it back.
    ///
    /// # Errors
    /// `Missing` when there is no such process; `Busy` when the lock is not to be had.
    pub fn pass_to(&mut self, pid: u32) -> Result<()> {
        let holder: Holder = self.pool.holder(pid)?;
        self.leases.iter_mut().for_each(|lease| lease.holder = holder.clone());
        self.pool.keep(&self.leases, Some(&holder))
    }

    /// Binds TCP sockets to the address of the WAN and each port: to listen on, or to connect from.
    ///
    /// # Errors
    /// As the system's.
    pub fn bind(&self) -> io::Result<Vec<Socket>> {
        let every = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let bind = |lease: &Granted| {
            let address = self.pool.address_of(lease).unwrap_or(every);
            host::bind_for_later(SocketAddr::new(address, lease.port.get()))
        };
        self.leases.iter().map(bind).collect()
    }

    /// Binds sockets that another program is given: to the address of the WAN and each port, TCP ones listening. They are
    /// called by their protocol and the place of their port, `tcp1`, `udp1`, `tcp2`.
    ///
    /// # Errors
    /// As the system's.
    pub fn listen(&self, protocols: &[Protocol]) -> io::Result<Vec<Listening>> {
        let each = self.leases.iter().zip(1_u32..);
        let each = each.flat_map(|(lease, place)| protocols.iter().map(move |protocol| (lease, place, *protocol)));
        let listen = |(lease, place, protocol): (&Granted, u32, Protocol)| {
            let socket = host::listen(self.pool.address_of(lease), lease.port, protocol, self.pool.ipv6())?;
            let kind = if protocol == Protocol::Tcp { "tcp" } else { "udp" };
            Ok(Listening { socket, name: format!("{kind}{place}") })
        };
        each.map(listen).collect()
    }

    /// Lets go without giving back: the lease lasts as long as its holder, or its time.
    #[must_use]
    pub fn leave(mut self) -> Vec<Granted> {
        std::mem::take(&mut self.leases)
    }

    /// Gives the lease back and tells whether that worked; dropping it does the same in silence.
    ///
    /// # Errors
    /// `Busy` when the lock is not to be had.
    pub fn release(mut self) -> Result<()> {
        self.pool.release_all(&std::mem::take(&mut self.leases)).map(drop)
    }

    /// Tells how often a lease should be renewed: three times in its life.
    #[must_use]
    pub fn renewal(&self) -> Duration {
        Duration::from_millis(self.leases.iter().map(|lease| lease.ttl_ms).min().unwrap_or(0) / 3)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.leases.is_empty() {
            // What cannot be given back ends with its holder.
            let _ = self.pool.release_all(&self.leases);
        }
    }
}
