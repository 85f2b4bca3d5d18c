//! What a configuration may say, and how each mistake is named.

use std::collections::BTreeMap;

use super::*;

const KEY: &str = "8f1d2c3b4a5968778695a4b3c2d1e0ff";

fn parse(yaml: &str, variables: &[(&str, &str)]) -> Result<ServerConfig> {
    let environment: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ServerConfig::parse(yaml, &environment, |_| Ok(format!("{KEY}\n")))
}

fn with_key(yaml: &str) -> Result<ServerConfig> {
    parse(yaml, &[("PORTWRIGHT_API_API_KEY", KEY)])
}

fn words(outcome: Result<ServerConfig>) -> (ErrorKind, String) {
    let error = outcome.expect_err("a refusal");
    (error.kind(), error.message().to_string())
}

#[test]
fn the_file_of_the_contract_loads_unchanged() {
    let yaml = "port_range: { from: 10000, end: 10100 }
tunnel:   { enabled: true, listen_port: 9000, listen: 0.0.0.0, tls: auto, cert_file: , key_file: , client_ca: ,
            legacy_v1: false, target_offset: 10000 }
#           tls: auto = TLS 1.3
api:      { listen_port: 8080, listen: 127.0.0.1, api_key: , api_key_file: , allowed_ips: [], rate_limit: 50 }
database: { path: ./data/mappings.db }
stats:    { enabled: true, record_interval: 60, retention_days: 7 }
security: { port_range: { blacklist: [22, 3389, 5432] }, targets: { allow: [], deny: [] } }
log:      { level: info, format: text }
";
    let config = with_key(yaml).expect("a configuration");
    assert_eq!(config.ports.range.to_string(), "10000-10100");
    assert_eq!(config.ports.blacklist.iter().map(|port| port.get()).collect::<Vec<_>>(), [22, 3389, 5432]);
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.tunnel.tls, Tls::On { files: None, client_ca: None });
    assert!(config.api.key.matches(KEY.as_bytes()));
    assert!(!format!("{config:?}").contains(KEY));
    let (kind, _) = words(parse(yaml, &[]));
    assert_eq!(kind, ErrorKind::Refused, "no key");
}

#[test]
fn nothing_but_a_key_is_needed() {
    for yaml in ["", "---\n", "# only a remark\n\n", "\u{feff}"] {
        assert_eq!(with_key(yaml).expect("a configuration").api.rate_limit, 50, "{yaml:?}");
    }
    assert!(with_key("api:\nsecurity:\n  targets:\n").is_ok(), "an empty section");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    let (kind, message) = words(with_key("port_range:\n  from: 10000\n  ent: 10100\n"));
    assert_eq!(kind, ErrorKind::Usage);
    assert!(
        message.contains("port_range.ent") && message.contains("line 3") && message.contains("port_range.end"),
        "{message}"
    );
    let (_, message) = words(with_key("api: {\n  listen_port: 1,\n  alowed_ips: [] }"));
    assert!(
        message.contains("api.alowed_ips") && message.contains("line 3") && message.contains("api.allowed_ips"),
        "{message}"
    );
    let (_, message) = words(with_key("\n\ndatabse: { path: x }"));
    assert!(message.contains("databse") && message.contains("line 3") && message.contains("database"), "{message}");
    let (_, message) = words(with_key("log: {level: info}\nlog: {level: debug}"));
    assert!(message.contains("log") && message.contains("twice"), "{message}");
    assert_eq!(words(with_key("api.listen_port: 1")).0, ErrorKind::Usage);
    assert_eq!(words(with_key("api: [1]")).0, ErrorKind::Usage);
    assert_eq!(words(with_key("api: {listen_port: {a: 1}}")).0, ErrorKind::Usage);
    assert_eq!(words(with_key("just text")).0, ErrorKind::Usage);
    assert_eq!(words(with_key("api: {listen_port: 8080")).0, ErrorKind::Usage);
}

#[test]
fn every_key_has_a_variable_and_a_misspelt_one_is_refused() {
    let config = parse(
        "api: { listen_port: 8080, api_key: 0f8f1d2c3b4a5968778695a4b3c2d1e0 }\nport_range: { from: 1, end: 2 }",
        &[
            ("PORTWRIGHT_API_LISTEN_PORT", "18080"),
            ("PORTWRIGHT_API_API_KEY", KEY),
            ("PORTWRIGHT_PORT_RANGE_FROM", "20000"),
            ("PORTWRIGHT_PORT_RANGE_END", "20009"),
            ("PORTWRIGHT_PORT_RANGE_LISTEN", "127.0.0.1"),
            ("PORTWRIGHT_SECURITY_PORT_RANGE_BLACKLIST", "22, 3389"),
            ("PORTWRIGHT_SECURITY_TARGETS_ALLOW", "93.184.216.0/24,db.example.org"),
            ("PORTWRIGHT_INSTANCE", "abc"),
            ("PORTWRIGHT_LANG", "en"),
            ("PORTWRIGHT_CORPUS", "x"),
            ("PORTWRIGHT_REQUIRE_ALL", "1"),
            ("PORTWRIGHT_BIND", "127.0.0.1"),
            ("HOME", "/root"),
        ],
    )
    .expect("a configuration");
    assert_eq!(config.api.listen.port(), 18080);
    assert!(config.api.key.matches(KEY.as_bytes()), "the variable wins");
    assert_eq!(config.ports.range.to_string(), "20000-20009");
    assert_eq!(config.ports.blacklist.len(), 2);
    assert_eq!((config.targets.allow.len(), config.instance.as_str()), (2, "abc"));
    for (name, nearest) in [
        ("PORTWRIGHT_API_KEY", "PORTWRIGHT_API_API_KEY"),
        ("PORTWRIGHT_API_LISTENPORT", "PORTWRIGHT_API_LISTEN_PORT"),
        ("PORTWRIGHT_AIP_API_KEY", "PORTWRIGHT_API_API_KEY"),
        ("PORTWRIGHT_SECURITY_TARGETS_ALOW", "PORTWRIGHT_SECURITY_TARGETS_ALLOW"),
    ] {
        let (kind, message) = words(parse("", &[("PORTWRIGHT_API_API_KEY", KEY), (name, "canary-value")]));
        assert_eq!(kind, ErrorKind::Usage);
        assert!(message.contains(name) && message.contains(nearest) && !message.contains("canary"), "{message}");
    }
}

