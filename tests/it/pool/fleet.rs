//! Pools of several hosts over a real `PostgreSQL` and a real etcd. A host is a folder of its own here; where it matters
//! that another one's processes cannot be seen, it is a namespace.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Pool, kill, sleeper, wait_for};
use crate::stores::{Etcd, PASSWORD, Postgres};
use crate::support::{PORTWRIGHT, certified, free_block, fresh_port, have};

/// A store of the fleet.
enum Store {
    Postgres(Postgres),
    Etcd(Etcd),
}

impl Store {
    /// Starts those whose packages are there.
    fn each() -> Vec<Self> {
        let etcd = Etcd::start().map(Self::Etcd);
        Postgres::start().map(Self::Postgres).into_iter().chain(etcd).collect()
    }

    /// The same, and an etcd that is spoken to by TLS.
    fn each_and_tls() -> Vec<Self> {
        let mut stores = Self::each();
        stores.extend(Etcd::start_tls().map(Self::Etcd));
        stores
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(postgres) => postgres.url(),
            Self::Etcd(etcd) => etcd.url(),
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Postgres(postgres) => postgres.stop(),
            Self::Etcd(etcd) => etcd.stop(),
        }
    }

    fn run(&mut self) {
        match self {
            Self::Postgres(postgres) => postgres.run(),
            Self::Etcd(etcd) => etcd.run(),
        }
    }

    /// A host of the fleet, whose ports are those of `range`.
    fn host(&self, range: &str) -> Pool {
        let pool = Pool { range: range.to_owned(), ..Pool::new(1) };
        pool.sandbox.write("pool.toml", &format!("store = \"{}\"\ngroup = \"ci\"\n", self.url()));
        pool
    }
}

fn range(ports: u16) -> String {
    let first = free_block(ports);
    format!("{first}-{}", first + ports - 1)
}

/// A program under `pool run` that goes on until its input ends; what is said of it goes to a file.
fn runner(pool: &Pool, ttl: &str) -> Child {
    let mut command = pool.sandbox.command(&["pool", "run", "--range", &pool.range, "--ttl", ttl, "--", "cat"]);
    let said = fs::File::create(pool.sandbox.home().join("said")).expect("a file");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(said).spawn().expect("the program runs")
}

#[test]
fn two_hosts_never_have_the_same_port_and_get_all_or_none() {
    for store in Store::each_and_tls() {
        let ports = range(30);
        let hosts = [store.host(&ports), store.host(&ports)];
        let taken: Vec<u16> = std::thread::scope(|scope| {
            let jobs: Vec<_> =
                (0..8).map(|job| &hosts[job % 2]).map(|host| scope.spawn(|| host.alloc(&["-n", "3"]))).collect();
            jobs.into_iter().flat_map(|job| job.join().expect("ports")).collect()
        });
        assert_eq!((taken.len(), taken.iter().collect::<BTreeSet<_>>().len()), (24, 24), "{taken:?}");
        let answer = hosts[0].run(&["alloc", "--range", &ports, "-n", "7"]).expect_code(3);
        assert!(
            answer.stderr.contains("24 are leased") && answer.stderr.contains("none was taken"),
            "{}",
            answer.stderr
        );
        assert_eq!(hosts[1].alloc(&["-n", "6"]).len(), 6);
        assert_eq!(hosts[0].leased().len(), 30);
        hosts[0].run(&["alloc", "--range", &ports]).expect_code(3);
        // Another group has the same ports.
        let answer = hosts[0].run(&["alloc", "--range", &ports, "--group", "other"]).expect_code(0);
        assert_eq!(answer.stdout.lines().count(), 1);
        hosts[1].run(&["alloc", "--group", "no/such"]).expect_code(2);
    }
}

/// Makes every taking last a tenth of a second, so that those of the same moment meet.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END';
    CREATE TRIGGER slow BEFORE UPDATE ON portwright_pool.ports FOR EACH ROW
    WHEN (NEW.id IS NOT NULL) EXECUTE FUNCTION slow()";

