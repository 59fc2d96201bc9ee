//! Signed notes: text with Ed25519 signatures below it (<https://c2sp.org/signed-note>).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::tree::hex_digit;
use crate::{Error, Result};

/// Names a log, and the keys that sign for it: best a URL without its scheme, such as `example.com/audit`.
///
/// 1 to 128 printable ASCII characters without spaces and `+`. It is the first line of every checkpoint
/// (<https://c2sp.org/tlog-checkpoint>), must not change while the log lives, and is not the name of another log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(String);

impl Origin {
    /// Parses the name.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty, too long or holds another character.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let invalid = |problem| Err(Error::Invalid { what: "origin", problem });
        if name.is_empty() {
            invalid("must not be empty")
        } else if name.len() > 128 {
            invalid("is too long")
        } else if !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+') {
            invalid("must hold only printable ascii characters other than plus")
        } else {
            Ok(Self(name))
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Origin {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Origin {
    type Error = Error;
    fn try_from(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<String> for Origin {
    type Error = Error;
    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl FromStr for Origin {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Signs the checkpoints of one log with an Ed25519 key (RFC 8032).
///
/// The host keeps the key, outside the database that the log is in. `Debug` shows the public half alone, and the secret
/// half is wiped from memory on drop.
pub struct Signer {
    key: SigningKey,
    verifier: Verifier,
}

impl Signer {
    /// Takes the 32-byte seed of the key: random bytes that only the host knows.
    pub fn new(origin: Origin, seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        let verifier = Verifier::new(origin, key.verifying_key());
        Self { key, verifier }
    }

    /// Returns the log that the key signs for.
    pub fn origin(&self) -> &Origin {
        &self.verifier.origin
    }

    /// Returns the public half, to be handed to whoever verifies.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Signs a text that ends in a newline and holds no other control character.
    pub(crate) fn sign_text(&self, text: &str) -> String {
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        let signature = encode(&[&self.verifier.id[..], &signature].concat());
        format!("{text}\n{SIGNATURE_MARK}{} {signature}\n", self.verifier.origin)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Signer").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

/// Verifies the checkpoints of one log: its name and public key.
///
/// Displays and parses as `name+id+key`: the log's [`Origin`], 8 lower-case hexadecimal digits, and the base64 of the byte
/// 1 (Ed25519) and the 32-byte key. The id is the first 4 bytes of `SHA-256(name || 0x0A || 0x01 || key)`.
///
/// # Examples
/// ```
/// use stoa_audit::Verifier;
///
/// let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// assert_eq!(key.parse::<Verifier>()?.to_string(), key);
/// # Ok::<(), stoa_audit::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    origin: Origin,
    id: [u8; 4],
    key: VerifyingKey,
}

impl Verifier {
    /// The most bytes that a note may have: room for 16 signatures of any kind in use.
    pub const MAX_NOTE_BYTES: usize = 128 * 1024;

    /// The most signatures that a note may have.
    pub const MAX_SIGNATURES: usize = 64;

    fn new(origin: Origin, key: VerifyingKey) -> Self {
        let hash = Sha256::new()
            .chain_update(origin.as_str())
            .chain_update([b'\n', ED25519])
            .chain_update(key.as_bytes())
            .finalize();
        let id = [hash[0], hash[1], hash[2], hash[3]];
        Self { origin, id, key }
    }

    /// Returns the log that the key signs for.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the text of a note that this key signed, with its last newline.
    pub(crate) fn open_text<'note>(&self, note: &'note str) -> Result<&'note str> {
        if note.len() > Self::MAX_NOTE_BYTES {
            return Err(invalid_note("is too long"));
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(invalid_note("must not hold control characters"));
        }
        // The last empty line is the one that counts: the text may have others.
        let end = note.rfind("\n\n").ok_or(invalid_note("has no signatures"))? + 1;
        let (text, signatures) = (&note[..end], &note[end + 1..]);
        let signatures = signatures.strip_suffix('\n').ok_or(invalid_note("does not end in a signature"))?;

        let mut is_signed = false;
        for (index, line) in signatures.split('\n').enumerate() {
            if index == Self::MAX_SIGNATURES {
                return Err(invalid_note("has too many signatures"));
            }
            let (name, signature) = parse_signature(line).ok_or(invalid_note("holds a malformed signature"))?;
            let Some(signature) = signature.strip_prefix(&self.id) else { continue };
            if name == self.origin.as_str() {
                self.verify(text, signature)?;
                is_signed = true;
            }
        }
        if is_signed { Ok(text) } else { Err(Error::Unsigned) }
    }

    fn verify(&self, text: &str, signature: &[u8]) -> Result<()> {
        let signature = Signature::from_slice(signature).map_err(|_| Error::SignatureMismatch)?;
        self.key.verify_strict(text.as_bytes(), &signature).map_err(|_| Error::SignatureMismatch)
    }
}

impl FromStr for Verifier {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let invalid = |problem| Error::Invalid { what: "verifier key", problem };
        // The name holds no plus, the base64 may.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(invalid("must be a name, an id and a key"));
        };
        let origin = Origin::new(name)?;
        let id = parse_id(id).ok_or(invalid("must have an id of 8 lower-case hexadecimal digits"))?;
        let [kind, key @ ..] = decode::<33>(key).ok_or(invalid("must have 33 bytes of base64"))?;
        if kind != ED25519 {
            return Err(invalid("must be of the kind ed25519"));
        }
        // A weak key has signatures that fit any text.
        let key = VerifyingKey::from_bytes(&key).ok().filter(|key| !key.is_weak());
        let verifier = Self::new(origin, key.ok_or(invalid("holds no usable key"))?);
        if verifier.id == id { Ok(verifier) } else { Err(invalid("has the id of another key")) }
    }
}

impl TryFrom<&str> for Verifier {
    type Error = Error;
    fn try_from(text: &str) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = [ED25519; 33];
        key[1..].copy_from_slice(self.key.as_bytes());
        write!(formatter, "{}+{:08x}+{}", self.origin, u32::from_be_bytes(self.id), encode(&key))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Verifier({self})")
    }
}

/// Decodes the one canonical base64 text of so many bytes.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N.div_ceil(3) * 4 {
        return None;
    }
    BASE64.decode(text).ok()?.try_into().ok()
}

