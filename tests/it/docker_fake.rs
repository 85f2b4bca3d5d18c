//! Engines that misbehave, on Unix sockets: each fault has its own error, in time and within bounds.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portwright::docker::{Choice, Engine, connect};
use portwright::error::{Error, ErrorKind};

/// The promise: an engine that cannot be used is reported within this time.
const PROMISE: Duration = Duration::from_secs(5);

pub(crate) const VERSION: &str =
    r#"{"Version":"9.9","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"}"#;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn ask(path: &Path) -> Result<Engine, Error> {
    let host = format!("unix://{}", path.display());
    let begun = Instant::now();
    let outcome = run(connect(Choice::Auto, &|name| (name == "DOCKER_HOST").then(|| host.clone())));
    assert!(begun.elapsed() < PROMISE, "took {:?}", begun.elapsed());
    outcome
}

/// Serves every connection with `answer`, which gets the request line; the thread ends with the test's process.
pub(crate) fn fake(answer: impl Fn(&str, &mut UnixStream) + Send + 'static) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            let mut byte = [0; 1];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                request.push(byte[0]);
            }
            let text = String::from_utf8_lossy(&request).into_owned();
            answer(text.lines().next().unwrap_or_default(), &mut stream);
        }
    });
    (folder, path)
}

pub(crate) fn reply(stream: &mut UnixStream, status: &str, body: &str) {
    let length = body.len();
    let _ =
        write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
}

/// An engine whose greeting is fine and whose list of containers is whatever `list` writes.
fn fake_with_list(list: impl Fn(&mut UnixStream) + Send + 'static) -> (tempfile::TempDir, Engine) {
    let (folder, path) = fake(move |line, stream| {
        if line.contains("/version") {
            reply(stream, "200 OK", VERSION);
        } else if line.contains("/v1.41/containers/json") {
            list(stream);
        } else {
            reply(stream, "404 Not Found", r#"{"message":"page not found"}"#);
        }
    });
    let engine = ask(&path).expect("an engine");
    (folder, engine)
}

fn fault(path: &Path) -> String {
    let error = ask(path).expect_err("no engine");
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.way_out().is_some(), "no remedy: {error}");
    error.to_string()
}

fn list_fault(list: impl Fn(&mut UnixStream) + Send + 'static) -> String {
    let (_folder, engine) = fake_with_list(list);
    let error = run(engine.containers()).expect_err("a fault").to_string();
    assert!(error.contains("GET /containers/json"), "the endpoint is not named: {error}");
    error
}

#[test]
fn a_missing_socket_is_named() {
    let text = fault(Path::new("/nonexistent/engine.sock"));
    assert!(text.contains("unix:///nonexistent/engine.sock does not exist"), "{text}");
}

#[test]
fn a_socket_nobody_listens_on_is_an_engine_that_does_not_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("engine.sock");
    drop(UnixListener::bind(&path).expect("a socket"));
    let text = fault(&path);
    assert!(text.contains("not running"), "{text}");
}

#[test]
fn an_engine_that_accepts_and_never_answers_is_reported_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("engine.sock");
    let _listener = UnixListener::bind(&path).expect("a socket");
    let text = fault(&path);
    assert!(text.contains("gave no answer"), "{text}");
}

#[test]
fn a_host_without_an_engine_is_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let host = format!("tcp://127.0.0.1:{port}");
    let error =
        run(connect(Choice::Docker, &|name| (name == "DOCKER_HOST").then(|| host.clone()))).expect_err("nobody");
    assert!(error.to_string().contains(&format!("cannot reach the engine at {host}")), "{error}");
    assert!(error.way_out().expect("a remedy").to_string().contains("DOCKER_HOST"));
}

#[test]
fn something_that_is_no_engine_is_said_so() {
    let (_folder, path) = fake(|_, stream| {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
    });
    assert!(fault(&path).contains("does not answer like a container engine"));
    let (_folder, path) = fake(|_, stream| reply(stream, "200 OK", "<html>"));
    assert!(fault(&path).contains("does not answer like a container engine"));
    let (_folder, path) =
        fake(|_, stream| reply(stream, "400 Bad Request", "Client sent an HTTP request to an HTTPS server.\n"));
    assert!(fault(&path).contains("TLS"));
}

#[test]
fn api_versions_apart_show_both_sides() {
    for (least, most) in [("1.12", "1.39"), ("1.60", "1.99")] {
        let body = format!(r#"{{"ApiVersion":"{most}","MinAPIVersion":"{least}"}}"#);
        let (_folder, path) = fake(move |_, stream| reply(stream, "200 OK", &body));
        let text = fault(&path);
        assert!(text.contains(&format!("{least} to {most}")) && text.contains("1.40 to 1.52"), "{text}");
    }
}

#[test]
fn a_greeting_is_enough_to_know_the_engine() {
    let (_folder, engine) = fake_with_list(|stream| reply(stream, "200 OK", "[]"));
    let identity = engine.identity();
    assert_eq!((identity.version.as_str(), identity.api.as_str(), identity.local), ("9.9", "1.41", true));
    assert!(run(engine.containers()).expect("a list").is_empty());
}

#[test]
fn an_endless_reply_is_capped() {
    let text = list_fault(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let block = vec![b' '; 65536];
        while stream.write_all(b"10000\r\n").and_then(|()| stream.write_all(&block)).is_ok() {
            if stream.write_all(b"\r\n").is_err() {
                break;
            }
        }
    });
    assert!(text.contains("larger than 16777216 bytes"), "{text}");
}

#[test]
fn a_reply_that_breaks_off_is_no_answer() {
    let text = list_fault(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10\r\n[{\"Id\"");
    });
    assert!(text.contains("broke off"), "{text}");
}

#[test]
fn a_reply_that_is_not_json_or_not_utf_8_is_no_answer() {
    for body in [&b"{"[..], b"[{\"Id\":\"\xff\xfe\"}]", b"[{\"Id\":7}]", b"null and void"] {
        let text = list_fault(move |stream| {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(body);
        });
        assert!(text.contains("cannot be read"), "{text}");
    }
}

#[test]
fn an_engine_s_refusal_is_passed_on_in_one_clean_line() {
    let text =
        list_fault(|stream| reply(stream, "500 Internal Server Error", "{\"message\":\"disk\\n\\u001b[2Jfull\"}"));
    assert!(text.contains("(500): disk  [2Jfull"), "{text}");
}
