//! The whole life of a service on the real engine, with an image made from a small static program.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use portwright::docker::{
    Action, Choice, ComposeFailure, ComposeProject, ComposeTool, DeployError, Deployed, Engine, Executable, ImageRef,
    PROGRAM, ServiceFile, ServiceSpec, Verdict, VolumeMount, connect,
};
use portwright::error::{Error, ErrorKind};
use portwright::model::{ContainerState, Port, Protocol, Published};

/// How long a service may take to become healthy: without `start_interval` (Docker below 25) the first check comes
/// after 5 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves HTTP 200 on port 8000 of every address; other arguments make it misbehave, or check it.
const PROGRAM_SOURCE: &str = r#"
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
unsafe extern "C" {
    fn signal(number: i32, action: extern "C" fn(i32)) -> usize;
    fn _exit(code: i32) -> !;
}
extern "C" fn end(_: i32) { unsafe { _exit(0) } }
fn main() {
    unsafe { signal(15, end); }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("maps") => print!("{}", std::fs::read_to_string("/proc/self/maps").unwrap()),
        Some("health") => {
            let mut stream = TcpStream::connect("127.0.0.1:8000").expect("the service");
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            std::process::exit(i32::from(!text.contains("200")));
        }
        Some("fail") => {
            for line in 0..50 { println!("last words {line}"); }
            std::process::exit(3);
        }
        _ => {
            println!("config: {:?}", std::fs::read_to_string("/etc/portwright/config.yaml"));
            println!("root: {:?}", std::fs::write("/x", "x").map_err(|e| e.kind()));
            println!("own config: {:?}", std::fs::write("/etc/portwright/config.yaml", "x").map_err(|e| e.kind()));
            println!("data: {:?}", std::fs::write("/data/x", "x"));
            println!("tmp: {:?}", std::fs::write("/tmp/x", "x"));
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            for line in status.lines().filter(|l| ["Uid", "CapEff", "NoNewPrivs"].iter().any(|n| l.starts_with(n))) {
                println!("{line}");
            }
            let listener = TcpListener::bind("0.0.0.0:8000").unwrap();
            println!("listening");
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        }
    }
}
"#;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

/// Returns the engine; without one the test says so and ends, or fails when everything is required.
fn engine() -> Option<Engine> {
    match run(connect(Choice::Docker, &|name| std::env::var(name).ok())) {
        Ok(engine) => Some(engine),
        Err(error) => {
            assert!(std::env::var_os("PORTWRIGHT_REQUIRE_ALL").is_none(), "needs docker: {error}");
            let _ = writeln!(std::io::stderr(), "skipped: needs docker ({error})");
            None
        }
    }
}

/// Compiles the program, static or dynamic, once a process.
fn program(is_static: bool) -> &'static Path {
    static BUILT: OnceLock<[PathBuf; 2]> = OnceLock::new();
    let both = BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docker-service");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("service.rs"), PROGRAM_SOURCE).expect("written");
        [("static", "+"), ("dynamic", "-")].map(|(name, sign)| {
            let out = folder.join(name);
            let feature = format!("target-feature={sign}crt-static");
            let mut rustc = Command::new("rustc");
            rustc.current_dir(&folder).args(["--edition=2024", "service.rs", "-O", "-C", &feature, "-o"]).arg(&out);
            let rustc = rustc.output().expect("rustc");
            assert!(rustc.status.success(), "{}", String::from_utf8_lossy(&rustc.stderr));
            out
        })
    });
    if is_static { &both[0] } else { &both[1] }
}

/// The stages of this process that need the image; the last one to close removes it.
static OPEN_STAGES: Mutex<u32> = Mutex::new(0);

/// What one test makes; everything is removed when it ends, however it ends.
struct Stage {
    engine: Engine,
    name: String,
    image: ImageRef,
    folder: PathBuf,
}

impl Stage {
    fn open(name: &str) -> Option<Self> {
        let engine = engine()?;
        let source = Executable {
            program: program(true).to_owned(),
            maps: PathBuf::from("/nonexistent"),
            repository: "localhost/pwtest-service".to_owned(),
        };
        let mut open = OPEN_STAGES.lock().expect("the number of stages");
        let image = run(engine.ensure_image(&source, &|_, _| {})).expect("an image");
        *open += 1;
        drop(open);
        let stage =
            Self { engine, name: format!("pwtest-{name}"), image, folder: PathBuf::from(format!("/pwtest/{name}")) };
        stage.clear();
        Some(stage)
    }

