//! The JSON routes of the marketplace.

use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use stoa_membership::UserId;
use utoipa::{OpenApi, ToSchema};

use super::deals::{self, Deal, DealDraft};
use super::redemption::{self, Redemption};
use super::sql::MarketplaceSql as _;
use super::{Partner, parsed_id};
use crate::backend::Backend;
use crate::error::Error;
use crate::http::api::{ApiResult, Json, Page, PageQuery, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};
use crate::marketplace;

/// Adds the JSON routes of the marketplace.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/deals", list::<B>)
        .get("/api/v1/deals/codes", codes::<B>)
        .get("/api/v1/deals/{id}", read::<B>)
        .post("/api/v1/deals/{id}/publish", publish::<B>)
        .post("/api/v1/deals/{id}/withdraw", withdraw::<B>)
        .post("/api/v1/deals/{id}/redeem", redeem::<B>)
        .get("/api/v1/partners", partners::<B>)
        .post("/api/v1/partners", create_partner::<B>)
        .get("/api/v1/partners/{id}/deals", partner_deals::<B>)
        .post("/api/v1/partners/{id}/deals", draft::<B>)
        .post("/api/v1/partners/{id}/agents", set_agent::<B>)
        .post("/api/v1/partners/{id}/verify", verify::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(
    list,
    codes,
    read,
    publish,
    withdraw,
    redeem,
    partners,
    create_partner,
    partner_deals,
    draft,
    set_agent,
    verify
))]
pub(crate) struct Api;

/// A partner to make.
#[derive(Debug, Deserialize, ToSchema)]
struct NewPartner {
    /// One line.
    #[schema(min_length = 1, max_length = 120)]
    name: String,
    /// Plain text.
    #[schema(min_length = 1, max_length = 2000)]
    description: String,
    /// The id of the first person who acts for it.
    #[schema(min_length = 1, max_length = 128)]
    agent: String,
}

/// Who acts for a partner.
#[derive(Debug, Deserialize, ToSchema)]
struct NewAgent {
    /// The id of the person.
    #[schema(min_length = 1, max_length = 128)]
    person: String,
    /// `agent` or `clerk`; without it they no longer act for the partner.
    role: Option<String>,
}

/// A deal to draft.
#[derive(Debug, Deserialize, ToSchema)]
struct NewDeal {
    /// One line.
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    /// Plain text.
    #[schema(min_length = 1, max_length = 8000)]
    body: String,
    /// 1 to 8 audience tags: `campus:everyone`, `batch:2018`, `group:chess`.
    #[schema(min_items = 1, max_items = 8)]
    audience: Vec<String>,
    /// RFC 3339.
    #[schema(format = DateTime, max_length = 40)]
    starts_at: String,
    /// RFC 3339.
    #[schema(format = DateTime, max_length = 40)]
    ends_at: String,
    /// How many may redeem it.
    #[schema(minimum = 1, maximum = 1_000_000)]
    limit: i64,
}

/// A code that somebody shows.
#[derive(Debug, Deserialize, ToSchema)]
struct ShownCode {
    #[schema(min_length = 12, max_length = 40)]
    code: String,
}

/// Lists the deals for the caller, newest first.
#[utoipa::path(get, path = "/api/v1/deals", tag = "marketplace", params(PageQuery), responses((status = 200, body = Page<Deal>)))]
async fn list<B: Backend>(State(site): State<Site<B>>, session: Session, page: PageQuery) -> ApiResult<Page<Deal>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let limit = page.limit()?;
    let after = page.after.as_deref().map(parsed_id).transpose()?;
    let found = deals::list::<B>(&mut tx, &viewer, after.as_deref(), i64::from(limit) + 1).await?;
    Ok(Json(Page::of(found, limit, |deal| deal.id.clone())))
}

/// Lists the caller's codes, those of the newest deals first.
#[utoipa::path(get, path = "/api/v1/deals/codes", tag = "marketplace", params(PageQuery),
    responses((status = 200, body = Page<Redemption>)))]
async fn codes<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<Redemption>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let limit = page.limit()?;
    let after = page.after.as_deref().map(parsed_id).transpose()?;
    let found = tx.redemptions_of(viewer.user.as_str(), after.as_deref(), i64::from(limit) + 1).await;
    Ok(Json(Page::of(found.map_err(Error::from)?, limit, |redemption| redemption.deal_id.clone())))
}

/// Reads a deal.
#[utoipa::path(get, path = "/api/v1/deals/{id}", tag = "marketplace", params(("id" = String, Path)),
    responses((status = 200, body = Deal), (status = 404, body = ProblemBody)))]
