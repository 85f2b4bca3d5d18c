use proptest::prelude::*;

use super::*;
use crate::words::Message;

fn parse(bytes: impl AsRef<[u8]>) -> Document {
    Document::parse(bytes.as_ref()).unwrap_or_else(|error| panic!("{error}"))
}

fn no_shell(_: &str) -> Option<String> {
    None
}

fn value_of(bytes: impl AsRef<[u8]>, name: &str) -> Option<String> {
    parse(bytes).resolve(&no_shell).unwrap_or_else(|error| panic!("{error}")).remove(name)
}

fn set(before: &str, name: &str, value: &str) -> String {
    let after = parse(before).set(name, value).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(after).expect("UTF-8 in, UTF-8 out")
}

fn words(error: &Error) -> &DotenvWords {
    match error.message() {
        Message::Dotenv(words) => words,
        other => panic!("{other:?}"),
    }
}

fn parse_error(bytes: impl AsRef<[u8]>) -> Error {
    let error = Document::parse(bytes.as_ref()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.way_out().is_some());
    error
}

/// Files with what Docker Compose 2.40.3 makes of `A` in them.
#[test]
fn values_read_as_compose_reads_them() {
    let table: &[(&str, &str)] = &[
        ("A= # note", "# note"),
        ("A=1\t# c", "1\t# c"),
        ("A=#c", "#c"),
        ("A=1 # c", "1"),
        ("A=x \t #c", "x"),
        ("A=123#no-comment", "123#no-comment"),
        ("A=\nB=2", ""),
        ("A=\r\nB=2", ""),
        ("A=1\r\nB=2\r\n", "1"),
        ("A=1\rB=2", "1\rB=2"),
        ("A=a b c", "a b c"),
        ("A=it's", "it's"),
        (r#"A={"k": 1}"#, r#"{"k": 1}"#),
        (r"A=C:\dir\new", r"C:\dir\new"),
        (r"A=\n", r"\n"),
        ("A=`x`", "`x`"),
        ("A==1", "=1"),
        ("A: 1", "1"),
        ("A:1", "1"),
        ("A =1", "1"),
        ("  \t A=1", "1"),
        ("export A=1", "1"),
        ("export\tA=1", "1"),
        ("export\nA=1", "1"),
        ("\u{feff}A=1", "1"),
        ("\u{3000}A=1", "1"),
        ("A=\u{a0}x\u{a0}", "x"),
        ("A=\u{3000}x\u{3000}", "\u{3000}x"),
        (r#"A="x"y"#, "x"),
        (r#"B="x"A=2"#, "2"),
        ("A=\"x\"#c", "x"),
        ("A=' # '", " # "),
        (r"A='x\'y'", "x'y"),
        (r"A='a\nb'", r"a\nb"),
        (r"A='\\'", r"\\"),
        ("A='s${B}'", "s${B}"),
        ("B=\"a\nA=5\"\nA=1", "1"),
        ("A=\"a\nb\"", "a\nb"),
        (r#"A="a\nb\t\"\a\b\f\v\r""#, "a\nb\t\"\u{7}\u{8}\u{c}\u{b}\r"),
        (r#"A="\c\0101\q\x41""#, r"\cA\q\x41"),
        (r#"A="\0""#, r"\"),
        (r#"A="\01""#, r"\1"),
        (r#"A="\08""#, r"\8"),
        (r#"A="\0400""#, r"\400"),
        (r#"A="\0377""#, "\u{ff}"),
        (r#"A="x\\""#, r"x\"),
        ("A=\"a\\\nb\"", "a\\\nb"),
        (r#"A="\$B$$C""#, "$B$C"),
        ("A=$$B", "$B"),
        ("A=$B\nB=2", ""),
        ("B=7\nA=${B}0\nB=8", "70"),
        ("A=${B:-8000}", "8000"),
        ("A=${B:-${C:-3}}", "3"),
        (r#"A="${B:-1}""#, "1"),
        ("A=1\nA=2", "2"),
        ("#A=1\nA=2 # A=3\n# A=4", "2"),
    ];
    for (text, expected) in table {
        assert_eq!(value_of(text, "A").as_deref(), Some(*expected), "{text:?}");
    }
}

#[test]
fn lines_that_define_nothing_define_nothing() {
    for text in ["", "\n", "\t \r\n", "# A=1", "A", "A\n", "export A\n", "exportA=1", "#A=1", "export", "=1", "A B"] {
        assert_eq!(value_of(text, "A"), None, "{text:?}");
    }
    assert_eq!(value_of("1A=2", "1A"), None);
}

#[test]
fn names_may_have_letters_of_any_script() {
    for name in ["A-B", "é", "A[0]", "a.b", "名"] {
        assert_eq!(value_of(format!("{name}=1"), name).as_deref(), Some("1"));
    }
}

#[test]
fn the_shell_wins_in_expansions_and_fills_names_alone() {
    let shell = |name: &str| (name == "P").then(|| "9".to_owned());
    let values = parse("P=1\nA=$P\nP\nQ\n").resolve(&shell).expect("resolves");
    assert_eq!(values.get("A").map(String::as_str), Some("9"));
    assert_eq!(values.get("P").map(String::as_str), Some("9"));
    assert_eq!(values.len(), 2);
}

#[test]
fn what_compose_refuses_is_refused_with_line_and_column() {
    let name = "KEY".to_owned();
    let table: &[(&str, DotenvWords)] = &[
        ("A=1\n A B=2", DotenvWords::NameSpace { line: 2, column: 2 }),
        ("lol$wut", DotenvWords::NameCharacter { line: 1, column: 4, character: '$' }),
        ("é=1\nA\\=1", DotenvWords::NameCharacter { line: 2, column: 2, character: '\\' }),
        ("A='it''s'\n", DotenvWords::NameCharacter { line: 1, column: 7, character: '\'' }),
        ("A\u{3000}=1", DotenvWords::NameCharacter { line: 1, column: 2, character: '\u{3000}' }),
        ("A=1\nexport ", DotenvWords::NameMissing { line: 2, column: 1 }),
        ("é='\n' KEY=\"v\\\"\nX=1", DotenvWords::Unterminated { line: 2, column: 7, name: name.clone() }),
        ("KEY='value\\'", DotenvWords::Unterminated { line: 1, column: 5, name }),
        ("A=1\nB=\0", DotenvWords::Nul { line: 2, column: 3 }),
    ];
    for (text, expected) in table {
        assert_eq!(words(&parse_error(text)), expected, "{text:?}");
    }
    let not_utf8 = parse_error(b"A\xff=1");
    assert!(matches!(words(&not_utf8), DotenvWords::NameCharacter { line: 1, column: 2, .. }));
}

#[test]
fn utf16_is_told_from_other_files_with_nul_bytes() {
    let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    for bytes in [little("\u{feff}A=1\n"), big("\u{feff}A=1\n"), little("A=1\n"), big("A=1\n")] {
        assert_eq!(words(&parse_error(bytes)), &DotenvWords::Utf16);
    }
    assert!(matches!(words(&parse_error("\0\0\0\0")), DotenvWords::Nul { .. }));
}

#[test]
fn large_files_are_refused_and_files_at_the_limit_are_read_in_time() {
    assert_eq!(words(&parse_error(vec![b'#'; MAX_FILE_BYTES + 1])), &DotenvWords::TooLarge { limit: 1024 });
    let many = "A='x'".repeat(MAX_FILE_BYTES / 5);
    assert_eq!(parse(&many).assignments().count(), MAX_FILE_BYTES / 5);
    let long = format!("A={}", "${B:-x}".repeat(MAX_FILE_BYTES / 7 - 1));
    assert_eq!(value_of(long, "A").map(|value| value.len()), Some(MAX_FILE_BYTES / 7 - 1));
}

#[test]
fn values_that_double_line_by_line_are_stopped() {
    let lines: Vec<_> = (1..64).map(|step| format!("A{step}=$A{}$A{}", step - 1, step - 1)).collect();
    let error = parse(format!("A0=xx\n{}", lines.join("\n"))).resolve(&no_shell).expect_err("stopped");
    assert!(matches!(words(&error), DotenvWords::TooLong { line: 21, .. }), "{error}");
    let half = MAX_FILE_BYTES / 2 - 8;
    let reading = format!("A={}\nB={}", "x".repeat(half), "${A:+x}".repeat(half / 7));
    let error = parse(reading).resolve(&no_shell).expect_err("stopped");
    assert!(matches!(words(&error), DotenvWords::TooLong { line: 2, .. }), "{error}");
}

#[test]
fn a_bad_template_names_the_line_and_not_the_value() {
    let error = parse("A=1\nB=hunter2${\n").resolve(&no_shell).expect_err("refused");
    assert_eq!(words(&error), &DotenvWords::Template { line: 2, name: "B".to_owned() });
    let error = parse("B=${C:?hunter2}").resolve(&no_shell).expect_err("refused");
    assert_eq!(error.to_string(), "line 1: B needs C, which has no value");
}

#[test]
fn assignments_tell_where_they_stand() {
    let document = parse("# é\n  export PÖRT = \"80\" # c\nX=1\nX=2\n");
    let port = document.last("PÖRT").expect("assigned");
    assert_eq!((port.line, port.column, port.quote, port.exported), (2, 10, Quote::Double, true));
    assert_eq!(document.raw(port), b"80");
    assert_eq!(document.duplicates(), [("X".to_owned(), vec![3, 4])]);
}

#[test]
fn debug_output_and_errors_hold_no_value() {
    let document = parse("A=hunter2\nB='hunter2'\nC=$A");
    assert!(!format!("{document:?}").contains("hunter2"));
    let refusals = [
        document.set("C", "hunter2").expect_err("indirect"),
        document.set("A", "hunter2\\").expect_err("unwritable"),
        document.set("1", "hunter2").expect_err("no name"),
        parse_error("hunter2 hunter2=1"),
        parse_error("A='hunter2"),
    ];
    for error in refusals {
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn a_set_changes_the_bytes_of_the_value_only() {
    for (before, after) in [
        ("P=80", "P=9"),
        ("P=80\n", "P=9\n"),
        ("P=80 # c\r\nQ=1\r\n", "P=9 # c\r\nQ=1\r\n"),
        ("P=80\t \nQ=1", "P=9\t \nQ=1"),
        ("\u{feff}export P = '80'# c\n", "\u{feff}export P = '9'# c\n"),
        ("P: \"80\"\t# c", "P: \"9\"\t# c"),
        ("P=1\nP=2\nP=3 #\nQ=P=3", "P=1\nP=2\nP=9 #\nQ=P=3"),
        ("P=\nQ=1\n", "P=9\nQ=1\n"),
        ("P= \r\nQ=1\r\n", "P= 9\r\nQ=1\r\n"),
        ("P=''", "P='9'"),
        ("P= # the port\n", "P= 9 # the port\n"),
        ("P=#80\n", "P=9\n"),
        ("P='${Q}'", "P='9'"),
        ("P=a$$b", "P=9"),
        ("P=80\nURL=http://localhost:${P}/\n", "P=9\nURL=http://localhost:${P}/\n"),
        ("A=\"\nP=1\"\nP=2", "A=\"\nP=1\"\nP=9"),
    ] {
        assert_eq!(set(before, "P", "9"), after, "{before:?}");
    }
}

#[test]
fn a_missing_variable_gets_a_line_of_its_own() {
    for (before, after) in [
        ("", "P=9\n"),
        ("\u{feff}", "\u{feff}P=9\n"),
        ("A=1", "A=1\nP=9\n"),
        ("A=1\r\nB=2", "A=1\r\nB=2\r\nP=9\r\n"),
        ("A=1\n\n", "A=1\n\nP=9\n"),
        ("#P=80\nA=1\n", "#P=80\nP=9\nA=1\n"),
        ("\u{feff}#P=80\r\nA=1", "\u{feff}#P=80\r\nP=9\r\nA=1"),
        (" # export P = 80\r\nA=1\n", " # export P = 80\r\nP=9\r\nA=1\n"),
        ("A=1\n#P=80", "A=1\n#P=80\nP=9\n"),
        ("#P=1\n#P=2\n#PP=3\n# P is a port\n", "#P=1\n#P=2\nP=9\n#PP=3\n# P is a port\n"),
        ("A='\n#P=1\n'\n", "A='\n#P=1\n'\nP=9\n"),
        ("A=1 #P=80\nB=1\n", "A=1 #P=80\nB=1\nP=9\n"),
        ("P\n", "P\nP=9\n"),
    ] {
        assert_eq!(set(before, "P", "9"), after, "{before:?}");
    }
    assert_eq!(create("P", "9").expect("writable"), b"P=9\n");
}

#[test]
fn values_that_need_quotes_get_single_ones() {
    for (before, value, after) in [
        ("P=1", "a b", "P='a b'"),
        ("P=1", "", "P=''"),
        ("P=1", "$X", "P='$X'"),
        ("P=1", "it's", r"P='it\'s'"),
        ("P=1 # c", "é#", "P='é#' # c"),
        ("P=\"1\"", "a b", "P=\"a b\""),
        ("P=\"1\"", "a\"$\\b", r#"P='a"$\b'"#),
        ("P=\"1\" # c", "$", "P='$' # c"),
        ("P='1'", "a\nb", "P='a\nb'"),
    ] {
        assert_eq!(set(before, "P", value), after, "{before:?} {value:?}");
        assert_eq!(value_of(after, "P").as_deref(), Some(value));
    }
    for value in ["a\\", "\\'", "a\0b"] {
        let error = parse("P=1").set("P", value).expect_err("refused");
        assert_eq!(words(&error), &DotenvWords::Unwritable { name: "P".to_owned() });
    }
}

#[test]
fn a_value_taken_from_variables_is_not_cut_off_from_them() {
    for text in ["A=1\nP=${Q:-8000}", "A=1\nP=\"$Q\""] {
        let error = parse(text).set("P", "9").expect_err("refused");
        let (name, variables) = ("P".to_owned(), "Q".to_owned());
        assert_eq!(words(&error), &DotenvWords::Indirect { line: 2, name, variables: variables.clone() });
        assert_eq!(error.way_out(), Some(&DotenvWords::IndirectHint { variables }.into()));
    }
    let error = parse("P=${").set("P", "9").expect_err("refused");
    assert_eq!(words(&error), &DotenvWords::Template { line: 1, name: "P".to_owned() });
}

#[test]
fn names_that_compose_cannot_replace_are_not_appended() {
    for name in ["", "1A", "A B", "A=B", "é", "A-B", "A\nB"] {
        let error = parse("").set(name, "9").expect_err("refused");
        assert_eq!(words(&error), &DotenvWords::BadName { name: name.to_owned() });
    }
    assert_eq!(set("A-B=1", "A-B", "9"), "A-B=9");
}

#[test]
fn bytes_that_are_not_utf8_stay_as_they_are() {
    let after = parse(b"A=\xff\xfe#\nP=1 # \x80\nB='\xc3'\n").set("P", "9").expect("writable");
    assert_eq!(after, b"A=\xff\xfe#\nP=9 # \x80\nB='\xc3'\n");
    assert_eq!(parse(b"P=\xff1").set("P", "9").expect("writable"), b"P=9");
    assert_eq!(value_of(b"P=\x851\x85", "P").as_deref(), Some("\u{fffd}1\u{fffd}"));
}

/// Files made of pieces that meet in odd ways.
fn files() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 28] = [
        b"P=",
        b"Q=",
        b"export ",
        b"#P=80",
        b"# c",
        b" # c",
        b"'",
        b"\"",
        b"\\",
        b"\n",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"80",
        b"$Q",
        b"${Q:-1}",
        b"$$",
        b"${",
        b":",
        b"=",
        b"P",
        b"\xff",
        b"\xc3\xa9",
        b"\xef\xbb\xbf",
        b"}",
        b"1A=",
        b"\\'",
    ];
    proptest::collection::vec(0..pieces.len(), 0..24)
        .prop_map(move |picks| picks.iter().flat_map(|pick| pieces[*pick].to_vec()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn reading_never_panics_and_keeps_the_bytes(bytes in files()) {
        if let Ok(document) = Document::parse(&bytes) {
            prop_assert_eq!(document.bytes(), &bytes);
            let _ = document.resolve(&no_shell);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(document) = Document::parse(&bytes) {
            let _ = document.resolve(&no_shell);
        }
    }

    #[test]
    fn a_set_value_reads_back_and_all_else_stays(bytes in files(), value in "[a-z0-9 '\"$#\\\\{}\né]{0,8}") {
        let Ok(document) = Document::parse(&bytes) else { return Ok(()) };
        let Ok(after) = document.set("P", &value) else { return Ok(()) };
        let edited = parse(&after);
        let target = edited.last("P").expect("assigned");
        prop_assert_eq!(edited.value(target, &no_shell).expect("literal"), value);
        match document.last("P") {
            Some(old) => {
                let kept_before = old.value_span.start - old.quote.width();
                let kept_after = bytes.len() - old.value_span.end - old.quote.width();
                prop_assert_eq!(&after[..kept_before], &bytes[..kept_before]);
                prop_assert!(after.ends_with(&bytes[bytes.len() - kept_after..]));
                prop_assert_eq!(target.exported, old.exported);
            }
            None => prop_assert!(after.len() > bytes.len()),
        }
        if let (Ok(mut old), Ok(mut new)) = (document.resolve(&no_shell), edited.resolve(&no_shell)) {
            old.remove("P");
            new.remove("P");
            prop_assert_eq!(old.keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>());
        }
    }

    #[test]
    fn only_ambiguous_backslashes_and_nul_are_refused(value in any::<String>()) {
        match create("P", &value) {
            Ok(file) => prop_assert_eq!(value_of(file, "P"), Some(value)),
            Err(_) => prop_assert!(value.contains("\\'") || value.ends_with('\\') || value.contains('\0')),
        }
    }
}
