//! Linux: `/proc/sys`, where each key is a file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::model::{Observed, TuneSigns};

/// Sets values at the start of the system: a file of our own, late in the order of its folder.
pub(super) const BOOT_FILE: Option<&str> = Some("/etc/sysctl.d/90-portwright.conf");

/// Where the kernel counts, in pairs of lines: names, numbers.
const COUNTERS: &str = "/proc/net/netstat";
/// A line for each processor; the second number, in hexadecimal digits, is what was dropped.
const SOFTNET: &str = "/proc/net/softnet_stat";
const TRACKED: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
const CONGESTION: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";
/// What the kernel counts when the queue of half-open connections is full: with and without syncookies.
const HALF_OPEN_FULL: [&str; 2] = ["TCPReqQFullDoCookies", "TCPReqQFullDrop"];

fn path_of(key: &str) -> PathBuf {
    Path::new("/proc/sys").join(key.replace('.', "/"))
}

/// Reads the value as the kernel writes it, without its line feed.
pub(super) fn read(key: &str) -> Observed {
    match fs::read_to_string(path_of(key)) {
        Ok(text) => Observed::Value(text.strip_suffix('\n').unwrap_or(&text).to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Observed::Unsupported,
        Err(error) => Observed::Unknown(error.to_string()),
    }
}

/// Writes a value; the kernel judges it at once.
pub(super) fn write(key: &str, value: &str) -> io::Result<()> {
    // No file is made where the kernel has none. Without a line feed an empty value would be no write at all.
    let path = path_of(key);
    let opened = OpenOptions::new().write(true).open(&path);
    // What the kernel offers for reading alone (a key of the host, in a network namespace) lacks no right.
    let is_shown_only = || path.metadata().is_ok_and(|metadata| metadata.permissions().readonly());
    let mut file = match opened {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_shown_only() => {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        opened => opened?,
    };
    file.write_all(format!("{value}\n").as_bytes())
}

/// Every key has a value.
pub(super) fn clear(_: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Tells whether this is root. What root may not do (in a user namespace) is refused key by key.
pub(super) fn may_change() -> bool {
    rustix::process::geteuid().is_root()
}

/// Reads the counters; one that cannot be read is not known.
pub(super) fn signs() -> TuneSigns {
    let text = |path: &str| fs::read_to_string(path).ok();
    TuneSigns {
        tracked: text(TRACKED).and_then(|text| text.trim().parse().ok()),
        half_open_full: text(COUNTERS).map(|text| HALF_OPEN_FULL.iter().filter_map(|name| counter(&text, name)).sum()),
        backlog_drops: text(SOFTNET).map(|text| text.lines().filter_map(dropped).sum()),
        congestion_controls: text(CONGESTION).unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        ..TuneSigns::default()
    }
}

/// Finds the number under a name.
fn counter(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    while let (Some(names), Some(numbers)) = (lines.next(), lines.next()) {
        if let Some(place) = names.split_whitespace().position(|word| word == name) {
            return numbers.split_whitespace().nth(place)?.parse().ok();
        }
    }
    None
}

fn dropped(line: &str) -> Option<u64> {
    u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_names() {
        let text =
            "TcpExt: SyncookiesSent TCPReqQFullDoCookies TCPReqQFullDrop\nTcpExt: 1 22 333\nIpExt: A\nIpExt: 4\n";
        assert_eq!(counter(text, "TCPReqQFullDrop"), Some(333));
        assert_eq!(counter(text, "A"), Some(4));
        assert_eq!(counter(text, "B"), None);
    }

    #[test]
    fn drops_are_hexadecimal() {
        assert_eq!(dropped("0000a8b1 0000001f 00000002 0"), Some(31));
        assert_eq!(dropped(""), None);
    }

    #[test]
    fn a_key_of_this_kernel_has_a_value_and_another_is_unsupported() {
        assert!(read("net.ipv4.ip_local_port_range").value().is_some_and(|value| value.contains(' ')));
        assert_eq!(read("net.ipv4.no_such_key"), Observed::Unsupported);
    }
}
