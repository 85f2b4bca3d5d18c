//! The bodies of the API's requests: strict JSON → what is wanted, or the field that is wrong.
//!
//! Pure. `create` takes the documented form (`port`, `target_ip`) and the predecessor's later form (`source_port`,
//! `target_host`, …).

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

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

/// The fields of a body, which are taken out one by one, so that an error names its field; what is left is unknown.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    fields: Vec<(String, Value)>,
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut found = Fields::default();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if found.fields.iter().any(|(known, _)| *known == name) {
                        found.twice = Some(name.clone());
                    }
                    found.fields.push((name, value));
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Fields {
    /// Reads a body, which must be one JSON object.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Refusal::new(400, "invalid_json", TunnelWords::NotAnObject));
        }
        let fields: Self = serde_json::from_slice(body)
            .map_err(|error| Refusal::new(400, "invalid_json", TunnelWords::BadJson { detail: error.to_string() }))?;
        match fields.twice {
            Some(field) => Err(Refusal::field_twice(field)),
            None => Ok(fields),
        }
    }

    /// Takes a field out; one that is `null` counts as not given.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let place = self.fields.iter().position(|(known, _)| known == name)?;
        Some(self.fields.swap_remove(place).1).filter(|value| !value.is_null())
    }

    /// Refuses what nobody took.
    pub(crate) fn end(self) -> Result<(), Refusal> {
        match self.fields.into_iter().next() {
            Some((field, _)) => Err(Refusal::unknown_field(field)),
            None => Ok(()),
        }
    }
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
    let mut fields = Fields::read(body)?;
    let source_port = fields.either_port();
    let [target_ip, target_host, target_port, use_tunnel] =
        ["target_ip", "target_host", "target_port", "use_tunnel"].map(|field| fields.take(field));
    let [limit, rule, networks_given, client, protocol, proxy_protocol, name_given] =
        ["bandwidth_limit", "access_rule", "access_ips", "client", "protocol", "proxy_protocol", "name"]
            .map(|field| fields.take(field));
    fields.end()?;
    let source_port = source_port?;
    check_port(source_port, ports)?;
    let target_port = target_port.map(|value| port("target_port", &value)).transpose()?;
    let host = target(target_ip, target_host)?;
    let client = name("client", client)?;
    let use_tunnel = match use_tunnel {
        None => !client.is_empty() || (host.is_none() && target_port.is_none()),
        Some(value) => flag(&value)?,
    };
    let networks = networks(networks_given)?;
    let rule = text("access_rule", rule)?.unwrap_or_default();
    let access = Access::parse(&rule, &networks).map_err(access_refusal)?;
    let protocol = text("protocol", protocol)?.unwrap_or_else(|| TCP.to_owned());
    let proxy_protocol = text("proxy_protocol", proxy_protocol)?.unwrap_or_default();
    let (kind, proxy) = carriage(&protocol, &proxy_protocol, use_tunnel)?;
    let host: Host = host.unwrap_or(Host::Address(std::net::Ipv4Addr::LOCALHOST.into()));
    let behind_tunnel = || source_port.get().checked_sub(target_offset).and_then(Port::new);
    let default_port = if use_tunnel { behind_tunnel().unwrap_or(source_port) } else { source_port };
    let row = NewMapping {
        source_port,
        target_host: host.to_string(),
        target_port: target_port.unwrap_or(default_port),
        use_tunnel,
        bandwidth_limit: bandwidth(limit.as_ref())?,
        access_rule: if rule.is_empty() { "disabled".to_owned() } else { rule },
        access_ips: Value::from(networks).to_string(),
        name: name("name", name_given)?,
        protocol,
        client,
        proxy_protocol,
    };
    Ok(Wanted { row, host, access, kind, proxy })
}

