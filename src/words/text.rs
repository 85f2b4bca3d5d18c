//! Words of the room `text`.

use super::catalogue;

catalogue! {
    /// Messages of the room `text`.
    TextWords {
        Placeholder => "placeholder", "占位";
    }
}
