//! Keyset pages: a request, a page, and the token that leads to the next one.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// The largest page, in items.
pub(crate) const MAX_LIMIT: u32 = 1000;

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

    /// Goes on where the token points. It has to come from the same listing with the same filter.
    #[must_use]
    pub fn after(mut self, token: PageToken) -> Self {
        self.after = Some(token);
        self
    }

    /// Returns the position to go on after, if the token is one of this listing.
    pub(crate) fn position(&self, listing: Listing) -> Result<Option<&[String; 2]>> {
        match &self.after {
            None => Ok(None),
            Some(token) if token.listing == listing => Ok(Some(&token.position)),
            Some(_) => Err(Error::PageToken),
        }
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

impl<T> Page<T> {
    /// Makes a page of what was read: one row more than asked for tells that there is a next page.
    pub(crate) fn of(
        mut items: Vec<T>,
        request: &PageRequest,
        listing: Listing,
        position: fn(&T) -> [String; 2],
    ) -> Self {
        let has_next = items.len() > request.limit as usize;
        items.truncate(request.limit as usize);
        let last = items.last().filter(|_| has_next);
        let next = last.map(|item| PageToken { listing, position: position(item) });
        Self { items, next }
    }
}

/// A position in one listing. It carries no rights: whoever holds it sees what the call itself allows.
///
/// Displays as lower-case hexadecimal digits with a checksum, safe in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageToken {
    listing: Listing,
    position: [String; 2],
}

/// Tells listings apart: what is listed, and by which filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listing(u32);

impl Listing {
    /// Fingerprints the parts of the question, none of which holds a control character.
    pub(crate) fn new(parts: &[&str]) -> Self {
        Self(crc32fast::hash(parts.join("\0").as_bytes()))
    }
}

const VERSION: u8 = 1;

/// A version, a checksum, a listing, and two texts with their lengths; no text is longer than an id.
const MAX_BYTES: usize = 1 + 4 + 4 + 2 * (1 + 128);

impl fmt::Display for PageToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut content = self.listing.0.to_be_bytes().to_vec();
        for text in &self.position {
            content.push(u8::try_from(text.len()).map_err(|_| fmt::Error)?);
            content.extend(text.as_bytes());
        }
        let checksum = crc32fast::hash(&content).to_be_bytes();
        for byte in std::iter::once(&VERSION).chain(&checksum).chain(&content) {
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
    if !text.is_ascii() || !text.len().is_multiple_of(2) || text.len() > 2 * MAX_BYTES {
        return None;
    }
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    let (&version, rest) = bytes.split_first()?;
    let (checksum, content) = rest.split_first_chunk::<4>()?;
    if version != VERSION || u32::from_be_bytes(*checksum) != crc32fast::hash(content) {
        return None;
    }
    let (listing, rest) = content.split_first_chunk::<4>()?;
    let (first, rest) = take_text(rest)?;
    let (second, rest) = take_text(rest)?;
    rest.is_empty().then(|| PageToken { listing: Listing(u32::from_be_bytes(*listing)), position: [first, second] })
}

fn take_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(length.into())?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_an_edited_one_does_not() {
        for position in [["member", "ada"], ["", ""], [&"é".repeat(64), &"x".repeat(128)]] {
            let token =
                PageToken { listing: Listing::new(&["scope", "group:chess"]), position: position.map(str::to_owned) };
            let text = token.to_string();
            assert_eq!(text.parse::<PageToken>().unwrap(), token);
            for at in 0..text.len() {
                let mut edited = text.clone().into_bytes();
                edited[at] = if edited[at] == b'0' { b'1' } else { b'0' };
                let edited = String::from_utf8(edited).unwrap();
                assert!(matches!(edited.parse::<PageToken>(), Err(Error::PageToken)), "{edited}");
            }
        }
        for foreign in ["", "0", "zz", "01", "é", &"00".repeat(1000), "+1+1+1+1+1+1"] {
            assert!(matches!(foreign.parse::<PageToken>(), Err(Error::PageToken)), "{foreign}");
        }
    }

    #[test]
    fn a_token_of_another_listing_is_refused() {
        let (chess, go) = (Listing::new(&["scope", "group:chess"]), Listing::new(&["scope", "group:go"]));
        let token = PageToken { listing: chess, position: ["member".to_owned(), "ada".to_owned()] };
        let request = PageRequest::first(10).after(token);
        assert!(request.position(chess).unwrap().is_some());
        assert!(matches!(request.position(go), Err(Error::PageToken)));
    }
}
