//! Tests that read a clock: hundreds beside them would make them late.

mod periodic;
mod wake;
