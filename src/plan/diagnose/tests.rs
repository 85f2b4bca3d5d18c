//! Each check against facts that were made for it.

use super::*;
use crate::model::{
    ClientSight, ClockSight, ComposeSight, ContainerSight, EngineAnswer, EngineFailure, EngineFault, EngineSight,
    FirewallSight, FolderSight, HealthSight, Leftovers, MachineSight, MappingSight, NetworkSight, PoolSight, Port,
    PortRange, PortSight, ProjectSight, Protocol, RedirectSight, RunSight, ServerSight, ServiceSight, Told, WanSight,
};

fn told(text: &str) -> Told {
    Told { en: text.to_owned(), zh: text.to_owned() }
}

fn trouble(what: &str) -> Trouble {
    Trouble { what: told(what), remedy: Some(told("mend it")) }
}

fn port(number: u16) -> Port {
    Port::new(number).expect("a port")
}

/// A machine on which all is well.
fn healthy() -> Observation {
    let answer = EngineAnswer {
        kind: "docker".to_owned(),
        version: "28.0.1".to_owned(),
        address: "unix:///var/run/docker.sock".to_owned(),
        os: "linux".to_owned(),
        arch: "amd64".to_owned(),
        local: true,
        rootless: false,
        containers: Sight::Known(Vec::new()),
    };
    let published = PortSight {
        name: "web:80".to_owned(),
        port: Some(port(8000)),
        container_port: port(80),
        protocol: Protocol::Tcp,
        host_ip: String::new(),
        state: "free".to_owned(),
        reason: None,
        place: "compose.yaml:4".to_owned(),
        at_risk: None,
    };
    let project = ProjectSight { is_compose: true, ports: Sight::Known(vec![published]), ..ProjectSight::default() };
    let folder = FolderSight {
        purpose: "state".to_owned(),
        path: "/home/a".into(),
        free_bytes: Sight::Known(1 << 40),
        free_files: Sight::Known(1 << 20),
        writable: true,
        ..FolderSight::default()
    };
    let loopback = vec![[127, 0, 0, 1].into()];
    Observation {
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        engine: Sight::Known(EngineSight::Answers(answer)),
        compose: Sight::Known(ComposeSight { command: "docker compose".to_owned(), version: (2, 40), trouble: None }),
        project: Sight::Known(project),
        launched: Sight::Known(vec![RunSight { state: "running".to_owned(), ..RunSight::default() }]),
        server: Sight::Known(serving()),
        client: Sight::Known(ClientSight {
            server: "tunnel.example.org:9000".to_owned(),
            agent: Some("portwright 1.2.3".to_owned()),
            clocks: Some(ClockSight { theirs_s: 1_800_000_009, ours_s: 1_800_000_000 }),
            ..ClientSight::default()
        }),
        version: "1.2.3".to_owned(),
        machine: Sight::Known(roomy()),
        network: Sight::Known(NetworkSight {
            loopback: true,
            ipv6: true,
            localhost: Sight::Known(loopback),
            nameservers: Sight::Known(vec!["127.0.0.53".to_owned()]),
        }),
        redirects: Sight::Known(Vec::new()),
        firewall: Sight::Known(FirewallSight::default()),
        services: Sight::Known(vec![service("docker.service")]),
        has_home: true,
        pool: Sight::Known(PoolSight {
            wans: vec![WanSight { index: 0, total: 1000, free: 990 }],
            ..PoolSight::default()
        }),
        folders: vec![folder],
        leftovers: Sight::Known(Leftovers::default()),
        ..Observation::default()
    }
}

fn serving() -> ServerSight {
    let mapping = MappingSight {
        port: 10_022,
        protocol: "tcp".to_owned(),
        target: "127.0.0.1:22".to_owned(),
        state: "active".to_owned(),
        reached: Some(true),
        ..MappingSight::default()
    };
    ServerSight {
        certificate: Sight::Known((1_700_000_000, 1_900_000_000)),
        api: "127.0.0.1:8080".to_owned(),
        health: Some(HealthSight {
            is_own: true,
            version: "1.2.3".to_owned(),
            clients: 1,
            clocks: Some(ClockSight { theirs_s: 1_800_000_000, ours_s: 1_800_000_001 }),
        }),
        control: Some("127.0.0.1:9000".to_owned()),
        control_answers: true,
        mappings: Sight::Known(vec![mapping]),
        ..ServerSight::default()
    }
}

