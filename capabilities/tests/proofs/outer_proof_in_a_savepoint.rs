//! A savepoint has a brand of its own and takes no proof from outside.

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(all: Everything, mut conn: Connection) {
    scoped!(tx = conn.begin());
    let may = all.authorize(&mut tx, CreatePost, &"ada", &"chess").await.unwrap();
    scoped!(savepoint = tx.begin());
    create_post(&mut savepoint, &may);
}

fn main() {}
