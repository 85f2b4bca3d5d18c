//! Sentences of the contract, held against the real program from the outside.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Sandbox, free_block, hold};

/// A compose file with one line in `ports` for each service.
fn compose(services: &[(&str, &str)]) -> String {
    let one = |(name, port): &(&str, &str)| format!("  {name}:\n    image: x\n    ports:\n      - {port}\n");
    format!("services:\n{}", services.iter().map(one).collect::<String>())
}

fn one(port: &str) -> Sandbox {
    Sandbox::new(&[("compose.yaml", &compose(&[("web", port)]))])
}

/// Two services with a variable each, at `first` and the port after it.
fn pair(first: u16) -> Sandbox {
    let (a, b) = (format!("\"${{A_PORT:-{first}}}:80\""), format!("\"${{B_PORT:-{}}}:80\"", first + 1));
    Sandbox::new(&[("compose.yaml", &compose(&[("a", &a), ("b", &b)]))])
}

fn states(sandbox: &Sandbox, arguments: &[&str]) -> Vec<String> {
    let answer = sandbox.run(&[&["check", "--json"], arguments].concat());
    let document = answer.json();
    let bindings = document.get("bindings").and_then(Value::as_array);
    bindings
        .unwrap_or_else(|| panic!("{}", answer.stdout))
        .iter()
        .map(|binding| binding["state"].as_str().expect("a state").to_owned())
        .collect()
}

