//! One box over all surfaces.

pub(crate) mod pages;
