//! Who is asking.

use std::collections::BTreeSet;

use crate::id::Tag;

/// What a caller may see: the documents that share at least one tag with it.
///
/// An empty set of tags sees nothing, and nobody sees a document without tags, except [`Audience::everything`].
/// There is no `Default`: every search says who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    tags: Option<BTreeSet<Tag>>,
}

impl Audience {
    /// Sees the documents that carry at least one of `tags`.
    pub fn tags(tags: impl IntoIterator<Item = Tag>) -> Self {
        Self { tags: Some(tags.into_iter().collect()) }
    }

    /// Sees every document whatever its tags: for administrators, never for a person's own search.
    pub fn everything() -> Self {
        Self { tags: None }
    }

    /// Returns the caller's tags, or `None` if it sees everything.
    pub fn as_tags(&self) -> Option<&BTreeSet<Tag>> {
        self.tags.as_ref()
    }

    /// Answers whether a document with `tags` is visible to this audience.
    pub fn sees(&self, tags: impl IntoIterator<Item: AsRef<str>>) -> bool {
        match &self.tags {
            None => true,
            Some(own) => tags.into_iter().any(|tag| own.contains(tag.as_ref())),
        }
    }
}
