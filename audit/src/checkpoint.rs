//! Checkpoints: what a log says about itself under its signature (<https://c2sp.org/tlog-checkpoint>).

use crate::note::{decode, encode};
use crate::{Error, Hash, Origin, Result, Signer, TreeHead, Verifier};

/// What a log says about itself: its name, and its tree as it stands.
///
/// Its text is three lines: the origin, the size in decimal digits, and the base64 of the root. A [`Signer`] makes a signed
/// note of it, a [`Verifier`] opens that note.
///
/// # Examples
/// ```
/// use stoa_audit::{Checkpoint, Frontier, Hash, Origin, Signer};
///
/// # fn main() -> stoa_audit::Result<()> {
/// let origin = Origin::new("example.com/audit")?;
/// # let seed = [7; 32];
/// let signer = Signer::new(origin.clone(), &seed);
///
/// let mut frontier = Frontier::new();
/// frontier.push(Hash::of_leaf(b"a record"));
/// let checkpoint = Checkpoint { origin, head: frontier.head() };
/// let note = signer.sign(&checkpoint)?;
/// assert_eq!(signer.verifier().open(&note)?, checkpoint);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// Which log.
    pub origin: Origin,
    /// How many leaves it has, and the hash over them.
    pub head: TreeHead,
}

impl Signer {
    /// Signs a checkpoint of this key's log and returns the note: at most 450 bytes.
    ///
    /// The same checkpoint always gives the same note. Whoever signs must see to it that every checkpoint extends those
    /// signed before.
    ///
    /// # Errors
    /// [`Error::OriginMismatch`] if the checkpoint is of another log.
    pub fn sign(&self, checkpoint: &Checkpoint) -> Result<String> {
        if checkpoint.origin != *self.origin() {
            return Err(Error::OriginMismatch);
        }
        let TreeHead { size, root } = checkpoint.head;
        let text = format!("{}\n{size}\n{}\n", checkpoint.origin, encode(root.as_bytes()));
        Ok(self.sign_text(&text))
    }
}

impl Verifier {
    /// Returns the checkpoint in a note that this key signed.
    ///
    /// Signatures by other keys, such as those of witnesses, are allowed and mean nothing. Extension lines are refused: no
    /// [`Signer`] writes them.
    ///
    /// # Errors
    /// [`Error::Unsigned`] if the key is not among the signers, [`Error::SignatureMismatch`] if a signature in its name
    /// is not its own, [`Error::OriginMismatch`] if it signed for another log, and [`Error::Invalid`] if the note is longer
    /// than [`MAX_NOTE_BYTES`](Self::MAX_NOTE_BYTES), has more than [`MAX_SIGNATURES`](Self::MAX_SIGNATURES) or breaks the
    /// grammar in any other way.
    pub fn open(&self, note: &str) -> Result<Checkpoint> {
        let text = self.open_text(note)?;
        let invalid = |problem| Error::Invalid { what: "checkpoint", problem };
        let mut lines = text.split_terminator('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(invalid("must have three lines"));
        };
        if origin != self.origin().as_str() {
            return Err(Error::OriginMismatch);
        }
        let size = parse_size(size).ok_or(invalid("must have a size in decimal digits"))?;
        let root = decode::<32>(root).map(Hash::from).ok_or(invalid("must have a root of 32 bytes in base64"))?;
        Ok(Checkpoint { origin: self.origin().clone(), head: TreeHead { size, root } })
    }
}

