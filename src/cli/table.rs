//! Tables: columns that fit the terminal, also where a character is two columns wide.

use std::net::IpAddr;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use super::escape;
use super::output::{Look, PAINT_STOP, Paint};
use crate::model::{Binding, BindingState, Mapping, Owner, Socket};
use crate::words::cli::CliWords;
use crate::words::{Lang, Message, Say};

/// What a cell says where there is nothing to say.
const NOTHING: &str = "-";

/// Marks the end of a painted cell while the table is laid out: takes no column, and is escaped in foreign text.
const PAINT_END: char = '\u{2060}';

/// Colours and the marks that begin them while the table is laid out.
const PAINT_MARKS: [(Paint, char); 4] =
    [(Paint::Red, '\u{2061}'), (Paint::Green, '\u{2062}'), (Paint::Yellow, '\u{2063}'), (Paint::Cyan, '\u{2064}')];

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl Cell {
    /// Makes a cell of foreign or own text; it is escaped.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: escape::line(text).into_owned(), paint: None }
    }

    /// Makes a cell of something that may be missing.
    #[must_use]
    pub fn maybe(text: Option<&str>) -> Self {
        text.map_or_else(Self::default, Self::new)
    }

    /// Returns the cell in a colour.
    #[must_use]
    pub fn painted(mut self, paint: Paint) -> Self {
        self.paint = Some(paint);
        self
    }

    fn laid_out(&self) -> String {
        let mark = PAINT_MARKS.iter().find(|(paint, _)| Some(*paint) == self.paint);
        match (mark, self.text.as_str()) {
            (_, "") => NOTHING.to_owned(),
            (Some((_, mark)), text) => format!("{mark}{text}{PAINT_END}"),
            (None, text) => text.to_owned(),
        }
    }
}

/// Returns a table as text. A column in which every cell is empty is left out.
#[must_use]
pub fn table(headers: &[Message], rows: &[Vec<Cell>], lang: Lang, look: Look) -> String {
    let used = |column: usize| rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.text.is_empty()));
    let columns: Vec<usize> = (0..headers.len()).filter(|&column| used(column)).collect();
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(columns.iter().filter_map(|&at| headers.get(at)).map(|header| header.say(lang)));
    for row in rows {
        table.add_row(columns.iter().map(|&at| row.get(at).cloned().unwrap_or_default().laid_out()));
    }
    match look.width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for (position, &at) in columns.iter().enumerate() {
        let painted = rows.iter().any(|row| row.get(at).is_some_and(|cell| cell.paint.is_some()));
        if let (true, Some(column)) = (painted, table.column_mut(position)) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let mut lines = table.lines().map(|line| line.trim_end().strip_prefix(' ').unwrap_or_default().to_owned());
    let header = lines.next().map(|line| look.paint(&line, Paint::Bold));
    header.into_iter().chain(lines.map(|line| painted(&line, look))).map(|line| line + "\n").collect()
}

/// Turns the marks of the layout into colours, or takes them away.
fn painted(line: &str, look: Look) -> String {
    let mut text = String::with_capacity(line.len());
    for letter in line.chars() {
        let paint = PAINT_MARKS.iter().find(|(_, mark)| *mark == letter);
        match paint {
            Some((paint, _)) if look.color => text.push_str(paint.start()),
            None if letter == PAINT_END && look.color => text.push_str(PAINT_STOP),
            None if letter != PAINT_END => text.push(letter),
            _ => {}
        }
    }
    text
}

/// Returns the table of a project's published ports with their judgements.
#[must_use]
pub fn bindings<'a>(rows: impl Iterator<Item = (&'a Binding, &'a Mapping)>, lang: Lang, look: Look) -> String {
    let headers = [
        CliWords::ServiceColumn,
        CliWords::PublishedColumn,
        CliWords::ContainerColumn,
        CliWords::StateColumn,
        CliWords::HolderColumn,
        CliWords::SuggestedColumn,
        CliWords::ReasonColumn,
    ]
    .map(Message::from);
    let rows: Vec<Vec<Cell>> = rows.map(|(binding, mapping)| binding_row(binding, mapping, lang)).collect();
    table(&headers, &rows, lang, look)
}

