//! The groups of a generated campus, and who is in which.

use super::people::{Somebody, slug};
use super::places::CITIES;
use super::rng::Rng;
use super::topics::{BY_HAND, CHAPTER, TOPICS, Topic};
use stoa_membership::Scope;

use crate::error::Result;
use crate::groups::{Group, GroupKind};

/// Which groups there are: a chapter a city, a group a topic, and then groups of one topic in one city.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    /// So many cities have a chapter.
    pub(super) chapters: usize,
    /// So many topics have a group, those that were written by hand first.
    pub(super) topics: usize,
    locals: usize,
}

impl Groups {
    /// Spreads so many groups, those that were written by hand among them.
    pub(super) fn new(groups: u64) -> Self {
        let groups = usize::try_from(groups).unwrap_or(usize::MAX).max(BY_HAND + 1);
        let topics = (BY_HAND + (groups - BY_HAND) / 2).min(TOPICS.len());
        let chapters = (groups - topics).min(CITIES.len());
        let locals = (groups - topics - chapters).min(TOPICS.len() * CITIES.len());
        Self { chapters, topics, locals }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.chapters + self.topics + self.locals
    }

    /// The group with that number, unless it was written by hand.
    pub(super) fn group(&self, number: usize) -> Option<Group> {
        let (topic, city) = self.about(number);
        let (id, name, description) = match (topic, city) {
            (Some(topic), None) if number < BY_HAND => {
                debug_assert!(topic.description.is_empty(), "it was written by hand");
                return None;
            }
            (Some(topic), None) => (topic.id.to_owned(), topic.name.to_owned(), topic.description.to_owned()),
            (Some(topic), Some(city)) => (
                format!("{}-{}", topic.id, slug(city)),
                format!("{} in {city}", topic.name),
                format!(
                    "For everybody in and around {city} who cares about {} or {}.",
                    topic.things[0], topic.things[1]
                ),
            ),
            (None, city) => {
                let city = city.unwrap_or_default();
                let description = format!(
                    "Alumni in and around {city}: dinners, newcomers, and a talk when somebody passes through."
                );
                (format!("chapter-{}", slug(city)), format!("{city} Chapter"), description)
            }
        };
        let kind = self.kind(number);
        Some(Group { id, kind, name, description, place: city.unwrap_or_default().to_owned() })
    }

    /// The id of the group with that number.
    pub(super) fn id(&self, number: usize) -> String {
        self.group(number).map_or_else(|| TOPICS[number].id.to_owned(), |group| group.id)
    }

    /// The kind of the group with that number.
    pub(super) fn kind(&self, number: usize) -> GroupKind {
        if self.about(number).0.is_some() { GroupKind::Interest } else { GroupKind::Chapter }
    }

    /// The scope of the group with that number.
    pub(super) fn scope(&self, number: usize) -> Result<Scope> {
        self.kind(number).scope(&self.id(number))
    }

    /// What the group with that number talks of.
    pub(super) fn topic(&self, number: usize) -> &'static Topic {
        self.about(number).0.unwrap_or(&CHAPTER)
    }

    /// Where the group with that number is, if it is in one city.
    pub(super) fn city(&self, number: usize) -> Option<&'static str> {
        self.about(number).1
    }

    fn about(&self, number: usize) -> (Option<&'static Topic>, Option<&'static str>) {
        if number < self.topics {
            (Some(&TOPICS[number]), None)
        } else if number < self.topics + self.chapters {
            (None, Some(CITIES[number - self.topics]))
        } else {
            let local = number - self.topics - self.chapters;
            (Some(&TOPICS[local % TOPICS.len()]), Some(CITIES[local / TOPICS.len()]))
        }
    }

    /// The groups somebody is in, each once: the chapter of their city, what they care about, and that in their city.
    pub(super) fn of(&self, seed: u64, number: u64, somebody: &Somebody) -> Vec<usize> {
        let mut rng = Rng::of(seed, "interests", number);
        let mut groups = Vec::with_capacity(8);
        if somebody.city < self.chapters && rng.chance(80) {
            groups.push(self.topics + somebody.city);
        }
        // Most care about one or two things, few about four.
        let interests = [1, 1, 1, 2, 2, 2, 3, 4][rng.index(8)];
        for _ in 0..interests {
            let topic = rng.index(TOPICS.len());
            if topic < self.topics {
                groups.push(topic);
            }
            let local = somebody.city * TOPICS.len() + topic;
            if local < self.locals && rng.chance(70) {
                groups.push(self.topics + self.chapters + local);
            }
        }
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}
