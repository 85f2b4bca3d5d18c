//! The documents of `pool`: leases and their holders, usage, and what was given back.

use serde::Serialize;

use crate::lease::{Life, Looked, Usage};
use crate::model::{Port, Unseen, utc};
use crate::plan;
use crate::words::{Lang, Say};

const SCHEMA: &str = "portwright.pool/1";

/// A lease as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LeaseView {
    id: String,
    wan: Option<u32>,
    port: Port,
    holder: HolderView,
    purpose: String,
    expires: String,
    state: &'static str,
    in_use_by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct HolderView {
    pid: u32,
    start: Option<u64>,
    boot_id: Option<String>,
    host: Option<String>,
}

impl LeaseView {
    pub(super) fn of(looked: &Looked) -> Self {
        let Looked { lease, life, is_over, expires_s, used_by } = looked;
        let holder = HolderView {
            pid: lease.holder.pid,
            start: lease.holder.start,
            boot_id: lease.holder.standpoint.boot_id.clone(),
            host: lease.holder.standpoint.host.clone(),
        };
        Self {
            id: lease.id.clone(),
            wan: lease.wan,
            port: lease.port,
            holder,
            purpose: lease.purpose.clone(),
            expires: utc(*expires_s),
            state: match life {
                _ if *is_over => "over-in-use",
                Life::Unsure => "unsure",
                Life::Alive | Life::Dead => "held",
            },
            in_use_by: used_by.as_ref().map(|owner| plan::held_by(owner).say(Lang::En)),
        }
    }
}

/// `alloc`, `renew` and `list`: leases.
#[derive(Serialize)]
pub(super) struct LeasesDocument {
    schema: &'static str,
    leases: Vec<LeaseView>,
}

/// `release` and `gc`: what was given back, and which of the named ports were not leased.
#[derive(Serialize)]
pub(super) struct ReleaseDocument {
    schema: &'static str,
    released: Vec<LeaseView>,
    not_leased: Vec<Port>,
}

/// `usage`.
#[derive(Serialize)]
pub(super) struct UsageDocument {
    schema: &'static str,
    wans: Vec<UsageView>,
    unseen: Vec<UnseenView>,
}

#[derive(Serialize)]
struct UsageView {
    wan: u32,
    name: String,
    address: Option<String>,
    range: String,
    total: usize,
    leased: usize,
    in_use: usize,
    reserved: usize,
    free: usize,
}

#[derive(Serialize)]
struct UnseenView {
    what: &'static str,
    why: String,
}

impl LeasesDocument {
    pub(super) fn new(leases: &[Looked]) -> Self {
        Self { schema: SCHEMA, leases: leases.iter().map(LeaseView::of).collect() }
    }
}

impl ReleaseDocument {
    pub(super) fn new(released: &[Looked], not_leased: Vec<Port>) -> Self {
        let released = released.iter().map(|looked| LeaseView { state: "released", ..LeaseView::of(looked) });
        Self { schema: SCHEMA, released: released.collect(), not_leased }
    }
}

impl UsageDocument {
    pub(super) fn new(usage: &[Usage], unseen: &[Unseen]) -> Self {
        let view = |usage: &Usage| UsageView {
            wan: usage.wan.index,
            name: usage.wan.name.clone(),
            address: usage.wan.address().ok().flatten().map(|address| address.to_string()),
            range: usage.wan.range.to_string(),
            total: usage.total,
            leased: usage.leased,
            in_use: usage.in_use,
            reserved: usage.reserved,
            free: usage.free,
        };
        let unseen = unseen.iter().map(|unseen| UnseenView { what: unseen.what, why: unseen.why.say(Lang::En) });
        Self { schema: SCHEMA, wans: usage.iter().map(view).collect(), unseen: unseen.collect() }
    }
}