fn arrange(sandbox: &Sandbox, arguments: &[&str]) -> Answer {
    sandbox.run(&[&["quick-start", "--no-launch"], arguments].concat())
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn each_document_begins_with_its_schema_and_has_the_fields_of_the_contract() {
    let first = free_block(4);
    let sandbox = pair(first);
    let _held = hold(first);
    for (arguments, code, fields) in [
        (&["check"][..], 3, &["schema", "directory", "bindings", "summary"][..]),
        (&["scan"], 0, &["schema", "sockets", "unseen", "free"]),
        (&["status"], 0, &["schema", "services"]),
        (
            &["quick-start", "--yes", "--dry-run", "--no-launch"],
            0,
            &[
                "schema",
                "directory",
                "runtime",
                "bindings",
                "changes",
                "launched",
                "urls",
                "warnings",
                "undo_id",
                "dry_run",
            ],
        ),
    ] {
        let answer = sandbox.run(&[arguments, &["--json"]].concat());
        let verb = arguments[0];
        if verb == "status" && answer.code == 5 {
            continue;
        }
        let answer = answer.expect_code(code);
        assert!(answer.stdout.starts_with(&format!("{{\"schema\":\"portwright.{verb}/1\",")), "{}", answer.stdout);
        let document = answer.json();
        let mut wanted = fields.to_vec();
        wanted.sort_unstable();
        assert_eq!(keys(&document), wanted, "{verb}");
    }
}

#[test]
fn a_failure_under_json_is_one_document_with_the_exit_code() {
    let sandbox = Sandbox::new(&[("notes.txt", "nothing here\n")]);
    for (arguments, code) in [
        (&["check", "--json"][..], 5),
        (&["check", "--json", "-C", "nowhere"], 5),
        (&["check", "--json", "--bogus"], 2),
        (&["scan", "--json", "--range", "9-1"], 2),
        (&["--json", "chek"], 2),
    ] {
        let answer = sandbox.run(arguments).expect_code(code);
        let document = answer.json();
        assert_eq!(document["error"]["code"], code, "{arguments:?}");
        assert!(document["schema"].as_str().is_some_and(|schema| schema.ends_with("/1")), "{}", answer.stdout);
    }
}

#[test]
fn a_range_of_n_ports_is_n_bindings_and_moves_as_a_whole() {
    let first = free_block(10);
    let sandbox = one(&format!("\"{first}-{}:80-82\"", first + 2));
    let _held = hold(first + 1);
    assert_eq!(states(&sandbox, &[]), ["free", "conflict", "free"]);
    let answer = arrange(&sandbox, &["--yes"]).expect_code(0);
    let said = format!("{first}-{} → {}-{}", first + 2, first + 2, first + 4);
    assert!(answer.stderr.contains(&said), "{}", answer.stderr);
    assert!(sandbox.read("compose.yaml").contains(&format!("\"{}-{}:80-82\"", first + 2, first + 4)));
}

#[test]
fn a_range_of_which_the_engine_chooses_conflicts_only_when_it_is_full() {
    let first = free_block(3);
    let sandbox = one(&format!("\"{first}-{}:80\"", first + 1));
    let _one = hold(first);
    assert_eq!(states(&sandbox, &[]), ["free"]);
    let _two = hold(first + 1);
    assert_eq!(states(&sandbox, &[]), ["conflict"]);
}

#[test]
fn tcp_and_udp_are_different_ports() {
    let first = free_block(1);
    let _held = UdpSocket::bind(("0.0.0.0", first)).unwrap();
    assert_eq!(states(&one(&format!("\"{first}:80\"")), &[]), ["free"]);
    assert_eq!(states(&one(&format!("\"{first}:80/udp\"")), &[]), ["conflict"]);
}

#[test]
fn addresses_overlap_as_the_measured_table_says() {
    let first = free_block(4);
    let _lo = TcpListener::bind(("127.0.0.1", first)).unwrap();
    let _six = TcpListener::bind(("::1", first + 1)).unwrap();
    for (entry, state) in [
        (format!("\"{first}:80\""), "conflict"),
        (format!("\"127.0.0.1:{first}:80\""), "conflict"),
        (format!("\"127.0.0.2:{first}:80\""), "free"),
        (format!("\"[::1]:{first}:80\""), "free"),
        (format!("\"[::1]:{}:80\"", first + 1), "conflict"),
        (format!("\"127.0.0.1:{}:80\"", first + 1), "free"),
        (format!("\"{}:80\"", first + 1), "conflict"),
    ] {
        assert_eq!(states(&one(&entry), &[]), [state], "{entry}");
    }
}

#[test]
fn the_local_port_of_an_outgoing_connection_is_in_the_way() {
    let target = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let connection = TcpStream::connect(target.local_addr().unwrap()).unwrap();
    let port = connection.local_addr().unwrap().port();
    assert_eq!(states(&one(&format!("\"{port}:80\"")), &[]), ["conflict"]);
}

#[test]
fn an_address_that_this_host_does_not_have_is_a_conflict_that_no_port_resolves() {
    let sandbox = one("\"203.0.113.7:21999:80\"");
    let before = sandbox.contents();
    let answer = sandbox.run(&["check", "--json"]).expect_code(3);
    assert_eq!(answer.json()["bindings"][0]["suggested"], Value::Null);
    let answer = arrange(&sandbox, &["--yes"]).expect_code(3);
    assert!(answer.stderr.contains("203.0.113.7 is not an address of this host"), "{}", answer.stderr);
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn one_variable_for_two_services_on_one_address_ends_with_two_ports() {
    let first = free_block(5);
    let port = format!("\"${{V:-{first}}}:80\"");
    let sandbox = Sandbox::new(&[("compose.yaml", &compose(&[("a", &port), ("b", &port)]))]);
    assert_eq!(states(&sandbox, &[]), ["free", "conflict"]);
    arrange(&sandbox, &["--yes"]).expect_code(0);
    assert_eq!(states(&sandbox, &[]), ["free", "free"]);
    sandbox.run(&["undo", "--yes"]).expect_code(0);
    assert_eq!(states(&sandbox, &[]), ["free", "conflict"]);
}

#[test]
fn ports_that_cannot_be_edited_in_place_move_in_an_override_file() {
    let first = free_block(5);
    let merge = format!("x-p: &p\n  ports: [\"{first}:80\"]\nservices:\n  a:\n    <<: *p\n    image: x\n");
    let include = "include:\n  - sub/c.yml\nservices:\n  z:\n    image: x\n".to_owned();
    let sub = compose(&[("a", &format!("\"{first}:80\""))]);
    let _held = hold(first);
    for file in [merge, include] {
        let sandbox = Sandbox::new(&[("compose.yaml", &file), ("sub/c.yml", &sub)]);
        arrange(&sandbox, &["--yes"]).expect_code(0);
        let moved = sandbox.read("compose.override.yaml");
        assert!(moved.contains("!override") && moved.contains(&format!("{}:80", first + 1)), "{moved}");
        assert_eq!((sandbox.read("compose.yaml"), sandbox.read("sub/c.yml")), (file, sub.clone()));
        assert_eq!(states(&sandbox, &[]), ["free"]);
        sandbox.run(&["undo", "--yes"]).expect_code(0);
        assert!(!sandbox.project().join("compose.override.yaml").exists());
    }
}

#[test]
fn named_ports_may_swap_places_and_free_one_for_a_sibling() {
    let first = free_block(10);
    let sandbox = pair(first);
    let (a, b) = (format!("a={}", first + 1), format!("B_PORT={first}"));
    arrange(&sandbox, &["--yes", "--port", &a, "--port", &b]).expect_code(0);
    assert_eq!(sandbox.read(".env"), format!("A_PORT={}\nB_PORT={first}\n", first + 1));
    let port = format!("\"{first}:80\"");
    let sandbox = Sandbox::new(&[("compose.yaml", &compose(&[("a", &port), ("b", &port)]))]);
    arrange(&sandbox, &["--yes", "--port", &format!("a:80={}", first + 9)]).expect_code(0);
    let expected = compose(&[("a", &format!("\"{}:80\"", first + 9)), ("b", &port)]);
    assert_eq!(sandbox.read("compose.yaml"), expected);
}

#[test]
fn a_port_that_cannot_be_named_so_is_a_usage_error_and_changes_nothing() {
    let first = free_block(10);
    let sandbox = pair(first);
    let before = sandbox.contents();
    for wish in ["a=0", "a=65536", "a=x", "a", "=80", "a=", "a=-1", "nobody=8000"] {
        arrange(&sandbox, &["--yes", "--port", wish]).expect_code(2);
    }
    let (one, two) = (format!("b={}", first + 8), format!("B_PORT={}", first + 9));
    arrange(&sandbox, &["--yes", "--port", &one, "--port", &two]).expect_code(2);
    let _held = hold(first + 9);
    arrange(&sandbox, &["--yes", "--port", &two]).expect_code(3);
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn automatic_choice_goes_on_beyond_the_hundred_and_stays_in_a_range() {
    let first = free_block(100);
    let sandbox = pair(first);
    let held: Vec<_> = (first..first + 20).filter(|port| *port != first + 1).map(hold).collect();
    arrange(&sandbox, &["--yes"]).expect_code(0);
    assert_eq!(sandbox.read(".env"), format!("A_PORT={}\n", first + 20));
    drop(held);
    let sandbox = pair(first);
    let _held = (hold(first), hold(first + 50));
    let range = format!("{}-{}", first + 50, first + 51);
    arrange(&sandbox, &["--yes", "--range", &range]).expect_code(0);
    assert_eq!(sandbox.read(".env"), format!("A_PORT={}\n", first + 51));
    let full = format!("{0}-{0}", first + 50);
    arrange(&pair(first), &["--yes", "--range", &full]).expect_code(3);
}

#[test]
fn a_port_in_the_ephemeral_range_is_the_last_resort_and_comes_with_a_warning() {
    let first = free_block(1);
    let sandbox = one(&format!("\"${{V:-{first}}}:80\""));
    let _held = hold(first);
    let answer = arrange(&sandbox, &["--yes", "--json", "--range", "45200-45299"]).expect_code(0);
    let warnings = answer.json()["warnings"].to_string();
    assert!(warnings.contains("outgoing connections"), "{warnings}");
}

#[test]
fn a_port_with_a_fixed_meaning_is_moved_only_by_name() {
    let Ok(_held) = UdpSocket::bind(("127.0.0.9", 53)) else { return };
    let sandbox = one("\"127.0.0.9:53:53/udp\"");
    let before = sandbox.contents();
    arrange(&sandbox, &["--yes"]).expect_code(3);
    assert_eq!(sandbox.contents(), before);
    let to = free_block(1);
    arrange(&sandbox, &["--yes", "--port", &format!("web={to}")]).expect_code(0);
    assert!(sandbox.read("compose.yaml").contains(&format!("127.0.0.9:{to}:53/udp")));
}

#[test]
fn what_was_chosen_before_is_chosen_again_while_it_is_free_and_nothing_forbids_it() {
    let first = free_block(50);
    let text = format!("V={first}\n");
    let file = compose(&[("web", &format!("\"${{V:-{first}}}:80\""))]);
    let sandbox = Sandbox::new(&[("compose.yaml", &file), (".env", &text)]);
    let _held = hold(first);
    arrange(&sandbox, &["--yes", "--port", &format!("V={}", first + 5)]).expect_code(0);
    sandbox.run(&["undo", "--yes"]).expect_code(0);
    arrange(&sandbox, &["--yes"]).expect_code(0);
    assert_eq!(sandbox.read(".env"), format!("V={}\n", first + 5));
    sandbox.write(".env", &text);
    arrange(&sandbox, &["--yes", "--range", &format!("{}-{}", first + 30, first + 40)]).expect_code(0);
    assert_eq!(sandbox.read(".env"), format!("V={}\n", first + 30));
    let free = format!("V={}\n", first + 20);
    sandbox.write(".env", &free);
    arrange(&sandbox, &["--yes"]).expect_code(0);
    assert_eq!(sandbox.read(".env"), free);
}

/// A project whose port is named in a URL, in the README and in a health check.
fn talkative(first: u16) -> Sandbox {
    let file = compose(&[("web", &format!("\"{first}:80\""))])
        + &format!("    healthcheck:\n      test: curl http://localhost:{first}\n");
    let env = format!("CORS=http://localhost:{first},http://127.0.0.1:{first}\n");
    let readme = format!("# App\n\nOpen http://localhost:{first}\n");
    Sandbox::new(&[("compose.yaml", &file), (".env", &env), ("README.md", &readme)])
}

#[test]
fn other_places_are_listed_with_file_and_line_and_changed_only_when_asked() {
    let first = free_block(4);
    let _held = hold(first);
    let sandbox = talkative(first);
    let answer = arrange(&sandbox, &["--yes"]).expect_code(0);
    for place in [".env:1", "README.md:3", "compose.yaml:7"] {
        assert!(answer.stderr.contains(place), "{place}: {}", answer.stderr);
    }
    assert!(sandbox.read(".env").contains(&format!("localhost:{first},")));
    let sandbox = talkative(first);
    let before = sandbox.contents();
    arrange(&sandbox, &["--yes", "--ripple"]).expect_code(0);
    let to = first + 1;
    assert_eq!(sandbox.read(".env"), format!("CORS=http://localhost:{to},http://127.0.0.1:{to}\n"));
    assert!(sandbox.read("README.md").contains(&format!("localhost:{to}\n")));
    assert!(sandbox.read("compose.yaml").contains(&format!("curl http://localhost:{first}\n")));
    sandbox.run(&["undo", "--yes"]).expect_code(0);
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn the_reference_by_which_a_port_moves_is_not_another_place() {
    let first = free_block(4);
    let sandbox = pair(first);
    let _held = hold(first);
    let answer = arrange(&sandbox, &["--yes"]).expect_code(0);
    assert!(!answer.stderr.contains("other places"), "{}", answer.stderr);
}

#[test]
fn links_pipes_and_giants_in_place_of_the_env_file_are_refused_at_once() {
    type Prepare<'a> = &'a dyn Fn(&Sandbox);
    let first = free_block(2);
    let _held = hold(first);
    let cases: [(&str, Prepare<'_>); 4] = [
        ("dangling", &|sandbox| symlink("nowhere", sandbox.project().join(".env")).unwrap()),
        ("loop", &|sandbox| symlink(".env", sandbox.project().join(".env")).unwrap()),
        ("outside", &|sandbox| {
            std::fs::write(sandbox.home().join("out.env"), "A=1\n").unwrap();
            symlink("../home/out.env", sandbox.project().join(".env")).unwrap();
        }),
        ("giant", &|sandbox| sandbox.write(".env", &"A=1\n".repeat(2_600_000))),
    ];
    for (name, prepare) in cases {
        let sandbox = one(&format!("\"${{V:-{first}}}:80\""));
        prepare(&sandbox);
        let started = Instant::now();
        let answer = arrange(&sandbox, &["--yes"]);
        assert_eq!(answer.code, 3, "{name}: {}", answer.stderr);
        assert!(started.elapsed() < Duration::from_secs(5), "{name}");
        let outside = std::fs::read_to_string(sandbox.home().join("out.env"));
        assert!(outside.is_err() || outside.is_ok_and(|text| text == "A=1\n"), "{name}");
    }
}

#[test]
fn scan_names_free_ports_of_any_range_and_says_when_there_are_too_few() {
    let first = free_block(10);
    let _held = (hold(first), UdpSocket::bind(("127.0.0.1", first + 1)).unwrap());
    let sandbox = Sandbox::new(&[]);
    let range = format!("{first}-{}", first + 4);
    let free = |arguments: &[&str], code: i32| {
        let answer = sandbox.run(&[&["scan", "--json"], arguments].concat()).expect_code(code);
        answer.json()["free"].clone()
    };
    assert_eq!(free(&["--range", &range, "--free", "2"], 0), json!([first + 2, first + 3]));
    assert_eq!(free(&["--range", &range, "--free", "2", "--protocol", "tcp"], 0), json!([first + 1, first + 2]));
    assert_eq!(free(&["--range", &range, "--free", "9"], 3).as_array().map(Vec::len), Some(3));
    assert_eq!(free(&["--range", "45300-45399", "--free", "1"], 0).as_array().map(Vec::len), Some(1));
}

#[test]
fn reports_for_machines_point_at_the_line_of_the_compose_file() {
    let first = free_block(2);
    let _held = hold(first);
    let sandbox = one(&format!("\"{first}:80\""));
    let output = sandbox.home().join("output");
    let mut command = sandbox.command(&["check", "--json", "--report", "junit=j.xml,sarif=s.sarif"]);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_OUTPUT", &output);
    let answer = Answer::from(command.output().unwrap()).expect_code(3);
    answer.json();
    assert_eq!(std::fs::read_to_string(output).unwrap(), format!("port_web={first}\n"));
    let junit = sandbox.read("j.xml");
    assert!(junit.contains("failures=\"1\"") && junit.contains("file=\"compose.yaml\" line=\"5\""), "{junit}");
    let sarif: Value = serde_json::from_str(&sandbox.read("s.sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "compose.yaml");
    assert_eq!(place["region"]["startLine"], 5);
    let annotation = sandbox.run(&["check", "--format", "github"]).expect_code(3).stdout;
    assert!(annotation.starts_with("::error file=compose.yaml,line=5,"), "{annotation}");
}

#[test]
fn without_a_terminal_nothing_is_ever_waited_for() {
    let first = free_block(4);
    let sandbox = pair(first);
    let before = sandbox.contents();
    for (arguments, code) in [
        (&["quick-start"][..], 2),
        (&["quick-start", "--on-conflict", "ask"], 2),
        (&["quick-start", "--dry-run", "--no-launch"], 0),
        (&["undo"], 0),
    ] {
        let started = Instant::now();
        sandbox.run(arguments).expect_code(code);
        // Far above what a loaded machine needs, far below a person's patience: a wait would last for ever.
        assert!(started.elapsed() < Duration::from_secs(30), "{arguments:?}");
    }
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn a_stranger_in_the_path_is_no_trouble() {
    let first = free_block(2);
    let _held = hold(first);
    for name in ["with space", "with\nline"] {
        let sandbox = Sandbox::new(&[]);
        let folder = sandbox.project().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("compose.yaml"), compose(&[("web", &format!("\"${{V:-{first}}}:80\""))])).unwrap();
        let run =
            |arguments: &[&str]| -> Answer { sandbox.command(arguments).current_dir(&folder).output().unwrap().into() };
        run(&["quick-start", "--yes", "--no-launch"]).expect_code(0);
        assert_eq!(std::fs::read_to_string(folder.join(".env")).unwrap(), format!("V={}\n", first + 1));
        run(&["undo", "--yes"]).expect_code(0);
        assert!(!folder.join(".env").exists());
    }
}

#[test]
fn verbs_that_change_something_take_yes() {
    let sandbox = Sandbox::new(&[]);
    for verb in [
        "quick-start",
        "up",
        "undo",
        "down",
        "tune apply",
        "tune revert",
        "pool alloc",
        "pool release",
        "pool renew",
        "pool gc",
        "pool run",
        "mapping create",
        "mapping remove",
        "mapping update",
        "mapping reload",
        "mapping import",
        "service install server",
        "service install client",
        "service uninstall",
        "service start",
        "service stop",
        "tunnel token create",
        "tunnel token revoke",
        "doctor",
    ] {
        let words: Vec<&str> = verb.split(' ').chain(["--help"]).collect();
        let help = sandbox.run(&words);
        assert!(help.code == 0 && help.stdout.contains("--yes"), "{verb}: {}", help.stdout);
    }
}
