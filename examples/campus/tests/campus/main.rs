//! Campus on SQLite and PostgreSQL.

mod fixture;

mod admin;
mod adminctl;
mod announcements;
mod assistant;
mod atomicity;
mod calendar;
mod demo;
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
mod notification_channels;
mod notifications;
mod openings;
mod pages;
mod readme;
mod recommender;
mod restart;
mod routes;
mod search;
mod staff;
mod standin;
mod surfaces;
mod whatsapp;
mod workers;
