//! Words of the room `cli`.

use super::catalogue;

catalogue! {
    /// Messages of the room `cli`.
    CliWords {
        Placeholder => "placeholder", "占位";
    }
}
