//! Branded transactions cannot change places.

mod support;

use stoa_capabilities::scoped;
use support::*;

async fn post(mut first: Connection, mut second: Connection) {
    scoped!(first = first.begin());
    scoped!(second = second.begin());
    std::mem::swap(&mut first, &mut second);
}

fn main() {}
