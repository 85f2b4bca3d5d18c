//! Words of the room `tunnel`.

use super::catalogue;

catalogue! {
    /// Messages of the room `tunnel`.
    TunnelWords {
        Placeholder => "placeholder", "占位";
    }
}
