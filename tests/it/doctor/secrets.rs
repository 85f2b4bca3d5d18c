//! Secrets that are planted in a project, in the environment, and in what an engine answers: none is in what `doctor`
//! prints, reports or bundles, neither as it is, nor escaped, nor in base64.

use std::path::Path;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};

use crate::docker_fake::{fake, reply};
use crate::support::{Answer, Sandbox};

/// Every text of an archive, and the names of its entries.
fn unpacked(path: &Path) -> (Vec<String>, String) {
    use std::io::Read as _;
    let mut archive = tar::Archive::new(std::fs::File::open(path).expect("an archive"));
    let (mut names, mut texts) = (Vec::new(), String::new());
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        names.push(entry.path().expect("a name").display().to_string());
        entry.read_to_string(&mut texts).expect("a text");
    }
    (names, texts)
}

/// A text as a string of JSON has it, without its quotes.
fn escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("JSON");
    quoted[1..quoted.len() - 1].to_owned()
}

/// A text with every byte that is no letter and no digit as `%XX`.
fn percent(text: &str) -> String {
    let of = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(of).collect()
}

/// Every way in which a secret may be spelt as a whole.
fn spellings(secret: &str) -> Vec<String> {
    let mut found = vec![secret.to_owned(), escaped(secret), escaped(&escaped(secret)), percent(secret)];
    for before in ["", "a", "ab"] {
        for encoding in [BASE64_NOPAD, BASE64URL_NOPAD] {
            let text = encoding.encode(format!("{before}{secret}").as_bytes());
            found.extend([text.replace('/', "\\/"), text]);
        }
    }
    found.sort();
    found.dedup();
    found
}

/// What must not be seen of it: each spelling, and of its base64 what does not depend on its place.
fn forms(secret: &str) -> Vec<String> {
    let cut = |text: String| if text.starts_with("c4n") { text } else { text[4..text.len() - 2].to_owned() };
    spellings(secret).into_iter().map(cut).collect()
}

#[track_caller]
fn none_of(secrets: &[String], said: &[String]) {
    let every: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    for text in said {
        for form in &every {
            assert!(!text.contains(form.as_str()), "{form} is in {text}");
        }
    }
}

/// What a run says in every form, and what it writes.
const RUNS: [&[&str]; 8] = [
    &["doctor"],
    &["doctor", "-v", "--lang", "zh-CN"],
    &["doctor", "--json"],
    &["doctor", "--facts"],
    &["doctor", "--format", "sarif"],
    &["doctor", "--format", "junit"],
    &["doctor", "--format", "github"],
    &["doctor", "--report", "junit=report.xml,sarif=report.sarif,json=report.json"],
];

#[test]
fn no_secret_is_in_what_is_printed_or_in_the_bundle_neither_plain_nor_in_base64() {
    let (plain, key) = ("c4n4ry-0f-a-p4ssw0rd", "0123456789abcdef0123456789abcdef");
    let compose = format!(
        "services:\n  web:\n    image: x\n    environment:\n      DB_PASSWORD: {plain}1\n      - nonsense\n    ports: [\"80\"]\n"
    );
    let sandbox = Sandbox::new(&[("compose.yaml", &compose), (".env", &format!("API_TOKEN={plain}\nID={key}\n"))]);
    let secrets = [plain.to_owned(), key.to_owned(), format!("{plain}2"), format!("{plain}3")];
    let run = |words: &[&str]| {
        let mut command = sandbox.command(words);
        command.env("DOCKER_HOST", format!("tcp://me:{plain}3@127.0.0.1:1")).env("MY_SECRET", format!("{plain}2"));
        command.env("PWD", sandbox.project());
        let answer = Answer::from(command.output().expect("it runs"));
        answer.stdout + &answer.stderr
    };
    let bundle: &[&str] = &["doctor", "bundle", "report.tar", "--json"];
    let mut said: Vec<String> = RUNS.into_iter().chain([bundle]).map(run).collect();
    said.extend(["report.xml", "report.sarif", "report.json"].map(|name| sandbox.read(name)));
    let (names, texts) = unpacked(&sandbox.project().join("report.tar"));
    for name in ["facts.json", "doctor.json", "doctor.txt", "project/compose.yaml", "project/.env"] {
        assert!(names.contains(&format!("portwright-doctor/{name}")), "{name}: {names:?}");
    }
    assert!(texts.contains("API_TOKEN=***") && texts.contains("project-files"), "{texts}");
    assert!(texts.contains(&sandbox.project().display().to_string()), "the project's own folder is no secret: {texts}");
    assert!(!texts.contains(&sandbox.home().display().to_string()), "the home is told");
    said.push(texts);
    none_of(&secrets, &said);
    // A file that is there is not written over.
    assert!(run(&["doctor", "bundle", "report.tar"]).contains("report.tar"));
}

#[test]
fn what_an_engine_repeats_of_a_secret_is_taken_out_however_it_is_spelt() {
    // Quotes, a backslash, letters beyond ASCII, and signs whose base64 has a slash and a plus.
    let odd = "c4n\"ry\" \\/?>>~\u{f6}";
    for (secret, line) in [
        (odd, format!("ODD_TOKEN={}", serde_json::to_string(odd).expect("JSON"))),
        ("c4n4ry-b3fore-it", "A_TOKEN=c4n4ry-b3fore-it # the usual one".to_owned()),
        ("c4n4ry-in-qu0tes", "A_TOKEN='c4n4ry-in-qu0tes' # another".to_owned()),
    ] {
        repeated(secret, &line);
    }
}

/// An engine answers with every spelling of a secret that stands in `.env`, the last of them cut off.
fn repeated(secret: &str, line: &str) {
    let message = format!("denied: {} {}", spellings(secret).join(" "), secret.repeat(100));
    let (_folder, path) = fake(move |_, stream| {
        let body = serde_json::json!({ "message": message }).to_string();
        reply(stream, "500 Internal Server Error", &body);
    });
    let compose = "services:\n  web:\n    image: x\n    ports: [\"80\"]\n";
    let sandbox = Sandbox::new(&[("compose.yaml", compose), (".env", &format!("{line}\n"))]);
    let run = |words: &[&str]| {
        let mut command = sandbox.command(words);
        command.env("DOCKER_HOST", format!("unix://{}", path.display()));
        let answer = Answer::from(command.output().expect("it runs"));
        answer.stdout + &answer.stderr
    };
    let mut said: Vec<String> = RUNS.into_iter().map(run).collect();
    assert!(said[0].contains("denied: "), "the engine is quoted: {}", said[0]);
    let cut = said[0].lines().find_map(|line| line.strip_suffix('…')).expect("a long message is cut");
    assert!(cut.ends_with("***"), "a part of a secret is seen: {cut}");
    run(&["doctor", "bundle", "report.tar"]);
    said.push(unpacked(&sandbox.project().join("report.tar")).1);
    said.extend(["report.xml", "report.sarif", "report.json"].map(|name| sandbox.read(name)));
    none_of(&[secret.to_owned()], &said);
}
