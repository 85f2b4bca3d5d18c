//! Windows: the system's tables name the processes (netstat2); `netsh` tells the ranges.

use crate::model::{Port, PortRange};

#[cfg(windows)]
pub(super) use fetch::{
    boot_id, complete, in_container, owners, port_rules, privileged_user, process_exists, process_start, redirects,
};

/// Reads `netsh int ipv4 show dynamicport tcp`: the first port and the count, by the numbers at the ends of its lines
/// alone, because the words are in the language of the system, and their bytes in its code page.
pub(super) fn dynamic_ports(text: &str) -> Option<PortRange> {
    let mut numbers = text.lines().filter_map(|line| {
        let words = line.trim_end().trim_end_matches(|letter: char| letter.is_ascii_digit());
        let number = line.get(words.len()..)?.trim_end();
        (!words.trim().is_empty()).then(|| number.parse::<u16>().ok()).flatten()
    });
    counted(numbers.next()?, numbers.next()?)
}

/// Reads `netsh int ipv4 show excludedportrange protocol=tcp`: lines of a first and a last port. A line with `*` is an
/// exclusion by the administrator, which automatic choice leaves alone and which may be bound all the same.
pub(super) fn excluded_ports(text: &str) -> Excluded {
    let mut excluded = Excluded::default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(first), Some(last)) = (words.next(), words.next()) else { continue };
        let Some(range) = super::rules::range(first, last) else { continue };
        match words.next() {
            None => excluded.by_system.push(range),
            Some("*") => excluded.by_administrator.push(range),
            Some(_) => {}
        }
    }
    excluded
}

/// The ranges that `netsh` shows as excluded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Excluded {
    /// By the system, where nobody may bind.
    pub(super) by_system: Vec<PortRange>,
    /// By an administrator, where everybody may bind.
    pub(super) by_administrator: Vec<PortRange>,
}

fn counted(first: u16, count: u16) -> Option<PortRange> {
    let first = Port::new(first)?;
    PortRange::new(first, first.checked_add(count.checked_sub(1)?)?)
}

#[cfg(windows)]
mod fetch {
    use std::env;
    use std::path::PathBuf;

    use super::{dynamic_ports, excluded_ports};
    use crate::host::identity;
    use crate::host::netstat::{EVERY_PROTOCOL, netstat};
    use crate::host::rules::{PortRules, Redirect};
    use crate::host::sockets::{Look, Row, not_listed, owners_by_pid};
    use crate::host::tool::output_of;
    use crate::model::{Owner, Seen, Unseen};
    use crate::words::Message;
    use crate::words::host::HostWords;

    /// Takes the rows of netstat2 as they are; the system does not tell `V6ONLY`.
    pub(in crate::host) fn complete(
        look: &Look,
        _connections: bool,
        unseen: &mut Vec<Unseen>,
    ) -> Result<Vec<Row>, Message> {
        let table = netstat(look, EVERY_PROTOCOL);
        unseen.push(Unseen { what: "v6only", why: HostWords::V6OnlyUnknown.into() });
        table.trouble.map_or(Ok(table.rows), |trouble| Err(not_listed(&trouble)))
    }

    /// Returns the owner of each row.
    pub(in crate::host) fn owners(rows: &[Row], wants: impl Fn(&Row) -> bool, unseen: &mut Vec<Unseen>) -> Vec<Owner> {
        owners_by_pid(rows, wants, unseen)
    }

    /// Asks `netsh` for the dynamic range and the excluded ranges of TCP over IPv4.
    pub(in crate::host) fn port_rules() -> PortRules {
        let mut rules = PortRules::default();
        rules.ephemeral = ask(&["int", "ipv4", "show", "dynamicport", "tcp"], &mut rules.unseen)
            .and_then(|text| dynamic_ports(&text));
        let shown = ask(&["int", "ipv4", "show", "excludedportrange", "protocol=tcp"], &mut rules.unseen);
        let excluded = shown.map(|text| excluded_ports(&text)).unwrap_or_default();
        rules.excluded = excluded.by_system;
        rules.reserved = excluded.by_administrator;
        rules
    }

