use proptest::prelude::*;

use super::*;
use crate::model::{MappingId, Port};
use crate::text::project::tests::{at_home, loaded};

/// Moves mappings of the project in `/p` and returns the files that change, by name, or the error.
fn moved(
    files: &[(&str, &str)],
    mappings: &[usize],
    to: u16,
    style: EditStyle,
) -> std::result::Result<BTreeMap<String, String>, String> {
    let request = at_home();
    let (project, snapshot) = loaded(&request, files).expect("a readable project");
    let project = project.expect("a project");
    let from = project.mappings[mappings[0]].published.range().expect("a published port").first();
    let moves = [Move {
        mappings: mappings.iter().copied().map(MappingId).collect(),
        from,
        to: Port::new(to).expect("a port"),
    }];
    let wanted = EditRequest { request: &request, snapshot: &snapshot, project: &project, moves: &moves, style };
    let edited = edit(&wanted).map_err(|error| error.to_string())?;
    let name = |path: &PathBuf| path.strip_prefix("/p").expect("in the project").display().to_string();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    Ok(edited.files.iter().map(|edit| (name(&edit.file), text(&edit.after))).collect())
}

fn one(entry: &str) -> String {
    format!("services:\n  web:\n    image: x # 镜像\n    ports:\n      - {entry} # the front\n")
}

#[test]
fn only_the_published_port_changes_in_every_form() {
    for (entry, wanted) in [
        ("8000:80", "8021:80"),
        ("\"8000:80/udp\"", "\"8021:80/udp\""),
        ("'127.0.0.1:8000:80'", "'127.0.0.1:8021:80'"),
        ("\"[::1]:6001:6001\"", "\"[::1]:8021:6001\""),
        ("10000-10003:10000-10003", "8021-8024:10000-10003"),
        ("6005-6015:80", "8021-8031:80"),
        ("22:22", "\"8021:22\""),
        ("8000:22", "\"8021:22\""),
        ("{target: 80, published: 8000}", "{target: 80, published: 8021}"),
        (
            "{target: 80, published: '8000-8002', host_ip: 127.0.0.1}",
            "{target: 80, published: '8021-8023', host_ip: 127.0.0.1}",
        ),
        ("${PORT:+8000}:80", "8021:80"),
        ("${PORT:+8000}:22", "\"8021:22\""),
    ] {
        let env = (".env", "PORT=1\n");
        let files = moved(&[("compose.yaml", &one(entry)), env], &[0], 8021, EditStyle::InPlace).expect(entry);
        assert_eq!(files, BTreeMap::from([("compose.yaml".to_owned(), one(wanted))]), "{entry}");
    }
}

#[test]
fn marks_line_ends_and_the_rest_of_the_file_stay() {
    let text = format!("\u{FEFF}---\r\n{}", one("\"8000:80\"").replace('\n', "\r\n"));
    let files = moved(&[("compose.yaml", text.trim_end())], &[0], 8021, EditStyle::InPlace).expect("an edit");
    assert_eq!(files["compose.yaml"], text.trim_end().replace("8000", "8021"));
}

#[test]
fn variables_are_set_in_the_env_file() {
    let two = "services:\n  a: {image: x, ports: ['${P:-8000}:80']}\n  b: {image: x, ports: ['127.0.0.1:${P:-8000}:81/udp']}\n";
    for (env, wanted) in [
        (Some("# ports\nexport P='8000' # front\r\nQ=1"), "# ports\nexport P='8021' # front\r\nQ=1"),
        (Some("P=1\nP=8000\n"), "P=1\nP=8021\n"),
        (None, "P=8021\n"),
    ] {
        let files: Vec<(&str, &str)> =
            [("compose.yaml", two)].into_iter().chain(env.map(|env| (".env", env))).collect();
        let edited = moved(&files, &[0, 1], 8021, EditStyle::InPlace).expect("an edit");
        assert_eq!(edited, BTreeMap::from([(".env".to_owned(), wanted.to_owned())]));
        let half = moved(&files, &[0], 8021, EditStyle::InPlace).expect("half of a group moves in an override");
        assert_eq!(half.keys().collect::<Vec<_>>(), ["compose.override.yaml"]);
    }
    let whole = one("\"${MAPPING:-127.0.0.1:8000:80}\"");
    let edited = moved(&[("compose.yaml", &whole)], &[0], 8021, EditStyle::InPlace).expect("an edit");
    assert_eq!(edited[".env"], "MAPPING=127.0.0.1:8021:80\n");
}

