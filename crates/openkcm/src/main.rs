//! The `openkcm` binary.
fn main() {}
