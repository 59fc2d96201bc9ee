//! The rows of the host's own tables.

use serde::Serialize;
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

/// A place to post in.
#[derive(Clone, Debug, FromRow)]
pub struct Group {
    /// Also the id of its scope.
    pub id: String,
    /// As it is called.
    pub name: String,
    /// What it is about.
    pub description: String,
}

/// What a member wrote into a group.
#[derive(Clone, Debug, FromRow, Serialize)]
pub struct Post {
    /// A UUID of version 7: ids grow with time.
    pub id: String,
    /// Where.
    pub group_id: String,
    /// Who.
    pub author_id: String,
    /// One line.
    pub title: String,
    /// Plain text.
    pub body: String,
    /// Microseconds since 1970 in UTC.
    pub created_at: i64,
}

/// A document that was imported from a file.
#[derive(Clone, Debug, FromRow)]
pub struct Document {
    /// The surface it belongs to.
    pub surface: String,
    /// Its id within the surface.
    pub id: String,
    /// One line.
    pub title: String,
    /// Plain text.
    pub body: String,
}