#[test]
fn what_cannot_be_edited_in_place_goes_into_an_override() {
    let text = "x-ports: &ports [\"8000:80\", \"[::1]:9000:90/udp\", \"7000\", {target: 1, published: 2, mode: host, name: a$$b}]\n\
                services:\n  web: {image: x, ports: *ports}\n  \"on\": {image: x, ports: [\"8001:80\"]}\n";
    let files = [("compose.yml", text)];
    let unasked = moved(&files, &[1], 8021, EditStyle::InPlace).expect("an alias moves in an override");
    let edited = moved(&files, &[1], 8021, EditStyle::Override).expect("an override");
    let wanted = "services:\n  web:\n    ports: !override\n      - \"8021:80\"\n      - \"[::1]:9000:90/udp\"\n      - \"7000\"\n      \
                  - {target: 1, protocol: tcp, published: \"2\", \"mode\": \"host\", \"name\": \"a$$b\"}\n";
    assert_eq!(edited, BTreeMap::from([("compose.override.yml".to_owned(), wanted.to_owned())]));
    assert_eq!(unasked, edited);
    let quoted = moved(&files, &[0], 8021, EditStyle::Override).expect("an override");
    assert_eq!(quoted["compose.override.yml"], "services:\n  \"on\":\n    ports: !override\n      - \"8021:80\"\n");
    let again = [files[0], ("compose.override.yml", wanted)];
    let edited = moved(&again, &[1], 8022, EditStyle::Override).expect("an edit of the override");
    assert_eq!(edited["compose.override.yml"], wanted.replace("8021", "8022"));
}

#[test]
fn an_override_that_is_there_is_extended_or_left_alone() {
    let base = ("compose.yaml", "services:\n  web: {image: x, ports: [\"8000:80\"]}\n");
    for (there, wanted) in [
        ("# mine\n", Some("# mine\nservices:\n  web:\n    ports: !override\n      - \"8021:80\"\n")),
        ("volumes: {}", Some("volumes: {}\nservices:\n  web:\n    ports: !override\n      - \"8021:80\"\n")),
        (
            "services:\n    db:\n        image: y\n",
            Some("services:\n    web:\n      ports: !override\n        - \"8021:80\"\n    db:\n        image: y\n"),
        ),
        (
            "services:\n  web:\n    image: y\r\n",
            Some("services:\n  web:\n    ports: !override\r\n      - \"8021:80\"\r\n    image: y\r\n"),
        ),
        ("services: {web: {image: y}}\n", None),
        ("services:\n  web:\n    ports: []\n", None),
    ] {
        let edited = moved(&[base, ("compose.override.yaml", there)], &[0], 8021, EditStyle::Override);
        match wanted {
            Some(wanted) => assert_eq!(edited.expect(there)["compose.override.yaml"], wanted),
            None => assert!(edited.expect_err(there).contains("already speaks of service `web`")),
        }
    }
}

