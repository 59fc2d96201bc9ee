//! A proof does not outlive its turn of a loop.

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(all: Everything, mut conn: Connection) {
    let mut kept = None;
    loop {
        scoped!(tx = conn.begin());
        if let Some(may) = &kept {
            create_post(&mut tx, may);
        }
        kept = Some(all.authorize(&mut tx, CreatePost, &"ada", &"chess").await.unwrap());
        tx.into_inner().commit();
    }
}

fn main() {}
