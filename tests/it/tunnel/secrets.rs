//! Secrets of server and client stay out of their logs, however much these tell, plain and in base64.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use serde_json::json;

use super::running::{Client, KEY, Link, PATIENCE, Server, ServerPlan, wait_until};
use super::targets::{Target, expect_echo, visit};

/// What is sent to the API and to a target, and is nobody's business.
const WRONG_KEY: &str = "wr0ng-k3y-canary-4711";
const PAYLOAD: &[u8] = b"p4yl0ad-canary-4711";

over_both_links!(no_secret_is_in_a_log_that_tells_everything);

/// Asks with a key; returns the answer.
fn ask(api: SocketAddr, key: &str, request: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(api).expect("the API");
    let head = format!(
        "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
         X-API-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// A secret as it is, and what of its base64 and hexadecimal does not depend on its place.
fn forms(secret: &[u8]) -> Vec<String> {
    let mut forms = vec![String::from_utf8_lossy(secret).into_owned(), HEXLOWER.encode(secret)];
    for before in [&b""[..], b"a", b"ab"] {
        for encoding in [BASE64_NOPAD, BASE64URL_NOPAD] {
            let text = encoding.encode(&[before, secret].concat());
            forms.push(text[4..text.len() - 2].to_owned());
        }
    }
    forms
}

fn no_secret_is_in_a_log_that_tells_everything(link: Link) {
    let plan = ServerPlan { database: "{ path: mappings.db }\nlog: { level: trace }", ..ServerPlan::over(link) };
    let (server, token) = Server::start(&plan);
    let other = server.token("other", &[]);
    let client = Client::of(server.tunnel, &token, link, &["-vv"]);
    server.wait_for_clients(1, PATIENCE);
    let joined = Client::start(None, &[], &["--join", &other.join_code, "-vv"]);
    server.wait_for_clients(2, PATIENCE);
    let made = ask(server.api, KEY, "POST /api/tokens/create", &json!({ "name": "third" }).to_string());
    let third = made.split('"').find(|word| word.starts_with("pwt_")).expect("a token in the answer").to_owned();
    for request in ["GET /api/mapping/list", "GET /api/clients", "POST /api/mapping/create"] {
        assert!(ask(server.api, WRONG_KEY, request, "{").contains(" 401 "), "{request}");
        ask(server.api, KEY, request, "{");
    }
    let echo = Target::echo();
    let mut visitor = visit(server.map_with(echo.address, &json!({ "client": "home" })));
    expect_echo(&mut visitor);
    visitor.write_all(PAYLOAD).expect("sent");
    let mut back = vec![0; PAYLOAD.len()];
    visitor.read_exact(&mut back).expect("an echo");
    let revoked = server.revoke("other").expect_code(0);
    wait_until("the client is cut off", PATIENCE, || server.clients() == 1);
    TcpStream::connect(server.tunnel).expect("connected").write_all(b"nonsense").expect("sent");
    wait_until("the log tells much", PATIENCE, || server.process.log().contains("DEBUG"));
    let book = ask(server.api, KEY, "GET /api/logs?level=trace&limit=2000", "");
    let logs = [server.process.log(), client.process.log(), joined.process.log(), book, revoked.stderr];
    assert!(logs[3].contains("\"debug\""), "the log of the API tells as much: {}", logs[3]);
    let secrets = [KEY, WRONG_KEY, &token.token, &token.join_code, &other.token, &other.join_code, &third];
    let secrets = secrets.into_iter().map(str::as_bytes).chain([PAYLOAD]);
    // Tokens and codes without what they begin with, too: base64 would begin elsewhere.
    let secrets = secrets.flat_map(|secret| [secret, secret.get(4..).unwrap_or(secret)]);
    for form in secrets.flat_map(forms) {
        for log in &logs {
            assert!(!log.contains(&form), "{form} is in {log}");
        }
    }
}
