//! Campus on SQLite and PostgreSQL.

mod fixture;

mod atomicity;
mod migrations;
mod pages;
mod readme;
