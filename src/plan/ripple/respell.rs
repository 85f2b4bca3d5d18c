//! Changes the mentions of moved ports that a person agreed to, and proves that nothing else changed.

use std::ops::Range;
use std::path::Path;

use super::Kind;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Port;
use crate::text::dotenv::Document;
use crate::text::edit::{respell_compose, spliced};
use crate::words::text::TextWords;

/// Returns the contents of `file` with each of `spots` (byte ranges, in any order, none twice) replaced by its port.
/// In a compose file only what stands under `environment` or `labels` is changed; the other spots are passed over.
///
/// # Errors
/// `Refused` when the file would no longer read as before in every other value.
pub fn respelled(file: &Path, bytes: &[u8], spots: &[(Range<usize>, Port)]) -> Result<Vec<u8>> {
    match Kind::of(file) {
        Kind::Compose => respell_compose(file, bytes, spots),
        Kind::Prose => Ok(spliced(bytes, spots)),
        Kind::Env => {
            let after = spliced(bytes, spots);
            if same_but(bytes, &after, spots)? {
                return Ok(after);
            }
            let words = TextWords::ProofElsewhere { place: file.display().to_string() };
            Err(Error::new(ErrorKind::Refused, words))
        }
    }
}

/// Tells whether two `.env` files assign the same names, and the same values but where a spot is.
fn same_but(before: &[u8], after: &[u8], spots: &[(Range<usize>, Port)]) -> Result<bool> {
    let (left, right) = (Document::parse(before)?, Document::parse(after)?);
    let slice = |bytes: &[u8], span: &Range<usize>| bytes.get(span.clone()).map(<[u8]>::to_vec);
    let same = left.assignments().zip(right.assignments()).all(|(one, two)| {
        let span = &one.value_span;
        let moved = spots.iter().any(|(spot, _)| span.start <= spot.start && spot.end <= span.end);
        one.name == two.name && (moved || slice(before, span) == slice(after, &two.value_span))
    });
    Ok(same && left.assignments().count() == right.assignments().count())
}