/// Reads the target, which has two names: none, an address or a host name.
fn target(target_ip: Option<Value>, target_host: Option<Value>) -> Result<Option<Host>, Refusal> {
    let read = |field, host: String| host.parse().map(Some).map_err(|wanted| Refusal::field(field, wanted));
    match (text("target_ip", target_ip)?, text("target_host", target_host)?) {
        (Some(_), Some(_)) => Err(Refusal::field("target_ip", Wanting::OnlyTargetHost)),
        (Some(host), None) => read("target_ip", host),
        (None, Some(host)) => read("target_host", host),
        (None, None) => Ok(None),
    }
}

/// Reads the body of `POST /api/mapping/remove` and `reload`: `{"port"}` or `{"source_port"}`.
pub(crate) fn one_port(body: &[u8]) -> Result<Port, Refusal> {
    let mut fields = Fields::read(body)?;
    let port = fields.either_port();
    fields.end()?;
    port
}

/// What `update` changes; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changes {
    name: Option<String>,
    bandwidth_limit: Option<u64>,
    access_rule: Option<String>,
    access_ips: Option<Vec<String>>,
    target_host: Option<Host>,
    target_port: Option<Port>,
    use_tunnel: Option<bool>,
    client: Option<String>,
    protocol: Option<String>,
    proxy_protocol: Option<String>,
}

/// Reads the body of `POST /api/mapping/update`.
pub(crate) fn update(body: &[u8]) -> Result<(Port, Changes), Refusal> {
    let mut fields = Fields::read(body)?;
    let port = fields.either_port();
    let [name_given, limit, rule, networks_given] =
        ["name", "bandwidth_limit", "access_rule", "access_ips"].map(|field| fields.take(field));
    let [target_ip, target_host, target_port, use_tunnel, client, protocol, proxy_protocol] =
        ["target_ip", "target_host", "target_port", "use_tunnel", "client", "protocol", "proxy_protocol"]
            .map(|field| fields.take(field));
    fields.end()?;
    // An empty text is the usual one, which the mapping may have to be put back to.
    let or_usual = |field, value: Option<Value>, usual: &str| -> Result<Option<String>, Refusal> {
        value.map(|value| Ok(text(field, Some(value))?.unwrap_or_else(|| usual.to_owned()))).transpose()
    };
    let changes = Changes {
        target_host: target(target_ip, target_host)?,
        target_port: target_port.map(|value| self::port("target_port", &value)).transpose()?,
        use_tunnel: use_tunnel.as_ref().map(flag).transpose()?,
        client: client.map(|value| name("client", Some(value))).transpose()?,
        protocol: or_usual("protocol", protocol, TCP)?,
        proxy_protocol: or_usual("proxy_protocol", proxy_protocol, "")?,
        name: name_given.map(|value| name("name", Some(value))).transpose()?,
        bandwidth_limit: limit.map(|value| bandwidth(Some(&value))).transpose()?,
        access_rule: text("access_rule", rule)?,
        access_ips: networks_given.map(|value| networks(Some(value))).transpose()?,
    };
    Ok((port?, changes))
}

/// A row with changes applied, ready to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) wanted: Wanted,
    /// Whether visitors are led elsewhere, so that the listener has to be opened anew.
    pub(crate) moved: bool,
    /// What was changed, as the audit keeps it: `{"field": {"from", "to"}}`.
    pub(crate) detail: Value,
}

