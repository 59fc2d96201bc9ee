//! Only a check makes a proof.

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(mut conn: Connection) {
    scoped!(tx = conn.begin());
    let may = May::<CreatePost>::new(&tx, "ada", "chess");
    create_post(&mut tx, &may);
}

fn main() {}
