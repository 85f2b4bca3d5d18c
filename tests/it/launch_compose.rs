//! The launch half of `quick-start` with a compose project of the user's, brought up by the compose that is installed.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use serde_json::json;

use crate::launches::{Launches, docker, healthy, image_of};
use crate::support::{have, have_docker, hold};

/// A key that only tests use.
const KEY: &str = "8f1d2c3b4a5968778695a4b3c2d1e0ff";

fn have_compose() -> bool {
    let works = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    let any = works("docker", &["compose", "version"]) || works("docker-compose", &["version"]);
    have_docker() && have("compose", any)
}

/// The image of this executable, which serves HTTP and needs no registry. It goes when no launch of the tests is left,
/// and is made again for the next one.
fn image(launches: &Launches) -> String {
    static IMAGE: Mutex<Option<String>> = Mutex::new(None);
    let is_there = |image: &String| {
        let inspected = Command::new("docker").args(["image", "inspect", image]).output();
        inspected.is_ok_and(|output| output.status.success())
    };
    let make = || {
        let other = launches.other("bundled").display().to_string();
        let (api, range) =
            (format!("API_PORT={}", launches.first + 80), format!("tunnel:10000={}", launches.first + 85));
        let control = format!("TUNNEL_PORT={}", launches.first + 81);
        let words = ["-C", &other, "up", "--yes", "--json"];
        let arguments = [&words[..], &["--port", &api, "--port", &range, "--port", &control]].concat();
        let image = image_of(&launches.run(&arguments).expect_code(0).json());
        launches.run(&["-C", &other, "down", "--yes"]).expect_code(0);
        image
    };
    let mut image = IMAGE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let kept = image.take().filter(is_there).unwrap_or_else(make);
    image.insert(kept).clone()
}

fn compose_file(image: &str, first: u16) -> String {
    let mut text = "version: \"3.9\"\nservices:\n".to_owned();
    for (name, port, profile) in [("web", first, ""), ("api", first + 1, ""), ("extra", first + 2, "more")] {
        let variable = format!("{}_PORT", name.to_uppercase());
        let _ = write!(
            text,
            "  {name}:\n    image: {image}\n    command: [tunnel, server, --config, /config.yaml]\n    \
             environment: {{ PORTWRIGHT_API_API_KEY: {KEY} }}\n    volumes: [\"./config.yaml:/config.yaml:ro\"]\n    \
             ports: [\"127.0.0.1:${{{variable}:-{port}}}:8080\"]\n"
        );
        if !profile.is_empty() {
            let _ = writeln!(text, "    profiles: [{profile}]");
        }
    }
    text
}

const CONFIG: &str = "api: { listen: 0.0.0.0, listen_port: 8080 }\ndatabase: { path: /data/mappings.db }\n";

/// Fills the project of `launches`, and the one in `directory` when it is another, under a name of their own.
fn fill(launches: &Launches, directory: &Path, image: &str) {
    let root = launches.root();
    let name = root.file_name().expect("a name").to_string_lossy().to_lowercase().replace('-', "");
    let files = [
        ("docker-compose.yml", compose_file(image, launches.first)),
        ("config.yaml", CONFIG.to_owned()),
        (".env", format!("COMPOSE_PROJECT_NAME={name}\n")),
    ];
    for (file, contents) in files {
        std::fs::write(directory.join(file), contents).expect("a written file");
    }
}

fn project() -> Option<Launches> {
    let launches = have_compose().then(|| Launches::new(&[]))?;
    let image = image(&launches);
    fill(&launches, &launches.sandbox.project(), &image);
    Some(launches)
}

