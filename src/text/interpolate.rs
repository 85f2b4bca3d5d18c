//! Interpolation as compose-go does it (`template/template.go`, read at 2026-07-21): `$NAME`, `${NAME}`, `$$` and the
//! operators `:-  -  :?  ?  :+  +`, nested.
//!
//! The reference is a regular expression, and its odd corners are kept: a braced part ends at the brace that balances
//! all braces (also of JSON), the character after `{` is never counted, an unbalanced part ends at the last `}` of the
//! line, no part spans lines, a default is judged only when it is used, and a `$` that starts nothing is itself.

use std::fmt;
use std::ops::Range;

/// How deep defaults may nest: real files use at most three levels; each level costs a stack frame.
pub const MAX_DEPTH: usize = 32;

/// The longest text an expansion may give, in bytes: eight times what Linux accepts as one environment string, and a
/// stop for files that double a value line by line.
pub const MAX_EXPANSION_BYTES: usize = 1 << 20;

/// Why a template cannot be read or expanded. The caller knows the file and the line and says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// A `${` that compose does not understand.
    Invalid {
        /// Where the `$` stands, in bytes from the start of the text.
        offset: usize,
    },
    /// `${NAME:?message}`: the variable has no value.
    Required {
        /// The variable.
        name: String,
        /// The message as written, not expanded: what it names may be secret.
        message_from_author: String,
    },
    /// Defaults nest deeper than [`MAX_DEPTH`].
    TooDeep,
    /// The expansion is longer than [`MAX_EXPANSION_BYTES`].
    TooLong,
}

/// What a braced variable does with its argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `-`: the argument, when the variable is not set.
    DefaultIfUnset,
    /// `:-`: the argument, when the variable is not set or empty.
    DefaultIfEmpty,
    /// `?`: an error, when the variable is not set.
    RequiredIfUnset,
    /// `:?`: an error, when the variable is not set or empty.
    RequiredIfEmpty,
    /// `+`: the argument, when the variable is set.
    ReplaceIfSet,
    /// `:+`: the argument, when the variable is set and not empty.
    ReplaceIfNotEmpty,
}

impl Operator {
    /// Reads the operator at the start of `text`; returns it with its length in bytes.
    fn at_start(text: &str) -> Option<(Self, usize)> {
        let (rest, colon) = text.strip_prefix(':').map_or((text, false), |rest| (rest, true));
        let operator = match (rest.as_bytes().first()?, colon) {
            (b'-', false) => Self::DefaultIfUnset,
            (b'-', true) => Self::DefaultIfEmpty,
            (b'?', false) => Self::RequiredIfUnset,
            (b'?', true) => Self::RequiredIfEmpty,
            (b'+', false) => Self::ReplaceIfSet,
            (b'+', true) => Self::ReplaceIfNotEmpty,
            _ => return None,
        };
        Some((operator, if colon { 2 } else { 1 }))
    }
}

/// A part of a template. Spans are in bytes of the outermost text, also in nested templates.
#[derive(Clone, PartialEq, Eq)]
pub enum Part {
    /// Text that stands for itself.
    Literal {
        /// Where it stands.
        span: Range<usize>,
        /// The text.
        text: String,
    },
    /// `$NAME`, `${NAME}` or `${NAME` with an operator.
    Variable {
        /// Where it stands, `$` and braces included.
        span: Range<usize>,
        /// The variable.
        name: String,
        /// The operator, if there is one.
        operator: Option<Operator>,
        /// What follows the operator; present when the operator is.
        argument: Option<Box<Template>>,
        /// Where the argument stands, without operator and brace; present when the operator is.
        argument_span: Option<Range<usize>>,
    },
    /// `$$`, which stands for one dollar.
    Dollar {
        /// Where it stands.
        span: Range<usize>,
    },
}

impl Part {
    /// Returns where the part stands.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        match self {
            Self::Literal { span, .. } | Self::Variable { span, .. } | Self::Dollar { span } => span.clone(),
        }
    }
}