/// Applies `changes` to a row. What belongs together is judged together, whichever of it was named.
pub(crate) fn changed(row: &NewMapping, changes: Changes) -> Result<Changed, Refusal> {
    let before = row;
    let networks = match changes.access_ips {
        Some(networks) => networks,
        None => networks(Some(Value::String(row.access_ips.clone())))?,
    };
    let row = NewMapping {
        source_port: row.source_port,
        target_host: changes.target_host.map_or_else(|| row.target_host.clone(), |host| host.to_string()),
        target_port: changes.target_port.unwrap_or(row.target_port),
        use_tunnel: changes.use_tunnel.unwrap_or(row.use_tunnel),
        bandwidth_limit: changes.bandwidth_limit.unwrap_or(row.bandwidth_limit),
        access_rule: changes.access_rule.unwrap_or_else(|| row.access_rule.clone()),
        access_ips: Value::from(networks).to_string(),
        name: changes.name.unwrap_or_else(|| row.name.clone()),
        protocol: changes.protocol.unwrap_or_else(|| row.protocol.clone()),
        client: changes.client.unwrap_or_else(|| row.client.clone()),
        proxy_protocol: changes.proxy_protocol.unwrap_or_else(|| row.proxy_protocol.clone()),
    };
    let wanted = judged(row)?;
    let row = &wanted.row;
    let ways = [
        ("target_host", json!(before.target_host), json!(row.target_host)),
        ("target_port", json!(before.target_port), json!(row.target_port)),
        ("use_tunnel", json!(before.use_tunnel), json!(row.use_tunnel)),
        ("client", json!(before.client), json!(row.client)),
        ("protocol", json!(before.protocol), json!(row.protocol)),
        ("proxy_protocol", json!(before.proxy_protocol), json!(row.proxy_protocol)),
    ];
    let moved = ways.iter().any(|(_, from, to)| from != to);
    let rules = [
        ("name", json!(before.name), json!(row.name)),
        ("bandwidth_limit", json!(before.bandwidth_limit), json!(row.bandwidth_limit)),
        ("access_rule", json!(before.access_rule), json!(row.access_rule)),
        ("access_ips", json!(before.access_ips), json!(row.access_ips)),
    ];
    let differing = ways.into_iter().chain(rules).filter(|(_, from, to)| from != to);
    let detail = differing.map(|(field, from, to)| (field.to_owned(), json!({ "from": from, "to": to }))).collect();
    Ok(Changed { wanted, moved, detail: Value::Object(detail) })
}

/// Judges a row of the database as strictly as a request, because the rules may have changed since.
pub(crate) fn restored(row: NewMapping, ports: &MappingPorts) -> Result<Wanted, Refusal> {
    check_port(row.source_port, ports)?;
    judged(row)
}

