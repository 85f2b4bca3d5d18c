//! What the visitors of one mapping are subject to, and what may change while they are there: who is let in, how fast
//! bytes move, and where they are counted.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use super::ledger::Ledger;
use super::policy::Access;
use super::terms::{Patience, Terms, Throttle};

/// The rules of a mapping. They are shared by its listener and everything that it lets in.
#[derive(Debug)]
pub(crate) struct Rules {
    access: RwLock<Access>,
    /// From visitors to the target, and back.
    throttles: [Arc<Throttle>; 2],
    ledger: Arc<Ledger>,
}

impl Rules {
    /// Makes rules; a limit of 0 bytes a second is none.
    pub(crate) fn new(access: Access, bytes_per_s: u64, ledger: Arc<Ledger>) -> Self {
        let throttle = || Arc::new(Throttle::new(bytes_per_s));
        Self { access: RwLock::new(access), throttles: [throttle(), throttle()], ledger }
    }

    /// Tells whether a visitor from `address` may come in.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        self.access.read().unwrap_or_else(PoisonError::into_inner).admits(address)
    }

    /// Enters a visitor whose target `client` dials, and returns what its connection has to keep to.
    pub(crate) fn terms(&self, peer: SocketAddr, client: &str) -> Terms {
        Terms {
            patience: Patience::DEFAULT,
            throttles: Some(self.throttles.clone()),
            traffic: self.ledger.enter(peer, client),
        }
    }

    /// Changes the rules. The list counts for visitors that come from now on, the limit also for those who are there.
    pub(crate) fn change(&self, access: Access, bytes_per_s: u64) {
        *self.access.write().unwrap_or_else(PoisonError::into_inner) = access;
        for throttle in &self.throttles {
            throttle.change(bytes_per_s);
        }
    }

    /// Where this mapping's bytes are counted.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}
