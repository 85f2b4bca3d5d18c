//! How many strangers may stand at the door, and one line a second about those that were sent away.
//!
//! A connection that has not said anything costs a socket and is the first to go when room is needed; one that has
//! spoken waits for one of a few places where work is done. Both are bounded for each network and in all, so that one
//! network can neither fill the hall nor keep the others waiting.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::tunnel::guard::network_of;

/// Connections that nobody has proven anything on: in all, and of one network. Enough for a fleet that reconnects at
/// once behind one address.
const HALL: Bounds = Bounds { all: 1024, network: 512 };

/// Handshakes that are worked on at a time, at up to 64 KiB each: 16 MiB in all.
const WORK: Bounds = Bounds { all: 256, network: 16 };

/// Connections that may stay silent for longer, where clients of version 1 are let in: these say nothing for 15 s.
const QUIET: Bounds = Bounds { all: 16, network: 2 };

/// The least time between two lines about refusals.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// How many in all, and how many of one network.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    all: usize,
    network: usize,
}

#[derive(Debug)]
struct Guest {
    network: IpAddr,
    silent: bool,
    leave: Arc<Notify>,
}

#[derive(Debug)]
struct Network {
    guests: usize,
    work: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Hall {
    /// By the order of arrival.
    guests: BTreeMap<u64, Guest>,
    networks: HashMap<IpAddr, Network>,
    quiet: HashMap<IpAddr, usize>,
    arrivals: u64,
}

impl Hall {
    fn remove(&mut self, number: u64) {
        let Some(guest) = self.guests.remove(&number) else { return };
        if let Some(network) = self.networks.get_mut(&guest.network) {
            network.guests -= 1;
            if network.guests == 0 {
                self.networks.remove(&guest.network);
            }
        }
    }

    /// Makes room for one of `network`: the silent connection that came first has to leave.
    fn make_room(&mut self, network: IpAddr) -> bool {
        let crowded = self.networks.get(&network).is_some_and(|network| network.guests >= HALL.network);
        if !crowded && self.guests.len() < HALL.all {
            return true;
        }
        let goes = |guest: &Guest| guest.silent && (!crowded || guest.network == network);
        let Some(number) = self.guests.iter().find(|(_, guest)| goes(guest)).map(|(number, _)| *number) else {
            return false;
        };
        if let Some(guest) = self.guests.get(&number) {
            guest.leave.notify_one();
        }
        self.remove(number);
        true
    }
}

/// The hall before the door.
#[derive(Debug)]
pub(crate) struct Admission {
    hall: Mutex<Hall>,
    work: Arc<Semaphore>,
}

impl Admission {
    /// An empty hall.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { hall: Mutex::default(), work: Arc::new(Semaphore::new(WORK.all)) })
    }

    /// Lets a connection in, if need be in the place of one that is still silent. `None`: reset it.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Permit> {
        let network = network_of(peer);
        let mut hall = self.hall();
        if !hall.make_room(network) {
            return None;
        }
        let of = hall.networks.entry(network);
        let of = of.or_insert_with(|| Network { guests: 0, work: Arc::new(Semaphore::new(WORK.network)) });
        of.guests += 1;
        let network_work = Arc::clone(&of.work);
        let number = hall.arrivals;
        hall.arrivals += 1;
        let leave = Arc::new(Notify::new());
        hall.guests.insert(number, Guest { network, silent: true, leave: Arc::clone(&leave) });
        drop(hall);
        Some(Permit { admission: Arc::clone(self), number, network, leave, network_work, working: None })
    }

    /// How many stand in the hall.
    #[cfg(test)]
    pub(super) fn guests(&self) -> usize {
        self.hall().guests.len()
    }

    fn hall(&self) -> std::sync::MutexGuard<'_, Hall> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the hall; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    number: u64,
    network: IpAddr,
    leave: Arc<Notify>,
    network_work: Arc<Semaphore>,
    working: Option<[OwnedSemaphorePermit; 2]>,
}

impl Permit {
    /// Completes when the place is needed for somebody else; never after [`Permit::spoke`].
    pub(super) async fn evicted(&self) {
        self.leave.notified().await;
    }

    /// The peer has said something: it can no longer be sent away for others, and waits for its turn to be worked on.
    pub(super) async fn spoke(&mut self) {
        if let Some(guest) = self.admission.hall().guests.get_mut(&self.number) {
            guest.silent = false;
        }
        // Semaphores that are never closed.
        let Ok(of_network) = Arc::clone(&self.network_work).acquire_owned().await else { return };
        let Ok(of_all) = Arc::clone(&self.admission.work).acquire_owned().await else { return };
        self.working = Some([of_network, of_all]);
    }

