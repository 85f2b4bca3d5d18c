//! What surrounds the process: variables and terminals, taken once at the start and passed on as a value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal as _, stderr, stdin, stdout};

use clap::ValueEnum as _;

use super::args::{ColorChoice, GlobalArgs};
use crate::words::Lang;

/// The variables and terminals of a process.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The environment variables.
    pub variables: BTreeMap<OsString, OsString>,
    /// Whether stdin, stdout and stderr are terminals.
    pub terminals: Terminals,
    /// The locale that the system names where no variable does.
    pub system_locale: Option<String>,
    /// Width of the terminal in columns, when there is one.
    pub columns: Option<u16>,
}

/// Which streams are terminals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terminals {
    /// stdin.
    pub stdin: bool,
    /// stdout.
    pub stdout: bool,
    /// stderr.
    pub stderr: bool,
}

/// The variables that name a locale, the strongest first.
const LOCALE_VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

/// The variables that name the encoding of the terminal, the strongest first.
const ENCODING_VARIABLES: [&str; 3] = ["LC_ALL", "LC_CTYPE", "LANG"];

/// The variable that names our language alone; stronger than the locale, weaker than `--lang`.
const LANG_VARIABLE: &str = "PORTWRIGHT_LANG";

impl Environment {
    /// Returns that of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        let terminal = [console::Term::stdout(), console::Term::stderr()].into_iter().find(console::Term::is_term);
        Self {
            variables: std::env::vars_os().collect(),
            terminals: Terminals {
                stdin: stdin().is_terminal(),
                stdout: stdout().is_terminal(),
                stderr: stderr().is_terminal(),
            },
            system_locale: sys_locale::get_locale(),
            columns: terminal.and_then(|terminal| terminal.size_checked()).map(|(_, columns)| columns),
        }
    }

    /// Returns the value of a variable that is set, not empty and valid UTF-8.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(OsStr::new(name)).and_then(|value| value.to_str()).filter(|value| !value.is_empty())
    }

    /// Returns the language: `--lang` as it was typed, `PORTWRIGHT_LANG`, the locale, what the system says, English.
    #[must_use]
    pub fn lang(&self, raw: &[OsString]) -> Lang {
        typed_value(raw, "--lang")
            .and_then(|tag| Lang::from_tag(&tag))
            .or_else(|| self.variable(LANG_VARIABLE).and_then(Lang::from_tag))
            .or_else(|| match LOCALE_VARIABLES.iter().find_map(|name| self.variable(name)) {
                Some(locale) => Lang::from_tag(locale),
                None => self.system_locale.as_deref().and_then(Lang::from_tag),
            })
            .unwrap_or_default()
    }

    /// Tells whether symbols beyond ASCII can be shown.
    #[must_use]
    pub fn unicode(&self) -> bool {
        match ENCODING_VARIABLES.iter().find_map(|name| self.variable(name)) {
            Some(locale) => {
                let locale = locale.to_ascii_lowercase();
                locale.contains("utf-8") || locale.contains("utf8")
            }
            // Windows has no such variable, and its console is written to in UTF-16.
            None => std::env::consts::OS == "windows",
        }
    }

    /// Tells whether a stream that is a `terminal` or not gets colour.
    #[must_use]
    pub fn color(&self, choice: ColorChoice, terminal: bool) -> bool {
        match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if self.variable("NO_COLOR").is_some() => false,
            ColorChoice::Auto if self.variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
            ColorChoice::Auto => terminal && self.variable("TERM") != Some("dumb"),
        }
    }
}

/// Reads the flags that decide how an answer looks from a raw command line, so that even a wrong one is answered in
/// the form that was asked for.
#[must_use]
pub(super) fn typed_globals(raw: &[OsString]) -> GlobalArgs {
    let words = || raw.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    GlobalArgs {
        json: words().any(|word| word == "--json"),
        color: typed_value(raw, "--color")
            .and_then(|word| ColorChoice::from_str(&word, false).ok())
            .unwrap_or(ColorChoice::Auto),
        lang: typed_value(raw, "--lang").and_then(|tag| Lang::from_tag(&tag)),
        directory: None,
        quiet: false,
        verbose: 0,
        help: None,
    }
}

/// Finds `--flag VALUE` or `--flag=VALUE` before anything is parsed.
fn typed_value(raw: &[OsString], flag: &str) -> Option<String> {
    let mut words = raw.iter().map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    while let Some(word) = words.next() {
        if word == flag {
            return words.next().map(Cow::into_owned);
        }
        if let Some(value) = word.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')) {
            return Some(value.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        Environment { variables, ..Environment::default() }
    }

    fn lang(line: &str, variables: &[(&str, &str)]) -> Lang {
        let raw: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        environment(variables).lang(&raw)
    }

    #[test]
    fn the_strongest_word_about_the_language_wins() {
        let zh = [("LANG", "zh_CN.UTF-8")];
        assert_eq!(lang("scan", &[]), Lang::En);
        assert_eq!(lang("scan", &zh), Lang::ZhCn);
        assert_eq!(lang("scan --lang en", &zh), Lang::En);
        assert_eq!(lang("--lang=zh-CN nonsense", &[]), Lang::ZhCn);
        assert_eq!(lang("logs -- --lang zh-CN", &[]), Lang::En);
        assert_eq!(lang("scan", &[("LC_ALL", "C"), ("LANG", "zh_CN.UTF-8")]), Lang::En);
        assert_eq!(lang("scan", &[("LC_ALL", ""), ("LC_MESSAGES", "zh_CN"), ("LANG", "en_US")]), Lang::ZhCn);
        assert_eq!(lang("scan", &[("PORTWRIGHT_LANG", "zh-CN"), ("LC_ALL", "en_US.UTF-8")]), Lang::ZhCn);
        assert_eq!(lang("scan", &[("LANG", "fr_FR.UTF-8")]), Lang::En);
    }

    #[test]
    fn colour_follows_the_flag_then_the_environment_then_the_terminal() {
        let color = |choice, variables: &[(&str, &str)], terminal| environment(variables).color(choice, terminal);
        assert!(color(ColorChoice::Auto, &[("TERM", "xterm")], true));
        assert!(!color(ColorChoice::Auto, &[("TERM", "xterm")], false));
        assert!(!color(ColorChoice::Auto, &[("TERM", "dumb")], true));
        assert!(!color(ColorChoice::Auto, &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true));
        assert!(color(ColorChoice::Auto, &[("NO_COLOR", "")], true));
        assert!(color(ColorChoice::Auto, &[("CLICOLOR_FORCE", "1")], false));
        assert!(color(ColorChoice::Always, &[("NO_COLOR", "1")], false));
        assert!(!color(ColorChoice::Never, &[("CLICOLOR_FORCE", "1")], true));
    }

    #[test]
    fn symbols_are_ascii_where_the_locale_is_not_utf8() {
        assert!(environment(&[("LANG", "zh_CN.UTF-8")]).unicode());
        assert!(environment(&[("LC_ALL", "C.utf8")]).unicode());
        assert!(!environment(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]).unicode());
        assert!(!environment(&[("LANG", "zh_CN.GB18030")]).unicode());
    }
}
