//! Campus on SQLite and PostgreSQL.

mod fixture;

mod atomicity;
mod facts;
mod http;
mod import;
mod marketplace;
mod members;
mod mentorship;
mod migrations;
mod notifications;
mod pages;
mod readme;
