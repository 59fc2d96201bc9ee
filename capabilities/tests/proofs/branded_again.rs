//! A transaction that is branded again needs new proofs.

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(all: Everything, mut conn: Connection) {
    scoped!(tx = conn.begin());
    let may = all.authorize(&mut tx, CreatePost, &"ada", &"chess").await.unwrap();
    scoped!(again = tx.into_inner());
    create_post(&mut again, &may);
}

fn main() {}
