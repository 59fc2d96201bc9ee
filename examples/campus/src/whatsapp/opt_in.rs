//! Who may be written to: whoever has shown that a telephone is theirs, until they say STOP.

use std::time::Duration;

use chrono::Utc;
use serde::Serialize;
use sqlx::FromRow;
use stoa_audit::{Action, Entity, EntityId, EntityType};
use stoa_membership::UserId;
use utoipa::ToSchema;

use super::Sender;
use super::sql::OptInSql as _;
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::code;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};

pub(crate) const CODE_CREATED: Action = Action::new("bits.whatsapp.v1.OptInService/CreateCode");
pub(crate) const OPTED_IN: Action = Action::new("bits.whatsapp.v1.OptInService/OptIn");
pub(crate) const STOPPED: Action = Action::new("bits.whatsapp.v1.OptInService/Stop");
pub(crate) const STARTED: Action = Action::new("bits.whatsapp.v1.OptInService/Start");
pub(crate) const OPTED_OUT: Action = Action::new("bits.whatsapp.v1.OptInService/OptOut");

/// How long a code is good.
pub const CODE_LIFE: Duration = Duration::from_mins(15);

/// What somebody opted in with.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize, ToSchema)]
pub struct OptIn {
    /// Who.
    #[serde(skip)]
    pub person_id: String,
    /// Their telephone, in digits.
    pub phone: String,
    /// Since when.
    #[serde(serialize_with = "crate::http::api::moment")]
    #[schema(value_type = String, format = DateTime)]
    pub opted_in_at: i64,
    /// When they said STOP, if they did.
    #[serde(serialize_with = "crate::http::api::maybe_moment")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub stopped_at: Option<i64>,
}

/// What somebody is told in reply.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) person_id: String,
    pub(super) text: String,
}

/// Makes a code for the caller, in the place of one they had. Whoever sends it from a telephone shows that the telephone is theirs; nobody
/// guesses one in the time that it is good.
///
/// # Errors
/// [`Error::NotFound`] if WhatsApp is not configured; [`Error::NotSignedIn`] if there is no such person; [`Error::Internal`].
pub async fn create_code<B: Backend>(app: &App<B>, caller: &Caller) -> Result<String> {
    let sender = app.whatsapp.as_ref().ok_or(Error::NotFound)?;
    let code = code::new();
    let expires_at = (Utc::now() + CODE_LIFE).timestamp_micros();
    let mut tx = app.begin().await?;
    tx.person(caller.user.as_str()).await?.ok_or(Error::NotSignedIn)?;
    tx.put_whatsapp_code(caller.user.as_str(), &sender.hash(&code), expires_at).await?;
    app.audit.record(&mut tx, &caller.record(CODE_CREATED, entity(caller.user.as_str())?)?).await?;
    app.commit(tx).await?;
    Ok(code)
}

/// Forgets the caller's telephone, and their code: nothing is sent to it any more.
///
/// # Errors
/// [`Error::NotFound`] if WhatsApp is not configured; [`Error::NotSignedIn`] if there is no such person; [`Error::Internal`].
pub async fn opt_out<B: Backend>(app: &App<B>, caller: &Caller) -> Result<()> {
    app.whatsapp.as_ref().ok_or(Error::NotFound)?;
    let mut tx = app.begin().await?;
    tx.person(caller.user.as_str()).await?.ok_or(Error::NotSignedIn)?;
    let had_code = tx.delete_whatsapp_code(caller.user.as_str()).await?;
    if tx.delete_whatsapp_opt_in(caller.user.as_str()).await? || had_code {
        app.audit.record(&mut tx, &caller.record(OPTED_OUT, entity(caller.user.as_str())?)?).await?;
    }
    app.commit(tx).await
}

/// Lets whoever has the code opt in with the telephone it came from, which is nobody else's from then on. A code that is not good is
/// answered only to a telephone that has opted in before.
pub(super) async fn join<B: Backend>(
    app: &App<B>,
    sender: &Sender,
    tx: &mut B::Connection,
    phone: &str,
    code: &str,
    now: i64,
) -> Result<Option<Reply>> {
    let before = tx.whatsapp_opt_in_of(phone).await?;
    let Some(person_id) = tx.take_whatsapp_code(&sender.hash(code), now).await? else {
        let text = "This code is not good, or no longer: take a new one on the campus pages.";
        return Ok(before.and_then(|before| before.reply(text)));
    };
    let Some(person) = tx.person(&person_id).await? else { return Ok(None) };
    if let Some(other) = before.filter(|before| before.person_id != person_id) {
        tx.delete_whatsapp_opt_in(&other.person_id).await?;
        app.audit.record(tx, &caller(&person_id)?.record(OPTED_OUT, entity(&other.person_id)?)?).await?;
    }
    let opt_in = OptIn { person_id, phone: phone.into(), opted_in_at: now, stopped_at: None };
    tx.put_whatsapp_opt_in(&opt_in).await?;
    app.audit.record(tx, &caller(&opt_in.person_id)?.record(OPTED_IN, entity(&opt_in.person_id)?)?).await?;
    let first_name = person.name.split(' ').next().unwrap_or_default();
    Ok(opt_in.reply(&format!("Welcome, {first_name}. Ask me anything about your campus; STOP ends this at any time.")))
}

/// Writes no more to a telephone, but for one last word.
pub(super) async fn stop<B: Backend>(
    app: &App<B>,
    tx: &mut B::Connection,
    phone: &str,
    now: i64,
) -> Result<Option<Reply>> {
    let Some(before) = tx.whatsapp_opt_in_of(phone).await?.filter(|before| before.stopped_at.is_none()) else {
        return Ok(None);
    };
    let text = "You will hear no more from campus here. START lets it write again.";
    let reply = before.reply(text);
    let after = OptIn { stopped_at: Some(now), ..before };
    tx.put_whatsapp_opt_in(&after).await?;
    app.audit.record(tx, &caller(&after.person_id)?.record(STOPPED, entity(&after.person_id)?)?).await?;
    Ok(reply)
}

/// Writes to a telephone again.
pub(super) async fn start<B: Backend>(app: &App<B>, tx: &mut B::Connection, phone: &str) -> Result<Option<Reply>> {
    let Some(before) = tx.whatsapp_opt_in_of(phone).await? else { return Ok(None) };
    let was_stopped = before.stopped_at.is_some();
    let after = OptIn { stopped_at: None, ..before };
    if was_stopped {
        tx.put_whatsapp_opt_in(&after).await?;
        app.audit.record(tx, &caller(&after.person_id)?.record(STARTED, entity(&after.person_id)?)?).await?;
    }
    Ok(after.reply("Ask me anything about your campus; STOP ends this at any time."))
}

impl OptIn {
    /// Says whether they may be written to.
    pub fn is_active(&self) -> bool {
        self.stopped_at.is_none()
    }

    /// A reply, if they may be written to.
    pub(super) fn reply(&self, text: &str) -> Option<Reply> {
        self.is_active().then(|| Reply { person_id: self.person_id.clone(), text: text.to_owned() })
    }
}

/// Whose telephone it is acts: they hold it in their hand.
fn caller(person_id: &str) -> Result<Caller> {
    Ok(Caller::new(UserId::new(person_id)?))
}

/// A record names whose it is, and no telephone.
fn entity(person_id: &str) -> Result<Entity> {
    Ok(Entity::new(EntityType::from_static("whatsapp_opt_in"), EntityId::new(person_id)?))
}