fn binding_row(binding: &Binding, mapping: &Mapping, lang: Lang) -> Vec<Cell> {
    let published = match binding.port {
        Some(port) => format!("{}:{port}", host(mapping.host_ip)),
        None => CliWords::EngineChooses.say(lang),
    };
    vec![
        Cell::new(&mapping.service),
        Cell::new(&published),
        Cell::new(&format!("{}/{}", binding.container_port, mapping.protocol)),
        Cell::new(&binding.state.say(lang)).painted(state_paint(binding.state)),
        Cell::maybe(binding.holder.as_ref().map(|holder| holder.say(lang)).as_deref()),
        Cell::maybe(binding.suggested.map(|port| port.to_string()).as_deref()),
        Cell::maybe(binding.reason.as_ref().map(|reason| reason.say(lang)).as_deref()),
    ]
}

const fn state_paint(state: BindingState) -> Paint {
    match state {
        BindingState::Free => Paint::Green,
        BindingState::Own => Paint::Cyan,
        BindingState::Conflict | BindingState::Reserved => Paint::Red,
        BindingState::Privileged | BindingState::Unknown => Paint::Yellow,
    }
}

/// Writes the address of a published port: `*` for all, an IPv6 address in brackets.
fn host(address: Option<IpAddr>) -> String {
    match address {
        None => "*".to_owned(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => format!("[{address}]"),
    }
}

/// Returns the table of sockets with their owners.
#[must_use]
pub fn sockets<'a>(rows: impl Iterator<Item = &'a Socket>, lang: Lang, look: Look) -> String {
    let headers = [
        CliWords::ProtocolColumn,
        CliWords::AddressColumn,
        CliWords::PortColumn,
        CliWords::StateColumn,
        CliWords::ProcessColumn,
        CliWords::UserColumn,
        CliWords::OwnerContainerColumn,
        CliWords::ProjectServiceColumn,
    ]
    .map(Message::from);
    let rows: Vec<Vec<Cell>> = rows.map(socket_row).collect();
    table(&headers, &rows, lang, look)
}

fn socket_row(socket: &Socket) -> Vec<Cell> {
    let endpoint = socket.endpoint;
    let container = socket.owner.container.as_ref();
    let compose = container.and_then(|container| container.compose.as_ref());
    vec![
        Cell::new(&endpoint.protocol.to_string()),
        Cell::new(&endpoint.address.to_string()),
        Cell::new(&endpoint.port.to_string()),
        Cell::new(socket.state.name()),
        Cell::maybe(process(&socket.owner).as_deref()),
        Cell::maybe(socket.owner.user.as_deref()),
        Cell::maybe(container.map(|container| container.name.as_str())),
        Cell::maybe(compose.map(|compose| format!("{}/{}", compose.project, compose.service)).as_deref()),
    ]
}

