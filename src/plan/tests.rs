//! The planner against hand-made facts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::error::ErrorKind;
use crate::model::*;
use crate::words::Message;
use crate::words::plan::PlanWords;

fn port(number: u16) -> Port {
    Port::new(number).unwrap()
}

fn range(first: u16, last: u16) -> PortRange {
    PortRange::new(port(first), port(last)).unwrap()
}

fn mapping(service: &str, published: PortRange, container: u16, variable: Option<&str>) -> Mapping {
    let last = container + published.count() - 1;
    let spot = SourceSpot { file: PathBuf::from("/p/compose.yaml"), line: 4, column: 9 };
    let lever = match variable {
        Some(name) => Lever::Variable { name: name.to_owned(), assigned: true },
        None => Lever::Literal { file: spot.file.clone(), span: 40..44 },
    };
    Mapping {
        service: service.to_owned(),
        host_ip: None,
        published: PublishedPort::Fixed(published),
        container: range(container, last),
        protocol: Protocol::Tcp,
        source: spot,
        variable: variable.map(str::to_owned),
        lever,
    }
}

fn project(mappings: Vec<Mapping>) -> Project {
    let mut services: Vec<ProjectService> = Vec::new();
    for mapping in &mappings {
        if services.iter().all(|service| service.name != mapping.service) {
            let name = mapping.service.clone();
            services.push(ProjectService { name, container_name: None, host_network: false });
        }
    }
    Project {
        name: "p".to_owned(),
        directory: PathBuf::from("/p"),
        files: vec![PathBuf::from("/p/compose.yaml")],
        env_file: PathBuf::from("/p/.env"),
        services,
        mappings,
        warnings: Vec::new(),
        edit_warnings: Vec::new(),
    }
}

fn classic() -> Project {
    project(vec![
        mapping("deno", range(8000, 8000), 8000, Some("DENO_PORT")),
        mapping("go", range(8001, 8001), 8000, Some("GO_PORT")),
    ])
}

fn facts() -> Facts {
    Facts {
        os: Os::Linux,
        privileged_user: false,
        ipv6: true,
        sockets: Seen::Known(Vec::new()),
        containers: Seen::Known(Vec::new()),
        ephemeral: Some(range(32768, 60999)),
        excluded: Vec::new(),
        reserved: Vec::new(),
        unprivileged_from: 1024,
        engine_is_local: true,
        engine_is_privileged: true,
        probes: BTreeMap::new(),
        sticky: BTreeMap::new(),
        promised: Vec::new(),
        own_pids: Vec::new(),
        unseen: Vec::new(),
    }
}

fn listener(address: &str, number: u16) -> Socket {
    let owner = Owner { pid: Some(77), process: Some("nginx".to_owned()), ..Owner::default() };
    let address = address.parse().unwrap();
    let endpoint = Endpoint { address, port: port(number), protocol: Protocol::Tcp, v6only: false };
    Socket { endpoint, state: SocketState::Listen, owner }
}

fn held(numbers: &[u16]) -> Facts {
    Facts { sockets: Seen::Known(numbers.iter().map(|number| listener("0.0.0.0", *number)).collect()), ..facts() }
}

fn container(state: ContainerState, project: &str, directory: &str, number: u16) -> Container {
    let compose = ComposeIdentity {
        project: project.to_owned(),
        service: "web".to_owned(),
        directory: Some(PathBuf::from(directory)),
    };
    Container {
        identity: ContainerRef { id: "ab".repeat(32), name: format!("{project}-web-1"), compose: Some(compose) },
        state,
        restarts: false,
        pid: None,
        published: vec![Published {
            host_ip: None,
            host_port: port(number),
            container_port: port(80),
            protocol: Protocol::Tcp,
        }],
        portwright_directory: None,
    }
}

fn wishes(policy: Policy) -> Wishes {
    Wishes { policy, named: Vec::new(), range: None, strict: false, override_file: false, answers: BTreeMap::new() }
}

fn moves(plan: &PortPlan) -> Vec<(u16, u16)> {
    plan.moves.iter().map(|decided| (decided.from.get(), decided.to.get())).collect()
}

fn automatic(project: &Project, facts: &Facts) -> Vec<(u16, u16)> {
    moves(&choose(project, facts, &wishes(Policy::Auto)).unwrap())
}