async fn read<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> ApiResult<Deal> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    Ok(Json(deals::read(&site.app, &mut tx, &viewer, &id).await?))
}

/// Publishes a draft.
#[utoipa::path(post, path = "/api/v1/deals/{id}/publish", tag = "marketplace", params(("id" = String, Path)),
    responses((status = 200, body = Deal), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn publish<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> ApiResult<Deal> {
    Ok(Json(deals::publish(&site.app, &session.caller, &id).await?))
}

/// Withdraws a draft or a published deal.
#[utoipa::path(post, path = "/api/v1/deals/{id}/withdraw", tag = "marketplace", params(("id" = String, Path)),
    responses((status = 200, body = Deal), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn withdraw<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<Deal> {
    Ok(Json(deals::withdraw(&site.app, &session.caller, &id).await?))
}

/// Redeems a deal: the caller's own code, the same one every time.
#[utoipa::path(post, path = "/api/v1/deals/{id}/redeem", tag = "marketplace", params(("id" = String, Path)),
    responses((status = 200, body = Redemption), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn redeem<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<Redemption> {
    Ok(Json(redemption::redeem(&site.app, &session.caller, &id).await?))
}

/// Lists the partners that the caller acts for; for the staff, all of them.
#[utoipa::path(get, path = "/api/v1/partners", tag = "marketplace", params(PageQuery), responses((status = 200, body = Page<Partner>)))]
async fn partners<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<Partner>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let limit = page.limit()?;
    let after = page.after.as_deref().map(parsed_id).transpose()?;
    let found = marketplace::list_partners(&site.app, &mut tx, &viewer, after.as_deref(), i64::from(limit) + 1).await?;
    Ok(Json(Page::of(found, limit, |partner| partner.id.clone())))
}

/// Makes a partner.
#[utoipa::path(post, path = "/api/v1/partners", tag = "marketplace", request_body = NewPartner,
    responses((status = 200, body = Partner), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn create_partner<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(new): Json<NewPartner>,
) -> ApiResult<Partner> {
    let agent = UserId::new(new.agent)?;
    Ok(Json(marketplace::create(&site.app, &session.caller, &new.name, &new.description, &agent).await?))
}

/// Lists the deals of a partner in any state, newest first, for those who act for it.
#[utoipa::path(get, path = "/api/v1/partners/{id}/deals", tag = "marketplace", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = Page<Deal>), (status = 404, body = ProblemBody)))]
async fn partner_deals<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    page: PageQuery,
) -> ApiResult<Page<Deal>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let (partner, _) = marketplace::read_partner(&site.app, &mut tx, &viewer, &id).await?;
    let limit = page.limit()?;
    let after = page.after.as_deref().map(parsed_id).transpose()?;
    let found = tx.deals_of(&partner.id, after.as_deref(), i64::from(limit) + 1).await.map_err(Error::from)?;
    Ok(Json(Page::of(found, limit, |deal| deal.id.clone())))
}

/// Drafts a deal.
#[utoipa::path(post, path = "/api/v1/partners/{id}/deals", tag = "marketplace", params(("id" = String, Path)), request_body = NewDeal,
    responses((status = 200, body = Deal), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn draft<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(new): Json<NewDeal>,
) -> ApiResult<Deal> {
    let times = (moment(&new.starts_at)?, moment(&new.ends_at)?);
    let draft = DealDraft::new(&new.title, &new.body, &new.audience.join(","), times, new.limit)?;
    Ok(Json(deals::draft(&site.app, &session.caller, &parsed_id(&id)?, draft).await?))
}

fn moment(text: &str) -> Result<DateTime<Utc>, Error> {
    text.parse().map_err(|_| Error::Invalid("a time is written like 2030-05-17T12:00:00Z".into()))
}

/// Says who acts for a partner.
#[utoipa::path(post, path = "/api/v1/partners/{id}/agents", tag = "marketplace", params(("id" = String, Path)), request_body = NewAgent,
    responses((status = 200), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn set_agent<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(new): Json<NewAgent>,
) -> ApiResult<()> {
    let person = UserId::new(new.person)?;
    marketplace::set_agent(&site.app, &session.caller, &parsed_id(&id)?, &person, new.role.as_deref()).await?;
    Ok(Json(()))
}

/// Takes a code, once.
#[utoipa::path(post, path = "/api/v1/partners/{id}/verify", tag = "marketplace", params(("id" = String, Path)), request_body = ShownCode,
    responses((status = 200, body = Redemption), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn verify<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(shown): Json<ShownCode>,
) -> ApiResult<Redemption> {
    Ok(Json(redemption::verify(&site.app, &session.caller, &parsed_id(&id)?, &shown.code).await?))
}
