//! The bundled server as a supervised process, and the tunnel with bytes through it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use crate::machine::{Machine, free, wait_until};

/// Sends back whatever each visitor sends.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for visitor in listener.incoming() {
            let Ok(mut visitor) = visitor else { return };
            thread::spawn(move || {
                let mut reads = visitor.try_clone().expect("a clone");
                // A visitor that is gone ends this; the test sees what is missing.
                let _ = std::io::copy(&mut reads, &mut visitor);
                let _ = visitor.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn exchange(public: SocketAddr, length: usize) -> std::io::Result<bool> {
    let mut visitor = TcpStream::connect(public)?;
    let sent: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).expect("a byte")).collect();
    let mut writes = visitor.try_clone()?;
    let words = sent.clone();
    let writing = thread::spawn(move || writes.write_all(&words).and_then(|()| writes.shutdown(Shutdown::Write)));
    let mut heard = Vec::new();
    visitor.read_to_end(&mut heard)?;
    writing.join().expect("a writer")?;
    Ok(heard == sent)
}

fn server_file(machine: &Machine, tunnel: SocketAddr, api: SocketAddr, public: SocketAddr) -> std::path::PathBuf {
    let file = machine.project().join("server.yaml");
    let text = format!(
        "port_range: {{ from: {0}, end: {0} }}\ntunnel: {{ enabled: true, listen_port: {1}, listen: 127.0.0.1 }}\n\
         api: {{ listen_port: {2}, api_key: a-key-that-is-long-enough-for-this }}\ndatabase: {{ path: mappings.db }}\n",
        public.port(),
        tunnel.port(),
        api.port()
    );
    std::fs::write(&file, text).expect("a file");
    file
}

#[test]
fn bytes_go_through_the_tunnel_and_come_back() {
    let machine = Machine::new();
    let (target, tunnel, api, public) = (echo(), free(), free(), free());
    let config = server_file(&machine, tunnel, api, public);
    let config = config.to_str().expect("a path");
    let made =
        machine.run(&["tunnel", "token", "create", "--name", "win", "--config", config, "--json"]).expect(0).json();
    let join = made["token"]["join_code"].as_str().unwrap_or_else(|| panic!("a join code: {made}"));
    let server_log = machine.path("server.log");
    let _server = machine.start(&["tunnel", "server", "--config", config], &server_log);
    wait_until("the server", || TcpStream::connect(api).is_ok());
    let _client = machine.start(&["tunnel", "client", "--join", join], &machine.path("client.log"));
    let port = public.port().to_string();
    let to = target.to_string();
    let url = format!("http://{api}");
    let key = machine.path("key");
    std::fs::write(&key, "a-key-that-is-long-enough-for-this").expect("a file");
    let key = key.to_str().expect("a path");
    let create = ["mapping", "create", &port, "--target", &to, "--api", &url, "--api-key-file", key];
    machine.run(&create).expect(0);
    wait_until("service", || exchange(public, 10).unwrap_or(false));
    assert!(exchange(public, 3_000_000).expect("an exchange"), "{}", log(&server_log));
    let shown = machine.run(&["tunnel", "status", "--api", &url, "--api-key-file", key, "--json"]).expect(0).json();
    assert!(shown.to_string().contains("win"), "{shown}");
}

fn log(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn the_bundled_server_is_launched_watched_over_and_stopped() {
    let machine = Machine::new();
    let (tunnel, api) = (free(), free());
    let wishes = [format!("API_PORT={}", api.port()), format!("TUNNEL_PORT={}", tunnel.port())];
    let up = ["quick-start", "--yes", "--runtime", "native", "--port", &wishes[0], "--port", &wishes[1], "--json"];
    let up = machine.run(&up).expect(0).json();
    assert_eq!(up["launched"]["runtime"], "native", "{up}");
    let status = machine.run(&["status", "--json"]).expect(0).json();
    assert_eq!(
        (&status["services"][0]["state"], &status["services"][0]["health"]),
        (&"running".into(), &"healthy".into())
    );
    assert!(TcpStream::connect(api).is_ok());
    assert!(!machine.run(&["logs"]).expect(0).stdout.is_empty());
    machine.run(&["down", "--yes"]).expect(0);
    wait_until("the end", || TcpStream::connect(api).is_err());
    let status = machine.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["services"].as_array().map(Vec::len), Some(0));
}
