//! Campus on SQLite and PostgreSQL.

mod fixture;

mod atomicity;
mod facts;
mod http;
mod import;
mod members;
mod migrations;
mod notifications;
mod pages;
mod readme;
mod staff;