    /// Gives the place up for one of the few where a silent peer may wait for longer.
    pub(super) fn wait_quietly(self) -> Option<QuietPermit> {
        let mut hall = self.admission.hall();
        let all: usize = hall.quiet.values().sum();
        let of_network = hall.quiet.get(&self.network).copied().unwrap_or_default();
        if all >= QUIET.all || of_network >= QUIET.network {
            return None;
        }
        hall.quiet.insert(self.network, of_network + 1);
        drop(hall);
        Some(QuietPermit { admission: Arc::clone(&self.admission), network: self.network })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.hall().remove(self.number);
    }
}

/// A place for one that is silent for longer.
#[derive(Debug)]
pub(super) struct QuietPermit {
    admission: Arc<Admission>,
    network: IpAddr,
}

impl Drop for QuietPermit {
    fn drop(&mut self) {
        let mut hall = self.admission.hall();
        if let Some(waiting) = hall.quiet.get_mut(&self.network) {
            *waiting -= 1;
            if *waiting == 0 {
                hall.quiet.remove(&self.network);
            }
        }
    }
}

/// Counts refusals and logs one line a second about them, however many there are.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    since_line: BTreeMap<&'static str, u64>,
    last_peer: Option<IpAddr>,
    last_line: Option<Instant>,
    line_is_due: bool,
}

impl Tally {
    /// Notes a refusal; must be called within a runtime.
    pub(crate) fn note(self: &Arc<Self>, reason: &'static str, peer: IpAddr) {
        let now = Instant::now();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.since_line.entry(reason).or_default() += 1;
        counts.last_peer = Some(peer);
        let next = counts.last_line.map(|last| last + LINE_EVERY).filter(|next| *next > now);
        match next {
            None => counts.write(now),
            Some(_) if counts.line_is_due => {}
            Some(next) => {
                counts.line_is_due = true;
                let tally = Arc::clone(self);
                tokio::spawn(async move {
                    sleep_until(next).await;
                    tally.0.lock().unwrap_or_else(PoisonError::into_inner).write(Instant::now());
                });
            }
        }
    }
}

impl Counts {
    fn write(&mut self, now: Instant) {
        self.last_line = Some(now);
        self.line_is_due = false;
        let counts = std::mem::take(&mut self.since_line);
        let reasons: Vec<String> = counts.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        if let Some(last) = self.last_peer {
            tracing::warn!(reasons = reasons.join(", "), %last, "connections refused before they were known");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0A00_0000 + number).into()
    }

    #[tokio::test]
    async fn the_silent_make_room_for_newcomers_and_those_who_spoke_stay() {
        let admission = Admission::new();
        let mut permits: Vec<Permit> = (0..HALL.network).map(|_| admission.enter(address(1)).expect("room")).collect();
        permits[0].spoke().await;
        let newcomer = admission.enter(address(1)).expect("in the place of the first that is silent");
        permits[1].evicted().await;
        assert_eq!(admission.guests(), HALL.network);
        let others: Vec<Permit> = (0..HALL.all - HALL.network)
            .map(|at| admission.enter(address(10 + u32::try_from(at).unwrap())).unwrap())
            .collect();
        let other = admission.enter(address(2)).expect("in the place of the first that is silent");
        permits[2].evicted().await;
        assert_eq!(admission.guests(), HALL.all);
        drop((permits, newcomer, others, other));
        assert_eq!(admission.guests(), 0);
        assert!(admission.hall().networks.is_empty());
    }

    #[tokio::test]
    async fn one_network_neither_takes_all_places_nor_keeps_others_waiting() {
        let admission = Admission::new();
        let mut busy = Vec::new();
        for _ in 0..WORK.network {
            let mut permit = admission.enter(address(1)).expect("room");
            permit.spoke().await;
            busy.push(permit);
        }
        let mut waiting = admission.enter(address(1)).expect("room");
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, waiting.spoke()).await.is_err(), "waits for its own network");
        let mut other = admission.enter(address(2)).expect("room");
        other.spoke().await;
        busy.pop();
        waiting.spoke().await;
    }

    #[tokio::test]
    async fn few_may_stay_silent_for_longer() {
        let admission = Admission::new();
        let quiet = |number| admission.enter(address(number)).expect("room").wait_quietly();
        let waiting: Vec<_> = (0..20).map(quiet).collect();
        assert_eq!(waiting.iter().filter(|permit| permit.is_some()).count(), QUIET.all);
        drop(waiting);
        let waiting: Vec<_> = (0..5).map(|_| quiet(1)).collect();
        assert_eq!(waiting.iter().filter(|permit| permit.is_some()).count(), QUIET.network);
        assert_eq!(admission.guests(), 0);
    }
}
