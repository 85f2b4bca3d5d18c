//! Ports that the world has settled on.

use crate::model::{Port, Protocol};

/// Ports whose peers look for them at exactly this number, so that moving them breaks the service without a word:
/// mail, name, time, directory and discovery services (IANA Service Name and Port Number Registry).
const FIXED_MEANING: [u16; 33] = [
    22, 23, 25, 53, 67, 68, 69, 88, 110, 111, 123, 137, 138, 139, 143, 161, 162, 179, 389, 445, 465, 500, 514, 546,
    547, 587, 631, 853, 993, 995, 1900, 4500, 5353,
];

/// Ports above 1023 that every browser refuses ("bad port", WHATWG Fetch Standard, section 2.9).
const BLOCKED_BY_BROWSERS: [u16; 17] =
    [1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 10080];

/// Tells whether clients expect `port` at this number, so that it is never moved automatically.
#[must_use]
pub fn has_fixed_meaning(port: Port) -> bool {
    FIXED_MEANING.contains(&port.get())
}

/// Tells whether a browser would refuse to open `port`; only TCP matters to it.
#[must_use]
pub fn is_blocked_by_browsers(port: Port, protocol: Protocol) -> bool {
    protocol == Protocol::Tcp && (BLOCKED_BY_BROWSERS.contains(&port.get()) || matches!(port.get(), 6679 | 6697))
}
