//! How an error is shown: the house form for people, one document for programs.

use serde::Serialize;

use super::escape;
use super::output::{Look, Paint, Talk, join_mark, write_err};
use crate::error::{Error, ErrorKind};
use crate::words::cli::CliWords;
use crate::words::{Lang, Say};

/// Returns the error in the house form, in `lang`:
///
/// ```text
/// error: port 8080 is already used by nginx (pid 812)
///   while planning service `web` in ./compose.yaml
/// hint: run with `--port web=8081`
/// ```
#[must_use]
pub fn render(error: &Error, lang: Lang, look: Look) -> String {
    let mark = look.paint(&CliWords::ErrorMark.say(lang), Paint::Red);
    let mut lines = vec![join_mark(&mark, &error.message().say(lang), lang)];
    lines.extend(error.places().iter().map(|place| {
        let text = CliWords::While { place: place.say(lang) }.say(lang);
        format!("  {}", escape::lines(&text))
    }));
    let report = (error.kind() == ErrorKind::Internal).then(|| CliWords::ReportThis.say(lang));
    if let Some(hint) = error.way_out().map(|hint| hint.say(lang)).or(report) {
        lines.push(join_mark(&look.paint(&CliWords::HintMark.say(lang), Paint::Cyan), &hint, lang));
    }
    lines.join("\n")
}

/// The document of a run that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorDocument {
    schema: String,
    error: ErrorView,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ErrorView {
    kind: &'static str,
    code: u8,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    context: Vec<String>,
    hint: Option<String>,
}

/// Returns the document of a failed run of `verb`. JSON is never translated: messages are English.
#[must_use]
pub fn document(error: &Error, verb: &str) -> ErrorDocument {
    let english = Lang::En;
    ErrorDocument {
        schema: format!("portwright.{verb}/1"),
        error: ErrorView {
            kind: kind_name(error.kind()),
            code: error.kind().exit_code(),
            message: error.message().say(english),
            context: error.places().iter().map(|place| place.say(english)).collect(),
            hint: error.way_out().map(|hint| hint.say(english)),
        },
    }
}

/// Returns the stable name of a kind in JSON.
const fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Internal => "internal",
        ErrorKind::Usage => "usage",
        ErrorKind::Refused => "refused",
        ErrorKind::Busy => "busy",
        ErrorKind::Missing => "missing",
        ErrorKind::Unhealthy => "unhealthy",
        ErrorKind::Partial => "partial",
        ErrorKind::Interrupted => "interrupted",
    }
}

impl Talk {
    /// Shows an error: on stderr for people, and as the one document on stdout under `--json`.
    pub fn error(&self, error: &Error, verb: &str) {
        if self.json && !self.has_answered() {
            // When stdout is what failed there is nobody to tell but stderr, which is told anyway.
            let _ = self.json(&document(error, verb));
        }
        write_err(&render(error, self.lang, self.err));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { color: false, unicode: true, width: None };

    fn sample() -> Error {
        Error::new(ErrorKind::Refused, CliWords::UnknownVerb { verb: "a\x1b[2Jb".into() })
            .context(CliWords::DidYouMean { name: "scan".into() })
            .hint(CliWords::TryHelp { command: "portwright".into() })
    }

    #[test]
    fn an_error_says_what_where_and_the_way_out_in_both_languages() {
        assert_eq!(
            render(&sample(), Lang::En, PLAIN),
            "error: there is no command `a\\u{1b}[2Jb`\n  while did you mean `scan`?\nhint: run `portwright --help`"
        );
        assert_eq!(
            render(&sample(), Lang::ZhCn, PLAIN),
            "错误：没有命令 `a\\u{1b}[2Jb`\n  在是不是想输入 `scan`？时\n提示：运行 `portwright --help` 查看帮助"
        );
    }

    #[test]
    fn a_bug_of_ours_asks_for_a_report() {
        let error = Error::new(ErrorKind::Internal, CliWords::OutputClosed);
        assert!(render(&error, Lang::En, PLAIN).contains("please report it"));
    }

    #[test]
    fn the_document_of_a_failure_is_english_and_whole() {
        let document = serde_json::to_value(document(&sample(), "scan")).expect("JSON");
        assert_eq!(document["schema"], "portwright.scan/1");
        assert_eq!(document["error"]["kind"], "refused");
        assert_eq!(document["error"]["code"], 3);
        assert_eq!(document["error"]["hint"], "run `portwright --help`");
    }
}
