//! Campus on SQLite and PostgreSQL.

mod fixture;

mod adminctl;
mod atomicity;
mod demo;
mod facts;
mod http;
mod import;
mod members;
mod migrations;
mod notifications;
mod pages;
mod readme;
