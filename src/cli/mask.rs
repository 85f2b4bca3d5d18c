//! Secrets in lines of `.env` and compose files, hidden before a line is shown.
//!
//! It errs on the side of hiding: a value that is hidden without need costs a look into the file, a secret on a screen
//! or in a log of continuous integration cannot be taken back.

use std::path::Path;

/// Which values of a file may be shown, and what stands in place of the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mask<'a> {
    /// The variables whose values may be shown: those that a port is moved in.
    pub(super) shown: &'a [String],
    /// What stands in place of a value.
    pub(super) sign: &'a str,
}

/// Parts of a name that make its value a secret, in small letters.
const SECRET_PARTS: [&str; 10] =
    ["password", "passwd", "passphrase", "secret", "token", "credential", "auth", "apikey", "private", "dsn"];

/// Words of a name, or its end, that make its value a secret: too short to be looked for everywhere.
const SECRET_WORDS: [&str; 5] = ["key", "keys", "pwd", "pass", "pw"];

impl Mask<'_> {
    /// Returns the lines of `file` with their secrets hidden, one for each.
    pub(super) fn lines(self, file: &Path, lines: &[&str]) -> Vec<String> {
        let is_yaml =
            file.extension().is_some_and(|ext| ext.eq_ignore_ascii_case("yaml") || ext.eq_ignore_ascii_case("yml"));
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_unit = [".service", ".plist", ".service.txt"].iter().any(|end| name.ends_with(end));
        match (is_yaml, is_unit) {
            (true, _) => self.yaml(lines),
            (_, true) => lines.iter().map(|line| self.unit(line)).collect(),
            _ => self.dotenv(lines),
        }
    }

    /// In a unit of a service manager the variables may hold secrets; those that name a file are none.
    fn unit(self, line: &str) -> String {
        match line.split_once("Environment=") {
            Some((head, value)) if !value.contains("_FILE=") => format!("{head}Environment={}", self.sign),
            _ => self.urls(line),
        }
    }

    /// In a `.env` file every value is a secret.
    fn dotenv(self, lines: &[&str]) -> Vec<String> {
        let mut open_quote = None;
        let mut masked = Vec::with_capacity(lines.len());
        for line in lines {
            if let Some(quote) = open_quote {
                open_quote = if closes(line, quote) { None } else { Some(quote) };
                masked.push(self.sign.to_owned());
                continue;
            }
            let assigned = assignment(line).filter(|_| !is_comment(line));
            open_quote = assigned.and_then(|assigned| unclosed_quote(assigned.value));
            masked.push(match assigned {
                Some(assigned) => self.assigned(line, assigned),
                None => self.loose(line),
            });
        }
        masked
    }

    fn assigned(self, line: &str, assigned: Assignment<'_>) -> String {
        if self.shown.iter().any(|name| name == assigned.name) {
            self.urls(line)
        } else if assigned.value.trim().is_empty() {
            line.to_owned()
        } else {
            format!("{}{}", assigned.head, self.sign)
        }
    }

    /// A line that assigns nothing: empty, a comment, which may hold a disabled assignment, or something odd.
    fn loose(self, line: &str) -> String {
        if is_comment(line) {
            let body = line.trim_start().trim_start_matches('#');
            let disabled = assignment(body).filter(|disabled| disabled.head.ends_with('='));
            return match disabled {
                Some(disabled) => {
                    let marks = line.strip_suffix(body).unwrap_or_default();
                    format!("{marks}{}", self.assigned(body, disabled))
                }
                None => self.inline(line),
            };
        }
        if line.trim().is_empty() { line.to_owned() } else { self.sign.to_owned() }
    }

    /// In YAML the values of keys and variables that look secret are hidden, with the lines that continue them.
    fn yaml(self, lines: &[&str]) -> Vec<String> {
        let mut hidden_below: Option<usize> = None;
        let mut masked = Vec::with_capacity(lines.len());
        for line in lines {
            let indent = line.len() - line.trim_start_matches(' ').len();
            if hidden_below.is_some_and(|column| indent > column || line.trim().is_empty()) {
                let text = if line.trim().is_empty() { String::new() } else { " ".repeat(indent) + self.sign };
                masked.push(text);
                continue;
            }
            let secret = yaml_key(line).filter(|key| self.is_secret(key.name) && !key.value.trim().is_empty());
            hidden_below = secret.as_ref().map(|key| key.column);
            masked.push(match secret {
                Some(key) => format!("{} {}", key.head.trim_end(), self.sign),
                None => self.inline(line),
            });
        }
        masked
    }

    /// Hides values of secret names anywhere in a line, and passwords in addresses.
    fn inline(self, line: &str) -> String {
        let mut masked = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(start) = rest.find(is_name) {
            let (before, from_name) = rest.split_at(start);
            let (name, after) =
                from_name.split_at(from_name.find(|letter| !is_name(letter)).unwrap_or(from_name.len()));
            masked.push_str(before);
            masked.push_str(name);
            rest = after;
            if self.is_secret(name)
                && let Some((lead, tail)) = value_after(after, name.starts_with('-'))
            {
                masked.push_str(lead);
                masked.push_str(self.sign);
                rest = tail;
            }
        }
        masked.push_str(rest);
        self.urls(&masked)
    }

    /// Hides `user:password` in `scheme://user:password@host`.
    fn urls(self, line: &str) -> String {
        let mut masked = String::with_capacity(line.len());
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("://") {
            masked.push_str(before);
            masked.push_str("://");
            let end =
                after.find(|letter: char| letter.is_whitespace() || "\"'`,".contains(letter)).unwrap_or(after.len());
            let (address, tail) = after.split_at(end);
            match address.rsplit_once('@') {
                Some((_, host)) => {
                    masked.push_str(self.sign);
                    masked.push('@');
                    masked.push_str(host);
                    rest = tail;
                }
                None => rest = after,
            }
        }
        masked.push_str(rest);
        masked
    }

    fn is_secret(self, name: &str) -> bool {
        looks_secret(name) && !self.shown.iter().any(|shown| shown == name)
    }
}

