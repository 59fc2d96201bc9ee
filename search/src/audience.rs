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
    within: Option<BTreeSet<Tag>>,
}

impl Audience {
    /// Sees the documents that carry at least one of `tags`.
    pub fn tags(tags: impl IntoIterator<Item = Tag>) -> Self {
        Self { tags: Some(tags.into_iter().collect()), within: None }
    }

    /// Sees every document whatever its tags: for administrators, never for a person's own search.
    pub fn everything() -> Self {
        Self { tags: None, within: None }
    }

    /// Narrows it to the documents that also carry at least one of these tags: a search within one group.
    #[must_use]
    pub fn within(self, tags: impl IntoIterator<Item = Tag>) -> Self {
        Self { within: Some(tags.into_iter().collect()), ..self }
    }

    pub(crate) fn as_within(&self) -> Option<&BTreeSet<Tag>> {
        self.within.as_ref()
    }

    /// Returns the caller's tags, or `None` if it sees everything.
    pub fn as_tags(&self) -> Option<&BTreeSet<Tag>> {
        self.tags.as_ref()
    }

    /// Answers whether a document with `tags` is visible to this audience.
    pub fn sees(&self, tags: impl IntoIterator<Item: AsRef<str>>) -> bool {
        let (mut meets, mut is_within) = (self.tags.is_none(), self.within.is_none());
        for tag in tags {
            let is_in = |set: &Option<BTreeSet<Tag>>| set.as_ref().is_some_and(|set| set.contains(tag.as_ref()));
            meets |= is_in(&self.tags);
            is_within |= is_in(&self.within);
        }
        meets && is_within
    }
}
