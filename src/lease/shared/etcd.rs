//! Leases in etcd: a key for each port that is leased, which goes with etcd's own lease when nobody keeps that alive.
//!
//! Below `/portwright/1/GROUP/` there are `rest/WAN/SINCE/PORT`, the ports that nobody has, in the order in which they are
//! given; `lease/PORT/WAN`, who has a port, and `held/PORT/WAN`, the same without a time, by which a port is found again
//! whose lease ended by itself; and `laid/WAN/PART`, which hundreds of ports are in the store at all. `SINCE` is a
//! revision of the store, 0 for ports that were never used. Every change is one transaction that compares what was read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use serde_json::{Value, json};

use super::line::{Connection, Line};
use super::{Record, Wanted, Which, unusable};
use crate::error::{Error, Result};
use crate::lease::table::{Free, Granted, Now, best_block};
use crate::model::{Port, Secret};
use gateway::{Fault, Gateway, Outcome, Place, at, encoded, keys, number, text};

mod gateway;

/// How many ports are laid out in one transaction: with its mark below the 128 operations that etcd allows by default.
const PART: u16 = 100;

/// The most operations, and the most comparisons, that etcd allows in a transaction by default.
const OPERATIONS: usize = 128;

/// How many ports are given back in one transaction, which has three operations for each.
const PIECE: usize = OPERATIONS / 3;

/// How many ports are read of those that rest, beyond those that are wanted, before all of them are.
const AHEAD: usize = 64;

/// Among how many more ports one chooses by chance each time that somebody else was faster.
const SPREAD: usize = 32;

/// The most attempts at one transaction; each that fails is one at which somebody else got something done.
const ATTEMPTS: usize = 200;

/// The etcd of a fleet.
#[derive(Debug)]
pub(in crate::lease) struct Etcd {
    line: Line<Gateway>,
    prefix: String,
    /// What is laid out: WAN and part.
    laid_out: Mutex<BTreeSet<(u32, u16)>>,
}

/// A lease as its key has it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Kept {
    #[serde(flatten)]
    record: Record,
    /// How many ports etcd's lease has.
    ports: usize,
}

/// A key of a lease, as it was read.
#[derive(Debug, Clone)]
struct Seen {
    wan: u32,
    port: Port,
    kept: Kept,
    changed: i64,
    /// etcd's lease; 0 for none.
    lease: i64,
}

impl Connection for Gateway {
    type Place = Place;
    type Fault = Fault;

    async fn open(place: &Place) -> Outcome<Self> {
        Self::connect(place).await
    }

    fn is_closed(&self) -> bool {
        self.has_ended()
    }

    fn is_lost(fault: &Fault) -> bool {
        matches!(fault, Fault::Lost(_))
    }

    fn said(fault: Fault, address: &str) -> Error {
        let (Fault::Lost(reason) | Fault::Refused(reason)) = fault;
        unusable(address, reason)
    }

    fn address(place: &Place) -> &str {
        &place.address
    }
}

impl Etcd {
    pub(super) fn open(url: &Secret, group: &str, patience: Duration) -> Result<Self> {
        let prefix = format!("/portwright/1/{group}/");
        Ok(Self { line: Line::new(Place::read(url)?, patience)?, prefix, laid_out: Mutex::default() })
    }

    fn rest_key(&self, wan: u32, since: i64, port: Port) -> String {
        format!("{}rest/{wan:010}/{since:020}/{:05}", self.prefix, port.get())
    }

    fn key(&self, kind: &str, wan: u32, port: Port) -> String {
        format!("{}{kind}/{:05}/{wan:010}", self.prefix, port.get())
    }

