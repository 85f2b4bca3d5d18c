//! Checks of what Portwright itself keeps, and of what runs that ended badly have left.

use super::{said, seen, troubled};
use crate::model::{Finding, Fix, Leftovers, Observation, PoolSight, Port, WanSight};
use crate::words::doctor::DoctorWords as W;

/// A WAN with less than one port in this many left is nearly used up.
const WAN_SHARE: usize = 20;

fn with_leftovers(facts: &Observation, judge: impl FnOnce(&Leftovers) -> Finding) -> Finding {
    seen(&facts.leftovers, W::NotSeen, judge)
}

/// No change of files was interrupted.
pub(super) fn interrupted(facts: &Observation) -> Finding {
    with_leftovers(facts, |left| match &left.interrupted {
        None => Finding::pass(W::NothingInterrupted),
        Some(_) if left.in_progress => Finding::pass(W::InProgress),
        Some(verb) => {
            let evidence = W::Interrupted { verb: verb.clone() }.into();
            Finding::fail(vec![evidence], W::InterruptedRemedy).fixable(Fix::Recover)
        }
    })
}

/// No new contents lie about that nobody will put in their place.
pub(super) fn staged(facts: &Observation) -> Finding {
    with_leftovers(facts, |left| {
        if left.staged.is_empty() {
            return Finding::pass(W::NothingStaged);
        }
        let lines = left.staged.iter().map(|path| W::Staged { path: path.clone() }.into());
        Finding::warn(lines.collect(), W::StagedRemedy).fixable(Fix::RemoveStaged(left.staged.clone()))
    })
}

/// The records can be read.
pub(super) fn records(facts: &Observation) -> Finding {
    with_leftovers(facts, |left| match left.damaged.first() {
        None => Finding::pass(W::RecordsFine),
        Some(first) => {
            let remedy = first.remedy.as_ref().map_or_else(|| W::RecordsRemedy.into(), said);
            Finding::fail(left.damaged.iter().map(|trouble| said(&trouble.what)).collect(), remedy)
        }
    })
}

/// A native service that was started and not stopped runs.
pub(super) fn dead_service(facts: &Observation) -> Finding {
    with_leftovers(facts, |left| match left.dead_service {
        None => Finding::pass(W::NoDeadService),
        Some(pid) => Finding::warn(vec![W::DeadService { pid }.into()], W::DeadServiceRemedy),
    })
}

fn with_pool(facts: &Observation, judge: impl FnOnce(&PoolSight) -> Finding) -> Finding {
    seen(&facts.pool, W::NoPool, judge)
}

/// The pool can be read.
pub(super) fn pool(facts: &Observation) -> Finding {
    with_pool(facts, |pool| match &pool.trouble {
        Some(trouble) => troubled(trouble, W::PoolRemedy),
        None if pool.is_damaged => {
            Finding::fail(vec![W::PoolDamaged { path: pool.path.clone() }.into()], W::PoolRemedy)
                .fixable(Fix::MendPool(pool.path.clone()))
        }
        None => Finding::pass(W::PoolHas { path: pool.path.clone(), leases: pool.leases }),
    })
}

/// The file that names the WANs can be read.
pub(super) fn pool_config(facts: &Observation) -> Finding {
    with_pool(facts, |pool| match &pool.config_trouble {
        None => Finding::pass(W::PoolConfigFine),
        Some(trouble) => troubled(trouble, W::PoolConfigRemedy),
    })
}

/// No port is used after its lease.
pub(super) fn leases(facts: &Observation) -> Finding {
    with_pool(facts, |pool| match pool.over_in_use.first() {
        None => Finding::pass(W::LeasesFine),
        Some(first) => {
            let line = |port: &Port| W::LeaseOver { port: *port }.into();
            Finding::warn(pool.over_in_use.iter().map(line).collect(), W::LeaseRemedy { port: *first })
        }
    })
}

/// Each WAN has ports left.
pub(super) fn pool_room(facts: &Observation) -> Finding {
    with_pool(facts, |pool| {
        let line = |wan: &WanSight| W::WanRoom { index: wan.index, free: wan.free, total: wan.total }.into();
        let short = |wan: &&WanSight| wan.free < wan.total.div_ceil(WAN_SHARE);
        let short: Vec<&WanSight> = pool.wans.iter().filter(short).collect();
        match short.iter().map(|wan| wan.free).min() {
            None => match pool.wans.iter().min_by_key(|wan| wan.free) {
                Some(wan) => Finding { evidence: vec![line(wan)], ..Finding::pass(W::LeasesFine) },
                None => Finding::skipped(W::NotSeen),
            },
            Some(0) => Finding::fail(short.into_iter().map(line).collect(), W::PoolRoomRemedy),
            Some(_) => Finding::warn(short.into_iter().map(line).collect(), W::PoolRoomRemedy),
        }
    })
}