#[test]
fn a_compose_project_is_moved_brought_up_found_again_and_taken_down() {
    let Some(launches) = project() else { return };
    let first = launches.first;
    let held = hold(first);
    let document = launches.run(&["up", "--yes", "--json", "--profile", "more"]).expect_code(0).json();
    assert_eq!(document["launched"]["state"], "started");
    assert_eq!(document["changes"][0]["after"], format!("WEB_PORT={}", first + 3));
    assert_eq!(document["urls"].as_array().map(Vec::len), Some(3));
    assert!([first + 1, first + 2, first + 3].into_iter().all(healthy));
    let check = launches.run(&["check", "--json", "--profile", "more"]).expect_code(0).json();
    assert_eq!(check["summary"]["own"], 3);
    let again = launches.run(&["up", "--yes", "--json", "--profile", "more"]).expect_code(0).json();
    assert_eq!((&again["changes"], again["urls"].as_array().map(Vec::len)), (&json!([]), Some(3)));
    assert_eq!(launches.status().as_array().map(Vec::len), Some(3));
    assert!(launches.run(&["logs", "web"]).expect_code(0).stdout.contains("serving"));
    launches.run(&["down", "--yes", "--profile", "more"]).expect_code(0);
    assert_eq!((launches.status(), launches.containers().len()), (json!([]), 0));
    drop(held);
    launches.run(&["undo", "--yes"]).expect_code(0);
    assert!(!launches.sandbox.read(".env").contains("WEB_PORT"));
}

#[test]
fn the_same_project_in_another_directory_is_a_conflict_that_names_its_service() {
    let Some(launches) = project() else { return };
    launches.run(&["up", "--yes"]).expect_code(0);
    let other = launches.other("copy");
    let image = image(&launches);
    fill(&launches, &other, &image);
    let copy = other.display().to_string();
    let check = launches.run(&["-C", &copy, "check", "--json"]).expect_code(3).json();
    let binding = &check["bindings"][0];
    assert_eq!((&binding["state"], &binding["holder"]["kind"]), (&json!("conflict"), &json!("container")));
    assert!(binding["service"].is_string() && binding["holder"]["compose_service"] == binding["service"]);
    assert!(binding["reason"].as_str().is_some_and(|reason| reason.contains("same name")), "{binding}");
    assert_eq!(launches.run(&["check", "--json"]).expect_code(0).json()["summary"]["own"], 2);

    for container in launches.containers() {
        docker(&["stop", &container]);
    }
    let relaxed = launches.run(&["-C", &copy, "check", "--json"]).expect_code(0).json();
    assert_eq!(relaxed["summary"]["free"], 2);
    let strict = launches.run(&["-C", &copy, "check", "--strict", "--json"]).expect_code(3).json();
    assert_eq!(strict["summary"]["conflict"], 2);
}

#[test]
fn a_missing_image_and_a_service_that_ends_are_told_apart() {
    let Some(launches) = project() else { return };
    let text = launches.sandbox.read("docker-compose.yml");
    let image = image(&launches);
    launches.sandbox.write("docker-compose.yml", &text.replace(&image, "localhost/pw-launch-absent:1"));
    let answer = launches.run(&["up", "--yes"]).expect_code(7);
    assert!(answer.stderr.contains("pw-launch-absent") && answer.stderr.contains("undo"), "{}", answer.stderr);
    launches.sandbox.write("docker-compose.yml", &text.replacen("--config, /config.yaml", "--config, /absent", 1));
    let answer = launches.run(&["up", "--yes"]).expect_code(6);
    assert!(answer.stderr.contains("/absent"), "{}", answer.stderr);
    launches.run(&["down", "--yes"]).expect_code(0);
    assert!(launches.containers().is_empty());
}

#[test]
fn a_port_that_compose_loses_is_planned_anew_and_leaves_nothing_created() {
    let Some(launches) = project() else { return };
    let first = launches.first;
    let held = hold(first);
    let taken = std::thread::scope(|scope| {
        let thief = scope.spawn(|| {
            let deadline = std::time::Instant::now() + crate::launches::DEADLINE;
            while !launches.sandbox.read(".env").contains("WEB_PORT=") && std::time::Instant::now() < deadline {
                std::thread::yield_now();
            }
            hold(first + 2)
        });
        let answer = launches.run(&["up", "--yes", "--json"]).expect_code(0);
        assert!(answer.stderr.contains("was taken before the start"), "{}", answer.stderr);
        thief.join().expect("the thief ends")
    });
    assert!(launches.sandbox.read(".env").contains(&format!("WEB_PORT={}", first + 3)));
    assert!(healthy(first + 3) && launches.containers().len() == 2);
    drop((held, taken));
    launches.run(&["undo", "--yes"]).expect_code(0);
    assert!(launches.containers().is_empty());
}
