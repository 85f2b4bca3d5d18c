//! The bundled project: the tunnel server as it is laid out from `templates/`, and how it is recognised again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::disk::Digest;
use crate::host;
use crate::model::{Mapping, Port, PortRange, Project, Protocol, PublishedPort, Secret};
use crate::text::project::Snapshot;
use crate::tunnel;

/// The server's configuration in the project folder.
pub(super) const CONFIG_FILE: &str = "config.yaml";

/// The compose service of the template that is the server.
const SERVICE: &str = "tunnel";

/// A line of the template's compose file by which the bundled project is recognised, whatever a person changed around
/// it.
const MARK: &str = "x-portwright: tunnel-server";

/// What kind of project it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectKind {
    /// The bundled tunnel server, laid out by Portwright.
    Bundled,
    /// A compose project of the user's.
    Compose,
}

/// How a fresh bundled project is laid out.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Where it goes when no directory is named.
    pub default_directory: PathBuf,
    /// The address on which it publishes.
    pub bind: IpAddr,
    /// The API's key: 64 random hexadecimal digits.
    pub api_key: Secret,
}

/// The port of the HTTP API that a fresh project wants, and the one in the container.
const API_PORT: u16 = 8080;

/// The control port of the tunnel that a fresh project wants, and the one in the container.
const TUNNEL_PORT: u16 = 9000;

/// The `.env` variable that decides the control port on this host.
const TUNNEL_VARIABLE: &str = "TUNNEL_PORT";

/// Returns the files of a fresh project, by name.
pub(super) fn files(layout: &Layout) -> Vec<(&'static str, Vec<u8>)> {
    let port = |number| Port::new(number).unwrap_or(Port::MAX);
    let (api_port, tunnel_port) = (port(API_PORT), port(TUNNEL_PORT));
    let wanted = tunnel::Layout { api_port, tunnel_port, bind: layout.bind, api_key: layout.api_key.clone() };
    tunnel::render(&wanted).into_iter().map(|file| (file.name, file.contents.into_bytes())).collect()
}

/// Tells a bundled project from one of the user's.
pub(super) fn kind_of(snapshot: &Snapshot, project: &Project) -> ProjectKind {
    let marked = |path: &PathBuf| {
        let contents = snapshot.get(path).and_then(Option::as_ref);
        contents.is_some_and(|bytes| bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(MARK.as_bytes())))
    };
    let serves = project.mappings.iter().any(|mapping| mapping.service == SERVICE);
    if project.files.iter().any(marked) && serves { ProjectKind::Bundled } else { ProjectKind::Compose }
}

/// Names the container or process: a few digits of its directory keep two deployments of one user apart.
pub(super) fn service_name(project: &Project) -> String {
    let place: String = instance(&project.directory).chars().take(6).collect();
    format!("portwright-tunnel-{place}")
}

/// The token by which the server of a directory is told from any other: the same at every start.
pub(super) fn instance(directory: &Path) -> String {
    digest(&[b"instance", directory.as_os_str().as_encoded_bytes()]).chars().take(16).collect()
}

/// The SHA-256 of several pieces, each with its length, in hexadecimal.
pub(super) fn digest(pieces: &[&[u8]]) -> String {
    let mut whole = Vec::new();
    for piece in pieces {
        whole.extend((piece.len() as u64).to_be_bytes());
        whole.extend_from_slice(piece);
    }
    Digest::of(&whole).to_hex()
}

/// The settings of a native server that differ from the container's: it binds the published addresses itself, and its
/// data lies in the project folder.
pub(super) fn native_environment(project: &Project) -> Vec<(String, String)> {
    let mut environment = Vec::new();
    let mut set = |name: &str, value: String| environment.push((format!("PORTWRIGHT_{name}"), value));
    set("DATABASE_PATH", project.directory.join("data").join("mappings.db").display().to_string());
    if let Some((mapping, range)) = api(project) {
        set("API_LISTEN_PORT", range.first().to_string());
        if let Some(address) = mapping.host_ip {
            set("API_LISTEN", address.to_string());
            set("PORT_RANGE_LISTEN", address.to_string());
        }
    }
    if let Some((mapping, range)) = control(project) {
        set("TUNNEL_LISTEN_PORT", range.first().to_string());
        if let Some(address) = mapping.host_ip {
            set("TUNNEL_LISTEN", address.to_string());
        }
    }
    if let Some(range) = project.mappings.iter().filter_map(fixed).find(|range| range.count() > 1) {
        set("PORT_RANGE_FROM", range.first().to_string());
        set("PORT_RANGE_END", range.last().to_string());
    }
    environment
}

/// What tells the server in a container where its clients reach it, which it cannot know there: the published address,
/// and for all addresses the one that this machine uses towards the internet. Nothing where `config` or `env_file`, the
/// contents of the files, say it.
pub(super) fn container_environment(project: &Project, config: &[u8], env_file: &[u8]) -> Option<(String, String)> {
    let (mapping, range) = control(project)?;
    if tunnel::issuing::names_address(&String::from_utf8_lossy(config), &String::from_utf8_lossy(env_file)) {
        return None;
    }
    let given = mapping.host_ip.filter(|address| !address.is_unspecified());
    let address = given.or_else(host::outward_address).unwrap_or_else(|| Ipv4Addr::LOCALHOST.into());
    let address = SocketAddr::new(address, range.first().get());
    Some(("PORTWRIGHT_TUNNEL_ADDRESS".to_owned(), address.to_string()))
}

