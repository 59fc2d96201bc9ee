//! The smallest host there is: everybody is an owner everywhere.
#![allow(dead_code)]

use std::convert::Infallible;
use std::ops::{Deref, DerefMut};

use stoa_capabilities::{Authorized, Capabilities, Facts, Scoped};

stoa_capabilities::capabilities! {
    /// What one may do.
    pub enum Can {
        /// Write a post.
        CreatePost = "post.create",
        /// Take a post down.
        RemovePost = "post.remove",
    }
}

pub struct Connection;

pub struct Transaction<'c>(&'c mut Connection);

impl Connection {
    pub fn begin(&mut self) -> Transaction<'_> {
        Transaction(self)
    }
}

impl Transaction<'_> {
    pub fn commit(self) {}
}

impl Deref for Transaction<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.0
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.0
    }
}

pub struct Everybody;

impl Facts for Everybody {
    type Connection = Connection;
    type Actor = &'static str;
    type Scope = &'static str;
    type Role = &'static str;
    type Error = Infallible;

    async fn role(&self, _: &mut Connection, _: &&'static str, _: &&'static str) -> Result<Option<&'static str>, Infallible> {
        Ok(Some("owner"))
    }

    async fn role_many(&self, _: &mut Connection, _: &&'static str, places: &[&'static str]) -> Result<Vec<Option<&'static str>>, Infallible> {
        Ok(places.iter().map(|_| Some("owner")).collect())
    }

    async fn hold(&self, conn: &mut Connection, who: &&'static str, place: &&'static str) -> Result<Option<&'static str>, Infallible> {
        self.role(conn, who, place).await
    }
}

pub type Everything = Capabilities<Everybody, Can>;

pub type May<'tx, Cap> = Authorized<'tx, Cap, &'static str, &'static str>;

pub fn create_post<'tx, T: DerefMut<Target = Connection>>(_: &mut Scoped<'tx, T>, _: &May<'tx, CreatePost>) {}
