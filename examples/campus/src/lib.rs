//! An alumni platform composed from the five crates. Read [`posts::create`] first.

pub mod app;
pub mod posts;

pub mod groups;
pub mod members;
pub mod model;
pub mod notify;
pub mod sql;

pub mod access;
pub mod backend;
pub mod error;

pub mod demo;
pub mod http;
pub mod import;
pub mod worker;
