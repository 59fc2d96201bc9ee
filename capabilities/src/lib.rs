#![doc = include_str!("../README.md")]

mod capabilities;

mod capability;
mod matrix;
mod proof;

mod error;
mod facts;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use capabilities::Capabilities;
pub use capability::{Capability, Domain};
pub use error::{Error, Result};
pub use facts::Facts;
pub use matrix::{Explanation, Matrix, Rule, Version};
pub use proof::{Authorized, Grant, Over, Scoped};

/// What the macros expand to. Not an interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::capability::checked;
    pub use crate::proof::{Anchor, Brand};
}
