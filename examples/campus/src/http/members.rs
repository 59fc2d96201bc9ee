//! The members of a group: who they are and, for owners and admins, what to do about it.

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::response::Redirect;
use chrono::{DateTime, Days, NaiveDate, Utc};
use maud::{Markup, html};
use serde::Deserialize;
use stoa_membership::{Filter, Member, PageRequest, Reason, Role, State as Standing, UserId};
use url::form_urlencoded::Serializer;

use super::Site;
use super::groups::group_scope;
use super::layout::{date, page};
use super::session::Session;
use crate::access::GroupCapability;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::members::{self, Decision};
use crate::sql::Sql as _;

/// Rows on a page.
const ROWS: u32 = 50;

/// What owners and admins can look at; everybody else sees the active ones.
const STATES: [(Standing, &str); 4] = [
    (Standing::Active, "Members"),
    (Standing::Banned, "Banned"),
    (Standing::Expired, "Expired"),
    (Standing::Left, "Left"),
];

const ROLES: [&str; 3] = ["member", "admin", "owner"];

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
    let scope = group_scope(&id)?;
    let (mut tx, viewer) = site.app.read_as(&session.user).await?;
    let can = [GroupCapability::ReadPosts, GroupCapability::ManageMembers];
    let may = site.app.group_capabilities.check_many(&mut tx, &can, &viewer.user, &scope).await?;
    let [true, manages] = may[..] else { return Err(Error::NotFound) };
    let group = tx.group(&id).await?.ok_or(Error::NotFound)?;

    let mut filter = Filter::default();
    if manages && !listing.state.is_empty() {
        filter = filter.state(listing.state.parse()?);
    }
    if !listing.role.is_empty() {
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
                @for role in ROLES { a href=(query(filter.state, role, "")) { (role) "s" } " " }
            }
            @if manages && filter.state == Standing::Active { (invitation(&id)) }
            @if found.items.is_empty() { p.soft { "Nobody." } }
            ul.stack {
                @for member in &found.items {
                    li.card {
                        div.row {
                            h3 { (names[member.user().as_str()]) }
                            span.badge { (member.role()) }
                        }
                        p.soft {
                            @if member.state() != Standing::Active { (member.state()) " " }
                            @if let Some(end) = member.expires_at() { "until " (date(end.timestamp_micros())) }
                        }
                        @if manages { (decisions(&id, member)) }
                    }
                }
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

/// What can be done about a membership. Whether the viewer may is for the transaction to say.
fn decisions(id: &str, member: &Member) -> Markup {
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
    let history = Serializer::new(format!("/groups/{id}/members/history?"))
        .append_pair("person", member.user().as_str())
        .finish();
    html! {
        details {
            summary { "Manage" }
            p { a href=(history) { "History" } }
            @match member.state() {
                Standing::Active => {
                    (form("role", html! {
                        label { "Role" select name="role" {
                            @for role in ROLES { option selected[member.role().as_str() == role] { (role) } }
                        } }
                        button { "Change the role" }
                    }))
                    (form("remove", html! { button.quiet { "Remove" } }))
                }
                Standing::Banned => (form("unban", html! { button { "Lift the ban" } })),
                _ => {}
            }
            @if member.state() != Standing::Banned {
                (form("ban", html! {
                    label { "Reason" input name="reason" required maxlength="200"; }
                    button.quiet { "Ban" }
                }))
            }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct DecisionForm {
    decision: String,
    person: String,
    version: i64,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    until: String,
}

impl DecisionForm {
    fn decision(&self) -> Result<Decision> {
        match &*self.decision {
            "ban" => Ok(Decision::Ban(Reason::new(self.reason.trim())?)),
            "unban" => Ok(Decision::Unban),
            "remove" => Ok(Decision::Remove),
            "role" if ROLES.contains(&&*self.role) => Ok(Decision::SetRole(Role::new(&*self.role)?)),
            "invite" => Ok(Decision::Invite(end_of(&self.until, Utc::now())?)),
            _ => Err(Error::Invalid("there is no such decision or role".into())),
        }
    }
}

/// The end of a day to come, in UTC.
fn end_of(day: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let day: Option<NaiveDate> = day.parse().ok();
    let end = day.and_then(|day| day.checked_add_days(Days::new(1))?.and_hms_opt(0, 0, 0));
    let end = end.ok_or_else(|| Error::Invalid("the day must be written as 2030-12-31".into()))?.and_utc();
    if end > now { Ok(end) } else { Err(Error::Invalid("the day must not have passed".into())) }
}

/// Carries a decision out, and shows the members.
pub(super) async fn decide<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: std::result::Result<Form<DecisionForm>, FormRejection>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let person = UserId::new(&*form.person)?;
    members::decide(&site.app, &session.user, &group_scope(&id)?, &person, form.version, &form.decision()?).await?;
    Ok(Redirect::to(&format!("/groups/{id}/members")))
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
    let (scope, person) = (group_scope(&id)?, UserId::new(&*whose.person)?);
    let (mut tx, viewer) = site.app.read_as(&session.user).await?;
    if !site.app.group_capabilities.check(&mut tx, GroupCapability::ManageMembers, &viewer.user, &scope).await? {
        return Err(Error::NotFound);
    }
    let mut request = PageRequest::first(ROWS);
    if !whose.after.is_empty() {
        request = request.after(whose.after.parse()?);
    }
    let found = site.app.membership.history(&mut tx, &person, &scope, &request).await?;
    let actors = found.items.iter().filter_map(|change| change.actor.as_ref()).map(UserId::as_str);
    let names = site.app.names(&mut tx, actors.chain([person.as_str()])).await?;
    let next = found.next.as_ref().map(|next| {
        Serializer::new(format!("/groups/{id}/members/history?"))
            .append_pair("person", person.as_str())
            .append_pair("after", &next.to_string())
            .finish()
    });
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
                                td { (change.actor.as_ref().map_or("somebody", |actor| &names[actor.as_str()])) }
                                td { (change.verb) }
                                td { (change.after.state) ", " (change.after.role) }
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

/// The words for the end of one's own membership.
pub(super) fn until(member: &Member) -> Markup {
    html! {
        @if let Some(end) = member.expires_at() { span.soft { " until " (date(end.timestamp_micros())) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_lasts_to_its_end() {
        let now = "2030-05-17T23:59:59Z".parse().unwrap();
        assert_eq!(end_of("2030-05-17", now).unwrap().to_rfc3339(), "2030-05-18T00:00:00+00:00");
        for bad in ["2030-05-16", "", "tomorrow", "2030-02-30", "+262142-12-31"] {
            assert!(matches!(end_of(bad, now), Err(Error::Invalid(_))), "{bad}");
        }
    }
}
