//! What a release is made of: `--version`, archives, packages, the parts list, and the script that installs them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use tempfile::TempDir;

use crate::support::{Answer, PORTWRIGHT, Sandbox, have};

const ARCHIVE: &str = "portwright-linux-x86_64.tar.gz";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_version_says_what_the_program_was_built_from() {
    let sandbox = Sandbox::new(&[]);
    let short = sandbox.run(&["-V"]).expect_code(0).stdout;
    assert_eq!(short, format!("portwright {}\n", env!("CARGO_PKG_VERSION")));
    let long = sandbox.run(&["--version"]).expect_code(0).stdout;
    let (first, built) = long.split_once('\n').expect("two lines");
    let parts: Vec<(&str, &str)> = built.trim().split(", ").filter_map(|part| part.split_once(' ')).collect();
    assert_eq!(format!("{first}\n"), short);
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["commit", "target", "profile"], "{long}");
    assert!(parts[1].1.starts_with(std::env::consts::ARCH), "{long}");
    assert!(["debug", "release"].contains(&parts[2].1), "{long}");
}

/// Builds and runs `build.rs` alone in a folder that is no repository.
fn commit_without_git(archived: &str, variable: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(root().join("build.rs"), folder.path().join("build.rs")).expect("a copy");
    fs::write(folder.path().join(".commit"), archived).expect("a file");
    let built =
        Command::new("rustc").args(["--edition", "2024", "build.rs", "-o", "built"]).current_dir(&folder).status();
    assert!(built.expect("rustc runs").success());
    let output = Command::new(folder.path().join("built"))
        .current_dir(&folder)
        .env_clear()
        .env("CARGO_MANIFEST_DIR", folder.path())
        .envs([("TARGET", "some-target"), ("PROFILE", "release"), ("PORTWRIGHT_COMMIT", variable)])
        .output();
    let text = String::from_utf8(output.expect("it runs").stdout).expect("text");
    let line =
        text.lines().find_map(|line| line.strip_prefix("cargo:rustc-env=PORTWRIGHT_BUILD=")).expect("a variable");
    line.strip_suffix(", target some-target, profile release").expect("target and profile").to_owned()
}

#[test]
fn a_tarball_without_git_builds_and_knows_its_commit_where_somebody_wrote_it_down() {
    let hash = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(commit_without_git("$Format:%H$\n", ""), "commit unknown");
    assert_eq!(commit_without_git(&format!("{hash}\n"), ""), "commit 0123456789ab");
    assert_eq!(commit_without_git(&format!("{hash}\n"), "fedcba"), "commit fedcba");
    let attributes = fs::read_to_string(root().join(".gitattributes")).expect("a file");
    assert!(attributes.contains(".commit export-subst"));
}

/// Makes a release of a small stand-in that runs the real program: packing it takes no minutes.
fn make_release(folder: &Path) {
    let program = folder.join("stand-in");
    fs::write(&program, format!("#!/bin/sh\nexec {PORTWRIGHT} \"$@\"\n")).expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    let mut command = Command::new(root().join("scripts/release.sh"));
    let output = command.arg("--out").arg(folder.join("out")).arg("--binary").arg(&program).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The release that the tests below look at; it is made once.
fn release() -> PathBuf {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let folder = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        make_release(folder.path());
        folder
    });
    folder.path().join("out")
}

