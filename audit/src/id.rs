//! Text ids: parsed once, compared as bytes, unable to forge a line.

use std::borrow::Cow;
use std::fmt;

use crate::{Error, Result};

/// Declares a text newtype of 1 to 128 bytes that prints on one line.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 128 bytes of UTF-8 without control characters, line separators and marks that change the writing
        /// direction. Compared as bytes.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// [`Error::Invalid`] if it is empty, too long or holds a character that does not print as itself.
            pub fn new(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                match reject(&text) {
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
    UserId, "user id"
);
text_id!(
    /// The name of a program that acts: a service, or a part of the host.
    ActorName, "actor name"
);
text_id!(
    /// The host's id of one entity among those of its type.
    EntityId, "entity id"
);
text_id!(
    /// The host's id of the request in which something happened.
    RequestId, "request id"
);
text_id!(
    /// The id under which a tracing system knows the request, such as the 32 hexadecimal digits of W3C Trace Context.
    TraceId, "trace id"
);

text_id!(
    /// What the host calls one attempt to do something, however often it is tried: a message's id, a form's token.
    ///
    /// It counts among the records of one actor and one action, so that nobody can use up the keys of another.
    IdempotencyKey, "idempotency key"
);

impl From<i64> for EntityId {
    fn from(id: i64) -> Self {
        Self(id.to_string())
    }
}

/// Names a kind of entity, such as `post` or `group`: `[a-z][a-z0-9_]*`, at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityType(Cow<'static, str>);

impl EntityType {
    /// Names an entity type in a constant.
    ///
    /// # Panics
    /// If the name breaks the grammar; in a constant that is a compile error.
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_entity_type(name.as_bytes()), "an entity type is [a-z][a-z0-9_]{{0,63}}");
        Self(Cow::Borrowed(name))
    }

    /// Parses the name.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it breaks the grammar.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if is_entity_type(name.as_bytes()) {
            Ok(Self(Cow::Owned(name)))
        } else {
            Err(Error::Invalid { what: "entity type", problem: "must match [a-z][a-z0-9_]{0,63}" })
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for EntityType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for EntityType {
    type Error = Error;
    fn try_from(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<String> for EntityType {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl fmt::Display for EntityType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

const fn is_entity_type(name: &[u8]) -> bool {
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

fn reject(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("must not be empty")
    } else if text.len() > 128 {
        Some("is too long")
    } else if text.chars().any(is_unprintable) {
        Some("must not hold control characters")
    } else {
        None
    }
}

/// Control characters (CR, LF, NUL, ESC and the C1 set), the two line separators of Unicode, and the marks that let a text
/// print in another order than it is stored.
pub(crate) fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_could_forge_a_line() {
        let long = "x".repeat(129);
        for bad in
            ["", "a\0b", "a\nb", "a\rb", "\u{1b}[31m", "\u{9b}31m", "\u{85}", "a\u{2028}b", "a\u{202e}b", long.as_str()]
        {
            assert!(matches!(UserId::new(bad), Err(Error::Invalid { what: "user id", .. })), "{bad:?}");
        }
        assert_eq!(UserId::new("x".repeat(128)).unwrap().as_str().len(), 128);
    }

    #[test]
    fn ids_are_compared_as_bytes() {
        assert_ne!(EntityId::new("caf\u{e9}").unwrap(), EntityId::new("cafe\u{301}").unwrap());
        assert_ne!(EntityId::new("ada").unwrap(), EntityId::new("Ada").unwrap());
        assert_eq!(EntityId::from(-7).as_str(), "-7");
    }

    #[test]
    fn an_entity_type_is_a_plain_word() {
        for bad in ["", "Post", "a:b", "1a", "a-b", &"x".repeat(65)] {
            assert!(EntityType::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(EntityType::new("mentorship_programme").unwrap().as_str(), "mentorship_programme");
    }
}