impl fmt::Debug for Part {
    /// Leaves the text out: a template may come from a `.env` file.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal { span, .. } => write!(formatter, "Literal({span:?})"),
            Self::Dollar { span } => write!(formatter, "Dollar({span:?})"),
            Self::Variable { span, name, operator, argument, .. } => {
                write!(formatter, "Variable({span:?}, {name}, {operator:?}, {argument:?})")
            }
        }
    }
}

/// What a template expands to.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Expansion {
    /// The text.
    pub text: String,
    /// The variables that were used, were not set and had no default (compose warns of them), in order.
    pub unset: Vec<String>,
}

impl fmt::Debug for Expansion {
    /// Leaves the text out: it may hold secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Expansion").field("unset", &self.unset).finish_non_exhaustive()
    }
}

impl Expansion {
    fn push(&mut self, text: &str) -> Result<(), TemplateError> {
        if self.text.len() + text.len() > MAX_EXPANSION_BYTES {
            return Err(TemplateError::TooLong);
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// A parsed text. Its parts follow each other without gaps.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
    /// Where a `${` stands that cannot be read. Only arguments keep one: compose judges them when they are used.
    invalid: Option<usize>,
}

impl Template {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let template = read(text, 0, 0)?;
        template.invalid.map_or(Ok(template), |offset| Err(TemplateError::Invalid { offset }))
    }

    /// Returns the parts, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Puts values for variables; `lookup` gives `None` for one that is not set.
    pub fn expand(&self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Expansion, TemplateError> {
        let mut expansion = Expansion::default();
        self.expand_into(lookup, &mut expansion)?;
        Ok(expansion)
    }

    /// Returns the names of all variables at any depth, in order of appearance, with repetitions.
    #[must_use]
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.collect_variables(&mut names);
        names
    }

    /// Tells whether the text stands for itself wherever it is expanded.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal { .. }))
    }

