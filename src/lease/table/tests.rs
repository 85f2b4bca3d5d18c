use proptest::prelude::*;

use super::*;

const BOOT: &str = "this boot";

fn standpoint(boot_id: &str, namespace: &str) -> Arc<Standpoint> {
    Arc::new(Standpoint { boot_id: Some(boot_id.into()), namespace: Some(namespace.into()), host: None })
}

fn now(boot_ms: u64, wall_s: u64) -> Now {
    Now { standpoint: standpoint(BOOT, "ours"), boot_ms, wall_s }
}

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

fn lease(wan: Option<u32>, number: u16) -> Granted {
    let holder = Holder { pid: 7, start: Some(70), standpoint: standpoint(BOOT, "ours") };
    let id = format!("{number:08x}");
    Granted {
        id,
        wan,
        port: port(number),
        holder,
        purpose: String::new(),
        ttl_ms: 10_000,
        renewed_boot_ms: 1_000,
        renewed_s: 100,
    }
}

fn picked(
    table: &Table,
    wan: u32,
    count: usize,
    contiguous: bool,
    numbers: impl IntoIterator<Item = (u16, u8)>,
) -> Option<Vec<u16>> {
    let candidates: Vec<(Port, u8)> = numbers.into_iter().map(|(number, rank)| (port(number), rank)).collect();
    let (refused, shared_with) = (BTreeSet::new(), BTreeSet::from([9]));
    let pick = Pick {
        wan: Some(wan),
        count,
        contiguous,
        candidates: &candidates,
        refused: &refused,
        shared_with: &shared_with,
    };
    table.pick(&pick).map(|ports| ports.into_iter().map(Port::get).collect())
}

fn plain(first: u16, last: u16) -> impl Iterator<Item = (u16, u8)> {
    (first..=last).map(|number| (number, 0))
}

#[test]
fn a_holder_is_dead_only_on_proof() {
    let holder = lease(None, 1).holder;
    let at = |sight, boot_id: &str, namespace: &str| holder.life(&standpoint(boot_id, namespace), |_| sight);
    assert_eq!(at(ProcessSight::Started(70), BOOT, "ours"), Life::Alive);
    // The number is another process's now.
    assert_eq!(at(ProcessSight::Started(71), BOOT, "ours"), Life::Dead);
    assert_eq!(at(ProcessSight::Gone, BOOT, "ours"), Life::Dead);
    assert_eq!(at(ProcessSight::Hidden, BOOT, "ours"), Life::Unsure);
    // After a reboot the same number with the same start is another process.
    assert_eq!(at(ProcessSight::Started(70), "next boot", "ours"), Life::Dead);
    // From inside a container nothing is known, whatever has that number there.
    for sight in [ProcessSight::Gone, ProcessSight::Started(70), ProcessSight::Started(71), ProcessSight::Hidden] {
        assert_eq!(at(sight, BOOT, "a container"), Life::Unsure);
        assert_eq!(at(sight, "its own boot id", "a container"), Life::Unsure);
    }
    let unread = Holder { start: None, ..holder.clone() };
    assert_eq!(unread.life(&holder.standpoint, |_| ProcessSight::Started(70)), Life::Unsure);
}

#[test]
fn time_runs_by_the_boot_clock_whatever_the_wall_says() {
    let lease = lease(None, 1);
    for wall_s in [0, 100, 3_700, u64::MAX] {
        assert_eq!(lease.left_ms(&now(1_000, wall_s)), 10_000);
        assert_eq!(lease.left_ms(&now(10_999, wall_s)), 1);
        assert_eq!(lease.left_ms(&now(11_000, wall_s)), 0);
    }
    // Rounded up: a lease does not end before it says so.
    assert_eq!(lease.expires_s(&now(2_500, 1_000)), 1_009);
    assert_eq!(lease.expires_s(&now(2_500, u64::MAX)), u64::MAX);
}

#[test]
fn after_a_reboot_the_wall_is_all_that_is_left() {
    let mut lease = lease(None, 1);
    lease.holder.standpoint = standpoint("last boot", "a container");
    assert_eq!(lease.left_ms(&now(500, 105)), 5_000);
    assert_eq!(lease.left_ms(&now(50_000, 110)), 0);
    assert_eq!(lease.left_ms(&now(500, 50)), 10_000);
}

#[test]
fn what_is_over_goes_unless_its_port_is_in_use_or_its_holder_is_unsure() {
    let table = || {
        let mut table = Table::default();
        table.grant(vec![lease(Some(0), 10)]);
        table
    };
    let reaped = |now: &Now, life, in_use| table().reap(now, |_| life, |_| in_use).len();
    let (early, late) = (now(2_000, 0), now(20_000, 0));
    assert_eq!(reaped(&early, Life::Dead, false), 1);
    assert_eq!(reaped(&early, Life::Dead, true), 0);
    assert_eq!(reaped(&early, Life::Alive, false), 0);
    assert_eq!(reaped(&early, Life::Unsure, false), 0);
    assert_eq!(reaped(&late, Life::Alive, false), 1);
    assert_eq!(reaped(&late, Life::Unsure, false), 1);
    assert_eq!(reaped(&late, Life::Unsure, true), 0);
}

