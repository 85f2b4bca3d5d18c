//! How long a certificate is valid, read from its DER form: rustls judges certificates, and tells no dates.

use std::path::Path;

use super::{broken, read_chain};
use crate::error::Result;

/// The tags that are met on the way (X.690, section 8; X.509 has no others there).
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads from when and until when the first certificate of a PEM file is valid, in seconds since 1970.
///
/// # Errors
/// `Missing` where the file cannot be read or holds no certificate.
pub fn certificate_validity(path: &Path) -> Result<(u64, u64)> {
    let chain = read_chain(path)?;
    let first = chain.first().and_then(|certificate| validity(certificate));
    first.ok_or_else(|| broken(path, &"validity"))
}

/// Reads the dates of a certificate (RFC 5280, section 4.1): within its first field come version, serial number,
/// algorithm and issuer before them.
fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let (tag, whole, _) = element(certificate)?;
    let (_, mut rest, _) = element(whole).filter(|_| tag == SEQUENCE)?;
    if *rest.first()? == VERSION {
        rest = element(rest)?.2;
    }
    for _ in ["serial number", "algorithm", "issuer"] {
        rest = element(rest)?.2;
    }
    let (tag, dates, _) = element(rest)?;
    let (from_kind, from, rest) = element(dates).filter(|_| tag == SEQUENCE)?;
    let (until_kind, until, _) = element(rest)?;
    Some((moment(from_kind, from)?, moment(until_kind, until)?))
}

/// Reads one element: its tag, its contents, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (digits, rest) =
                rest.split_at_checked(usize::from(long & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// Reads `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`; two digits of a year from 50 on are of the last century (RFC 5280,
/// section 4.1.2.5.1).
fn moment(kind: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match kind {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: u64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let mut numbers = (0..5).map(|place| rest.get(place * 2..place * 2 + 2)?.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?);
    // Hinnant's `days_from_civil`, for years from 1970.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day.checked_sub(1)?;
    let days = (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_a_real_certificate_are_read() {
        let mut params = rcgen::CertificateParams::new(vec!["example.org".to_owned()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(2025, 2, 28);
        params.not_after = rcgen::date_time_ymd(2051, 3, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        // As `date -u -d DATE +%s` has them; the second is written in the other form.
        assert_eq!(validity(certificate.der()), Some((1_740_700_800, 2_561_241_600)));
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), certificate.pem()).expect("written");
        assert_eq!(certificate_validity(file.path()).expect("dates"), (1_740_700_800, 2_561_241_600));
    }

    #[test]
    fn what_is_no_certificate_has_no_dates() {
        let mut params = rcgen::CertificateParams::new(vec![]).expect("no name");
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let whole = params.self_signed(&key).expect("a certificate").der().to_vec();
        for length in 0..150 {
            assert_eq!(validity(&whole[..length]), None, "{length}");
        }
        assert_eq!(moment(UTC_TIME, b"990101000000Z"), Some(915_148_800));
        assert_eq!(moment(UTC_TIME, b"9901010000Z"), None);
        assert_eq!(moment(GENERALIZED_TIME, b"19690101000000Z"), None);
    }
}
