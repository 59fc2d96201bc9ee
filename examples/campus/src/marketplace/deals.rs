//! Deals: drafted by a partner, published to an audience, over at some time.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType};
use stoa_capabilities::scoped;
use stoa_search::{Document, Surface, Tag};
use utoipa::ToSchema;
use uuid::Uuid;

use super::sql::MarketplaceSql as _;
use super::{parsed_id, partner_scope};
use crate::access::{ManageDeals, PartnerCapability};
use crate::app::{App, EVERYONE, Viewer};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::mentorship::audience_tag;
use crate::text::{line, text};

pub(crate) const DRAFTED: Action = Action::new("bits.marketplace.v1.DealService/DraftDeal");
pub(crate) const PUBLISHED: Action = Action::new("bits.marketplace.v1.DealService/PublishDeal");
pub(crate) const WITHDRAWN: Action = Action::new("bits.marketplace.v1.DealService/WithdrawDeal");

/// A deal to offer, within its bounds.
#[derive(Clone, Debug)]
pub struct DealDraft {
    title: String,
    body: String,
    audience: BTreeSet<Tag>,
    starts_at: i64,
    ends_at: i64,
    limit: i64,
}

impl DealDraft {
    /// Parses a title of one line and 1 to 200 characters, a body of 1 to 8,000, whom it is for (1 to 8 audience tags between commas), a
    /// stretch of time of at most ten years that is not over yet, and how many may redeem it, 1 to 1,000,000.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which is not what it has to be.
    pub fn new(
        title: &str,
        body: &str,
        audience: &str,
        times: (DateTime<Utc>, DateTime<Utc>),
        limit: i64,
    ) -> Result<Self> {
        let (title, body) = (line("the title", title, 200)?, text("the deal", body, 8_000)?);
        let tags = audience.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        let audience = tags.take(9).map(audience_tag).collect::<Result<BTreeSet<_>>>()?;
        if !(1..=8).contains(&audience.len()) {
            return Err(Error::Invalid("a deal is for 1 to 8 audiences".into()));
        }
        let (starts_at, ends_at) = times;
        let now = Utc::now();
        let (soonest, latest) = (now - TimeDelta::days(3_653), now + TimeDelta::days(3_653));
        if starts_at >= ends_at || starts_at < soonest || ends_at <= now || ends_at > latest {
            return Err(Error::Invalid("a deal begins before it ends, and ends within ten years from now".into()));
        }
        if !(1..=1_000_000).contains(&limit) {
            return Err(Error::Invalid("a deal can be redeemed 1 to 1,000,000 times".into()));
        }
        let (starts_at, ends_at) = (starts_at.timestamp_micros(), ends_at.timestamp_micros());
        Ok(Self { title, body, audience, starts_at, ends_at, limit })
    }
}

