//! The executable: runs one verb and exits with its code.

fn main() {}
