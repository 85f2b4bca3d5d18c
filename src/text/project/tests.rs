//! Projects that live in memory.

use std::fmt::Write;
use std::path::MAIN_SEPARATOR;

use super::*;
use crate::model::{Lever, Mapping, PublishedPort};

/// Loads the project in `/p` from these files; what is not among them does not exist.
pub(crate) fn loaded(request: &Request, files: &[(&str, &str)]) -> Result<(Option<Project>, Snapshot)> {
    let mut snapshot: Snapshot =
        files.iter().map(|(name, text)| (request.directory.join(name), Some(text.as_bytes().to_vec()))).collect();
    loop {
        match load(request, &snapshot)? {
            Loaded::Needs(paths) => {
                assert!(!paths.is_empty());
                snapshot.extend(paths.into_iter().map(|path| (path, None)));
            }
            Loaded::Absent => return Ok((None, snapshot)),
            Loaded::Ready(project) => return Ok((Some(*project), snapshot)),
        }
    }
}

pub(crate) fn at_home() -> Request {
    Request { directory: PathBuf::from("/p"), ..Request::default() }
}

fn project(files: &[(&str, &str)]) -> Project {
    loaded(&at_home(), files).expect("a readable project").0.expect("a project")
}

fn failure(files: &[(&str, &str)]) -> String {
    slashed(&loaded(&at_home(), files).expect_err("an unreadable project"))
}

/// A text with the separators that every test here writes; Windows has its own.
fn slashed(text: &impl ToString) -> String {
    text.to_string().replace('\\', "/")
}

/// Writes a mapping as one line.
fn line(mapping: &Mapping) -> String {
    let ip = mapping.host_ip.map(|ip| format!("{ip} ")).unwrap_or_default();
    let published = match mapping.published {
        PublishedPort::Fixed(range) => range.to_string(),
        PublishedPort::AnyOf(range) => format!("any of {range}"),
        PublishedPort::Random => "random".to_owned(),
    };
    format!("{}: {ip}{published} -> {}/{}", mapping.service, mapping.container, mapping.protocol)
}

fn lines(files: &[(&str, &str)]) -> Vec<String> {
    project(files).mappings.iter().map(line).collect()
}

fn levers(files: &[(&str, &str)]) -> Vec<String> {
    project(files).mappings.iter().map(|mapping| lever(mapping, files[0].1)).collect()
}

fn one(entry: &str) -> String {
    format!("services:\n  web:\n    image: x\n    ports:\n      - {entry}\n")
}

/// Writes a lever as words; of a literal, the bytes that would be replaced.
fn lever(mapping: &Mapping, text: &str) -> String {
    match &mapping.lever {
        Lever::Variable { name, assigned } => format!("variable {name} {assigned}"),
        Lever::Literal { span, .. } => format!("literal {}", &text[span.clone()]),
        Lever::Shell { name } => format!("shell {name}"),
        Lever::Locked(refusal) => format!("locked {}", refusal.code),
    }
}

#[test]
fn every_form_of_a_port_is_read_as_compose_reads_it() {
    for (entry, wanted) in [
        ("8000:80", "8000 -> 80/tcp"),
        ("\"8000:80/udp\"", "8000 -> 80/udp"),
        ("'8000:80/TCP'", "8000 -> 80/tcp"),
        ("127.0.0.1:8000:80", "127.0.0.1 8000 -> 80/tcp"),
        ("\"[::1]:6001:6001\"", "::1 6001 -> 6001/tcp"),
        ("\"8000:80/\"", "8000 -> 80/tcp"),
        ("\"8000\"", "random -> 8000/tcp"),
        ("8000", "random -> 8000/tcp"),
        ("0.0.0.0::80", "0.0.0.0 random -> 80/tcp"),
        ("\"0:80\"", "random -> 80/tcp"),
        ("\"6000-6002\"", "random -> 6000-6002/tcp"),
        ("\"10000-10003:20000-20003/udp\"", "10000-10003 -> 20000-20003/udp"),
        ("\"6005-6015:80\"", "any of 6005-6015 -> 80/tcp"),
        ("\"${MAPPING:-127.0.0.1:8000:80/udp}\"", "127.0.0.1 8000 -> 80/udp"),
        ("\"${A:-1}${B:-2}34:80\"", "1234 -> 80/tcp"),
        ("22:22", "22 -> 22/tcp"),
        ("{target: 80}", "random -> 80/tcp"),
        ("{target: 80, published: 8000, protocol: udp, mode: host}", "8000 -> 80/udp"),
        ("{target: 80, published: \"8000-8002\", host_ip: 127.0.0.1}", "127.0.0.1 any of 8000-8002 -> 80/tcp"),
        ("{target: 80, published: \"${P:-}\"}", "random -> 80/tcp"),
    ] {
        assert_eq!(lines(&[("compose.yaml", &one(entry))]), [format!("web: {wanted}")], "{entry}");
    }
}

