//! What staff see.

pub(crate) mod pages;
