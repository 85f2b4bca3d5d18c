//! Bytes and visitors of a mapping, each counted once: by the connection that carries it while it lives, and in the
//! ledger once it has ended.
//!
//! The path of the bytes pays one addition for each read; the ledger's lock is taken when a visitor comes or leaves, and
//! by whoever looks.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// The name of a client in ledgers; empty where the server itself dials the target.
pub(crate) type ClientName = Arc<str>;

/// Clients of one mapping that are told apart: whoever holds a token may call itself anything below its name.
const CLIENTS_MAX: usize = 64;

/// What stands for all further clients. No client can be called this.
const OTHERS: &str = "(others)";

/// Bytes and visitors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Bytes from visitors to the target.
    pub(crate) up_bytes: u64,
    /// Bytes from the target to visitors.
    pub(crate) down_bytes: u64,
    /// Visitors.
    pub(crate) connections: u64,
}

impl Totals {
    /// Returns what came on top of `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            up_bytes: self.up_bytes.saturating_sub(earlier.up_bytes),
            down_bytes: self.down_bytes.saturating_sub(earlier.down_bytes),
            connections: self.connections.saturating_sub(earlier.connections),
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        self.up_bytes += more.up_bytes;
        self.down_bytes += more.down_bytes;
        self.connections += more.connections;
    }
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

/// The counters of one connection.
#[derive(Debug, Default)]
struct Meter {
    up_bytes: AtomicU64,
    down_bytes: AtomicU64,
}

impl Meter {
    fn read(&self) -> (u64, u64) {
        (self.up_bytes.load(Relaxed), self.down_bytes.load(Relaxed))
    }
}

/// Where the bytes of one connection are counted. When it is dropped, what was counted goes into the mapping's ledger.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    meter: Arc<Meter>,
    /// The ledger, and the visitor's number there; none for what nobody asks about.
    entered: Option<(Arc<Ledger>, u64)>,
}

impl Traffic {
    /// Counts bytes from the visitor to the target.
    pub(crate) fn up(&self, bytes: usize) {
        self.meter.up_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Counts bytes from the target to the visitor.
    pub(crate) fn down(&self, bytes: usize) {
        self.meter.down_bytes.fetch_add(bytes as u64, Relaxed);
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        if let Some((ledger, ticket)) = self.entered.take() {
            ledger.settle(ticket);
        }
    }
}

/// A visitor that is there.
#[derive(Debug)]
struct Visit {
    meter: Arc<Meter>,
    peer: SocketAddr,
    client: ClientName,
    since: SystemTime,
    /// What the meter said when it was last looked at, and the bytes a second up to then.
    sampled: (u64, u64),
    rates: (u64, u64),
}

/// A visitor as the API shows it.
#[derive(Debug, Clone)]
pub(crate) struct VisitView {
    pub(crate) peer: SocketAddr,
    pub(crate) client: ClientName,
    pub(crate) since: SystemTime,
    pub(crate) up_bytes: u64,
    pub(crate) down_bytes: u64,
    /// Bytes a second in the last second or so: from the visitor, and to it.
    pub(crate) rates: (u64, u64),
}

/// Why a visitor was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The list of the mapping does not let it in.
    AccessList,
    /// As many visitors as one mapping may have are there, or as many streams as one client takes.
    Crowded,
    /// No client is connected that could dial.
    NoClient,
    /// The target is not to be reached, or not to be allowed.
    Unreachable,
    /// What the mapping asks for does not exist in version 1 of the protocol.
    Version1,
}

impl Refused {
    /// Every reason.
    pub(crate) const ALL: [Self; 5] =
        [Self::AccessList, Self::Crowded, Self::NoClient, Self::Unreachable, Self::Version1];

    /// The name in labels of `/metrics`.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::AccessList => "access_list",
            Self::Crowded => "crowded",
            Self::NoClient => "no_client",
            Self::Unreachable => "unreachable",
            Self::Version1 => "version_1",
        }
    }
}

/// The ledger of one mapping.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    book: Mutex<Book>,
    /// Visitors that were not served since the start, in the order of [`Refused::ALL`].
    refused: [AtomicU64; Refused::ALL.len()],
}

#[derive(Debug, Default)]
struct Book {
    /// Connections that have ended.
    settled: BTreeMap<ClientName, Totals>,
    visits: HashMap<u64, Visit>,
    next: u64,
}

