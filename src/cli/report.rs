//! Reports of `check` for machines: `JUnit` XML, SARIF 2.1.0, annotations of GitHub Actions.
//!
//! All three are made from the same bindings as the table and the JSON document, so they cannot disagree.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::model::{Binding, BindingState, Mapping, Project};
use crate::words::{Lang, Say};

/// What `check` found, as the reports need it.
#[derive(Debug, Clone, Copy)]
pub struct Findings<'a> {
    /// The project.
    pub project: &'a Project,
    /// The judgement on its ports.
    pub bindings: &'a [Binding],
    /// The folder to which file names are relative: the CI workspace, or the project.
    pub base: &'a Path,
    /// The language of sentences.
    pub lang: Lang,
}

/// How bad a state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Fine,
}

fn level(state: BindingState) -> Level {
    match state {
        BindingState::Conflict | BindingState::Reserved => Level::Error,
        BindingState::Privileged | BindingState::Unknown => Level::Warning,
        BindingState::Free | BindingState::Own => Level::Fine,
    }
}

impl<'a> Findings<'a> {
    fn rows(&self) -> impl Iterator<Item = (&'a Binding, &'a Mapping)> {
        let project = self.project;
        self.bindings.iter().filter_map(move |binding| Some((binding, project.mappings.get(binding.mapping.0)?)))
    }

    fn file(&self, mapping: &Mapping) -> String {
        let file = &mapping.source.file;
        let relative = file.strip_prefix(self.base).unwrap_or(file);
        relative.to_string_lossy().replace('\\', "/")
    }

    fn sentence(&self, binding: &Binding) -> String {
        binding.reason.as_ref().map(|reason| reason.say(self.lang)).unwrap_or_default()
    }

    fn title(binding: &Binding, mapping: &Mapping) -> String {
        let port = binding.port.map_or_else(|| "any".to_owned(), |port| port.to_string());
        format!("{} {port}/{} {}", binding.name(mapping), mapping.protocol, binding.state.name())
    }
}

/// Escapes text for XML content and attributes; control characters that XML forbids become spaces.
pub(super) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(letter),
            control if control.is_control() => escaped.push(' '),
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// Renders `JUnit` XML: one test case for each published port; what could not be looked at is skipped, not passed.
#[must_use]
pub fn junit(findings: &Findings<'_>) -> String {
    let count = |wanted: Level| findings.rows().filter(|(binding, _)| level(binding.state) == wanted).count();
    let unknown = findings.rows().filter(|(binding, _)| binding.state == BindingState::Unknown).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (tests, failures) = (findings.rows().count(), count(Level::Error));
    let _ = writeln!(text, "<testsuites tests=\"{tests}\" failures=\"{failures}\" skipped=\"{unknown}\">");
    let _ = writeln!(
        text,
        "  <testsuite name=\"portwright.check\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{unknown}\">"
    );
    for (binding, mapping) in findings.rows() {
        let port = binding.port.map_or_else(|| "any".to_owned(), |port| port.to_string());
        let name = xml(&format!("{} {port}/{}", binding.name(mapping), mapping.protocol));
        let (file, line) = (xml(&findings.file(mapping)), mapping.source.line);
        let _ = write!(text, "    <testcase classname=\"{file}\" name=\"{name}\" file=\"{file}\" line=\"{line}\"");
        let (state, sentence) = (binding.state.name(), xml(&findings.sentence(binding)));
        let _ = match (level(binding.state), binding.state) {
            (Level::Error, _) => {
                writeln!(text, ">\n      <failure type=\"{state}\" message=\"{sentence}\"/>\n    </testcase>")
            }
            (_, BindingState::Unknown) => {
                writeln!(text, ">\n      <skipped message=\"{sentence}\"/>\n    </testcase>")
            }
            _ => writeln!(text, "/>"),
        };
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

/// Renders SARIF 2.1.0 (OASIS): one result for each port that is not fine, at its line of the compose file.
#[must_use]
pub fn sarif(findings: &Findings<'_>) -> serde_json::Value {
    let states = [BindingState::Conflict, BindingState::Reserved, BindingState::Privileged, BindingState::Unknown];
    let rules: Vec<_> = states
        .iter()
        .map(|state| {
            let text = format!("Port: {}", state.say(findings.lang));
            json!({"id": format!("port-{}", state.name()), "shortDescription": {"text": text}})
        })
        .collect();
    let bad = findings.rows().filter(|(binding, _)| level(binding.state) != Level::Fine);
    let results: Vec<_> = bad
        .map(|(binding, mapping)| {
            json!({
                "ruleId": format!("port-{}", binding.state.name()),
                "level": if level(binding.state) == Level::Error { "error" } else { "warning" },
                "message": {"text": format!("{}: {}", Findings::title(binding, mapping), findings.sentence(binding))},
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": {"uri": uri(&findings.file(mapping))},
                        "region": {"startLine": mapping.source.line, "startColumn": mapping.source.column}
                    }
                }]
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "portwright", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": results
        }]
    })
}

