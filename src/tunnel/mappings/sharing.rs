//! Mappings in a database that other servers change, too: what they change is followed here.

use std::collections::BTreeMap;

use tokio::sync::watch;

use super::{Mappings, Stage, State};
use crate::model::Port;
use crate::tunnel::store::{Contents, NewMapping, StoreFault, StoredMapping};

impl Mappings {
    /// Follows a database that other servers change, too, until it is aborted.
    pub(crate) async fn follow(self, mut changes: watch::Receiver<u64>) {
        while changes.changed().await.is_ok() {
            // What cannot be read now is read a few seconds later.
            if let Err(fault) = self.agree().await {
                tracing::debug!(?fault, "the mappings cannot be read; what is served goes on");
            }
        }
    }

    /// Makes what is served what the database says: new rows are served, rows that are gone are closed as a removal
    /// closes them, and rules and ways are changed as an update changes them.
    ///
    /// The rows are read while no change of ours is under way, so that they are never older than what we wrote.
    async fn agree(&self) -> Result<(), StoreFault> {
        let change = self.0.changes.lock().await;
        if *change == Stage::Closing {
            return Ok(());
        }
        let Some(Contents { mappings, totals }) = self.0.store.read_again().await? else { return Ok(()) };
        self.0.accounts.see_elsewhere(totals);
        let mut wanted: BTreeMap<Port, StoredMapping> =
            mappings.into_iter().map(|stored| (stored.mapping.source_port, stored)).collect();
        let (mut gone, mut moved) = (Vec::new(), Vec::new());
        for (port, live) in self.0.live().iter_mut() {
            match wanted.remove(port) {
                Some(stored) if live.stored == stored => {}
                Some(stored) if live.stored.id == stored.id => {
                    live.rules.change(self.access_of(&stored.mapping), stored.mapping.bandwidth_limit);
                    let failed = matches!(live.state, State::Failed(_));
                    if leads_alike(&live.stored.mapping, &stored.mapping) && !failed {
                        live.stored = stored;
                    } else {
                        moved.push((*port, stored));
                    }
                    tracing::info!(%port, "mapping updated by another server");
                }
                other => {
                    wanted.extend(other.map(|stored| (*port, stored)));
                    gone.push(*port);
                }
            }
        }
        for port in gone {
            self.let_go(port).await;
            tracing::info!(%port, "mapping removed by another server");
        }
        for (port, stored) in moved {
            self.lead(port, stored).await;
        }
        for (port, stored) in wanted {
            tracing::info!(%port, "mapping made by another server");
            self.take_up(stored).await;
        }
        Ok(())
    }
}

/// Tells whether two rows lead their visitors to the same target in the same way.
fn leads_alike(former: &NewMapping, present: &NewMapping) -> bool {
    let NewMapping { bandwidth_limit, access_rule, access_ips, name, .. } = present.clone();
    NewMapping { bandwidth_limit, access_rule, access_ips, name, ..former.clone() } == *present
}
