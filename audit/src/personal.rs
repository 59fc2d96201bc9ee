//! Personal data: kept beside a record, bound to it by a commitment, and erasable.

use std::borrow::Cow;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::{Body, Error, Result, UserId};

/// Personal data as it is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Personal<T> {
    /// It was erased. What the record says besides stays readable and provable.
    Erased,
    /// It is still there.
    Kept(T),
}

impl<T> Personal<T> {
    /// Returns the data, if it is still there.
    pub fn kept(&self) -> Option<&T> {
        match self {
            Self::Erased => None,
            Self::Kept(value) => Some(value),
        }
    }
}

/// Fields that are somebody's personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonalFields {
    /// Whose they are.
    pub subject: UserId,
    /// The fields, as one JSON object.
    pub fields: Body,
}

/// Binds personal data to its record without saying anything about it: `SHA-256(0x02 || salt || bytes)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Commitment([u8; 32]);

impl Commitment {
    /// Computes the commitment.
    pub fn of(salt: [u8; 16], bytes: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0x02]).chain_update(salt).chain_update(bytes).finalize().into())
    }

    /// Takes a commitment as a backend read it.
    pub fn from_stored(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Personal data on its way into the side table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Private<'a> {
    /// With whom it is erased; nobody for the address of a program that acts for itself.
    pub subject: Option<&'a UserId>,
    /// Keeps the commitment from being guessed.
    pub salt: [u8; 16],
    /// The data: an address as text, or fields as JSON.
    pub body: Cow<'a, str>,
    /// What the record holds instead.
    pub commitment: Commitment,
}

impl<'a> Private<'a> {
    /// Salts the data with 128 bits from the operating system's source of randomness, and commits to it.
    pub(crate) fn new(subject: Option<&'a UserId>, body: Cow<'a, str>) -> Result<Self> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|error| Error::Backend(error.into()))?;
        let commitment = Commitment::of(salt, body.as_bytes());
        Ok(Self { subject, salt, body, commitment })
    }
}

/// A row of the side table, as a backend read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPrivate {
    /// Whose it is.
    pub subject: Option<String>,
    /// The salt.
    pub salt: Vec<u8>,
    /// The data.
    pub body: Vec<u8>,
}

impl StoredPrivate {
    /// Reads an address back.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the row is not what the record's commitment was made of.
    pub fn address(row: Option<Self>, commitment: Commitment) -> Result<Personal<IpAddr>> {
        let Some(row) = row else { return Ok(Personal::Erased) };
        let text = row.opened(commitment, "client")?;
        text.parse().map(Personal::Kept).map_err(|_| Error::Corrupt { what: "client" })
    }

    /// Reads personal fields back.
    ///
    /// # Errors
    /// As [`address`](Self::address).
    pub fn fields(row: Option<Self>, commitment: Commitment) -> Result<Personal<PersonalFields>> {
        let Some(row) = row else { return Ok(Personal::Erased) };
        let subject = row.subject.as_deref().and_then(|subject| UserId::new(subject).ok());
        let subject = subject.ok_or(Error::Corrupt { what: "personal" })?;
        Ok(Personal::Kept(PersonalFields { subject, fields: Body::from_stored(row.opened(commitment, "personal")?) }))
    }

    fn opened(self, commitment: Commitment, what: &'static str) -> Result<String> {
        let salt = self.salt.try_into().map_err(|_| Error::Corrupt { what })?;
        if Commitment::of(salt, &self.body) != commitment {
            return Err(Error::Corrupt { what });
        }
        String::from_utf8(self.body).map_err(|_| Error::Corrupt { what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commitment_is_the_documented_hash() {
        // printf '\x02\x00…\x0fada' | sha256sum, with the sixteen bytes 0x00 to 0x0f as salt.
        let salt = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let expected = [0x4d46_a80a_17a2_76c5_e121_3a2b_4191_f1a0_u128, 0xf239_3af5_60f9_bff7_2334_f639_1dc7_092b]
            .map(u128::to_be_bytes)
            .concat();
        assert_eq!(Commitment::of(salt, b"ada").as_bytes()[..], expected);
    }

    #[test]
    fn salts_differ_and_so_do_the_commitments_to_the_same_text() {
        let (one, other) = (Private::new(None, "ada".into()).unwrap(), Private::new(None, "ada".into()).unwrap());
        assert_ne!(one.salt, other.salt);
        assert_ne!(one.commitment, other.commitment);
    }

    #[test]
    fn only_what_was_committed_to_reads_back() {
        let ada = UserId::new("ada").unwrap();
        let private = Private::new(Some(&ada), "192.0.2.7".into()).unwrap();
        let stored = StoredPrivate {
            subject: Some("ada".into()),
            salt: private.salt.to_vec(),
            body: private.body.as_bytes().to_vec(),
        };
        let forged = StoredPrivate { body: b"192.0.2.8".to_vec(), ..stored.clone() };
        let address = StoredPrivate::address(Some(stored), private.commitment).unwrap();
        assert_eq!(address, Personal::Kept("192.0.2.7".parse().unwrap()));
        assert_eq!(StoredPrivate::address(None, private.commitment).unwrap(), Personal::Erased);
        let error = StoredPrivate::address(Some(forged), private.commitment).unwrap_err();
        assert!(matches!(error, Error::Corrupt { what: "client" }));
    }
}
