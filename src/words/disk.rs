//! Words of the room `disk`.

use super::catalogue;

catalogue! {
    /// Messages of the room `disk`.
    DiskWords {
        Placeholder => "placeholder", "占位";
    }
}
