//! Words of the room `docker`.

use super::catalogue;

catalogue! {
    /// Messages of the room `docker`.
    DockerWords {
        Placeholder => "placeholder", "占位";
    }
}
