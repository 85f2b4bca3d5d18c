//! Lists of ports in one value, such as `8080,9148-9150` of Linux, to which others may have added theirs.

use crate::model::{Port, PortRange};

/// Tells whether the value of `key` is a list to which several programs may add.
#[must_use]
pub fn is_port_list(key: &str) -> bool {
    [super::linux::RESERVED, super::windows::EXCLUDED].contains(&key)
}

/// Returns a list with these ports added in order; ranges that touch become one, as the kernel writes them.
pub(super) fn with(list: &str, ports: &[PortRange]) -> String {
    let mut all = plain(list);
    all.extend(ports);
    joined(all)
}

/// Takes out of `current` what `ours` has and `before` did not have, and leaves what others added since.
#[must_use]
pub fn without_ours(current: &str, before: &str, ours: &str) -> String {
    let before = plain(before);
    let added: Vec<PortRange> = plain(ours).into_iter().flat_map(|range| minus(range, &before)).collect();
    joined(plain(current).into_iter().flat_map(|range| minus(range, &added)).collect())
}

/// Tells whether every port of `range` is in the list.
pub(super) fn covers(list: &str, range: PortRange) -> bool {
    minus(range, &plain(list)).is_empty()
}

fn plain(list: &str) -> Vec<PortRange> {
    list.split(',').filter_map(|part| part.trim().parse().ok()).collect()
}

fn joined(mut ranges: Vec<PortRange>) -> String {
    ranges.sort_unstable_by_key(|range| (range.first(), range.last()));
    let mut merged: Vec<PortRange> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.first().get() <= last.last().get().saturating_add(1) => {
                *last = PortRange::new(last.first(), last.last().max(range.last())).unwrap_or(*last);
            }
            _ => merged.push(range),
        }
    }
    merged.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Returns what is left of `range` without `others`.
fn minus(range: PortRange, others: &[PortRange]) -> Vec<PortRange> {
    let mut left = vec![range];
    for other in others {
        left = left.into_iter().flat_map(|piece| cut(piece, *other)).collect();
    }
    left
}

fn cut(piece: PortRange, other: PortRange) -> Vec<PortRange> {
    if other.last() < piece.first() || piece.last() < other.first() {
        return vec![piece];
    }
    let below = other.first().get().checked_sub(1).and_then(Port::new);
    let above = other.last().checked_add(1);
    let low = below.and_then(|last| PortRange::new(piece.first(), last));
    let high = above.and_then(|first| PortRange::new(first, piece.last()));
    low.into_iter().chain(high).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> PortRange {
        text.parse().expect("a range")
    }

    #[test]
    fn ports_are_merged_as_the_kernel_writes_them() {
        assert_eq!(with("", &[range("40000")]), "40000");
        assert_eq!(with("8080,9148", &[range("9149"), range("40000-40003")]), "8080,9148-9149,40000-40003");
        assert_eq!(with("40000-40010", &[range("40005")]), "40000-40010");
    }

    #[test]
    fn only_what_we_added_is_taken_away() {
        assert_eq!(without_ours("8080,40000-40003,50000", "8080", "8080,40000-40003"), "8080,50000");
        // A port that was there before stays, whatever we wrote.
        assert_eq!(without_ours("40000-40003", "40001", "40000-40003"), "40001");
        // Somebody joined our range to one of theirs.
        assert_eq!(without_ours("40000-40010", "", "40000-40003"), "40004-40010");
        assert_eq!(without_ours("", "8080", "8080,40000"), "");
    }

    #[test]
    fn a_range_is_covered_by_several_parts() {
        assert!(covers("8080,8081-8090", range("8080-8085")));
        assert!(!covers("8080,8082", range("8080-8082")));
    }
}
