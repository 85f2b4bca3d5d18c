//! Ports that a NAT rule takes from under every socket: a bind succeeds, and the packets go elsewhere.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use crate::host::rules::{Redirect, range};
use crate::host::tool::output_of;
use crate::model::{PortRange, Protocol, Seen};
use crate::words::host::HostWords;

/// Where distributions put the tool; a bare name could be anybody's.
const TOOLS: [&str; 3] = ["/usr/sbin/iptables-save", "/sbin/iptables-save", "/usr/bin/iptables-save"];
/// Chains of engines, whose ports are known from their containers.
const ENGINES: [&str; 2] = ["DOCKER", "NETAVARK"];
/// Where Kubernetes lists the ports of its services.
const NODE_PORTS: &str = "KUBE-NODEPORTS";

/// Reads the redirections of the nat table that `iptables-save` shows; rules made with `nft` alone are not in it.
pub(in crate::host) fn redirects() -> Seen<Vec<Redirect>> {
    if !rustix::process::geteuid().is_root() {
        return Seen::Unknown(HostWords::NatHidden.into());
    }
    let tool = TOOLS.iter().map(Path::new).find(|tool| tool.exists());
    let text = tool.map_or_else(|| Err(io::ErrorKind::NotFound.into()), |tool| output_of(tool, &["-t", "nat"]));
    match text {
        Ok(text) => Seen::Known(text.lines().flat_map(parse).collect()),
        Err(error) => Seen::Unknown(HostWords::NatUnread { why: error.to_string() }.into()),
    }
}

/// Reads one rule, such as `-A PREROUTING -d 192.0.2.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.5`.
fn parse(line: &str) -> Vec<Redirect> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let value = |name: &str| {
        let place = words.iter().position(|word| *word == name)?;
        let negated = place.checked_sub(1).and_then(|before| words.get(before)) == Some(&"!");
        words.get(place + 1).copied().filter(|_| !negated)
    };
    let ours = |chain: &&str| !ENGINES.iter().any(|engine| chain.starts_with(engine));
    let (Some(chain), Some(target)) = (value("-A").filter(ours), value("-j")) else { return Vec::new() };
    let protocol = match value("-p") {
        Some("tcp") => Protocol::Tcp,
        Some("udp") => Protocol::Udp,
        _ => return Vec::new(),
    };
    if !matches!(target, "DNAT" | "REDIRECT") && chain != NODE_PORTS {
        return Vec::new();
    }
    let address = value("-d").and_then(|net| net.split('/').next()?.parse::<IpAddr>().ok());
    let ports = value("--dport").or_else(|| value("--dports")).unwrap_or_default();
    let to = value("--to-destination").or_else(|| value("--to-ports")).unwrap_or(target).to_owned();
    let redirect = |ports: PortRange| Redirect { protocol, address, ports, to: to.clone() };
    ports.split(',').filter_map(ports_of).map(redirect).collect()
}

/// Reads `80` or `1000:1010`.
fn ports_of(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    range(first, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Vec<String> {
        let say = |one: Redirect| format!("{} {} {:?} {}", one.protocol, one.ports, one.address, one.to);
        parse(line).into_iter().map(say).collect()
    }

    #[test]
    fn a_redirection_names_its_ports_and_its_aim() {
        let rule = "-A PREROUTING -d 192.0.2.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.0.5:80";
        assert_eq!(told(rule), ["tcp 8080 Some(192.0.2.1) 10.0.0.5:80"]);
        let several = "-A OUTPUT -p udp -m multiport --dports 53,1000:1010 -j REDIRECT --to-ports 5353";
        assert_eq!(told(several), ["udp 53 None 5353", "udp 1000-1010 None 5353"]);
        let service = "-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-EXT-ABC";
        assert_eq!(told(service), ["tcp 30080 None KUBE-EXT-ABC"]);
    }

    #[test]
    fn rules_of_engines_and_rules_that_redirect_no_port_are_left_out() {
        for rule in [
            "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8000 -j DNAT --to-destination 172.17.0.2:80",
            "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
            "-A PREROUTING -p tcp -m tcp ! --dport 22 -j DNAT --to-destination 10.0.0.5",
            ":PREROUTING ACCEPT [0:0]",
            "-A",
            "",
        ] {
            assert!(told(rule).is_empty(), "{rule}");
        }
    }
}
