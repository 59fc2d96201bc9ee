//! A proof of one capability is no proof of another.

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(all: Everything, mut conn: Connection) {
    scoped!(tx = conn.begin());
    let may = all.authorize(&mut tx, RemovePost, &"ada", &"chess").await.unwrap();
    create_post(&mut tx, &may);
}

fn main() {}
