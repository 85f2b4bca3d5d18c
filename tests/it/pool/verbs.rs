//! What each verb answers.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use super::{Pool, kill, sleeper, wait_for};

#[test]
fn ports_are_leased_listed_and_given_back_once() {
    let pool = Pool::new(10);
    let holder = sleeper();
    let pid = holder.id().to_string();
    let ports = pool.alloc(&["--count", "2", "--pid", &pid, "--purpose", "web"]);
    assert_eq!(ports, [pool.first(), pool.first() + 1]);
    let leases = pool.leases();
    assert_eq!(leases.len(), 2);
    let lease = &leases[0];
    assert_eq!((&lease["wan"], &lease["port"], &lease["state"]), (&0.into(), &ports[0].into(), &"held".into()));
    assert_eq!((&lease["holder"]["pid"], &lease["purpose"]), (&holder.id().into(), &"web".into()));
    assert!(lease["expires"].as_str().is_some_and(|text| text.len() == 20 && text.ends_with('Z')), "{lease}");
    assert_ne!(leases[0]["id"], leases[1]["id"]);

    let answer = pool.run(&["release", &ports[0].to_string(), "--json"]).expect_code(0).json();
    assert_eq!(answer["schema"], "portwright.pool/1");
    assert_eq!(answer["released"][0]["port"], ports[0]);
    let again = pool.run(&["release", &ports[0].to_string()]).expect_code(0);
    assert!(again.stderr.contains(&format!("port {} was not leased", ports[0])), "{}", again.stderr);
    pool.run(&["release", "--id", leases[1]["id"].as_str().expect("an id")]).expect_code(0);
    assert_eq!(pool.leased(), [0_u64; 0]);
    kill(holder);
}

#[test]
fn the_caller_holds_what_it_did_not_take_for_another() {
    let pool = Pool::new(10);
    let document = pool.run(&["alloc", "--range", &pool.range, "--json"]).expect_code(0).json();
    assert_eq!(document["leases"][0]["holder"]["pid"], std::process::id());
    assert_eq!(pool.run(&["release", "--pid", &std::process::id().to_string()]).expect_code(0).code, 0);
    assert!(pool.leases().is_empty());
}

