//! The room `deploy`.
