//! The bodies of the API's requests: strict JSON → what is wanted, or the field that is wrong.
//!
//! Pure. `create` takes the documented form (`port`, `target_ip`) and the predecessor's later form (`source_port`,
//! `target_host`, …).

use serde::Deserialize;
use serde_json::Value;

use super::config::MappingPorts;
use super::policy::{Access, AccessFault, Host};
use super::proto::{Kind, Proxy};
use super::refusal::Refusal;
use super::store::NewMapping;
use crate::model::Port;
use crate::words::tunnel::{TunnelWords, Wanting};

/// The longest name of a mapping or client, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Networks in one access list; each connection looks through them.
const NETWORKS_MAX: usize = 256;

/// The highest `bandwidth_limit`, in bytes a second: 1 TB/s is no limit any more.
const BANDWIDTH_MAX: u64 = 1_000_000_000_000;

/// The protocol of a mapping that names none.
pub(crate) const TCP: &str = "tcp";

/// The body of `create` as it arrives; values are judged one by one so that an error names its field.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    port: Option<Value>,
    target_ip: Option<Value>,
    source_port: Option<Value>,
    target_host: Option<Value>,
    target_port: Option<Value>,
    use_tunnel: Option<Value>,
    bandwidth_limit: Option<Value>,
    access_rule: Option<Value>,
    access_ips: Option<Value>,
    client: Option<Value>,
    protocol: Option<Value>,
    proxy_protocol: Option<Value>,
    name: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveBody {
    port: Option<Value>,
    source_port: Option<Value>,
}

/// A mapping that a request asks for, or that the database holds, ready to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) row: NewMapping,
    pub(crate) host: Host,
    pub(crate) access: Access,
    pub(crate) kind: Kind,
    pub(crate) proxy: Proxy,
}

/// Reads the body of `POST /api/mapping/create`. The port's range and blacklist are checked here; the target is judged
/// where it is dialled.
pub(crate) fn create(body: &[u8], ports: &MappingPorts, target_offset: u16) -> Result<Wanted, Refusal> {
    let body: CreateBody = object(body)?;
    let source_port = either_port(body.port.as_ref(), body.source_port.as_ref())?;
    check_port(source_port, ports)?;
    let target_port = body.target_port.as_ref().map(|value| port("target_port", value)).transpose()?;
    let host = match (text("target_ip", body.target_ip)?, text("target_host", body.target_host)?) {
        (Some(_), Some(_)) => return Err(Refusal::field("target_ip", Wanting::OnlyTargetHost)),
        (Some(host), None) => Some(host.parse().map_err(|wanted| Refusal::field("target_ip", wanted))?),
        (None, Some(host)) => Some(host.parse().map_err(|wanted| Refusal::field("target_host", wanted))?),
        (None, None) => None,
    };
    let client = name("client", body.client)?;
    let use_tunnel = match body.use_tunnel {
        None => !client.is_empty() || (host.is_none() && target_port.is_none()),
        Some(Value::Bool(through)) => through,
        Some(_) => return Err(Refusal::field("use_tunnel", Wanting::TrueOrFalse)),
    };
    let networks = networks(body.access_ips)?;
    let rule = text("access_rule", body.access_rule)?.unwrap_or_default();
    let access = Access::parse(&rule, &networks).map_err(access_refusal)?;
    let protocol = text("protocol", body.protocol)?.unwrap_or_else(|| TCP.to_owned());
    let proxy_protocol = text("proxy_protocol", body.proxy_protocol)?.unwrap_or_default();
    let (kind, proxy) = carriage(&protocol, &proxy_protocol, use_tunnel)?;
    let host: Host = host.unwrap_or(Host::Address(std::net::Ipv4Addr::LOCALHOST.into()));
    let behind_tunnel = || source_port.get().checked_sub(target_offset).and_then(Port::new);
    let default_port = if use_tunnel { behind_tunnel().unwrap_or(source_port) } else { source_port };
    let row = NewMapping {
        source_port,
        target_host: host.to_string(),
        target_port: target_port.unwrap_or(default_port),
        use_tunnel,
        bandwidth_limit: bandwidth(body.bandwidth_limit.as_ref())?,
        access_rule: if rule.is_empty() { "disabled".to_owned() } else { rule },
        access_ips: Value::from(networks).to_string(),
        name: name("name", body.name)?,
        protocol,
        client,
        proxy_protocol,
    };
    Ok(Wanted { row, host, access, kind, proxy })
}

