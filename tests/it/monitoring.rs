//! The files under `compose/`: they can be read, agree with each other, and name only metrics that the server has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portwright::tunnel::config::ServerConfig;
use serde_json::Value;

use crate::support::have;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compose")
}

fn yaml(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(name)).expect(name);
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The words of a text that are names of metrics of ours.
fn metrics(text: &str) -> Vec<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("portwright_") || word.starts_with("process_")).collect()
}

#[test]
fn dashboard_and_alerts_ask_only_for_metrics_that_there_are() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tunnel/api/metrics.rs");
    let source = fs::read_to_string(source).expect("the metrics");
    let families: Vec<&str> =
        source.split("page.family(\"").skip(1).filter_map(|rest| rest.split('"').next()).flat_map(metrics).collect();
    assert!(families.len() > 15, "{families:?}");
    let dashboard: Value = serde_json::from_str(
        &fs::read_to_string(folder().join("grafana/dashboards/portwright.json")).expect("a dashboard"),
    )
    .expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let asked = panels.flat_map(|panel| panel["targets"].as_array().expect("targets")).map(|target| &target["expr"]);
    let rules = yaml("alerts.yml");
    let rules = rules["groups"][0]["rules"].as_array().expect("rules").clone();
    let expressions: Vec<String> = asked
        .chain(rules.iter().map(|rule| &rule["expr"]))
        .map(|text| text.as_str().expect("text").to_owned())
        .collect();
    assert!(expressions.len() > 15, "{expressions:?}");
    for expression in &expressions {
        for metric in metrics(expression) {
            assert!(families.contains(&metric), "{metric} in {expression}");
        }
    }
    let documented = fs::read_to_string(folder().join("../docs/monitoring.md")).expect("a document");
    for family in families {
        assert!(documented.contains(family), "docs/monitoring.md does not name {family}");
    }
    for rule in rules {
        assert!(rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string(), "{rule}");
    }
}

#[test]
fn one_profile_starts_the_monitoring_and_its_files_are_there() {
    let compose = yaml("compose.yaml");
    let services = compose["services"].as_object().expect("services");
    for (name, service) in services {
        let profile = &service["profiles"][0];
        assert_eq!(profile == "monitoring", name != "tunnel", "{name}");
        for volume in service["volumes"].as_array().expect("volumes") {
            let source = volume.as_str().expect("text").split(':').next().expect("a source");
            if let Some(file) = source.strip_prefix("./") {
                assert!(folder().join(file).exists(), "{file}");
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{source}");
            }
        }
        for port in service["ports"].as_array().expect("ports") {
            let port = port.as_str().expect("text");
            assert!(port.starts_with("127.0.0.1:") || port.starts_with("${PORTWRIGHT_BIND:-127.0.0.1}:"), "{port}");
        }
    }
    let scrape = &yaml("prometheus.yml")["scrape_configs"][0];
    assert_eq!(scrape["static_configs"][0]["targets"][0], "tunnel:8080");
    assert_eq!(services["tunnel"]["environment"]["PORTWRIGHT_API_ALLOWED_HOSTS"], "tunnel", "the name that is asked");
    assert_eq!(scrape["authorization"]["credentials_file"], "/run/secrets/portwright_api_key");
    assert!(compose["secrets"]["portwright_api_key"].is_object());
    let config = fs::read_to_string(folder().join("config.yaml")).expect("a configuration");
    let key = [("PORTWRIGHT_API_API_KEY".to_owned(), "8f1d2c3b4a5968778695a4b3c2d1e0ff".to_owned())].into();
    let config = ServerConfig::parse(&config, &key, |_| panic!("no key file")).expect("a configuration");
    assert_eq!((config.ports.range.to_string().as_str(), config.api.listen.port()), ("10000-10009", 8080));
    for file in ["datasources/prometheus.yml", "dashboards/portwright.yml"] {
        yaml(&format!("grafana/provisioning/{file}"));
    }
}

#[test]
fn prometheus_itself_accepts_the_files() {
    if !have("promtool", Command::new("promtool").arg("--version").output().is_ok()) {
        return;
    }
    for arguments in [["check", "rules", "alerts.yml"], ["check", "config", "--syntax-only"]] {
        let mut command = Command::new("promtool");
        command.args(arguments).current_dir(folder());
        if arguments[1] == "config" {
            command.arg("prometheus.yml");
        }
        let output = command.output().expect("promtool runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