    /// Enters the ports of a range among those that rest, each once for ever.
    async fn lay_out(&self, gateway: &mut Gateway, wanted: &Wanted<'_>) -> Outcome<()> {
        let laid = || self.laid_out.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = (wanted.range.first().get() / PART, wanted.range.last().get() / PART);
        if (first..=last).all(|part| laid().contains(&(wanted.wan, part))) {
            return Ok(());
        }
        // One question where everything is there, which is every time but the first.
        let mark = |part: u16| format!("{}laid/{:010}/{part:05}", self.prefix, wanted.wan);
        let (key, end) = (encoded(&mark(first)), encoded(&mark(last + 1)));
        let asked = json!({ "key": key, "range_end": end, "count_only": true });
        let count = number(at(&gateway.ask("kv/range", &asked).await?, "/count"));
        if count == i64::from(last - first) + 1 {
            laid().extend((first..=last).map(|part| (wanted.wan, part)));
            return Ok(());
        }
        for part in first..=last {
            if laid().contains(&(wanted.wan, part)) {
                continue;
            }
            let mark = mark(part);
            let ports = (0..PART).filter_map(|at| Port::new(part.checked_mul(PART)?.checked_add(at)?));
            let mut puts: Vec<Value> = ports.map(|port| put(&self.rest_key(wanted.wan, 0, port), "", 0)).collect();
            puts.push(put(&mark, "", 0));
            gateway.ask("kv/txn", &json!({ "compare": [is_absent(&mark)], "success": puts })).await?;
            laid().insert((wanted.wan, part));
        }
        Ok(())
    }

    pub(super) fn take(&self, wanted: &Wanted<'_>, now: &Now) -> Result<Option<Vec<Granted>>> {
        self.line.run(&async |gateway| {
            self.lay_out(gateway, wanted).await?;
            for excluded in wanted.excluded() {
                if let Some(leases) = self.take_some(gateway, wanted, &excluded, now).await? {
                    return Ok(Some(leases));
                }
            }
            Ok(None)
        })
    }

    /// Takes ports that are not excluded; `None` where there are not enough.
    async fn take_some(
        &self,
        gateway: &mut Gateway,
        wanted: &Wanted<'_>,
        excluded: &BTreeSet<Port>,
        now: &Now,
    ) -> Outcome<Option<Vec<Granted>>> {
        let mut granted = None;
        for attempt in 0..ATTEMPTS {
            let window = SPREAD * attempt;
            let Some(chosen) = self.choose(gateway, wanted, excluded, window).await? else { break };
            let lease = match granted {
                Some(lease) => lease,
                None => *granted.insert(grant(gateway, wanted.grantee.ttl).await?),
            };
            let ports: Vec<Port> = chosen.iter().map(|(port, _)| *port).collect();
            let leases = wanted.leases(&ports, now);
            let mut taken = 0;
            let piece = (OPERATIONS / (3 + wanted.shared_with.len())).max(1);
            for (piece, chosen) in leases.chunks(piece).zip(chosen.chunks(piece)) {
                if !self.take_piece(gateway, wanted, piece, chosen, (lease, leases.len())).await? {
                    break;
                }
                taken += piece.len();
            }
            if taken == leases.len() {
                return Ok(Some(leases));
            }
            let back: Vec<Granted> = leases.into_iter().take(taken).collect();
            self.return_keys(gateway, &back, false).await?;
        }
        if let Some(lease) = granted {
            revoke(gateway, lease).await?;
        }
        Ok(None)
    }

    /// Chooses ports, each with its key among those that rest: the longest-rested ones, or by chance some of the first
    /// `window` behind them.
    async fn choose(
        &self,
        gateway: &mut Gateway,
        wanted: &Wanted<'_>,
        excluded: &BTreeSet<Port>,
        window: usize,
    ) -> Outcome<Option<Vec<(Port, String)>>> {
        let prefix = format!("{}rest/{:010}/", self.prefix, wanted.wan);
        let enough = wanted.count + window;
        for limit in [enough + AHEAD, 0] {
            let limit = if wanted.contiguous { 0 } else { limit };
            let asked = below(&prefix, &[("limit", json!(limit)), ("keys_only", json!(true))]);
            let answer = gateway.ask("kv/range", &asked).await?;
            let keys = keys(&answer);
            let fits = |port: &Port| wanted.range.contains(*port) && !excluded.contains(port);
            let found = keys.iter().filter_map(|kv| {
                let key = text(at(kv, "/key"))?;
                let port = key.rsplit('/').next().and_then(|port| Port::new(port.parse().ok()?)).filter(fits)?;
                Some((port, key))
            });
            let mut found: Vec<(Port, String)> = found.collect();
            if wanted.contiguous {
                return Ok(row(found, wanted.count));
            }
            if found.len() < enough && limit != 0 && keys.len() >= limit {
                continue;
            }
            if found.len() < wanted.count {
                return Ok(None);
            }
            let start = rand::rng().random_range(0..=window.min(found.len() - wanted.count));
            found = found.split_off(start);
            found.truncate(wanted.count);
            found.sort_unstable_by_key(|(port, _)| *port);
            return Ok(Some(found));
        }
        Ok(None)
    }