#[test]
fn a_port_that_a_sibling_wants_is_never_given_away() {
    let plan = choose(&classic(), &held(&[8000]), &wishes(Policy::Auto)).unwrap();
    assert_eq!(moves(&plan), [(8000, 8002)]);
    assert_eq!(plan.bindings[0].state, BindingState::Conflict);
    assert_eq!(plan.bindings[0].suggested, Some(port(8002)));
    assert_eq!(plan.bindings[1].state, BindingState::Free);
    assert_eq!(plan.to_probe.len(), 2, "both families of the chosen port are to be confirmed by a bind");
}

#[test]
fn two_conflicts_never_get_the_same_port() {
    assert_eq!(automatic(&classic(), &held(&[8000, 8001])), [(8000, 8002), (8001, 8003)]);
}

#[test]
fn a_bind_that_failed_rules_a_port_out() {
    let mut facts = held(&[8000]);
    let wanted = Endpoint::published(None, port(8002), Protocol::Tcp, true);
    facts.probes.insert(wanted[0], ProbeOutcome::InUse);
    assert_eq!(automatic(&classic(), &facts), [(8000, 8003)]);
}

#[test]
fn the_same_facts_give_the_same_plan() {
    let (project, facts) = (classic(), held(&[8000, 8001, 8002]));
    let first = choose(&project, &facts, &wishes(Policy::Auto));
    assert_eq!(first, choose(&project, &facts, &wishes(Policy::Auto)));
}

#[test]
fn the_own_stack_is_no_conflict_and_the_same_name_elsewhere_is() {
    let judged = |directory: &str| {
        let mut facts = held(&[8000]);
        facts.containers = Seen::Known(vec![container(ContainerState::Running, "p", directory, 8000)]);
        judge(&classic(), &facts, false, &[]).bindings.remove(0)
    };
    assert_eq!(judged("/p").state, BindingState::Own);
    let other = judged("/elsewhere");
    assert_eq!(other.state, BindingState::Conflict);
    assert_eq!(other.reason, Some(PlanWords::OtherCopy { directory: "/elsewhere".to_owned() }.into()));
    assert_eq!(other.holder.unwrap().compose_project.as_deref(), Some("p"));
}

#[test]
fn a_stopped_container_warns_and_is_a_conflict_only_when_strict() {
    let mut facts = held(&[]);
    facts.containers = Seen::Known(vec![container(ContainerState::Stopped, "other", "/other", 8000)]);
    let judgement = judge(&classic(), &facts, false, &[]);
    assert_eq!(judgement.bindings[0].state, BindingState::Free);
    let expected: Message = PlanWords::WarnStopped { port: port(8000), container: "other-web-1".to_owned() }.into();
    assert_eq!(judgement.warnings, [expected]);
    assert_eq!(judge(&classic(), &facts, true, &[]).bindings[0].state, BindingState::Conflict);
}

#[test]
fn no_choice_lands_on_the_port_of_a_stopped_container() {
    let mut facts = held(&[8000]);
    facts.containers = Seen::Known(vec![container(ContainerState::Stopped, "other", "/other", 8002)]);
    assert_eq!(automatic(&classic(), &facts), [(8000, 8003)]);
}

