//! Rolling back to a savepoint releases what was locked since, so its proofs stay inside.

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(all: Everything, mut conn: Connection) {
    scoped!(tx = conn.begin());
    scoped!(savepoint = tx.begin());
    let may = all.authorize(&mut savepoint, CreatePost, &"ada", &"chess").await.unwrap();
    drop(savepoint);
    create_post(&mut tx, &may);
}

fn main() {}
