//! Every real `.env` file of the corpus, each key of it set once: nothing but the value may change.

use std::path::{Path, PathBuf};

use portwright::text::dotenv::{Document, Quote};

/// How deep the folders of the corpus are looked into; the deepest file stands at six.
const MAX_DEPTH: usize = 16;

fn corpus() -> PathBuf {
    std::env::var_os("PORTWRIGHT_CORPUS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"), PathBuf::from)
}

fn env_files(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if depth > MAX_DEPTH {
        return;
    }
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let entry = entry.expect("a readable entry");
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let path = entry.path();
        if path.is_dir() {
            env_files(&path, depth + 1, found);
        } else if path.is_file() && name.split('.').skip(1).any(|part| part == "env") {
            found.push(path);
        }
    }
}

#[test]
fn setting_any_key_of_a_real_file_changes_its_value_only() {
    let root = corpus();
    if !root.is_dir() {
        assert!(std::env::var_os("PORTWRIGHT_REQUIRE_ALL").is_none(), "needs the corpus");
        println!("skipped: needs the corpus (PORTWRIGHT_CORPUS)");
        return;
    }
    let mut files = Vec::new();
    env_files(&root, 0, &mut files);
    assert!(!files.is_empty(), "the corpus has no .env file");
    let (mut exact, mut tied) = (0, 0);
    for file in files {
        let unix = std::fs::read(&file).expect("a readable file");
        let windows = String::from_utf8_lossy(&unix).replace("\r\n", "\n").replace('\n', "\r\n").into_bytes();
        for bytes in [unix, windows] {
            let document = Document::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            for assignment in document.assignments() {
                let Some(last) = document.last(&assignment.name).filter(|last| *last == assignment) else { continue };
                let Ok(after) = document.set(&last.name, "45678") else {
                    assert!(last.quote != Quote::Single && document.raw(last).contains(&b'$'), "{}", file.display());
                    tied += 1;
                    continue;
                };
                let kept = &bytes[last.value_span.end..];
                let comment_kept = document.raw(last).starts_with(b"#") && after.ends_with(document.raw(last));
                let expected = [&bytes[..last.value_span.start], b"45678", kept].concat();
                assert!(after == expected || comment_kept, "{}: {}", file.display(), last.name);
                exact += 1;
            }
        }
    }
    println!("{exact} keys set exactly, {tied} refused because they take their value from variables");
    assert!(exact > tied);
}
