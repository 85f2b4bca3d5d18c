//! Puts into the program what it was built from, for `portwright --version`: the commit, the target and the profile.
//!
//! The commit comes from `PORTWRIGHT_COMMIT`, else from git, else from the archive that git made of it; a tarball of
//! none of these builds all the same, and says that it does not know.

use std::path::Path;
use std::process::Command;

/// `git archive` writes the commit between the dollars (`export-subst` in `.gitattributes`).
const ARCHIVED: &str = include_str!(".commit");

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=.commit");
    println!("cargo:rerun-if-env-changed=PORTWRIGHT_COMMIT");
    // A path that is not there would run this again at every build.
    for name in ["HEAD", "packed-refs"].map(str::to_owned).into_iter().chain(git(&["symbolic-ref", "HEAD"])) {
        if let Some(path) = git(&["rev-parse", "--git-path", &name]).filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let commit = std::env::var("PORTWRIGHT_COMMIT").ok().filter(|text| !text.is_empty());
    let commit = commit.or_else(commit_of_git).or_else(|| archived(ARCHIVED)).unwrap_or_else(|| "unknown".to_owned());
    let of_cargo = |name| std::env::var(name).unwrap_or_else(|_| "unknown".to_owned());
    let (target, profile) = (of_cargo("TARGET"), of_cargo("PROFILE"));
    // An end of line cannot be put into the variable, so it is one line.
    println!("cargo:rustc-env=PORTWRIGHT_BUILD=commit {commit}, target {target}, profile {profile}");
}

/// The commit of this folder, if it is a repository itself and does not merely lie in one.
fn commit_of_git() -> Option<String> {
    let own = std::env::var("CARGO_MANIFEST_DIR").ok().map(|folder| Path::new(&folder).join(".git").exists())?;
    git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| own)
}

fn archived(text: &str) -> Option<String> {
    let commit = text.trim();
    commit
        .chars()
        .all(|digit| digit.is_ascii_hexdigit())
        .then(|| commit.chars().take(12).collect())
        .filter(|short: &String| !short.is_empty())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
