//! The pages of deals, for those who redeem them.

use std::collections::HashMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use super::deals::{self, Deal};
use super::redemption::{self, Redemption};
use super::sql::MarketplaceSql as _;
use super::{parsed_id, partner_pages};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::layout::{date, page};
use crate::http::session::Session;
use crate::http::{Routes, Site};
use crate::marketplace;

/// Adds the pages of the marketplace.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    let routes = routes
        .get("/deals", deals::<B>)
        .get("/deals/codes", codes::<B>)
        .get("/deals/{id}", deal::<B>)
        .post("/deals/{id}/redeem", redeem::<B>);
    partner_pages::routes(routes)
}

/// What ends within this time is over soon, and less than so many are few.
const SOON: TimeDelta = TimeDelta::days(4);
const FEW: i64 = 5;

/// Rows on a page.
pub(super) const ROWS: u16 = 20;

#[derive(Deserialize)]
pub(super) struct Position {
    #[serde(default)]
    after: String,
}

impl Position {
    pub(super) fn before(&self) -> Result<Option<String>> {
        Some(&*self.after).filter(|after| !after.is_empty()).map(parsed_id).transpose()
    }
}

/// Takes the row that was read to see whether there are more, and returns the key of the last one shown if there are.
pub(super) fn cut<T>(rows: &mut Vec<T>, key: impl Fn(&T) -> &str) -> Option<String> {
    let has_more = rows.len() > usize::from(ROWS);
    rows.truncate(ROWS.into());
    rows.last().filter(|_| has_more).map(|last| key(last).to_owned())
}

/// The deals for the viewer.
async fn deals<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    position: std::result::Result<Query<Position>, QueryRejection>,
) -> Result<Markup> {
    let Query(position) = position?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let before = position.before()?;
    let mut found = deals::list::<B>(&mut tx, &viewer, before.as_deref(), i64::from(ROWS) + 1).await?;
    let next = cut(&mut found, |deal| &deal.id);
    let mut names = HashMap::new();
    for deal in &found {
        if !names.contains_key(&deal.partner_id) {
            let partner = tx.partner(&deal.partner_id).await?;
            names.insert(deal.partner_id.clone(), partner.map(|partner| partner.name).unwrap_or_default());
        }
    }
    let acts = !marketplace::list_partners(&site.app, &mut tx, &viewer, None, 1).await?.is_empty()
        || marketplace::manages(&site.app, &mut tx, &viewer).await?;
    Ok(page(
        "Deals",
        Some(&viewer),
        "",
        &html! {
            h1 { "Deals" }
            p.lead { "What partners of the campus offer to its people. Each of them once for everybody." }
            nav.tabs aria-label="More" {
                a href="/deals/codes" { "My codes" }
                @if acts { a href="/partners" { "Partners" } }
            }
            @if found.is_empty() {
                p.soft { "Nothing is on offer for you at the moment. Some deals are for the members of a group or a chapter only." }
            }
            ul.grid { @for deal in &found { (card(deal, names.get(&deal.partner_id).map(String::as_str))) } }
            @if let Some(next) = next { p { a rel="next" href={ "/deals?after=" (next) } { "Older deals" } } }
        },
    ))
}

/// A deal as a card that links to itself.
pub(super) fn card(deal: &Deal, partner: Option<&str>) -> Markup {
    html! {
        li.card {
            div.row {
                h3 { a href={ "/deals/" (deal.id) } { (deal.title) } }
                (badge(deal))
            }
            @if let Some(partner) = partner { p { (partner) } }
            p.soft { (left(deal)) " · until " (last_day(deal)) }
        }
    }
}

/// What is worth knowing of a deal at a glance.
fn badge(deal: &Deal) -> Markup {
    let is_over_soon = deal.ends_at < (Utc::now() + SOON).timestamp_micros();
    html! {
        @if deal.state != "published" { span.badge { (deal.state) } }
        @else if deal.redeemed == deal.redemption_limit { span.badge { "none left" } }
        @else if is_over_soon { span.badge.failed { "over soon" } }
        @else if deal.redemption_limit - deal.redeemed < FEW { span.badge { "few left" } }
    }
}