/// Percent-encodes what a relative URI reference may not hold (RFC 3986, section 2.2).
fn uri(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => text.push(char::from(byte)),
            other => {
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
    text
}

/// Escapes the text of an annotation.
pub(super) fn annotation_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of an annotation.
pub(super) fn annotation_property(text: &str) -> String {
    annotation_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Renders annotations as GitHub Actions reads them from stdout ("Workflow commands", GitHub documentation).
#[must_use]
pub fn github(findings: &Findings<'_>) -> String {
    let mut text = String::new();
    for (binding, mapping) in findings.rows() {
        let command = match level(binding.state) {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Fine => continue,
        };
        let _ = writeln!(
            text,
            "::{command} file={},line={},col={},title={}::{}",
            annotation_property(&findings.file(mapping)),
            mapping.source.line,
            mapping.source.column,
            annotation_property(&Findings::title(binding, mapping)),
            annotation_data(&findings.sentence(binding))
        );
    }
    text
}

/// Renders the lines for `GITHUB_OUTPUT`: `port_<service>=N`, the first port of each service; characters that a name
/// may not hold become `_`.
#[must_use]
pub fn github_output(project: &Project) -> String {
    let mut seen = Vec::new();
    let mut text = String::new();
    for mapping in &project.mappings {
        let crate::model::PublishedPort::Fixed(range) = mapping.published else { continue };
        if seen.contains(&&mapping.service) {
            continue;
        }
        seen.push(&mapping.service);
        let name: String = mapping
            .service
            .chars()
            .map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' })
            .collect();
        let _ = writeln!(text, "port_{name}={}", range.first());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Lever, MappingId, Port, PortRange, ProjectService, Protocol, PublishedPort, SourceSpot};
    use crate::words::plan::PlanWords;

    fn project() -> Project {
        let mapping = Mapping {
            service: "web & co".to_owned(),
            host_ip: None,
            published: PublishedPort::Fixed(PortRange::single(Port::new(8000).unwrap())),
            container: PortRange::single(Port::new(80).unwrap()),
            protocol: Protocol::Tcp,
            source: SourceSpot { file: "/w/a b/compose.yaml".into(), line: 4, column: 9 },
            variable: None,
            lever: Lever::Literal { file: "/w/a b/compose.yaml".into(), span: 0..4 },
        };
        Project {
            name: "p".to_owned(),
            directory: "/w/a b".into(),
            files: vec!["/w/a b/compose.yaml".into()],
            env_file: "/w/a b/.env".into(),
            services: vec![ProjectService { name: "web & co".to_owned(), container_name: None, host_network: false }],
            mappings: vec![mapping],
            warnings: Vec::new(),
            edit_warnings: Vec::new(),
        }
    }

    fn binding(state: BindingState) -> Binding {
        Binding {
            mapping: MappingId(0),
            port: Port::new(8000),
            container_port: Port::new(80).unwrap(),
            state,
            holder: None,
            suggested: None,
            reason: Some(PlanWords::HeldByUser { user: "<a>\n100%".to_owned() }.into()),
        }
    }

    fn with_findings<T>(state: BindingState, use_them: impl Fn(&Findings<'_>) -> T) -> T {
        let (project, bindings) = (project(), [binding(state)]);
        use_them(&Findings { project: &project, bindings: &bindings, base: Path::new("/w"), lang: Lang::En })
    }

    #[test]
    fn junit_fails_conflicts_and_skips_the_unknown() {
        let failed = with_findings(BindingState::Conflict, junit);
        assert!(failed.contains("failures=\"1\"") && failed.contains("&lt;a&gt;"), "{failed}");
        assert!(failed.contains("name=\"web &amp; co:80 8000/tcp\" file=\"a b/compose.yaml\" line=\"4\""), "{failed}");
        assert!(with_findings(BindingState::Unknown, junit).contains("<skipped message="));
        assert!(!with_findings(BindingState::Free, junit).contains("<failure"));
    }

    #[test]
    fn sarif_points_at_the_line_with_a_relative_uri() {
        let log = with_findings(BindingState::Conflict, sarif);
        let location = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(location["artifactLocation"]["uri"], "a%20b/compose.yaml");
        assert_eq!(location["region"], json!({"startLine": 4, "startColumn": 9}));
        assert_eq!(with_findings(BindingState::Own, sarif)["runs"][0]["results"], json!([]));
    }

    #[test]
    fn github_annotations_escape_what_would_end_them() {
        let text = with_findings(BindingState::Conflict, github);
        assert_eq!(
            text,
            "::error file=a b/compose.yaml,line=4,col=9,title=web & co%3A80 8000/tcp conflict::a process of user <a>%0A100%25\n"
        );
        assert_eq!(github_output(&project()), "port_web___co=8000\n");
    }
}
