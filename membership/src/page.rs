//! Keyset pages: a request, a page, and the token that leads to the next one.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result, UserId};

/// The largest page, in items.
const MAX_LIMIT: u32 = 1000;

/// Asks for one page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pub(crate) limit: u32,
    pub(crate) after: Option<PageToken>,
}

impl PageRequest {
    /// Asks for the first page of up to `limit` items; the limit is held within 1 and 1,000.
    pub fn first(limit: u32) -> Self {
        Self { limit: limit.clamp(1, MAX_LIMIT), after: None }
    }

    /// Goes on where the token points.
    #[must_use]
    pub fn after(mut self, token: PageToken) -> Self {
        self.after = Some(token);
        self
    }
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the order of the listing.
    pub items: Vec<T>,
    /// Leads to the next page; `None` on the last one.
    pub next: Option<PageToken>,
}

/// A position in a listing. It carries no rights: whoever holds it sees what the call itself allows.
///
/// Displays as lower-case hexadecimal digits with a checksum, safe in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken {
    pub(crate) user: UserId,
}

const VERSION: u8 = 1;

impl fmt::Display for PageToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.user.as_str().as_bytes();
        let checksum = crc32fast::hash(position).to_be_bytes();
        for byte in std::iter::once(&VERSION).chain(&checksum).chain(position) {
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for PageToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        decode(text).ok_or(Error::PageToken)
    }
}

fn decode(text: &str) -> Option<PageToken> {
    // A version, a checksum and the longest id: nothing longer is decoded.
    if !text.is_ascii() || !text.len().is_multiple_of(2) || text.len() > 2 * (1 + 4 + 128) {
        return None;
    }
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    let (&version, rest) = bytes.split_first()?;
    let (checksum, position) = rest.split_first_chunk::<4>()?;
    if version != VERSION || u32::from_be_bytes(*checksum) != crc32fast::hash(position) {
        return None;
    }
    let user = UserId::new(std::str::from_utf8(position).ok()?).ok()?;
    Some(PageToken { user })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_an_edited_one_does_not() {
        let token = PageToken { user: UserId::new("ada").unwrap() };
        let text = token.to_string();
        assert_eq!(text.parse::<PageToken>().unwrap(), token);
        for at in 0..text.len() {
            let mut edited = text.clone().into_bytes();
            edited[at] = if edited[at] == b'0' { b'1' } else { b'0' };
            let edited = String::from_utf8(edited).unwrap();
            assert!(matches!(edited.parse::<PageToken>(), Err(Error::PageToken)), "{edited}");
        }
        for foreign in ["", "0", "zz", "01", "é", &"00".repeat(1000), "+1+1+1+1+1+1"] {
            assert!(matches!(foreign.parse::<PageToken>(), Err(Error::PageToken)), "{foreign}");
        }
    }
}
