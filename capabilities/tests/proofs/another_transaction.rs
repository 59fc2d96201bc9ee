//! A proof means nothing in another transaction.

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(all: Everything, mut first: Connection, mut second: Connection) {
    scoped!(first = first.begin());
    scoped!(second = second.begin());
    let may = all.authorize(&mut first, CreatePost, &"ada", &"chess").await.unwrap();
    create_post(&mut second, &may);
}

fn main() {}