#[test]
fn several_moves_are_one_edit_and_all_or_none() {
    let text = "services:\n  a: {image: x, ports: ['8000:80', '8001:81', '8002:82']}\n";
    let request = at_home();
    let (project, snapshot) = loaded(&request, &[("compose.yaml", text)]).expect("a readable project");
    let project = project.expect("a project");
    let port = |number| Port::new(number).expect("a port");
    let to = |mapping: usize, from, to| Move { mappings: vec![MappingId(mapping)], from: port(from), to: port(to) };
    let with = |moves: &[Move]| {
        edit(&EditRequest {
            request: &request,
            snapshot: &snapshot,
            project: &project,
            moves,
            style: EditStyle::InPlace,
        })
    };
    let edited = with(&[to(2, 8002, 8000), to(0, 8000, 8002)]).expect("a swap");
    assert_eq!(
        edited.files[0].after,
        text.replace("8002", "x")
            .replace("8000", "8002")
            .replace('x', "8000")
            .replace("image: 8000", "image: x")
            .into_bytes()
    );
    assert_eq!(with(&[]).expect("nothing to do"), Edited::default());
    assert_eq!(with(&[to(9, 8000, 1)]).expect_err("no such mapping").kind(), ErrorKind::Internal);
    let other = Project { name: "other".to_owned(), ..project.clone() };
    let moves = [to(0, 8000, 8003)];
    let stale = EditRequest {
        request: &request,
        snapshot: &snapshot,
        project: &other,
        moves: &moves,
        style: EditStyle::InPlace,
    };
    assert_eq!(edit(&stale).expect_err("a stale project").kind(), ErrorKind::Busy);
}

#[test]
fn an_edit_that_would_unmask_a_hidden_duplicate_is_refused() {
    let files = [
        ("compose.yaml", "services:\n  web: {image: x, ports: [\"8000:80\"]}\n"),
        ("compose.override.yaml", "services:\n  web: {ports: [\"8000:80\"]}\n"),
    ];
    let refused = moved(&files, &[0], 8021, EditStyle::InPlace).expect_err("two lines say it");
    assert_eq!(refused, "the change would also alter services.web.ports, so nothing was written");
}

const SEEDS: [&str; 4] = [
    "services:\n  web:\n    image: x\n    ports:\n      - \"${PORT:-8000}:80\"\n      - 22:22\n      - {target: 1, published: 2}\n",
    "x-a: &a\n  ports: ['8000-8002:80-82', \"[::1]:1:1\"]\nservices:\n  web:\n    <<: *a\n  b: {extends: web, ports: !override [\"${A}${B}:80\"]}\n",
    "\u{FEFF}include: [compose.yml]\nname: ${N:-x}\nservices: {a: {ports: [8000, \"\\x38:8\", |-\n 1:1\n]}}\n",
    "---\r\nservices:\r\n  a:\r\n    ports: !reset null\r\n    environment: [PORT]\r\n---\r\nservices: {a: {env_file: .env}}\r\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the bytes, loading and editing end with a result, and an edit is one that reads back.
    #[test]
    fn mutated_projects_never_panic(
        seed in 0..SEEDS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            Just("&a "), Just("*a"), Just("<<"), Just("\n"), Just("- "), Just("${"), Just("}"), Just("\""), Just(":"),
            Just("9"), Just("!override "), Just("!reset "), Just("  "), Just("'"), Just("["), Just("-"), Just("\u{0}"), Just("é"),
        ], any::<bool>()), 0..6),
        to in 1..=u16::MAX,
    ) {
        let mut text = SEEDS[seed].to_owned();
        for (index, piece, cut) in changes {
            let mut at = index.index(text.len() + 1);
            while !text.is_char_boundary(at) { at -= 1; }
            if cut { text.truncate(at); } else { text.insert_str(at, piece); }
        }
        let files = [("compose.yaml", text.as_str()), (".env", "PORT=8000\nA=80\n")];
        let Ok((Some(project), _)) = loaded(&at_home(), &files) else { return Ok(()) };
        for (index, mapping) in project.mappings.iter().enumerate() {
            if mapping.published.range().is_some() {
                for style in [EditStyle::InPlace, EditStyle::Override] {
                    let _ = moved(&files, &[index], to, style);
                }
            }
        }
    }
}