/// Drafts a deal of a partner: nobody else sees it.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage the deals of such a partner; [`Error::Internal`].
pub async fn draft<B: Backend>(app: &App<B>, caller: &Caller, partner_id: &str, draft: DealDraft) -> Result<Deal> {
    scoped!(tx = app.begin().await?);
    let scope = partner_scope(partner_id)?;
    drop(app.partner_capabilities.authorize(&mut tx, ManageDeals, &caller.user, &scope).await?);
    let partner = tx.partner(partner_id).await?.ok_or(Error::NotFound)?;
    let deal = Deal {
        id: Uuid::now_v7().to_string(),
        partner_id: partner.id.clone(),
        title: draft.title,
        body: draft.body,
        audience: draft.audience.iter().map(Tag::as_str).collect::<Vec<_>>().join("\n"),
        state: DealState::Draft.as_str().into(),
        starts_at: draft.starts_at,
        ends_at: draft.ends_at,
        redemption_limit: draft.limit,
        redeemed: 0,
        created_at: Utc::now().timestamp_micros(),
    };
    tx.insert_deal(&deal).await?;
    app.audit.record(&mut tx, &caller.record(DRAFTED, deal.entity()?)?.scope(partner.entity()?).after(&deal)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(deal)
}

/// Publishes a draft: from the commit on its audience finds it, and from its beginning on they can redeem it.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage such a deal; [`Error::Conflict`] if it is no draft, or its time is over.
pub async fn publish<B: Backend>(app: &App<B>, caller: &Caller, id: &str) -> Result<Deal> {
    scoped!(tx = app.begin().await?);
    let before = tx.deal(&parsed_id(id)?).await?.ok_or(Error::NotFound)?;
    let scope = partner_scope(&before.partner_id)?;
    drop(app.partner_capabilities.authorize(&mut tx, ManageDeals, &caller.user, &scope).await?);
    if before.ends_at <= Utc::now().timestamp_micros() {
        return Err(Error::Conflict("the time of this deal is over: draft another one".into()));
    }
    if !tx.move_deal(&before.id, DealState::Draft.as_str(), DealState::Published.as_str()).await? {
        return Err(Error::Conflict(format!("the deal is {}: only a draft can be published", before.state)));
    }
    let after = Deal { state: DealState::Published.as_str().into(), ..before.clone() };
    for tag in after.audience.lines() {
        tx.list_deal(tag, &after.id).await?;
    }
    app.search.upsert(&mut tx, &after.document()?).await?;
    app.audit.record(&mut tx, &caller.record(PUBLISHED, after.entity()?)?.diff(&before, &after)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(after)
}

/// Withdraws a draft or a published deal. Codes that were given out stay good.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage such a deal; [`Error::Conflict`] if it is over already.
pub async fn withdraw<B: Backend>(app: &App<B>, caller: &Caller, id: &str) -> Result<Deal> {
    scoped!(tx = app.begin().await?);
    let before = tx.deal(&parsed_id(id)?).await?.ok_or(Error::NotFound)?;
    let scope = partner_scope(&before.partner_id)?;
    drop(app.partner_capabilities.authorize(&mut tx, ManageDeals, &caller.user, &scope).await?);
    let is_withdrawn = matches!(&*before.state, "draft" | "published")
        && tx.move_deal(&before.id, &before.state, DealState::Withdrawn.as_str()).await?;
    if !is_withdrawn {
        return Err(Error::Conflict(format!("the deal is {}: there is nothing to withdraw", before.state)));
    }
    tx.unlist_deal(&before.id).await?;
    app.search.remove(&mut tx, &Surface::MARKETPLACE, &before.id.as_str().try_into()?).await?;
    let after = Deal { state: DealState::Withdrawn.as_str().into(), ..before.clone() };
    app.audit.record(&mut tx, &caller.record(WITHDRAWN, after.entity()?)?.diff(&before, &after)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(after)
}

/// Reads a deal as the viewer may: published, for its audience; in any state, for those who manage it and those who hold a code.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Internal`].
pub async fn read<B: Backend>(app: &App<B>, conn: &mut B::Connection, viewer: &Viewer, id: &str) -> Result<Deal> {
    let deal = conn.deal(&parsed_id(id)?).await?.ok_or(Error::NotFound)?;
    let is_open = deal.state == DealState::Published.as_str() && deal.is_for(viewer.memberships.tags());
    if is_open || manages(app, viewer, &deal)? || conn.redemption_of(viewer.user.as_str(), &deal.id).await?.is_some() {
        Ok(deal)
    } else {
        Err(Error::NotFound)
    }
}

/// Says whether the viewer manages the deals of this one's partner.
pub(crate) fn manages<B: Backend>(app: &App<B>, viewer: &Viewer, deal: &Deal) -> Result<bool> {
    let role = viewer.memberships.role(&partner_scope(&deal.partner_id)?);
    let matrix = app.partner_capabilities.matrix();
    Ok(role.is_some_and(|role| matrix.allows(role.as_str(), PartnerCapability::ManageDeals)))
}

/// Reads the newest published deals before `before` for the viewer that are not over yet.
///
/// # Errors
/// [`Error::Internal`].
pub async fn list<B: Backend>(
    conn: &mut B::Connection,
    viewer: &Viewer,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<Deal>> {
    let now = Utc::now().timestamp_micros();
    let mut found: Vec<Deal> = Vec::new();
    for tag in viewer.memberships.tags().chain([EVERYONE.to_owned()]) {
        found.extend(conn.deals_for(&tag, before, now, limit).await?);
    }
    found.sort_by(|a, b| b.id.cmp(&a.id));
    found.dedup_by(|a, b| a.id == b.id);
    found.truncate(usize::try_from(limit).unwrap_or_default());
    Ok(found)
}

/// Where a deal is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DealState {
    /// Only its partner sees it.
    Draft,
    /// Its audience finds it.
    Published,
    /// Its time is over.
    Expired,
    /// Its partner took it back.
    Withdrawn,
}

impl DealState {
    /// Returns the stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What a partner offers.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub struct Deal {
    /// A UUID of version 7: ids grow with time.
    pub id: String,
    /// Whose.
    pub partner_id: String,
    /// One line.
    pub title: String,
    /// Plain text.
    pub body: String,
    /// The audience tags of whoever may redeem it, one a line, sorted.
    pub audience: String,
    /// `draft`, `published`, `expired` or `withdrawn`.
    pub state: String,
    /// From when on it can be redeemed.
    #[serde(serialize_with = "crate::http::api::moment")]
    #[schema(value_type = String, format = DateTime)]
    pub starts_at: i64,
    /// Until when.
    #[serde(serialize_with = "crate::http::api::moment")]
    #[schema(value_type = String, format = DateTime)]
    pub ends_at: i64,
    /// How many may redeem it.
    pub redemption_limit: i64,
    /// How many have.
    pub redeemed: i64,
    /// When it was drafted.
    #[serde(serialize_with = "crate::http::api::moment")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: i64,
}

impl Deal {
    /// The deal as it is found: by its audience.
    ///
    /// # Errors
    /// [`Error::Internal`] if an id is out of bounds; those of stored deals are not.
    pub fn document(&self) -> Result<Document> {
        let tags = self.audience.lines().map(Tag::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(Document::new(Surface::MARKETPLACE, self.id.as_str().try_into()?)
            .title(&self.title)
            .body(&self.body)
            .url(format!("/deals/{}", self.id))
            .audience(tags))
    }

    /// Says whether it can be redeemed at that moment, and something is left of it.
    pub fn is_open(&self, at: DateTime<Utc>) -> bool {
        self.state == DealState::Published.as_str()
            && (self.starts_at..self.ends_at).contains(&at.timestamp_micros())
            && self.redeemed < self.redemption_limit
    }

    /// Says whether it is for somebody with these tags.
    pub fn is_for(&self, mut tags: impl Iterator<Item = String>) -> bool {
        let is_of_audience = |tag: &str| self.audience.lines().any(|line| line == tag);
        is_of_audience(EVERYONE) || tags.any(|tag| is_of_audience(&tag))
    }

    pub(crate) fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("deal"), EntityId::new(&*self.id)?))
    }
}

/// What of a deal an audit record may hold.
impl Audited for Deal {
    const FIELDS: &'static [&'static str] = &["partner_id", "title", "audience", "state", "redemption_limit"];
}