#[test]
fn wans_with_one_address_share_their_ports_also_when_both_are_asked_at_once() {
    const PORTS: u16 = 24;
    for store in Store::each() {
        let ports = range(PORTS);
        let host = store.host(&ports);
        let wan = |index| format!("[[wan]]\nindex = {index}\nbind = \"127.0.0.1\"\nrange = \"{ports}\"\n");
        let config = host.sandbox.read("pool.toml") + &wan(0) + &wan(1);
        host.sandbox.write("pool.toml", &config);
        if let Store::Postgres(postgres) = &store {
            host.run(&["list"]).expect_code(0);
            postgres.ask(SLOW).expect("a slow table");
        }
        let host = &host;
        let taken: Vec<u16> = std::thread::scope(|scope| {
            let take =
                |wan: &'static str| (0..PORTS / 4).flat_map(move |_| host.alloc(&["--wan", wan])).collect::<Vec<_>>();
            let jobs: Vec<_> = ["0", "1", "0", "1"].map(|wan| scope.spawn(move || take(wan))).into_iter().collect();
            jobs.into_iter().flat_map(|job| job.join().expect("ports")).collect()
        });
        assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), usize::from(PORTS), "{taken:?}");
        for wan in ["0", "1"] {
            host.run(&["alloc", "--range", &ports, "--wan", wan]).expect_code(3);
        }
    }
}

#[test]
fn rows_are_whole_and_what_was_given_back_rests_longest() {
    for store in Store::each() {
        let host = store.host(&range(4));
        let first = host.first();
        let mut seen = Vec::new();
        for _ in 0..8 {
            let port = host.alloc(&[])[0];
            seen.push(port - first);
            host.run(&["release", &port.to_string()]).expect_code(0);
        }
        assert_eq!(seen, [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(host.alloc(&["-n", "3", "--contiguous"]), [first, first + 1, first + 2]);
        host.run(&["release", &(first + 1).to_string()]).expect_code(0);
        host.run(&["alloc", "--range", &host.range, "-n", "2", "--contiguous"]).expect_code(3);
        // What is in use on this host is given to none of its own.
        let _used = std::net::TcpListener::bind(("0.0.0.0", first + 1)).expect("a port");
        assert_eq!(host.alloc(&[]), [first + 3]);
        host.run(&["alloc", "--range", &host.range]).expect_code(3);
    }
}

#[test]
fn a_lease_ends_by_the_clock_of_the_store_unless_it_is_renewed() {
    for store in Store::each() {
        let ports = range(1);
        let (here, there) = (store.host(&ports), store.host(&ports));
        let holder = sleeper();
        here.alloc(&["--ttl", "2s", "--pid", &holder.id().to_string()]);
        there.run(&["alloc", "--range", &ports]).expect_code(3);
        let renewed = here.run(&["renew", &here.first().to_string(), "--ttl", "3s", "--json"]).expect_code(0).json();
        assert_eq!(renewed["leases"][0]["port"], here.first());
        let since = Instant::now();
        wait_for("its time is over", || there.run(&["alloc", "--range", &ports]).code == 0);
        assert!(since.elapsed() >= Duration::from_secs(2), "{:?}", since.elapsed());
        // It is the other's now, and who had it notices.
        let answer = here.run(&["renew", "--pid", &holder.id().to_string(), "--json"]).expect_code(0).json();
        assert_eq!(answer["leases"].as_array().map(Vec::len), Some(0));
        kill(holder);
    }
}

#[test]
fn a_killed_runner_loses_its_port_at_the_end_of_its_time_and_not_before() {
    for store in Store::each() {
        let ports = range(1);
        let (here, there) = (store.host(&ports), store.host(&ports));
        let mut run = runner(&here, "2s");
        wait_for("a lease", || !there.leases().is_empty());
        let since = Instant::now();
        wait_for("twice its time", || since.elapsed() > Duration::from_secs(4));
        there.run(&["alloc", "--range", &ports]).expect_code(3);
        let input = run.stdin.take();
        kill(run);
        // The child lives, and nobody renews for it.
        wait_for("the end of its time", || there.run(&["alloc", "--range", &ports]).code == 0);
        drop(input);
    }
}

#[test]
fn a_dead_holder_is_seen_on_its_own_host_and_nowhere_else() {
    let mut unshare = Command::new("unshare");
    let works = unshare.args(["--pid", "--fork", "--mount-proc", "true"]).output();
    if !have("unshare as root", works.is_ok_and(|output| output.status.success())) {
        return;
    }
    for store in Store::each() {
        let host = store.host(&range(1));
        let holder = sleeper();
        host.alloc(&["--pid", &holder.id().to_string(), "--ttl", "1h"]);
        let elsewhere = |arguments: &str| {
            let script = format!("{PORTWRIGHT} pool {arguments} --store {} --group ci; true", store.url());
            let mut command = Command::new("unshare");
            command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &script]).env("HOME", host.sandbox.home());
            String::from_utf8_lossy(&command.output().expect("unshare runs").stdout).into_owned()
        };
        assert!(elsewhere("list --json").contains("\"state\":\"unsure\""));
        let pid = holder.id().to_string();
        kill(holder);
        elsewhere("gc");
        elsewhere(&format!("release --pid {pid}"));
        assert_eq!(elsewhere(&format!("alloc --range {}", host.range)), "");
        assert_eq!(host.run(&["gc", "--json"]).expect_code(0).json()["released"][0]["port"], host.first());
        assert_eq!(elsewhere(&format!("alloc --range {}", host.range)).trim(), host.first().to_string());
    }
}