#[test]
fn a_subshell_of_the_script_is_not_the_holder() {
    let pool = Pool::new(10);
    let script = format!(
        "port=$({program} pool alloc --range {range} | cat); set -- $({program} pool list --json | tr ',{{' '\\n\\n' | grep '\"pid\"'); echo $$ $port $1",
        program = super::super::support::PORTWRIGHT,
        range = pool.range,
    );
    let mut command = pool.sandbox.command(&[]);
    let mut shell = std::process::Command::new("bash");
    shell
        .arg("-c")
        .arg(script)
        .env_clear()
        .envs(command.stdin(Stdio::null()).get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().expect("bash runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words.get(1).map(|port| port.parse()), Some(Ok(pool.first())), "{text} {output:?}");
    assert_eq!(words.get(2).map(|pid| pid.trim_start_matches("\"pid\":")), words.first().copied(), "{text}");
}

#[test]
fn all_ports_are_given_or_none_and_used_ones_are_left_alone() {
    let pool = Pool::new(4);
    let _held = TcpListener::bind(("0.0.0.0", pool.first() + 1)).expect("a port");
    let answer = pool.run(&["alloc", "--range", &pool.range, "-n", "4"]).expect_code(3);
    assert!(answer.stderr.contains("0 are leased, 1 are in use by others; none was taken"), "{}", answer.stderr);
    assert!(pool.leases().is_empty());
    let answer = pool.run(&["alloc", "--range", &pool.range, "-n", "3", "--contiguous"]).expect_code(3);
    assert!(answer.stderr.contains("in a row"), "{}", answer.stderr);
    assert_eq!(pool.alloc(&["-n", "2", "--contiguous"]), [pool.first() + 2, pool.first() + 3]);
    assert_eq!(pool.alloc(&[]), [pool.first()]);
}

#[test]
fn a_released_port_rests_while_others_have_rested_longer() {
    let pool = Pool::new(4);
    let mut seen = Vec::new();
    for _ in 0..8 {
        let port = pool.alloc(&[])[0];
        seen.push(port - pool.first());
        pool.run(&["release", &port.to_string()]).expect_code(0);
    }
    assert_eq!(seen, [0, 1, 2, 3, 0, 1, 2, 3]);
}

#[test]
fn usage_counts_each_wan_of_the_configuration() {
    let pool = Pool::new(10);
    let first = pool.first();
    let config = format!(
        "[[wan]]\nindex = 0\nname = \"one\"\nbind = \"127.0.0.1\"\nrange = \"{first}-{}\"\n\
         [[wan]]\nindex = 1\nname = \"two\"\nbind = \"127.0.0.2\"\nrange = \"{first}-{}\"\n",
        first + 4,
        first + 9
    );
    pool.sandbox.write("pool.toml", &config);
    // The port is used on one address, and leased on the other all the same.
    let _held = TcpListener::bind(("127.0.0.1", first)).expect("a port");
    assert_eq!(pool.run(&["alloc", "--wan", "0"]).expect_code(0).stdout.trim(), (first + 1).to_string());
    assert_eq!(pool.run(&["alloc", "--wan", "1", "-n", "2"]).expect_code(0).stdout.lines().count(), 2);
    let document = pool.run(&["usage", "--json"]).expect_code(0).json();
    let counts = |wan: usize| {
        let usage = &document["wans"][wan];
        ["total", "leased", "in_use", "free"].map(|name| usage[name].as_u64().expect("a count"))
    };
    assert_eq!(counts(0), [5, 1, 1, 3], "{document}");
    assert_eq!(counts(1), [10, 2, 0, 8], "{document}");
    let answer = pool.run(&["release", &(first + 1).to_string()]).expect_code(2);
    assert!(answer.stderr.contains("on several WANs (0, 1)"), "{}", answer.stderr);
    pool.run(&["release", &(first + 1).to_string(), "--wan", "1"]).expect_code(0);
    assert_eq!(pool.leased().len(), 2);
    pool.run(&["alloc", "--wan", "2"]).expect_code(2);
}

#[test]
fn an_address_of_another_machine_is_said_and_nothing_is_taken() {
    let pool = Pool::new(10);
    let config = format!("[[wan]]\nindex = 0\nbind = \"192.0.2.1\"\nrange = \"{}\"\n", pool.range);
    pool.sandbox.write("pool.toml", &config);
    let answer = pool.run(&["alloc"]).expect_code(5);
    assert!(answer.stderr.contains("192.0.2.1 of WAN 0 is not one of this host"), "{}", answer.stderr);
    assert!(pool.leases().is_empty());
}

#[test]
fn a_program_gets_its_ports_by_environment_and_arguments_and_its_exit_code_is_ours() {
    let pool = Pool::new(10);
    let script = "echo $PORT $PORT1 $PORT2 {port} {port1} {port2} {port3}; exit 42";
    let answer = pool.run(&["run", "--range", &pool.range, "-n", "2", "--", "sh", "-c", script]).expect_code(42);
    let (one, two) = (pool.first(), pool.first() + 1);
    assert_eq!(answer.stdout, format!("{one} {one} {two} {one} {one} {two} {{port3}}\n"));
    assert!(pool.leases().is_empty());
    pool.run(&["run", "--range", &pool.range, "--", "sh", "-c", "kill -KILL $$"]).expect_code(137);
    pool.run(&["run", "--range", &pool.range, "--", "no such program"]).expect_code(5);
    pool.run(&["run", "--json", "--", "true"]).expect_code(2);
    assert!(pool.leases().is_empty());
}

#[test]
fn a_program_holds_its_own_lease_and_signals_reach_it() {
    let pool = Pool::new(10);
    let script = "trap 'echo stopped; exit 9' TERM; echo ready; echo ready >&2; while :; do read -t 1 line; done";
    let mut command =
        pool.sandbox.command(&["pool", "run", "--range", &pool.range, "--hold", "--", "bash", "-c", script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut input = child.stdin.take().expect("an input");
    child.stderr.take().expect("its words").read_exact(&mut [0; 5]).expect("that it is ready for a signal");
    wait_for("the program holds its lease", || {
        pool.leases().first().is_some_and(|lease| lease["holder"]["pid"] != child.id() && lease["purpose"] == "bash")
    });
    // The port is bound, and yet a server that reuses addresses may listen on it.
    let address = std::net::SocketAddr::from(([0, 0, 0, 0], pool.first()));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    assert!(socket.bind(&address.into()).is_err());
    socket.set_reuse_address(true).expect("an option");
    socket.bind(&address.into()).and_then(|()| socket.listen(1)).expect("a listener");
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    let _ = input.write_all(b"\n");
    let output = child.wait_with_output().expect("an end");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(9), "ready\nstopped\n"));
    drop(socket);
    assert!(pool.leases().is_empty());
}

#[test]
fn a_lease_is_renewed_and_ends_when_its_time_is_over() {
    let pool = Pool::new(4);
    let port = pool.alloc(&["--ttl", "1s"])[0].to_string();
    let renewed = pool.run(&["renew", &port, "--ttl", "1h", "--json"]).expect_code(0).json();
    assert_eq!(renewed["leases"][0]["port"].to_string(), port);
    pool.run(&["renew", &port, "--ttl", "1s"]).expect_code(0);
    wait_for("the lease ends", || pool.leases().is_empty());
}
