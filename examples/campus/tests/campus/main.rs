//! Campus on SQLite and PostgreSQL.

mod fixture;

mod announcements;
mod atomicity;
mod calendar;
mod facts;
mod http;
mod import;
mod members;
mod migrations;
mod notifications;
mod pages;
mod readme;
