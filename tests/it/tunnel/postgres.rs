//! Two real servers on one real `PostgreSQL`, which the test starts from the system's package.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use super::running::{
    Client, Laid, Link, PATIENCE, Server, ServerPlan, Token, fresh_port, health, loopback, wait_until,
};
use super::targets::{Target, expect_echo, is_served, visit};
use super::toxic::{Proxy, Toxic};
use crate::stores::{PASSWORD, Postgres};

/// What a change may take to reach the other server.
const SOON: Duration = Duration::from_secs(1);

fn section(url: &str) -> String {
    format!("{{ path: mappings.db, url: '{url}' }}")
}

/// A server whose visitors come to `public`.
fn server(section: &str, public: &str) -> Server {
    let plan = ServerPlan { public, database: section, ..ServerPlan::over(Link::Tls) };
    Laid::out(&plan).start(&plan)
}

/// Where the other server serves what this one serves at `address`.
fn there(address: SocketAddr) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 2], address.port()))
}

fn direct() -> Value {
    json!({ "use_tunnel": false })
}

fn mapping(server: &Server, port: u16) -> Option<Value> {
    let list = server.get("/api/mapping/list");
    list["data"].as_array().expect("a list").iter().find(|mapping| mapping["source_port"] == port).cloned()
}

#[test]
fn what_one_server_changes_the_other_serves_within_a_second() {
    let Some(postgres) = Postgres::start() else { return };
    let (here, other) =
        (server(&section(&postgres.url()), "127.0.0.1"), server(&section(&postgres.url()), "127.0.0.2"));
    let echo = Target::echo();
    for _ in 0..5 {
        let public = here.map_with(echo.address, &direct());
        wait_until("the mapping on the other server", SOON, || is_served(there(public)));
        let body = json!({ "source_port": public.port(), "name": "renamed", "bandwidth_limit": 4096 });
        let (status, answer) = other.post("update", &body);
        assert_eq!(status, 200, "{answer}");
        wait_until("the update on the first server", SOON, || {
            mapping(&here, public.port())
                .is_some_and(|mapping| mapping["name"] == "renamed" && mapping["bandwidth_limit"] == 4096)
        });
        let (status, answer) = other.post("remove", &json!({ "source_port": public.port() }));
        assert_eq!(status, 200, "{answer}");
        wait_until("the end of the mapping on the first server", SOON, || !is_served(public));
        assert!(mapping(&here, public.port()).is_none());
    }
    let audit = here.get("/api/audit?limit=3");
    let said: Vec<_> = audit["data"].as_array().expect("rows").iter().map(|row| row["action"].clone()).collect();
    assert_eq!(said, ["mapping.remove", "mapping.update", "mapping.create"], "one audit for both: {audit}");
}

/// Fails where the password stands in what the servers wrote.
#[track_caller]
fn expect_silence(servers: &[&Server]) {
    for server in servers {
        let words = server.process.log() + &server.process.said();
        assert!(!words.contains(PASSWORD), "{words}");
        assert!(!server.get("/api/logs?limit=1000").to_string().contains(PASSWORD), "the log of the API");
    }
}

#[test]
fn a_port_that_is_taken_at_one_server_fails_there_alone_and_until_it_is_free() {
    let Some(postgres) = Postgres::start() else { return };
    let (here, other) =
        (server(&section(&postgres.url()), "127.0.0.1"), server(&section(&postgres.url()), "127.0.0.2"));
    let echo = Target::echo();
    let port = fresh_port();
    let holder = TcpListener::bind(there(loopback(port))).expect("the port is free");
    let body = json!({ "source_port": port, "target_host": "127.0.0.1", "target_port": echo.address.port(),
        "use_tunnel": false });
    let (status, answer) = here.post("create", &body);
    assert_eq!(status, 200, "{answer}");
    wait_until("the failure at the other server", SOON, || {
        mapping(&other, port).is_some_and(|mapping| mapping["state"] == "failed")
    });
    assert!(is_served(loopback(port)), "the first server serves it");
    assert_eq!(mapping(&here, port).expect("a mapping")["state"], "active");
    let status = |server: &Server| health(server.api).expect("an answer")["status"].clone();
    assert_eq!((status(&here), status(&other)), (json!("ok"), json!("degraded")));
    drop(holder);
    wait_until("the mapping at the other server", PATIENCE, || is_served(there(loopback(port))));
}

