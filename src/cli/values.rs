//! From what was typed to a value: one function for each kind of value, each with a reason in the catalogue.

use std::ffi::OsStr;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, ValueEnum};

use super::args::{BenchTests, PortWish, ReportFormat, ReportTarget};
use crate::bench::plan::{CONNECTIONS_MAX, ROUNDS_MAX, SIZE_MAX, TESTS, Test};
use crate::model::{Port, PortRange};
use crate::tunnel::caller::ApiUrl;
use crate::words::cli::CliWords;
use crate::words::tunnel::TunnelWords;
use crate::words::{Lang, Message};

/// Longest wait that can be asked for: a day. Longer is a slip of the keyboard.
const SECONDS_MAX: u64 = 86_400;

/// Shortest time in seconds that a test can be measured: below that start and end are most of it.
const BENCH_SECONDS_MIN: f64 = 0.1;

/// Longest time in seconds that a test can be measured: an hour, as long as the target sends at most.
const BENCH_SECONDS_MAX: f64 = 3_600.0;

/// Longest life of a lease: a year. Longer is a slip of the keyboard.
const LIFETIME_MAX: u64 = 366 * 86_400;

/// Longest name of an instance; a compose project name made with it must still fit a DNS label (63).
const INSTANCE_NAME_MAX: usize = 32;

/// Why a value cannot be what it should be. The catalogue's message survives clap, which carries it as a source.
#[derive(Debug, Clone)]
pub(super) struct ValueError(pub(super) Message);

impl fmt::Display for ValueError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for ValueError {}

type Read<T> = Result<T, ValueError>;

fn refuse<T>(words: CliWords) -> Read<T> {
    Err(ValueError(words.into()))
}

/// Reads a port. Also the judgement of what is typed at a prompt, before anybody looks whether it is free.
pub fn port(text: &str) -> Result<Port, Message> {
    text.parse().map_err(|_| CliWords::WantsPort.into())
}

pub(super) fn one_port(text: &str) -> Read<Port> {
    port(text).map_err(ValueError)
}

pub(super) fn api_url(text: &str) -> Read<ApiUrl> {
    text.parse().map_err(|words: TunnelWords| ValueError(words.into()))
}

/// The target of a mapping, with what was typed of it. The server judges the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingTarget {
    /// The host; `None` where a port alone was typed.
    pub host: Option<String>,
    /// The port; `None` where a host alone was typed.
    pub port: Option<Port>,
}

pub(super) fn mapping_target(text: &str) -> Read<MappingTarget> {
    let refused = || refuse(CliWords::WantsTarget);
    let bare = |host: &str| host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
    if let Ok(port) = text.parse() {
        return Ok(MappingTarget { host: None, port: Some(port) });
    }
    if text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) {
        return refused();
    }
    let is_bare_v6 = text.parse::<std::net::Ipv6Addr>().is_ok() || text.ends_with(']');
    match text.rsplit_once(':').filter(|_| !is_bare_v6) {
        None => Ok(MappingTarget { host: Some(bare(text)), port: None }),
        Some((host, port)) if !host.is_empty() => match port.parse() {
            Ok(port) => Ok(MappingTarget { host: Some(bare(host)), port: Some(port) }),
            Err(_) => refused(),
        },
        Some(_) => refused(),
    }
}

/// Reads bytes a second: a number, with K, M or G for powers of 1024.
pub(super) fn bytes_per_second(text: &str) -> Read<u64> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (text.get(..at), 10),
        Some((at, 'm' | 'M')) => (text.get(..at), 20),
        Some((at, 'g' | 'G')) => (text.get(..at), 30),
        _ => (Some(text), 0),
    };
    let number = digits.and_then(|digits| digits.parse::<u64>().ok());
    let bytes = number.and_then(|number| number.checked_mul(1 << shift));
    bytes.map_or_else(|| refuse(CliWords::WantsBytesPerSecond), Ok)
}

pub(super) fn port_range(text: &str) -> Read<PortRange> {
    text.parse().or_else(|_| refuse(CliWords::WantsRange))
}

