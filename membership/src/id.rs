//! Text ids: parsed once, compared as bytes.

use std::borrow::Cow;
use std::fmt;

use crate::{Error, Result};

/// Declares a text newtype of 1 to `$max` bytes without control characters.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[doc = concat!("\n\n1 to ", $max, " bytes of UTF-8 without control characters, compared as bytes.")]
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// [`Error::Invalid`] if it is empty, too long or holds a control character.
            pub fn new(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                match reject(&text, $max) {
                    None => Ok(Self(text)),
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

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The host's id of a person.
    UserId, "user id", 128
);
text_id!(
    /// The host's id of one scope among those of its type.
    ScopeId, "scope id", 128
);
text_id!(
    /// What a member is in a scope: `member`, `owner`, or a name of the host's.
    Role, "role", 64
);
text_id!(
    /// Why a membership was changed, in the words of whoever changed it.
    Reason, "reason", 512
);

/// Names a kind of scope: `group`, `batch`, or a name of the host's.
///
/// 1 to 64 bytes: a lower-case letter, then lower-case letters, digits and underscores. The grammar keeps
/// `"<scope_type>:<scope_id>"` unambiguous.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeType(Cow<'static, str>);

impl ScopeType {
    /// Names a scope type in a constant.
    ///
    /// # Panics
    /// If the name breaks the grammar; in a constant that is a compile error.
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_scope_type(name.as_bytes()), "a scope type is [a-z][a-z0-9_]{{0,63}}");
        Self(Cow::Borrowed(name))
    }

    /// Parses the name.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it breaks the grammar.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if is_scope_type(name.as_bytes()) {
            Ok(Self(Cow::Owned(name)))
        } else {
            Err(Error::Invalid { what: "scope type", problem: "must match [a-z][a-z0-9_]{0,63}" })
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ScopeType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for ScopeType {
    type Error = Error;
    fn try_from(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl std::str::FromStr for ScopeType {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl fmt::Display for ScopeType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

const fn is_scope_type(name: &[u8]) -> bool {
    if name.is_empty() || name.len() > 64 || !name[0].is_ascii_lowercase() {
        return false;
    }
    let mut index = 1;
    while index < name.len() {
        let byte = name[index];
        if !byte.is_ascii_lowercase() && !byte.is_ascii_digit() && byte != b'_' {
            return false;
        }
        index += 1;
    }
    true
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
    fn ids_refuse_what_the_database_could_not_hold() {
        for bad in ["", "a\0b", "a\nb", "\u{85}", &"x".repeat(129)] {
            assert!(matches!(UserId::new(bad), Err(Error::Invalid { what: "user id", .. })), "{bad:?}");
        }
        assert_eq!(UserId::new("x".repeat(128)).unwrap().as_str().len(), 128);
    }

    #[test]
    fn ids_are_compared_as_bytes() {
        let composed = UserId::new("caf\u{e9}").unwrap();
        let decomposed = UserId::new("cafe\u{301}").unwrap();
        assert_ne!(composed, decomposed);
        assert_ne!(UserId::new("ada").unwrap(), UserId::new("ada ").unwrap());
        assert_ne!(UserId::new("ada").unwrap(), UserId::new("Ada").unwrap());
    }

    #[test]
    fn a_scope_type_holds_no_colon() {
        for bad in ["", "Group", "a:b", "1a", "a-b", &"x".repeat(65)] {
            assert!(ScopeType::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(ScopeType::new("mentorship_programme").unwrap().as_str(), "mentorship_programme");
    }
}
