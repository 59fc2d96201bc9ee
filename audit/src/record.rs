//! Records: who did what to which entity, on whose behalf, in which request.

use std::fmt;
use std::net::IpAddr;

use crate::{
    Action, ActorName, Audited, Body, EntityId, EntityType, Error, IdempotencyKey, Personal, PersonalFields, RequestId,
    Result, TraceId, UserId,
};

/// What is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// What was done.
    pub action: Action,
    /// Whose rights it was done with.
    pub actor: Actor,
    /// The person who acted under the actor's name, such as a member of staff.
    pub impersonator: Option<UserId>,
    /// The person for whom a service or the system acted.
    pub on_behalf_of: Option<UserId>,
    /// How it ended.
    pub outcome: Outcome,
    /// To what it was done.
    pub entity: Entity,
    /// What the entity belongs to, such as a group.
    pub scope: Option<Entity>,
    /// How the request reached the host.
    pub request: RequestContext,
    /// The listed fields of the entity before.
    pub before: Option<Body>,
    /// The listed fields of the entity after.
    pub after: Option<Body>,
    /// Personal data, kept apart from the record.
    pub personal: Option<Personal<PersonalFields>>,
    /// Names the attempt, so that it is recorded once. It is not part of what is read back.
    pub key: Option<IdempotencyKey>,
}

impl Record {
    /// Says who did what to which entity, and that it succeeded.
    pub fn new(action: Action, actor: &Actor, entity: Entity) -> Self {
        Self {
            action,
            actor: actor.clone(),
            impersonator: None,
            on_behalf_of: None,
            outcome: Outcome::Succeeded,
            entity,
            scope: None,
            request: RequestContext::default(),
            before: None,
            after: None,
            personal: None,
            key: None,
        }
    }

    /// Names the attempt: a second record of this actor and action under the same key is not written.
    #[must_use]
    pub fn once(mut self, key: IdempotencyKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Names the person who acted under the actor's name.
    #[must_use]
    pub fn impersonator(mut self, user: UserId) -> Self {
        self.impersonator = Some(user);
        self
    }

    /// Names the person for whom a service or the system acted.
    #[must_use]
    pub fn on_behalf_of(mut self, user: UserId) -> Self {
        self.on_behalf_of = Some(user);
        self
    }

    /// Says how it ended.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Names what the entity belongs to.
    #[must_use]
    pub fn scope(mut self, scope: Entity) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Says how the request reached the host.
    #[must_use]
    pub fn request(mut self, request: &RequestContext) -> Self {
        self.request = request.clone();
        self
    }

    /// Keeps the listed fields of the entity as it was before.
    ///
    /// # Errors
    /// As [`Body::of`].
    pub fn before<T: Audited>(mut self, entity: &T) -> Result<Self> {
        self.before = Some(Body::of(entity)?);
        Ok(self)
    }

    /// Keeps the listed fields of the entity as it is afterwards.
    ///
    /// # Errors
    /// As [`Body::of`].
    pub fn after<T: Audited>(mut self, entity: &T) -> Result<Self> {
        self.after = Some(Body::of(entity)?);
        Ok(self)
    }

    /// Keeps the listed fields that changed, as they were before and as they are afterwards, in their own bytes.
    ///
    /// A field that only one side has is on that side. Nothing changed: both sides are `{}`.
    ///
    /// # Errors
    /// As [`Body::of`].
    pub fn diff<T: Audited>(mut self, before: &T, after: &T) -> Result<Self> {
        let (before, after) = Body::diff(&Body::of(before)?, &Body::of(after)?);
        (self.before, self.after) = (Some(before), Some(after));
        Ok(self)
    }

    /// Keeps the fields listed in [`Audited::PERSONAL`], in a place from which [`Audit::erase`](crate::Audit::erase) removes what
    /// belongs to this person.
    ///
    /// # Errors
    /// As [`Body::of`].
    pub fn personal<T: Audited>(mut self, subject: UserId, entity: &T) -> Result<Self> {
        self.personal = Some(Personal::Kept(PersonalFields { subject, fields: Body::personal_of(entity)? }));
        Ok(self)
    }

    /// Returns what the row of a record holds: personal data marked as erased, and no key.
    pub(crate) fn without_personal(&self) -> Self {
        let mut row = Self { key: None, ..self.clone() };
        row.personal = row.personal.map(|_| Personal::Erased);
        if let Some(client) = &mut row.request.client {
            client.ip = Personal::Erased;
        }
        row
    }

    /// Returns the person at the client's address: who acts under another's name before that one, and for a program the person
    /// on whose behalf it acts.
    pub(crate) fn client_subject(&self) -> Option<&UserId> {
        let acting = match &self.actor {
            Actor::User(id) => Some(id),
            Actor::Service(_) | Actor::System(_) => self.on_behalf_of.as_ref(),
        };
        self.impersonator.as_ref().or(acting)
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Actor {
    /// Another program, such as an importer.
    Service(ActorName),
    /// The host itself, such as a scheduled clean-up.
    System(ActorName),
    /// A person.
    User(UserId),
}

impl Actor {
    /// Parses the id of an acting person.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not a user id.
    pub fn user(id: impl Into<String>) -> Result<Self> {
        Ok(Self::User(UserId::new(id)?))
    }

    /// Returns the stored name of the kind: `service`, `system` or `user`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Service(_) => "service",
            Self::System(_) => "system",
            Self::User(_) => "user",
        }
    }

    /// Returns the id or name within its kind.
    pub fn id(&self) -> &str {
        match self {
            Self::Service(name) | Self::System(name) => name.as_str(),
            Self::User(id) => id.as_str(),
        }
    }

    /// Reads an actor back from its stored kind and id.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no such kind, or the id does not fit it.
    pub fn from_parts(kind: &str, id: &str) -> Result<Self> {
        match kind {
            "service" => Ok(Self::Service(id.try_into()?)),
            "system" => Ok(Self::System(id.try_into()?)),
            "user" => Ok(Self::User(id.try_into()?)),
            _ => Err(Error::Invalid { what: "actor kind", problem: "is unknown" }),
        }
    }
}

/// Displays as `user:ada`.
impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.kind(), self.id())
    }
}

