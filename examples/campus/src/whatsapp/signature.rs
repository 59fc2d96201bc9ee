//! What proves that a delivery is the provider's, and hashes that only campus can make. All comparisons take the same time.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::outgoing::Secret;

/// Says whether a header of the form `sha256=<hex>` is the signature of these very bytes.
pub(super) fn is_of(header: &str, body: &[u8], secret: &Secret) -> bool {
    let Some(signature) = header.strip_prefix("sha256=").and_then(unhex) else { return false };
    mac(secret).is_some_and(|mac| mac.chain_update(body).verify_slice(&signature).is_ok())
}

/// Says whether two texts are the same: the same time whatever they share.
pub(super) fn is_same(one: &[u8], other: &[u8], secret: &Secret) -> bool {
    let tag = |text: &[u8]| mac(secret).map(|mac| mac.chain_update(text).finalize());
    tag(one).zip(tag(other)).is_some_and(|(one, other)| one == other)
}

/// What stands for a text: the same each time, and nobody without the secret finds out what it was by trying.
pub(super) fn hash(text: &str, secret: &Secret) -> String {
    let bytes = mac(secret).map(|mac| mac.chain_update(text).finalize().into_bytes()).unwrap_or_default();
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a text does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A key of any length is one: there is always some.
fn mac(secret: &Secret) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(secret.as_bytes()).ok()
}

fn unhex(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signature_of_these_bytes_holds() {
        let secret = Secret::new("Jefe").unwrap();
        let body = b"what do ya want for nothing?";
        // RFC 4231, test case 2.
        let right = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(is_of(&format!("sha256={right}"), body, &secret));
        assert!(is_of(&format!("sha256={}", right.to_uppercase()), body, &secret));
        assert_eq!(hash("what do ya want for nothing?", &secret), right);
        let other = Secret::new("jefe").unwrap();
        assert!(!is_of(&format!("sha256={right}"), body, &other));
        assert!(!is_of(&format!("sha256={right}"), b"what do ya want for nothing? ", &secret));
        for bad in ["", right, "sha256=", "sha1=5bdc", &format!("sha256={}", &right[1..]), &format!("sha256={right}0")]
        {
            assert!(!is_of(bad, body, &secret), "{bad}");
        }
        assert!(!is_of(&format!("sha256={}", "é".repeat(32)), body, &secret));
        assert!(is_same(b"token", b"token", &secret) && !is_same(b"token", b"Token", &secret));
    }
}