#[test]
fn a_missing_short_or_exemplary_key_does_not_start() {
    for key in [
        "",
        "short",
        "changeme",
        "linux.do",
        "secret",
        "admin",
        "your-secret-api-key-here",
        "Your-Secret-API-Key-Here",
        "changemechangeme",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "0123456789abcdef",
        "with a space in the key",
        "sp\u{e9}cial-8f1d2c3b4a59",
    ] {
        let error = parse("", &[("PORTWRIGHT_API_API_KEY", key)]).expect_err(key);
        assert_eq!(error.kind(), ErrorKind::Refused, "{key}");
        assert!(error.way_out().expect("a way out").to_string().contains("openssl rand -hex 32"));
        let file = ServerConfig::parse("api: { api_key_file: k }", &BTreeMap::new(), |_| Ok(key.to_owned()));
        assert_eq!(file.expect_err(key).kind(), ErrorKind::Refused);
        let yaml = format!("api: {{ api_key: {key:?} }}");
        assert_eq!(parse(&yaml, &[]).expect_err(key).kind(), ErrorKind::Refused, "{yaml}");
    }
    assert!(parse("api: { api_key_file: k }", &[]).expect("a key file").api.key.matches(KEY.as_bytes()));
    let both = parse(&format!("api: {{ api_key_file: k, api_key: {KEY} }}"), &[]);
    assert_eq!(words(both).0, ErrorKind::Usage, "two keys, and none is ignored");
    assert_eq!(
        words(parse("api: { api_key: 12345678901234567890 }", &[])).0,
        ErrorKind::Usage,
        "a number may be rounded"
    );
}

#[test]
fn values_out_of_bounds_are_refused_by_name_and_never_repeated() {
    for (yaml, key) in [
        ("api: { listen_port: 70000 }", "api.listen_port"),
        ("api: { listen_port: 0 }", "api.listen_port"),
        ("api: { listen: localhost }", "api.listen"),
        ("api: { rate_limit: 0 }", "api.rate_limit"),
        ("api: { allowed_ips: [10.0.0.0/40] }", "api.allowed_ips"),
        ("port_range: { from: 10, end: 9 }", "port_range.end"),
        ("stats: { record_interval: 0 }", "stats.record_interval"),
        ("stats: { enabled: maybe }", "stats.enabled"),
        ("security: { port_range: { blacklist: [22, x] } }", "security.port_range.blacklist"),
        ("security: { targets: { deny: [1.2.3.4.5] } }", "security.targets.deny"),
        ("tunnel: { tls: sometimes }", "tunnel.tls"),
        ("tunnel: { cert_file: a.pem }", "tunnel.key_file"),
        ("tunnel: { tls: off, cert_file: a.pem, key_file: b.pem }", "tunnel.tls"),
        ("log: { level: loud }", "log.level"),
        ("log: { format: xml }", "log.format"),
        ("database: { path: [a] }", "database.path"),
    ] {
        let (kind, message) = words(with_key(yaml));
        assert_eq!(kind, ErrorKind::Usage, "{yaml}");
        assert!(message.contains(key), "{yaml}: {message}");
    }
    assert_eq!(with_key("tunnel: { tls: off }").expect("readable").tunnel.tls, Tls::Off);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_fall_over(text in "[ -~\n\u{e9}]{0,200}") {
        let _ = with_key(&text);
    }
}

#[test]
fn the_address_of_a_shared_database_stands_in_one_place_and_is_never_shown() {
    let url = "postgres://tunnel:canary-5e2a@db/tunnel";
    let config = with_key(&format!("database: {{ url: '{url}' }}")).expect("a configuration");
    let Some(SharedDatabase::Url(found)) = &config.database.shared else { panic!("no address") };
    assert!(found.matches(url.as_bytes()) && !format!("{config:?}").contains("canary"));
    assert_eq!(config.database.path, Path::new("./data/mappings.db"), "the folder of what stays with the server");
    let config = parse("", &[("PORTWRIGHT_API_API_KEY", KEY), ("PORTWRIGHT_DATABASE_URL_FILE", "url")]);
    let shared = config.expect("a configuration").database.shared;
    assert!(matches!(shared, Some(SharedDatabase::File(file)) if file == Path::new("url")));
    let (kind, message) = words(with_key(&format!("database: {{ url: '{url}', url_file: url }}")));
    assert!(kind == ErrorKind::Usage && message.contains("database.url_file"), "{message}");
    assert!(!message.contains("canary"), "{message}");
    assert!(with_key("database: { url: , url_file: }").expect("a configuration").database.shared.is_none());
}
