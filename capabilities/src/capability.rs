//! Capabilities as values of an enum, for tables, and as types, for proofs.

use std::fmt::{Debug, Display};

/// All one may do in one kind of place: an enum made by [`capabilities!`](crate::capabilities!).
pub trait Domain: Copy + Eq + Debug + Display + Send + Sync + 'static {
    /// Every capability, in the order of declaration.
    const ALL: &'static [Self];

    /// Returns the stable name, such as `group.post.create`.
    fn name(self) -> &'static str;

    /// Returns the position in [`ALL`](Self::ALL), below 128.
    fn index(self) -> usize;
}

/// One capability as a type: what an [`Authorized`](crate::Authorized) is a proof of. Made by [`capabilities!`](crate::capabilities!).
pub trait Capability: Copy + Send + Sync + 'static {
    /// Where it belongs.
    type Domain: Domain;
    /// The same capability as a value.
    const VALUE: Self::Domain;
}

/// Declares the capabilities of one domain: an enum of at most 128, and for each variant a unit struct of the same name, for proofs.
///
/// A name is made of `a`–`z`, `0`–`9`, `_` and `.`, and is unique in its domain; anything else does not compile. Names are
/// stable, variants may be renamed. Two domains that share a variant's name live in two modules.
///
/// ```
/// use stoa_capabilities::{Capability, Domain};
///
/// stoa_capabilities::capabilities! {
///     /// What one may do in a group.
///     pub enum GroupCapability {
///         /// Read its posts.
///         Read = "group.read",
///         /// Write a post.
///         CreatePost = "group.post.create",
///     }
/// }
///
/// assert_eq!(GroupCapability::CreatePost.name(), "group.post.create");
/// assert_eq!(<CreatePost as Capability>::VALUE, GroupCapability::CreatePost);
/// assert_eq!(GroupCapability::ALL.len(), 2);
/// ```
///
/// ```compile_fail
/// stoa_capabilities::capabilities! { enum TwoOfAName { Read = "group.read", Look = "group.read" } }
/// ```
#[macro_export]
macro_rules! capabilities {
    (
        $(#[$about:meta])*
        $visibility:vis enum $domain:ident {
            $( $(#[$meaning:meta])* $capability:ident = $name:literal ),+ $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visibility enum $domain {
            $( $(#[$meaning])* $capability, )+
        }

        impl $domain {
            const NAMES: &'static [&'static str] = $crate::__private::checked(&[$($name),+]);
        }

        // Not left to the first use: a bad name stops the build.
        const _: &[&str] = $domain::NAMES;

        impl $crate::Domain for $domain {
            const ALL: &'static [Self] = &[$(Self::$capability),+];

            fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }

            fn index(self) -> usize {
                self as usize
            }
        }

        impl ::std::fmt::Display for $domain {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                formatter.write_str($crate::Domain::name(*self))
            }
        }

        $(
            $(#[$meaning])*
            #[allow(dead_code)] // some capabilities are only ever checked
            #[derive(Clone, Copy, Debug)]
            $visibility struct $capability;

            impl $crate::Capability for $capability {
                type Domain = $domain;
                const VALUE: $domain = $domain::$capability;
            }
        )+
    };
}

/// Returns the names of a domain, or stops the build.
#[doc(hidden)]
pub const fn checked(names: &'static [&'static str]) -> &'static [&'static str] {
    assert!(names.len() <= 128, "a domain has at most 128 capabilities");
    let mut i = 0;
    while i < names.len() {
        assert!(is_name(names[i]), "a capability's name is made of a-z, 0-9, _ and . and is not empty");
        let mut j = 0;
        while j < i {
            assert!(!equal(names[i], names[j]), "two capabilities of a domain have the same name");
            j += 1;
        }
        i += 1;
    }
    names
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if !matches!(bytes[i], b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.') {
            return false;
        }
        i += 1;
    }
    !bytes.is_empty()
}

const fn equal(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut i = 0;
    while i < left.len() && i < right.len() {
        if left[i] != right[i] {
            return false;
        }
        i += 1;
    }
    left.len() == right.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "at most 128")]
    fn a_domain_of_129_is_refused() {
        checked(&["x"; 129]);
    }

    #[test]
    #[should_panic(expected = "not empty")]
    fn an_empty_name_is_refused() {
        checked(&[""]);
    }

    #[test]
    #[should_panic(expected = "made of a-z")]
    fn a_name_with_a_blank_is_refused() {
        checked(&["post create"]);
    }

    #[test]
    #[should_panic(expected = "the same name")]
    fn a_name_twice_is_refused() {
        checked(&["post.create", "post", "post.create"]);
    }

    #[test]
    fn a_name_may_begin_like_another() {
        checked(&["post", "post.create", "posts"]);
    }
}