    async fn take_piece(
        &self,
        gateway: &mut Gateway,
        wanted: &Wanted<'_>,
        leases: &[Granted],
        chosen: &[(Port, String)],
        (lease, ports): (i64, usize),
    ) -> Outcome<bool> {
        let (mut compare, mut success) = (Vec::new(), Vec::new());
        for (granted, (port, rest)) in leases.iter().zip(chosen) {
            let (key, held) = (self.key("lease", wanted.wan, *port), self.key("held", wanted.wan, *port));
            let value = json!(Kept { record: Record::of(granted), ports }).to_string();
            compare.extend([is_absent(&key), is_absent(&held), is_there(rest)]);
            success.extend([delete(rest), put(&key, &value, lease), put(&held, &value, 0)]);
        }
        let others = wanted.shared_with.iter().flat_map(|wan| chosen.iter().map(|(port, _)| (*wan, *port)));
        let others: Vec<Value> = others.map(|(wan, port)| is_absent(&self.key("lease", wan, port))).collect();
        compare.extend(others);
        Ok(is_done(&gateway.ask("kv/txn", &json!({ "compare": compare, "success": success })).await?))
    }

    /// Reads the keys of leases and of what stays of them; the last value is the store's revision.
    async fn read(&self, gateway: &mut Gateway, leases: &[Granted]) -> Outcome<(Vec<Seen>, Vec<Seen>, i64)> {
        let gets = |kind: &str| {
            let of = |lease: &Granted| range(&self.key(kind, lease.wan.unwrap_or_default(), lease.port));
            leases.iter().map(of).collect::<Vec<_>>()
        };
        let asked = [gets("lease"), gets("held")].concat();
        let answer = gateway.ask("kv/txn", &json!({ "success": asked })).await?;
        let responses = at(&answer, "/responses").as_array().map(Vec::as_slice).unwrap_or_default();
        let kvs = responses.iter().flat_map(|response| keys(at(response, "/response_range")));
        let (mut there, mut held) = (Vec::new(), Vec::new());
        for kv in kvs {
            let Some((kind, seen)) = self.seen(kv) else { continue };
            if kind == "lease" { there.push(seen) } else { held.push(seen) }
        }
        Ok((there, held, number(at(&answer, "/header/revision"))))
    }

    /// Reads `KIND/PORT/WAN` and its value.
    fn seen(&self, kv: &Value) -> Option<(String, Seen)> {
        let key = text(at(kv, "/key"))?;
        let mut parts = key.strip_prefix(&self.prefix)?.split('/');
        let kind = parts.next()?.to_owned();
        let port = Port::new(parts.next()?.parse().ok()?)?;
        let wan = parts.next()?.parse().ok()?;
        let kept = serde_json::from_str(&text(at(kv, "/value"))?).ok()?;
        Some((
            kind,
            Seen { wan, port, kept, changed: number(at(kv, "/mod_revision")), lease: number(at(kv, "/lease")) },
        ))
    }

    /// Returns what lies below `KIND/`, or below `KIND/PORT/`.
    async fn all(&self, gateway: &mut Gateway, kind: &str, port: Option<Port>) -> Outcome<Vec<Seen>> {
        let port = port.map_or_else(String::new, |port| format!("{:05}/", port.get()));
        let answer = gateway.ask("kv/range", &below(&format!("{}{kind}/{port}", self.prefix), &[])).await?;
        Ok(keys(&answer).iter().filter_map(|kv| self.seen(kv)).map(|(_, seen)| seen).collect())
    }

