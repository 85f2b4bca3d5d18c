//! The ledgers of all mappings together: what they say now, and what of it goes to disk at each interval.
//!
//! Totals are written as they stand, not as differences, so that a record that is written twice counts no byte twice. A
//! mapping that is removed keeps its ledger until its last visitor has left; then its totals go into one sum.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::config::StatsSettings;
use super::history::{GONE, Kept, Record};
use super::ledger::{ClientName, Ledger, Totals};
use super::store::Store;
use crate::model::Port;

/// How often the meters of connections are looked at, for their rates.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Seconds of a day.
const DAY_S: i64 = 24 * 60 * 60;

/// The ledgers of a server.
#[derive(Debug, Default)]
pub(crate) struct Accounts(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: BTreeMap<i64, Account>,
    /// Of mappings that were removed, with visitors that may still be there.
    retired: BTreeMap<i64, Account>,
    gone: BTreeMap<ClientName, Totals>,
    /// What was kept before of mappings that the server has not restored yet.
    kept: Kept,
    /// What other servers on the same database have carried.
    elsewhere: Kept,
    /// What the last record said.
    recorded: HashMap<(i64, ClientName), Totals>,
}

#[derive(Debug, Clone)]
struct Account {
    port: Port,
    ledger: Arc<Ledger>,
}

