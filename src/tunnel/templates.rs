//! The files of the bundled project: what is laid out where a directory has no project of its own.

use std::net::IpAddr;

use crate::model::{Port, Secret};

const COMPOSE: &str = include_str!("../../templates/compose.yaml");
const CONFIG: &str = include_str!("../../templates/config.yaml");
const ENV: &str = include_str!("../../templates/env");

/// What differs between one laid-out project and the next.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The port of the API on this machine.
    pub api_port: Port,
    /// The port on this machine where clients of the tunnel connect.
    pub tunnel_port: Port,
    /// The address of this machine that publishes the API, the tunnel and the mappings.
    pub bind: IpAddr,
    /// The API's key: 64 random hexadecimal digits.
    pub api_key: Secret,
}

/// One file to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct LaidOut {
    /// The name, without a folder.
    pub name: &'static str,
    /// The contents.
    pub contents: String,
    /// Whether it holds the key, and is made with mode 0600 from the start.
    pub private: bool,
}

impl std::fmt::Debug for LaidOut {
    /// Leaves the contents out, which may hold the key.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LaidOut")
            .field("name", &self.name)
            .field("private", &self.private)
            .finish_non_exhaustive()
    }
}

/// Returns the files of the bundled project: `compose.yaml`, `.env` and `config.yaml`.
#[must_use]
pub fn render(layout: &Layout) -> [LaidOut; 3] {
    let bind = match layout.bind {
        IpAddr::V4(address) => address.to_string(),
        // In `HOST:PORT:PORT` an IPv6 address stands in brackets.
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let env = ENV
        .replace("@API_PORT@", &layout.api_port.to_string())
        .replace("@TUNNEL_PORT@", &layout.tunnel_port.to_string())
        .replace("@BIND@", &bind)
        .replace("@API_KEY@", layout.api_key.expose());
    [
        LaidOut { name: "compose.yaml", contents: COMPOSE.to_owned(), private: false },
        LaidOut { name: ".env", contents: env, private: true },
        LaidOut { name: "config.yaml", contents: CONFIG.to_owned(), private: false },
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::tunnel::config::{ServerConfig, Tls};

    fn layout(bind: &str) -> Layout {
        Layout {
            api_port: Port::new(8081).unwrap(),
            tunnel_port: Port::new(9001).unwrap(),
            bind: bind.parse().unwrap(),
            api_key: Secret::new("8f1d2c3b4a5968778695a4b3c2d1e0ff8f1d2c3b4a5968778695a4b3c2d1e0ff"),
        }
    }

    #[test]
    fn the_laid_out_configuration_and_environment_start_a_server() {
        let [_, env, config] = render(&layout("127.0.0.1"));
        let variables: BTreeMap<String, String> =
            dotenvy::from_read_iter(env.contents.as_bytes()).collect::<Result<_, _>>().expect("an environment");
        assert_eq!((variables["API_PORT"].as_str(), variables["TUNNEL_PORT"].as_str()), ("8081", "9001"));
        assert_eq!(variables["PORTWRIGHT_BIND"], "127.0.0.1");
        let config = ServerConfig::parse(&config.contents, &variables, |_| unreachable!("no key file")).expect("valid");
        assert_eq!(config.api.listen.to_string(), "0.0.0.0:8080");
        assert_eq!(config.ports.range.to_string(), "10000-10009");
        assert_eq!(config.database.path.to_str(), Some("/data/mappings.db"));
        assert_eq!((config.tunnel.enabled, config.tunnel.listen.to_string().as_str()), (true, "0.0.0.0:9000"));
        assert!(matches!(config.tunnel.tls, Tls::On { files: None, client_ca: None }) && env.private);
        assert!(!format!("{env:?}").contains("8f1d2c3b"));
    }

    #[test]
    fn the_compose_file_publishes_on_the_bound_address_only() {
        let [compose, env, _] = render(&layout("::1"));
        let model: serde_yaml::Value = serde_yaml::from_str(&compose.contents).expect("YAML");
        let service = &model["services"]["tunnel"];
        let ports: Vec<_> = service["ports"].as_sequence().unwrap().iter().filter_map(|port| port.as_str()).collect();
        assert_eq!(
            ports,
            [
                "${PORTWRIGHT_BIND:-127.0.0.1}:${API_PORT:-8080}:8080",
                "${PORTWRIGHT_BIND:-127.0.0.1}:${TUNNEL_PORT:-9000}:9000",
                "${PORTWRIGHT_BIND:-127.0.0.1}:10000-10009:10000-10009"
            ]
        );
        assert_eq!(service["read_only"].as_bool(), Some(true));
        assert!(env.contents.contains("PORTWRIGHT_BIND=[::1]\n"));
        assert!(!compose.contents.contains("8f1d2c3b") && !env.contents.contains('@'));
    }
}