    fn clear(&self) {
        let old = format!("{}-old", self.name);
        let _ = docker(&["rm", "-fv", &self.name, &old]);
        let _ = docker(&["volume", "rm", "-f", &self.name]);
        let of_project = format!("label=com.docker.compose.project={}", self.name);
        let (_, composed) = docker(&["ps", "-aq", "--filter", &of_project]);
        for id in composed.lines() {
            let _ = docker(&["rm", "-fv", id]);
        }
        if !composed.is_empty() {
            let _ = docker(&["network", "rm", &format!("{}_default", self.name)]);
        }
    }

    fn spec(&self, port: u16) -> ServiceSpec {
        ServiceSpec {
            name: self.name.clone(),
            image: self.image.clone(),
            command: Vec::new(),
            env: Vec::new(),
            labels: BTreeMap::new(),
            ports: vec![published(port)],
            host_network: false,
            volumes: vec![VolumeMount { name: self.name.clone(), target: "/data".to_owned() }],
            files: vec![ServiceFile { name: "config.yaml".to_owned(), contents: b"key: canary".to_vec() }],
            directory: self.folder.clone(),
            instance: None,
            health: vec![PROGRAM.to_owned(), "health".to_owned()],
        }
    }

    fn deploy(&self, spec: &ServiceSpec) -> Result<Deployed, DeployError> {
        run(self.engine.deploy(spec, &|_| {}))
    }

    fn verdict(&self, id: &str) -> Verdict {
        let port = run(self.engine.status(Some(&self.folder))).expect("a status");
        let port = port.iter().find(|service| service.id == id).and_then(|service| service.ports.first().copied());
        let probe = move || -> BoxFuture<'static, bool> {
            let Some(port) = port else { return Box::pin(std::future::ready(false)) };
            Box::pin(async move { answers(port.host_port.get()).await.is_ok_and(|text| text.contains("200 OK")) })
        };
        run(self.engine.wait_healthy(id, PATIENCE, Some(&probe))).expect("a verdict")
    }

    /// The names of the containers that this test has left behind, with their states.
    fn left(&self) -> Vec<String> {
        let found = run(self.engine.status(Some(&self.folder))).expect("a status");
        found.into_iter().map(|service| format!("{} {}", service.name, service.state)).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
        if let Ok(mut open) = OPEN_STAGES.lock() {
            *open -= 1;
            if *open == 0 {
                let _ = docker(&["rmi", &self.image.tag]);
            }
        }
    }
}