fn process(owner: &Owner) -> Option<String> {
    match (&owner.process, owner.pid) {
        (Some(process), Some(pid)) => Some(format!("{process} ({pid})")),
        (Some(process), None) => Some(process.clone()),
        (None, Some(pid)) => Some(pid.to_string()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr as _;

    use super::*;
    use crate::model::{
        ComposeIdentity, ContainerRef, Endpoint, Holder, HolderKind, Lever, MappingId, Port, PortRange, Protocol,
        PublishedPort, SocketState, SourceSpot,
    };

    const WIDE: Look = Look { color: false, unicode: true, width: None };

    fn sample(look: Look) -> String {
        let headers = [CliWords::ServiceColumn, CliWords::ReasonColumn, CliWords::StateColumn].map(Message::from);
        let rows = [
            vec![Cell::new("网页服务"), Cell::default(), Cell::new("冲突").painted(Paint::Red)],
            vec![Cell::new("db\x1b[2J"), Cell::default(), Cell::new("free").painted(Paint::Green)],
        ];
        table(&headers, &rows, Lang::En, look)
    }

    #[test]
    fn chinese_cells_line_up_and_empty_columns_are_left_out() {
        let text = sample(WIDE);
        assert_eq!(text, "SERVICE      STATE\n网页服务     冲突\ndb\\u{1b}[2J  free\n");
    }

    #[test]
    fn colour_paints_the_cell_alone_and_costs_no_column() {
        let painted = sample(Look { color: true, ..WIDE });
        assert!(painted.contains("\x1b[31m冲突\x1b[0m\n") && painted.contains("\x1b[32mfree\x1b[0m\n"), "{painted}");
        assert_eq!(console::strip_ansi_codes(&painted), sample(WIDE));
    }

    #[test]
    fn a_narrow_terminal_wraps_text_within_its_width() {
        let headers = [CliWords::ServiceColumn, CliWords::ReasonColumn].map(Message::from);
        let rows = [vec![Cell::new("web"), Cell::new(&"容器占用了这个端口 ".repeat(8))]];
        let look = Look { width: Some(40), ..WIDE };
        let text = table(&headers, &rows, Lang::ZhCn, look);
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.width() <= 40), "{text}");
    }

    #[test]
    fn bindings_show_who_is_in_the_way_and_what_would_do() {
        let port = |number| Port::new(number).expect("a port");
        let mapping = Mapping {
            service: "web".into(),
            host_ip: Some("::1".parse().expect("an address")),
            published: PublishedPort::Fixed(PortRange::single(port(8000))),
            container: PortRange::single(port(80)),
            protocol: Protocol::Tcp,
            source: SourceSpot { file: "compose.yaml".into(), line: 1, column: 1 },
            variable: None,
            lever: Lever::Shell { name: "X".into() },
        };
        let taken = Binding {
            mapping: MappingId(0),
            port: Some(port(8000)),
            container_port: port(80),
            state: BindingState::Conflict,
            holder: Some(holder("nginx\x1b[2J")),
            suggested: Some(port(8001)),
            reason: None,
        };
        let random = Binding { port: None, state: BindingState::Free, holder: None, suggested: None, ..taken.clone() };
        let text = bindings([(&taken, &mapping), (&random, &mapping)].into_iter(), Lang::ZhCn, WIDE);
        assert_eq!(
            text,
            "服务  发布端口    容器端口  状态  占用者                        建议\n\
             web   [::1]:8000  80/tcp    冲突  nginx\\u{1b}[2J（进程号 812）  8001\n\
             web   由引擎选择  80/tcp    空闲  -                             -\n"
        );
    }

    fn holder(process: &str) -> Holder {
        Holder {
            kind: HolderKind::Process,
            pid: Some(812),
            process: Some(process.into()),
            user: None,
            container: None,
            compose_project: None,
            compose_service: None,
        }
    }

    #[test]
    fn sockets_show_their_container_and_compose_service() {
        let endpoint = Endpoint {
            address: "0.0.0.0".parse().expect("an address"),
            port: Port::new(80).expect("a port"),
            protocol: Protocol::Tcp,
            v6only: false,
        };
        let compose = ComposeIdentity { project: "shop".into(), service: "web".into(), directory: None };
        let container = ContainerRef { id: "0".into(), name: "shop-web-1".into(), compose: Some(compose) };
        let owner = Owner { container: Some(container), ..Owner::default() };
        let socket = Socket { endpoint, state: SocketState::Listen, owner };
        assert_eq!(
            sockets(std::iter::once(&socket), Lang::En, WIDE),
            "PROTO  ADDRESS  PORT  STATE   CONTAINER   PROJECT/SERVICE\n\
             tcp    0.0.0.0  80    listen  shop-web-1  shop/web\n"
        );
    }
}
