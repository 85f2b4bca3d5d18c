//! Words of the room `host`.

use super::catalogue;

catalogue! {
    /// Messages of the room `host`.
    HostWords {
        Placeholder => "placeholder", "占位";
    }
}