/// Tells whether a name looks like that of a secret. What names a port is none: ports are what is shown here.
pub(super) fn looks_secret(name: &str) -> bool {
    let small = name.to_ascii_lowercase();
    let mut words = small.split(['_', '-', '.']);
    let looks_secret = SECRET_PARTS.iter().any(|part| small.contains(part))
        || ["key", "pass"].iter().any(|end| small.ends_with(end))
        || words.clone().any(|word| SECRET_WORDS.contains(&word));
    let names_port = words.next_back().is_some_and(|word| word == "port" || word == "ports");
    looks_secret && !names_port
}

#[derive(Clone, Copy)]
struct Assignment<'a> {
    /// Everything up to and with the `=`.
    head: &'a str,
    name: &'a str,
    value: &'a str,
}

fn assignment(line: &str) -> Option<Assignment<'_>> {
    let at = line.find(['=', ':'])?;
    let (head, value) = line.split_at_checked(at + 1)?;
    let name = head.get(..at)?.trim();
    let name = name.strip_prefix("export ").map_or(name, str::trim_start);
    (!name.is_empty() && name.chars().all(is_name)).then_some(Assignment { head, name, value })
}

struct YamlKey<'a> {
    head: &'a str,
    name: &'a str,
    value: &'a str,
    /// Where the name begins: lines below it that begin further right belong to its value.
    column: usize,
}

/// Reads `key: value`, `- key: value` and `- NAME=value`, quoted or not.
fn yaml_key(line: &str) -> Option<YamlKey<'_>> {
    let bare = line.trim_start_matches([' ', '-']);
    let column = line.len() - bare.len();
    let from_name = bare.trim_start_matches(['"', '\'']);
    let (name, after) = from_name.split_at(from_name.find(|letter| !is_name(letter))?);
    let value = after.trim_start_matches(['"', '\'', ' ']).strip_prefix([':', '='])?;
    let head = line.strip_suffix(value)?;
    (!name.is_empty() && (head.ends_with('=') || value.is_empty() || value.starts_with(' '))).then_some(YamlKey {
        head,
        name,
        value,
        column,
    })
}

