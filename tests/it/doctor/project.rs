//! Projects whose files or ports are wrong, and what is in the way of their visitors.

use serde_json::json;

use super::{Diagnosis, NO_ENGINE, broken_by, have_namespaces, web};
use crate::support::{Sandbox, free_block, hold};

/// Diagnoses a project whose engine is not the point.
fn diagnosed(sandbox: &Sandbox) -> Diagnosis {
    Diagnosis::of(sandbox.command(&["doctor", "--json", "--skip", "engine"]).env("DOCKER_HOST", NO_ENGINE))
}

#[test]
fn files_that_cannot_be_read_and_what_is_odd_in_them_are_named_with_their_places() {
    let port = free_block(1);
    let sandbox = Sandbox::new(&[("compose.yaml", "services:\n  web:\n\timage: x\n")]);
    diagnosed(&sandbox).finds("project-files", "fail", "compose.yaml", "");
    sandbox.write("compose.yaml", &web(port));
    assert_eq!(diagnosed(&sandbox).alarms(), [] as [String; 0]);
    sandbox.write(".env", "A=1\nA=2\n");
    diagnosed(&sandbox).finds("project-lints", "warn", ".env", "portwright check");
}

#[test]
fn a_port_that_is_held_is_named_and_moving_it_mends_it() {
    let port = free_block(3);
    let sandbox = Sandbox::new(&[("compose.yaml", &web(port))]);
    let _held = hold(port);
    let before = sandbox.contents();
    let seen = diagnosed(&sandbox);
    seen.finds("ports", "fail", "compose.yaml:4", &format!("portwright why {port}"));
    assert!(seen.check("ports")["evidence"].to_string().contains(&port.to_string()));
    assert_eq!(sandbox.contents(), before);
    let mut command = sandbox.command(&["quick-start", "--yes", "--no-launch"]);
    let moved = command.env("DOCKER_HOST", NO_ENGINE).output().expect("it runs");
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    assert_eq!(diagnosed(&sandbox).outcome("ports"), "pass");
}

#[test]
fn a_port_that_outgoing_connections_may_take_is_named() {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("a range");
    let last: u16 = range.split_whitespace().last().expect("a bound").parse().expect("a port");
    let port = (last - 500..last).rev().find(|port| std::net::TcpListener::bind(("0.0.0.0", *port)).is_ok());
    let port = port.expect("a free port");
    let sandbox = Sandbox::new(&[("compose.yaml", &web(port))]);
    diagnosed(&sandbox).finds("ports-ephemeral", "warn", &port.to_string(), "ip_local_reserved_ports");
}

#[test]
fn a_database_that_is_open_to_everybody_is_named() {
    let port = free_block(1);
    let open = format!("services:\n  db:\n    image: postgres\n    ports: [\"{port}:5432\"]\n");
    let sandbox = Sandbox::new(&[("compose.yaml", &open)]);
    diagnosed(&sandbox).finds("exposure", "warn", "PostgreSQL", &format!("127.0.0.1:{port}:5432"));
    // What the remedy says.
    sandbox.write("compose.yaml", &open.replace(&format!("\"{port}:"), &format!("\"127.0.0.1:{port}:")));
    assert_eq!(diagnosed(&sandbox).alarms(), [] as [String; 0]);
}

#[test]
fn rules_that_take_a_port_away_or_let_nobody_in_are_found() {
    if !have_namespaces() {
        return;
    }
    let port = free_block(1);
    let open = web(port).replace("127.0.0.1:", "");
    let sandbox = Sandbox::new(&[("compose.yaml", &open)]);
    let namespaces = ["-n"];
    let up = "ip link set lo up";
    let diagnosed = |rules: &str| {
        let mut command = broken_by(&sandbox, &namespaces, &format!("{up}\n{rules}"));
        command.args(["--"]);
        Diagnosis::of(&mut command)
    };
    let redirect = format!("iptables -t nat -A PREROUTING -p tcp --dport {port} -j DNAT --to-destination 192.0.2.1:80");
    let seen = diagnosed(&redirect);
    assert_eq!(seen.outcome("redirected-ports"), "fail", "{}", seen.document);
    assert!(seen.check("redirected-ports")["evidence"].to_string().contains("192.0.2.1"), "{}", seen.document);
    let closed = diagnosed("iptables -P INPUT DROP\niptables -A INPUT -i lo -j ACCEPT");
    assert_eq!(closed.outcome("firewall"), "warn", "{}", closed.document);
    let check = closed.check("firewall");
    assert!(check["remedy"].to_string().contains(&format!("--dport {port}")), "{check}");
    // What the remedy says.
    let mended = format!(
        "iptables -P INPUT DROP\niptables -A INPUT -i lo -j ACCEPT\niptables -I INPUT -p tcp --dport {port} -j ACCEPT"
    );
    assert_eq!(diagnosed(&mended).check("firewall")["outcome"], json!("pass"));
}