#[test]
fn ports_of_fixed_meaning_never_move_by_themselves() {
    let project = project(vec![mapping("dns", range(53, 53), 53, None)]);
    let error = choose(&project, &held(&[53]), &wishes(Policy::Auto)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let named = Wishes { named: vec![("dns".to_owned(), port(5300))], ..wishes(Policy::Auto) };
    assert_eq!(moves(&choose(&project, &held(&[53]), &named).unwrap()), [(53, 5300)]);
}

#[test]
fn an_ephemeral_port_is_the_last_resort_and_is_said() {
    let project = project(vec![mapping("web", range(32767, 32767), 80, None)]);
    let plan = choose(&project, &held(&[32767]), &wishes(Policy::Auto)).unwrap();
    assert_eq!(moves(&plan), [(32767, 61000)]);
    let narrow = Wishes { range: Some(range(40000, 40001)), ..wishes(Policy::Auto) };
    let plan = choose(&project, &held(&[32767]), &narrow).unwrap();
    assert_eq!(moves(&plan), [(32767, 40000)]);
    assert!(matches!(plan.warnings[..], [Message::Plan(PlanWords::WarnEphemeral { .. })]));
}

#[test]
fn an_exhausted_range_is_refused_with_its_count() {
    let narrow = Wishes { range: Some(range(8000, 8001)), ..wishes(Policy::Auto) };
    let error = choose(&classic(), &held(&[8000]), &narrow).unwrap_err();
    assert!(matches!(error.message(), Message::Plan(PlanWords::Exhausted { count: 2, .. })));
}

#[test]
fn a_range_moves_as_one_block_and_reports_each_port() {
    let project = project(vec![mapping("ftp", range(10000, 10003), 10000, None)]);
    let plan = choose(&project, &held(&[10002, 10005]), &wishes(Policy::Auto)).unwrap();
    assert_eq!(moves(&plan), [(10000, 10006)]);
    assert_eq!(plan.bindings.len(), 4);
    let states: Vec<_> = plan.bindings.iter().map(|binding| binding.state.name()).collect();
    assert_eq!(states, ["free", "free", "conflict", "free"]);
    assert_eq!(plan.bindings[3].suggested, Some(port(10009)));
}

#[test]
fn mappings_that_share_a_variable_move_together() {
    let mut udp = mapping("dns", range(8053, 8053), 53, Some("DNS_PORT"));
    udp.protocol = Protocol::Udp;
    let project = project(vec![mapping("dns", range(8053, 8053), 53, Some("DNS_PORT")), udp]);
    let plan = choose(&project, &held(&[8053]), &wishes(Policy::Auto)).unwrap();
    assert_eq!(plan.moves, [Move { mappings: vec![MappingId(0), MappingId(1)], from: port(8053), to: port(8054) }]);
}

#[test]
fn a_udp_socket_is_no_conflict_for_tcp() {
    let mut facts = facts();
    let mut socket = listener("0.0.0.0", 8000);
    socket.endpoint.protocol = Protocol::Udp;
    socket.state = SocketState::Open;
    facts.sockets = Seen::Known(vec![socket]);
    assert_eq!(judge(&classic(), &facts, false, &[]).bindings[0].state, BindingState::Free);
}

#[test]
fn an_outgoing_connection_blocks_only_where_the_kernel_says_so() {
    let mut facts = facts();
    let mut socket = listener("127.0.0.1", 8000);
    socket.state = SocketState::Connected;
    facts.sockets = Seen::Known(vec![socket]);
    assert_eq!(judge(&classic(), &facts, false, &[]).bindings[0].state, BindingState::Free);
    let wanted = Endpoint::published(None, port(8000), Protocol::Tcp, true);
    facts.probes.insert(wanted[0], ProbeOutcome::InUse);
    let judged = judge(&classic(), &facts, false, &[]).bindings.remove(0);
    assert_eq!(judged.state, BindingState::Conflict);
    assert!(matches!(judged.reason, Some(Message::Plan(PlanWords::UsedByConnection { .. }))));
}

#[test]
fn what_could_not_be_looked_at_is_unknown_and_neither_free_nor_taken() {
    let why: Message = PlanWords::HeldByUnknown.into();
    let facts = Facts { sockets: Seen::Unknown(why), ..facts() };
    assert_eq!(judge(&classic(), &facts, false, &[]).bindings[0].state, BindingState::Unknown);
    let remote = Facts { engine_is_local: false, ..held(&[8000]) };
    assert_eq!(judge(&classic(), &remote, false, &[]).bindings[0].state, BindingState::Unknown);
}

#[test]
fn an_ordinary_user_without_a_privileged_engine_cannot_have_port_80() {
    let project = project(vec![mapping("web", range(80, 80), 80, None)]);
    let ordinary = Facts { engine_is_privileged: false, ..facts() };
    assert_eq!(judge(&project, &ordinary, false, &[]).bindings[0].state, BindingState::Privileged);
    assert_eq!(judge(&project, &facts(), false, &[]).bindings[0].state, BindingState::Free);
}

#[test]
fn a_named_port_that_is_taken_is_refused_with_its_holder() {
    let named = Wishes { named: vec![("DENO_PORT".to_owned(), port(9000))], ..wishes(Policy::Fail) };
    let error = choose(&classic(), &held(&[9000]), &named).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(error.to_string(), "port 9000/tcp cannot be given to service deno: held by nginx (pid 77)");
}

#[test]
fn a_name_is_a_variable_a_service_or_service_and_port() {
    for name in ["DENO_PORT", "deno", "deno:8000", "deno:8000/tcp"] {
        let named = Wishes { named: vec![(name.to_owned(), port(9000))], ..wishes(Policy::Fail) };
        assert_eq!(moves(&choose(&classic(), &facts(), &named).unwrap()), [(8000, 9000)], "{name}");
    }
    let unknown = Wishes { named: vec![("web".to_owned(), port(9000))], ..wishes(Policy::Fail) };
    assert_eq!(choose(&classic(), &facts(), &unknown).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn without_consent_conflicts_are_refused_with_the_flag_that_helps() {
    let error = choose(&classic(), &held(&[8000]), &wishes(Policy::Fail)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.way_out().unwrap().to_string().contains("--port DENO_PORT=8002"));
}

#[test]
fn a_person_may_answer_each_conflict_by_itself() {
    let asking = wishes(Policy::Ask);
    let plan = choose(&classic(), &held(&[8000, 8001]), &asking).unwrap();
    assert_eq!((plan.open.as_slice(), plan.moves.len()), (&[MappingId(0), MappingId(1)][..], 0));
    let answers = BTreeMap::from([(MappingId(0), Decision::Keep), (MappingId(1), Decision::Manual(port(9001)))]);
    let plan = choose(&classic(), &held(&[8000, 8001]), &Wishes { answers, ..asking }).unwrap();
    assert_eq!((plan.open.len(), moves(&plan)), (0, vec![(8001, 9001)]));
    assert!(try_port(&classic(), &held(&[8000]), &plan.moves, MappingId(0), port(9001)).is_err());
    assert!(try_port(&classic(), &held(&[8000]), &[], MappingId(0), port(8001)).is_err());
    assert!(try_port(&classic(), &held(&[8000]), &[], MappingId(0), port(8005)).is_ok());
}

#[test]
fn what_was_chosen_before_is_chosen_again_while_it_is_free() {
    let mut facts = held(&[8000]);
    facts.sticky.insert("deno:8000/tcp".to_owned(), port(8044));
    assert_eq!(automatic(&classic(), &facts), [(8000, 8044)]);
    facts.sockets = Seen::Known(vec![listener("0.0.0.0", 8000), listener("127.0.0.1", 8044)]);
    assert_eq!(automatic(&classic(), &facts), [(8000, 8002)]);
}

#[test]
fn the_second_of_two_services_that_want_one_port_is_in_conflict() {
    let project = project(vec![mapping("a", range(8000, 8000), 80, None), mapping("b", range(8000, 8000), 80, None)]);
    let judged = judge(&project, &facts(), false, &[]);
    assert_eq!(judged.bindings[0].state, BindingState::Free);
    assert_eq!(judged.bindings[1].state, BindingState::Conflict);
    assert_eq!(automatic(&project, &facts()), [(8000, 8001)]);
}

#[test]
fn a_range_from_which_the_engine_chooses_conflicts_only_when_it_is_full() {
    let mut any = mapping("web", range(6005, 6005), 80, None);
    any.published = PublishedPort::AnyOf(range(6005, 6006));
    let project = project(vec![any]);
    let state = |facts: &Facts| judge(&project, facts, false, &[]).bindings[0].state;
    assert_eq!(state(&held(&[6005])), BindingState::Free);
    assert_eq!(state(&held(&[6005, 6006])), BindingState::Conflict);
}

#[test]
fn the_shell_and_what_cannot_be_edited_are_named_with_a_way_out() {
    let mut project = classic();
    project.mappings[0].lever = Lever::Shell { name: "DENO_PORT".to_owned() };
    let error = choose(&project, &held(&[8000]), &wishes(Policy::Auto)).unwrap_err();
    assert!(error.way_out().unwrap().to_string().contains("export DENO_PORT=8002"));
    let over = Wishes { override_file: true, ..wishes(Policy::Auto) };
    assert_eq!(moves(&choose(&project, &held(&[8000]), &over).unwrap()), [(8000, 8002)]);
}
