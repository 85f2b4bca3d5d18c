//! An image of this very executable, made in memory and loaded without a builder or a registry.
//!
//! The archive has the layout that `docker save` writes since version 25 (OCI blobs and a `manifest.json` that points
//! at them), which Docker 20.10 to 28 with either image store and Podman load. The same input gives the same bytes,
//! so an image that is there already is found by its label and not loaded again.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bollard::query_parameters::ImportImageOptions;
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::address::hex;
use super::elf;
use super::engine::{CALL_DEADLINE, Engine};
use super::failure::{Failure, within};
use super::{FILES_FOLDER, LABEL_DIGEST, USER_ID};
use crate::error::{Error, ErrorKind, Result};
use crate::words::docker::DockerWords;

/// Where the executable is in the image.
pub const PROGRAM: &str = "/portwright";

/// Where the libraries of a dynamic executable are.
const LIBRARIES: &str = "lib/portwright";

/// The largest file that is packed; a debug build is about 200 MB.
const FILE_LIMIT: u64 = 1024 * 1024 * 1024;

/// The piece in which the archive is sent, and in which progress is reported.
const CHUNK: usize = 256 * 1024;

/// How long the engine may take without reading a byte or answering: unpacking on a slow disk.
const STALL_DEADLINE: Duration = Duration::from_mins(1);

/// How often progress is reported.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// An executable to pack.
#[derive(Debug, Clone)]
pub struct Executable {
    /// The file: of this process `/proc/self/exe`, which also reads after the file was replaced.
    pub program: PathBuf,
    /// The list of its mapped files (`/proc/self/maps`), from which the libraries of a dynamic executable are taken.
    pub maps: PathBuf,
    /// The image's name without the tag.
    pub repository: String,
}

impl Executable {
    /// Returns the executable that runs, as the image `localhost/portwright`.
    #[must_use]
    pub fn this() -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            maps: PathBuf::from("/proc/self/maps"),
            repository: "localhost/portwright".to_owned(),
        }
    }
}

/// An image that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// Its name with the tag.
    pub tag: String,
    /// SHA-256 of its contents in hexadecimal; the value of its label `dev.portwright.digest`.
    pub digest: String,
}

/// An archive to load, and what it holds.
#[derive(Debug)]
struct Archive {
    image: ImageRef,
    bytes: Bytes,
}

