//! The table of a load test, and how its numbers are written for people.

use super::output::{Look, Paint};
use super::table::{Cell, table as lay_out};
use crate::bench::Row;
use crate::bench::outcome::Outcome;
use crate::bench::plan::{Step, Test};
use crate::words::bench::BenchWords;
use crate::words::{Lang, Message, Say};

/// Returns the headings of the table.
#[must_use]
pub(super) fn headings() -> [Message; 12] {
    [
        BenchWords::TestColumn,
        BenchWords::ConnectionsColumn,
        BenchWords::SizeColumn,
        BenchWords::RateColumn,
        BenchWords::OperationsColumn,
        BenchWords::P50Column,
        BenchWords::P99Column,
        BenchWords::P999Column,
        BenchWords::MaxColumn,
        BenchWords::ErrorsColumn,
        BenchWords::DirectColumn,
        BenchWords::RatioColumn,
    ]
    .map(Message::from)
}

/// Returns a row of the table; a text that is empty has nothing to say.
#[must_use]
pub(super) fn cells(row: &Row, lang: Lang) -> [String; 12] {
    let Row { step, target, .. } = row;
    let is_timed = step.test != Test::Idle;
    let latency = |of: fn(&crate::bench::outcome::Latency) -> f64| {
        target.latency.as_ref().map(|latency| time(of(latency))).unwrap_or_default()
    };
    let has_rate = is_timed && step.test != Test::Connect;
    let has_size = has_rate && step.test != Test::Reliability;
    [
        step.test.name().to_owned(),
        count(step.connections as u64),
        if has_size { size(step.size) } else { String::new() },
        match step.test {
            Test::Idle => BenchWords::Alive { alive: target.operations, all: alive_at_most(step, target) }.say(lang),
            _ if has_rate => rate(target.rate_bytes_per_s),
            _ => String::new(),
        },
        if is_timed && !step.test.is_bulk() { per_second(target.operations_per_s) } else { String::new() },
        latency(|latency| latency.p50),
        latency(|latency| latency.p99),
        latency(|latency| latency.p999),
        latency(|latency| latency.max),
        count(target.errors()),
        row.direct.as_ref().map(|direct| main_number(step, direct, lang)).unwrap_or_default(),
        row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
    ]
}

/// Returns the table as text.
#[must_use]
pub(super) fn table(rows: &[Row], lang: Lang, look: Look) -> String {
    let painted = |row: &Row| {
        let mut cells: Vec<Cell> = cells(row, lang).iter().map(|text| Cell::new(text)).collect();
        if let (Some(errors), true) = (cells.get_mut(ERRORS), row.target.errors() > 0) {
            *errors = errors.clone().painted(Paint::Red);
        }
        cells
    };
    let text = lay_out(&headings(), &rows.iter().map(painted).collect::<Vec<_>>(), lang, look);
    if look.unicode { text } else { text.replace('\u{b5}', "u") }
}

/// Which column holds the errors.
const ERRORS: usize = 9;

/// The number by which a test is compared.
fn main_number(step: &Step, outcome: &Outcome, lang: Lang) -> String {
    match step.test {
        test if test.is_bulk() => rate(outcome.rate_bytes_per_s),
        Test::Idle => BenchWords::Alive { alive: outcome.operations, all: alive_at_most(step, outcome) }.say(lang),
        Test::Latency => outcome.latency.map(|latency| time(latency.p50)).unwrap_or_default(),
        _ => format!("{}/s", per_second(outcome.operations_per_s)),
    }
}

/// Several rounds hold the connections of each.
fn alive_at_most(step: &Step, outcome: &Outcome) -> usize {
    let counted = usize::try_from(outcome.operations + outcome.errors()).unwrap_or(usize::MAX);
    counted.max(step.connections)
}

/// Writes a number of bytes: `64 B`, `8 KiB`, `1 MiB`.
#[must_use]
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

/// Writes a rate with its unit.
#[must_use]
pub(super) fn rate(bytes_per_s: f64) -> String {
    match bytes_per_s {
        rate if rate >= 1024.0 * 1_048_576.0 => format!("{} GiB/s", digits(rate / (1024.0 * 1_048_576.0))),
        rate if rate >= 1_048_576.0 => format!("{} MiB/s", digits(rate / 1_048_576.0)),
        rate if rate >= 1024.0 => format!("{} KiB/s", digits(rate / 1024.0)),
        rate => format!("{} B/s", digits(rate)),
    }
}

/// Writes a time, given in microseconds, with its unit.
#[must_use]
pub(super) fn time(microseconds: f64) -> String {
    match microseconds {
        us if us >= 1e6 => format!("{} s", digits(us / 1e6)),
        us if us >= 1e3 => format!("{} ms", digits(us / 1e3)),
        us => format!("{} \u{b5}s", digits(us)),
    }
}

/// Writes a number a second, without the unit.
#[must_use]
pub(super) fn per_second(value: f64) -> String {
    if value >= 1e3 { grouped(&format!("{value:.0}")) } else { digits(value) }
}

fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// Three digits say all that a measurement knows.
fn digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!([size(64), size(8 << 10), size(1 << 20), size(1_500)], ["64 B", "8 KiB", "1 MiB", "1500 B"]);
        assert_eq!([rate(4.0 * 1_073_741_824.0), rate(1.5e6), rate(12.0)], ["4.00 GiB/s", "1.43 MiB/s", "12.0 B/s"]);
        assert_eq!([time(52.34), time(1_234.0), time(2.5e6)], ["52.3 \u{b5}s", "1.23 ms", "2.50 s"]);
        assert_eq!([per_second(13_784.4), per_second(28.64), count(1_234_567)], ["13,784", "28.6", "1,234,567"]);
    }
}