    pub(super) fn leases(&self, which: Which<'_>, now: &Now) -> Result<Vec<Granted>> {
        self.line.run(&async |gateway| {
            let mut found = Vec::new();
            match which {
                Which::Ports(ports) => {
                    for port in ports {
                        found.extend(self.all(gateway, "lease", Some(*port)).await?);
                    }
                }
                Which::All | Which::Id(_) => found = self.all(gateway, "lease", None).await?,
            }
            if let Which::Id(id) = which {
                found.retain(|seen| seen.kept.record.id == id);
            }
            let mut left: BTreeMap<i64, u64> = BTreeMap::new();
            let mut leases = Vec::new();
            for seen in found {
                let seconds = if let Some(seconds) = left.get(&seen.lease) {
                    *seconds
                } else {
                    let asked = json!({ "ID": seen.lease.to_string() });
                    let answer = gateway.ask("lease/timetolive", &asked).await?;
                    let seconds = u64::try_from(number(at(&answer, "/TTL"))).unwrap_or(0);
                    *left.entry(seen.lease).or_insert(seconds)
                };
                let left_ms = seconds.saturating_mul(1_000).min(seen.kept.record.ttl_ms);
                leases.push(seen.kept.record.lease(seen.wan, seen.port, left_ms, now));
            }
            leases.sort_by_key(|lease| (lease.wan, lease.port));
            Ok(leases)
        })
    }

    pub(super) fn expire(&self, now: &Now) -> Result<Vec<Granted>> {
        self.line.run(&async |gateway| {
            let count = |kind: &str| {
                let asked = below(&format!("{}{kind}/", self.prefix), &[("count_only", json!(true))]);
                json!({ "request_range": asked })
            };
            let asked = json!({ "success": [count("lease"), count("held")] });
            let answer = gateway.ask("kv/txn", &asked).await?;
            let count = |place: usize| number(at(&answer, &format!("/responses/{place}/response_range/count")));
            if count(0) == count(1) {
                return Ok(Vec::new());
            }
            let held = self.all(gateway, "held", None).await?;
            let there = self.all(gateway, "lease", None).await?;
            let there: BTreeSet<(u32, Port)> = there.iter().map(|seen| (seen.wan, seen.port)).collect();
            let over: Vec<Seen> = held.into_iter().filter(|seen| !there.contains(&(seen.wan, seen.port))).collect();
            let since = number(at(&answer, "/header/revision"));
            let mut expired = Vec::new();
            for seen in over {
                let (key, held) = (self.key("lease", seen.wan, seen.port), self.key("held", seen.wan, seen.port));
                let compare = [is_absent(&key), is_unchanged(&held, seen.changed)];
                let success = [delete(&held), put(&self.rest_key(seen.wan, since, seen.port), "", 0)];
                let asked = json!({ "compare": compare, "success": success });
                if is_done(&gateway.ask("kv/txn", &asked).await?) {
                    expired.push(seen.kept.record.lease(seen.wan, seen.port, 0, now));
                }
            }
            Ok(expired)
        })
    }

    pub(super) fn give_back(&self, leases: &[Granted], _: &Now) -> Result<Vec<Granted>> {
        self.line.run(&async |gateway| {
            let mut released = Vec::new();
            for piece in leases.chunks(PIECE) {
                released.extend(self.return_keys(gateway, piece, true).await?);
            }
            Ok(released)
        })
    }

