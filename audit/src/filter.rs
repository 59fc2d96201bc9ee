//! Which records a listing or an export is about.

use chrono::{DateTime, Utc};

use crate::{Action, Actor, Entity, Error, Outcome, Record, RecordId, Result};

/// Chooses records; what is not set chooses all. Conditions add up.
///
/// ```
/// use stoa_audit::{Actions, Actor, Filter, Outcome};
///
/// let denied = Filter::new().actor(Actor::user("eve")?).outcome(Outcome::Denied);
/// let posts = Filter::new().actions(Actions::starting_with("bits.groups.v1.PostService/")?);
/// # Ok::<(), stoa_audit::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Who did it.
    pub actor: Option<Actor>,
    /// To what it was done.
    pub entity: Option<Entity>,
    /// What that belongs to.
    pub scope: Option<Entity>,
    /// What was done.
    pub actions: Option<Actions>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// At this moment or later.
    pub since: Option<DateTime<Utc>>,
    /// Before this moment.
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    /// Chooses every record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses what this one did.
    #[must_use]
    pub fn actor(mut self, actor: Actor) -> Self {
        self.actor = Some(actor);
        self
    }

    /// Chooses what was done to this.
    #[must_use]
    pub fn entity(mut self, entity: Entity) -> Self {
        self.entity = Some(entity);
        self
    }

    /// Chooses what was done within this.
    #[must_use]
    pub fn scope(mut self, scope: Entity) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Chooses these actions.
    #[must_use]
    pub fn actions(mut self, actions: Actions) -> Self {
        self.actions = Some(actions);
        self
    }

    /// Chooses what ended like this.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// Chooses what was done at this moment or later.
    #[must_use]
    pub fn since(mut self, at: DateTime<Utc>) -> Self {
        self.since = Some(at);
        self
    }

    /// Chooses what was done before this moment.
    #[must_use]
    pub fn until(mut self, at: DateTime<Utc>) -> Self {
        self.until = Some(at);
        self
    }

    /// Whether a record under this id is chosen: the meaning that every backend's statement has.
    pub fn matches(&self, id: RecordId, record: &Record) -> bool {
        let (since, until) = self.ids();
        (since <= id && id < until)
            && self.actor.as_ref().is_none_or(|actor| *actor == record.actor)
            && self.entity.as_ref().is_none_or(|entity| *entity == record.entity)
            && self.scope.as_ref().is_none_or(|scope| record.scope.as_ref() == Some(scope))
            && self.actions.as_ref().is_none_or(|actions| actions.contains(&record.action))
            && self.outcome.is_none_or(|outcome| outcome == record.outcome)
    }

    /// The time range as ids: from the first one to below the second.
    pub(crate) fn ids(&self) -> (RecordId, RecordId) {
        let since = self.since.unwrap_or(DateTime::<Utc>::MIN_UTC);
        (RecordId::floor(since), self.until.map_or(RecordId::END, RecordId::floor))
    }
}

/// One action, or all whose names begin alike: a range of names, compared as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actions {
    first: String,
    last: String,
}

impl Actions {
    /// Chooses one action.
    pub fn named(action: &Action) -> Self {
        Self { first: action.as_str().into(), last: action.as_str().into() }
    }

    /// Chooses all actions whose names begin with this text, such as `bits.groups.` or `bits.groups.v1.PostService/`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty, too long or holds a character that no action has.
    pub fn starting_with(prefix: &str) -> Result<Self> {
        let problem = match prefix {
            "" => "must not be empty",
            _ if prefix.len() > 128 => "is too long",
            _ if !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/".contains(&byte)) => {
                "holds a character that no action has"
            }
            // The tilde sorts after every character of a name.
            _ => return Ok(Self { first: prefix.into(), last: format!("{prefix}~") }),
        };
        Err(Error::Invalid { what: "action prefix", problem })
    }

    /// Returns the smallest name.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// Returns the text that no chosen name sorts after.
    pub fn last(&self) -> &str {
        &self.last
    }

    fn contains(&self, action: &Action) -> bool {
        (self.first.as_str()..=self.last.as_str()).contains(&action.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_no_pattern() {
        let action = |name: &str| Action::parse(name).unwrap();
        let actions = Actions::starting_with("bits.groups.v1.Post").unwrap();
        assert!(actions.contains(&action("bits.groups.v1.PostService/CreatePost")));
        assert!(actions.contains(&action("bits.groups.v1.Post/Z_z9")));
        assert!(!actions.contains(&action("bits.groups.v1.PoliceService/Call")));
        assert!(!actions.contains(&action("bits.groups.v11.PostService/CreatePost")));
        let one = Actions::named(&action("a.b.v1.C/D"));
        assert!(one.contains(&action("a.b.v1.C/D")) && !one.contains(&action("a.b.v1.C/D2")));
        for bad in ["", "bits%", "bits\n", "bits~", "b\u{e9}", "bits'", &"x".repeat(129)] {
            assert!(
                matches!(Actions::starting_with(bad), Err(Error::Invalid { what: "action prefix", .. })),
                "{bad:?}"
            );
        }
    }
}