/// The mapping of the HTTP API: the single port of the server that leads to the API's, else the first one.
pub(super) fn api(project: &Project) -> Option<(&Mapping, PortRange)> {
    let is_api = |(mapping, _): &(&Mapping, PortRange)| mapping.container.first().get() == API_PORT;
    single(project).find(is_api).or_else(|| single(project).next())
}

/// The mapping of the control port, where clients of the tunnel connect. What earlier versions laid out has none.
pub(super) fn control(project: &Project) -> Option<(&Mapping, PortRange)> {
    let api = api(project).map(|(mapping, _)| mapping);
    let is_control = |mapping: &Mapping| {
        mapping.container.first().get() == TUNNEL_PORT || mapping.variable.as_deref() == Some(TUNNEL_VARIABLE)
    };
    single(project).find(|(mapping, _)| Some(*mapping) != api && is_control(mapping))
}

/// The mappings of the server that publish one TCP port.
fn single(project: &Project) -> impl Iterator<Item = (&Mapping, PortRange)> {
    let of_server = |mapping: &&Mapping| mapping.service == SERVICE && mapping.protocol == Protocol::Tcp;
    let fixed = project.mappings.iter().filter(of_server).filter_map(|mapping| Some((mapping, fixed(mapping)?)));
    fixed.filter(|(_, range)| range.count() == 1)
}

fn fixed(mapping: &Mapping) -> Option<PortRange> {
    match mapping.published {
        PublishedPort::Fixed(range) => Some(range),
        PublishedPort::AnyOf(_) | PublishedPort::Random => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::project::{Loaded, Request, load};

    /// The laid-out project, with its compose file and `.env` as `change` makes them.
    fn project(bind: &str, change: impl Fn(&str, String) -> String) -> Project {
        let directory = PathBuf::from("/srv/tunnel");
        let layout = Layout {
            default_directory: directory.clone(),
            bind: bind.parse().unwrap(),
            api_key: Secret::new("8f1d2c3b4a5968778695a4b3c2d1e0ff"),
        };
        let texts = files(&layout).into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap()));
        let mut snapshot: Snapshot =
            texts.map(|(name, text)| (directory.join(name), Some(change(name, text).into_bytes()))).collect();
        let request = Request {
            directory,
            files: Vec::new(),
            env_file: None,
            profiles: Vec::new(),
            project_name: None,
            shell: std::collections::BTreeMap::new(),
        };
        loop {
            match load(&request, &snapshot).expect("readable") {
                Loaded::Ready(project) => return *project,
                Loaded::Needs(paths) => snapshot.extend(paths.into_iter().map(|path| (path, None))),
                Loaded::Absent => panic!("a project"),
            }
        }
    }

    fn ports(project: &Project) -> [Option<u16>; 2] {
        [api(project), control(project)].map(|found| found.map(|(_, range)| range.first().get()))
    }

    #[test]
    fn api_and_control_port_are_told_apart_in_whatever_order_and_on_whatever_port() {
        let as_it_is = |_: &str, text: String| text;
        assert_eq!(ports(&project("127.0.0.1", as_it_is)), [Some(8080), Some(9000)]);
        let moved = |_: &str, text: String| text.replace("TUNNEL_PORT=9000", "TUNNEL_PORT=9123");
        assert_eq!(ports(&project("127.0.0.1", moved)), [Some(8080), Some(9123)]);
        let swapped = |_: &str, text: String| {
            text.replace("${API_PORT:-8080}:8080", "@").replace("${TUNNEL_PORT:-9000}:9000", "${API_PORT:-8080}:8080")
        };
        let swapped = |name: &str, text| swapped(name, text).replace('@', "${TUNNEL_PORT:-9000}:9000");
        assert_eq!(ports(&project("127.0.0.1", swapped)), [Some(8080), Some(9000)]);
        let inner = |_: &str, text: String| text.replace(":-9000}:9000", ":-9000}:9443");
        assert_eq!(ports(&project("127.0.0.1", inner)), [Some(8080), Some(9000)], "by its variable");
        let without = |_: &str, text: String| {
            text.replace("      - \"${PORTWRIGHT_BIND:-127.0.0.1}:${TUNNEL_PORT:-9000}:9000\"\n", "")
        };
        assert_eq!(ports(&project("127.0.0.1", without)), [Some(8080), None], "an earlier version's");
    }

    #[test]
    fn a_process_listens_where_the_project_publishes() {
        let environment = native_environment(&project("127.0.0.1", |_, text| text.replace("=9000", "=9123")));
        let value =
            |wanted: &str| environment.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value.as_str());
        assert_eq!((value("PORTWRIGHT_TUNNEL_LISTEN"), value("PORTWRIGHT_TUNNEL_LISTEN_PORT")), ("127.0.0.1", "9123"));
        assert_eq!((value("PORTWRIGHT_API_LISTEN"), value("PORTWRIGHT_API_LISTEN_PORT")), ("127.0.0.1", "8080"));
    }

    #[test]
    fn a_container_is_told_the_published_address_unless_its_owner_names_one() {
        let address = |bind: &str, env_file: &[u8]| {
            container_environment(&project(bind, |_, text| text), b"", env_file).map(|(_, address)| address)
        };
        assert_eq!(address("127.0.0.1", b"").as_deref(), Some("127.0.0.1:9000"));
        assert_eq!(address("::1", b"").as_deref(), Some("[::1]:9000"));
        assert_eq!(address("127.0.0.1", b"PORTWRIGHT_TUNNEL_ADDRESS=example.org:9000\n"), None);
        let everywhere = host::outward_address().unwrap_or_else(|| Ipv4Addr::LOCALHOST.into());
        assert_eq!(address("0.0.0.0", b""), Some(SocketAddr::new(everywhere, 9000).to_string()));
    }
}