/// Reads the body of `POST /api/mapping/remove`: `{"port"}` or `{"source_port"}`.
pub(crate) fn remove(body: &[u8]) -> Result<Port, Refusal> {
    let body: RemoveBody = object(body)?;
    either_port(body.port.as_ref(), body.source_port.as_ref())
}

/// Judges a row of the database as strictly as a request, because the rules may have changed since.
pub(crate) fn restored(row: NewMapping, ports: &MappingPorts) -> Result<Wanted, Refusal> {
    check_port(row.source_port, ports)?;
    let host = row.target_host.parse().map_err(|wanted| Refusal::field("target_host", wanted))?;
    let networks = networks(Some(Value::String(row.access_ips.clone())))?;
    let access = Access::parse(&row.access_rule, &networks).map_err(access_refusal)?;
    let (kind, proxy) = carriage(&row.protocol, &row.proxy_protocol, row.use_tunnel)?;
    Ok(Wanted { row, host, access, kind, proxy })
}

/// What a mapping carries, and the header that its target gets. Both but TCP without a header need a client: the server
/// itself forwards bytes as they are.
fn carriage(protocol: &str, proxy_protocol: &str, use_tunnel: bool) -> Result<(Kind, Proxy), Refusal> {
    let kind = match protocol {
        TCP => Kind::Tcp,
        "udp" if use_tunnel => Kind::Udp,
        "udp" => return Err(Refusal::new(400, "unsupported", TunnelWords::UdpUnsupported)),
        _ => return Err(Refusal::field("protocol", Wanting::TcpOrUdp)),
    };
    let refused = |wanted| Err(Refusal::field("proxy_protocol", wanted));
    let proxy = match (proxy_protocol, kind) {
        ("", _) => Proxy::Off,
        ("v1", Kind::Tcp) => Proxy::V1,
        ("v1", Kind::Udp) => return refused(Wanting::ProxyOfUdp),
        ("v2", _) => Proxy::V2,
        _ => return refused(Wanting::ProxyVersion),
    };
    if proxy != Proxy::Off && !use_tunnel { refused(Wanting::NoProxy) } else { Ok((kind, proxy)) }
}

fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    // serde reads a struct from an array as well; the API's bodies are objects.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::new(400, "invalid_json", TunnelWords::NotAnObject));
    }
    serde_json::from_slice(body).map_err(|error| {
        let detail = error.to_string();
        let code = if error.is_data() { "invalid_field" } else { "invalid_json" };
        Refusal::new(400, code, TunnelWords::BadJson { detail })
    })
}

fn port(field: &'static str, value: &Value) -> Result<Port, Refusal> {
    let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
    number.and_then(Port::new).ok_or_else(|| Refusal::field(field, Wanting::PortNumber))
}

fn either_port(documented: Option<&Value>, later: Option<&Value>) -> Result<Port, Refusal> {
    match (documented, later) {
        (Some(_), Some(_)) => Err(Refusal::field("port", Wanting::OnlySourcePort)),
        (Some(value), None) => port("port", value),
        (None, Some(value)) => port("source_port", value),
        (None, None) => Err(Refusal::field("port", Wanting::PortNumber)),
    }
}

fn check_port(port: Port, ports: &MappingPorts) -> Result<(), Refusal> {
    if ports.blacklist.contains(&port) {
        return Err(Refusal::new(403, "port_forbidden", TunnelWords::PortForbidden { port }));
    }
    if !ports.range.contains(port) {
        let words = TunnelWords::PortOutOfRange { port, range: ports.range };
        return Err(Refusal::new(400, "port_out_of_range", words));
    }
    Ok(())
}

/// A string; an empty one stands for nothing given, as `null` does.
fn text(field: &'static str, value: Option<Value>) -> Result<Option<String>, Refusal> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(Refusal::field(field, Wanting::Text)),
    }
}