#[test]
fn a_token_made_at_one_server_is_good_at_the_other_until_it_is_revoked() {
    let Some(postgres) = Postgres::start() else { return };
    let (here, other) =
        (server(&section(&postgres.url()), "127.0.0.1"), server(&section(&postgres.url()), "127.0.0.2"));
    let token = here.token("home", &[]);
    // The pin is that of the server that is dialled.
    let Token { pin, .. } = other.token("other", &[]);
    let client = Client::of(other.tunnel, &Token { pin, ..token }, Link::Tls, &[]);
    other.wait_for_clients(1, PATIENCE);
    let echo = Target::echo();
    let public = here.map_with(echo.address, &json!({ "client": "home" }));
    wait_until("the mapping through the other server's client", SOON, || is_served(there(public)));
    assert_eq!(mapping(&here, public.port()).expect("a mapping")["state"], "waiting", "its client is elsewhere");
    assert_eq!(mapping(&other, public.port()).expect("a mapping")["state"], "active");
    wait_until("the client to be noted", PATIENCE, || {
        postgres.ask("SELECT count(last_seen_at) FROM portwright.tokens").as_deref() == Some("1")
    });
    here.revoke("home").expect_code(0);
    other.wait_for_clients(0, SOON);
    wait_until("the reason at the client", PATIENCE, || client.process.log().contains("revoked the token"));
    expect_silence(&[&here, &other]);
}

#[test]
fn a_killed_server_is_missed_by_nobody_and_finds_everything_again() {
    let Some(postgres) = Postgres::start() else { return };
    let (mut here, other) =
        (server(&section(&postgres.url()), "127.0.0.1"), server(&section(&postgres.url()), "127.0.0.2"));
    let echo = Target::echo();
    let public = here.map_with(echo.address, &direct());
    wait_until("the mapping on the other server", SOON, || is_served(there(public)));
    let mut visitor = visit(there(public));
    here.process.kill();
    expect_echo(&mut visitor);
    let made = other.map_with(echo.address, &direct());
    assert!(is_served(there(made)) && !is_served(made));
    expect_echo(&mut visitor);
    assert_eq!(health(other.api).expect("an answer")["status"], "ok");
    here.start_again();
    wait_until("everything at the first server", PATIENCE, || is_served(public) && is_served(made));
}

#[test]
fn without_its_database_a_server_serves_on_and_refuses_changes_until_it_is_back() {
    let Some(mut postgres) = Postgres::start() else { return };
    let (here, other) =
        (server(&section(&postgres.url()), "127.0.0.1"), server(&section(&postgres.url()), "127.0.0.2"));
    let echo = Target::echo();
    let public = here.map_with(echo.address, &direct());
    wait_until("the mapping on the other server", SOON, || is_served(there(public)));
    let mut visitor = visit(public);
    expect_echo(&mut visitor);
    postgres.stop();
    wait_until("the loss to be noticed", PATIENCE, || {
        [&here, &other].iter().all(|server| health(server.api).is_some_and(|health| health["status"] == "degraded"))
    });
    expect_echo(&mut visitor);
    assert!(is_served(public) && is_served(there(public)), "those who come now are served, too");
    let port = fresh_port();
    let body = json!({ "source_port": port, "target_host": "127.0.0.1", "target_port": 9, "use_tunnel": false });
    for (route, body) in [
        ("create", &body),
        ("update", &json!({ "source_port": public.port(), "name": "x" })),
        ("remove", &json!({ "source_port": public.port() })),
    ] {
        let (status, answer) = here.post(route, body);
        assert_eq!((status, &answer["code"]), (503, &json!("storage_unavailable")), "{route}: {answer}");
    }
    assert!(is_served(public), "what was not removed is still there");
    assert_eq!(here.get("/api/tokens")["code"], "storage_unavailable");
    postgres.run();
    wait_until("both servers with their database", PATIENCE, || {
        [&here, &other].iter().all(|server| health(server.api).is_some_and(|health| health["status"] == "ok"))
    });
    let made = other.map_with(echo.address, &direct());
    wait_until("a mapping made afterwards", SOON, || is_served(made) && is_served(there(made)));
    expect_echo(&mut visitor);
    expect_silence(&[&here, &other]);
}

