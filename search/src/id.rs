//! Text identifiers: what names a document, the place it lives in and the people who may see it.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Declares a text newtype of 1 to `$max` bytes without control characters.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[doc = concat!("\n\n1 to ", $max, " bytes of UTF-8 without control characters, compared as bytes.")]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// [`Error::Invalid`] if it is empty, too long or holds a control character.
            pub fn new(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                match reject(&text, $max) {
                    None => Ok(Self(Cow::Owned(text))),
                    Some(problem) => Err(Error::Invalid { what: $what, problem }),
                }
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        /// Lets a set of ids be asked for a text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
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
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }
    };
}

text_id! {
    /// The kind of place a document belongs to: an open set, with constants for the common ones.
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
    /// The host's own id of a document, unique within its [`Surface`].
    EntityId, "entity id", 128
}

text_id! {
    /// A mark that a document and a caller may share, such as `group:42` or `batch:2018`.
    Tag, "audience tag", 255
}

text_id! {
    /// The host's own id of a person.
    UserId, "user id", 128
}

text_id! {
    /// What makes a signal unique, such as `like ada post-7`.
    SignalKey, "signal key", 255
}

text_id! {
    /// What somebody did with a document. The host may add kinds of its own.
    SignalKind, "signal kind", 64
}

impl SignalKind {
    /// Looked at it.
    pub const VIEW: Self = Self(Cow::Borrowed("view"));
    /// Followed it from a list.
    pub const CLICK: Self = Self(Cow::Borrowed("click"));
    /// Liked it.
    pub const LIKE: Self = Self(Cow::Borrowed("like"));
    /// Wants to see less of it.
    pub const HIDE: Self = Self(Cow::Borrowed("hide"));
}

text_id! {
    /// Why something is recommended, as the host's page will say it.
    Reason, "reason", 255
}

fn reject(text: &str, max: usize) -> Option<&'static str> {
    if text.is_empty() {
        Some("must not be empty")
    } else if text.len() > max {
        Some("is too long")
    } else if text.chars().any(char::is_control) {
        Some("must not hold control characters")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_short_printable_and_not_empty() {
        for bad in ["", "a\0b", "line\nbreak", &"x".repeat(129)] {
            assert!(matches!(EntityId::new(bad), Err(Error::Invalid { what: "entity id", .. })), "{bad:?}");
        }
        assert!(Surface::new("x".repeat(128)).is_ok());
        assert!(Tag::new(format!("group:{}", "x".repeat(128))).is_ok());
        assert_ne!(EntityId::new("a").unwrap(), EntityId::new("A").unwrap());
    }
}