#[test]
fn ports_that_compose_refuses_are_errors_with_their_place() {
    for entry in [
        "\"70000:80\"",
        "\"80:70000\"",
        "\"8000-8001:80-82\"",
        "\"x:80\"",
        "\"300.1.1.1:80:80\"",
        "\"80:80/ip\"",
        "\"8002-8000:80-82\"",
        "\"\"",
        "\"80:\"",
        "[80]",
        "{published: 80}",
        "\"::1:6001:6001\"",
        "\"8000 :80\"",
    ] {
        let error = failure(&[("compose.yaml", &one(entry))]);
        assert!(error.starts_with("/p/compose.yaml:5:9: "), "{entry}: {error}");
    }
}

#[test]
fn the_narrowest_lever_is_found() {
    let env = "PORT=8000\nBASE=8\nURLPORT=8100\nURL=http://localhost:${URLPORT}\n";
    for (entry, wanted) in [
        ("\"${PORT}:80\"", "variable PORT true"),
        ("${PORT}:80", "variable PORT true"),
        ("\"127.0.0.1:${ADMIN:-9000}:9000\"", "variable ADMIN false"),
        ("\"${OUTER:-${PORT}}:80\"", "variable OUTER false"),
        ("\"${MAPPING:-127.0.0.1:8000:80}\"", "variable MAPPING false"),
        ("\"\\x24{PORT}:80\"", "variable PORT true"),
        ("\"${URLPORT}:80\"", "literal ${URLPORT}"),
        ("\"${PORT:+8000}:80\"", "literal ${PORT:+8000}"),
        ("\"${PORT}:${PORT}\"", "literal ${PORT}"),
        ("\"${HOMEPORT}:80\"", "shell HOMEPORT"),
        ("\"${BASE}000:80\"", "locked composed"),
        ("\"${BASE}${ZEROS:-000}:80\"", "locked several-variables"),
        ("\"8\\x3000:80\"", "locked escape"),
        ("|-\n          8000:80", "locked block"),
        ("\"8000\"", "locked random"),
        ("{target: 80, published: '8000'}", "literal 8000"),
        ("\"8000:80\"", "literal 8000"),
    ] {
        let mut request = at_home();
        request.shell.insert("HOMEPORT".to_owned(), "8000".to_owned());
        let text = one(entry) + "    environment:\n      - URL\n";
        let (found, _) = loaded(&request, &[("compose.yaml", &text), (".env", env)]).expect(entry);
        let found = found.expect("a project");
        assert_eq!(found.mappings.iter().map(|mapping| lever(mapping, &text)).collect::<Vec<_>>(), [wanted], "{entry}");
    }
}

#[test]
fn a_variable_that_decides_more_than_the_port_is_named_with_the_place() {
    let text = one("\"${PORT:-8000}:80\"") + "    labels:\n      url: http://localhost:${PORT:-8000}\n";
    let found = project(&[("compose.yaml", &text)]);
    let warnings: Vec<String> = found.edit_warnings.iter().map(slashed).collect();
    assert_eq!(
        warnings,
        ["/p/compose.yaml:5: PORT also decides services.web.labels.url, so the port is changed here and not in .env"]
    );
}

#[test]
fn an_env_file_that_is_passed_on_is_tolerated_and_said() {
    let text = one("\"${PORT:-8000}:80\"") + "    env_file: .env\n";
    let files = [("compose.yaml", text.as_str()), (".env", "PORT=8000\n")];
    assert_eq!(levers(&files), ["variable PORT true"]);
    let found = project(&files);
    assert!(found.edit_warnings.iter().any(|warning| slashed(warning).contains("gets all of /p/.env")));
}

#[test]
fn an_env_file_that_names_the_variable_counts_as_another_use() {
    let text = one("\"${PORT:-8000}:80\"") + "    env_file: [{path: app.env}]\n";
    let files = [("compose.yaml", text.as_str()), ("app.env", "URL=http://localhost:${PORT:-8000}\n")];
    assert_eq!(levers(&files), ["literal ${PORT:-8000}"]);
    assert!(project(&files).edit_warnings.iter().any(|warning| slashed(warning).contains("/p/app.env: URL")));
}

