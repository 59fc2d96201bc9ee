//! A check without a write is a mistake.
#![deny(unused_must_use)]

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(all: Everything, mut conn: Connection) {
    scoped!(tx = conn.begin());
    all.authorize(&mut tx, CreatePost, &"ada", &"chess").await.unwrap();
}

fn main() {}
