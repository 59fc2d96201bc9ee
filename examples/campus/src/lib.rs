//! An alumni platform composed from the five crates.