#[test]
fn anchors_and_merge_keys_lock_and_name_the_services() {
    let text = "x-ports: &ports [\"8000:80\"]\nx-base: &base\n  image: x\n  ports: [\"8001:80\"]\nservices:\n  \
                one: {image: x, ports: *ports}\n  two: {<<: *base}\n  three: {<<: *base, ports: [\"8002:80\"]}\n  \
                four: {image: x, ports: &own [\"8003:80\"]}\n  five: {image: x, ports: *own}\n";
    let found = project(&[("compose.yaml", text)]);
    let all: Vec<String> =
        found.mappings.iter().map(|mapping| format!("{} {}", line(mapping), lever(mapping, text))).collect();
    assert_eq!(
        all,
        [
            "five: 8003 -> 80/tcp locked alias",
            "four: 8003 -> 80/tcp locked shared",
            "one: 8000 -> 80/tcp locked alias",
            "three: 8002 -> 80/tcp literal 8002",
            "two: 8001 -> 80/tcp locked merge",
        ]
    );
}

#[test]
fn files_are_found_and_merged_as_compose_does() {
    let (base, over) = (one("\"8000:80\""), one("\"8001:81\""));
    assert_eq!(lines(&[("docker-compose.yml", &base), ("compose.yml", &over)]), ["web: 8001 -> 81/tcp"]);
    assert_eq!(
        lines(&[("docker-compose.yml", &base), ("docker-compose.override.yml", &over)]),
        ["web: 8000 -> 80/tcp", "web: 8001 -> 81/tcp"]
    );
    assert_eq!(lines(&[("compose.yaml", &base), ("compose.override.yaml", &base)]), ["web: 8000 -> 80/tcp"]);
    let replaced = over.replace("ports:", "ports: !override");
    assert_eq!(lines(&[("compose.yaml", &base), ("compose.override.yaml", &replaced)]), ["web: 8001 -> 81/tcp"]);
    let reset = "services:\n  web:\n    ports: !reset []\n";
    assert!(lines(&[("compose.yaml", &base), ("compose.override.yaml", reset)]).is_empty());
    let usual = if MAIN_SEPARATOR == '\\' { "COMPOSE_FILE=a.yml;b.yml\n" } else { "COMPOSE_FILE=a.yml:b.yml\n" };
    let named = [("a.yml", base.as_str()), ("b.yml", over.as_str()), (".env", usual)];
    assert_eq!(lines(&named).len(), 2);
    assert_eq!(loaded(&at_home(), &[(".env", "A=1\n")]).expect("nothing").0, None);
}

#[test]
fn a_port_that_is_said_twice_counts_once() {
    let text =
        "services:\n  a: {image: x, ports: ['1:1', '1:1', {target: 1, published: '1'}, '1-2:1-2', '1:1/udp', '2:1']}\n";
    assert_eq!(lines(&[("compose.yaml", text)]), ["a: 1-2 -> 1-2/tcp", "a: 1 -> 1/udp", "a: 2 -> 1/tcp"]);
    let all = ["\"1-65535:1-65535\""; 3].join(", ");
    let text = format!("services:\n  a: {{image: x, ports: [{all}]}}\n");
    assert!(failure(&[("compose.yaml", &text)]).contains("more ports than there are"));
}

#[test]
fn includes_and_extends_are_followed() {
    let files = [
        (
            "compose.yaml",
            "include:\n  - sub/compose.yaml\n  - path: [other.yaml]\n    project_directory: sub\n    env_file: o.env\n\
                          services:\n  web:\n    extends: {file: base/common.yaml, service: app}\n    ports: [\"8001:81\"]\n  \
                          more:\n    extends: web\n",
        ),
        ("sub/compose.yaml", "services:\n  db:\n    image: x\n    ports: [\"${DB:-5432}:5432\"]\n"),
        ("sub/.env", "DB=5433\n"),
        ("other.yaml", "services:\n  other:\n    image: x\n    ports: [\"${O}:1\"]\n"),
        ("o.env", "O=7000\n"),
        (
            "base/common.yaml",
            "services:\n  app:\n    extends: {file: deep.yaml, service: core}\n    ports: [\"8000:80\"]\n",
        ),
        ("base/deep.yaml", "services:\n  core:\n    image: x\n    ports: [\"7999:79\"]\n"),
    ];
    assert_eq!(
        lines(&files),
        [
            "db: 5433 -> 5432/tcp",
            "more: 7999 -> 79/tcp",
            "more: 8000 -> 80/tcp",
            "more: 8001 -> 81/tcp",
            "other: 7000 -> 1/tcp",
            "web: 7999 -> 79/tcp",
            "web: 8000 -> 80/tcp",
            "web: 8001 -> 81/tcp",
        ]
    );
    let levers = levers(&files);
    assert_eq!(levers[0], "variable DB false");
    assert_eq!(levers[1], "locked shared");
}

#[test]
fn files_outside_the_project_are_read_and_not_ours_to_edit() {
    let files = [
        (
            "compose.yaml",
            "include: [../out/compose.yaml]\nservices:\n  web:\n    extends: {file: ../common.yaml, service: app}\n",
        ),
        ("../out/compose.yaml", "services:\n  db:\n    image: x\n    ports: [\"5432:5432\"]\n"),
        ("../common.yaml", "services:\n  app:\n    image: x\n    ports: [\"8000:80\", \"${PORT:-8001}:81\"]\n"),
    ];
    let files = files.map(|(name, text)| (name.replace("../", "/"), text));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let levers = levers(&files);
    assert_eq!(levers, ["locked included", "locked outside", "variable PORT false"]);
}

