//! Text identifiers: what names a document, the place it lives in and the people who may see it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// Returns the identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            fn parse(text: Cow<'static, str>) -> Result<Self> {
                let reason = if text.is_empty() {
                    "it is empty"
                } else if text.len() > $max {
                    concat!("it is longer than ", $max, " bytes")
                } else if text.chars().any(char::is_control) {
                    "it holds a control character"
                } else {
                    return Ok(Self(text));
                };
                Err(Error::InvalidId { what: $what, reason })
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::parse(Cow::Owned(text.to_owned()))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::parse(Cow::Owned(text))
            }
        }
    };
}

text_id! {
    /// The kind of place a document belongs to: an open set, with constants for the common ones.
    ///
    /// 1 to 128 bytes without control characters, compared as bytes.
    Surface, "surface", 128
}

impl Surface {
    /// People.
    pub const DIRECTORY: Self = Self(Cow::Borrowed("directory"));
    /// Posts.
    pub const FEED: Self = Self(Cow::Borrowed("feed"));
    /// Job offers.
    pub const JOBS: Self = Self(Cow::Borrowed("jobs"));
    /// Groups.
    pub const GROUPS: Self = Self(Cow::Borrowed("groups"));
    /// Events.
    pub const EVENTS: Self = Self(Cow::Borrowed("events"));
    /// Announcements.
    pub const ANNOUNCEMENTS: Self = Self(Cow::Borrowed("announcements"));
    /// Things offered and wanted.
    pub const MARKETPLACE: Self = Self(Cow::Borrowed("marketplace"));
}

text_id! {
    /// The host's own name of a document, unique within its [`Surface`].
    ///
    /// 1 to 128 bytes without control characters, compared as bytes.
    EntityId, "entity id", 128
}

text_id! {
    /// A mark that a document and a caller may share, such as `group:42` or `batch:2018`.
    ///
    /// 1 to 255 bytes (a prefix and an id fit) without control characters, compared as bytes.
    Tag, "audience tag", 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_short_printable_and_not_empty() {
        for bad in ["", "a\0b", "line\nbreak", &"x".repeat(129)] {
            assert!(matches!(EntityId::try_from(bad), Err(Error::InvalidId { what: "entity id", .. })), "{bad:?}");
        }
        assert!(Surface::try_from("x".repeat(128)).is_ok());
        assert!(Tag::try_from(format!("group:{}", "x".repeat(128))).is_ok());
        assert_ne!(EntityId::try_from("a").unwrap(), EntityId::try_from("A").unwrap());
    }
}
