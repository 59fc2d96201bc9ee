//! Who acts, and in which request.

use stoa_audit::{Action, Actor, Entity, Record, RequestContext};
use stoa_membership::UserId;

use crate::error::Result;

/// Somebody signed in, and the request they make. Every service function that changes something takes one.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Their id in every crate.
    pub user: UserId,
    /// What audit records say of the request.
    pub request: RequestContext,
}

impl Caller {
    /// Somebody, in no request.
    pub fn new(user: UserId) -> Self {
        Self { user, request: RequestContext::default() }
    }

    /// Begins the record of what they do.
    ///
    /// # Errors
    /// If their id is none of an audit record; memberships and audit share their bounds, so that does not happen.
    pub fn record(&self, action: Action, entity: Entity) -> Result<Record> {
        Ok(Record::new(action, &Actor::user(self.user.as_str())?, entity).request(&self.request))
    }
}

impl From<&UserId> for Caller {
    fn from(user: &UserId) -> Self {
        Self::new(user.clone())
    }
}
