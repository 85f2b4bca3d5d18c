//! The documents of `pool`: leases and their holders, usage, and what was given back.

use serde::Serialize;

use crate::lease::{Life, Looked, Usage};
use crate::model::{Port, Unseen};
use crate::plan;
use crate::words::{Lang, Say};

const SCHEMA: &str = "portwright.pool/1";

/// A day in seconds.
const DAY_S: u64 = 86_400;

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
}

impl LeaseView {
    pub(super) fn of(looked: &Looked) -> Self {
        let Looked { lease, life, is_over, expires_s, used_by } = looked;
        let holder = HolderView {
            pid: lease.holder.pid,
            start: lease.holder.start,
            boot_id: lease.holder.standpoint.boot_id.clone(),
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

/// Writes a moment as `2026-11-27T12:10:36Z`; the calendar is Hinnant's `civil_from_days`.
pub(super) fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / DAY_S, seconds % DAY_S);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_calendar_has_them() {
        // As `date -u -d @N` writes them.
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(utc(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(utc(1_795_781_436), "2026-11-27T12:10:36Z");
        assert_eq!(utc(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
