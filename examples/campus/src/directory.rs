//! The people of the campus.

pub mod sql;

pub(crate) mod pages;

use sqlx::FromRow;

/// Somebody on campus.
#[derive(Clone, Debug, FromRow)]
pub struct Person {
    /// Also their user id in every crate.
    pub id: String,
    /// As they want to be called.
    pub name: String,
    /// What they do, in a few words.
    pub headline: String,
}