impl Ledger {
    /// Opens a ledger that goes on from what was counted before.
    pub(crate) fn with(settled: BTreeMap<ClientName, Totals>) -> Self {
        Self { book: Mutex::new(Book { settled, ..Book::default() }), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a visitor whose target `client` dials, and returns where its bytes are counted.
    pub(crate) fn enter(self: &Arc<Self>, peer: SocketAddr, client: &str) -> Traffic {
        let meter = Arc::<Meter>::default();
        let mut book = self.lock();
        let client = book.name(client);
        let ticket = book.next;
        book.next += 1;
        book.settled.entry(Arc::clone(&client)).or_default().connections += 1;
        let since = SystemTime::now();
        let visit = Visit { meter: Arc::clone(&meter), peer, client, since, sampled: (0, 0), rates: (0, 0) };
        book.visits.insert(ticket, visit);
        Traffic { meter, entered: Some((Arc::clone(self), ticket)) }
    }

    fn settle(&self, ticket: u64) {
        let mut book = self.lock();
        if let Some(visit) = book.visits.remove(&ticket) {
            let (up_bytes, down_bytes) = visit.meter.read();
            *book.settled.entry(visit.client).or_default() += Totals { up_bytes, down_bytes, connections: 0 };
        }
    }

    /// Returns what was counted, by the clients that dialled.
    pub(crate) fn by_client(&self) -> BTreeMap<ClientName, Totals> {
        let book = self.lock();
        let mut totals = book.settled.clone();
        for visit in book.visits.values() {
            let (up_bytes, down_bytes) = visit.meter.read();
            *totals.entry(Arc::clone(&visit.client)).or_default() += Totals { up_bytes, down_bytes, connections: 0 };
        }
        totals
    }

    /// Returns what was counted.
    pub(crate) fn totals(&self) -> Totals {
        let book = self.lock();
        let mut sum: Totals = book.settled.values().copied().sum();
        for visit in book.visits.values() {
            let (up_bytes, down_bytes) = visit.meter.read();
            sum += Totals { up_bytes, down_bytes, connections: 0 };
        }
        sum
    }

    /// Counts a visitor that was not served.
    pub(crate) fn refuse(&self, why: Refused) {
        for (_, count) in Refused::ALL.iter().zip(&self.refused).filter(|(reason, _)| **reason == why) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Returns how many visitors were not served, by the reason.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (Refused, u64)> {
        Refused::ALL.into_iter().zip(self.refused.iter().map(|count| count.load(Relaxed)))
    }

    /// Returns how many visitors are there.
    pub(crate) fn live(&self) -> usize {
        self.lock().visits.len()
    }

    /// Returns the visitors that are there, `limit` at most, in the order in which they came.
    pub(crate) fn visits(&self, limit: usize) -> Vec<VisitView> {
        let book = self.lock();
        let mut tickets: Vec<_> = book.visits.iter().collect();
        tickets.sort_unstable_by_key(|(ticket, _)| **ticket);
        let view = |visit: &Visit| {
            let (up_bytes, down_bytes) = visit.meter.read();
            let client = Arc::clone(&visit.client);
            VisitView { peer: visit.peer, client, since: visit.since, up_bytes, down_bytes, rates: visit.rates }
        };
        tickets.into_iter().take(limit).map(|(_, visit)| view(visit)).collect()
    }

    /// Returns the bytes a second of all visitors together: from them, and to them.
    pub(crate) fn rates(&self) -> (u64, u64) {
        let book = self.lock();
        book.visits.values().fold((0, 0), |(up, down), visit| (up + visit.rates.0, down + visit.rates.1))
    }

    /// Looks at the meters, `elapsed` after the last look, so that [`Ledger::visits`] knows how fast they run.
    pub(crate) fn sample(&self, elapsed: Duration) {
        let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = |now: u64, before: u64| (now - before).saturating_mul(1000) / milliseconds;
        for visit in self.lock().visits.values_mut() {
            let (up, down) = visit.meter.read();
            visit.rates = (rate(up, visit.sampled.0), rate(down, visit.sampled.1));
            visit.sampled = (up, down);
        }
    }
}

impl Book {
    /// Finds the shared name of a client, so that ten thousand visitors do not hold ten thousand copies.
    fn name(&self, client: &str) -> ClientName {
        if let Some((known, _)) = self.settled.get_key_value(client) {
            return Arc::clone(known);
        }
        if self.settled.len() < CLIENTS_MAX { client.into() } else { OTHERS.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        "192.0.2.1:4000".parse().expect("an address")
    }

    #[test]
    fn a_byte_counts_once_while_its_connection_lives_and_once_after_it_ended() {
        let before = BTreeMap::from([("home".into(), Totals { up_bytes: 100, down_bytes: 10, connections: 1 })]);
        let ledger = Arc::new(Ledger::with(before));
        let (first, second) = (ledger.enter(peer(), "home"), ledger.enter(peer(), ""));
        first.up(7);
        second.down(5);
        let expected = Totals { up_bytes: 107, down_bytes: 15, connections: 3 };
        assert_eq!((ledger.totals(), ledger.live()), (expected, 2));
        drop(first);
        assert_eq!((ledger.totals(), ledger.live()), (expected, 1));
        drop(second);
        assert_eq!((ledger.totals(), ledger.live()), (expected, 0));
        let by_client = ledger.by_client();
        assert_eq!(by_client.get("home"), Some(&Totals { up_bytes: 107, down_bytes: 10, connections: 2 }));
        assert_eq!(by_client.get(""), Some(&Totals { up_bytes: 0, down_bytes: 5, connections: 1 }));
    }

    #[test]
    fn a_visitor_shows_how_fast_it_is() {
        let ledger = Arc::new(Ledger::default());
        let traffic = ledger.enter(peer(), "home");
        traffic.up(3000);
        ledger.sample(Duration::from_millis(1500));
        traffic.down(500);
        let visits = ledger.visits(10);
        let [visit] = visits.as_slice() else { panic!("one visitor") };
        assert_eq!((visit.up_bytes, visit.down_bytes, visit.rates), (3000, 500, (2000, 0)));
        ledger.sample(Duration::from_secs(1));
        assert_eq!(ledger.visits(1).first().map(|visit| visit.rates), Some((0, 500)));
        assert!(ledger.visits(0).is_empty());
    }

    #[test]
    fn names_that_clients_invent_do_not_grow_a_ledger_without_end() {
        let ledger = Arc::new(Ledger::default());
        for number in 0..CLIENTS_MAX * 3 {
            ledger.enter(peer(), &format!("home/{number}")).up(1);
        }
        let by_client = ledger.by_client();
        assert_eq!(by_client.len(), CLIENTS_MAX + 1);
        assert_eq!(by_client.get(OTHERS).map(|totals| totals.up_bytes), Some(CLIENTS_MAX as u64 * 2));
    }
}
