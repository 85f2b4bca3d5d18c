//! Each check against facts that were made for it.

use super::*;
use crate::model::{EngineAnswer, EngineSight, FolderSight, Leftovers, PortSight, ProjectSight, Protocol, Told};

fn told(text: &str) -> Told {
    Told { en: text.to_owned(), zh: text.to_owned() }
}

/// A machine on which all is well.
fn healthy() -> Observation {
    let answer = EngineAnswer { kind: "docker".to_owned(), local: true, ..EngineAnswer::default() };
    let port = PortSight {
        name: "web:80".to_owned(),
        port: crate::model::Port::new(8000),
        container_port: crate::model::Port::new(80).unwrap(),
        protocol: Protocol::Tcp,
        host_ip: "127.0.0.1".to_owned(),
        state: "free".to_owned(),
        reason: None,
        place: "compose.yaml:4".to_owned(),
        at_risk: None,
    };
    let ports = Sight::Known(vec![port]);
    let folder = FolderSight { free_bytes: Sight::Known(1 << 40), ..FolderSight::default() };
    Observation {
        engine: Sight::Known(EngineSight::Answers(answer)),
        project: Sight::Known(ProjectSight { is_compose: true, ports, ..ProjectSight::default() }),
        folders: vec![folder],
        leftovers: Sight::Known(Leftovers::default()),
        ..Observation::default()
    }
}

/// What the check says of a healthy machine after `change`.
fn answer(id: &str, change: impl FnOnce(&mut Observation)) -> Finding {
    let mut facts = healthy();
    change(&mut facts);
    find(id).expect("a check").judge(&facts)
}

fn project(facts: &mut Observation) -> &mut ProjectSight {
    match &mut facts.project {
        Sight::Known(project) => project,
        Sight::Unknown(_) | Sight::Nothing => panic!("a project"),
    }
}

fn ports(facts: &mut Observation) -> &mut Vec<PortSight> {
    match &mut project(facts).ports {
        Sight::Known(ports) => ports,
        Sight::Unknown(_) | Sight::Nothing => panic!("ports"),
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
    use crate::model::{EngineFailure, EngineFault};
    let failed = |fault| {
        let failure = EngineFailure { fault, why: told("why"), remedy: Some(told("remedy")) };
        Sight::Known(EngineSight::Fails(failure))
    };
    assert_eq!(answer("engine", |facts| facts.engine = failed(EngineFault::Absent)).outcome, Outcome::Fail);
    let bundled = |fault| {
        answer("engine", |facts| {
            facts.engine = failed(fault);
            project(facts).is_compose = false;
        })
    };
    assert_eq!(bundled(EngineFault::Absent).outcome, Outcome::Skipped);
    assert_eq!(bundled(EngineFault::Broken).outcome, Outcome::Fail);
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
    let left = |in_progress| Leftovers { interrupted: Some("undo".to_owned()), in_progress, ..Leftovers::default() };
    let of = |in_progress| answer("interrupted-change", |facts| facts.leftovers = Sight::Known(left(in_progress)));
    assert_eq!((of(true).outcome, of(false).outcome), (Outcome::Pass, Outcome::Fail));
    assert!(of(false).fix.is_some());
}