#[test]
fn a_program_goes_on_while_the_store_is_away_and_keeps_its_port() {
    for mut store in Store::each() {
        let host = store.host(&range(1));
        let mut run = runner(&host, "15s");
        wait_for("a lease", || !host.leases().is_empty());
        let before = host.leases()[0]["id"].clone();
        let said = || fs::read_to_string(host.sandbox.home().join("said")).expect("a file");
        store.stop();
        wait_for("the loss to be told", || said().contains("cannot be renewed for now"));
        assert!(run.try_wait().expect("a state").is_none(), "the program goes on");
        store.run();
        wait_for("the return to be told", || said().contains("renewed again"));
        assert_eq!(said().matches("cannot be renewed").count(), 1, "{}", said());
        assert_eq!(host.leases()[0]["id"], before);
        drop(run.stdin.take());
        assert!(run.wait().expect("an end").success());
        assert!(host.leases().is_empty());
    }
}

#[test]
fn a_store_that_cannot_be_used_is_said_with_a_way_out_and_without_its_password() {
    let file = Pool::new(1);
    let refuse = |url: &str, code: i32| {
        let answer = file.run(&["alloc", "--store", url, "--wait", "5"]).expect_code(code);
        assert!(!answer.stderr.contains("canary"), "{}", answer.stderr);
        answer.stderr
    };
    for scheme in ["etcd", "postgres"] {
        let said = refuse(
            &format!("{scheme}://u:canary@127.0.0.1:{}/x", fresh_port())
                .replace(if scheme == "etcd" { "/x" } else { "" }, ""),
            5,
        );
        assert!(said.contains("refused") && said.contains("--store"), "{said}");
    }
    refuse("redis://u:canary@127.0.0.1/x", 2);
    refuse("etcds://u:canary@127.0.0.1", 2);
    file.run(&["list", "--store", "etcd://127.0.0.1", "--state", "x.json"]).expect_code(2);
    if let Some(postgres) = Postgres::start() {
        let said = refuse(&postgres.url().replace(PASSWORD, "canary-wrong"), 5);
        assert!(said.contains("password authentication failed"), "{said}");
        let url = file.sandbox.home().join("url");
        fs::write(&url, postgres.url()).expect("written");
        fs::set_permissions(&url, fs::Permissions::from_mode(0o644)).expect("open to others");
        let named = url.display().to_string();
        let answer = file.run(&["list", "--store-file", &named]).expect_code(3);
        assert!(answer.stderr.contains("chmod"), "{}", answer.stderr);
        fs::set_permissions(&url, fs::Permissions::from_mode(0o600)).expect("closed");
        file.run(&["list", "--store-file", &named]).expect_code(0);
        postgres.ask("UPDATE portwright_pool.version SET version = 99").expect("as a later version leaves it");
        let answer = file.run(&["list", "--store-file", &named]).expect_code(3);
        assert!(answer.stderr.contains("later version"), "{}", answer.stderr);
    }
    if let Some(etcd) = Etcd::start() {
        for (route, body) in [
            ("auth/user/add", r#"{"name": "root", "password": "secret-1"}"#),
            ("auth/role/add", r#"{"name": "root"}"#),
            ("auth/user/grant", r#"{"user": "root", "role": "root"}"#),
            ("auth/enable", "{}"),
        ] {
            etcd.ask(route, body).expect(route);
        }
        let url = |user: &str| etcd.url().replace("etcd://", &format!("etcd://{user}@"));
        let said = refuse(&url("root:canary"), 5);
        assert!(said.contains("authentication failed"), "{said}");
        let known = url("root:secret-1");
        file.run(&["list", "--store", &known]).expect_code(0);
        refuse(&etcd.url(), 5);
    }
    if let Some(etcd) = Etcd::start_tls() {
        let said = refuse(&format!("etcd://root:canary@127.0.0.1:{}", etcd.port), 5);
        assert!(said.contains("--store"), "{said}");
        certified(&file.sandbox.project(), "other.pem");
        let other = file.sandbox.project().join("other.pem");
        let said = refuse(&format!("etcds://root:canary@127.0.0.1:{}?cacert={}", etcd.port, other.display()), 5);
        assert!(said.contains("certificate"), "{said}");
        refuse(&format!("etcds://root:canary@127.0.0.1:{}?cacert=/no/such", etcd.port), 5);
    }
}

#[test]
fn releases_are_idempotent_and_documents_have_the_fields_of_the_file() {
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let file = Pool::new(2);
    file.alloc(&[]);
    for store in Store::each() {
        let host = store.host(&range(2));
        let port = host.alloc(&["--purpose", "web"])[0].to_string();
        let (here, there) = (&file.leases()[0], &host.leases()[0]);
        assert_eq!((names(here), names(&here["holder"])), (names(there), names(&there["holder"])));
        assert_eq!((&there["purpose"], &there["state"], &there["wan"]), (&"web".into(), &"held".into(), &0.into()));
        assert!(here["holder"]["host"].is_null() && there["holder"]["host"].is_string());
        let usage = |pool: &Pool| pool.run(&["usage", "--json"]).expect_code(0).json()["wans"][0].clone();
        assert_eq!(names(&usage(&file)), names(&usage(&host)));
        let answer = host.run(&["release", &port, "--json"]).expect_code(0).json();
        assert_eq!(
            (answer["released"][0]["port"].to_string(), answer["not_leased"].to_string()),
            (port.clone(), "[]".into())
        );
        let answer = host.run(&["release", &port, "--json"]).expect_code(0).json();
        assert_eq!(answer["not_leased"][0].to_string(), port);
        host.run(&["release", "--id", "00000000"]).expect_code(0);
        assert_eq!(host.run(&["alloc", "--range", &host.range, "-n", "2"]).expect_code(0).stdout.lines().count(), 2);
        host.run(&["release", "--pid", &std::process::id().to_string()]).expect_code(0);
        assert!(host.leases().is_empty());
    }
}
