//! Campus on SQLite and PostgreSQL.

mod fixture;

mod announcements;
mod atomicity;
mod calendar;
mod directory;
mod facts;
mod feed;
mod groups;
mod http;
mod import;
mod marketplace;
mod members;
mod mentorship;
mod migrations;
mod notifications;
mod openings;
mod pages;
mod readme;
