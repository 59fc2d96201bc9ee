//! A record under its id: on its way into the store, and as it comes back.

use crate::{Commitment, Error, Personal, Private, Record, RecordId, Result, leaf};

/// A record that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Names the record and carries its time: [`RecordId::at`].
    pub id: RecordId,
    /// What was recorded.
    pub record: Record,
    /// What stays of it when personal data is erased.
    pub digests: Digests,
}

impl Entry {
    /// Computes the hash of the leaf again from what was read. It is [`Digests::leaf`] unless something was changed.
    pub fn leaf_hash(&self) -> [u8; 32] {
        leaf_hash(self.id, &self.record, self.digests.client, self.digests.personal)
    }
}

/// What the row of a record says about its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Binds the client's address, if there is one.
    pub client: Option<Commitment>,
    /// Binds the personal fields, if there are any.
    pub personal: Option<Commitment>,
    /// The hash of the record as a leaf of the Merkle log.
    pub leaf: [u8; 32],
}

/// A record that is about to be written: everything a backend stores.
#[derive(Clone, Debug)]
pub struct NewRecord<'a> {
    /// Names the record.
    pub id: RecordId,
    /// The record. A backend stores neither the client's address nor the personal fields in its row.
    pub record: &'a Record,
    /// The client's address.
    pub client: Option<Private<'a>>,
    /// The personal fields.
    pub personal: Option<Private<'a>>,
    /// The hash of the record as a leaf of the Merkle log.
    pub leaf: [u8; 32],
}

impl<'a> NewRecord<'a> {
    /// Salts the personal data and computes the hash of the leaf.
    ///
    /// # Errors
    /// [`Error::Invalid`] if personal data is marked as erased: what was read back cannot be recorded again without it.
    /// [`Error::Backend`] if the operating system has no random bytes for the salt.
    pub fn new(id: RecordId, record: &'a Record) -> Result<Self> {
        let erased = |what| Error::Invalid { what, problem: "was erased" };
        let client = match record.request.client.map(|client| client.ip) {
            None => None,
            Some(Personal::Kept(ip)) => Some(Private::new(record.client_subject(), ip.to_string().into())?),
            Some(Personal::Erased) => return Err(erased("client address")),
        };
        let personal = match &record.personal {
            None => None,
            Some(Personal::Kept(of)) => Some(Private::new(Some(&of.subject), of.fields.as_str().into())?),
            Some(Personal::Erased) => return Err(erased("personal data")),
        };
        let commitment = |private: &Option<Private<'_>>| private.as_ref().map(|private| private.commitment);
        let leaf = leaf_hash(id, record, commitment(&client), commitment(&personal));
        Ok(Self { id, record, client, personal, leaf })
    }

    /// Returns what the row says about its bytes.
    pub fn digests(&self) -> Digests {
        let commitment = |private: &Option<Private<'_>>| private.as_ref().map(|private| private.commitment);
        Digests { client: commitment(&self.client), personal: commitment(&self.personal), leaf: self.leaf }
    }

    /// Whether it takes more than one row.
    pub fn is_compound(&self) -> bool {
        self.client.is_some() || self.personal.is_some() || self.record.key.is_some()
    }
}

fn leaf_hash(id: RecordId, record: &Record, client: Option<Commitment>, personal: Option<Commitment>) -> [u8; 32] {
    let request = &record.request;
    leaf::hash(&[
        Some(id.as_uuid().as_bytes()),
        Some(&id.at().timestamp_micros().to_be_bytes()),
        Some(record.action.as_str().as_bytes()),
        Some(record.actor.kind().as_bytes()),
        Some(record.actor.id().as_bytes()),
        record.impersonator.as_ref().map(|user| user.as_str().as_bytes()),
        record.on_behalf_of.as_ref().map(|user| user.as_str().as_bytes()),
        Some(record.outcome.as_str().as_bytes()),
        Some(record.entity.kind().as_str().as_bytes()),
        Some(record.entity.id().as_str().as_bytes()),
        record.scope.as_ref().map(|scope| scope.kind().as_str().as_bytes()),
        record.scope.as_ref().map(|scope| scope.id().as_str().as_bytes()),
        request.request_id.as_ref().map(|id| id.as_str().as_bytes()),
        request.trace_id.as_ref().map(|id| id.as_str().as_bytes()),
        request.client.map(|client| client.trust.as_str().as_bytes()),
        client.as_ref().map(|made| &made.as_bytes()[..]),
        personal.as_ref().map(|made| &made.as_bytes()[..]),
        record.before.as_ref().map(|body| body.as_str().as_bytes()),
        record.after.as_ref().map(|body| body.as_str().as_bytes()),
    ])
}
