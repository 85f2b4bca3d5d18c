//! Words of the room `prompt`.

use super::catalogue;

catalogue! {
    /// Messages of the room `prompt`.
    PromptWords {
        Placeholder => "placeholder", "占位";
    }
}