#[test]
fn profiles_names_and_host_networks_are_followed() {
    let text = "name: My Shop!\nservices:\n  a: {image: x, network_mode: host, container_name: box, ports: [\"1:1\"]}\n  \
                b: {image: x, profiles: [debug], ports: [\"2:2\"]}\n";
    let found = project(&[("compose.yaml", text)]);
    assert_eq!((found.name.as_str(), found.services.len()), ("myshop", 1));
    assert_eq!((found.services[0].host_network, found.services[0].container_name.as_deref()), (true, Some("box")));
    let with = project(&[("compose.yaml", text), (".env", "COMPOSE_PROFILES=x, debug\nCOMPOSE_PROJECT_NAME=other\n")]);
    assert_eq!((with.name.as_str(), with.services.len()), ("other", 2));
}

#[test]
fn what_cannot_be_read_says_where_and_why() {
    for (text, wanted) in [
        (
            "services:\n  web: {image: x}\n  web: {image: y}\n",
            "/p/compose.yaml:3: the key `web` is already given in line 2",
        ),
        (&one("\"${P:?set the port}:80\""), "/p/compose.yaml:5:9: the variable P is required: set the port"),
        (&one("\"${P:80\""), "/p/compose.yaml:5:9: a `$` here starts no variable that compose understands"),
        ("a: &a [*a]\n", "/p/compose.yaml:1:8: this alias contains itself"),
        (
            "include: [https://example.com/compose.yaml]\n",
            "/p/compose.yaml:1 names a file that is not on this machine; Portwright reads local files only",
        ),
        (
            "include: [compose.yaml]\n",
            "/p/compose.yaml:1: /p/compose.yaml includes itself, or the includes nest too deeply",
        ),
        (
            "services:\n  a: {extends: b}\n  b: {extends: a}\n",
            "/p/compose.yaml:2: service `a` extends itself, or the chain is \
          too long",
        ),
        ("services:\n  a: {extends: b}\n", "/p/compose.yaml has no service `b` to extend"),
        ("# nothing\n", "/p/compose.yaml has no content"),
        ("services: {web: }\n", "/p/compose.yaml:1:15: `services.web` must be a mapping"),
        ("services: [web]\n", "/p/compose.yaml:1:11: `services` must be a mapping"),
        ("services: {web: {ports: }}\n", "/p/compose.yaml:1:23: `services.web.ports` must be a list"),
        ("services: {web: {ports: 80}}\n", "/p/compose.yaml:1:25: `services.web.ports` must be a list"),
    ] {
        assert_eq!(failure(&[("compose.yaml", text)]), wanted);
    }
    let mut snapshot = Snapshot::from([(PathBuf::from("/p/compose.yaml"), Some(b"\xFF\xFEs\0".to_vec()))]);
    let Ok(Loaded::Needs(paths)) = load(&at_home(), &snapshot) else { panic!("more is needed first") };
    snapshot.extend(paths.into_iter().map(|path| (path, None)));
    let error = load(&at_home(), &snapshot).expect_err("not UTF-8");
    assert_eq!(slashed(&error), "/p/compose.yaml is UTF-16, which compose cannot read");
}

#[test]
fn a_file_that_expands_to_billions_is_refused_quickly() {
    let mut text = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        let aliases = vec![format!("*a{before}"); 9].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").expect("memory");
    }
    assert!(failure(&[("compose.yaml", &text)]).contains("expands to more than 250000 values"));
    assert!(failure(&[("compose.yaml", &"[".repeat(1000))]).contains("is not valid YAML"));
    assert!(failure(&[("compose.yaml", &" ".repeat((1 << 20) + 1))]).contains("the limit is 1048576"));
}

#[test]
fn what_is_odd_is_warned_of() {
    let text = one("2222:22") + "    command: $UNSET\n";
    let found = project(&[("compose.yaml", &text), ("compose.yml", "a: 1\n"), (".env", "A=1\nA=2\n")]);
    let warnings: Vec<String> = found.warnings.iter().map(slashed).collect();
    assert_eq!(
        warnings,
        [
            "/p/compose.yaml is used; /p/compose.yml is ignored",
            "/p/.env assigns A more than once; line 2 counts",
            "/p/compose.yaml:6: the variable UNSET is not set and counts as empty",
            "/p/compose.yaml:5: `2222:22` without quotes is a number in base 60 for docker-compose 1 and others; put it in quotes",
        ]
    );
}
