//! Sign-in: signed tokens, and the keys that they are held against.
//!
//! A key is good for one algorithm, which the key says and never the token: a public key is no secret for HS256, and `none` is
//! no algorithm. A token's `kid` picks among the keys.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use stoa_membership::UserId;
use uuid::Uuid;

use crate::app::App;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::sql::MetaSql as _;

/// How far the clocks of whoever issues tokens may be off, in seconds.
const LEEWAY: u64 = 30;
/// How long the demo's tokens hold, in seconds.
pub(super) const SESSION: u64 = 12 * 60 * 60;
/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 8 * 1024;
/// The shortest secret for HS256, in bytes: as long as its hash.
const MIN_SECRET: usize = 32;
/// The shortest RSA modulus, in bytes.
const MIN_MODULUS: usize = 256;

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

/// What a token has to say beside who it is of: who issued it, and for whom.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The token's `iss`, if it must have one.
    pub issuer: Option<String>,
    /// What must be among the token's `aud`; without it, a token for somebody in particular is refused.
    pub audience: Option<String>,
}

/// The keys that tokens are held against.
pub struct Keys {
    keys: Vec<Key>,
    expected: Expected,
}

struct Key {
    id: Option<String>,
    decoding: DecodingKey,
    validation: Validation,
}

/// What campus reads in a token, and writes into the demo's.
#[derive(Deserialize, Serialize)]
struct Claims {
    sub: String,
    exp: u64,
}

impl Keys {
    /// No key yet: nobody can sign in.
    pub fn new(expected: Expected) -> Self {
        Self { keys: Vec::new(), expected }
    }

    /// Adds a secret for HS256; its tokens have no `kid`.
    ///
    /// # Errors
    /// If it is shorter than 32 bytes, or there is a key without an id already.
    pub fn secret(self, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET {
            return Err(KeyError(format!("a secret for HS256 has at least {MIN_SECRET} bytes")));
        }
        self.key(None, Algorithm::HS256, DecodingKey::from_secret(secret))
    }

    /// Adds the public keys of a JSON Web Key Set: RSA for RS256, Ed25519 for `EdDSA`. Keys for anything else are left out.
    ///
    /// # Errors
    /// If it is none, if none of its keys can be used, or if two keys share an id.
    pub fn jwks(mut self, json: &str) -> Result<Self, KeyError> {
        let set: JwkSet = serde_json::from_str(json).map_err(|error| KeyError(format!("no JWK set: {error}")))?;
        let before = self.keys.len();
        for jwk in &set.keys {
            let id = jwk.common.key_id.clone();
            if let Some(algorithm) = usable(jwk) {
                let decoding = DecodingKey::from_jwk(jwk).map_err(|error| {
                    KeyError(format!("the key {} is malformed: {error}", id.as_deref().unwrap_or("without kid")))
                })?;
                self = self.key(id, algorithm, decoding)?;
            } else {
                tracing::warn!(kid = id, "a key of the JWK set is left out: it is not for RS256 or EdDSA signatures");
            }
        }
        if self.keys.len() == before {
            return Err(KeyError("no key of the JWK set is for RS256 (2048 bits or more) or EdDSA signatures".into()));
        }
        Ok(self)
    }

    /// The demo's secret, and no other key.
    pub(super) fn demo(secret: &[u8]) -> Self {
        let expected = Expected::default();
        let key = Key::new(None, Algorithm::HS256, DecodingKey::from_secret(secret), &expected);
        Self { keys: vec![key], expected }
    }

    fn key(mut self, id: Option<String>, algorithm: Algorithm, decoding: DecodingKey) -> Result<Self, KeyError> {
        if self.keys.iter().any(|key| key.id == id) {
            let id = id.as_deref().map_or_else(|| "have no kid".into(), |id| format!("share the kid {id}"));
            return Err(KeyError(format!("two keys {id}: a token could not pick one")));
        }
        self.keys.push(Key::new(id, algorithm, decoding, &self.expected));
        Ok(self)
    }

    /// Says whose token it is.
    ///
    /// # Errors
    /// [`Error::BadToken`], whatever is wrong with it: the log knows more.
    pub fn user(&self, token: &str) -> Result<UserId> {
        self.verified(token).map_err(|problem| {
            tracing::debug!(problem, "a token was refused");
            Error::BadToken
        })
    }

    fn verified(&self, token: &str) -> Result<UserId, String> {
        if token.len() > MAX_TOKEN {
            return Err("it is too long".into());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
        let key = self.keys.iter().find(|key| key.id == header.kid).ok_or("there is no key with its kid")?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &key.validation)
            .map_err(|error| error.to_string())?
            .claims;
        UserId::new(claims.sub).map_err(|error| error.to_string())
    }
}

impl Key {
    fn new(id: Option<String>, algorithm: Algorithm, decoding: DecodingKey, expected: &Expected) -> Self {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &expected.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &expected.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        Self { id, decoding, validation }
    }
}

/// What the demo signs its tokens with.
pub(super) struct Signer(EncodingKey);

impl Signer {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(EncodingKey::from_secret(secret))
    }

    /// A token that is good for [`SESSION`].
    pub(super) fn token(&self, user: &UserId) -> Result<String> {
        let exp = jsonwebtoken::get_current_timestamp() + SESSION;
        let claims = Claims { sub: user.as_str().to_owned(), exp };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.0)
            .map_err(|error| Error::Internal(Box::new(error)))
    }
}

/// A secret that nobody can guess: 244 random bits.
pub(super) fn random_secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// The secret of this demo database, made the first time: a restart signs nobody out.
///
/// # Errors
/// If the database does not answer.
pub async fn demo_secret<B: Backend>(app: &App<B>) -> Result<String> {
    let mut tx = app.begin().await?;
    tx.insert_meta("session_secret", &random_secret()).await?;
    let secret = tx.meta("session_secret").await?.ok_or(Error::NotFound)?;
    app.commit(tx).await?;
    Ok(secret)
}

/// What a key of a set is good for here, if anything.
fn usable(jwk: &Jwk) -> Option<Algorithm> {
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = jwk.common.key_algorithm;
    match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if algorithm.is_none_or(|algorithm| algorithm == KeyAlgorithm::RS256) => {
            let modulus = BASE64_URL_SAFE_NO_PAD.decode(&rsa.n).ok()?;
            let length = modulus.iter().skip_while(|&&byte| byte == 0).count();
            (length >= MIN_MODULUS).then_some(Algorithm::RS256)
        }
        AlgorithmParameters::OctetKeyPair(pair)
            if pair.curve == EllipticCurve::Ed25519
                && algorithm.is_none_or(|algorithm| algorithm == KeyAlgorithm::EdDSA) =>
        {
            Some(Algorithm::EdDSA)
        }
        _ => None,
    }
}