    /// Gives back what is still there of a piece of leases, and with it etcd's own where nothing of it is left.
    async fn return_keys(&self, gateway: &mut Gateway, leases: &[Granted], revokes: bool) -> Outcome<Vec<Granted>> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        for _ in 0..ATTEMPTS {
            let (there, held, since) = self.read(gateway, leases).await?;
            let pair = |lease: &&Granted| {
                let of = |seen: &&Seen| {
                    Some(seen.wan) == lease.wan && seen.port == lease.port && seen.kept.record.id == lease.id
                };
                Some((there.iter().find(of)?, held.iter().find(of)?))
            };
            let ours: Vec<Granted> = leases.iter().filter(|lease| pair(lease).is_some()).cloned().collect();
            let (mut compare, mut success) = (Vec::new(), Vec::new());
            let mut owned: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
            for (seen, held) in leases.iter().filter_map(|lease| pair(&lease)) {
                let (key, stays) = (self.key("lease", seen.wan, seen.port), self.key("held", seen.wan, seen.port));
                compare.extend([is_unchanged(&key, seen.changed), is_unchanged(&stays, held.changed)]);
                success.extend([delete(&key), delete(&stays), put(&self.rest_key(seen.wan, since, seen.port), "", 0)]);
                owned.entry(seen.lease).or_insert((0, seen.kept.ports)).0 += 1;
            }
            if ours.is_empty() {
                return Ok(ours);
            }
            if is_done(&gateway.ask("kv/txn", &json!({ "compare": compare, "success": success })).await?) {
                for (lease, (given, ports)) in owned.into_iter().filter(|_| revokes) {
                    if given == ports {
                        revoke(gateway, lease).await?;
                    }
                }
                return Ok(ours);
            }
        }
        Err(Fault::Refused("the keys change all the time".to_owned()))
    }

    pub(super) fn renew(&self, leases: &[Granted], now: &Now) -> Result<Vec<Granted>> {
        self.line.run(&async |gateway| {
            let (mut there, mut held) = (Vec::new(), Vec::new());
            for piece in leases.chunks(PIECE) {
                let (some, others, _) = self.read(gateway, piece).await?;
                there.extend(some);
                held.extend(others);
            }
            if !is_kept_alive(gateway, leases, &there).await? {
                return self.enter(gateway, leases, (&there, &held), now).await;
            }
            Ok(leases.iter().map(|lease| anew(lease, now)).collect())
        })
    }

    /// Gives leases a new one of etcd's, also those that ended meanwhile and whose ports nobody has.
    async fn enter(
        &self,
        gateway: &mut Gateway,
        leases: &[Granted],
        (there, held): (&[Seen], &[Seen]),
        now: &Now,
    ) -> Outcome<Vec<Granted>> {
        // etcd's, by how long they last, and how many ports of ours each has.
        let mut fresh: BTreeMap<u64, (i64, usize)> = BTreeMap::new();
        let mut renewed = Vec::new();
        for lease in leases {
            let wan = lease.wan.unwrap_or_default();
            let (key, stays) = (self.key("lease", wan, lease.port), self.key("held", wan, lease.port));
            let id = |seen: &Seen| seen.kept.record.id == lease.id;
            let (compare, mut success) = match (find(there, lease), find(held, lease)) {
                (Some(seen), _) if id(seen) => (vec![is_unchanged(&key, seen.changed)], Vec::new()),
                (None, Some(seen)) if id(seen) => {
                    (vec![is_absent(&key), is_unchanged(&stays, seen.changed)], Vec::new())
                }
                (None, None) => {
                    let Some(rest) = self.rest_of(gateway, wan, lease.port).await? else { continue };
                    (vec![is_absent(&key), is_absent(&stays), is_there(&rest)], vec![delete(&rest)])
                }
                _ => continue,
            };
            let granted = match fresh.get(&lease.ttl_ms) {
                Some((granted, _)) => *granted,
                None => grant(gateway, Duration::from_millis(lease.ttl_ms)).await?,
            };
            let ports = leases.iter().filter(|other| other.ttl_ms == lease.ttl_ms).count();
            let entry = fresh.entry(lease.ttl_ms).or_insert((granted, 0));
            let value = json!(Kept { record: Record::of(lease), ports }).to_string();
            success.extend([put(&key, &value, granted), put(&stays, &value, 0)]);
            if is_done(&gateway.ask("kv/txn", &json!({ "compare": compare, "success": success })).await?) {
                renewed.push(anew(lease, now));
                entry.1 += 1;
            }
        }
        for (granted, _) in fresh.into_values().filter(|(_, ports)| *ports == 0) {
            revoke(gateway, granted).await?;
        }
        Ok(renewed)
    }

    /// Finds the key of a port among those that rest.
    async fn rest_of(&self, gateway: &mut Gateway, wan: u32, port: Port) -> Outcome<Option<String>> {
        let asked = below(&format!("{}rest/{wan:010}/", self.prefix), &[("keys_only", json!(true))]);
        let answer = gateway.ask("kv/range", &asked).await?;
        let end = format!("/{:05}", port.get());
        Ok(keys(&answer).iter().filter_map(|kv| text(at(kv, "/key"))).find(|key| key.ends_with(&end)))
    }
}

