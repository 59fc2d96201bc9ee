//! Marketplace: partners, what they offer to whom, and the codes it is redeemed with.

pub mod deals;
pub mod expiry;
pub mod redemption;
pub mod sql;

pub(crate) mod api;
pub(crate) mod pages;
pub(crate) mod partner_pages;

use chrono::Utc;
use serde::Serialize;
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType};
use stoa_capabilities::scoped;
use stoa_jobs_runner::Job as _;
use stoa_membership::{By, Grant, Role, Scope, ScopeId, ScopeKind, ScopeType, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::{self, ManageMarketplace, PartnerCapability, PlatformCapability};
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};
use crate::marketplace::sql::MarketplaceSql as _;
use crate::retry::retried;
use crate::surface::Surface;
use crate::text::{line, text};

/// What the marketplace brings.
pub const SURFACE: Surface = Surface {
    name: "marketplace",
    tables: &["campus_partner", "campus_deal", "campus_deal_listing", "campus_redemption"],
    scopes: &["partner"],
    documents: Some("marketplace"),
    actions: &[
        PARTNER_CREATED,
        AGENT_SET,
        AGENT_REMOVED,
        deals::DRAFTED,
        deals::PUBLISHED,
        deals::WITHDRAWN,
        expiry::EXPIRED,
        redemption::REDEEMED,
        redemption::VERIFIED,
    ],
    jobs: &[expiry::ExpireDeals::KIND],
    capabilities: &["platform.marketplace.manage", "partner.deal.manage", "partner.code.verify"],
    paths: &["/deals", "/partners", "/api/v1/deals", "/api/v1/partners"],
};

/// Whoever acts for a partner is a member of its scope.
pub const PARTNER: ScopeType = ScopeType::from_static("partner");

pub(crate) const PARTNER_CREATED: Action = Action::new("bits.marketplace.v1.PartnerService/CreatePartner");
const AGENT_SET: Action = Action::new("bits.marketplace.v1.PartnerService/SetAgent");
const AGENT_REMOVED: Action = Action::new("bits.marketplace.v1.PartnerService/RemoveAgent");

/// What holds for the scopes of partners.
pub(crate) fn partner_kind() -> Result<ScopeKind> {
    Ok(ScopeKind::new(PARTNER, Role::new("clerk")?))
}

/// Makes a partner, with the first person who acts for it.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage the marketplace; [`Error::Invalid`] if there is no such person, or a text is out of
/// its bounds; [`Error::Internal`].
pub async fn create<B: Backend>(
    app: &App<B>,
    caller: &Caller,
    name: &str,
    description: &str,
    agent: &UserId,
) -> Result<Partner> {
    let (name, description) = (line("the name", name, 120)?, text("the description", description, 2_000)?);
    scoped!(tx = app.begin().await?);
    drop(app.platform_capabilities.authorize(&mut tx, ManageMarketplace, &caller.user, &access::platform()?).await?);
    let partner =
        Partner { id: Uuid::now_v7().to_string(), name, description, created_at: Utc::now().timestamp_micros() };
    tx.person(agent.as_str()).await?.ok_or_else(|| Error::Invalid("there is no such person".into()))?;
    tx.insert_partner(&partner).await?;
    let (scope, grant) = (partner_scope(&partner.id)?, Grant::new(Role::new("agent")?));
    app.membership.add(&mut tx, agent, &scope, &grant, &By::user(&caller.user)).await?;
    app.audit.record(&mut tx, &caller.record(PARTNER_CREATED, partner.entity()?)?.after(&partner)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(partner)
}

/// Lets somebody act for a partner: as an `agent`, who manages its deals, or as a `clerk`, who takes codes. Without a role, no longer.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage the marketplace, or there is no such partner; [`Error::Invalid`] if there is no such
/// person or role; [`Error::Membership`] if there is no membership to end.
pub async fn set_agent<B: Backend>(
    app: &App<B>,
    caller: &Caller,
    partner_id: &str,
    person: &UserId,
    role: Option<&str>,
) -> Result<()> {
    if role.is_some_and(|role| !matches!(role, "agent" | "clerk")) {
        return Err(Error::Invalid("whoever acts for a partner is its agent or its clerk".into()));
    }
    retried(|| attempt_to_set_agent(app, caller, partner_id, person, role)).await
}

async fn attempt_to_set_agent<B: Backend>(
    app: &App<B>,
    caller: &Caller,
    partner_id: &str,
    person: &UserId,
    role: Option<&str>,
) -> Result<()> {
    scoped!(tx = app.begin().await?);
    drop(app.platform_capabilities.authorize(&mut tx, ManageMarketplace, &caller.user, &access::platform()?).await?);
    let partner = tx.partner(partner_id).await?.ok_or(Error::NotFound)?;
    tx.person(person.as_str()).await?.ok_or_else(|| Error::Invalid("there is no such person".into()))?;
    let (scope, by) = (partner_scope(partner_id)?, By::user(&caller.user));
    let (action, change) = match role {
        Some(role) => {
            let grant = Grant::new(Role::new(role)?);
            (AGENT_SET, app.membership.add(&mut tx, person, &scope, &grant, &by).await?)
        }
        None => (AGENT_REMOVED, app.membership.remove(&mut tx, person, &scope, &by).await?),
    };
    if !change.is_unchanged() {
        let member = Entity::new(EntityType::from_static("member"), EntityId::new(person.as_str())?);
        app.audit.record(&mut tx, &caller.record(action, member)?.scope(partner.entity()?)).await?;
    }
    app.commit(tx.into_inner()).await
}

/// What somebody may do at a partner.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Write deals, publish and withdraw them.
    pub manages_deals: bool,
    /// Take codes.
    pub verifies: bool,
    /// Say who acts for the partner.
    pub manages_partner: bool,
}

