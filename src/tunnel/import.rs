//! Mappings from other programs' files: the predecessor's database and configuration, frp's and rathole's TOML. What has
//! no equivalent here is said, and never guessed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::{Map, Value, json};
use toml::{Table, Value as Toml};

use crate::error::{Error, ErrorKind, Result};
use crate::words::Message;
use crate::words::import::ImportWords;

/// What every `SQLite` file begins with (the format's own description, section 1.3).
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// The largest text that is read, in bytes; a thousand services need a tenth of it.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// What was found in other programs' files.
#[derive(Debug, Default)]
pub struct Imported {
    /// Bodies for `POST /api/mapping/create`, by public port.
    pub mappings: Vec<Value>,
    /// What has no equivalent, and what to do about it.
    pub remarks: Vec<Message>,
}

/// Half of a rathole service: the server knows the public port, the client the target.
#[derive(Debug, Default)]
struct Service {
    public: Option<u16>,
    target: Option<(String, u16)>,
    udp: bool,
}

/// Reads the files. Both halves of a rathole tunnel may be given, in one file or in two.
///
/// # Errors
/// [`ErrorKind::Missing`] for a file that cannot be read, [`ErrorKind::Usage`] for one that none of these programs wrote.
pub fn read(files: &[PathBuf]) -> Result<Imported> {
    let mut found = Imported::default();
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    for file in files {
        let place = || ImportWords::InFile { path: file.clone() };
        read_file(file, &mut found, &mut services).map_err(|error| error.context(place()))?;
    }
    for (name, service) in services {
        match (service.public, service.target) {
            (Some(port), Some((host, target_port))) => {
                let protocol = if service.udp { "udp" } else { "tcp" };
                found.mappings.push(json!({ "source_port": port, "target_host": host, "target_port": target_port,
                    "use_tunnel": true, "protocol": protocol, "name": name }));
            }
            (Some(_), None) => found.remarks.push(ImportWords::OtherHalf { name, half: "client" }.into()),
            (None, _) => found.remarks.push(ImportWords::OtherHalf { name, half: "server" }.into()),
        }
    }
    found.mappings.sort_by_key(|mapping| mapping.get("source_port").and_then(Value::as_u64));
    Ok(found)
}

fn read_file(file: &Path, found: &mut Imported, services: &mut BTreeMap<String, Service>) -> Result<()> {
    let unreadable =
        |error: std::io::Error| Error::new(ErrorKind::Missing, ImportWords::Unreadable { reason: error.to_string() });
    let mut start = Vec::new();
    {
        use std::io::Read as _;
        fs::File::open(file)
            .map_err(unreadable)?
            .take(TEXT_BYTES_MAX + 1)
            .read_to_end(&mut start)
            .map_err(unreadable)?;
    }
    if start.starts_with(SQLITE_MAGIC) {
        return database(file, found);
    }
    let text =
        String::from_utf8(start).ok().filter(|text| u64::try_from(text.len()).is_ok_and(|n| n <= TEXT_BYTES_MAX));
    let unknown = || Error::new(ErrorKind::Usage, ImportWords::Unknown).hint(ImportWords::Known);
    let text = text.ok_or_else(unknown)?;
    if let Ok(table) = text.parse::<Table>() {
        return toml_file(&table, found, services).ok_or_else(unknown);
    }
    let config: Value = serde_yaml::from_str(&text).map_err(|_| unknown())?;
    let path = config.pointer("/database/path").and_then(Value::as_str).ok_or_else(unknown)?;
    found.remarks.push(ImportWords::ConfigLoads { path: file.to_path_buf() }.into());
    // Relative paths are meant from where the server was started, which is the folder of its configuration.
    database(&file.parent().unwrap_or(Path::new("")).join(path), found)
}