fn docker(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("docker").args(arguments).output().expect("the docker command");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn published(port: u16) -> Published {
    Published {
        host_ip: "127.0.0.1".parse().ok(),
        host_port: Port::new(port).expect("a port"),
        container_port: Port::new(8000).expect("a port"),
        protocol: Protocol::Tcp,
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port()
}

async fn answers(port: u16) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

fn get(port: u16) -> String {
    run(answers(port)).expect("an answer on the published port")
}

fn refused(outcome: Result<Deployed, DeployError>) -> Error {
    match outcome {
        Err(DeployError::Other(error)) => {
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            error
        }
        other => panic!("{other:?}"),
    }
}

fn taken(outcome: Result<Deployed, DeployError>) -> Option<u16> {
    match outcome {
        Err(DeployError::PortTaken(taken)) => taken.port.map(Port::get),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_service_lives_from_creation_to_removal() {
    let Some(stage) = Stage::open("life") else { return };
    let port = free_port();
    let spec = stage.spec(port);
    let deployed = stage.deploy(&spec).expect("deployed");
    assert_eq!(deployed.action, Action::Created);
    let verdict = run(stage.engine.wait_healthy(&deployed.id, PATIENCE, None)).expect("a verdict");
    assert_eq!(verdict, Verdict::Healthy);
    assert!(get(port).contains("200 OK"));
    assert_eq!(stage.deploy(&spec).expect("deployed").action, Action::Unchanged);

    let status = run(stage.engine.status(Some(&stage.folder))).expect("a status");
    assert_eq!((status[0].state.as_str(), status[0].health.as_deref()), ("running", Some("healthy")));
    assert_eq!(status[0].ports, [published(port)]);
    let listed = run(stage.engine.containers()).expect("containers");
    let own = listed.iter().find(|container| container.identity.name == stage.name).expect("own container");
    assert_eq!(own.portwright_directory.as_deref(), Some(stage.folder.as_path()));
    assert!(own.pid.is_some() && own.restarts && own.state == ContainerState::Running);

    let mut log = Vec::new();
    let mut keep = |bytes: &[u8]| {
        log.extend_from_slice(bytes);
        ControlFlow::Continue(())
    };
    run(stage.engine.logs(&stage.name, false, 100, &mut keep)).expect("a log");
    let log = String::from_utf8(log).expect("UTF-8");
    for line in [
        "config: Ok(\"key: canary\")",
        "root: Err(ReadOnlyFilesystem)",
        "own config: Err(PermissionDenied)",
        "data: Ok(())",
        "tmp: Ok(())",
        "Uid:\t65532\t65532\t65532\t65532",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
    ] {
        assert!(log.contains(line), "{line} is missing in\n{log}");
    }

    let begun = Instant::now();
    run(stage.engine.stop(&stage.name)).expect("stopped");
    assert!(begun.elapsed() < Duration::from_secs(8), "SIGTERM was not enough");
    assert_eq!(docker(&["inspect", "-f", "{{.State.ExitCode}}", &stage.name]).1, "0");
    let stopped = run(stage.engine.containers()).expect("containers");
    let own = stopped.iter().find(|container| container.identity.name == stage.name).expect("own container");
    assert_eq!((own.state, own.published.as_slice()), (ContainerState::Stopped, &[published(port)][..]));
    assert_eq!(stage.deploy(&spec).expect("deployed").action, Action::Started);
    run(stage.engine.remove(&stage.name)).expect("removed");
    run(stage.engine.remove(&stage.name)).expect("removing twice is fine");
    run(stage.engine.remove_volume(&stage.name)).expect("removed");
    assert!(stage.left().is_empty());
}

#[test]
fn a_change_replaces_the_container_and_can_be_taken_back() {
    let Some(stage) = Stage::open("change") else { return };
    let (before, after) = (free_port(), free_port());
    let first = stage.deploy(&stage.spec(before)).expect("deployed");
    let second = stage.deploy(&stage.spec(after)).expect("deployed");
    assert_eq!(second.action, Action::Recreated);
    assert_eq!(second.previous.as_ref().map(|previous| previous.id.as_str()), Some(first.id.as_str()));
    assert_eq!(stage.verdict(&second.id), Verdict::Healthy);

    run(stage.engine.roll_back(&second)).expect("rolled back");
    assert_eq!(stage.left(), [format!("{} running", stage.name)]);
    assert_eq!(stage.verdict(&first.id), Verdict::Healthy);
    assert!(get(before).contains("200 OK"));

    let third = stage.deploy(&stage.spec(after)).expect("deployed");
    run(stage.engine.settle(&third)).expect("settled");
    assert_eq!(stage.left(), [format!("{} running", stage.name)]);
}

#[test]
fn an_interrupted_replacement_is_cleared_up_by_the_next_run() {
    let Some(stage) = Stage::open("crash") else { return };
    let spec = stage.spec(free_port());
    let first = stage.deploy(&spec).expect("deployed");
    let parked = format!("{}-old", stage.name);
    assert!(docker(&["stop", "-t", "1", &stage.name]).0 && docker(&["rename", &stage.name, &parked]).0);
    let again = stage.deploy(&spec).expect("deployed");
    assert_eq!((again.action, &again.id), (Action::Started, &first.id));
    assert_eq!(stage.left(), [format!("{} running", stage.name)]);
}

#[test]
fn a_port_of_a_process_or_of_a_container_is_reported_and_leaves_nothing() {
    let Some(stage) = Stage::open("taken") else { return };
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("an address").port();
    assert_eq!(taken(stage.deploy(&stage.spec(port))), Some(port));
    assert!(stage.left().is_empty());

    let first = stage.deploy(&stage.spec(free_port())).expect("deployed");
    assert_eq!(taken(stage.deploy(&stage.spec(port))), Some(port));
    assert_eq!(stage.left(), [format!("{} running", stage.name)]);
    assert_eq!(stage.verdict(&first.id), Verdict::Healthy);

    let Some(other) = Stage::open("taken-other") else { return };
    let used = free_port();
    other.deploy(&other.spec(used)).expect("deployed");
    assert_eq!(taken(stage.deploy(&stage.spec(used))), Some(used));
    assert_eq!(stage.left(), [format!("{} running", stage.name)]);
}

#[test]
fn what_is_not_of_this_deployment_is_refused_and_left_alone() {
    let Some(stage) = Stage::open("foreign") else { return };
    assert!(docker(&["create", "--name", &stage.name, &stage.image.tag]).0);
    let error = refused(stage.deploy(&stage.spec(free_port())));
    assert!(error.to_string().contains(&stage.name) && error.way_out().is_some(), "{error}");
    let stop = run(stage.engine.stop(&stage.name)).expect_err("not ours");
    assert_eq!(stop.kind(), ErrorKind::Refused);
    assert!(run(stage.engine.remove(&stage.name)).is_err());
    assert!(docker(&["rm", &stage.name]).0, "the foreign container is gone");

    let mut spec = stage.spec(free_port());
    stage.deploy(&spec).expect("deployed");
    spec.directory = PathBuf::from("/pwtest/elsewhere");
    let error = refused(stage.deploy(&spec));
    assert!(error.to_string().contains("/pwtest/foreign"), "{error}");
    stage.clear();

    assert!(docker(&["volume", "create", &stage.name]).0);
    let error = refused(stage.deploy(&stage.spec(free_port())));
    assert!(error.to_string().contains("volume"), "{error}");
    assert!(run(stage.engine.remove_volume(&stage.name)).is_err());
}

#[test]
fn a_service_that_ends_is_unhealthy_with_its_last_words() {
    let Some(stage) = Stage::open("fail") else { return };
    let mut spec = stage.spec(free_port());
    spec.command = vec!["fail".to_owned()];
    let deployed = stage.deploy(&spec).expect("deployed");
    let Verdict::Unhealthy(unhealthy) = stage.verdict(&deployed.id) else { panic!("healthy") };
    assert!(["restarting", "exited"].contains(&unhealthy.state.as_str()), "{unhealthy:?}");
    assert!([Some(3), None].contains(&unhealthy.exit_code), "{unhealthy:?}");
    let lines = &unhealthy.last_lines;
    assert!(lines.len() == 20 && lines.iter().all(|line| line.starts_with("last words")), "{unhealthy:?}");
    run(stage.engine.roll_back(&deployed)).expect("rolled back");
    assert!(stage.left().is_empty());
}

#[test]
fn a_service_whose_check_never_passes_runs_out_of_time() {
    let Some(stage) = Stage::open("sick") else { return };
    let mut spec = stage.spec(free_port());
    spec.health = vec!["/nonexistent".to_owned()];
    let deployed = stage.deploy(&spec).expect("deployed");
    let begun = Instant::now();
    let verdict = run(stage.engine.wait_healthy(&deployed.id, Duration::from_secs(1), None)).expect("a verdict");
    assert!(matches!(&verdict, Verdict::Unhealthy(unhealthy) if unhealthy.state == "starting"), "{verdict:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_log_follows_a_service_to_its_end() {
    let Some(stage) = Stage::open("follow") else { return };
    stage.deploy(&stage.spec(free_port())).expect("deployed");
    let (engine, name) = (stage.engine.clone(), stage.name.clone());
    let mut log = Vec::new();
    run(async {
        let mut keep = |bytes: &[u8]| {
            log.extend_from_slice(bytes);
            ControlFlow::Continue(())
        };
        let follow = stage.engine.logs(&stage.name, true, 100, &mut keep);
        let (followed, stopped) = tokio::join!(tokio::time::timeout(PATIENCE, follow), engine.stop(&name));
        stopped.expect("stopped");
        followed.expect("the log ended").expect("followed");
    });
    assert!(String::from_utf8_lossy(&log).contains("listening"));
}

#[test]
fn an_image_is_loaded_once_and_a_dynamic_program_brings_its_libraries() {
    let Some(stage) = Stage::open("dynamic") else { return };
    let maps = Command::new(program(false)).arg("maps").output().expect("its maps").stdout;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docker-service/maps");
    std::fs::write(&file, maps).expect("written");
    let source = Executable {
        program: program(false).to_owned(),
        maps: file,
        repository: "localhost/pwtest-dynamic".to_owned(),
    };
    let calls = Mutex::new(Vec::new());
    let note = |sent, total| calls.lock().expect("a list").push((sent, total));
    let image = run(stage.engine.ensure_image(&source, &note)).expect("an image");
    let sent = std::mem::take(&mut *calls.lock().expect("a list"));
    assert!(sent.last().is_some_and(|(sent, total)| sent == total && *total > 0), "{sent:?}");
    assert_eq!(run(stage.engine.ensure_image(&source, &note)).expect("an image"), image);
    assert!(calls.lock().expect("a list").is_empty(), "it was loaded twice");

    let spec = ServiceSpec { image: image.clone(), ..stage.spec(free_port()) };
    let deployed = stage.deploy(&spec).expect("deployed");
    assert_eq!(stage.verdict(&deployed.id), Verdict::Healthy);
    stage.clear();
    assert!(docker(&["rmi", &image.tag]).0);
}

/// A project of one service on a port, in a folder of its own.
fn compose_project(stage: &Stage, port: u16) -> (tempfile::TempDir, ComposeProject) {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().canonicalize().expect("a path");
    let file = directory.join("compose.yaml");
    let image = &stage.image.tag;
    let text = format!(
        "version: '3.4'\nservices:\n  web:\n    image: {image}\n    ports: ['127.0.0.1:{port}:8000']\n  extra:\n    \
         image: {image}\n    profiles: [more]\n"
    );
    std::fs::write(&file, text).expect("written");
    let project =
        ComposeProject { name: stage.name.clone(), directory, files: vec![file], env_file: None, profiles: Vec::new() };
    (folder, project)
}

#[test]
fn a_compose_project_comes_up_is_seen_and_goes_down() {
    let Some(stage) = Stage::open("compose") else { return };
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = holder.local_addr().expect("an address").port();
    let (_folder, project) = compose_project(&stage, busy);
    let tool = match run(ComposeTool::find(&|name| std::env::var(name).ok(), &project.directory)) {
        Ok(tool) => tool,
        Err(error) => {
            assert!(std::env::var_os("PORTWRIGHT_REQUIRE_ALL").is_none(), "needs compose: {error}");
            let _ = writeln!(std::io::stderr(), "skipped: needs compose ({error})");
            return;
        }
    };
    let address = stage.engine.identity().address.clone();
    match run(tool.up(&project, &address, &|_| {})) {
        Err(ComposeFailure::PortTaken(taken)) => assert_eq!(taken.port.map(Port::get), Some(busy)),
        other => panic!("{other:?}"),
    }

    drop(holder);
    let lines = Mutex::new(Vec::new());
    run(tool.up(&project, &address, &|line| lines.lock().expect("a list").push(line.to_owned()))).expect("up");
    assert!(lines.lock().expect("a list").iter().any(|line| line.contains("web")));
    let status = run(stage.engine.compose_status(&project.name, &project.directory)).expect("a status");
    assert_eq!(status.len(), 1, "{status:?}");
    assert_eq!((status[0].service.as_deref(), status[0].state.as_str()), (Some("web"), "running"));
    assert_eq!(status[0].ports, [published(busy)]);
    assert!(run(stage.engine.stop(&status[0].name)).is_err(), "a container of compose is not ours to stop");

    run(tool.down(&project, &address, &|_| {})).expect("down");
    assert!(run(stage.engine.compose_status(&project.name, &project.directory)).expect("a status").is_empty());

    std::fs::write(&project.files[0], "services: [").expect("written");
    match run(tool.up(&project, &address, &|_| {})) {
        Err(ComposeFailure::Failed { last_lines, exit_code }) => {
            assert!(!last_lines.is_empty() && exit_code.is_some_and(|code| code != 0));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_compose_in_the_project_or_in_an_open_folder_is_not_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = tempfile::tempdir().expect("a folder");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let put = |folder: &Path| {
        let program = folder.join("docker-compose");
        // Written by another process: a descriptor of ours, inherited by a sibling test's child, would make it busy.
        let script = "printf '#!/bin/sh\\necho 2.0.0\\n' > \"$0\"";
        assert!(Command::new("sh").arg("-c").arg(script).arg(&program).status().expect("sh").success());
        set_mode(&program, 0o755);
    };
    let find = |folder: &Path| {
        let path = folder.display().to_string();
        run(ComposeTool::find(&|name| (name == "PATH").then(|| path.clone()), project.path()))
    };
    put(project.path());
    let error = find(project.path()).expect_err("inside the project");
    assert!(error.to_string().contains(&project.path().display().to_string()), "{error}");

    put(elsewhere.path());
    set_mode(elsewhere.path(), 0o777);
    assert_eq!(find(elsewhere.path()).expect_err("an open folder").kind(), ErrorKind::Missing);
    set_mode(elsewhere.path(), 0o755);
    assert_eq!(find(elsewhere.path()).expect("a safe folder").version(), (2, 0));
    assert!(find(Path::new("relative")).expect_err("nowhere").to_string().contains("neither"));
}