#[test]
fn a_database_behind_a_cut_cable_holds_up_no_visitor_and_no_answer() {
    let Some(postgres) = Postgres::start() else { return };
    let proxy = Proxy::start(loopback(postgres.port), 7);
    let url = postgres.url().replace(&format!(":{}/", postgres.port), &format!(":{}/", proxy.address.port()));
    let here = server(&section(&url), "127.0.0.1");
    let echo = Target::echo();
    let public = here.map_with(echo.address, &direct());
    proxy.set_both(&[Toxic::Blackhole]);
    let body = json!({ "source_port": public.port(), "name": "renamed" });
    // Nobody knows yet that the database is lost: an answer takes as long as one may be waited for.
    let asked = Instant::now();
    let (status, answer) = here.post("update", &body);
    assert_eq!((status, &answer["code"]), (503, &json!("storage_unavailable")), "{answer}");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    assert!(is_served(public), "visitors notice nothing");
    wait_until("the loss to be noticed", PATIENCE, || {
        health(here.api).is_some_and(|health| health["status"] == "degraded")
    });
    proxy.set_both(&[]);
    proxy.cut();
    wait_until("the database again", PATIENCE, || health(here.api).is_some_and(|health| health["status"] == "ok"));
    let (status, answer) = here.post("update", &body);
    assert_eq!((status, &answer["data"]["name"]), (200, &json!("renamed")), "{answer}");
}

#[test]
fn the_way_to_the_database_is_encrypted_and_checked_where_that_is_wanted() {
    let Some(mut postgres) = Postgres::start() else { return };
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = |params: &CertificateParams| {
        CertifiedIssuer::self_signed(params.clone(), KeyPair::generate().expect("a key")).expect("an authority")
    };
    let (ours, foreign) = (authority(&params), authority(&params));
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    postgres.secure(&leaf.signed_by(&key, &ours).expect("issued").pem(), &key.serialize_pem());
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (ours, foreign) = (file("ours.pem", ours.pem()), file("foreign.pem", foreign.pem()));
    let url = |parameters: &str| section(&format!("{}?{parameters}", postgres.url()));
    for parameters in ["sslmode=require".to_owned(), format!("sslmode=verify-full&sslrootcert={ours}")] {
        let server = server(&url(&parameters), "127.0.0.1");
        let secure = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
            WHERE application_name = 'portwright'";
        assert_eq!(postgres.ask(secure).as_deref(), Some("t"), "{parameters}");
        drop(server);
    }
    for (parameters, reason) in [
        (format!("sslmode=verify-full&sslrootcert={foreign}"), "certificate"),
        ("sslmode=disable".to_owned(), "no encryption"),
    ] {
        let section = url(&parameters);
        let plan = ServerPlan { database: &section, ..ServerPlan::over(Link::Tls) };
        let answer = Laid::out(&plan).refuse(&[]);
        assert!(answer.code == 5 && answer.stderr.contains(reason), "{parameters}: {}", answer.stderr);
    }
}

#[test]
fn two_servers_that_start_at_once_make_the_tables_and_the_first_token_once() {
    let Some(postgres) = Postgres::start() else { return };
    for _ in 0..3 {
        postgres.ask("DROP SCHEMA IF EXISTS portwright CASCADE").expect("nothing is there");
        let section = section(&postgres.url());
        let start = |public: &'static str| {
            let section = section.clone();
            std::thread::spawn(move || server(&section, public))
        };
        let starting = [start("127.0.0.1"), start("127.0.0.2")];
        let servers = starting.map(|starting| starting.join().expect("a healthy server"));
        assert_eq!(postgres.ask("SELECT count(*) FROM portwright.tokens").as_deref(), Some("1"));
        assert_eq!(postgres.ask("SELECT count(*) FROM portwright.version").as_deref(), Some("1"));
        let shown = servers.iter().filter(|server| (server.process.log() + &server.process.said()).contains("pwj_"));
        assert_eq!(shown.count(), 1, "one of them shows the code of the first token");
    }
}

