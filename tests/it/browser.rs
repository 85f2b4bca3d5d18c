//! A real Chromium, driven by the `WebDriver` protocol (W3C) through Debian's chromedriver.

use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{free_block, have};

/// The longest that a page may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// The name of an element in answers, fixed by the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// What both leave behind.
    _folder: TempDir,
}

impl Browser {
    /// Starts one with a window of this size; `None` where there is no Chromium.
    pub(crate) fn start(width: u32, height: u32) -> Option<Self> {
        let found = |name: &str| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success());
        if !have("chromium and chromedriver", found("chromium") && found("chromedriver")) {
            return None;
        }
        let port = free_block(1);
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).env("TMPDIR", folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = command.spawn().expect("chromedriver runs");
        let mut browser = Self { driver, port, session: String::new(), _folder: folder };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < PATIENCE, "chromedriver does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        let flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"];
        let size = format!("--window-size={width},{height}");
        let arguments: Vec<&str> = flags.into_iter().chain([size.as_str(), "--lang=en"]).collect();
        let wish = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" } } } });
        let made = browser.ask("POST", "/session", &wish).expect("a session");
        browser.session = made["sessionId"].as_str().expect("its name").to_owned();
        Some(browser)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        stream.write_all((head + &body).as_bytes()).map_err(|error| error.to_string())?;
        let body = read_body(&mut BufReader::new(stream)).map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].clone()),
        }
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        self.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url })).expect("the page opens");
    }

    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.command("POST", "/window/rect", &json!({ "width": width, "height": height })).expect("a window");
    }

    /// Runs a script in the page and returns what it returns.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({ "script": script, "args": [] })).expect("the script runs")
    }

    /// The text that a person sees.
    pub(crate) fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows this text.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait_until(&format!("the text {text:?}"), || self.text().contains(text));
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < PATIENCE, "still waiting for {what}; the page shows:\n{}", self.text());
            thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let started = Instant::now();
        loop {
            let found = self.command("POST", "/element", &json!({ "using": "css selector", "value": selector }));
            match found {
                Ok(element) => return element[ELEMENT].as_str().expect("an element").to_owned(),
                Err(error) => assert!(started.elapsed() < PATIENCE, "{selector}: {error}\n{}", self.text()),
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Clicks as a person would: on something that is visible and not covered.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        self.wait_until(&format!("{selector} to take a click"), || {
            let element = self.element(selector);
            self.command("POST", &format!("/element/{element}/click"), &json!({})).is_ok()
        });
    }

    /// Clears a field and types into it.
    #[track_caller]
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.command("POST", &format!("/element/{element}/clear"), &json!({})).expect("a field");
        self.keys_into(&element, text);
    }

    #[track_caller]
    fn keys_into(&self, element: &str, text: &str) {
        self.command("POST", &format!("/element/{element}/value"), &json!({ "text": text })).expect("it takes keys");
    }

    /// Types to whatever has the focus; keys without a sign have code points of the protocol's own.
    #[track_caller]
    pub(crate) fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() })))
            .collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.command("POST", "/actions", &body).expect("keys are pressed");
    }

    /// What the page wrote to its console since the last look: faults of scripts and of the page's policy.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", &json!({ "type": "browser" })).unwrap_or(Value::Null);
        let lines = log.as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Writes a picture of the window.
    pub(crate) fn picture(&self, file: &Path) {
        let picture = self.command("GET", "/screenshot", &Value::Null).expect("a picture");
        let bytes = data_encoding::BASE64.decode(picture.as_str().unwrap_or_default().as_bytes()).expect("base64");
        std::fs::write(file, bytes).expect("a written picture");
    }
}

/// Reads an answer by its length; the driver keeps the connection open.
fn read_body(stream: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(body)
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium; the driver alone would leave it running, with a page that asks whoever has its port next.
        let ended = self.command("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        assert!(thread::panicking() || self.session.is_empty() || ended.is_ok(), "Chromium runs on: {ended:?}");
    }
}
