//! A record under its id: on its way into the store, and as it comes back.

use crate::{Commitment, Error, Personal, Private, Record, RecordId, Result};

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
    pub fn new(id: RecordId, record: &'a Record) -> Result<Self> {
        let erased = |what| Error::Invalid { what, problem: "was erased" };
        let client = match record.request.client.map(|client| client.ip) {
            None => None,
            Some(Personal::Kept(ip)) => Some(Private::new(record.client_subject(), ip.to_string().into())),
            Some(Personal::Erased) => return Err(erased("client address")),
        };
        let personal = match &record.personal {
            None => None,
            Some(Personal::Kept(of)) => Some(Private::new(Some(&of.subject), of.fields.as_str().into())),
            Some(Personal::Erased) => return Err(erased("personal data")),
        };
        let mut new = Self { id, record, client, personal, leaf: [0; 32] };
        new.leaf = leaf_hash(&new);
        Ok(new)
    }

    /// Returns what the row says about its bytes.
    pub fn digests(&self) -> Digests {
        let commitment = |private: &Option<Private<'_>>| private.as_ref().map(|private| private.commitment);
        Digests { client: commitment(&self.client), personal: commitment(&self.personal), leaf: self.leaf }
    }

    /// Whether it takes more than one row.
    pub(crate) fn is_compound(&self) -> bool {
        self.client.is_some() || self.personal.is_some() || self.record.key.is_some()
    }
}

/// Hashes the values that are stored, as a leaf of the Merkle log.
fn leaf_hash(new: &NewRecord<'_>) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(new.id.as_uuid().as_bytes()).into()
}
