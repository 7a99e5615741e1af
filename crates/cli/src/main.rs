//! The `zkslice` command.
fn main() {}
