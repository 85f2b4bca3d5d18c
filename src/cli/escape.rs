//! Text from elsewhere (names of containers and processes, paths, lines of files) made harmless for a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Replaces what could move the cursor, recolour or reorder text: control characters, direction overrides and invisible
/// characters. Line feeds too, so that foreign text cannot begin a line of its own.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, false)
}

/// As [`line`], but keeps line feeds, for text that is ours and quotes foreign names.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escape(text, true)
}

fn escape(text: &str, line_feeds: bool) -> Cow<'_, str> {
    let harmless = |letter: char| !is_harmful(letter) || (line_feeds && letter == '\n');
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if harmless(letter) {
            safe.push(letter);
        } else if letter == '\t' {
            safe.push_str("    ");
        } else {
            // Writing to a String cannot fail.
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(letter));
        }
    }
    Cow::Owned(safe)
}

fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_comes_through() {
        assert_eq!(line("evil\x1b[2Jname\r\n"), "evil\\u{1b}[2Jname\\u{d}\\u{a}");
        assert_eq!(line("\u{9b}31m\u{202e}txt\u{200b}"), "\\u{9b}31m\\u{202e}txt\\u{200b}");
        assert_eq!(lines("one\ntwo\x07"), "one\ntwo\\u{7}");
    }

    #[test]
    fn ordinary_text_in_any_script_stays_as_it_is() {
        for text in ["web-1", "容器（项目）", "naïve café", "日本語 🚢"] {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text));
        }
    }
}