pub(super) fn port_wish(text: &str) -> Read<PortWish> {
    match text.rsplit_once('=') {
        Some((name, number)) if !name.is_empty() => {
            let port = port(number).map_err(ValueError)?;
            Ok(PortWish { name: name.to_owned(), port })
        }
        _ => refuse(CliWords::WantsPortWish),
    }
}

pub(super) fn seconds(text: &str) -> Read<Duration> {
    match text.parse::<u64>() {
        Ok(seconds) if (1..=SECONDS_MAX).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => refuse(CliWords::WantsSeconds { most: SECONDS_MAX }),
    }
}

/// Reads how long a lease lasts: a whole number of seconds, or one with `s`, `m`, `h` or `d` behind it.
pub(super) fn lifetime(text: &str) -> Read<Duration> {
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let (number, unit) =
        units.iter().find_map(|(sign, unit)| Some((text.strip_suffix(sign)?, *unit))).unwrap_or((text, 1));
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| digits).and_then(|number| number.checked_mul(unit));
    match seconds {
        Some(seconds) if (1..=LIFETIME_MAX).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => refuse(CliWords::WantsLifetime),
    }
}

/// Reads the number of a process.
pub(super) fn process_id(text: &str) -> Read<u32> {
    match text.parse::<u32>() {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => refuse(CliWords::WantsProcessId),
    }
}

pub(super) fn address(text: &str) -> Read<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().or_else(|_| refuse(CliWords::WantsAddress))
}

pub(super) fn count(text: &str) -> Read<u16> {
    match text.parse::<u16>() {
        Ok(count) if count > 0 => Ok(count),
        _ => refuse(CliWords::WantsCount),
    }
}

/// Reads a test of the load test, or `all`.
pub(super) fn bench_tests(text: &str) -> Read<BenchTests> {
    let names = || TESTS.map(Test::name).join(", ");
    match (text, Test::from_name(text)) {
        ("all", _) => Ok(BenchTests::All),
        (_, Some(one)) => Ok(BenchTests::One(one)),
        _ => refuse(CliWords::WantsBenchTest { names: names() }),
    }
}

pub(super) fn connections(text: &str) -> Read<usize> {
    match text.parse::<usize>() {
        Ok(count) if (1..=CONNECTIONS_MAX).contains(&count) => Ok(count),
        _ => refuse(CliWords::WantsWithin { most: CONNECTIONS_MAX }),
    }
}

pub(super) fn rounds(text: &str) -> Read<u32> {
    match text.parse::<u32>() {
        Ok(count) if (1..=ROUNDS_MAX).contains(&count) => Ok(count),
        _ => refuse(CliWords::WantsWithin { most: ROUNDS_MAX as usize }),
    }
}

/// Reads a number of bytes, also as `64K` or `1M`.
pub(super) fn message_bytes(text: &str) -> Read<usize> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1 << 10),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|count| count.checked_mul(unit));
    match bytes {
        Some(bytes) if (1..=SIZE_MAX).contains(&bytes) => Ok(bytes),
        _ => refuse(CliWords::WantsMessageBytes { most: SIZE_MAX }),
    }
}

/// Reads how long a test is measured: seconds with a fraction.
pub(super) fn bench_seconds(text: &str) -> Read<Duration> {
    let fits = |seconds: &f64| (BENCH_SECONDS_MIN..=BENCH_SECONDS_MAX).contains(seconds);
    match text.parse::<f64>().ok().filter(fits) {
        Some(seconds) => Ok(Duration::from_secs_f64(seconds)),
        None => refuse(CliWords::WantsBenchSeconds),
    }
}

pub(super) fn lines(text: &str) -> Read<u32> {
    text.parse().or_else(|_| refuse(CliWords::WantsLines))
}

/// An instance's name becomes part of a compose project name, of file names and of container names.
pub(super) fn instance_name(text: &str) -> Read<String> {
    let fits = text.len() <= INSTANCE_NAME_MAX
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    if fits { Ok(text.to_owned()) } else { refuse(CliWords::WantsInstanceName { most: INSTANCE_NAME_MAX }) }
}