fn judged(row: NewMapping) -> Result<Wanted, Refusal> {
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
        "udp" => return Err(Refusal::new(400, "unsupported", TunnelWords::UdpUnsupported).about("protocol")),
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

fn port(field: &'static str, value: &Value) -> Result<Port, Refusal> {
    let number = value.as_u64().and_then(|number| u16::try_from(number).ok());
    number.and_then(Port::new).ok_or_else(|| Refusal::field(field, Wanting::PortNumber))
}

impl Fields {
    /// Takes the public port, which has two names.
    fn either_port(&mut self) -> Result<Port, Refusal> {
        match (self.take("port"), self.take("source_port")) {
            (Some(_), Some(_)) => Err(Refusal::field("port", Wanting::OnlySourcePort)),
            (Some(value), None) => port("port", &value),
            (None, Some(value)) => port("source_port", &value),
            (None, None) => Err(Refusal::field("port", Wanting::PortNumber)),
        }
    }
}

fn check_port(port: Port, ports: &MappingPorts) -> Result<(), Refusal> {
    if ports.blacklist.contains(&port) {
        return Err(Refusal::new(403, "port_forbidden", TunnelWords::PortForbidden { port }).about("port"));
    }
    if !ports.range.contains(port) {
        let words = TunnelWords::PortOutOfRange { port, range: ports.range };
        return Err(Refusal::new(400, "port_out_of_range", words).about("port"));
    }
    Ok(())
}

fn flag(use_tunnel: &Value) -> Result<bool, Refusal> {
    use_tunnel.as_bool().ok_or_else(|| Refusal::field("use_tunnel", Wanting::TrueOrFalse))
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
            (r#"{"port":10022,"source_port":null,"port":10023}"#, "duplicate field `port`"),
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
            let named = needle.split('`').nth(1);
            assert_eq!(refusal.field.as_deref(), named, "{body}");
        }
        let deep = format!(r#"{{"port":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert_eq!(read(&deep).expect_err("too deep").status, 400);
        assert_eq!(read(r#"{"port":13389}"#).expect_err("blacklisted").code, "port_forbidden");
        assert_eq!(read(r#"{"port":9999}"#).expect_err("below").code, "port_out_of_range");
        let direct = r#"{"port":10022,"protocol":"udp","use_tunnel":false}"#;
        assert_eq!(read(direct).expect_err("udp").code, "unsupported");
        let unknown = one_port(b"{\"port\":10022,\"x\":1}").expect_err("unknown");
        assert_eq!((unknown.code, unknown.field.as_deref()), ("invalid_field", Some("x")));
    }

    #[test]
    fn an_update_leaves_what_it_does_not_name() {
        let body = r#"{"port":10022,"target_port":22,"access_rule":"whitelist","access_ips":["10.0.0.0/8"],
            "bandwidth_limit":1000,"name":"ssh"}"#;
        let row = read(body).expect("a mapping").row;
        let apply = |body: &str| {
            let (port, changes) = update(body.as_bytes()).expect(body);
            assert_eq!(port, row.source_port);
            changed(&row, changes)
        };
        let limited = apply(r#"{"port":10022,"bandwidth_limit":7}"#).expect("a limit");
        assert_eq!(limited.wanted.row, NewMapping { bandwidth_limit: 7, ..row.clone() });
        assert!(!limited.wanted.access.admits("192.0.2.1".parse().unwrap()), "the list still stands");
        assert_eq!(limited.detail, json!({ "bandwidth_limit": { "from": 1000, "to": 7 } }));
        let other = apply(r#"{"source_port":10022,"access_rule":"blacklist","name":null}"#).expect("a rule");
        assert_eq!(
            (other.wanted.row.name.as_str(), other.wanted.row.access_ips.as_str()),
            ("ssh", r#"["10.0.0.0/8"]"#)
        );
        assert!(other.wanted.access.admits("192.0.2.1".parse().unwrap()));
        let open = apply(r#"{"port":10022,"access_rule":"disabled","access_ips":"[]","name":""}"#).expect("open");
        assert_eq!((open.wanted.row.name.as_str(), open.wanted.access), ("", Access::Open));
        assert_eq!(apply(r#"{"port":10022}"#).expect("nothing").wanted.row, row);
        assert!(!limited.moved && !open.moved);
        let led = apply(r#"{"port":10022,"target_ip":"::1","use_tunnel":true,"client":"home","proxy_protocol":"v2"}"#);
        let led = led.expect("another way");
        assert!(led.moved && led.wanted.proxy == Proxy::V2);
        assert_eq!(led.detail["target_host"], json!({ "from": "127.0.0.1", "to": "::1" }));
        assert_eq!((led.wanted.row.target_port, led.wanted.row.client.as_str()), (row.target_port, "home"));
        let (_, back) = update(br#"{"port":10022,"proxy_protocol":"","client":""}"#).expect("the usual ones");
        let back = changed(&led.wanted.row, back).expect("back").wanted;
        assert_eq!((back.row.client.as_str(), back.proxy), ("", Proxy::Off));
        assert_eq!(
            apply(r#"{"port":10022,"use_tunnel":false,"protocol":"udp"}"#).expect_err("directly").code,
            "unsupported"
        );
        let half = apply(r#"{"port":10022,"access_ips":[]}"#).expect_err("a rule without networks");
        assert_eq!(half.field.as_deref(), Some("access_ips"));
        for (body, field) in [
            (r#"{"bandwidth_limit":1}"#, "port"),
            (r#"{"port":10022,"bandwidth_limit":-1}"#, "bandwidth_limit"),
            (r#"{"port":10022,"access_ips":"10.0.0.1"}"#, "access_ips"),
            (r#"{"port":10022,"target_port":0}"#, "target_port"),
            (r#"{"port":10022,"use_tunnel":"yes"}"#, "use_tunnel"),
            (r#"{"port":10022,"target_ip":"::1","target_host":"::1"}"#, "target_ip"),
        ] {
            assert_eq!(update(body.as_bytes()).expect_err(body).field.as_deref(), Some(field), "{body}");
        }
    }
}
