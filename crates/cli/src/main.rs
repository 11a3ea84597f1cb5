//! toolsmith
fn main() {}