/// Splits what follows a secret name into what leads to its value and what comes after the value; `None` when no
/// value follows. A flag (`--token abc`) may be followed by its value without any sign.
fn value_after(after: &str, flag: bool) -> Option<(&str, &str)> {
    let signs = after.trim_start_matches(['"', '\'']).trim_start();
    let (value, one_word) = match signs.strip_prefix([':', '=']) {
        Some(value) => (value.trim_start(), signs.starts_with('=')),
        None if flag => (after.trim_start_matches(['"', '\'', ',', ' ']), true),
        None => return None,
    };
    let quote = value.chars().next().filter(|first| "\"'".contains(*first));
    let inner = quote.map_or(value, |quote| value.strip_prefix(quote).unwrap_or(value));
    let ends = |letter: char| match quote {
        Some(quote) => letter == quote,
        None => (one_word && letter.is_whitespace()) || ",}]\"'".contains(letter),
    };
    let (hidden, tail) = inner.split_at(inner.find(ends).unwrap_or(inner.len()));
    let lead = after.strip_suffix(inner)?;
    (!hidden.is_empty() && !lead.is_empty()).then_some((lead, tail))
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || "_-.".contains(letter)
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn unclosed_quote(value: &str) -> Option<char> {
    let value = value.trim_start();
    let quote = value.chars().next().filter(|first| "\"'`".contains(*first))?;
    (!closes(value.strip_prefix(quote)?, quote)).then_some(quote)
}

fn closes(text: &str, quote: char) -> bool {
    let mut escaped = false;
    for letter in text.chars() {
        if letter == quote && !escaped {
            return true;
        }
        escaped = letter == '\\' && !escaped && quote == '"';
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(file: &str, text: &str, shown: &[&str]) -> String {
        let shown: Vec<String> = shown.iter().map(ToString::to_string).collect();
        let lines: Vec<&str> = text.lines().collect();
        Mask { shown: &shown, sign: "***" }.lines(Path::new(file), &lines).join("\n")
    }

    #[test]
    fn only_the_moved_variable_of_an_env_file_is_shown() {
        let text = "# the ports\nPORT=8000\nexport KEY='s3cret'\nEMPTY=\ns3cret\n#OLD=s3cret\nCERT=\"-----\n\
                    s3cret=1\nend\"\n\
                    NEXT: s3cret\ns3cret line";
        assert_eq!(
            masked(".env", text, &["PORT"]),
            "# the ports\nPORT=8000\nexport KEY=***\nEMPTY=\n***\n#OLD=***\nCERT=***\n***\n***\nNEXT:***\n***"
        );
        assert_eq!(masked("prod.vars", "URL=http://u:s3cret@h:80/", &["URL"]), "URL=http://***@h:80/");
    }

    #[test]
    fn a_unit_is_shown_but_for_its_variables() {
        let text = "[Service]\nUser=x\nEnvironment=\"KEY=s3cret\"\nEnvironment=\"A_FILE=/etc/a\"\nX=http://u:s3cret@h/";
        assert_eq!(
            masked("x.service", text, &[]),
            "[Service]\nUser=x\nEnvironment=***\nEnvironment=\"A_FILE=/etc/a\"\nX=http://***@h/"
        );
    }

    #[test]
    fn secret_looking_values_of_a_compose_file_are_hidden() {
        let text = "    environment:\n      DB_PASSWORD: s3cret phrase\n      - API_KEY=s3cret\n\
                    \x20     - \"TOKEN=s3cret\"\n\
                    \x20     URL: postgres://u:s3cret@db:5432/x\n    command: run --token s3cret --port 80\n\
                    \x20   entrypoint: [\"--api-key\", \"s3cret\", \"x\"]\n    labels: {auth_token: s3cret, port: 80}\n\
                    \x20   x: ${DB_PASSWORD:-s3cret}\n    private_key: |\n      s3cret\n\n      s3cret\n\
                    \x20   healthcheck: curl -H \"Authorization: Bearer s3cret\" -u x\n\
                    \x20   env: AWS_ACCESS_KEY_ID=s3cret\n    image: web";
        let shown = masked("compose.yaml", text, &[]);
        assert!(!shown.contains("s3cret"), "{shown}");
        for kept in ["DB_PASSWORD: ***", "--port 80", "port: 80}", "@db:5432/x", "\n    image: web", "\"x\"]"] {
            assert!(shown.contains(kept), "{kept:?} in\n{shown}");
        }
    }

    #[test]
    fn ports_stay_readable_even_under_names_that_look_secret() {
        let text = "  token-server:\n    ports:\n      - \"${AUTH_PORT:-8000}:80\"\n      - 9000:9000 # key: main";
        assert_eq!(masked("compose.yml", text, &[]), text.replace("key: main", "key: ***"));
        assert_eq!(masked("a.yaml", "- ${KEY:-1}:2", &["KEY"]), "- ${KEY:-1}:2");
    }

    proptest! {
        #[test]
        fn masking_never_panics_and_keeps_the_number_of_lines(text in "[ -~\n\"'=:#@/\u{e9}\u{4f60}-]{0,200}") {
            let lines: Vec<&str> = text.split('\n').collect();
            for file in [".env", "compose.yaml"] {
                let masked = Mask { shown: &[], sign: "***" }.lines(Path::new(file), &lines);
                prop_assert_eq!(masked.len(), lines.len());
            }
        }

        #[test]
        fn no_value_of_an_env_file_comes_through(name in "[A-Z][A-Z0-9_]{0,10}", value in "[ -~]{0,20}") {
            let line = format!("{name}={value}CANARY");
            let masked = Mask { shown: &[], sign: "***" }.lines(Path::new(".env"), &[&line]);
            prop_assert!(!masked.concat().contains("CANARY"));
        }
    }
}
