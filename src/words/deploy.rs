//! Words of the room `deploy`.

use super::catalogue;

catalogue! {
    /// Messages of the room `deploy`.
    DeployWords {
        Placeholder => "placeholder", "占位";
    }
}
