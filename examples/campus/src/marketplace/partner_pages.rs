//! The pages of partners, for those who act for them.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Path, Query, State};
use axum::response::Redirect;
use chrono::{DateTime, Days, NaiveDate, Utc};
use maud::{Markup, html};
use serde::Deserialize;
use stoa_membership::UserId;

use super::deals::{self, Deal, DealDraft};
use super::pages::{Position, ROWS, card, cut};
use super::redemption;
use super::sql::MarketplaceSql as _;
use super::{Partner, Reach, parsed_id};
use crate::app::EVERYONE;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::layout::page;
use crate::http::session::Session;
use crate::http::{FormResult, Routes, Site};
use crate::marketplace;

/// Adds the pages of partners.
pub(super) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/partners", partners::<B>)
        .post("/partners", create::<B>)
        .get("/partners/{id}", partner::<B>)
        .post("/partners/{id}/agents", set_agent::<B>)
        .post("/partners/{id}/deals", draft::<B>)
        .post("/partners/{id}/verify", verify::<B>)
        .post("/deals/{id}/publish", publish::<B>)
        .post("/deals/{id}/withdraw", withdraw::<B>)
}

/// What those who manage a deal do with it.
pub(super) fn administration(deal: &Deal) -> Markup {
    html! {
        h2 { "For the partner" }
        div.card {
            p { (deal.redeemed) " of " (deal.redemption_limit) " codes have been given out, to " (deal.audience.replace('\n', ", ")) "." }
            div.row {
                a href={ "/partners/" (deal.partner_id) } { "All deals of the partner" }
                @if deal.state == "draft" {
                    form method="post" action={ "/deals/" (deal.id) "/publish" } { button { "Publish" } }
                }
                @if matches!(&*deal.state, "draft" | "published") {
                    form method="post" action={ "/deals/" (deal.id) "/withdraw" } { button.quiet { "Withdraw" } }
                }
            }
        }
    }
}

/// The partners that the viewer acts for; for the staff, all of them, and a form to make one.
async fn partners<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    position: std::result::Result<Query<Position>, QueryRejection>,
) -> Result<Markup> {
    let Query(position) = position?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let manages = marketplace::manages(&site.app, &mut tx, &viewer).await?;
    let before = position.before()?;
    let limit = i64::from(ROWS) + 1;
    let mut found = marketplace::list_partners(&site.app, &mut tx, &viewer, before.as_deref(), limit).await?;
    let next = cut(&mut found, |partner| &partner.id);
    Ok(page(
        "Partners",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/deals" { "Deals" } }
            h1 { "Partners" }
            p.lead { "Whoever offers something to the people of the campus." }
            @if found.is_empty() { p.soft { "You act for no partner. The staff of the campus can change that." } }
            ul.grid {
                @for partner in &found {
                    li.card {
                        h3 { a href={ "/partners/" (partner.id) } { (partner.name) } }
                        p.soft { (partner.description.chars().take(240).collect::<String>()) }
                    }
                }
            }
            @if let Some(next) = next { p { a rel="next" href={ "/partners?after=" (next) } { "More partners" } } }
            @if manages {
                h2 { "Make a partner" }
                form.write.card method="post" action="/partners" {
                    label { "Name" input name="name" required maxlength="120"; }
                    label { "What it does" textarea name="description" required rows="3" maxlength="2000" {} }
                    label { "Who acts for it (their id)" input name="agent" required maxlength="128"; }
                    div { button { "Make the partner" } }
                }
            }
        },
    ))
}

#[derive(Deserialize)]
struct PartnerForm {
    name: String,
    description: String,
    agent: String,
}

/// Makes a partner, and shows it.
async fn create<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<PartnerForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let agent = UserId::new(form.agent)?;
    let partner = marketplace::create(&site.app, &session.caller, &form.name, &form.description, &agent).await?;
    Ok(Redirect::to(&format!("/partners/{}", partner.id)))
}

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    after: String,
    /// A code has just been taken.
    taken: Option<String>,
}