fn service(name: &str) -> ServiceSight {
    ServiceSight { name: name.to_owned(), active: "active".to_owned(), starts: "enabled".to_owned(), restarts: 0 }
}

fn roomy() -> MachineSight {
    MachineSight {
        clock_s: 1_800_000_000,
        memory_total: Some(8 << 30),
        memory_available: Some(4 << 30),
        files_own: Some(1 << 20),
        files_open: Some(1000),
        files_most: Some(1 << 20),
        tasks: Some(200),
        tasks_most: Some(30_000),
        backlog: Some(4096),
        connections: Some(10),
        connections_most: Some(65_536),
        forwards: Some(true),
        outgoing_ports: Some(28_232),
    }
}

/// What the check says of a healthy machine after `change`.
fn answer(id: &str, change: impl FnOnce(&mut Observation)) -> Finding {
    let mut facts = healthy();
    change(&mut facts);
    find(id).expect("a check").judge(&facts)
}

/// The part of the facts that was seen.
fn part<T>(sight: &mut Sight<T>) -> &mut T {
    match sight {
        Sight::Known(part) => part,
        Sight::Unknown(_) | Sight::Nothing => panic!("it was seen"),
    }
}

fn project(facts: &mut Observation) -> &mut ProjectSight {
    part(&mut facts.project)
}

fn ports(facts: &mut Observation) -> &mut Vec<PortSight> {
    part(&mut project(facts).ports)
}

fn engine(facts: &mut Observation) -> &mut EngineAnswer {
    match part(&mut facts.engine) {
        EngineSight::Answers(answer) => answer,
        EngineSight::Fails(_) => panic!("it answers"),
    }
}

fn fails(facts: &mut Observation, fault: EngineFault) {
    let failure = EngineFailure { fault, why: told("why"), remedy: Some(told("remedy")) };
    facts.engine = Sight::Known(EngineSight::Fails(failure));
}

fn machine(facts: &mut Observation) -> &mut MachineSight {
    part(&mut facts.machine)
}