impl Engine {
    /// Makes sure that the engine has the image of `source`, and returns its name.
    ///
    /// `progress` gets the bytes sent and the bytes in all; it is not called when the image is there. Refused when the
    /// executable cannot run in the engine's containers (another architecture or system).
    pub async fn ensure_image(&self, source: &Executable, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<ImageRef> {
        let (source, identity) = (source.clone(), self.identity());
        let (os, arch) = (identity.os.clone(), identity.arch.clone());
        let packing = tokio::task::spawn_blocking(move || pack(&source, &os, &arch));
        let archive = packing.await.map_err(|failed| unreadable(Path::new(PROGRAM), &io::Error::other(failed)))??;
        if !self.has_image(&archive.image).await? {
            self.load(archive.bytes, progress).await?;
            if !self.has_image(&archive.image).await? {
                return Err(Error::new(ErrorKind::Missing, DockerWords::ImageLost { tag: archive.image.tag })
                    .hint(DockerWords::EngineLogsHint));
            }
        }
        Ok(archive.image)
    }

    async fn has_image(&self, image: &ImageRef) -> Result<bool> {
        let call = "GET /images/{name}/json";
        match within(call, CALL_DEADLINE, self.api.inspect_image(&image.tag)).await {
            Ok(found) => {
                let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
                Ok(labels.get(LABEL_DIGEST) == Some(&image.digest))
            }
            Err(failure) if failure.is_not_found() => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn load(&self, archive: Bytes, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<()> {
        const CALL: &str = "POST /images/load";
        let total = archive.len() as u64;
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        let pieces = futures_util::stream::unfold(archive, move |mut rest| {
            let counter = Arc::clone(&counter);
            async move {
                let piece = rest.split_to(rest.len().min(CHUNK));
                counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
                (!piece.is_empty()).then_some((Ok::<_, io::Error>(piece), rest))
            }
        });
        let options = ImportImageOptions { quiet: true, ..Default::default() };
        let mut answers = self.api.import_image_stream(options, pieces, None);
        let mut moved = (0, Instant::now());
        loop {
            let answer = tokio::time::timeout(PROGRESS_EVERY, answers.next()).await;
            let now = sent.load(Ordering::Relaxed);
            if now != moved.0 || answer.is_ok() {
                moved = (now, Instant::now());
                progress(now, total);
            }
            match answer {
                Ok(None) => return Ok(()),
                Ok(Some(Err(raw))) => return Err(Failure::Bad(CALL, raw).into()),
                Err(_) if moved.1.elapsed() > STALL_DEADLINE => {
                    return Err(Failure::Late(CALL, STALL_DEADLINE.as_secs()).into());
                }
                Ok(Some(Ok(_))) | Err(_) => {}
            }
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let words = DockerWords::ProgramUnreadable { path: path.to_owned(), reason: error.to_string() };
    Error::new(ErrorKind::Missing, words).hint(DockerWords::ForeignEngineHint)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut bytes));
    match read {
        Ok(count) if count as u64 > FILE_LIMIT => Err(unreadable(path, &io::Error::from(io::ErrorKind::FileTooLarge))),
        Ok(_) => Ok(bytes),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Packs an executable for containers of `os` and `arch`, with its interpreter and libraries when it is dynamic.
fn pack(source: &Executable, os: &str, arch: &str) -> Result<Archive> {
    let program = read(&source.program)?;
    let elf = elf::parse(&program);
    let own = elf.as_ref().and_then(|elf| elf.arch);
    if os != "linux" || own != Some(arch) {
        let own = if elf.is_some() { format!("linux/{}", own.unwrap_or("?")) } else { "?".to_owned() };
        let words = DockerWords::ForeignEngine { own, engine: format!("{os}/{arch}") };
        return Err(Error::new(ErrorKind::Refused, words).hint(DockerWords::ForeignEngineHint));
    }
    let mut files = BTreeMap::from([(PROGRAM.trim_start_matches('/').to_owned(), program)]);
    let mut env = Vec::new();
    if let Some(interpreter) = elf.and_then(|elf| elf.interpreter) {
        libraries(source, &interpreter, &mut files)?;
        files.insert(interpreter.trim_start_matches('/').to_owned(), read(Path::new(&interpreter))?);
        env.push(format!("LD_LIBRARY_PATH=/{LIBRARIES}"));
    }
    let layer = layer(&files).map_err(|error| unreadable(&source.program, &error))?;
    archive(&source.repository, arch, &env, &layer).map_err(|error| unreadable(&source.program, &error))
}

/// Adds every mapped library under the name by which it is asked for.
fn libraries(source: &Executable, interpreter: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let maps = read(&source.maps)?;
    let loader = std::fs::canonicalize(interpreter).map_err(|error| unreadable(Path::new(interpreter), &error))?;
    let program = std::fs::canonicalize(&source.program).ok();
    let mapped: std::collections::BTreeSet<PathBuf> = String::from_utf8_lossy(&maps)
        .lines()
        .filter(|line| !line.ends_with(" (deleted)"))
        .filter_map(|line| line.find('/').and_then(|at| line.get(at..)))
        .map(PathBuf::from)
        .filter(|path| *path != loader && Some(path) != program.as_ref() && path.is_file())
        .collect();
    for path in mapped {
        let bytes = read(&path)?;
        let Some(library) = elf::parse(&bytes) else { continue };
        let plain = || path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = library.soname.filter(|name| !name.contains('/')).or_else(plain).unwrap_or_default();
        files.insert(format!("{LIBRARIES}/{name}"), bytes);
    }
    Ok(())
}

/// Writes the one layer. The folder of data belongs to the user of the service, so that a fresh volume on it does too;
/// that of configuration is readable by it and not writable.
fn layer(files: &BTreeMap<String, Vec<u8>>) -> io::Result<Vec<u8>> {
    let configuration = FILES_FOLDER.trim_start_matches('/');
    let mut folders: BTreeMap<String, (u32, u64, u64)> = BTreeMap::from([
        ("data".to_owned(), (0o750, USER_ID, USER_ID)),
        (configuration.to_owned(), (0o750, 0, USER_ID)),
        ("tmp".to_owned(), (0o1777, 0, 0)),
    ]);
    for path in files.keys().map(String::as_str).chain([configuration]) {
        for parent in Path::new(path).ancestors().skip(1).filter(|parent| *parent != Path::new("")) {
            folders.entry(parent.to_string_lossy().into_owned()).or_insert((0o755, 0, 0));
        }
    }
    let mut tar = tar::Builder::new(Vec::new());
    for (path, (mode, uid, gid)) in folders {
        let mut header = header(tar::EntryType::Directory, mode, 0);
        header.set_uid(uid);
        header.set_gid(gid);
        tar.append_data(&mut header, format!("{path}/"), io::empty())?;
    }
    for (path, bytes) in files {
        tar.append_data(&mut header(tar::EntryType::Regular, 0o755, bytes.len()), path, bytes.as_slice())?;
    }
    tar.into_inner()
}

/// A header without a time or a name of an owner, so that the same contents give the same bytes.
pub(super) fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size as u64);
    header
}

/// Wraps a layer into an archive for `/images/load`.
fn archive(repository: &str, arch: &str, env: &[String], layer: &[u8]) -> io::Result<Archive> {
    const EPOCH: &str = "1970-01-01T00:00:00Z";
    let digest = hex(&Sha256::digest(layer));
    let tag = format!("{repository}:{}", digest.get(..12).unwrap_or(&digest));
    let config = json!({
        "architecture": arch, "os": "linux", "created": EPOCH,
        "config": {
            "Entrypoint": [PROGRAM], "Env": env, "Labels": { LABEL_DIGEST: digest },
            "User": format!("{USER_ID}:{USER_ID}"), "WorkingDir": "/data",
        },
        "history": [{ "created": EPOCH, "created_by": "portwright" }],
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let config = config.to_string().into_bytes();
    let config_digest = hex(&Sha256::digest(&config));
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": format!("sha256:{config_digest}"), "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": format!("sha256:{digest}"), "size": layer.len(),
        }],
    });
    let manifest = manifest.to_string().into_bytes();
    let manifest_digest = hex(&Sha256::digest(&manifest));
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{manifest_digest}"), "size": manifest.len(),
            "annotations": { "io.containerd.image.name": tag, "org.opencontainers.image.ref.name": tag },
            "platform": { "architecture": arch, "os": "linux" },
        }],
    });
    let blob = |digest: &str| format!("blobs/sha256/{digest}");
    let saved = json!([{ "Config": blob(&config_digest), "RepoTags": [tag], "Layers": [blob(&digest)] }]);

    let (index, saved) = (index.to_string(), saved.to_string());
    let entries: [(&str, &[u8]); 6] = [
        (&blob(&config_digest), &config),
        (&blob(&manifest_digest), &manifest),
        (&blob(&digest), layer),
        ("index.json", index.as_bytes()),
        ("manifest.json", saved.as_bytes()),
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
    ];
    let mut tar = tar::Builder::new(Vec::with_capacity(layer.len() + 16 * 1024));
    for folder in ["blobs/", "blobs/sha256/"] {
        tar.append_data(&mut header(tar::EntryType::Directory, 0o755, 0), folder, io::empty())?;
    }
    for (path, bytes) in entries {
        tar.append_data(&mut header(tar::EntryType::Regular, 0o644, bytes.len()), path, bytes)?;
    }
    Ok(Archive { image: ImageRef { tag, digest }, bytes: tar.into_inner()?.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(folder: &Path, program: &[u8]) -> Executable {
        let executable = Executable {
            program: folder.join("program"),
            maps: folder.join("maps"),
            repository: "localhost/pwtest-unit".to_owned(),
        };
        std::fs::write(&executable.program, program).expect("written");
        executable
    }

    /// The head of a static executable without segments.
    fn little_elf(machine: u8) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18] = machine;
        bytes
    }

    #[test]
    fn the_same_executable_gives_the_same_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = fixture(folder.path(), &little_elf(62));
        let first = pack(&source, "linux", "amd64").expect("packed");
        let again = fixture(folder.path(), &little_elf(62));
        let second = pack(&again, "linux", "amd64").expect("packed");
        assert_eq!(first.bytes, second.bytes);
        assert_eq!(first.image.tag, format!("localhost/pwtest-unit:{}", &first.image.digest[..12]));
        let other =
            pack(&fixture(folder.path(), &[little_elf(62), vec![1]].concat()), "linux", "amd64").expect("packed");
        assert_ne!(first.image, other.image);
    }

    #[test]
    fn every_blob_of_the_archive_is_named_by_its_digest() {
        let folder = tempfile::tempdir().expect("a folder");
        let packed = pack(&fixture(folder.path(), &little_elf(62)), "linux", "amd64").expect("packed");
        let mut blobs = 0;
        for entry in tar::Archive::new(packed.bytes.as_ref()).entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("read");
            if let Some(name) = path.strip_prefix("blobs/sha256/").filter(|name| !name.is_empty()) {
                assert_eq!(name, hex(&Sha256::digest(&bytes)));
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3);
    }

    #[test]
    fn an_engine_of_another_kind_is_refused_with_a_way_out() {
        let folder = tempfile::tempdir().expect("a folder");
        for (program, os, arch) in [
            (little_elf(183), "linux", "amd64"),
            (little_elf(62), "windows", "amd64"),
            (b"MZ".to_vec(), "linux", "amd64"),
        ] {
            let error = pack(&fixture(folder.path(), &program), os, arch).expect_err("foreign");
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.to_string().contains(&format!("{os}/{arch}")) && error.way_out().is_some(), "{error}");
        }
    }
}
