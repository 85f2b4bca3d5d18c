use super::*;

fn port(number: u16) -> Port {
    Port::new(number).expect("a port")
}

/// Looks for `PORT` and 8000 in one file; tells each use as line, name and place.
fn found(file: &str, text: &str) -> Vec<(usize, String, String)> {
    uses(Some("PORT"), port(8000), &[(PathBuf::from(file), text.as_bytes())], &[])
        .into_iter()
        .map(|found| (found.at.line, found.name, found.place))
        .collect()
}

/// Checks lines that each stand alone: the name found and its place, or nothing.
fn labelled(file: &str, before: &str, lines: &[(&str, Option<(&str, &str)>)]) {
    for (line, expected) in lines {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, place)| (before.matches('\n').count() + 1, (*name).to_owned(), (*place).to_owned()))
            .collect();
        assert_eq!(found(file, &format!("{before}{line}\n")), expected, "{line:?}");
    }
}

#[test]
fn env_values_name_the_port_where_it_is_seen_from_outside() {
    labelled(
        ".env.local",
        "# http://localhost:8000\nPORT=8000\n",
        &[
            ("URL=http://localhost:8000", Some(("8000", "URL"))),
            ("URL=http://localhost:8000/path?x=1 # c", Some(("8000", "URL"))),
            ("export ORIGINS=\"https://a.example.org,http://127.0.0.1:8000\"", Some(("8000", "ORIGINS"))),
            ("LISTENERS=IN://kafka:9092,OUT://localhost:8000", Some(("8000", "LISTENERS"))),
            ("HOST='app.example.org:8000'", None),
            ("URL='https://app.example.org:8000'", Some(("8000", "URL"))),
            ("URL=http://[::1]:8000/", Some(("8000", "URL"))),
            ("API_PORT=8000", Some(("8000", "API_PORT"))),
            ("API_PORT=\"8000\"", Some(("8000", "API_PORT"))),
            ("URL=http://localhost:${PORT}", Some(("PORT", "URL"))),
            ("URL=http://localhost:$PORT/", Some(("PORT", "URL"))),
            ("OTHER=${PORT:-8000}", Some(("PORT", "OTHER"))),
            ("URL='http://localhost:${PORT}'", None),
            ("A=$$PORT", None),
            ("A=$PORTAL ${PORT_B}", None),
            ("MAX_ROWS=8000", None),
            ("DB=postgres://db:8000/x", None),
            ("URL=http://localhost:18000", None),
            ("URL=http://localhost:80001", None),
            ("TIMEOUT=8000ms", None),
            ("KEY=abc8000def", None),
            ("SUPPORTED=8000", None),
            ("#URL=http://localhost:8000", None),
        ],
    );
}

#[test]
fn compose_lines_name_the_port_outside_the_container_side() {
    labelled(
        "/p/compose.yaml",
        "services:\n  web:\n    environment:\n",
        &[
            ("      ORIGIN: http://localhost:8000", Some(("8000", "ORIGIN"))),
            ("      - ORIGIN=http://localhost:8000", Some(("8000", "ORIGIN"))),
            ("      \"ORIGIN\": \"http://localhost:8000\"", Some(("8000", "ORIGIN"))),
            ("    - \"ORIGIN=http://localhost:8000\"", Some(("8000", "ORIGIN"))),
            ("      ADVERTISED_PORT: 8000", Some(("8000", "ADVERTISED_PORT"))),
            ("      APP_PORT: 8000", None),
            ("      PORT: 8000", None),
            ("      - PORT", Some(("PORT", "environment"))),
            ("      PORT:", Some(("PORT", "PORT"))),
            ("      LISTEN: 0.0.0.0:${PORT}", Some(("PORT", "LISTEN"))),
            ("      A: $$PORT # ${PORT}", None),
            ("      API: http://api:8000", None),
            ("      LISTENERS: http://0.0.0.0:8000", None),
            ("      ADVERTISED: OUT://127.0.0.1:8000,IN://[::]:8000", Some(("8000", "ADVERTISED"))),
            ("      # ORIGIN: http://localhost:8000", None),
        ],
    );
    labelled(
        "docker-compose.yml",
        "services:\n  web:\n",
        &[
            ("    ports: [\"8000:8000\", \"9000:8000\", \"127.0.0.1:8000:80\"]", None),
            ("    ports: [\"${PORT:-8000}:80\"]", Some(("PORT", "ports"))),
            ("    image: registry.local:8000", None),
            ("    image: app:8000", None),
            ("    command: serve --port 8000 --listen :8000", None),
            ("    healthcheck: {test: curl -f http://localhost:8000/health}", Some(("8000", "healthcheck"))),
            ("    expose: [\"8000\"]", None),
        ],
    );
    labelled(
        "compose.yml",
        "services:\n  web:\n    build:\n      args:\n",
        &[
            ("        API_PORT: \"8000\"", Some(("8000", "API_PORT"))),
            ("        - API=http://localhost:8000", Some(("8000", "API"))),
            ("        WORKERS: 8000", None),
        ],
    );
}

#[test]
fn sections_end_where_their_indentation_ends() {
    let text = "services:\n  web:\n    ports:\n    - 8000:80\n    - target: 80\n      published: 8000\n    \
                healthcheck:\n      test:\n      - CMD\n      - curl http://localhost:8000\n";
    assert_eq!(found("compose.yaml", text), [(10, "8000".to_owned(), "test".to_owned())]);
}