/// What something was done to: a type and an id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entity {
    kind: EntityType,
    id: EntityId,
}

impl Entity {
    /// Puts an entity together.
    pub fn new(kind: EntityType, id: impl Into<EntityId>) -> Self {
        Self { kind, id: id.into() }
    }

    /// Returns the type.
    pub fn kind(&self) -> &EntityType {
        &self.kind
    }

    /// Returns the id within the type.
    pub fn id(&self) -> &EntityId {
        &self.id
    }
}

/// Displays as `post:7`.
impl fmt::Display for Entity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.kind, self.id)
    }
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The actor was not allowed to.
    Denied,
    /// It was tried and did not work.
    Failed,
    /// It was done.
    Succeeded,
}

impl Outcome {
    /// Returns the stored name: `denied`, `failed` or `succeeded`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
        }
    }
}

impl TryFrom<&str> for Outcome {
    type Error = Error;
    fn try_from(name: &str) -> Result<Self> {
        match name {
            "denied" => Ok(Self::Denied),
            "failed" => Ok(Self::Failed),
            "succeeded" => Ok(Self::Succeeded),
            _ => Err(Error::Invalid { what: "outcome", problem: "is unknown" }),
        }
    }
}

/// How a request reached the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestContext {
    /// The host's own id of the request.
    pub request_id: Option<RequestId>,
    /// The tracing system's id of the request.
    pub trace_id: Option<TraceId>,
    /// Where the client seems to be.
    pub client: Option<ClientAddress>,
}

impl RequestContext {
    /// Sets the host's own id of the request.
    #[must_use]
    pub fn request_id(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Sets the tracing system's id of the request.
    #[must_use]
    pub fn trace_id(mut self, id: TraceId) -> Self {
        self.trace_id = Some(id);
        self
    }

    /// Sets where the client seems to be.
    #[must_use]
    pub fn client(mut self, ip: IpAddr, trust: Trust) -> Self {
        self.client = Some(ClientAddress { ip: Personal::Kept(ip), trust });
        self
    }
}

/// A client's address and how far to believe it. This crate reads no headers: the host knows its proxies.
///
/// An address is personal data of whoever sits there: it is always kept apart from the record, and erased with that person
/// (the impersonator, else the acting user, else the person on whose behalf a program acts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress {
    /// The address.
    pub ip: Personal<IpAddr>,
    /// How far to believe it.
    pub trust: Trust,
}

/// How far to believe a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trust {
    /// The client said so itself, in a header anybody can set.
    Claimed,
    /// It is the other end of the host's own socket.
    Direct,
    /// A proxy that the host trusts said so.
    Proxied,
}

impl Trust {
    /// Returns the stored name: `claimed`, `direct` or `proxied`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Direct => "direct",
            Self::Proxied => "proxied",
        }
    }
}

impl TryFrom<&str> for Trust {
    type Error = Error;
    fn try_from(name: &str) -> Result<Self> {
        match name {
            "claimed" => Ok(Self::Claimed),
            "direct" => Ok(Self::Direct),
            "proxied" => Ok(Self::Proxied),
            _ => Err(Error::Invalid { what: "trust", problem: "is unknown" }),
        }
    }
}
