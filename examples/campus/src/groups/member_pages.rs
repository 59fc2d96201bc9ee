//! The members of a group: who they are and, for owners and admins, what to do about it.

use std::collections::HashMap;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Utc;
use maud::{Markup, html};
use serde::Deserialize;
use stoa_capabilities::Matrix;
use stoa_membership::{
    self as membership, Filter, Member, PageRequest, Reason, Role, Scope, State as Standing, Transition, UserId,
};
use url::form_urlencoded::Serializer;

use super::members::{self, Decision};
use crate::access::GroupCapability;
use crate::app::Viewer;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::groups;
use crate::http::Site;
use crate::http::layout::{date, page};
use crate::http::session::Session;
use crate::text::{end_of, line};

/// Rows on a page.
const ROWS: u32 = 50;

/// What owners and admins can look at; everybody else sees the active ones.
const STATES: [(Standing, &str); 4] = [
    (Standing::Active, "Members"),
    (Standing::Banned, "Banned"),
    (Standing::Expired, "Expired"),
    (Standing::Left, "Left"),
];

pub(super) const ROLES: [&str; 3] = ["member", "admin", "owner"];

/// The longest reason, in characters as a browser counts them: whatever they are, a [`Reason`] has room for their bytes.
const REASON: usize = 170;

/// How far the viewer's role reaches in a group: which pages and forms to offer. What is done is authorized by its own transaction.
pub(super) struct Reach<'a> {
    matrix: &'a Matrix<GroupCapability>,
    viewer: &'a UserId,
    role: &'a str,
}

impl<'a> Reach<'a> {
    /// Reads it off who the viewer is; whoever lacks the capability is told that there is nothing.
    pub(super) fn with<B: Backend>(
        capability: GroupCapability,
        site: &'a Site<B>,
        viewer: &'a Viewer,
        scope: &Scope,
    ) -> Result<Self> {
        let role = viewer.memberships.role(scope).ok_or(Error::NotFound)?.as_str();
        let reach = Self { matrix: site.app.group_capabilities.matrix(), viewer: &viewer.user, role };
        if reach.matrix.allows(role, capability) { Ok(reach) } else { Err(Error::NotFound) }
    }

    pub(super) fn manages(&self) -> bool {
        self.matrix.allows(self.role, GroupCapability::ManageMembers)
    }

    /// Whoever is no member has no rank any more.
    fn covers(&self, member: &Member) -> bool {
        let is_below = !member.is_active() || self.matrix.outranks(self.role, member.role().as_str());
        self.manages() && is_below && member.user() != self.viewer
    }

    fn roles(&self) -> impl Iterator<Item = &'static str> {
        ROLES.into_iter().filter(|role| self.matrix.may_grant(self.role, role))
    }
}

#[derive(Deserialize)]
pub(super) struct Listing {
    #[serde(default)]
    state: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    after: String,
}

/// One page of the members of a group, for its members.
pub(super) async fn members<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    listing: std::result::Result<Query<Listing>, QueryRejection>,
) -> Result<Markup> {
    let Query(listing) = listing?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let group = groups::find(&mut *tx, &id).await?;
    let scope = group.scope()?;
    let reach = Reach::with(GroupCapability::ReadMembers, &site, &viewer, &scope)?;
    let manages = reach.manages();

    let mut filter = Filter::default();
    if manages && !listing.state.is_empty() {
        filter = filter.state(listing.state.parse()?);
    }
    if !listing.role.is_empty() {
        if !ROLES.contains(&&*listing.role) {
            return Err(Error::Malformed("there is no such role".into()));
        }
        filter = filter.role(Role::new(&*listing.role)?);
    }
    let mut request = PageRequest::first(ROWS);
    if !listing.after.is_empty() {
        request = request.after(listing.after.parse()?);
    }
    let found = site.app.membership.list_by_scope(&mut tx, &scope, &filter, &request).await?;
    let names = site.app.names(&mut tx, found.items.iter().map(|member| member.user().as_str())).await?;
    let mut counts = Vec::new();
    for (state, title) in STATES.into_iter().filter(|(state, _)| manages || *state == Standing::Active) {
        let count = site.app.membership.count(&mut tx, &scope, &Filter::default().state(state)).await?;
        counts.push((state, title, count));
    }
    let query = |state: Standing, role: &str, after: &str| {
        let mut query = Serializer::new(format!("/groups/{id}/members?"));
        query.append_pair("state", state.as_str());
        for (name, value) in [("role", role), ("after", after)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.finish()
    };
    Ok(page(
        "Members",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href={ "/groups/" (group.id) } { (group.name) } }
            h1 { "Members" }
            nav.tabs aria-label="Which members" {
                @for (state, title, count) in &counts {
                    a href=(query(*state, "", "")) aria-current=[(*state == filter.state).then_some("page")] { (title) " (" (count) ")" }
                }
            }
            p.soft {
                "Only: "
                @for role in ROLES {
                    a href=(query(filter.state, role, "")) aria-current=[(role == listing.role).then_some("true")] { (role) "s" } " "
                }
            }
            @if manages && filter.state == Standing::Active { (invitation(&id)) }
            @if found.items.is_empty() { p.soft { "Nobody." } }
            ul.stack {
                @for member in &found.items { (card(&id, &names[member.user().as_str()], member, &reach)) }
            }
            @if let Some(next) = &found.next {
                p { a rel="next" href=(query(filter.state, &listing.role, &next.to_string())) { "More" } }
            }
        },
    ))
}

