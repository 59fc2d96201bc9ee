//! Names of kinds and queues: parsed once, stable across releases of the host.

use std::borrow::Cow;
use std::fmt;

use crate::{Error, Result};

const MAX_BYTES: usize = 64;
const PROBLEM: &str = "must be 1 to 64 characters a-z, 0-9, '_', '.', '-' and begin with a letter";

/// Declares a name.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 64 characters `a-z`, `0-9`, `_`, `.` and `-`, beginning with a letter.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// Parses the text.
            ///
            /// # Errors
            /// [`Error::Invalid`] if it is not such a name.
            pub fn new(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                if is_name(&text) {
                    Ok(Self(Cow::Owned(text)))
                } else {
                    Err(Error::Invalid { what: $what, problem: PROBLEM })
                }
            }

            /// Takes a literal; in a `const` a wrong one does not compile.
            ///
            /// # Panics
            /// If the text is not such a name.
            pub const fn from_static(text: &'static str) -> Self {
                assert!(is_name(text), "a kind or queue must match [a-z][a-z0-9_.-]{{0,63}}");
                Self(Cow::Borrowed(text))
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

name!(
    /// What a job is: the stable name behind [`Job::KIND`](crate::Job::KIND).
    Kind, "kind"
);
name!(
    /// Where a job waits: runners serve queues by name.
    Queue, "queue"
);
name!(
    /// What a cron entry or a periodic loop is called.
    Name, "name"
);

const fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > MAX_BYTES || !bytes[0].is_ascii_lowercase() {
        return false;
    }
    let mut index = 1;
    while index < bytes.len() {
        if !matches!(bytes[index], b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-') {
            return false;
        }
        index += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in ["a", "mail", "mail.welcome-2_x", &"a".repeat(64)] {
            assert_eq!(Kind::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "1a", ".a", "a b", "a\0", "é", "aé", "a/b", &"a".repeat(65)] {
            assert!(matches!(Queue::new(bad), Err(Error::Invalid { what: "queue", .. })), "{bad:?}");
        }
    }
}
