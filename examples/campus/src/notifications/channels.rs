//! The ways out of campus.

use lettre::Address;
use lettre::message::Mailbox;

use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::directory::sql::DirectorySql as _;
use crate::error::Result;
use crate::notices::Notice;

/// Where to write to somebody: the address of their profile, if it is one.
pub(super) async fn address<B: Backend>(conn: &mut B::Connection, viewer: &Viewer) -> Result<Option<Mailbox>> {
    let profile = conn.profile(&viewer.person.id).await?;
    let address = profile.and_then(|profile| profile.email.parse::<Address>().ok());
    // Without their name: `lettre` panics where one holds a control character.
    Ok(address.map(|address| Mailbox::new(None, address)))
}

/// Enqueues a message that tells them, in the caller's transaction; says whether it did. Nothing is configured: it never does.
#[expect(clippy::unused_async, reason = "what enqueues the message asks the database")]
pub(super) async fn whatsapp<B: Backend>(_: &App<B>, _: &mut B::Connection, _: &str, _: &Notice) -> Result<bool> {
    Ok(false)
}
