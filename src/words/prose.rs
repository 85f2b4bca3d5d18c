//! Words that people write around a port in Chinese documents, for finding it there.

/// "Port".
pub const PORT: &str = "端口";

/// What may stand between "port" and the number: "is".
pub const IS: [&str; 2] = ["为", "是"];
