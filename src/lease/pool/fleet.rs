//! A pool in a store that several machines share: what it does with its leases, beside taking them.

use std::time::Duration;

use super::Pool;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::request::Release;
use crate::lease::shared::{Shared, Which};
use crate::lease::table::{Granted, Life, Now, milliseconds};
use crate::words::lease::LeaseWords;

impl Pool {
    /// Gives back what is over: by the store's clock, or because its holder was on this host and is dead.
    pub(super) fn collect_shared(&self, shared: &Shared) -> Result<Vec<Granted>> {
        let now = self.now();
        let mut collected = shared.expire(&now)?;
        let is_dead = |lease: &Granted| self.life(&lease.holder) == Life::Dead && !self.is_used(lease);
        let dead: Vec<Granted> = shared.leases(Which::All, &now)?.into_iter().filter(is_dead).collect();
        collected.extend(shared.give_back(&dead, &now)?);
        Ok(collected)
    }

    /// Returns the leases of a shared store that somebody named, if it is clear which are meant.
    fn chosen_shared(&self, shared: &Shared, which: &Release, now: &Now) -> Result<Vec<Granted>> {
        let mut leases = shared.leases(which.which(), now)?;
        leases.retain(|lease| which.means(lease, &self.0.standpoint));
        which.doubt(&leases).map_or(Ok(leases), Err)
    }

    /// Gives back the leases that somebody named, and returns them.
    pub(super) fn release_shared(&self, shared: &Shared, which: &Release) -> Result<Vec<Granted>> {
        let now = self.now();
        shared.give_back(&self.chosen_shared(shared, which, &now)?, &now)
    }

    /// Lets the leases that somebody named begin anew, for `ttl` or for as long as before.
    pub(super) fn renew_shared(&self, shared: &Shared, which: &Release, ttl: Option<Duration>) -> Result<Vec<Granted>> {
        let now = self.now();
        let mut leases = self.chosen_shared(shared, which, &now)?;
        for lease in &mut leases {
            lease.ttl_ms = ttl.map_or(lease.ttl_ms, milliseconds);
        }
        shared.renew(&leases, &now)
    }

    /// Renews leases of this process.
    ///
    /// # Errors
    /// `Refused` when one has ended meanwhile and another host has its port; as the store's.
    pub(super) fn keep_shared(&self, shared: &Shared, leases: &[Granted]) -> Result<()> {
        let kept = shared.renew(leases, &self.now())?;
        let lost = leases.iter().find(|lease| kept.iter().all(|other| other.id != lease.id));
        lost.map_or(Ok(()), |lease| Err(Error::new(ErrorKind::Refused, LeaseWords::LostToAnother { port: lease.port })))
    }
}