fn invitation(id: &str) -> Markup {
    html! {
        details {
            summary { "Invite a guest" }
            form.write.card method="post" action={ "/groups/" (id) "/members" } {
                input type="hidden" name="decision" value="invite";
                input type="hidden" name="version" value="0";
                label { "Person (their id)" input name="person" required maxlength="128"; }
                label { "Until the end of" input type="date" name="until" required; }
                div { button { "Invite" } }
            }
        }
    }
}

/// A membership, and what the viewer can do about it.
fn card(id: &str, name: &str, member: &Member, reach: &Reach<'_>) -> Markup {
    html! {
        li.card {
            div.row {
                h3 { (name) }
                span.badge { (member.role()) }
            }
            p.soft {
                @if !member.is_active() { (member.state()) " " }
                (until(member))
            }
            @if reach.manages() { (decisions(id, name, member, reach)) }
        }
    }
}

/// The forms of a membership. They carry the version that is shown, so that nobody decides about what they have not seen.
fn decisions(id: &str, name: &str, member: &Member, reach: &Reach<'_>) -> Markup {
    let form = |decision: &str, content: Markup| {
        html! {
            form method="post" action={ "/groups/" (id) "/members" } {
                input type="hidden" name="decision" value=(decision);
                input type="hidden" name="person" value=(member.user());
                input type="hidden" name="version" value=(member.version());
                (content)
            }
        }
    };
    let state = member.state();
    let is_guest = state == Standing::Active && member.expires_at().is_some() && member.role().as_str() == "member";
    html! {
        details {
            summary { "Manage " (name) }
            p { a href=(history_url(id, member.user(), "")) { "History" } }
            @if reach.covers(member) {
                @if state == Standing::Active {
                    (form("role", html! {
                        label { "Role" select name="role" {
                            @for role in reach.roles() { option selected[member.role().as_str() == role] { (role) } }
                        } }
                        button { "Change the role" }
                    }))
                }
                @if is_guest || matches!(state, Standing::Expired | Standing::Left) {
                    (form("invite", html! {
                        label { "Guest until the end of" input type="date" name="until" required; }
                        button { @if is_guest { "Move the end" } @else { "Invite again" } }
                    }))
                }
                @if state == Standing::Active { (form("remove", html! { button.quiet { "Remove" } })) }
                @if state == Standing::Banned {
                    (form("unban", html! { button { "Lift the ban" } }))
                } @else {
                    (form("ban", html! {
                        label { "Reason" input name="reason" required maxlength=(REASON); }
                        button.quiet { "Ban" }
                    }))
                }
            }
        }
    }
}

fn history_url(id: &str, person: &UserId, after: &str) -> String {
    let mut url = Serializer::new(format!("/groups/{id}/members/history?"));
    url.append_pair("person", person.as_str());
    if !after.is_empty() {
        url.append_pair("after", after);
    }
    url.finish()
}

#[derive(Deserialize)]
pub(super) struct DecisionForm {
    pub(super) decision: String,
    pub(super) person: String,
    pub(super) version: i64,
    #[serde(default)]
    pub(super) reason: String,
    #[serde(default)]
    pub(super) role: String,
    #[serde(default)]
    pub(super) until: String,
}

impl DecisionForm {
    pub(super) fn decision(&self) -> Result<Decision> {
        match &*self.decision {
            "ban" => Ok(Decision::Ban(Reason::new(line("the reason", &self.reason, REASON)?)?)),
            "unban" => Ok(Decision::Unban),
            "remove" => Ok(Decision::Remove),
            "role" if ROLES.contains(&&*self.role) => Ok(Decision::SetRole(Role::new(&*self.role)?)),
            "invite" => Ok(Decision::Invite(end_of(&self.until, Utc::now())?)),
            _ => Err(Error::Invalid("there is no such decision or role".into())),
        }
    }
}

