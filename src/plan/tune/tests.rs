use super::*;

/// A host as Linux makes it, with these values in the place of its defaults.
fn linux(changed: &[(&'static str, &str)]) -> Situation {
    let plain = [
        ("net.ipv4.ip_local_port_range", "32768\t60999"),
        ("net.ipv4.ip_local_reserved_ports", ""),
        ("net.core.somaxconn", "4096"),
        ("net.ipv4.tcp_max_syn_backlog", "2048"),
        ("net.ipv4.tcp_syncookies", "1"),
        ("net.core.netdev_max_backlog", "1000"),
        ("net.netfilter.nf_conntrack_max", "262144"),
        ("net.ipv4.tcp_tw_reuse", "2"),
        ("net.ipv4.tcp_fin_timeout", "60"),
        ("net.ipv4.tcp_rmem", "4096\t131072\t6291456"),
        ("net.ipv4.tcp_congestion_control", "cubic"),
        ("net.ipv4.tcp_slow_start_after_idle", "1"),
        ("net.ipv4.tcp_keepalive_time", "7200"),
    ];
    seen(&[&plain[..], changed].concat())
}

fn seen(values: &[(&'static str, &str)]) -> Situation {
    let one = |(key, value): &(&'static str, &str)| (*key, Observed::Value((*value).to_owned()));
    Situation { observed: values.iter().map(one).collect(), ..Situation::default() }
}

fn wishes(os: Os, profile: Profile, seen: &Situation) -> Vec<(&'static str, String)> {
    let all = judge(os, profile, seen, &BTreeMap::new());
    all.into_iter().filter_map(|one| Some((one.key, one.wanted?))).collect()
}

fn named(wishes: &[(&'static str, String)]) -> Vec<(&'static str, &'static str)> {
    wishes.iter().map(|(key, value)| (*key, &*value.clone().leak())).collect()
}

fn range(text: &str) -> PortRange {
    text.parse().expect("a range")
}

#[test]
fn a_host_that_lacks_nothing_is_left_alone() {
    assert_eq!(wishes(Os::Linux, Profile::Default, &linux(&[])), []);
    let mut busy = linux(&[]);
    busy.signs = TuneSigns { ephemeral_in_use: Some(19_000), tracked: Some(180_000), ..TuneSigns::default() };
    assert_eq!(wishes(Os::Linux, Profile::Default, &busy), []);
}

#[test]
fn each_shortage_asks_for_its_own_setting() {
    let mut short = linux(&[("net.core.somaxconn", "128"), ("net.ipv4.tcp_syncookies", "0")]);
    short.signs = TuneSigns {
        ephemeral_in_use: Some(20_000),
        tracked: Some(200_000),
        half_open_full: Some(3),
        backlog_drops: Some(1),
        ..TuneSigns::default()
    };
    let expected = [
        ("net.ipv4.ip_local_port_range", "23000 60999"),
        ("net.core.somaxconn", "4096"),
        ("net.ipv4.tcp_max_syn_backlog", "4096"),
        ("net.ipv4.tcp_syncookies", "1"),
        ("net.core.netdev_max_backlog", "5000"),
        ("net.netfilter.nf_conntrack_max", "524288"),
    ];
    assert_eq!(named(&wishes(Os::Linux, Profile::Default, &short)), expected);
}

#[test]
fn ports_of_services_are_reserved_where_the_range_reaches_them_and_merged() {
    let mut host = linux(&[("net.ipv4.ip_local_reserved_ports", "8080,40001")]);
    host.ports = ["8000", "24000", "40000", "40001"].map(range).to_vec();
    let reserved = "net.ipv4.ip_local_reserved_ports";
    assert_eq!(named(&wishes(Os::Linux, Profile::Default, &host)), [(reserved, "8080,40000-40001")]);
    // A wider range reaches more of them.
    host.signs.ephemeral_in_use = Some(28_000);
    let wider = named(&wishes(Os::Linux, Profile::Default, &host));
    assert_eq!(wider, [("net.ipv4.ip_local_port_range", "23000 60999"), (reserved, "8080,24000,40000-40001")]);
}

#[test]
fn a_range_that_is_wider_than_ours_stays_as_it_is() {
    let mut host = linux(&[("net.ipv4.ip_local_port_range", "1024 65000")]);
    host.signs.ephemeral_in_use = Some(60_000);
    assert_eq!(wishes(Os::Linux, Profile::Default, &host), []);
    let load = named(&wishes(Os::Linux, Profile::LoadTest, &host));
    assert!(load.contains(&("net.ipv4.ip_local_port_range", "1024 65535")), "{load:?}");
}

#[test]
fn each_profile_asks_for_what_it_is_for() {
    let mut host = linux(&[]);
    host.signs.congestion_controls = vec!["reno".into(), "bbr".into(), "cubic".into()];
    let wan = [
        ("net.ipv4.tcp_rmem", "4096 131072 16777216"),
        ("net.ipv4.tcp_congestion_control", "bbr"),
        ("net.ipv4.tcp_slow_start_after_idle", "0"),
        ("net.ipv4.tcp_keepalive_time", "600"),
    ];
    assert_eq!(named(&wishes(Os::Linux, Profile::Wan, &host)), wan);
    // A control that the kernel does not offer is not asked for.
    host.signs.congestion_controls.clear();
    assert!(!named(&wishes(Os::Linux, Profile::Wan, &host)).contains(&wan[1]));
    let load = [
        ("net.ipv4.ip_local_port_range", "23000 65535"),
        ("net.ipv4.tcp_max_syn_backlog", "8192"),
        ("net.ipv4.tcp_tw_reuse", "1"),
    ];
    assert_eq!(named(&wishes(Os::Linux, Profile::LoadTest, &host)), load);
    assert_eq!(named(&wishes(Os::Linux, Profile::Legacy, &host)), [("net.ipv4.tcp_fin_timeout", "30")]);
}

#[test]
fn the_value_that_we_set_is_called_applied_until_somebody_changes_it() {
    let state = |value: &str| {
        let applied = BTreeMap::from([("net.core.somaxconn".to_owned(), "5000".to_owned())]);
        let all = judge(Os::Linux, Profile::Default, &linux(&[("net.core.somaxconn", value)]), &applied);
        all.into_iter().find(|one| one.key == "net.core.somaxconn").map(|one| one.state)
    };
    assert_eq!(state("5000"), Some(TuneState::Applied));
    assert_eq!(state("6000"), Some(TuneState::Ok));
    assert_eq!(state("128"), Some(TuneState::Change));
}

#[test]
fn what_is_not_there_and_what_is_hidden_are_two_answers() {
    let mut host = Situation::default();
    host.observed.insert("net.core.somaxconn", Observed::Unknown("denied".into()));
    let all = judge(Os::Linux, Profile::Default, &host, &BTreeMap::new());
    let state = |key: &str| all.iter().find(|one| one.key == key).map(|one| one.state);
    assert_eq!(state("net.core.somaxconn"), Some(TuneState::Unknown));
    assert_eq!(state("net.ipv4.tcp_rmem"), Some(TuneState::Unsupported));
}

#[test]
fn the_registry_values_of_windows_are_written_for_the_legacy_profile_alone() {
    let mut host = seen(&[("dynamicport.ipv4.tcp", "49152-65535"), ("autotuninglevel", "Normal")]);
    for key in ["TcpTimedWaitDelay", "MaxUserPort", "TcpFinWait2Delay"] {
        host.observed.insert(key, Observed::Absent);
    }
    assert_eq!(wishes(Os::Windows, Profile::Default, &host), []);
    let legacy = [("TcpTimedWaitDelay", "30"), ("MaxUserPort", "65534"), ("TcpFinWait2Delay", "30")];
    assert_eq!(named(&wishes(Os::Windows, Profile::Legacy, &host)), legacy);
    let all = judge(Os::Windows, Profile::Legacy, &host, &BTreeMap::new());
    assert!(all.iter().all(|one| one.needs_restart == (one.wanted.is_some())));
}

#[test]
fn a_dynamic_range_that_lets_winnat_into_the_ports_of_services_goes_back() {
    let mut host = seen(&[("dynamicport.ipv4.tcp", "1025-65535"), ("excludedportrange.ipv4.tcp", "")]);
    assert_eq!(wishes(Os::Windows, Profile::Default, &host), []);
    host.signs.excluded = vec![range("4294-4393")];
    host.ports = vec![range("8000"), range("50000")];
    let expected = [("dynamicport.ipv4.tcp", "49152-65535"), ("excludedportrange.ipv4.tcp", "50000")];
    assert_eq!(named(&wishes(Os::Windows, Profile::Default, &host)), expected);
}

#[test]
fn auto_tuning_that_was_turned_off_is_turned_on_again() {
    let host = seen(&[("autotuninglevel", "Disabled")]);
    assert_eq!(named(&wishes(Os::Windows, Profile::Default, &host)), [("autotuninglevel", "normal")]);
}

#[test]
fn macos_changes_both_ends_of_its_port_range_alike() {
    let host = seen(&[
        ("net.inet.ip.portrange.first", "49152"),
        ("net.inet.ip.portrange.hifirst", "49152"),
        ("kern.ipc.somaxconn", "128"),
        ("net.inet.tcp.msl", "15000"),
    ]);
    assert_eq!(named(&wishes(Os::MacOs, Profile::Default, &host)), [("kern.ipc.somaxconn", "1024")]);
    let load = [
        ("net.inet.ip.portrange.first", "32768"),
        ("net.inet.ip.portrange.hifirst", "32768"),
        ("kern.ipc.somaxconn", "1024"),
    ];
    assert_eq!(named(&wishes(Os::MacOs, Profile::LoadTest, &host)), load);
}

#[test]
fn the_file_says_who_wrote_it_and_where_the_old_values_are() {
    let values = BTreeMap::from([("net.core.somaxconn".to_owned(), "4096".to_owned())]);
    let text = sysctl_file(&values, "/root/backup.json");
    assert!(text.starts_with("# Written by `portwright tune apply`") && text.contains("/root/backup.json\n"), "{text}");
    assert!(text.ends_with("\nnet.core.somaxconn = 4096\n"), "{text}");
}
