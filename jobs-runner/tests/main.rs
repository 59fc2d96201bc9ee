//! All tests that can share a process: one binary to link, and one cluster of PostgreSQL. Those of `timing` have to be let alone, and
//! those of `faults` kill what is near: each has a process of its own.

mod cli;
mod clock;
mod cron;
mod dashboard;
mod limit;
mod memory;
mod meter;
mod model;
mod pooler;
mod postgres;
mod sqlite;
mod support;
mod testing;
mod trace;