/// A fault: the check that names it, how it ends, and what is done to a healthy machine.
type Fault = (&'static str, Outcome, fn(&mut Observation));

const FAULTS: [Fault; 61] = [
    ("engine", Outcome::Fail, |facts| fails(facts, EngineFault::Absent)),
    ("engine", Outcome::Fail, |facts| fails(facts, EngineFault::Broken)),
    ("engine-address", Outcome::Fail, |facts| fails(facts, EngineFault::Address)),
    ("engine-version", Outcome::Fail, |facts| fails(facts, EngineFault::Versions)),
    ("engine-containers", Outcome::Fail, |facts| engine(facts).containers = Sight::Unknown(told("late"))),
    ("engine-platform", Outcome::Warn, |facts| {
        project(facts).is_compose = false;
        engine(facts).arch = "arm64".to_owned();
    }),
    ("engine-remote", Outcome::Warn, |facts| engine(facts).local = false),
    ("engine-start", Outcome::Warn, |facts| part(&mut facts.services)[0].starts = "disabled".to_owned()),
    ("compose", Outcome::Fail, |facts| part(&mut facts.compose).trouble = Some(trouble("none"))),
    ("compose-version", Outcome::Warn, |facts| part(&mut facts.compose).version = (1, 25)),
    ("services", Outcome::Fail, |facts| part(&mut facts.services)[0].active = "failed".to_owned()),
    ("services", Outcome::Warn, |facts| part(&mut facts.services)[0].restarts = 7),
    ("project-files", Outcome::Fail, |facts| project(facts).trouble = Some(trouble("a tab"))),
    ("project-lints", Outcome::Warn, |facts| project(facts).lints.push(told("twice"))),
    ("ports", Outcome::Fail, |facts| ports(facts)[0].state = "conflict".to_owned()),
    ("ports", Outcome::Fail, |facts| ports(facts)[0].state = "reserved".to_owned()),
    ("ports", Outcome::Unknown, |facts| ports(facts)[0].state = "unknown".to_owned()),
    ("ports", Outcome::Unknown, |facts| project(facts).ports = Sight::Unknown(told("late"))),
    ("ports-privileged", Outcome::Warn, |facts| ports(facts)[0].state = "privileged".to_owned()),
    ("ports-ephemeral", Outcome::Warn, |facts| ports(facts)[0].at_risk = PortRange::new(port(1), port(9))),
    ("exposure", Outcome::Warn, |facts| ports(facts)[0].container_port = port(5432)),
    ("exposure", Outcome::Warn, |facts| {
        ports(facts)[0].container_port = port(6379);
        ports(facts)[0].host_ip = "0.0.0.0".to_owned();
    }),
    ("redirected-ports", Outcome::Fail, |facts| {
        let (protocol, first, last) = (Protocol::Tcp, port(7990), port(8010));
        part(&mut facts.redirects).push(RedirectSight { protocol, first, last, to: "10.0.0.1:80".to_owned() });
    }),
    ("redirected-ports", Outcome::Unknown, |facts| facts.redirects = Sight::Unknown(told("not root"))),
    ("firewall", Outcome::Warn, |facts| {
        engine(facts).kind = "podman".to_owned();
        part(&mut facts.firewall).drops = true;
    }),
    ("firewall", Outcome::Unknown, |facts| facts.firewall = Sight::Unknown(told("not root"))),
    ("disk-space", Outcome::Fail, |facts| facts.folders[0].free_bytes = Sight::Known(1 << 20)),
    ("disk-space", Outcome::Warn, |facts| facts.folders[0].free_bytes = Sight::Known(100 << 20)),
    ("disk-space", Outcome::Unknown, |facts| facts.folders[0].free_bytes = Sight::Unknown(told("late"))),
    ("disk-files", Outcome::Fail, |facts| facts.folders[0].free_files = Sight::Known(3)),
    ("disk-files", Outcome::Warn, |facts| facts.folders[0].free_files = Sight::Known(1000)),
    ("folders-writable", Outcome::Fail, |facts| facts.folders[0].writable = false),
    ("folders-private", Outcome::Fail, |facts| facts.folders[0].open_to_others = true),
    ("state-disk", Outcome::Warn, |facts| facts.folders[0].shared_disk = Some("NFS".to_owned())),
    ("memory", Outcome::Fail, |facts| machine(facts).memory_available = Some(1 << 20)),
    ("memory", Outcome::Warn, |facts| machine(facts).memory_available = Some(100 << 20)),
    ("descriptors", Outcome::Fail, |facts| machine(facts).files_own = Some(64)),
    ("descriptors", Outcome::Warn, |facts| machine(facts).files_own = Some(512)),
    ("system-files", Outcome::Fail, |facts| machine(facts).files_open = Some(1 << 20)),
    ("tasks", Outcome::Fail, |facts| machine(facts).tasks_most = Some(210)),
    ("tasks", Outcome::Warn, |facts| machine(facts).tasks = Some(28_000)),
    ("backlog", Outcome::Warn, |facts| machine(facts).backlog = Some(16)),
    ("connections", Outcome::Fail, |facts| machine(facts).connections = Some(65_530)),
    ("connections", Outcome::Warn, |facts| machine(facts).connections = Some(60_000)),
    ("forwarding", Outcome::Fail, |facts| machine(facts).forwards = Some(false)),
    ("outgoing-ports", Outcome::Fail, |facts| machine(facts).outgoing_ports = Some(10)),
    ("outgoing-ports", Outcome::Warn, |facts| machine(facts).outgoing_ports = Some(1000)),
    ("clock", Outcome::Fail, |facts| machine(facts).clock_s = 0),
    ("clock", Outcome::Fail, |facts| machine(facts).clock_s = u64::from(u32::MAX) + 1),
    ("loopback", Outcome::Fail, |facts| part(&mut facts.network).loopback = false),
    ("localhost", Outcome::Fail, |facts| part(&mut facts.network).localhost = Sight::Known(Vec::new())),
    ("localhost", Outcome::Fail, |facts| {
        part(&mut facts.network).localhost = Sight::Known(vec![[192, 0, 2, 1].into()]);
    }),
    ("localhost", Outcome::Fail, |facts| {
        let network = part(&mut facts.network);
        (network.ipv6, network.localhost) = (false, Sight::Known(vec![std::net::Ipv6Addr::LOCALHOST.into()]));
    }),
    ("name-servers", Outcome::Warn, |facts| part(&mut facts.network).nameservers = Sight::Known(Vec::new())),
    ("home", Outcome::Fail, |facts| facts.has_home = false),
    ("variables", Outcome::Warn, |facts| facts.misspelt.push(("PORTWRIGHT_APY".to_owned(), "x".to_owned()))),
    ("interrupted-change", Outcome::Fail, |facts| part(&mut facts.leftovers).interrupted = Some("undo".to_owned())),
    ("half-written-files", Outcome::Warn, |facts| {
        part(&mut facts.leftovers).staged.push("/p/.portwright-1-0.tmp".into());
    }),
    ("state-records", Outcome::Fail, |facts| part(&mut facts.leftovers).damaged.push(trouble("last.json"))),
    ("dead-service", Outcome::Warn, |facts| part(&mut facts.leftovers).dead_service = Some(4711)),
    ("left-containers", Outcome::Warn, |facts| {
        let left = ContainerSight { is_ours: true, name: "old".to_owned(), ..ContainerSight::default() };
        engine(facts).containers = Sight::Known(vec![left]);
    }),
];

fn server(facts: &mut Observation) -> &mut ServerSight {
    part(&mut facts.server)
}

fn mapping(facts: &mut Observation) -> &mut MappingSight {
    &mut part(&mut server(facts).mappings)[0]
}

fn way_fails(facts: &mut Observation, step: &str) {
    let client = part(&mut facts.client);
    (client.failed_at, client.trouble) = (Some(step.to_owned()), Some(trouble("why")));
}

fn health(facts: &mut Observation) -> &mut HealthSight {
    server(facts).health.as_mut().expect("a server that answers")
}

/// A server's clock that is so many seconds ahead of ours.
fn clocks(ahead_s: i64) -> ClockSight {
    let ours_s = 1_800_000_000_u64;
    ClockSight { theirs_s: ours_s.saturating_add_signed(ahead_s), ours_s }
}

const TUNNEL_FAULTS: [Fault; 22] = [
    ("launched", Outcome::Fail, |facts| part(&mut facts.launched)[0].health = Some("unhealthy".to_owned())),
    ("launched", Outcome::Fail, |facts| part(&mut facts.launched)[0].state = "exited".to_owned()),
    ("launched", Outcome::Unknown, |facts| facts.launched = Sight::Unknown(told("late"))),
    ("tunnel-config", Outcome::Fail, |facts| server(facts).config_trouble = Some(trouble("line 3"))),
    ("tunnel-certificate", Outcome::Fail, |facts| server(facts).certificate = Sight::Known((0, 1_799_999_999))),
    ("tunnel-certificate", Outcome::Fail, |facts| {
        server(facts).certificate = Sight::Known((1_800_000_001, 1_900_000_000));
    }),
    ("tunnel-certificate", Outcome::Warn, |facts| server(facts).certificate = Sight::Known((0, 1_800_086_400))),
    ("tunnel-api", Outcome::Fail, |facts| server(facts).health = None),
    ("tunnel-api", Outcome::Fail, |facts| server(facts).health = Some(HealthSight::default())),
    ("tunnel-control", Outcome::Fail, |facts| server(facts).control_answers = false),
    ("tunnel-version", Outcome::Warn, |facts| {
        health(facts).version = "1.0.0".to_owned();
    }),
    ("tunnel-clock", Outcome::Warn, |facts| health(facts).clocks = Some(clocks(-11))),
    ("tunnel-clock", Outcome::Fail, |facts| health(facts).clocks = Some(clocks(301))),
    ("tunnel-clock", Outcome::Unknown, |facts| health(facts).clocks = None),
    ("tunnel-mappings", Outcome::Fail, |facts| mapping(facts).state = "failed".to_owned()),
    ("tunnel-clients", Outcome::Warn, |facts| mapping(facts).state = "waiting".to_owned()),
    ("tunnel-targets", Outcome::Warn, |facts| mapping(facts).reached = Some(false)),
    ("server-entry", Outcome::Fail, |facts| way_fails(facts, "entry")),
    ("server-name", Outcome::Fail, |facts| way_fails(facts, "name")),
    ("server-reach", Outcome::Fail, |facts| way_fails(facts, "reach")),
    ("server-trust", Outcome::Fail, |facts| way_fails(facts, "link")),
    ("server-token", Outcome::Fail, |facts| way_fails(facts, "session")),
];

const POOL_FAULTS: [Fault; 10] = [
    ("server-clock", Outcome::Warn, |facts| part(&mut facts.client).clocks = Some(clocks(300))),
    ("server-clock", Outcome::Fail, |facts| part(&mut facts.client).clocks = Some(clocks(-3600))),
    ("server-clock", Outcome::Unknown, |facts| part(&mut facts.client).clocks = None),
    ("server-version", Outcome::Warn, |facts| part(&mut facts.client).agent = Some("portwright 1.0.0".to_owned())),
    ("pool", Outcome::Fail, |facts| part(&mut facts.pool).trouble = Some(trouble("unreadable"))),
    ("pool", Outcome::Fail, |facts| part(&mut facts.pool).is_damaged = true),
    ("pool-config", Outcome::Fail, |facts| part(&mut facts.pool).config_trouble = Some(trouble("line 3"))),
    ("leases", Outcome::Warn, |facts| part(&mut facts.pool).over_in_use.push(port(20_000))),
    ("pool-room", Outcome::Fail, |facts| part(&mut facts.pool).wans[0].free = 0),
    ("pool-room", Outcome::Warn, |facts| part(&mut facts.pool).wans[0].free = 7),
];

#[test]
fn each_fault_is_found_by_its_own_check_and_told_what_mends_it() {
    for (id, outcome, fault) in FAULTS.into_iter().chain(TUNNEL_FAULTS).chain(POOL_FAULTS) {
        let finding = answer(id, fault);
        assert_eq!(finding.outcome, outcome, "{id}: {:?}", finding.evidence);
        assert_eq!(finding.remedy.is_some(), matches!(outcome, Outcome::Fail | Outcome::Warn), "{id}");
        assert!(!finding.evidence.is_empty(), "{id}");
    }
}

#[test]
fn every_check_has_a_fault_that_it_finds() {
    for check in &CHECKS {
        let found = FAULTS.iter().chain(&TUNNEL_FAULTS).chain(&POOL_FAULTS).any(|(id, ..)| *id == check.id);
        assert!(found, "{}", check.id);
    }
}

#[test]
fn a_fault_sets_off_no_check_but_its_own() {
    for (id, _, fault) in FAULTS.into_iter().chain(TUNNEL_FAULTS).chain(POOL_FAULTS) {
        let mut facts = healthy();
        fault(&mut facts);
        for answer in diagnose(&facts, &Wanted::default()) {
            let alarmed = matches!(answer.finding.outcome, Outcome::Fail | Outcome::Warn);
            assert!(!alarmed || id == answer.check.id, "{id} also sets off {}", answer.check.id);
        }
    }
}

#[test]
fn nothing_is_wrong_with_a_healthy_machine() {
    for answer in diagnose(&healthy(), &Wanted::default()) {
        let Finding { outcome, evidence, .. } = &answer.finding;
        assert!(matches!(outcome, Outcome::Pass | Outcome::Skipped), "{}: {outcome:?} {evidence:?}", answer.check.id);
    }
}

#[test]
fn ids_are_plain_and_each_is_there_once() {
    for (index, check) in CHECKS.iter().enumerate() {
        assert!(check.id.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-'), "{}", check.id);
        assert!(CHECKS.iter().skip(index + 1).all(|other| other.id != check.id), "{}", check.id);
    }
}

#[test]
fn everything_but_a_pass_says_why_and_what_failed_says_what_helps() {
    for facts in [Observation::default(), healthy()] {
        for answer in diagnose(&facts, &Wanted::default()) {
            let Finding { outcome, evidence, remedy, .. } = &answer.finding;
            assert!(!evidence.is_empty(), "{}", answer.check.id);
            assert_eq!(remedy.is_some(), matches!(outcome, Outcome::Fail | Outcome::Warn), "{}", answer.check.id);
        }
    }
}

#[test]
fn what_is_accepted_or_left_out_does_not_count() {
    let mut facts = healthy();
    ports(&mut facts)[0].state = "conflict".to_owned();
    let id = || vec!["ports".to_owned()];
    let failure = |wanted: &Wanted| is_failure(&diagnose(&facts, wanted), false);
    assert!(failure(&Wanted::default()));
    assert!(failure(&Wanted { only: id(), ..Wanted::default() }));
    assert!(!failure(&Wanted { accept: id(), ..Wanted::default() }));
    assert!(!failure(&Wanted { skip: id(), ..Wanted::default() }));
    assert!(!failure(&Wanted { only: vec!["engine".to_owned()], ..Wanted::default() }));
}

#[test]
fn a_warning_counts_only_where_all_is_to_be_well() {
    let mut facts = healthy();
    facts.folders[0].free_bytes = Sight::Known(100 << 20);
    let answers = diagnose(&facts, &Wanted::default());
    assert!(!is_failure(&answers, false) && is_failure(&answers, true));
}

#[test]
fn a_misspelt_id_is_told_its_nearest() {
    assert_eq!(find("ports").map(|check| check.id), Ok("ports"));
    assert_eq!(find("prots").map(|check| check.id), Err("ports"));
    assert_eq!(find("disk").map(|check| check.id), Err("disk-space"));
}

#[test]
fn an_absent_engine_matters_only_to_a_compose_project() {
    let bundled = |fault| {
        answer("engine", |facts| {
            fails(facts, fault);
            project(facts).is_compose = false;
        })
    };
    assert_eq!(bundled(EngineFault::Absent).outcome, Outcome::Skipped);
    assert_eq!(bundled(EngineFault::Broken).outcome, Outcome::Warn);
}

#[test]
fn what_a_docker_daemon_publishes_passes_a_firewall_that_drops() {
    let of = |open: bool, kind: &str| {
        answer("firewall", |facts| {
            engine(facts).kind = kind.to_owned();
            let range = PortRange::new(port(8000), port(8009)).filter(|_| open);
            facts.firewall = Sight::Known(FirewallSight { drops: true, lets_in: range.into_iter().collect() });
        })
        .outcome
    };
    assert_eq!((of(false, "docker"), of(true, "podman")), (Outcome::Pass, Outcome::Pass));
}

#[test]
fn containers_of_another_machine_are_not_judged_by_the_folders_of_this_one() {
    let finding = answer("left-containers", |facts| {
        let left = ContainerSight { is_ours: true, ..ContainerSight::default() };
        (engine(facts).local, engine(facts).containers) = (false, Sight::Known(vec![left]));
    });
    assert_eq!(finding.outcome, Outcome::Pass);
}

#[test]
fn facts_are_written_down_and_read_back() {
    let facts = healthy();
    let text = serde_json::to_string(&facts).expect("JSON");
    assert_eq!(serde_json::from_str::<Observation>(&text).expect("facts"), facts);
    // Facts of a program that saw less: what is not there was not seen.
    assert_eq!(serde_json::from_str::<Observation>("{}").expect("facts"), Observation::default());
}

#[test]
fn a_taken_port_is_named_with_its_place() {
    let finding = answer("ports", |facts| {
        ports(facts)[0].state = "conflict".to_owned();
        ports(facts)[0].reason = Some(told("nginx has it"));
    });
    assert_eq!(finding.evidence[0].to_string(), "8000 of web:80 (compose.yaml:4): nginx has it");
}

#[test]
fn a_change_that_is_going_on_is_not_an_interrupted_one() {
    let of = |in_progress| {
        answer("interrupted-change", |facts| {
            let left = part(&mut facts.leftovers);
            (left.interrupted, left.in_progress) = (Some("undo".to_owned()), in_progress);
        })
    };
    assert_eq!((of(true).outcome, of(false).outcome), (Outcome::Pass, Outcome::Fail));
    assert!(of(false).fix.is_some());
}