/// Reads the mappings of the predecessor, or of our own database, and writes nothing.
fn database(file: &Path, found: &mut Imported) -> Result<()> {
    let refused = |error: rusqlite::Error| {
        let words = ImportWords::NoMappings { path: file.to_path_buf(), reason: error.to_string() };
        Error::new(ErrorKind::Missing, words)
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(refused)?;
    let mut statement = connection.prepare("SELECT * FROM mappings ORDER BY source_port").map_err(refused)?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let rows = statement.query_map([], |row| Ok(mapping_of(row, &columns))).map_err(refused)?;
    for row in rows {
        found.mappings.push(row.map_err(refused)?);
    }
    Ok(())
}

/// A row of any of the predecessor's schemas: early ones call the target's host `target_ip`, and lack the later columns.
fn mapping_of(row: &Row<'_>, columns: &[String]) -> Value {
    let has = |name: &str| columns.iter().any(|column| column == name);
    let number = |name: &str| has(name).then(|| row.get::<_, Option<i64>>(name).ok().flatten()).flatten();
    let text = |name: &str| has(name).then(|| row.get::<_, Option<String>>(name).ok().flatten()).flatten();
    let mut body = Map::new();
    let fields = [
        ("source_port", number("source_port").map(Value::from)),
        ("target_host", text("target_host").or_else(|| text("target_ip")).map(Value::from)),
        ("target_port", number("target_port").or_else(|| number("source_port")).map(Value::from)),
        ("use_tunnel", number("use_tunnel").map(|through| Value::from(through != 0))),
        ("bandwidth_limit", number("bandwidth_limit").filter(|limit| *limit > 0).map(Value::from)),
        ("access_rule", text("access_rule").filter(|rule| !rule.is_empty()).map(Value::from)),
        ("access_ips", text("access_ips").filter(|list| !list.is_empty()).map(Value::from)),
    ];
    let later = ["name", "protocol", "client", "proxy_protocol"].map(|name| (name, text(name)));
    let later = later.into_iter().map(|(name, value)| (name, value.filter(|value| !value.is_empty()).map(Value::from)));
    for (name, value) in fields.into_iter().chain(later) {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    }
    Value::Object(body)
}

/// Reads frp's or rathole's file; `None` for one of neither.
fn toml_file(table: &Table, found: &mut Imported, services: &mut BTreeMap<String, Service>) -> Option<()> {
    let section = |name: &str| table.get(name).and_then(Toml::as_table);
    let (server, client) = (section("server"), section("client"));
    if server.is_some() || client.is_some() {
        for (half, is_server) in [(server, true), (client, false)] {
            rathole(half, is_server, found, services);
        }
        return Some(());
    }
    let proxies = table.get("proxies").and_then(Toml::as_array);
    let is_frp = proxies.is_some() || ["serverAddr", "bindPort", "visitors"].iter().any(|key| table.contains_key(*key));
    if !is_frp {
        return None;
    }
    for proxy in proxies.into_iter().flatten().filter_map(Toml::as_table) {
        frp(proxy, found);
    }
    for name in
        table.keys().filter(|key| !["proxies", "serverAddr", "serverPort", "bindPort", "log"].contains(&key.as_str()))
    {
        found.remarks.push(ImportWords::Setting { program: "frp", name: name.clone() }.into());
    }
    Some(())
}

fn port_of(value: Option<&Toml>) -> Option<u16> {
    value.and_then(Toml::as_integer).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

fn frp(proxy: &Table, found: &mut Imported) {
    let text = |key: &str| proxy.get(key).and_then(Toml::as_str);
    let name = text("name").unwrap_or("?").to_owned();
    let protocol = text("type").unwrap_or("tcp");
    if !["tcp", "udp"].contains(&protocol) {
        found.remarks.push(ImportWords::Kind { name, kind: protocol.to_owned() }.into());
        return;
    }
    let (Some(public), Some(target_port)) = (port_of(proxy.get("remotePort")), port_of(proxy.get("localPort"))) else {
        found.remarks.push(ImportWords::NoPorts { name }.into());
        return;
    };
    let mut body = Map::from_iter([
        ("source_port".to_owned(), json!(public)),
        ("target_host".to_owned(), json!(text("localIP").unwrap_or("127.0.0.1"))),
        ("target_port".to_owned(), json!(target_port)),
        ("use_tunnel".to_owned(), json!(true)),
        ("protocol".to_owned(), json!(protocol)),
        ("name".to_owned(), json!(name)),
    ]);
    let transport = proxy.get("transport").and_then(Toml::as_table);
    for (key, value) in transport.into_iter().flatten() {
        let limit = value.as_str().and_then(bytes_of);
        match (key.as_str(), value.as_str()) {
            ("bandwidthLimit", _) if limit.is_some() => drop(body.insert("bandwidth_limit".to_owned(), json!(limit))),
            ("proxyProtocolVersion", Some(version @ ("v1" | "v2"))) => {
                body.insert("proxy_protocol".to_owned(), json!(version));
            }
            // The connection between client and server is always encrypted here, unless a person insists.
            ("useEncryption", _) => {}
            _ => {
                let option = format!("transport.{key}");
                found.remarks.push(ImportWords::Option { name: name.clone(), option }.into());
            }
        }
    }
    let known = ["name", "type", "localIP", "localPort", "remotePort", "transport"];
    for key in proxy.keys().filter(|key| !known.contains(&key.as_str())) {
        found.remarks.push(ImportWords::Option { name: name.clone(), option: key.clone() }.into());
    }
    found.mappings.push(Value::Object(body));
}

/// Bytes a second from frp's `1MB` or `512KB`, which it counts in powers of 1024.
fn bytes_of(limit: &str) -> Option<u64> {
    let (number, unit) = limit
        .strip_suffix("MB")
        .map(|number| (number, 1 << 20))
        .or_else(|| limit.strip_suffix("KB").map(|number| (number, 1 << 10)))?;
    number.trim().parse::<u64>().ok()?.checked_mul(unit)
}

fn rathole(half: Option<&Table>, is_server: bool, found: &mut Imported, services: &mut BTreeMap<String, Service>) {
    let Some(half) = half else { return };
    let own = ["services", "bind_addr", "remote_addr"];
    for name in half.keys().filter(|key| !own.contains(&key.as_str())) {
        found.remarks.push(ImportWords::Setting { program: "rathole", name: name.clone() }.into());
    }
    for (name, service) in half.get("services").and_then(Toml::as_table).into_iter().flatten() {
        let address = |key: &str| service.get(key).and_then(Toml::as_str).and_then(|text| text.rsplit_once(':'));
        let entry = services.entry(name.clone()).or_default();
        entry.udp |= service.get("type").and_then(Toml::as_str) == Some("udp");
        if is_server {
            entry.public = address("bind_addr").and_then(|(_, port)| port.parse().ok());
        } else {
            let target = address("local_addr");
            entry.target =
                target.and_then(|(host, port)| Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Lang;
    use crate::words::Say as _;

    fn from_texts(texts: &[&str]) -> Result<Imported> {
        let folder = tempfile::tempdir().expect("a folder");
        let files: Vec<PathBuf> = (0..texts.len()).map(|index| folder.path().join(format!("{index}.conf"))).collect();
        for (file, text) in files.iter().zip(texts) {
            fs::write(file, text).expect("a file");
        }
        read(&files)
    }

    fn remarks(found: &Imported) -> String {
        found.remarks.iter().map(|remark| remark.say(Lang::En) + "\n").collect()
    }

    #[test]
    fn proxies_of_frp_become_mappings_and_the_rest_is_said() {
        let found = from_texts(&[r#"
            serverAddr = "x.example"
            serverPort = 7000
            auth.token = "secret"
            [[proxies]]
            name = "ssh"
            type = "tcp"
            localIP = "10.0.0.5"
            localPort = 22
            remotePort = 6000
            transport.bandwidthLimit = "2MB"
            transport.proxyProtocolVersion = "v2"
            transport.useCompression = true
            [[proxies]]
            name = "dns"
            type = "udp"
            localPort = 53
            remotePort = 6001
            [[proxies]]
            name = "web"
            type = "http"
            localPort = 80
            customDomains = ["a.example"]
        "#])
        .expect("frp's file");
        assert_eq!(
            found.mappings,
            [
                json!({ "source_port": 6000, "target_host": "10.0.0.5", "target_port": 22, "use_tunnel": true,
                    "protocol": "tcp", "name": "ssh", "bandwidth_limit": 2 << 20, "proxy_protocol": "v2" }),
                json!({ "source_port": 6001, "target_host": "127.0.0.1", "target_port": 53, "use_tunnel": true,
                    "protocol": "udp", "name": "dns" }),
            ]
        );
        let said = remarks(&found);
        assert!(["auth", "useCompression", "web", "http"].iter().all(|word| said.contains(word)), "{said}");
        assert!(!said.contains("secret"));
    }

    #[test]
    fn both_halves_of_rathole_make_a_mapping_and_one_half_is_asked_for_the_other() {
        let server = "[server]\nbind_addr = \"0.0.0.0:2333\"\n[server.services.ssh]\ntoken = \"s\"\nbind_addr = \"0.0.0.0:5202\"\n\
            [server.services.lost]\nbind_addr = \"0.0.0.0:5203\"\n[server.transport]\ntype = \"noise\"\n";
        let client = "[client]\nremote_addr = \"x:2333\"\n[client.services.ssh]\nlocal_addr = \"[::1]:22\"\n\
            [client.services.dns]\ntype = \"udp\"\nlocal_addr = \"127.0.0.1:53\"\n";
        let found = from_texts(&[client, server]).expect("rathole's files");
        let expected = json!({ "source_port": 5202, "target_host": "::1", "target_port": 22, "use_tunnel": true,
            "protocol": "tcp", "name": "ssh" });
        assert_eq!(found.mappings, [expected]);
        let said = remarks(&found);
        assert!(["lost", "dns", "transport"].iter().all(|word| said.contains(word)), "{said}");
    }

    #[test]
    fn the_predecessors_databases_of_every_age_are_read_and_its_configuration_names_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("mappings.db");
        let connection = Connection::open(&file).expect("a database");
        connection
            .execute_batch(
                "CREATE TABLE mappings (id INTEGER PRIMARY KEY, source_port INTEGER UNIQUE, target_ip TEXT, created_at TEXT);
                INSERT INTO mappings (source_port, target_ip) VALUES (10022, '127.0.0.1')",
            )
            .expect("an early schema");
        let found = read(std::slice::from_ref(&file)).expect("mappings");
        assert_eq!(found.mappings, [json!({ "source_port": 10022, "target_host": "127.0.0.1", "target_port": 10022 })]);
        connection
            .execute_batch(
                "DROP TABLE mappings;
                CREATE TABLE mappings (id INTEGER PRIMARY KEY, source_port INTEGER, target_host TEXT, target_port INTEGER,
                    use_tunnel INTEGER, bandwidth_limit INTEGER, access_rule TEXT, access_ips TEXT, created_at TEXT);
                INSERT INTO mappings VALUES (1, 10080, 'nas.lan', 80, 1, 4096, 'whitelist', '[\"10.0.0.0/8\"]', '')",
            )
            .expect("the last schema");
        drop(connection);
        let config = folder.path().join("config.yaml");
        fs::write(&config, "database: { path: ./mappings.db }\napi: { listen_port: 8080 }\n").expect("a file");
        let found = read(&[config]).expect("mappings");
        let expected = json!({ "source_port": 10080, "target_host": "nas.lan", "target_port": 80, "use_tunnel": true,
            "bandwidth_limit": 4096, "access_rule": "whitelist", "access_ips": "[\"10.0.0.0/8\"]" });
        assert_eq!(found.mappings, [expected]);
        assert!(remarks(&found).contains("--config"));
    }

    #[test]
    fn what_none_of_them_wrote_is_refused() {
        for text in ["", "hello", "[package]\nname = \"x\"\n", "a: 1\n"] {
            let error = from_texts(&[text]).expect_err("nothing of theirs");
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
        }
        assert_eq!(read(&["/nonexistent/file".into()]).expect_err("no file").kind(), ErrorKind::Missing);
    }
}
