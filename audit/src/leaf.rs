//! What a record is hashed to: leaf format 1, frozen.
//!
//! A leaf is `SHA-256(0x00 || content)`, as RFC 6962 has it. The content is the byte `0x01`, which names this format, then 19
//! columns in this order, each as its length plus one in two bytes, most significant first, followed by its bytes. A column that
//! is `NULL` is two bytes of zero.
//!
//! | | column | bytes |
//! |---|---|---|
//! | 1 | `id` | the 16 bytes of the UUID |
//! | 2 | `at` | microseconds since 1970 UTC, a signed number of 8 bytes, most significant first |
//! | 3–5 | `action`, `actor_kind`, `actor_id` | UTF-8 |
//! | 6–7 | `impersonator_id`, `on_behalf_of_id` | UTF-8, or `NULL` |
//! | 8–10 | `outcome`, `entity_type`, `entity_id` | UTF-8 |
//! | 11–12 | `scope_type`, `scope_id` | UTF-8, or `NULL` |
//! | 13–14 | `request_id`, `trace_id` | UTF-8, or `NULL` |
//! | 15 | `client_trust` | UTF-8, or `NULL` |
//! | 16–17 | `client_commit`, `private_commit` | 32 bytes, or `NULL` |
//! | 18–19 | `before`, `after` | the SHA-256 of the text as stored, or `NULL` |
//!
//! No column is longer than an id. In a row that somebody else has written one may be: from 65,535 bytes on its length is written
//! as `0xFFFF`, which no leaf of a record has there, so that it equals none.

use sha2::{Digest, Sha256};

/// The columns of a row in the order of the format; the last two, the bodies, as they are stored.
pub(crate) type Columns<'a> = [Option<&'a [u8]>; 19];

/// The first bytes of what is hashed: a leaf, of this format.
const PREFIX: [u8; 2] = [0x00, 0x01];

/// Hashes the columns of a row.
pub(crate) fn hash(columns: &Columns<'_>) -> [u8; 32] {
    let [columns @ .., before, after] = columns;
    let mut hash = Sha256::new_with_prefix(PREFIX);
    for column in columns {
        update(&mut hash, *column);
    }
    for body in [before, after] {
        match body {
            None => update(&mut hash, None),
            Some(text) => update(&mut hash, Some(&Sha256::digest(text))),
        }
    }
    hash.finalize().into()
}

fn update(hash: &mut Sha256, column: Option<&[u8]>) {
    let length = column.map_or(0, |bytes| u16::try_from(bytes.len() + 1).unwrap_or(u16::MAX));
    hash.update(length.to_be_bytes());
    hash.update(column.unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] =
        [0x01, 0x9a, 0xa2, 0xc5, 0x8d, 0x31, 0x71, 0xc8, 0x80, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77];

    /// Made by a program that shares nothing with this one but the description above.
    #[test]
    fn golden_vectors() {
        let at = 1_763_683_453_123_456_i64.to_be_bytes();
        let mut columns: Columns<'_> = [None; 19];
        for (index, text) in [
            (2, "test.posts.v1.PostService/CreatePost"),
            (3, "user"),
            (4, "ada"),
            (7, "succeeded"),
            (8, "post"),
            (9, "7"),
        ] {
            columns[index] = Some(text.as_bytes());
        }
        columns[0] = Some(&ID);
        columns[1] = Some(&at);
        assert_eq!(hex(hash(&columns)), "7cb40c659fe7a4ba0685f97f8fa8e7163fdc2139edbfbc012b38eea0e32ec15d");

        for (index, text) in [
            (5, "grace"),
            (6, ""),
            (10, "group"),
            (11, "chess"),
            (12, "request 1"),
            (13, "4bf92f3577b34da6a3ce929d0e0e4736"),
            (14, "proxied"),
            (17, "{\"b\":1,\"a\":2,\"b\":3}"),
            (18, " { \"emoji\" : \"\u{1f680} \\u00e9\" }\n"),
        ] {
            columns[index] = Some(text.as_bytes());
        }
        (columns[15], columns[16]) = (Some(&[0xaa; 32][..]), Some(&[0xbb; 32][..]));
        assert_eq!(hex(hash(&columns)), "f7423787dde5f03b37ddac992694c3942e95e0440c1ea53ea556744afafdd779");
    }

    #[test]
    fn columns_cannot_run_into_each_other() {
        let with = |left: Option<&'static [u8]>, right: Option<&'static [u8]>| {
            let mut columns: Columns<'_> = [None; 19];
            (columns[5], columns[6]) = (left, right);
            hash(&columns)
        };
        let hashes = [
            with(None, None),
            with(Some(b""), None),
            with(None, Some(b"")),
            with(Some(b"ab"), None),
            with(None, Some(b"ab")),
            with(Some(b"a"), Some(b"b")),
            with(Some(&[b'a'; 65_535]), None),
            with(Some(&[b'a'; 65_536]), None),
        ];
        assert!((1..hashes.len()).all(|index| !hashes[..index].contains(&hashes[index])));
    }

    fn hex(bytes: [u8; 32]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
