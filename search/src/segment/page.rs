//! Pages: the rows that keys and their values lie in.
//!
//! An entry is the number of bytes its key shares with the one before, the rest of the key, and the value, the latter two each after
//! their length. Small entries share a page, so that a rare word costs no row of its own; a large value is alone in one.

use super::{damaged, put, take, take_slice};
use crate::error::Result;

/// How large a page of several entries becomes, in bytes: two of them fill a page of PostgreSQL.
const FULL: usize = 3900;
/// A larger value is alone.
const LARGE: usize = 1000;
/// The longest key: a language or a mark, and a tag.
const MAX_KEY: usize = 256;

/// A row of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The first key of the page.
    pub key: Vec<u8>,
    /// Whether it holds no other.
    pub is_single: bool,
    /// The entries.
    pub block: Vec<u8>,
}

/// Makes pages of entries that come in the order of their keys.
#[derive(Default)]
pub(crate) struct Writer {
    pages: Vec<Page>,
    open: Option<Page>,
    last: Vec<u8>,
    namespaces: i64,
}

impl Writer {
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.namespaces |= super::namespace(key[0]);
        let is_large = value.len() > LARGE;
        if is_large || self.open.as_ref().is_some_and(|page| page.block.len() + key.len() + value.len() > FULL) {
            self.pages.extend(self.open.take());
        }
        let page = self.open.get_or_insert_with(|| {
            self.last.clear();
            Page { key: key.to_vec(), is_single: is_large, block: Vec::new() }
        });
        let shared = key.iter().zip(&self.last).take_while(|(a, b)| a == b).count();
        put(shared as u64, &mut page.block);
        put((key.len() - shared) as u64, &mut page.block);
        page.block.extend(&key[shared..]);
        put(value.len() as u64, &mut page.block);
        page.block.extend(value);
        key.clone_into(&mut self.last);
        if is_large {
            self.pages.extend(self.open.take());
        }
    }

    /// Returns the pages, and which namespaces have keys in them.
    pub(crate) fn finish(mut self) -> (Vec<Page>, i64) {
        self.pages.extend(self.open.take());
        (self.pages, self.namespaces)
    }
}

/// Reads the entries of a page in order.
pub(crate) struct Entries<'a> {
    rest: &'a [u8],
    key: Vec<u8>,
}

impl<'a> Entries<'a> {
    pub(crate) fn of(block: &'a [u8]) -> Self {
        Self { rest: block, key: Vec::new() }
    }

    /// Moves on to the next entry and returns its value; its key is [`Entries::key`].
    pub(crate) fn next(&mut self) -> Result<Option<&'a [u8]>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let shared = usize::try_from(take(&mut self.rest)?).map_err(|_| damaged())?;
        let suffix = take_slice(&mut self.rest)?;
        if shared > self.key.len() || shared + suffix.len() > MAX_KEY || shared + suffix.len() == 0 {
            return Err(damaged());
        }
        self.key.truncate(shared);
        self.key.extend(suffix);
        take_slice(&mut self.rest).map(Some)
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }
}

/// Returns the value of a key in a page.
pub(crate) fn find<'a>(block: &'a [u8], key: &[u8]) -> Result<Option<&'a [u8]>> {
    let mut entries = Entries::of(block);
    while let Some(value) = entries.next()? {
        match entries.key().cmp(key) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Ok(Some(value)),
            std::cmp::Ordering::Greater => break,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_in_the_last_page_that_begins_before_it() {
        let keys: Vec<Vec<u8>> = (0..3000).map(|n| format!("\x01term{n:05}").into_bytes()).collect();
        let value = |at: usize| vec![7; if at % 500 == 3 { 5000 } else { at % 20 }];
        let mut writer = Writer::default();
        keys.iter().enumerate().for_each(|(at, key)| writer.push(key, &value(at)));
        let (pages, namespaces) = writer.finish();
        assert_eq!((namespaces, pages.iter().filter(|page| page.is_single).count()), (2, 6));
        assert!(pages.iter().all(|page| page.is_single || page.block.len() <= FULL + 300));
        for (at, key) in keys.iter().enumerate() {
            let page = &pages[pages.partition_point(|page| page.key <= *key) - 1];
            assert_eq!(find(&page.block, key).unwrap().unwrap(), value(at));
            assert_eq!(find(&page.block, &[key, &b"x"[..]].concat()).unwrap(), None);
        }
    }

    #[test]
    fn a_damaged_page_is_an_error_not_a_panic() {
        let mut writer = Writer::default();
        for term in ["boat", "boats", "oar"] {
            writer.push(format!("\x01{term}").as_bytes(), b"value");
        }
        let block = writer.finish().0.remove(0).block;
        for cut in 1..block.len() {
            let _ = find(&block[..cut], b"\x01zzz");
            let mut damaged = block.clone();
            damaged[cut] ^= 0xff;
            let _ = find(&damaged, b"\x01zzz");
        }
        assert!(find(&block[..block.len() - 1], b"\x01zzz").is_err());
    }
}