    fn collect_variables<'a>(&'a self, names: &mut Vec<&'a str>) {
        for part in &self.parts {
            if let Part::Variable { name, argument, .. } = part {
                names.push(name);
                if let Some(argument) = argument {
                    argument.collect_variables(names);
                }
            }
        }
    }

    fn expand_into(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
        expansion: &mut Expansion,
    ) -> Result<(), TemplateError> {
        if let Some(offset) = self.invalid {
            return Err(TemplateError::Invalid { offset });
        }
        for part in &self.parts {
            match part {
                Part::Literal { text, .. } => expansion.push(text)?,
                Part::Dollar { .. } => expansion.push("$")?,
                Part::Variable { name, operator, argument, .. } => {
                    let value = lookup(name);
                    let Some((operator, argument)) = operator.zip(argument.as_deref()) else {
                        match value {
                            Some(value) => expansion.push(&value)?,
                            None => expansion.unset.push(name.clone()),
                        }
                        continue;
                    };
                    match choose(operator, value) {
                        Choice::Value(value) => expansion.push(&value)?,
                        Choice::Argument => argument.expand_into(lookup, expansion)?,
                        Choice::Missing => {
                            let message_from_author = argument.text.clone();
                            return Err(TemplateError::Required { name: name.clone(), message_from_author });
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Template {
    /// Leaves the text out: a template may come from a `.env` file.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(&self.parts).finish()
    }
}

enum Choice {
    Value(String),
    Argument,
    Missing,
}

fn choose(operator: Operator, value: Option<String>) -> Choice {
    let (counts, absent) = match operator {
        Operator::DefaultIfUnset => (value, Choice::Argument),
        Operator::DefaultIfEmpty => (filled(value), Choice::Argument),
        Operator::RequiredIfUnset => (value, Choice::Missing),
        Operator::RequiredIfEmpty => (filled(value), Choice::Missing),
        Operator::ReplaceIfSet => return replace(value.as_ref()),
        Operator::ReplaceIfNotEmpty => return replace(filled(value).as_ref()),
    };
    counts.map_or(absent, Choice::Value)
}

fn filled(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

fn replace(value: Option<&String>) -> Choice {
    if value.is_some() { Choice::Argument } else { Choice::Value(String::new()) }
}

/// What stands at a `$`.
enum Found {
    Nothing,
    Invalid,
    Dollar,
    Variable { end: usize, name: Range<usize>, operation: Option<(Operator, Range<usize>)> },
}

/// Reads `text`, which stands at byte `base` of the outermost text.
fn read(text: &str, base: usize, depth: usize) -> Result<Template, TemplateError> {
    if depth > MAX_DEPTH {
        return Err(TemplateError::TooDeep);
    }
    let mut template = Template { text: text.to_owned(), parts: Vec::new(), invalid: None };
    let mut literal_from = 0;
    let mut at = 0;
    while let Some(dollar) = find_from(text, at, '$') {
        let (end, part) = match found_at(text, dollar) {
            Found::Nothing => {
                at = dollar + 1;
                continue;
            }
            Found::Invalid => {
                template.invalid = Some(base + dollar);
                break;
            }
            Found::Dollar => (dollar + 2, Part::Dollar { span: base + dollar..base + dollar + 2 }),
            Found::Variable { end, name, operation } => {
                let operator = operation.as_ref().map(|(operator, _)| *operator);
                let inner = operation.map(|(_, span)| span);
                let argument = match &inner {
                    Some(span) => Some(Box::new(read(slice(text, span.clone()), base + span.start, depth + 1)?)),
                    None => None,
                };
                let part = Part::Variable {
                    span: base + dollar..base + end,
                    name: slice(text, name).to_owned(),
                    operator,
                    argument,
                    argument_span: inner.map(|span| base + span.start..base + span.end),
                };
                (end, part)
            }
        };
        template.push_literal(base, literal_from..dollar);
        template.parts.push(part);
        at = end;
        literal_from = end;
    }
    template.push_literal(base, literal_from..text.len());
    Ok(template)
}

impl Template {
    fn push_literal(&mut self, base: usize, span: Range<usize>) {
        if !span.is_empty() {
            let text = slice(&self.text, span.clone()).to_owned();
            self.parts.push(Part::Literal { span: base + span.start..base + span.end, text });
        }
    }
}

fn found_at(text: &str, dollar: usize) -> Found {
    let after = dollar + 1;
    match text.as_bytes().get(after) {
        Some(b'$') => Found::Dollar,
        Some(b'{') => braced_at(text, dollar),
        _ => {
            let name = name_at(text, after);
            if name.is_empty() { Found::Nothing } else { Found::Variable { end: name.end, name, operation: None } }
        }
    }
}

fn braced_at(text: &str, dollar: usize) -> Found {
    let name = name_at(text, dollar + 2);
    if name.is_empty() {
        return Found::Invalid;
    }
    let rest = text.get(name.end..).unwrap_or_default();
    if rest.starts_with('}') {
        return Found::Variable { end: name.end + 1, name, operation: None };
    }
    let Some((operator, length)) = Operator::at_start(rest) else { return Found::Invalid };
    let from = name.end + length;
    let Some(brace) = closing_brace(text.as_bytes(), dollar + 1, from) else { return Found::Invalid };
    Found::Variable { end: brace + 1, name, operation: Some((operator, from..brace)) }
}

/// Returns where the braced part that opens at `open` closes: at the brace that balances it, or at the last one of the
/// line when none does. `from` is where its argument starts.
fn closing_brace(text: &[u8], open: usize, from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut last = None;
    let mut uncounted = false;
    let line = text.iter().enumerate().skip(open).take_while(|(_, byte)| **byte != b'\n');
    for (at, byte) in line {
        if *byte == b'}' && at >= from {
            last = Some(at);
        }
        match byte {
            _ if uncounted => uncounted = false,
            b'{' => {
                depth += 1;
                uncounted = true;
            }
            b'}' if depth == 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    last
}

/// Returns the span of the variable name at `from`, empty where there is none.
fn name_at(text: &str, from: usize) -> Range<usize> {
    let bytes = text.as_bytes().get(from..).unwrap_or_default();
    let starts = bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    let length = bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    from..if starts { from + length } else { from }
}

fn find_from(text: &str, from: usize, wanted: char) -> Option<usize> {
    text.get(from..)?.find(wanted).map(|offset| from + offset)
}

/// Returns a span of `text`; spans here start and end at ASCII characters, so they never split a character.
fn slice(text: &str, span: Range<usize>) -> &str {
    text.get(span).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "FOO" => Some("first".to_owned()),
            "BAR" => Some(String::new()),
            "JSON" => Some(r#"{"json":2}"#.to_owned()),
            _ => None,
        }
    }

    fn expanded(text: &str) -> Result<String, TemplateError> {
        Template::parse(text)?.expand(&lookup).map(|expansion| expansion.text)
    }

    fn gives(pairs: &[(&str, &str)]) {
        for (text, expected) in pairs {
            assert_eq!(expanded(text).as_deref(), Ok(*expected), "{text}");
        }
    }

    #[test]
    fn plain_names_and_dollars_expand_as_compose_does() {
        gives(&[
            ("foo", "foo"),
            ("", ""),
            ("$${FOO}", "${FOO}"),
            ("$$FOO", "$FOO"),
            ("$$$FOO", "$first"),
            ("a $ string", "a $ string"),
            ("^REGEX$", "^REGEX$"),
            ("$}", "$}"),
            ("$", "$"),
            ("$1", "$1"),
            ("$FOO-bar", "first-bar"),
            ("is ${FOO} or $FOO.", "is first or first."),
            ("no ${missing} $missing", "no  "),
            ("$JSON", r#"{"json":2}"#),
            ("é$FOOé", "éfirsté"),
        ]);
    }

    #[test]
    fn defaults_follow_unset_and_empty() {
        gives(&[
            ("${missing:-def}", "def"),
            ("${missing-def}", "def"),
            ("${BAR:-def}", "def"),
            ("${BAR-def}", ""),
            ("${FOO:-def}", "first"),
            ("${FOO-def}", "first"),
            ("${missing:-}", ""),
            ("${BAR:-/non:-alphanumeric}", "/non:-alphanumeric"),
            ("${missing:-8000}:80", "8000:80"),
            ("${missing-a?b}", "a?b"),
            (":-ok ${missing-def} ?", ":-ok def ?"),
            ("${A:-1}${B:-2}34", "1234"),
        ]);
    }

    #[test]
    fn replacements_follow_set_and_not_empty() {
        gives(&[
            ("${missing:+x}", ""),
            ("${missing+x}", ""),
            ("${FOO:+x}", "x"),
            ("${FOO+x}", "x"),
            ("${BAR:+x}", ""),
            ("${BAR+x}", "x"),
            ("${BAR+$FOO ${FOO:+second}}", "first second"),
        ]);
    }

    #[test]
    fn defaults_nest() {
        gives(&[
            ("${missing-$FOO}", "first"),
            ("${missing:-${FOO} ${FOO}}", "first first"),
            ("${A:-${B:-${C:-3}}}", "3"),
            ("${A:-${B}}-", "-"),
            ("${A:+${A},}B", "B"),
            ("+ok ${UNSET:-${BAR-default}}", "+ok "),
            ("${A:-$$FOO}", "$FOO"),
        ]);
    }

    #[test]
    fn braces_of_json_balance_as_in_the_reference() {
        gives(&[
            (r#"${A:-{"a":{"b":1}}}!"#, r#"{"a":{"b":1}}!"#),
            ("${A:-{}}", "{}"),
            ("${FOO:-{}} swallowed ${B}", "first"),
            ("${A:-x}} y", "x} y"),
        ]);
    }

    #[test]
    fn a_default_is_judged_only_when_it_is_used() {
        assert_eq!(expanded("${FOO:-${}}").as_deref(), Ok("first"));
        assert_eq!(expanded("a${X:-b${}}"), Err(TemplateError::Invalid { offset: 7 }));
    }

    #[test]
    fn what_compose_refuses_is_refused_with_its_place() {
        for text in [
            "${", "${}", "${ }", "${ FOO}", "${FOO }", "${FOO!}", "${FOO", "${FOO:-x", "${1}", "${A:-
}", "${FOO:}",
        ] {
            assert_eq!(expanded(text), Err(TemplateError::Invalid { offset: 0 }), "{text}");
        }
        assert_eq!(expanded("é${FOO}${"), Err(TemplateError::Invalid { offset: 8 }));
    }

    #[test]
    fn required_variables_are_named_and_their_message_is_not_expanded() {
        let required = |text: &str| match expanded(text) {
            Err(TemplateError::Required { name, message_from_author }) => (name, message_from_author),
            other => panic!("{text}: {other:?}"),
        };
        let pair = |name: &str, message: &str| (name.to_owned(), message.to_owned());
        assert_eq!(required("no ${X:?set it}"), pair("X", "set it"));
        assert_eq!(required("no ${BAR:?set it}"), pair("BAR", "set it"));
        assert_eq!(required("${X?}"), pair("X", ""));
        assert_eq!(required("${X?like $FOO}"), pair("X", "like $FOO"));
        gives(&[("${FOO:?e}", "first"), ("${FOO?e}", "first"), ("${BAR?e}", "")]);
    }

    #[test]
    fn variables_without_value_or_default_are_told_once_per_use() {
        let unset = |text: &str| Template::parse(text).expect("valid").expand(&lookup).expect("expands").unset;
        assert_eq!(unset("$A ${B} ${C:-x} ${D:-$E} ${F:+$G} ${FOO:-$H} $BAR"), ["A", "B", "E"]);
    }

    #[test]
    fn names_are_listed_at_any_depth() {
        let template = Template::parse("$A ${B:-${C?$D}} $$E").expect("valid");
        assert_eq!(template.variables(), ["A", "B", "C", "D"]);
    }

    #[test]
    fn nested_spans_count_from_the_start_of_the_text() {
        let text = "ip:${A:-x${B:-80}}:1";
        let template = Template::parse(text).expect("valid");
        let Some(Part::Variable { span, argument: Some(argument), argument_span: Some(outer), .. }) =
            template.parts().get(1)
        else {
            panic!("{template:?}")
        };
        assert_eq!((&text[span.clone()], &text[outer.clone()]), ("${A:-x${B:-80}}", "x${B:-80}"));
        let Some(Part::Variable { span, argument_span: Some(inner), .. }) = argument.parts().get(1) else {
            panic!("{argument:?}")
        };
        assert_eq!((&text[span.clone()], &text[inner.clone()]), ("${B:-80}", "80"));
    }

    #[test]
    fn depth_and_length_have_limits() {
        let nested = |depth: usize| format!("{}1{}", "${A:-".repeat(depth), "}".repeat(depth));
        assert_eq!(expanded(&nested(MAX_DEPTH)).as_deref(), Ok("1"));
        assert_eq!(expanded(&nested(MAX_DEPTH + 1)), Err(TemplateError::TooDeep));
        let template = Template::parse("$A$A").expect("valid");
        let long = |_: &str| Some("x".repeat(MAX_EXPANSION_BYTES / 2 + 1));
        assert_eq!(template.expand(&long), Err(TemplateError::TooLong));
    }

    #[test]
    fn debug_output_holds_no_text() {
        let template = Template::parse("hunter2 ${A:-hunter2}").expect("valid");
        let expansion = template.expand(&lookup).expect("expands");
        assert!(!format!("{template:?} {expansion:?}").contains("hunter2"));
    }

    /// Checks that parts follow each other from `start` to `end`, and so do those of arguments.
    fn tiles(template: &Template, start: usize, end: usize) {
        let mut at = start;
        for part in template.parts() {
            let span = part.span();
            assert_eq!(span.start, at);
            assert!(span.end > span.start);
            at = span.end;
            if let Part::Variable { argument: Some(argument), argument_span: Some(inner), .. } = part {
                assert!(span.start < inner.start && inner.end < span.end);
                tiles(argument, inner.start, inner.end);
            }
        }
        assert_eq!(at, end);
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_parts_tile_the_text(text in "([${}:?+A_1 \\né-]|\\$\\{A:-|\\$\\$|x\\}){0,40}") {
            if let Ok(template) = Template::parse(&text) {
                tiles(&template, 0, text.len());
                let _ = template.expand(&lookup);
            }
        }

        #[test]
        fn text_without_a_dollar_is_itself(text in "[^$]{0,40}") {
            let template = Template::parse(&text).expect("nothing to refuse");
            prop_assert!(template.is_literal());
            prop_assert_eq!(template.expand(&lookup).expect("expands").text, text);
        }
    }
}
