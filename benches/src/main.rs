//! Side-by-side comparisons.
fn main() {}