/// Encodes bytes as base64.
pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// The byte that stands for Ed25519 in keys and in what their ids are hashed from.
const ED25519: u8 = 1;

/// How a signature line begins: an em dash and a space.
const SIGNATURE_MARK: &str = "\u{2014} ";

fn invalid_note(problem: &'static str) -> Error {
    Error::Invalid { what: "note", problem }
}

/// Splits a signature line into the name of the key and what it signed with: its id, then the signature.
fn parse_signature(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, signature) = line.strip_prefix(SIGNATURE_MARK)?.split_once(' ')?;
    let is_name = !name.is_empty() && !name.contains(|character: char| character.is_whitespace() || character == '+');
    // A line of any key holds its id and at least one byte more.
    let signature = BASE64.decode(signature).ok().filter(|signature| signature.len() > 4)?;
    is_name.then_some((name, signature))
}

fn parse_id(text: &str) -> Option<[u8; 4]> {
    let digits: [u8; 8] = text.as_bytes().try_into().ok()?;
    let mut id = 0;
    for digit in digits {
        id = id << 4 | u32::from(hex_digit(digit)?);
    }
    Some(id.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // The key, the note and the refused keys that golang.org/x/mod/sumdb/note is tested with.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str =
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const SIGNATURE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signer() -> Signer {
        let [ED25519, seed @ ..] = decode::<33>(SEED).unwrap() else { panic!("another kind of key") };
        Signer::new(Origin::new("PeterNeumann").unwrap(), &seed)
    }

    fn signed() -> String {
        format!("{TEXT}\n{SIGNATURE}")
    }

    #[test]
    fn the_published_note_is_signed_and_opened() {
        assert_eq!(signer().verifier().to_string(), KEY);
        assert_eq!(signer().sign_text(TEXT), signed());
        assert_eq!(KEY.parse::<Verifier>().unwrap().open_text(&signed()).unwrap(), TEXT);
    }

    #[test]
    fn the_key_of_the_go_checksum_database_is_understood() {
        let key = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
        assert_eq!(key.parse::<Verifier>().unwrap().to_string(), key);
    }

    #[test]
    fn no_other_text_parses_as_the_key() {
        for start in 0..KEY.len() {
            for end in start..=KEY.len() {
                assert_eq!(KEY[start..end].parse::<Verifier>().is_ok(), end - start == KEY.len());
            }
        }
        for at in 0..KEY.len() {
            for byte in 0..0x80 {
                let mut bytes = KEY.as_bytes().to_vec();
                bytes[at] = byte;
                let text = String::from_utf8(bytes).unwrap();
                assert_eq!(text.parse::<Verifier>().is_ok(), text == KEY, "{text:?}");
            }
        }
        for bad in [
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW\n",
            &format!("{KEY}{}", "A".repeat(1_000_000)),
        ] {
            assert!(matches!(bad.parse::<Verifier>(), Err(Error::Invalid { what: "verifier key", .. })));
        }
    }

    #[test]
    fn a_key_that_fits_any_text_is_refused() {
        // The neutral element of the curve, as a public key under its right id.
        let mut key = [0; 33];
        (key[0], key[1]) = (ED25519, 1);
        let hash = Sha256::new().chain_update("weak\n").chain_update(key).finalize();
        let text = format!("weak+{:08x}+{}", u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]), encode(&key));
        assert_eq!(text.parse::<Verifier>().unwrap_err().to_string(), "verifier key holds no usable key");
    }

    #[test]
    fn every_edited_byte_of_a_note_is_refused() {
        let (signed, verifier) = (signed(), signer().verifier().clone());
        for at in 0..signed.len() {
            for byte in 0..=0xff {
                let mut bytes = signed.clone().into_bytes();
                if std::mem::replace(&mut bytes[at], byte) != byte {
                    let Ok(note) = String::from_utf8(bytes) else { continue };
                    assert!(verifier.open_text(&note).is_err(), "{note:?}");
                }
            }
            let Some((before, after)) = signed.split_at_checked(at) else { continue };
            assert!(verifier.open_text(before).is_err());
            for added in ["\n", " ", "=", "A", "\u{2014}"] {
                assert!(verifier.open_text(&format!("{before}{added}{after}")).is_err(), "{added:?} at {at}");
            }
        }
    }

    #[test]
    fn signatures_of_unknown_keys_are_ignored() {
        let verifier = signer().verifier().clone();
        let other = |name: &str, seed| Signer::new(Origin::new(name).unwrap(), &[seed; 32]).sign_text(TEXT);
        let lines = |note: &str| note[TEXT.len() + 1..].to_owned();
        let witness = lines(&other("witness.example", 1));
        let namesake = lines(&other("PeterNeumann", 2));
        let same_id = SIGNATURE.replace("PeterNeumann", "Peter");
        let post_quantum = format!("\u{2014} quantum.example {}\n", encode(&[7; 5000]));
        for unknown in [&witness, &namesake, &same_id, &post_quantum] {
            assert!(matches!(verifier.open_text(&format!("{TEXT}\n{unknown}")), Err(Error::Unsigned)));
            for note in [format!("{TEXT}\n{unknown}{SIGNATURE}"), format!("{TEXT}\n{SIGNATURE}{unknown}")] {
                assert_eq!(verifier.open_text(&note).unwrap(), TEXT);
            }
        }
        let sixteen = format!("{TEXT}\n{SIGNATURE}{}", post_quantum.repeat(15));
        assert_eq!(verifier.open_text(&sixteen).unwrap(), TEXT);
    }

    #[test]
    fn a_false_signature_in_the_name_of_the_key_is_refused() {
        let verifier = signer().verifier().clone();
        let stolen = signer().sign_text("another text\n")["another text\n\n".len()..].to_owned();
        let short = format!("\u{2014} PeterNeumann {}\n", encode(&[0xc7, 0x4f, 0x20, 0xa3, 1]));
        let long = format!("\u{2014} PeterNeumann {}\n", encode(&[&[0xc7, 0x4f, 0x20, 0xa3][..], &[1; 65]].concat()));
        for forged in [stolen, short, long] {
            for note in [
                format!("{TEXT}\n{forged}"),
                format!("{TEXT}\n{SIGNATURE}{forged}"),
                format!("{TEXT}\n{forged}{SIGNATURE}"),
            ] {
                assert!(matches!(verifier.open_text(&note), Err(Error::SignatureMismatch)), "{note}");
            }
        }
    }

    #[test]
    fn a_malformed_note_is_refused() {
        let verifier = signer().verifier().clone();
        let line = SIGNATURE.trim_end();
        let blob = line.rsplit(' ').next().unwrap();
        for bad in [
            String::new(),
            "\n\n".to_owned(),
            TEXT.to_owned(),
            format!("{TEXT}{SIGNATURE}"),
            format!("{TEXT}\n"),
            format!("{TEXT}\n{line}"),
            format!("{TEXT}\n{SIGNATURE}\n"),
            format!("{TEXT}\n{line}\r\n"),
            format!("{TEXT}\n\0{SIGNATURE}"),
            format!("{TEXT}\n\u{1b}{SIGNATURE}"),
            format!("{TEXT}\n{SIGNATURE}\u{2014} witness\n"),
            format!("{TEXT}\n{SIGNATURE}\u{2014}  {blob}\n"),
            format!("{TEXT}\n{SIGNATURE}\u{2014} a+b {blob}\n"),
            format!("{TEXT}\n{SIGNATURE}\u{2014} a\u{2003}b {blob}\n"),
            format!("{TEXT}\n{SIGNATURE}- witness {blob}\n"),
            format!("{TEXT}\n{SIGNATURE}\u{2014} witness x08go/Y=\n\u{2014} witness x08gow==\n"),
            format!("{TEXT}\n{SIGNATURE}\u{2014} witness {}\n", blob.trim_end_matches('=')),
            format!("{TEXT}\n{SIGNATURE}\u{2014} witness x08go/Z=\n"),
            format!("{TEXT}\n{}", SIGNATURE.repeat(Verifier::MAX_SIGNATURES + 1)),
            format!("{}\n{SIGNATURE}", "x\n".repeat(Verifier::MAX_NOTE_BYTES)),
        ] {
            assert!(matches!(verifier.open_text(&bad), Err(Error::Invalid { what: "note", .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_signer_does_not_print_its_secret() {
        let printed = format!("{:?}", signer());
        assert_eq!(printed, format!("Signer {{ verifier: Verifier({KEY}), .. }}"));
    }

    #[test]
    fn an_origin_is_one_printable_word() {
        let long = "x".repeat(129);
        for bad in ["", "a b", "a+b", "a\nb", "\t", "caf\u{e9}", "a\u{2028}b", "a\u{7f}b", "a\0b", long.as_str()] {
            assert!(matches!(Origin::new(bad), Err(Error::Invalid { what: "origin", .. })), "{bad:?}");
        }
        for good in ["a", "example.com/audit?log=1", &long[1..]] {
            assert_eq!(Origin::new(good).unwrap().as_str(), good);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_signed_and_opened(lines in prop::collection::vec("[^\\x00-\\x1f]{0,20}", 1..6), seed: [u8; 32]) {
            let signer = Signer::new(Origin::new("example.com/log").unwrap(), &seed);
            let text = lines.join("\n") + "\n";
            let note = signer.sign_text(&text);
            prop_assert_eq!(signer.verifier().open_text(&note)?, text);
            let verifier: Verifier = signer.verifier().to_string().parse()?;
            prop_assert_eq!(&verifier, signer.verifier());
        }

        #[test]
        fn any_hostile_text_is_refused_without_a_panic(
            text in "(\\PC|[\n\r\u{2014} +=A])*", name in "\\PC{0,10}", blob in prop::collection::vec(any::<u8>(), 0..80)
        ) {
            let verifier = signer().verifier().clone();
            prop_assert!(verifier.open_text(&text).is_err());
            prop_assert!(text.parse::<Verifier>().is_err());
            let blob = encode(&blob);
            let (note, key) = (format!("{text}\n\n\u{2014} {name} {blob}\n"), format!("{name}+c74f20a3+{blob}"));
            prop_assert!(verifier.open_text(&note).is_err());
            prop_assert!(key.parse::<Verifier>().is_err());
        }
    }
}