/// Finds the key of a lease's port.
fn find<'a>(seen: &'a [Seen], lease: &Granted) -> Option<&'a Seen> {
    seen.iter().find(|seen| Some(seen.wan) == lease.wan && seen.port == lease.port)
}

/// Keeps etcd's lease alive where that is all there is to do: it has these very leases and no others, as they are.
async fn is_kept_alive(gateway: &mut Gateway, leases: &[Granted], there: &[Seen]) -> Outcome<bool> {
    let Some(first) = there.first().map(|seen| seen.lease) else { return Ok(false) };
    let is_same = |lease: &Granted| {
        find(there, lease).is_some_and(|seen| {
            seen.lease == first
                && seen.kept.ports == leases.len()
                && json!(seen.kept.record) == json!(Record::of(lease))
        })
    };
    if !leases.iter().all(is_same) {
        return Ok(false);
    }
    let answer = gateway.ask("lease/keepalive", &json!({ "ID": first.to_string() })).await?;
    Ok(number(at(&answer, "/result/TTL")) > 0)
}

/// The lease as it stands after a renewal.
fn anew(lease: &Granted, now: &Now) -> Granted {
    Granted { renewed_boot_ms: now.boot_ms, renewed_s: now.wall_s, ..lease.clone() }
}

/// Finds `count` ports in a row among those that rest, which come in the order of their rest.
fn row(found: Vec<(Port, String)>, count: usize) -> Option<Vec<(Port, String)>> {
    let mut free: Vec<Free> = Vec::new();
    let mut keys = BTreeMap::new();
    for ((port, key), place) in found.into_iter().zip(1..) {
        // Never used ones are all the same.
        let rest = if key.contains("/00000000000000000000/") { 0 } else { place };
        free.push((0, rest, port));
        keys.insert(port, key);
    }
    free.sort_unstable_by_key(|(.., port)| *port);
    let ports = best_block(&free, count)?;
    ports.into_iter().map(|port| Some((port, keys.remove(&port)?))).collect()
}

/// Asks etcd for a lease; it counts whole seconds.
async fn grant(gateway: &mut Gateway, ttl: Duration) -> Outcome<i64> {
    let seconds = ttl.as_millis().div_ceil(1_000);
    let answer = gateway.ask("lease/grant", &json!({ "TTL": seconds.to_string() })).await?;
    match number(at(&answer, "/ID")) {
        0 => Err(Fault::Refused(at(&answer, "/error").as_str().unwrap_or("no lease").to_owned())),
        lease => Ok(lease),
    }
}

/// Ends a lease of etcd's; one that has ended is none.
async fn revoke(gateway: &mut Gateway, lease: i64) -> Outcome<()> {
    match gateway.ask("lease/revoke", &json!({ "ID": lease.to_string() })).await {
        Err(Fault::Lost(reason)) => Err(Fault::Lost(reason)),
        _ => Ok(()),
    }
}

fn is_done(answer: &Value) -> bool {
    at(answer, "/succeeded").as_bool().unwrap_or(false)
}

fn range(key: &str) -> Value {
    json!({ "request_range": { "key": encoded(key) } })
}

/// Everything whose key begins so; every prefix of ours ends with `/`, behind which `0` comes.
fn below(prefix: &str, how: &[(&str, Value)]) -> Value {
    let end = format!("{}0", prefix.trim_end_matches('/'));
    let asked = [("key", json!(encoded(prefix))), ("range_end", json!(encoded(&end)))];
    asked.iter().chain(how).map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn put(key: &str, value: &str, lease: i64) -> Value {
    json!({ "request_put": { "key": encoded(key), "value": encoded(value), "lease": lease.to_string() } })
}

fn delete(key: &str) -> Value {
    json!({ "request_delete_range": { "key": encoded(key) } })
}

fn is_absent(key: &str) -> Value {
    json!({ "key": encoded(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0" })
}

fn is_there(key: &str) -> Value {
    json!({ "key": encoded(key), "target": "CREATE", "result": "GREATER", "create_revision": "0" })
}

fn is_unchanged(key: &str, changed: i64) -> Value {
    json!({ "key": encoded(key), "target": "MOD", "result": "EQUAL", "mod_revision": changed.to_string() })
}