/// Parses the one way to write a number: without sign and leading zeros.
fn parse_size(text: &str) -> Option<u64> {
    let is_canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOG: &str = "example.com/audit";
    const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";

    fn signer() -> Signer {
        Signer::new(Origin::new(LOG).unwrap(), &[7; 32])
    }

    fn checkpoint(size: u64) -> Checkpoint {
        let root = decode::<32>(ROOT).unwrap().into();
        Checkpoint { origin: Origin::new(LOG).unwrap(), head: TreeHead { size, root } }
    }

    #[test]
    fn a_checkpoint_has_the_text_of_the_specification() {
        let note = signer().sign(&checkpoint(20_852_163)).unwrap();
        let (text, signature) = note.split_once("\n\n").unwrap();
        assert_eq!(text, format!("{LOG}\n20852163\n{ROOT}"));
        assert!(signature.starts_with("\u{2014} example.com/audit ") && signature.ends_with("=\n"));
        assert_eq!(signer().verifier().open(&note).unwrap(), checkpoint(20_852_163));
    }

    #[test]
    fn the_empty_and_the_largest_log_have_checkpoints() {
        for size in [0, 1, u64::MAX] {
            let note = signer().sign(&checkpoint(size)).unwrap();
            assert_eq!(signer().verifier().open(&note).unwrap(), checkpoint(size));
        }
        let origin = Origin::new("x".repeat(128)).unwrap();
        let signer = Signer::new(origin.clone(), &[7; 32]);
        assert!(signer.sign(&Checkpoint { origin, ..checkpoint(u64::MAX) }).unwrap().len() <= 450);
    }

    #[test]
    fn every_edited_byte_is_refused() {
        let note = signer().sign(&checkpoint(20_852_163)).unwrap();
        for at in 0..note.len() {
            for byte in 0..=0xff {
                let mut bytes = note.clone().into_bytes();
                if std::mem::replace(&mut bytes[at], byte) != byte {
                    let Ok(edited) = String::from_utf8(bytes) else { continue };
                    assert!(signer().verifier().open(&edited).is_err(), "{edited:?}");
                }
            }
        }
    }

    #[test]
    fn a_signed_text_that_is_no_checkpoint_is_refused() {
        for bad in [
            "\n".to_owned(),
            format!("{LOG}\n1\n"),
            format!("{LOG}\n1\n{ROOT}\nextension\n"),
            format!("{LOG}\n1\n{ROOT}\n\n"),
            format!("{LOG}\n\n1\n{ROOT}\n"),
            format!("{LOG}\n\n{ROOT}\n"),
            format!("{LOG}\n01\n{ROOT}\n"),
            format!("{LOG}\n00\n{ROOT}\n"),
            format!("{LOG}\n+1\n{ROOT}\n"),
            format!("{LOG}\n-1\n{ROOT}\n"),
            format!("{LOG}\n 1\n{ROOT}\n"),
            format!("{LOG}\n1_000\n{ROOT}\n"),
            format!("{LOG}\n0x1\n{ROOT}\n"),
            format!("{LOG}\n\u{661}\n{ROOT}\n"),
            format!("{LOG}\n18446744073709551616\n{ROOT}\n"),
            format!("{LOG}\n1\n{}\n", &ROOT[4..]),
            format!("{LOG}\n1\n{}\n", ROOT.trim_end_matches('=')),
            format!("{LOG}\n1\n {ROOT}\n"),
            format!("{LOG}\n1\n{}\n", ROOT.replace("2I=", "2J=")),
            format!("{LOG}\n1\n{}\n", ROOT.replace('/', "_")),
        ] {
            let verdict = signer().verifier().open(&signer().sign_text(&bad));
            assert!(matches!(verdict, Err(Error::Invalid { what: "checkpoint", .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_checkpoint_of_another_log_is_refused() {
        let other = Checkpoint { origin: Origin::new("example.com/other").unwrap(), ..checkpoint(1) };
        assert!(matches!(signer().sign(&other), Err(Error::OriginMismatch)));
        let note = signer().sign_text(&format!("example.com/other\n1\n{ROOT}\n"));
        assert!(matches!(signer().verifier().open(&note), Err(Error::OriginMismatch)));

        let note = Signer::new(Origin::new(LOG).unwrap(), &[8; 32]).sign(&checkpoint(1)).unwrap();
        assert!(matches!(signer().verifier().open(&note), Err(Error::Unsigned)));
    }

    proptest! {
        #[test]
        fn any_checkpoint_survives_its_note(name in "[!-*,-~]{1,128}", size: u64, root: [u8; 32], seed: [u8; 32]) {
            let origin = Origin::new(name)?;
            let signer = Signer::new(origin.clone(), &seed);
            let checkpoint = Checkpoint { origin, head: TreeHead { size, root: root.into() } };
            let note = signer.sign(&checkpoint)?;
            let verifier: Verifier = signer.verifier().to_string().parse()?;
            prop_assert_eq!(verifier.open(&note)?, checkpoint);
        }

        #[test]
        fn any_signed_text_is_a_checkpoint_or_refused(size in "\\PC{0,22}", root in "\\PC{0,48}", rest in "(\\PC|\n){0,9}") {
            let note = signer().sign_text(&format!("{LOG}\n{size}\n{root}{rest}\n"));
            if let Ok(checkpoint) = signer().verifier().open(&note) {
                prop_assert_eq!(signer().sign(&checkpoint)?, note);
            }
        }
    }
}