/// Reads a partner as those do who act for it, and the staff.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Internal`].
pub async fn read_partner<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    id: &str,
) -> Result<(Partner, Reach)> {
    let partner = conn.partner(&parsed_id(id)?).await?.ok_or(Error::NotFound)?;
    let role = viewer.memberships.role(&partner_scope(&partner.id)?);
    let allows =
        |capability| role.is_some_and(|role| app.partner_capabilities.matrix().allows(role.as_str(), capability));
    let reach = Reach {
        manages_deals: allows(PartnerCapability::ManageDeals),
        verifies: allows(PartnerCapability::VerifyCodes),
        manages_partner: manages(app, conn, viewer).await?,
    };
    if reach.verifies || reach.manages_partner { Ok((partner, reach)) } else { Err(Error::NotFound) }
}

/// Reads the newest partners before `before` that the viewer acts for, or all if they are of the staff.
///
/// # Errors
/// [`Error::Internal`].
pub async fn list_partners<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    before: Option<&str>,
    limit: i64,
) -> Result<Vec<Partner>> {
    if manages(app, conn, viewer).await? {
        return Ok(conn.partners(before, limit).await?);
    }
    let limit = usize::try_from(limit).unwrap_or_default();
    let scopes = viewer.memberships.scopes().filter(|scope| scope.kind() == &PARTNER);
    let mut ids: Vec<&str> = scopes.map(|scope| scope.id().as_str()).collect();
    ids.retain(|id| before.is_none_or(|before| *id < before));
    ids.sort_unstable_by(|a, b| b.cmp(a));
    let mut found = Vec::new();
    for id in ids.into_iter().take(limit) {
        found.extend(conn.partner(id).await?);
    }
    Ok(found)
}

/// Says whether the viewer manages the marketplace.
pub(crate) async fn manages<B: Backend>(app: &App<B>, conn: &mut B::Connection, viewer: &Viewer) -> Result<bool> {
    let platform = access::platform()?;
    Ok(app.platform_capabilities.check(conn, PlatformCapability::ManageMarketplace, &viewer.user, &platform).await?)
}

/// The scope of a partner; what is no id names none.
pub(crate) fn partner_scope(id: &str) -> Result<Scope> {
    Ok(Scope::new(PARTNER, ScopeId::new(id).map_err(|_| Error::NotFound)?))
}

/// An id from outside; what is none names nothing.
pub(crate) fn parsed_id(id: &str) -> Result<String> {
    Ok(Uuid::parse_str(id).map_err(|_| Error::NotFound)?.to_string())
}

/// Whoever offers something.
#[derive(Clone, Debug, FromRow, Serialize, ToSchema)]
pub struct Partner {
    /// A UUID of version 7: ids grow with time.
    pub id: String,
    /// As it is called.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Since when it is a partner.
    #[serde(serialize_with = "crate::http::api::moment")]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: i64,
}

impl Partner {
    pub(crate) fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("partner"), EntityId::new(&*self.id)?))
    }
}

/// What of a partner an audit record may hold.
impl Audited for Partner {
    const FIELDS: &'static [&'static str] = &["name"];
}
