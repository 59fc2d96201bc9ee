//! Actions: what was done, named like the method that did it.

use std::borrow::Cow;
use std::fmt;

use crate::{Error, Result};

/// Names what was done: `<namespace>.<domain>.v<N>.<Service>/<Method>`, at most 128 bytes.
///
/// Namespace and domain are `[a-z][a-z0-9_]*`, N is a positive number, service and method are `[A-Z][A-Za-z0-9_]*`.
///
/// ```
/// use stoa_audit::Action;
/// const POST_CREATED: Action = Action::new("bits.groups.v1.PostService/CreatePost");
/// ```
///
/// A constant that breaks the grammar does not compile:
///
/// ```compile_fail,E0080
/// use stoa_audit::Action;
/// const POST_CREATED: Action = Action::new("bits.groups.PostService/CreatePost");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Action(Cow<'static, str>);

impl Action {
    /// Names an action in a constant.
    ///
    /// # Panics
    /// If the name breaks the grammar; in a constant that is a compile error.
    pub const fn new(name: &'static str) -> Self {
        assert!(is_action(name.as_bytes()), "an action reads <namespace>.<domain>.v<N>.<Service>/<Method>");
        Self(Cow::Borrowed(name))
    }

    /// Parses a name.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it breaks the grammar.
    pub fn parse(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if is_action(name.as_bytes()) {
            Ok(Self(Cow::Owned(name)))
        } else {
            Err(Error::Invalid { what: "action", problem: "must read <namespace>.<domain>.v<N>.<Service>/<Method>" })
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Action {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Action {
    type Error = Error;
    fn try_from(name: &str) -> Result<Self> {
        Self::parse(name)
    }
}

impl TryFrom<String> for Action {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        Self::parse(name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

const MAX_BYTES: usize = 128;

/// A position past every end: once a step of the scan fails, all later ones do. (`?` does not work in a `const fn`.)
const FAILED: usize = usize::MAX;

const fn is_action(name: &[u8]) -> bool {
    let namespace = snake(name, 0);
    let domain = snake(name, byte(name, namespace, b'.'));
    let version = number(name, byte(name, byte(name, domain, b'.'), b'v'));
    let service = camel(name, byte(name, version, b'.'));
    let method = camel(name, byte(name, service, b'/'));
    method == name.len() && name.len() <= MAX_BYTES
}

const fn byte(text: &[u8], at: usize, expected: u8) -> usize {
    if at < text.len() && text[at] == expected { at + 1 } else { FAILED }
}

const fn snake(text: &[u8], mut at: usize) -> usize {
    if at >= text.len() || !text[at].is_ascii_lowercase() {
        return FAILED;
    }
    while at < text.len() && (text[at].is_ascii_lowercase() || text[at].is_ascii_digit() || text[at] == b'_') {
        at += 1;
    }
    at
}

const fn camel(text: &[u8], mut at: usize) -> usize {
    if at >= text.len() || !text[at].is_ascii_uppercase() {
        return FAILED;
    }
    while at < text.len() && (text[at].is_ascii_alphanumeric() || text[at] == b'_') {
        at += 1;
    }
    at
}

const fn number(text: &[u8], mut at: usize) -> usize {
    if at >= text.len() || !text[at].is_ascii_digit() || text[at] == b'0' {
        return FAILED;
    }
    while at < text.len() && text[at].is_ascii_digit() {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_held() {
        for good in ["bits.groups.v1.PostService/CreatePost", "a.b.v10.C/D", "a_1.b_2.v2.C_3/D4"] {
            assert_eq!(Action::parse(good).unwrap().as_str(), good);
        }
        let long = format!("bits.groups.v1.PostService/C{}", "x".repeat(128));
        for bad in [
            "",
            "bits",
            "bits.groups.PostService/CreatePost",
            "bits.groups.v0.PostService/CreatePost",
            "bits.groups.v.PostService/CreatePost",
            "bits.groups.v1.postService/CreatePost",
            "bits.groups.v1.PostService",
            "bits.groups.v1.PostService/",
            "bits.groups.v1.PostService/Create/Post",
            "bits.more.groups.v1.PostService/CreatePost",
            "Bits.groups.v1.PostService/CreatePost",
            ".groups.v1.PostService/CreatePost",
            "bits.groups.v1.PostService/CreatePost\n",
            "bits.groups.v1.PostService/Cr\u{e9}er",
            long.as_str(),
        ] {
            assert!(matches!(Action::parse(bad), Err(Error::Invalid { what: "action", .. })), "{bad:?}");
        }
    }
}