/// Carries a decision out, and shows the members; or, where somebody else was faster, what became of the membership.
pub(super) async fn decide<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: std::result::Result<Form<DecisionForm>, FormRejection>,
) -> Result<Response> {
    let Form(form) = form?;
    let (scope, person) = (groups::scope(&site.app, &id).await?, UserId::new(&*form.person)?);
    match members::decide(&site.app, &session.caller, &scope, &person, form.version, &form.decision()?).await {
        Err(Error::Membership(membership::Error::Conflict)) => {
            Ok((StatusCode::CONFLICT, as_it_stands(&site, &session, &scope, &person).await?).into_response())
        }
        decided => decided.map(|()| Redirect::to(&format!("/groups/{id}/members")).into_response()),
    }
}

/// What somebody else made of a membership meanwhile, with the forms to decide again.
async fn as_it_stands<B: Backend>(site: &Site<B>, session: &Session, scope: &Scope, person: &UserId) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    // What somebody else changed may be the viewer's own role.
    let reach = Reach::with(GroupCapability::ManageMembers, site, &viewer, scope)?;
    let member = site.app.membership.get(&mut tx, person, scope).await?;
    let last = site.app.membership.history(&mut tx, person, scope, &PageRequest::first(1)).await?.items;
    let actors = last.iter().filter_map(|change| change.actor.as_ref()).map(UserId::as_str);
    let names = site.app.names(&mut tx, actors.chain([person.as_str()])).await?;
    let id = scope.id().as_str();
    Ok(page(
        "Changed meanwhile",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href={ "/groups/" (id) "/members" } { "Members" } }
            h1 { "Somebody else changed this" }
            p.lead { "Nothing was done. Here is how it stands now." }
            ul.stack {
                @if let Some(member) = &member {
                    (card(id, &names[person.as_str()], member, &reach))
                } @else {
                    li.card { (names[person.as_str()]) " is not, and never was, a member." }
                }
            }
            @for change in &last {
                p.soft { "Last change: " (change.verb) " by " (actor(change, &names)) ", " (date(change.at.timestamp_micros())) }
            }
        },
    ))
}

#[derive(Deserialize)]
pub(super) struct Whose {
    person: String,
    #[serde(default)]
    after: String,
}

/// What happened to one membership, for those who manage it.
pub(super) async fn history<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    whose: std::result::Result<Query<Whose>, QueryRejection>,
) -> Result<Markup> {
    let Query(whose) = whose?;
    let person = UserId::new(&*whose.person)?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let scope = groups::find(&mut *tx, &id).await?.scope()?;
    Reach::with(GroupCapability::ManageMembers, &site, &viewer, &scope)?;
    let mut request = PageRequest::first(ROWS);
    if !whose.after.is_empty() {
        request = request.after(whose.after.parse()?);
    }
    let found = site.app.membership.history(&mut tx, &person, &scope, &request).await?;
    if found.items.is_empty() {
        return Err(Error::NotFound);
    }
    let actors = found.items.iter().filter_map(|change| change.actor.as_ref()).map(UserId::as_str);
    let names = site.app.names(&mut tx, actors.chain([person.as_str()])).await?;
    let next = found.next.as_ref().map(|next| history_url(&id, &person, &next.to_string()));
    Ok(page(
        "History",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href={ "/groups/" (id) "/members" } { "Members" } }
            h1 { (names[person.as_str()]) }
            p.lead { "What happened to this membership, the newest first." }
            div.scroll {
                table {
                    thead { tr { th { "When" } th { "Who" } th { "What" } th { "Then" } th { "Why" } } }
                    tbody {
                        @for change in &found.items {
                            tr {
                                td { (date(change.at.timestamp_micros())) }
                                td { (actor(change, &names)) }
                                td { (change.verb) }
                                td {
                                    (change.after.state) ", " (change.after.role)
                                    @if let Some(end) = change.after.expires_at { ", until " (date(end.timestamp_micros())) }
                                }
                                td { (change.reason.as_ref().map(Reason::as_str).unwrap_or_default()) }
                            }
                        }
                    }
                }
            }
            @if let Some(next) = next { p { a rel="next" href=(next) { "Older" } } }
        },
    ))
}

/// Who changed it; whoever was purged since has no name.
fn actor<'a>(change: &Transition, names: &'a HashMap<String, String>) -> &'a str {
    change.actor.as_ref().map_or("somebody", |actor| &names[actor.as_str()])
}

/// The words for the end of a membership, if it has one.
pub(super) fn until(member: &Member) -> Markup {
    html! {
        @if let Some(end) = member.expires_at() { span.soft { " until " (date(end.timestamp_micros())) } }
    }
}