fn output_of(program: &str, arguments: &[&str], file: &Path) -> String {
    let output = Command::new(program).args(arguments).arg(file).output().expect("it runs");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn tools() -> bool {
    let tools = ["tar", "gzip", "sha256sum", "python3", "dpkg-deb", "rpmbuild"];
    tools.iter().all(|tool| have(tool, Command::new(tool).arg("--version").output().is_ok()))
}

#[test]
fn a_release_holds_archive_packages_parts_list_and_their_checksums() {
    if !tools() {
        return;
    }
    let out = release();
    let version = env!("CARGO_PKG_VERSION");
    let sums: BTreeMap<String, String> = fs::read_to_string(out.join("SHA256SUMS"))
        .expect("checksums")
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(digest, name)| (name.to_owned(), digest.to_owned()))
        .collect();
    let (deb, rpm) = (format!("portwright_{version}_amd64.deb"), format!("portwright-{version}-1.x86_64.rpm"));
    let names: Vec<&str> = sums.keys().map(String::as_str).collect();
    let mut wanted = vec!["install.sh", ARCHIVE, "portwright-linux-x86_64.cdx.json", &deb, &rpm];
    wanted.sort_unstable();
    assert_eq!(names, wanted);

    let listed = output_of("tar", &["-tzf"], &out.join(ARCHIVE));
    for part in ["portwright/portwright\n", "man/portwright-service-install.1\n", "portwright.bash\n", "LICENSE-MIT\n"]
    {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let control = output_of("dpkg-deb", &["--info"], &out.join(&deb));
    assert!(control.contains(&format!(" Version: {version}\n")) && control.contains(" Architecture: amd64\n"));
    let files = output_of("dpkg-deb", &["--contents"], &out.join(&deb));
    assert!(
        files.contains("-rwxr-xr-x root/root") && files.contains("./usr/share/man/man1/portwright.1.gz"),
        "{files}"
    );
    let files = output_of("rpm", &["-qlp"], &out.join(&rpm));
    assert!(
        files.contains("/usr/bin/portwright\n") && files.contains("/usr/share/man/man1/portwright.1.gz\n"),
        "{files}"
    );

    let again = tempfile::tempdir().expect("a folder");
    make_release(again.path());
    for name in sums.keys() {
        // The stand-in is not of the same folder, but of the same bytes.
        let (first, second) = (fs::read(out.join(name)), fs::read(again.path().join("out").join(name)));
        assert!(first.expect("a file") == second.expect("a file"), "{name} differs from one run to the next");
    }
}

#[test]
fn the_parts_list_names_what_is_in_the_program_and_nothing_of_the_tests() {
    if !tools() {
        return;
    }
    let text = fs::read_to_string(release().join("portwright-linux-x86_64.cdx.json")).expect("a parts list");
    let list: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&list["bomFormat"], &list["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let parts = list["components"].as_array().expect("parts");
    let of = |name: &str| parts.iter().find(|part| part["name"] == name);
    let tokio = of("tokio").expect("tokio is in the program");
    assert!(tokio["scope"] == "required" && tokio["licenses"][0]["expression"] == "MIT");
    assert_eq!(tokio["hashes"][0]["content"].as_str().map(str::len), Some(64));
    assert!(of("cc").is_some_and(|part| part["scope"] == "excluded"), "a tool of the build is marked");
    assert!(of("proptest").is_none() && of("windows-service").is_none());
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("a lock file");
    for part in parts {
        let (name, version) = (part["name"].as_str().expect("a name"), part["version"].as_str().expect("a version"));
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")), "{name} {version}");
        assert!(part["licenses"][0]["expression"].is_string(), "{name} has a licence");
    }
}

fn install(arguments: &[&str], home: &Path) -> Answer {
    let mut command = Command::new("sh");
    command.arg(root().join("scripts/install.sh")).args(arguments).env("HOME", home);
    command.output().expect("sh runs").into()
}

/// Serves the files of a folder over HTTP, one request a connection, until the test ends.
fn serve(folder: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or_default();
            let line = String::from_utf8_lossy(&request[..length]).into_owned();
            let name = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            let answer = match fs::read(folder.join(&name)) {
                Ok(bytes) => {
                    [format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).into_bytes(), bytes].concat()
                }
                Err(_) => b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
            };
            // A client that has gone needs no answer.
            let _ = stream.write_all(&answer);
        }
    });
    port
}

#[test]
fn the_script_installs_from_a_folder_a_file_url_and_a_server() {
    if !tools() || std::env::consts::ARCH != "x86_64" {
        return;
    }
    let out = release();
    let home = tempfile::tempdir().expect("a folder");
    let port = serve(out.clone());
    let curl = have("curl", Command::new("curl").arg("--version").output().is_ok());
    let mut sources = vec![out.display().to_string(), format!("file://{}", out.display())];
    sources.extend(curl.then(|| format!("http://127.0.0.1:{port}")));
    for (number, source) in sources.iter().enumerate() {
        let to = home.path().join(format!("bin{number}"));
        let arguments = ["--from", source, "--to", to.to_str().expect("text")];
        let dry = install(&[&arguments[..], &["--dry-run"]].concat(), home.path()).expect_code(0);
        assert!(dry.stdout.contains("dry run") && !to.exists(), "{}", dry.stdout);
        let done = install(&arguments, home.path()).expect_code(0);
        assert!(
            done.stdout.contains("installed: ") && done.stdout.contains("not on the search path"),
            "{}",
            done.stdout
        );
        let version = Command::new(to.join("portwright")).arg("-V").output().expect("it runs");
        assert!(version.status.success() && fs::read_dir(&to).expect("a folder").count() == 1);
        install(&arguments, home.path()).expect_code(0);
    }
}

#[test]
fn what_cannot_be_proven_or_written_is_not_installed() {
    if !tools() || std::env::consts::ARCH != "x86_64" {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let from = home.path().join("release");
    fs::create_dir(&from).expect("a folder");
    for name in [ARCHIVE, "SHA256SUMS"] {
        fs::copy(release().join(name), from.join(name)).expect("a copy");
    }
    let to = home.path().join("bin");
    let run = |from: &str| install(&["--from", from, "--to", to.to_str().expect("text")], home.path());
    let folder = from.to_str().expect("text");
    let mut archive = fs::read(from.join(ARCHIVE)).expect("an archive");
    archive.push(0);
    fs::write(from.join(ARCHIVE), &archive).expect("written");
    let refused = run(folder).expect_code(3);
    assert!(refused.stderr.contains("is not what the release says"), "{}", refused.stderr);
    fs::write(from.join("SHA256SUMS"), "").expect("written");
    assert_eq!(run(folder).code, 3);
    fs::remove_file(from.join("SHA256SUMS")).expect("removed");
    assert_eq!(run(folder).code, 5);
    assert_eq!(run("http://example.org/release").code, 2);
    assert_eq!(install(&[], home.path()).code, 2);
    assert_eq!(install(&["--form", folder], home.path()).code, 2);
    assert!(!to.exists());
    fs::write(&to, "a file in the way").expect("written");
    assert_eq!(
        install(&["--from", release().to_str().expect("text"), "--to", to.to_str().expect("text")], home.path()).code,
        5
    );
    assert_eq!(fs::read_to_string(&to).expect("as it was"), "a file in the way");
}