fn name(field: &'static str, value: Option<Value>) -> Result<String, Refusal> {
    let name = text(field, value)?.unwrap_or_default();
    if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(Refusal::field(field, Wanting::ShortName));
    }
    Ok(name)
}

/// A list of networks, or the predecessor's string that holds one.
fn networks(value: Option<Value>) -> Result<Vec<String>, Refusal> {
    let refused = || access_refusal(AccessFault::Networks);
    let list = match value {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) if text.trim().is_empty() => return Ok(Vec::new()),
        Some(Value::String(text)) => match serde_json::from_str(&text).map_err(|_| refused())? {
            Value::Null => return Ok(Vec::new()),
            list => list,
        },
        Some(list) => list,
    };
    let networks: Vec<String> = serde_json::from_value(list).map_err(|_| refused())?;
    if networks.len() > NETWORKS_MAX { Err(refused()) } else { Ok(networks) }
}

fn access_refusal(fault: AccessFault) -> Refusal {
    match fault {
        AccessFault::Rule => Refusal::field("access_rule", Wanting::Rule),
        AccessFault::Networks => Refusal::field("access_ips", Wanting::Networks),
    }
}

fn bandwidth(value: Option<&Value>) -> Result<u64, Refusal> {
    match value {
        None => Ok(0),
        Some(value) => value
            .as_u64()
            .filter(|limit| *limit <= BANDWIDTH_MAX)
            .ok_or_else(|| Refusal::field("bandwidth_limit", Wanting::BytesPerSecond)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PortRange;

    fn ports() -> MappingPorts {
        MappingPorts {
            range: "10000-20000".parse::<PortRange>().unwrap(),
            blacklist: [Port::new(13389).unwrap()].into(),
            listen: std::net::Ipv4Addr::LOCALHOST.into(),
        }
    }

    fn read(body: &str) -> Result<Wanted, Refusal> {
        create(body.as_bytes(), &ports(), 10000)
    }

    #[test]
    fn both_forms_are_understood_and_defaults_are_the_contracts() {
        for (body, host, target, tunnel) in [
            (r#"{"port":10022}"#, "127.0.0.1", 22, true),
            (r#"{"port":10000}"#, "127.0.0.1", 10000, true),
            (r#"{"port":10080,"target_ip":"10.0.0.5"}"#, "10.0.0.5", 10080, false),
            (r#"{"source_port":13306,"use_tunnel":true}"#, "127.0.0.1", 3306, true),
            (
                r#"{"source_port":10022,"target_port":22,"target_host":"db.lan","use_tunnel":false}"#,
                "db.lan",
                22,
                false,
            ),
            (r#"{"source_port":10022,"target_port":22}"#, "127.0.0.1", 22, false),
            (r#"{"port":10022,"target_port":23,"client":"home"}"#, "127.0.0.1", 23, true),
        ] {
            let wanted = read(body).expect(body);
            let row = wanted.row;
            assert_eq!(
                (row.target_host.as_str(), row.target_port.get(), row.use_tunnel),
                (host, target, tunnel),
                "{body}"
            );
        }
        let body = r#"{"port":10022,"target_ip":"::1","access_rule":"whitelist","access_ips":"[\"127.0.0.0/8\"]",
            "bandwidth_limit":1000}"#;
        let wanted = read(body).expect("the predecessor's string");
        assert!(!wanted.access.admits("10.0.0.1".parse().unwrap()));
        assert_eq!((wanted.row.access_ips.as_str(), wanted.row.bandwidth_limit), (r#"["127.0.0.0/8"]"#, 1000));
        let again = restored(wanted.row.clone(), &ports()).expect("restored");
        assert_eq!(again, wanted);
    }

    #[test]
    fn udp_and_proxy_headers_go_through_the_tunnel() {
        for (body, kind, proxy) in [
            (r#"{"port":10022}"#, Kind::Tcp, Proxy::Off),
            (r#"{"port":10022,"protocol":"","proxy_protocol":""}"#, Kind::Tcp, Proxy::Off),
            (r#"{"port":10022,"protocol":"tcp","proxy_protocol":"v1"}"#, Kind::Tcp, Proxy::V1),
            (r#"{"port":10053,"protocol":"udp"}"#, Kind::Udp, Proxy::Off),
            (r#"{"port":10053,"protocol":"udp","proxy_protocol":"v2","use_tunnel":true}"#, Kind::Udp, Proxy::V2),
        ] {
            let wanted = read(body).expect(body);
            assert_eq!((wanted.kind, wanted.proxy), (kind, proxy), "{body}");
            assert_eq!(restored(wanted.row.clone(), &ports()).expect("restored"), wanted);
        }
        let mut row = read(r#"{"port":10053,"protocol":"udp"}"#).expect("udp").row;
        row.protocol = "sctp".to_owned();
        assert_eq!(restored(row, &ports()).expect_err("edited by hand").code, "invalid_field");
    }

    #[test]
    fn every_mistake_names_its_field() {
        for (body, needle) in [
            ("", "JSON"),
            ("[]", "JSON"),
            ("{", "EOF"),
            ("{}", "`port`"),
            (r#"{"port":0}"#, "`port`"),
            (r#"{"port":70000}"#, "`port`"),
            (r#"{"port":-1}"#, "`port`"),
            (r#"{"port":10000.5}"#, "`port`"),
            (r#"{"port":"10022"}"#, "`port`"),
            (r#"{"port":10022,"port":10023}"#, "duplicate field `port`"),
            (r#"{"port":10022,"prot":"tcp"}"#, "unknown field `prot`"),
            (r#"{"port":10022,"source_port":10022}"#, "`port`"),
            (r#"{"port":10022,"target_ip":"2130706433"}"#, "`target_ip`"),
            (r#"{"port":10022,"target_host":"0x7f.1"}"#, "`target_host`"),
            (r#"{"port":10022,"target_host":"a b"}"#, "`target_host`"),
            (r#"{"port":10022,"target_port":0}"#, "`target_port`"),
            (r#"{"port":10022,"use_tunnel":"yes"}"#, "`use_tunnel`"),
            (r#"{"port":10022,"access_rule":"allow","access_ips":["10.0.0.0/8"]}"#, "`access_rule`"),
            (r#"{"port":10022,"access_rule":"blacklist","access_ips":"127.0.0.1"}"#, "`access_ips`"),
            (r#"{"port":10022,"access_rule":"blacklist","access_ips":["x"]}"#, "`access_ips`"),
            (r#"{"port":10022,"access_rule":"whitelist"}"#, "`access_ips`"),
            (r#"{"port":10022,"bandwidth_limit":-5}"#, "`bandwidth_limit`"),
            (r#"{"port":10022,"protocol":"sctp"}"#, "`protocol`"),
            (r#"{"port":10022,"protocol":"UDP"}"#, "`protocol`"),
            (r#"{"port":10022,"proxy_protocol":"v3"}"#, "`proxy_protocol`"),
            (r#"{"port":10022,"proxy_protocol":2}"#, "`proxy_protocol`"),
            (r#"{"port":10022,"proxy_protocol":"v1","protocol":"udp"}"#, "`proxy_protocol`"),
            (r#"{"port":10022,"proxy_protocol":"v1","use_tunnel":false}"#, "`proxy_protocol`"),
            (r#"{"port":10022,"name":"a\u0000b"}"#, "`name`"),
        ] {
            let refusal = read(body).expect_err(body);
            assert_eq!(refusal.status, 400, "{body}");
            let words = crate::words::Message::from(refusal.words).to_string();
            assert!(words.contains(needle), "{body}: {words}");
        }
        let deep = format!(r#"{{"port":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert_eq!(read(&deep).expect_err("too deep").status, 400);
        assert_eq!(read(r#"{"port":13389}"#).expect_err("blacklisted").code, "port_forbidden");
        assert_eq!(read(r#"{"port":9999}"#).expect_err("below").code, "port_out_of_range");
        let direct = r#"{"port":10022,"protocol":"udp","use_tunnel":false}"#;
        assert_eq!(read(direct).expect_err("udp").code, "unsupported");
        assert_eq!(remove(b"{\"port\":10022,\"x\":1}").expect_err("unknown").code, "invalid_field");
    }
}