#[test]
fn the_longest_rested_port_comes_first_and_never_used_ones_before_it() {
    let mut table = Table::default();
    table.grant(vec![lease(Some(0), 10), lease(Some(0), 11), lease(Some(0), 12)]);
    for number in [12, 10] {
        table.release(|lease| lease.port.get() == number);
    }
    assert_eq!(picked(&table, 0, 1, false, plain(10, 13)), Some(vec![13]));
    assert_eq!(picked(&table, 0, 2, false, plain(10, 13)), Some(vec![12, 13]));
    assert_eq!(picked(&table, 0, 3, false, plain(10, 13)), Some(vec![10, 12, 13]));
    assert_eq!(picked(&table, 0, 4, false, plain(10, 13)), None);
    // A port that is leased anew has not rested.
    table.grant(vec![lease(Some(0), 12)]);
    assert_eq!(table.rested[&0], [port(10)]);
}

#[test]
fn a_worse_rank_is_given_only_when_nothing_else_is_left() {
    let numbers = [(10, 2), (11, 0), (12, 1)];
    assert_eq!(picked(&Table::default(), 0, 1, false, numbers), Some(vec![11]));
    assert_eq!(picked(&Table::default(), 0, 2, false, numbers), Some(vec![11, 12]));
    assert_eq!(picked(&Table::default(), 0, 3, false, numbers), Some(vec![10, 11, 12]));
}

#[test]
fn ports_in_a_row_are_in_a_row_and_the_best_rested() {
    let mut table = Table::default();
    table.grant(vec![lease(Some(0), 12), lease(Some(0), 10)]);
    assert_eq!(picked(&table, 0, 3, true, plain(10, 14)), None);
    assert_eq!(picked(&table, 0, 2, true, plain(10, 15)), Some(vec![13, 14]));
    table.release(|lease| lease.port.get() == 12);
    assert_eq!(picked(&table, 0, 3, true, plain(10, 15)), Some(vec![13, 14, 15]));
    assert_eq!(picked(&table, 0, 5, true, plain(10, 15)), Some(vec![11, 12, 13, 14, 15]));
    assert_eq!(picked(&table, 0, 2, true, [(10, 0), (13, 0), (15, 0)]), None);
}

#[test]
fn a_lease_counts_on_wans_with_the_same_address_and_everywhere_when_it_is_of_every_address() {
    let mut table = Table::default();
    table.grant(vec![lease(Some(9), 10), lease(Some(5), 11), lease(None, 12)]);
    assert_eq!(picked(&table, 0, 1, false, plain(10, 12)), Some(vec![11]));
    assert_eq!(picked(&table, 0, 2, false, plain(10, 12)), None);
}

proptest! {
    #[test]
    fn whatever_happens_no_port_is_leased_twice_and_none_is_lost(steps in prop::collection::vec((0_u8..4, 1_usize..4, any::<bool>()), 0..60)) {
        let mut table = Table::default();
        for (at, (what, count, contiguous)) in steps.into_iter().enumerate() {
            if what < 3 {
                let leased: Vec<u16> = table.leases.iter().map(|lease| lease.port.get()).collect();
                let free = (10..=20).filter(|number| !leased.contains(number)).count();
                match picked(&table, 0, count, contiguous, plain(10, 20)) {
                    Some(ports) => {
                        prop_assert_eq!(ports.len(), count);
                        prop_assert!(ports.iter().all(|port| !leased.contains(port)));
                        prop_assert!(!contiguous || ports.windows(2).all(|two| two[0] + 1 == two[1]));
                        table.grant(ports.into_iter().map(|number| lease(Some(0), number)).collect());
                    }
                    None => prop_assert!(contiguous || free < count),
                }
            } else if let Some(chosen) = table.leases.get(at % table.leases.len().max(1)).map(|lease| lease.port) {
                table.release(|lease| lease.port == chosen);
                prop_assert_eq!(table.rested[&0].last(), Some(&chosen));
            }
        }
        let mut rested = table.rested.remove(&0).unwrap_or_default();
        let all = rested.len();
        rested.sort_unstable();
        rested.dedup();
        prop_assert_eq!(rested.len(), all);
        prop_assert!(table.leases.iter().all(|lease| !rested.contains(&lease.port)));
    }
}

#[test]
fn of_several_machines_only_this_boot_is_judged() {
    let machine = |boot: Option<&str>| Standpoint {
        boot_id: boot.map(str::to_owned),
        namespace: Some("pid:[1]".to_owned()),
        host: Some("any".to_owned()),
    };
    let life = |theirs: Option<&str>, sight: ProcessSight| {
        let holder = Holder { pid: 7, start: Some(1), standpoint: Arc::new(machine(theirs)) };
        holder.life(&machine(Some("here")), |_| sight)
    };
    assert_eq!(life(Some("here"), ProcessSight::Gone), Life::Dead);
    assert_eq!(life(Some("here"), ProcessSight::Started(1)), Life::Alive);
    for elsewhere in [Some("there"), None] {
        assert_eq!(life(elsewhere, ProcessSight::Gone), Life::Unsure);
    }
}