/// The last day on which it can be redeemed, in UTC.
fn last_day(deal: &Deal) -> String {
    // What ends at midnight ends with the day before.
    let last = DateTime::from_timestamp_micros(deal.ends_at - 1);
    last.map_or_else(String::new, |last| last.format("%-d %B %Y").to_string())
}

fn left(deal: &Deal) -> String {
    match deal.redemption_limit - deal.redeemed {
        0 => "none left".into(),
        left => format!("{left} of {} left", deal.redemption_limit),
    }
}

/// The codes that the viewer has.
async fn codes<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    position: std::result::Result<Query<Position>, QueryRejection>,
) -> Result<Markup> {
    let Query(position) = position?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let before = position.before()?;
    let mut found = tx.redemptions_of(viewer.user.as_str(), before.as_deref(), i64::from(ROWS) + 1).await?;
    let next = cut(&mut found, |redemption| &redemption.deal_id);
    let mut rows = Vec::new();
    for redemption in found {
        let deal = tx.deal(&redemption.deal_id).await?.ok_or(Error::NotFound)?;
        rows.push((redemption, deal));
    }
    Ok(page(
        "My codes",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/deals" { "Deals" } }
            h1 { "My codes" }
            p.lead { "Show a code at the partner. It is good for one time." }
            @if rows.is_empty() { p.soft { "You have none yet: redeem a deal, and its code is here." } }
            ul.stack {
                @for (redemption, deal) in &rows {
                    li.card {
                        h3 { a href={ "/deals/" (deal.id) } { (deal.title) } }
                        (code(redemption))
                    }
                }
            }
            @if let Some(next) = next { p { a rel="next" href={ "/deals/codes?after=" (next) } { "Older" } } }
        },
    ))
}

fn code(redemption: &Redemption) -> Markup {
    html! {
        p { code.name { (redemption.code) } }
        @match redemption.verified_at {
            Some(at) => p.soft { "Used " (date(at)) "." }
            None => p.soft { "Yours since " (date(redemption.redeemed_at)) ", not used yet." }
        }
    }
}

/// One deal, with the viewer's code or the way to one.
async fn deal<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let deal = deals::read(&site.app, &mut tx, &viewer, &id).await?;
    let partner = tx.partner(&deal.partner_id).await?.ok_or(Error::NotFound)?;
    let own = tx.redemption_of(viewer.user.as_str(), &deal.id).await?;
    let manages = deals::manages(&site.app, &viewer, &deal)?;
    crate::recommender::viewed(&site.app, &viewer.user, &stoa_search::Surface::MARKETPLACE, &deal.id);
    let now = Utc::now().timestamp_micros();
    let is_open = deal.state == "published" && (deal.starts_at..deal.ends_at).contains(&now);
    let is_for_viewer = deal.is_for(viewer.memberships.tags());
    Ok(page(
        &deal.title,
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/deals" { "Deals" } }
            div.row {
                h1 { (deal.title) }
                (badge(&deal))
            }
            p.lead { "By " (partner.name) " · " (left(&deal)) " · until " (last_day(&deal)) }
            div.card { p.body { (deal.body) } }
            @if let Some(own) = &own {
                h2 { "Your code" }
                div.card { (code(own)) p.soft { "Show it at " (partner.name) "." } }
            } @else if is_open && is_for_viewer && deal.redeemed < deal.redemption_limit {
                form.actions method="post" action={ "/deals/" (deal.id) "/redeem" } { button { "Get my code" } }
            } @else if deal.state == "published" && now < deal.starts_at {
                p.soft { "It begins " (date(deal.starts_at)) "." }
            } @else if is_open && is_for_viewer {
                p.soft { "Others were faster: nothing is left of this deal." }
            } @else if is_for_viewer {
                p.soft { "This deal cannot be redeemed." }
            }
            @if manages { (partner_pages::administration(&deal)) }
        },
    ))
}

/// Redeems, and shows the code.
async fn redeem<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Redirect> {
    let redemption = redemption::redeem(&site.app, &session.caller, &id).await?;
    Ok(Redirect::to(&format!("/deals/{}", redemption.deal_id)))
}
