//! Names of tokens and of the clients that hold them.

/// The longest name of a token, and of a client beside it, in characters: both and the stroke fit into the 64 that a
/// mapping has for its client.
const NAME_CHARS_MAX: usize = 31;

/// Tells whether `name` can be the name of a token, or of a client.
pub(crate) fn is_name(name: &str) -> bool {
    let letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && name.chars().all(letter)
}

/// Returns the name of a client: that of its token, or below it the one that it goes by, so that no client can take
/// the name of another token's.
pub(crate) fn resolved_name(token: &str, wished: Option<&str>) -> String {
    match wished {
        Some(wished) if wished != token => format!("{token}/{wished}"),
        _ => token.to_owned(),
    }
}