/// A service's name becomes the name of a unit and of files, and stands in a comment of XML.
pub(super) fn service_name(text: &str) -> Read<String> {
    let name = instance_name(text)?;
    if name.contains("--") { refuse(CliWords::WantsInstanceName { most: INSTANCE_NAME_MAX }) } else { Ok(name) }
}

/// A user's name as `useradd` takes it, or a number.
pub(super) fn user_name(text: &str) -> Read<String> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = !text.is_empty() && text.len() <= INSTANCE_NAME_MAX && !text.starts_with(['-', '.']);
    if fits && text.bytes().all(letter) { Ok(text.to_owned()) } else { refuse(CliWords::WantsUserName) }
}

pub(super) fn report_target(text: &str) -> Read<ReportTarget> {
    match text.split_once('=') {
        Some((kind, file)) if !file.is_empty() => match ReportFormat::from_str(kind, false) {
            Ok(format) if format != ReportFormat::Text => Ok(ReportTarget { format, file: PathBuf::from(file) }),
            _ => refuse(CliWords::WantsReport),
        },
        _ => refuse(CliWords::WantsReport),
    }
}

/// Reads a language; a locale name does too (`zh_CN.UTF-8`).
#[derive(Debug, Clone)]
pub(super) struct LangParser;

/// The languages as they are named in help and errors.
pub(super) const LANG_NAMES: [&str; 2] = ["en", "zh-CN"];

impl TypedValueParser for LangParser {
    type Value = Lang;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Lang, clap::Error> {
        let text = value.to_string_lossy();
        Lang::from_tag(&text).ok_or_else(|| {
            let mut error = clap::Error::new(ErrorKind::InvalidValue).with_cmd(command);
            let name = arg.map(ToString::to_string).unwrap_or_default();
            error.insert(ContextKind::InvalidArg, ContextValue::String(name));
            error.insert(ContextKind::InvalidValue, ContextValue::String(text.into_owned()));
            let valid = LANG_NAMES.iter().map(ToString::to_string).collect();
            error.insert(ContextKind::ValidValue, ContextValue::Strings(valid));
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(LANG_NAMES.into_iter().map(PossibleValue::new)))
    }
}

/// Returns the reason inside `error`, when one of these functions gave it.
pub(super) fn reason(error: &clap::Error) -> Option<Message> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<ValueError>().map(|refusal| refusal.0.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_wish_names_a_variable_a_service_or_a_container_port() {
        for (text, name, number) in [("WEB_PORT=80", "WEB_PORT", 80), ("web:8080=81", "web:8080", 81)] {
            let wish = port_wish(text).expect(text);
            assert_eq!((wish.name.as_str(), wish.port.get()), (name, number));
        }
        for bad in ["", "web", "=80", "web=", "web=0", "web=65536", "web=80x"] {
            assert!(port_wish(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn durations_counts_addresses_and_names_are_read_strictly() {
        assert!(seconds("30").is_ok());
        assert!(["", "0", "-1", "1.5", "86401", "5s"].iter().all(|bad| seconds(bad).is_err()));
        assert_eq!(lifetime("90m").ok(), Some(Duration::from_mins(90)));
        assert!(["1", "1s", "366d"].iter().all(|good| lifetime(good).is_ok()));
        assert!(["", "0", "h", "+1h", "1w", "367d", "1.5h", "1 h"].iter().all(|bad| lifetime(bad).is_err()));
        assert!(process_id("7").is_ok() && ["", "0", "-1", "x"].iter().all(|bad| process_id(bad).is_err()));
        assert!(address("[::1]").is_ok() && address("127.0.0.1").is_ok());
        assert!(["", "localhost", "127.1", "::1]"].iter().all(|bad| address(bad).is_err()));
        assert!(instance_name("ci-7_b").is_ok());
        assert!(["", "-a", "A", "a/b", "a b", "..", &"x".repeat(33)].iter().all(|bad| instance_name(bad).is_err()));
        assert!(report_target("junit=out.xml").is_ok());
        assert!(["junit", "junit=", "text=a", "xml=a", "JUNIT=a"].iter().all(|bad| report_target(bad).is_err()));
    }
}
