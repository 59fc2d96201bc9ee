//! Campus on SQLite and PostgreSQL.

mod fixture;

mod atomicity;
mod directory;
mod facts;
mod feed;
mod groups;
mod http;
mod import;
mod members;
mod migrations;
mod notifications;
mod openings;
mod pages;
mod readme;