#[test]
fn each_byte_counts_once_whichever_server_carries_it() {
    let Some(postgres) = Postgres::start() else { return };
    let section = format!("{}\nstats: {{ record_interval: 1 }}", section(&postgres.url()));
    let (mut here, other) = (server(&section, "127.0.0.1"), server(&section, "127.0.0.2"));
    let echo = Target::echo();
    let public = here.map_with(echo.address, &direct());
    wait_until("the mapping on the other server", SOON, || mapping(&other, public.port()).is_some());
    let sent = |server: &Server| server.get("/api/stats/traffic")["data"]["total_sent"].as_u64().expect("a number");
    let said = "are you there?".len() as u64;
    for (address, times) in [(public, 1), (there(public), 2), (public, 3)] {
        for _ in 0..times {
            expect_echo(&mut visit(address));
        }
    }
    for server in [&here, &other] {
        wait_until("the sum of both", PATIENCE, || sent(server) == 6 * said);
        assert_eq!(server.get("/api/stats/traffic")["data"]["mappings"][0]["bytes_sent"], 6 * said);
    }
    here.process.kill();
    here.start_again();
    wait_until("the sum after a restart", PATIENCE, || sent(&here) == 6 * said);
    let (status, _) = other.post("remove", &json!({ "source_port": public.port() }));
    assert_eq!(status, 200);
    wait_until("both shares in the sum of what is gone", PATIENCE, || {
        let kept = "SELECT sum(up_bytes) FROM portwright.traffic_totals WHERE mapping = 0";
        postgres.ask(kept) == Some((6 * said).to_string())
    });
    for server in [&here, &other] {
        wait_until("the same sum", PATIENCE, || sent(server) == 6 * said);
        let history = server.get("/api/stats/history?step=3600");
        let moved: u64 =
            history["data"].as_array().expect("rows").iter().filter_map(|row| row["bytes_sent"].as_u64()).sum();
        assert_eq!(moved, 6 * said, "{history}");
    }
}

#[test]
fn a_database_that_cannot_be_used_is_refused_with_a_way_out_and_without_its_password() {
    let Some(postgres) = Postgres::start() else { return };
    let refuse = |section: &str| {
        let plan = ServerPlan { database: section, ..ServerPlan::over(Link::Tls) };
        let laid = Laid::out(&plan);
        let file = laid.folder().join("url");
        fs::write(&file, postgres.url()).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("open to others");
        let answer = laid.refuse(&[]);
        assert!(!answer.stderr.contains("canary"), "{}", answer.stderr);
        (answer.code, answer.stderr)
    };
    let (code, said) = refuse(&section(&postgres.url().replace(PASSWORD, "canary-wrong")));
    assert!(code == 5 && said.contains("password authentication failed") && said.contains("database.url"), "{said}");
    let (code, said) = refuse(&section(&postgres.url().replace(&postgres.port.to_string(), &fresh_port().to_string())));
    assert!(code == 5 && said.contains("refused"), "{said}");
    let (code, said) = refuse(&section(&format!("{}?sslmode=require", postgres.url())));
    assert!(code == 5 && said.contains("TLS"), "{said}");
    assert_eq!(refuse(&section(&format!("host=127.0.0.1 password={PASSWORD}"))).0, 2);
    let (code, said) = refuse("{ path: mappings.db, url_file: url }");
    assert!(code == 3 && said.contains("chmod"), "{said}");
    let both = format!("{{ path: mappings.db, url_file: url, url: '{}' }}", postgres.url());
    assert_eq!(refuse(&both).0, 2);
    drop(server(&section(&postgres.url()), "127.0.0.1"));
    postgres.ask("UPDATE portwright.version SET version = 99").expect("as a later version leaves it");
    let (code, said) = refuse(&section(&postgres.url()));
    assert!(code == 3 && said.contains("later version"), "{said}");
}