#[test]
fn prose_names_the_port_where_it_says_so() {
    labelled(
        "README.zh.md",
        "# Start \u{1b}it\n",
        &[
            ("Open http://localhost:8000.", Some(("8000", "Start it"))),
            ("Open http://myserver:8000/admin", Some(("8000", "Start it"))),
            ("It listens on port 8000, always.", Some(("8000", "Start it"))),
            ("Port: **8000**", Some(("8000", "Start it"))),
            ("open 8000/tcp", Some(("8000", "Start it"))),
            ("| `API_PORT` | 8000 |", Some(("8000", "Start it"))),
            ("docker run -p 8000:80 app", Some(("8000", "Start it"))),
            ("    WEB_PORT=8000 make", Some(("8000", "Start it"))),
            ("listens on :8000", Some(("8000", "Start it"))),
            ("默认端口为8000", Some(("8000", "Start it"))),
            ("打开 8000 端口。", Some(("8000", "Start it"))),
            ("Set `PORT` to move it.", Some(("PORT", "Start it"))),
            ("PORT=9000 make", Some(("PORT", "Start it"))),
            ("It can support 8000 users.", None),
            ("8000 rows, 8000ms, 18000, 8000.5", None),
            ("see main.py:8000 and app:8000", None),
            ("EXPORT=1 for the PORTAL", None),
            ("docker run -p 80:8000 app", None),
            ("ports 8000-8010", None),
        ],
    );
}

#[test]
fn headings_are_not_taken_from_code() {
    let text = "## Run\n```sh\n# export TOKEN=x\ncurl localhost:8000\n```\n";
    assert_eq!(found("README.md", text), [(4, "8000".to_owned(), "Run".to_owned())]);
}

#[test]
fn places_that_the_move_changes_are_left_out() {
    let file = PathBuf::from("compose.yaml");
    let text = "services:\n  é: {ports: [\"${PORT}:${PORT}\"]}\n";
    let first = text.find("${PORT}").expect("there");
    let found = uses(Some("PORT"), port(8000), &[(file.clone(), text.as_bytes())], &[(file.clone(), first..first + 7)]);
    let spots: Vec<_> = found.iter().map(|found| (found.at.line, found.at.column)).collect();
    assert_eq!(spots, [(2, 26)]);
    assert_eq!(found[0].at.file, file);
}

#[test]
fn values_of_several_lines_tell_the_line_of_the_use() {
    let text = "A=\"x\nhttp://localhost:8000\"\r\nB=\"\n\"C=http://localhost:8000";
    let lines: Vec<_> = found(".env", text).into_iter().map(|(line, _, place)| (line, place)).collect();
    assert_eq!(lines, [(2, "A".to_owned()), (4, "C".to_owned())]);
}

#[test]
fn no_value_is_told_and_the_list_has_an_end() {
    let text = "SECRET=http://hunter2@localhost:8000\n".repeat(MAX_USES + 1);
    let found = uses(None, port(8000), &[(PathBuf::from(".env"), text.as_bytes())], &[]);
    assert_eq!(found.len(), MAX_USES);
    assert!(!format!("{found:?}").contains("hunter2"));
}

#[test]
fn odd_files_do_no_harm() {
    for text in
        [b"".as_slice(), b"\xff\xfe8\x000\x00", b"A='", b"- - - :\n\t- x", b"8000", b":8000", b"$PORT{", b"```\n#"]
    {
        for file in [".env", "compose.yaml", "README"] {
            let _ = uses(Some("PORT"), port(8000), &[(PathBuf::from(file), text)], &[]);
        }
    }
}

#[test]
fn only_what_is_reached_on_this_host_may_be_changed() {
    let spots = |file: &str, text: &str| -> Vec<usize> {
        let found = uses(None, port(8000), &[(PathBuf::from(file), text.as_bytes())], &[]);
        found.iter().flat_map(|found| found.spans.iter().map(|span| span.start)).collect()
    };
    for (line, expected) in [
        ("A=http://localhost:8000,http://[::1]:8000/a,http://host.docker.internal:8000", vec![19, 37, 72]),
        ("A=http://api.localhost:8000", vec![23]),
        ("A=http://127.0.0.2:8000", vec![19]),
        ("A=http://x.example.org:8000", vec![]),
        ("A=http://192.168.1.9:8000", vec![]),
        ("API_PORT=8000", vec![]),
        ("HEALTH_URL=http://localhost:8000", vec![]),
        ("A=http://localhost:80001", vec![]),
        ("A=http://localhost:8000-8010", vec![]),
    ] {
        assert_eq!(spots(".env", line), expected, "{line}");
    }
    let compose = |section: &str| format!("services:\n  web:\n    {section}:\n      A: http://localhost:8000\n");
    assert_eq!(spots("compose.yaml", &compose("environment")).len(), 1);
    for section in ["args", "command", "healthcheck", "ports", "x-notes"] {
        assert!(spots("compose.yaml", &compose(section)).is_empty(), "{section}");
    }
    assert_eq!(spots("README.md", "docker run -p 8000:80, port 8000, http://shop:8000\n"), [14, 28]);
}

proptest::proptest! {
    #[test]
    fn respelled_files_differ_in_the_spots_alone(lines in proptest::collection::vec(
        "[A-Z]{1,4}_?(URL|PORT)=(http://localhost:8000|http://a.b:8000|8000|'x http://127.0.0.1:8000')[ -]{0,2}", 0..6)
    ) {
        let text = lines.join("\n");
        let file = PathBuf::from(".env");
        let found = uses(None, port(8000), &[(file.clone(), text.as_bytes())], &[]);
        let spots: Vec<_> = found.into_iter().flat_map(|found| found.spans).map(|span| (span, port(18_001))).collect();
        if let Ok(after) = respelled(&file, text.as_bytes(), &spots) {
            let back = String::from_utf8(after).expect("text").replace("18001", "8000");
            proptest::prop_assert_eq!(back, text);
        }
    }
}