    /// An empty answer is no answer, whatever the exit code: some systems have a `netsh` that does nothing.
    fn ask(arguments: &[&str], unseen: &mut Vec<Unseen>) -> Option<String> {
        let root = env::var_os("SystemRoot").map_or_else(|| PathBuf::from(r"C:\Windows"), PathBuf::from);
        let why = match output_of(&root.join(r"System32\netsh.exe"), arguments) {
            Ok(text) if !text.trim().is_empty() => return Some(text),
            Ok(_) => "no output".to_owned(),
            Err(error) => error.to_string(),
        };
        let rule = format!("netsh {}", arguments.join(" "));
        unseen.push(Unseen { what: "port-rules", why: HostWords::RuleUnread { rule, why }.into() });
        None
    }

    /// Windows has no privileged ports, so nobody needs a right.
    pub(in crate::host) fn privileged_user() -> bool {
        false
    }

    /// No engine of this system redirects ports by rules.
    pub(in crate::host) fn redirects() -> Seen<Vec<Redirect>> {
        Seen::Known(Vec::new())
    }

    /// Start times are absolute here.
    pub(in crate::host) fn boot_id() -> Option<String> {
        None
    }

    /// A container of Windows has its own copy of this service; nothing else there tells it from a host.
    pub(in crate::host) fn in_container() -> bool {
        env::var_os("CONTAINER_SANDBOX_MOUNT_POINT").is_some()
    }

    /// Returns the start in seconds since 1970.
    pub(in crate::host) fn process_start(pid: u32) -> Option<u64> {
        identity::started(pid)
    }

    /// Every process can be listed here, so one without a start is gone.
    pub(in crate::host) fn process_exists(_: u32) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXCLUDED: &str = "\r
Protocol tcp Port Exclusion Ranges\r
\r
Start Port    End Port      \r
----------    --------      \r
      4294        4393      \r
      5357        5357      \r
     50000       50059     *\r
\r
* - Administered port exclusions.\r
";

    #[test]
    fn excluded_ranges_are_read_by_their_numbers() {
        let excluded = excluded_ports(EXCLUDED);
        let told = |ranges: &[PortRange]| ranges.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(told(&excluded.by_system), ["4294-4393", "5357"]);
        assert_eq!(told(&excluded.by_administrator), ["50000-50059"]);
        let chinese = "协议 tcp 端口排除范围\n\n开始端口    结束端口\n----------    --------\n      1042        1141\n";
        assert_eq!(told(&excluded_ports(chinese).by_system), ["1042-1141"]);
        assert_eq!(excluded_ports(""), Excluded::default());
    }

    #[test]
    fn the_dynamic_range_is_read_in_every_language() {
        let english = "\r\nProtocol tcp Dynamic Port Range\r\n---------------------------------\r\n\
            Start Port      : 49152\r\nNumber of Ports : 16384\r\n\r\n";
        let german = "\nProtokoll tcp Dynamischer Portbereich\n-----\nStartport    : 1025\nAnzahl von Ports : 64511\n";
        let chinese = "\n协议 tcp 动态端口范围\n---\n启动端口        ：49152\n端口数          ：16384\n";
        let code_page = String::from_utf8_lossy(
            b"\n\xd0\xad\xd2\xe9 tcp\n---\n\xb6\xcb\xbf\xda \xa3\xba49152\n\xca\xfd \xa3\xba16384\n",
        );
        let told = |text: &str| dynamic_ports(text).map(|range| range.to_string());
        assert_eq!(told(&code_page).as_deref(), Some("49152-65535"), "GBK, as code page 936 has it");
        assert_eq!(told(english).as_deref(), Some("49152-65535"));
        assert_eq!(told(german).as_deref(), Some("1025-65535"));
        assert_eq!(told(chinese).as_deref(), Some("49152-65535"));
        assert_eq!(told(""), None);
    }
}