/// One partner: its deals, and what the viewer may do.
async fn partner<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    shown: std::result::Result<Query<Shown>, QueryRejection>,
) -> Result<Markup> {
    let Query(shown) = shown?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let (partner, reach) = marketplace::read_partner(&site.app, &mut tx, &viewer, &id).await?;
    let before = Some(&*shown.after).filter(|after| !after.is_empty()).map(parsed_id).transpose()?;
    let mut found = tx.deals_of(&partner.id, before.as_deref(), i64::from(ROWS) + 1).await?;
    let next = cut(&mut found, |deal| &deal.id);
    Ok(page(
        &partner.name,
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/partners" { "Partners" } }
            h1 { (partner.name) }
            p.lead { (partner.description) }
            @if shown.taken.is_some() { p.card role="status" { "The code is good, and has been taken." } }
            (forms(&partner, reach))
            h2 { "Deals" }
            @if found.is_empty() { p.soft { "None yet. A draft is seen by nobody else until it is published." } }
            ul.grid { @for deal in &found { (card(deal, None)) } }
            @if let Some(next) = next { p { a rel="next" href={ "/partners/" (partner.id) "?after=" (next) } { "Older deals" } } }
        },
    ))
}

fn forms(partner: &Partner, reach: Reach) -> Markup {
    html! {
        @if reach.verifies {
            form.write.card method="post" action={ "/partners/" (partner.id) "/verify" } {
                label { "A code that somebody shows" input name="code" required maxlength="40" autocomplete="off" placeholder="ABCD-EFGH-JKMN"; }
                div { button { "Take the code" } }
            }
        }
        @if reach.manages_deals {
            details {
                summary { "Draft a deal" }
                form.write.card method="post" action={ "/partners/" (partner.id) "/deals" } {
                    label { "Title" input name="title" required maxlength="200"; }
                    label { "What is on offer, and what it takes" textarea name="body" required rows="4" maxlength="8000" {} }
                    label { "Whom it is for, between commas: " (EVERYONE) ", batch:2018, group:chess" input name="audience" required maxlength="2000" value=(EVERYONE); }
                    label { "From (UTC)" input type="date" name="from" required; }
                    label { "Until the end of (UTC)" input type="date" name="until" required; }
                    label { "How many may redeem it" input type="number" name="limit" required min="1" max="1000000" value="100"; }
                    div { button { "Draft the deal" } }
                }
            }
        }
        @if reach.manages_partner {
            details {
                summary { "Who acts for this partner" }
                form.write.card method="post" action={ "/partners/" (partner.id) "/agents" } {
                    label { "Person (their id)" input name="person" required maxlength="128"; }
                    label { "They" select name="role" {
                        option value="agent" { "manage its deals and take codes" }
                        option value="clerk" { "take codes" }
                        option value="none" { "no longer act for it" }
                    } }
                    div { button { "Change" } }
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct AgentForm {
    person: String,
    role: String,
}

/// Changes who acts for a partner, and shows it.
async fn set_agent<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<AgentForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let (id, person) = (parsed_id(&id)?, UserId::new(form.person)?);
    let role = Some(&*form.role).filter(|role| *role != "none");
    marketplace::set_agent(&site.app, &session.caller, &id, &person, role).await?;
    Ok(Redirect::to(&format!("/partners/{id}")))
}

#[derive(Deserialize)]
struct DealForm {
    title: String,
    body: String,
    audience: String,
    from: String,
    until: String,
    limit: i64,
}

/// Drafts a deal, and shows it.
async fn draft<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<DealForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let times = (start_of(&form.from, 0)?, start_of(&form.until, 1)?);
    let draft = DealDraft::new(&form.title, &form.body, &form.audience, times, form.limit)?;
    let deal = deals::draft(&site.app, &session.caller, &parsed_id(&id)?, draft).await?;
    Ok(Redirect::to(&format!("/deals/{}", deal.id)))
}

/// The beginning of a day, or of one so many days later.
fn start_of(day: &str, later: u64) -> Result<DateTime<Utc>> {
    let day: Option<NaiveDate> = day.parse().ok();
    let start = day.and_then(|day| day.checked_add_days(Days::new(later))?.and_hms_opt(0, 0, 0));
    Ok(start.ok_or_else(|| Error::Invalid("a day is written like 2030-05-17".into()))?.and_utc())
}

#[derive(Deserialize)]
struct CodeForm {
    code: String,
}

/// Takes a code, and says so.
async fn verify<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<CodeForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let id = parsed_id(&id)?;
    redemption::verify(&site.app, &session.caller, &id, &form.code).await?;
    Ok(Redirect::to(&format!("/partners/{id}?taken=yes")))
}

/// Publishes, and shows the deal.
async fn publish<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    let deal = deals::publish(&site.app, &session.caller, &id).await?;
    Ok(Redirect::to(&format!("/deals/{}", deal.id)))
}

/// Withdraws, and shows the deal.
async fn withdraw<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    let deal = deals::withdraw(&site.app, &session.caller, &id).await?;
    Ok(Redirect::to(&format!("/deals/{}", deal.id)))
}
