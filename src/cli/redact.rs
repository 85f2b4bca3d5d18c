//! Secrets that are known of a project and its environment, taken out of whatever is about to be printed or sent: as they
//! are, and in base64 at any place of a longer text.
//!
//! What `doctor` sees holds no secret by itself. This is the second wall: a message of an engine, a line of a log or an
//! address may repeat one.

use std::path::Path;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use serde_json::Value;

use super::Environment;
use super::mask::looks_secret;

/// What stands in place of a secret.
const SIGN: &str = "***";

/// What stands where a long message was cut off.
const CUT: char = '…';

/// A shorter value is no secret that could be told from ordinary text.
const SHORTEST: usize = 5;

/// A value this long, of letters and digits without a break, is a key whatever its name.
const KEY_LENGTH: usize = 24;

/// The longest file that is looked through, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The secrets that are known, in every form in which they are looked for, the longest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Redactor(Vec<String>);

impl Redactor {
    /// Collects the secrets of the environment, of files with assignments (`.env`, YAML), and those that are named.
    pub(super) fn new<'a>(
        environment: &Environment,
        files: impl IntoIterator<Item = &'a Path>,
        named: &[&str],
    ) -> Self {
        let mut found: Vec<String> = named.iter().map(ToString::to_string).collect();
        for (name, value) in &environment.variables {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            // PWD and SSH_AUTH_SOCK are called like secrets, and name places.
            if looks_secret(&name) && !Path::new(&*value).exists() {
                found.push(value.clone().into_owned());
            }
            found.extend(password_in(&value));
        }
        for file in files {
            found.extend(in_text(&contents(file)));
        }
        found.retain(|secret| secret.len() >= SHORTEST && !secret.chars().all(|sign| sign.is_ascii_digit()));
        let mut forms: Vec<String> = found.iter().flat_map(|secret| forms(secret)).collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self(forms)
    }

    /// Returns the text without its secrets, and without what stands before `@` in addresses.
    pub(super) fn text(&self, text: &str) -> String {
        let text = self.0.iter().fold(text.to_owned(), |text, form| text.replace(form, SIGN));
        without_users(&self.without_beginnings(&text))
    }

    /// Takes out what is left of a secret where a long message was cut off.
    fn without_beginnings(&self, text: &str) -> String {
        let mut pieces: Vec<&str> = text.split(CUT).collect();
        let last = pieces.pop().unwrap_or_default();
        let mut shown = String::with_capacity(text.len());
        for piece in pieces {
            match self.0.iter().filter_map(|form| beginning_at_the_end(form, piece)).max() {
                Some(length) => {
                    shown.push_str(piece.get(..piece.len() - length).unwrap_or_default());
                    shown.push_str(SIGN);
                }
                None => shown.push_str(piece),
            }
            shown.push(CUT);
        }
        shown + last
    }

    /// Does the same to every text of a document.
    pub(super) fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.value(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// How many bytes at the end of a text are the beginning of a secret; fewer than [`SHORTEST`] tell nothing.
fn beginning_at_the_end(form: &str, text: &str) -> Option<usize> {
    let lengths = (SHORTEST..form.len()).rev();
    lengths.into_iter().find(|length| form.get(..*length).is_some_and(|beginning| text.ends_with(beginning)))
}

fn contents(file: &Path) -> String {
    let is_small = std::fs::metadata(file).is_ok_and(|data| data.is_file() && data.len() <= FILE_BYTES_MAX);
    let bytes = if is_small { std::fs::read(file).unwrap_or_default() } else { Vec::new() };
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Finds the values of secret-looking names, keys of any name, and passwords in addresses.
fn in_text(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        found.extend(password_in(line));
        let line = line.trim().trim_start_matches("- ").trim_start_matches("export ").trim_matches(['"', '\'']);
        let Some((name, value)) = line.split_once(['=', ':']) else { continue };
        let assigned = assigned(value.trim());
        let value = value.trim().trim_matches(['"', '\'', ',']);
        let is_key = value.len() >= KEY_LENGTH
            && value.chars().all(|sign| sign.is_ascii_alphanumeric())
            && value.chars().any(|sign| sign.is_ascii_digit());
        if (looks_secret(name.trim()) || is_key) && !value.starts_with("${") {
            found.push(value.to_owned());
            found.extend(assigned);
        }
    }
    found
}

/// The value of an assignment as its reader takes it: without quotes and what follows them, without a comment, and with
/// the signs that stand escaped in double quotes.
fn assigned(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(rest) = value.strip_prefix('\'') {
        found.extend(rest.split('\'').next().map(str::to_owned));
    } else if let Some(rest) = value.strip_prefix('"') {
        let mut is_escaped = false;
        let end = rest.find(|sign: char| {
            let is_end = sign == '"' && !is_escaped;
            is_escaped = sign == '\\' && !is_escaped;
            is_end
        });
        let inner = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        found.extend(serde_json::from_str::<String>(&format!("\"{inner}\"")));
        found.push(inner.to_owned());
    } else {
        found.extend(value.split(" #").next().map(|value| value.trim_end().to_owned()));
    }
    found
}

/// Finds the password of `scheme://user:password@host`.
fn password_in(text: &str) -> Option<String> {
    let (_, after) = text.split_once("://")?;
    let (user, _) = after.split(['/', ' ', '"']).next()?.rsplit_once('@')?;
    Some(user.split_once(':').map_or(user, |(_, password)| password).to_owned())
}

/// Hides what stands before `@` in `scheme://user:password@host`.
fn without_users(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find(|sign: char| sign.is_whitespace() || "/\"'`,".contains(sign)).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                shown.push_str(SIGN);
                shown.push('@');
                shown.push_str(host);
            }
            None => shown.push_str(authority),
        }
        rest = tail;
    }
    shown + rest
}

