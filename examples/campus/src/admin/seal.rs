//! Sealing the audit log: committed records become leaves of a Merkle log, and each batch a signed checkpoint.
//!
//! The key is a file of 64 hexadecimal digits, outside the database that it vouches for; the newest checkpoint is kept beside it, in
//! `<key file>.checkpoint`. In production both belong on a machine, or at least a volume, that the owner of the database cannot
//! write. `adminctl audit verify` needs only the checkpoint and the public half.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use stoa_audit::{FileSink, Origin, Sealer, Signer};

use crate::app::App;
use crate::backend::Backend;
use crate::error::{Error, Result};

/// The name of the log: the first line of every checkpoint.
const ORIGIN: &str = "campus/audit";

/// Reads the key, or makes one where there is no file yet.
///
/// # Errors
/// [`Error::Invalid`] if the file holds no key; [`Error::Internal`] if it can be neither read nor written.
pub fn signer(path: &Path) -> Result<Signer> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path).map_err(internal)?,
        Err(error) => return Err(internal(error)),
    };
    let malformed = || Error::Invalid(format!("{} does not hold 64 hexadecimal digits", path.display()));
    let digits = Some(text.trim()).filter(|text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let mut seed = [0; 32];
    let (high, low) = digits.ok_or_else(malformed)?.split_at(32);
    for (half, digits) in seed.chunks_exact_mut(16).zip([high, low]) {
        half.copy_from_slice(&u128::from_str_radix(digits, 16).map_err(|_| malformed())?.to_be_bytes());
    }
    Ok(Signer::new(Origin::new(ORIGIN)?, &seed))
}

fn internal(error: io::Error) -> Error {
    Error::Internal(Box::new(error))
}

/// Makes a key that only its owner can read. Of two processes that start at once, the second reads the first one's.
fn make(path: &Path) -> io::Result<String> {
    let (mut high, mut low) = ([0; 16], [0; 16]);
    getrandom::fill(&mut high).map_err(io::Error::other)?;
    getrandom::fill(&mut low).map_err(io::Error::other)?;
    let digits = format!("{:032x}{:032x}", u128::from_be_bytes(high), u128::from_be_bytes(low));
    // Whole or not at all: it is written under another name first, and linked only where there is none.
    let draft = beside(path, &format!(".{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(format!("{digits}\n").as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => std::fs::read_to_string(path),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Seals what is committed until `stop` is ready, and what is left then.
///
/// # Errors
/// [`Error::Internal`] if the log in the database is not the one that was signed: nothing is sealed any more, and the page that verifies
/// says so. Everything else goes on.
pub async fn run<B: Backend>(
    app: App<B>,
    signer: Signer,
    key: &Path,
    stop: impl Future<Output = ()> + Send,
) -> Result<()> {
    let (_, audit, _, _) = app.backend.stores();
    let sink = FileSink::new(beside(key, ".checkpoint"));
    let sealed = Sealer::new(audit, app.backend.pool().clone(), signer, sink).run_until(stop).await;
    Ok(sealed?)
}
