//! Redemptions: a code for each person, as many as a deal has, taken once.

use chrono::Utc;
use serde::Serialize;
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType, Record};
use stoa_capabilities::scoped;
use stoa_search::Surface;
use utoipa::ToSchema;

use super::deals::DealState;
use super::sql::MarketplaceSql as _;
use super::{parsed_id, partner_scope};
use crate::access::VerifyCodes;
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::code;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};
use crate::notices::{self, Notice};
use crate::readers::Readers;
use crate::recommender::{self, Act};
use crate::retry::retried;

pub(crate) const REDEEMED: Action = Action::new("bits.marketplace.v1.RedemptionService/Redeem");
pub(crate) const VERIFIED: Action = Action::new("bits.marketplace.v1.RedemptionService/Verify");

/// Redeems a deal: the person's own code, or the one that they have already.
///
/// However many come at once, no more than the deal's limit are served: the count is raised by the statement that checks it, last before
/// the commit, so that others wait no longer than they must.
///
/// # Errors
/// [`Error::NotSignedIn`] if there is no such person; [`Error::NotFound`] if there is no such deal for them; [`Error::Conflict`] if it has
/// not begun, is over, or nothing is left of it.
pub async fn redeem<B: Backend>(app: &App<B>, caller: &Caller, deal_id: &str) -> Result<Redemption> {
    retried(|| attempt_to_redeem(app, caller, deal_id)).await
}

async fn attempt_to_redeem<B: Backend>(app: &App<B>, caller: &Caller, deal_id: &str) -> Result<Redemption> {
    let mut tx = app.begin().await?;
    tx.person(caller.user.as_str()).await?.ok_or(Error::NotSignedIn)?;
    let deal = tx.deal(&parsed_id(deal_id)?).await?.ok_or(Error::NotFound)?;
    if let Some(redemption) = tx.redemption_of(caller.user.as_str(), &deal.id).await? {
        return Ok(redemption);
    }
    let memberships = app.membership.of(&mut tx, &caller.user).await?;
    if deal.state != DealState::Published.as_str() || !deal.is_for(memberships.tags()) {
        return Err(Error::NotFound);
    }
    let redemption = Redemption {
        code: code::new(),
        deal_id: deal.id.clone(),
        person_id: caller.user.to_string(),
        redeemed_at: Utc::now().timestamp_micros(),
        verified_at: None,
    };
    if !tx.insert_redemption(&redemption).await? {
        // The same person was faster elsewhere.
        let found = tx.redemption_of(caller.user.as_str(), &deal.id).await?;
        return found.ok_or_else(|| Error::Conflict("this was just redeemed: look again".into()));
    }
    app.audit.record(&mut tx, &redemption.record(caller, REDEEMED)?.after(&redemption)?).await?;
    recommender::signal(app, &mut tx, &caller.user, &Surface::MARKETPLACE, &deal.id, Act::Redeem).await?;
    if !tx.count_redemption(&deal.id, redemption.redeemed_at).await? {
        let why = match redemption.redeemed_at {
            now if now < deal.starts_at => "this deal has not begun yet",
            now if now >= deal.ends_at => "this deal is over",
            _ => "nothing is left of this deal",
        };
        return Err(Error::Conflict(why.into()));
    }
    app.commit(tx).await?;
    Ok(redemption)
}

/// Takes a code at a partner, once.
///
/// # Errors
/// [`Error::NotFound`] if the caller takes no codes there, or the code is none of that partner's deals; [`Error::Conflict`] if it was taken
/// before.
pub async fn verify<B: Backend>(app: &App<B>, caller: &Caller, partner_id: &str, code: &str) -> Result<Redemption> {
    scoped!(tx = app.begin().await?);
    let scope = partner_scope(partner_id)?;
    drop(app.partner_capabilities.authorize(&mut tx, VerifyCodes, &caller.user, &scope).await?);
    let code = code::parsed(code).ok_or(Error::NotFound)?;
    let before = tx.redemption(&code, partner_id).await?.ok_or(Error::NotFound)?;
    let now = Utc::now().timestamp_micros();
    if !tx.verify_redemption(&code, now).await? {
        return Err(Error::Conflict("this code was taken before: it is good for one time only".into()));
    }
    let after = Redemption { verified_at: Some(now), ..before };
    app.audit.record(&mut tx, &after.record(caller, VERIFIED)?).await?;
    // Somebody else may have come with it.
    let notice = Notice {
        kind: "marketplace.code_taken".into(),
        entity: after.deal_id.clone(),
        title: "A code of yours was taken".into(),
        url: format!("/deals/{}", after.deal_id),
        scope: Readers::Everyone.to_string(),
    };
    notices::tell(app, &mut tx, &[&after.person_id], &notice).await?;
    app.commit(tx.into_inner()).await?;
    app.jobs.wake();
    Ok(after)
}

/// A code that somebody got for a deal.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub struct Redemption {
    /// As it is shown at the partner: good for one time.
    pub code: String,
    /// Of what.
    pub deal_id: String,
    /// Whose.
    pub person_id: String,
    /// When they got it.
    #[serde(serialize_with = "crate::http::api::moment")]
    #[schema(value_type = String, format = DateTime)]
    pub redeemed_at: i64,
    /// When the partner took it.
    #[serde(serialize_with = "crate::http::api::maybe_moment", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub verified_at: Option<i64>,
}

impl Redemption {
    /// A record names whose it is and not the code, which is worth something to whoever reads it.
    pub(crate) fn record(&self, caller: &Caller, action: Action) -> Result<Record> {
        let whose = Entity::new(EntityType::from_static("redemption"), EntityId::new(&*self.person_id)?);
        let deal = Entity::new(EntityType::from_static("deal"), EntityId::new(&*self.deal_id)?);
        Ok(caller.record(action, whose)?.scope(deal))
    }
}

/// What of a redemption an audit record may hold.
impl Audited for Redemption {
    const FIELDS: &'static [&'static str] = &["deal_id", "person_id"];
}
