//! An alumni platform composed from the five crates. Read [`groups::posts::create`] first.

pub mod app;
pub mod caller;
pub mod groups;
pub mod marketplace;
pub mod mentorship;

pub mod announcements;
pub mod assistant;
pub mod calendar;
pub mod directory;
pub mod feed;
pub mod home;
pub mod import;
pub mod notifications;
pub mod openings;
pub mod recommender;
pub mod search;
pub mod staff;
pub mod whatsapp;

pub mod access;
pub mod admin;
pub mod adminctl;
pub mod backend;
pub mod bulk;
pub mod cli;
pub mod error;
pub mod flags;
pub mod notices;
pub mod outgoing;
pub mod readers;
pub mod sql;
pub mod surface;

pub mod demo;
pub mod http;
pub mod worker;

mod code;
mod retry;
mod text;
mod trace;
