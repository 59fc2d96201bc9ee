//! A transaction that was committed is gone.

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(all: Everything, mut conn: Connection) {
    scoped!(tx = conn.begin());
    let may = all.authorize(&mut tx, CreatePost, &"ada", &"chess").await.unwrap();
    tx.into_inner().commit();
    create_post(&mut tx, &may);
}

fn main() {}
