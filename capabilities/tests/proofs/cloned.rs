//! There is one proof for one check.

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(all: Everything, mut conn: Connection) {
    scoped!(tx = conn.begin());
    let may = all.authorize(&mut tx, CreatePost, &"ada", &"chess").await.unwrap();
    let _ = may.clone();
}

fn main() {}
