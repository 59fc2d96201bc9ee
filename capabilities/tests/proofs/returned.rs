//! A proof does not leave the function that began the transaction.

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(all: Everything, mut conn: Connection) -> May<'static, CreatePost> {
    scoped!(tx = conn.begin());
    all.authorize(&mut tx, CreatePost, &"ada", &"chess").await.unwrap()
}

fn main() {}