impl Accounts {
    /// Goes on from what was kept.
    pub(crate) fn new(mut kept: Kept) -> Self {
        let gone = kept.remove(&GONE).unwrap_or_default();
        let all = kept.iter().map(|(mapping, clients)| (*mapping, clients)).chain([(GONE, &gone)]);
        let recorded = all
            .flat_map(|(mapping, clients)| {
                clients.iter().map(move |(client, totals)| ((mapping, Arc::clone(client)), *totals))
            })
            .collect();
        Self(Mutex::new(Inner { gone, kept, recorded, ..Inner::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the ledger for a mapping of the database, which goes on from what was kept.
    pub(crate) fn restore(&self, mapping: i64, port: Port) -> Arc<Ledger> {
        let mut inner = self.lock();
        let ledger = Arc::new(Ledger::with(inner.kept.remove(&mapping).unwrap_or_default()));
        inner.open.insert(mapping, Account { port, ledger: Arc::clone(&ledger) });
        ledger
    }

    /// Counts the ledger of a new mapping.
    pub(crate) fn open(&self, mapping: i64, port: Port, ledger: &Arc<Ledger>) {
        self.lock().open.insert(mapping, Account { port, ledger: Arc::clone(ledger) });
    }

    /// Keeps the ledger of a mapping that was removed until its visitors have left.
    pub(crate) fn retire(&self, mapping: i64) {
        let mut inner = self.lock();
        if let Some(account) = inner.open.remove(&mapping) {
            inner.retired.insert(mapping, account);
        }
    }

    /// Notes what other servers on the same database have carried, as far as they have recorded it.
    pub(crate) fn see_elsewhere(&self, elsewhere: Kept) {
        self.lock().elsewhere = elsewhere;
    }

    /// Returns what other servers have carried of a mapping, by client.
    pub(crate) fn elsewhere(&self, mapping: i64) -> BTreeMap<ClientName, Totals> {
        self.lock().elsewhere.get(&mapping).cloned().unwrap_or_default()
    }

    /// Returns everything that this server and the others on its database ever carried, by client.
    pub(crate) fn everywhere(&self) -> BTreeMap<ClientName, Totals> {
        let mut sums = self.by_client();
        for (client, totals) in self.lock().elsewhere.values().flatten() {
            *sums.entry(Arc::clone(client)).or_default() += *totals;
        }
        sums
    }

    /// Returns everything that the server itself ever carried, by client.
    pub(crate) fn by_client(&self) -> BTreeMap<ClientName, Totals> {
        let inner = self.lock();
        let mut sums = inner.gone.clone();
        let ledgers = inner.open.values().chain(inner.retired.values()).map(|account| account.ledger.by_client());
        for (client, totals) in ledgers.chain(inner.kept.values().cloned()).flatten() {
            *sums.entry(client).or_default() += totals;
        }
        sums
    }

    /// Looks at every connection's meter, for the rates.
    fn sample(&self, elapsed: Duration) {
        let inner = self.lock();
        for account in inner.open.values().chain(inner.retired.values()) {
            account.ledger.sample(elapsed);
        }
    }

    /// Draws up what happened since the last record, which [`Accounts::settle`] then makes the last one.
    fn draw_up(&self, at: i64, seconds: i64, keep_since: i64) -> Record {
        let inner = self.lock();
        let mut record = Record { at, seconds, keep_since, ..Record::default() };
        let mut gone = inner.gone.clone();
        let retired = inner.retired.iter().map(|(mapping, account)| (*mapping, account, account.ledger.live() == 0));
        let open = inner.open.iter().map(|(mapping, account)| (*mapping, account, false));
        for (mapping, Account { port, ledger }, over) in open.chain(retired) {
            for (client, totals) in ledger.by_client() {
                let before = inner.recorded.get(&(mapping, Arc::clone(&client))).copied().unwrap_or_default();
                let moved = totals.since(before);
                if moved != Totals::default() {
                    *record.moved.entry((port.get(), Arc::clone(&client))).or_default() += moved;
                }
                if over {
                    *gone.entry(client).or_default() += totals;
                } else if moved != Totals::default() {
                    record.totals.push((mapping, client, totals));
                }
            }
            if over {
                record.folded.push(mapping);
            }
        }
        for (mapping, clients) in &inner.kept {
            // Rows of mappings that the database no longer has.
            for (client, totals) in clients {
                *gone.entry(Arc::clone(client)).or_default() += *totals;
            }
            record.folded.push(*mapping);
        }
        if gone != inner.gone {
            record.totals.extend(gone.into_iter().map(|(client, totals)| (GONE, client, totals)));
        }
        record
    }

    /// Notes that `record` is on disk.
    fn settle(&self, record: &Record) {
        let mut inner = self.lock();
        for mapping in &record.folded {
            inner.retired.remove(mapping);
            inner.kept.remove(mapping);
        }
        inner.recorded.retain(|(mapping, _), _| !record.folded.contains(mapping));
        for (mapping, client, totals) in &record.totals {
            inner.recorded.insert((*mapping, Arc::clone(client)), *totals);
            if *mapping == GONE {
                inner.gone.insert(Arc::clone(client), *totals);
            }
        }
    }
}

/// Writes what the accounts say, at each interval and once more at the end.
#[derive(Debug)]
pub(crate) struct Recorder {
    accounts: Arc<Accounts>,
    store: Store,
    settings: StatsSettings,
    last: Instant,
}

impl Recorder {
    pub(crate) fn new(accounts: Arc<Accounts>, store: Store, settings: StatsSettings) -> Self {
        Self { accounts, store, settings, last: Instant::now() }
    }

    /// Records until it is dropped.
    pub(crate) async fn run(&mut self) {
        let mut samples = interval(SAMPLE_EVERY);
        let mut records = interval(Duration::from_secs(self.settings.record_interval_s.into()));
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        records.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick of an interval is at once.
        records.tick().await;
        let mut looked_at = Instant::now();
        loop {
            tokio::select! {
                _ = samples.tick() => {
                    self.accounts.sample(looked_at.elapsed());
                    looked_at = Instant::now();
                }
                _ = records.tick() => self.record().await,
            }
        }
    }

    /// Writes what happened since the last record. What cannot be written is part of the next one.
    pub(crate) async fn record(&mut self) {
        if !self.settings.enabled {
            return;
        }
        let now = Instant::now();
        // A clock before 1970 is broken; what it dates is then old, and goes first.
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        let seconds = i64::try_from(now.duration_since(self.last).as_secs()).unwrap_or(i64::MAX);
        let record = self.accounts.draw_up(at, seconds, at - i64::from(self.settings.retention_days) * DAY_S);
        match self.store.record(record.clone()).await {
            Ok(()) => {
                self.accounts.settle(&record);
                self.last = now;
            }
            Err(fault) => tracing::warn!(?fault, "traffic was not recorded; trying again at the next interval"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(number: u16) -> Port {
        Port::new(number).expect("a port")
    }

    fn bytes(totals: &BTreeMap<ClientName, Totals>) -> u64 {
        totals.values().map(|totals| totals.up_bytes).sum()
    }

    #[test]
    fn what_a_removed_mapping_carried_is_counted_once_and_for_ever() {
        let accounts = Accounts::default();
        let ledger = Arc::new(Ledger::default());
        accounts.open(7, port(10022), &ledger);
        let peer = "192.0.2.1:4000".parse().expect("an address");
        let traffic = ledger.enter(peer, "home");
        traffic.up(100);
        let first = accounts.draw_up(60, 60, 0);
        assert_eq!((first.totals.len(), first.moved.len(), first.folded.len()), (1, 1, 0));
        assert_eq!(accounts.draw_up(60, 60, 0).totals, first.totals, "the same until it is settled");
        accounts.settle(&first);
        assert!(accounts.draw_up(120, 60, 0).moved.is_empty(), "nothing moved");
        accounts.retire(7);
        traffic.up(11);
        assert!(accounts.draw_up(120, 60, 0).folded.is_empty(), "a visitor is there");
        drop(traffic);
        let last = accounts.draw_up(180, 60, 0);
        assert_eq!(last.moved.values().map(|moved| moved.up_bytes).collect::<Vec<_>>(), [11]);
        assert_eq!(last.folded, [7]);
        assert!(matches!(last.totals.as_slice(), [(GONE, _, totals)] if totals.up_bytes == 111));
        assert_eq!(bytes(&accounts.by_client()), 111);
        accounts.settle(&last);
        assert_eq!(bytes(&accounts.by_client()), 111, "once");
        assert!(accounts.draw_up(240, 60, 0).totals.is_empty());
    }

    #[test]
    fn a_restart_goes_on_from_what_was_kept() {
        let clients = |up_bytes| BTreeMap::from([("home".into(), Totals { up_bytes, ..Totals::default() })]);
        let accounts = Accounts::new(BTreeMap::from([(GONE, clients(1)), (7, clients(20)), (8, clients(300))]));
        let ledger = accounts.restore(7, port(10022));
        assert_eq!((ledger.totals().up_bytes, bytes(&accounts.by_client())), (20, 321));
        let record = accounts.draw_up(60, 60, 0);
        assert!(record.moved.is_empty(), "nothing moved since");
        assert_eq!(record.folded, [8], "a mapping that the database no longer has");
        accounts.settle(&record);
        assert_eq!(bytes(&accounts.by_client()), 321);
    }
}