/// The forms of a secret: itself, as it stands in an address and in JSON, and what of its base64 does not depend on the
/// bytes around it, at each of the three
/// places that it may begin at, in both alphabets.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), percent(secret, b""), percent(secret, b"-_.~")];
    // A message may hold JSON that holds JSON.
    let mut escaped = secret.to_owned();
    for _ in 0..2 {
        let quoted = serde_json::to_string(&escaped).unwrap_or_default();
        quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().clone_into(&mut escaped);
        forms.extend([escaped.replace('/', "\\/"), escaped.clone()]);
    }
    for shift in 0..3_usize {
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(secret.as_bytes());
        for encoding in [BASE64_NOPAD, BASE64URL_NOPAD] {
            let text = encoding.encode(&bytes);
            // Signs that hold bits of the bytes before, and the last one, which may hold bits of those behind.
            let first = (shift * 8).div_ceil(6);
            let last = bytes.len() * 8 / 6;
            let form = text.get(first..last).filter(|form| form.len() >= SHORTEST);
            forms.extend(form.into_iter().flat_map(|form| [form.replace('/', "\\/"), form.to_owned()]));
        }
    }
    forms
}

/// A text as it stands in an address: what is no letter, no digit and none of `plain` is `%XX`.
fn percent(text: &str, plain: &[u8]) -> String {
    let of = |byte: u8| match byte {
        _ if byte.is_ascii_alphanumeric() || plain.contains(&byte) => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(of).collect()
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    const CANARY: &str = "s3cret-canary-4711";

    fn redactor() -> Redactor {
        let folder = tempfile::tempdir().expect("a folder");
        let (env, yaml) = (folder.path().join(".env"), folder.path().join("compose.yaml"));
        std::fs::write(&env, format!("A_TOKEN='{CANARY}'\nPORT=8000\nID=0123456789abcdef0123456789abcdef\n"))
            .expect("written");
        std::fs::write(
            &yaml,
            "services:\n  a:\n    environment:\n      - DB_PASSWORD=hunter22\n      URL: pg://u:pa55word@db/x\n",
        )
        .expect("written");
        Redactor::new(&Environment::default(), [env.as_path(), yaml.as_path()], &["named-secret"])
    }

    #[test]
    fn secrets_of_files_are_taken_out_and_ordinary_words_stay() {
        let text = format!("{CANARY} hunter22 pa55word named-secret 0123456789abcdef0123456789abcdef port 8000 of web");
        assert_eq!(redactor().text(&text), "*** *** *** *** *** port 8000 of web");
        assert_eq!(redactor().text("tcp://me:x@h:1/p and tcp://h:2"), "tcp://***@h:1/p and tcp://h:2");
    }

    #[test]
    fn base64_of_a_secret_is_taken_out_wherever_it_begins() {
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "x", "xy"] {
                let text = BASE64.encode(format!("{before}{CANARY}{after}").as_bytes());
                let hidden = redactor().text(&text);
                assert!(hidden.contains(SIGN), "{before} {after}: {hidden}");
                assert!(hidden.len() < 20, "{before} {after}: {hidden}");
            }
        }
    }

    #[test]
    fn what_a_cut_left_of_a_secret_is_taken_out() {
        assert_eq!(redactor().text("a s3cret-can… b"), "a ***… b");
        assert_eq!(redactor().text("a s3cr… b s3cret-can"), "a s3cr… b s3cret-can");
    }

    #[test]
    fn a_value_is_what_its_reader_takes_it_for() {
        for (value, secret) in [
            ("'it # is' # not", "it # is"),
            (r#""a \"b\" c" # d"#, r#"a "b" c"#),
            ("plain#1 # comment", "plain#1"),
            ("\"open", "open"),
        ] {
            assert!(assigned(value).contains(&secret.to_owned()), "{value}: {:?}", assigned(value));
        }
    }

    #[test]
    fn documents_are_cleared_at_any_depth() {
        let mut document = serde_json::json!({"a": [{"b": format!("x {CANARY}")}], "n": 1});
        redactor().value(&mut document);
        assert_eq!(document, serde_json::json!({"a": [{"b": "x ***"}], "n": 1}));
    }
}
