//! The pages of the mentorship.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Path, Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::HashMap;
use stoa_membership::UserId;

use super::matches::{self, Decision, Match};
use super::matching::{self, Run};
use super::sql::{MatchSql as _, MentorshipSql as _};
use super::{Profile, ProfileDraft, ProfileInput, Programme, ProgrammeDraft, ProgrammeRole, ProgrammeState, parsed_id};
use crate::app::{EVERYONE, Viewer};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::layout::{date, page};
use crate::http::session::Session;
use crate::http::{FormResult, Routes, Site};
use crate::mentorship;

/// Adds the pages of the mentorship.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/mentorship", programmes::<B>)
        .post("/mentorship", create::<B>)
        .get("/mentorship/{id}", programme::<B>)
        .post("/mentorship/{id}/state", set_state::<B>)
        .post("/mentorship/{id}/profile", register::<B>)
        .post("/mentorship/{id}/withdraw", withdraw::<B>)
        .post("/mentorship/{id}/runs", start_run::<B>)
        .get("/mentorship/{id}/people", people::<B>)
        .post("/mentorship/{id}/matches", propose::<B>)
        .get("/matches/{id}", match_page::<B>)
        .post("/matches/{id}", decide::<B>)
}

/// Rows on a page.
const ROWS: u16 = 20;

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    after: String,
}

impl Position {
    fn before(&self) -> Result<Option<String>> {
        Some(&*self.after).filter(|after| !after.is_empty()).map(parsed_id).transpose()
    }
}

/// Takes the row that was read to see whether there are more, and returns the key of the last one shown if there are.
fn cut<T>(rows: &mut Vec<T>, key: impl Fn(&T) -> &str) -> Option<String> {
    let has_more = rows.len() > usize::from(ROWS);
    rows.truncate(ROWS.into());
    rows.last().filter(|_| has_more).map(|last| key(last).to_owned())
}

/// The programmes for the viewer, and their own matches.
async fn programmes<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    position: std::result::Result<Query<Position>, QueryRejection>,
) -> Result<Markup> {
    let Query(position) = position?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let before = position.before()?;
    let limit = i64::from(ROWS) + 1;
    let mut found = mentorship::list(&site.app, &mut tx, &viewer, before.as_deref(), limit).await?;
    let next = cut(&mut found, |programme| &programme.id);
    let manages = mentorship::manages(&site.app, &mut tx, &viewer).await?;
    let mine = tx.matches_of(viewer.user.as_str(), None, 10).await?;
    let names = names_of(&site, &mut tx, &mine).await?;
    Ok(page(
        "Mentorship",
        Some(&viewer),
        "",
        &html! {
            h1 { "Mentorship" }
            p.lead { "An hour now and then with somebody who has been there. Join a programme as a mentor or as a mentee." }
            @if !mine.is_empty() {
                h2 { "Your matches" }
                ul.stack { @for one in &mine { (match_card(one, &viewer, &names)) } }
            }
            h2 { "Programmes" }
            @if found.is_empty() {
                p.soft { "No programme is for you at the moment. Come back later, or join a group: some programmes are for their members." }
            }
            ul.grid {
                @for programme in &found {
                    li.card {
                        div.row {
                            h3 { a href={ "/mentorship/" (programme.id) } { (programme.name) } }
                            span.badge { (programme.state) }
                        }
                        p.soft { (programme.description.chars().take(240).collect::<String>()) }
                    }
                }
            }
            @if let Some(next) = next { p { a rel="next" href={ "/mentorship?after=" (next) } { "Older programmes" } } }
            @if manages {
                h2 { "Make a programme" }
                form.write.card method="post" action="/mentorship" {
                    label { "Name" input name="name" required maxlength="120"; }
                    label { "What it is about" textarea name="description" required rows="4" maxlength="4000" {} }
                    label { "Whom it is for: " (EVERYONE) ", or a scope such as batch:2018" input name="audience" required maxlength="255" value=(EVERYONE); }
                    div { button { "Make the programme" } }
                }
            }
        },
    ))
}

async fn names_of<B: Backend>(
    site: &Site<B>,
    conn: &mut B::Connection,
    matches: &[Match],
) -> Result<HashMap<String, String>> {
    let ids = matches.iter().flat_map(|one| [&*one.mentor_user_id, &*one.mentee_user_id]);
    site.app.names(conn, ids).await
}

/// A match as a card that links to itself.
fn match_card(one: &Match, viewer: &Viewer, names: &HashMap<String, String>) -> Markup {
    let side = one.side(viewer.user.as_str());
    html! {
        li.card {
            div.row {
                h3 {
                    a href={ "/matches/" (one.id) } {
                        @match side {
                            Some(ProgrammeRole::Mentor) => { "You mentor " (names[&one.mentee_user_id]) }
                            Some(ProgrammeRole::Mentee) => { (names[&one.mentor_user_id]) " mentors you" }
                            None => { (names[&one.mentor_user_id]) " mentors " (names[&one.mentee_user_id]) }
                        }
                    }
                }
                span.badge { (one.state) }
            }
            p.soft { "Since " (date(one.changed_at)) }
        }
    }
}

#[derive(Deserialize)]
struct ProgrammeForm {
    name: String,
    description: String,
    audience: String,
}

/// Makes a programme, and shows it.
async fn create<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<ProgrammeForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let draft = ProgrammeDraft::new(&form.name, &form.description, &form.audience)?;
    let programme = mentorship::create(&site.app, &session.caller, draft).await?;
    Ok(Redirect::to(&format!("/mentorship/{}", programme.id)))
}

/// One programme: what it is, the viewer's place in it and, for the staff, its matches and runs.
async fn programme<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    position: std::result::Result<Query<Position>, QueryRejection>,
) -> Result<Markup> {
    let Query(position) = position?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let (programme, manages) = mentorship::read(&site.app, &mut tx, &viewer, &id).await?;
    let own = tx.mentorship_profile(&programme.id, viewer.user.as_str()).await?;
    crate::recommender::viewed(&site.app, &viewer.user, &mentorship::place()?, &programme.id);
    let mut mine = tx.matches_of(viewer.user.as_str(), None, i64::from(ROWS)).await?;
    mine.retain(|one| one.programme_id == programme.id);
    let names = names_of(&site, &mut tx, &mine).await?;
    let mut staff = html! {};
    if manages {
        let before = position.before()?;
        let mut waiting = tx.matches_in(&programme.id, "accepted", before.as_deref(), i64::from(ROWS) + 1).await?;
        let next = cut(&mut waiting, |one| &one.id);
        let names = names_of(&site, &mut tx, &waiting).await?;
        let run = tx.newest_run(&programme.id).await?;
        let undone = match &run {
            Some(run) if run.state == "running" => tx.count_undone(&run.id).await?,
            _ => 0,
        };
        staff = html! {
            (administration(&programme, run.as_ref(), undone))
            h2 { "Waiting for approval" }
            @if waiting.is_empty() { p.soft { "Nobody: matches come here once whoever was asked has accepted." } }
            ul.stack { @for one in &waiting { (match_card(one, &viewer, &names)) } }
            @if let Some(next) = next { p { a rel="next" href={ "/mentorship/" (programme.id) "?after=" (next) } { "Older" } } }
        };
    }
    Ok(page(
        &programme.name,
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/mentorship" { "Mentorship" } }
            div.row {
                h1 { (programme.name) }
                span.badge { (programme.state) }
            }
            p.lead.body { (programme.description) }
            @if let Some(own) = &own {
                h2 { "You are a " (own.role) " here" }
                p.soft {
                    @if own.role == "mentor" { (own.taken) " of " (own.capacity) " places are taken. " }
                    @if own.taken < own.capacity {
                        a href={ "/mentorship/" (programme.id) "/people" } {
                            @if own.role == "mentor" { "Look for a mentee" } @else { "Look for a mentor" }
                        }
                    }
                }
                @if !mine.is_empty() { ul.stack { @for one in &mine { (match_card(one, &viewer, &names)) } } }
                details { summary { "Change what you say of yourself" } (profile_form(&programme, Some(own))) }
                @if own.taken == 0 {
                    form.actions method="post" action={ "/mentorship/" (programme.id) "/withdraw" } { button.quiet { "Withdraw" } }
                }
            } @else if programme.state == ProgrammeState::Open.as_str() {
                h2 { "Take part" }
                (profile_form(&programme, None))
            } @else {
                p.soft { "This programme takes nobody new at the moment." }
            }
            (staff)
        },
    ))
}

/// What the staff does with a programme.
fn administration(programme: &Programme, run: Option<&Run>, undone: i64) -> Markup {
    let is_open = programme.state == ProgrammeState::Open.as_str();
    html! {
        h2 { "Matching" }
        div.card {
            @match run {
                None => p { "The matching has not run yet: it proposes a mentor to every mentee who has none." }
                Some(run) if run.state == "running" => p {
                    "A run is on its way: " (run.mentees - undone) " of " (run.mentees) " mentees looked at, since " (date(run.started_at)) "."
                }
                Some(run) => p {
                    "The last run proposed " (run.matched) " matches to " (run.mentees) " mentees, " (date(run.finished_at.unwrap_or(run.started_at))) "."
                }
            }
            div.actions {
                form method="post" action={ "/mentorship/" (programme.id) "/runs" } { button { "Match now" } }
                form method="post" action={ "/mentorship/" (programme.id) "/state" } {
                    input type="hidden" name="state" value=(if is_open { "closed" } else { "open" });
                    button.quiet { @if is_open { "Close the programme" } @else { "Open the programme" } }
                }
            }
        }
    }
}

/// The form to register with, or to change what one said.
fn profile_form(programme: &Programme, own: Option<&Profile>) -> Markup {
    let said = |field: fn(&Profile) -> &str| own.map(|own| field(own).replace('\n', ", ")).unwrap_or_default();
    html! {
        form.write.card method="post" action={ "/mentorship/" (programme.id) "/profile" } {
            @if let Some(own) = own {
                input type="hidden" name="role" value=(own.role);
            } @else {
                label { "I take part as" select name="role" {
                    option value="mentee" { "a mentee: I look for somebody" }
                    option value="mentor" { "a mentor: I have time" }
                } }
            }
            label { "What I know, between commas (a mentor names at least one)" input name="skills" maxlength="400" value=(said(|own| &own.skills)); }
            label { "What I want to learn or talk about (a mentee names at least one)" input name="interests" maxlength="400" value=(said(|own| &own.interests)); }
            label { "Languages I speak" input name="languages" required maxlength="400" value=(said(|own| &own.languages)); }
            label { "The year of my class" input type="number" name="batch_year" required min="1900" max="2100" value=[own.map(|own| own.batch_year)]; }
            label { "What I hope for" textarea name="goals" rows="3" maxlength="2000" { (own.map(|own| &*own.goals).unwrap_or_default()) } }
            label { "For how many I have time (mentors)" input type="number" name="capacity" min="1" max="20" value=(own.map_or(1, |own| own.capacity)); }
            div { button { @if own.is_some() { "Keep" } @else { "Take part" } } }
        }
    }
}

#[derive(Deserialize)]
struct ProfileForm {
    role: ProgrammeRole,
    #[serde(default)]
    skills: String,
    #[serde(default)]
    interests: String,
    languages: String,
    batch_year: i64,
    #[serde(default)]
    goals: String,
    #[serde(default = "super::one")]
    capacity: i64,
}

/// Registers, and shows the programme.
async fn register<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<ProfileForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let id = parsed_id(&id)?;
    let input = ProfileInput {
        skills: form.skills,
        interests: form.interests,
        languages: form.languages,
        batch_year: form.batch_year,
        goals: form.goals,
        capacity: form.capacity,
    };
    let draft = ProfileDraft::new(form.role, &input)?;
    mentorship::register(&site.app, &session.caller, &id, &draft).await?;
    Ok(Redirect::to(&format!("/mentorship/{id}")))
}

/// Withdraws, and shows the programmes.
async fn withdraw<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    mentorship::withdraw(&site.app, &session.caller, &parsed_id(&id)?).await?;
    Ok(Redirect::to("/mentorship"))
}

#[derive(Deserialize)]
struct StateForm {
    state: ProgrammeState,
}

/// Opens or closes, and shows the programme.
async fn set_state<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<StateForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let id = parsed_id(&id)?;
    mentorship::set_state(&site.app, &session.caller, &id, form.state).await?;
    Ok(Redirect::to(&format!("/mentorship/{id}")))
}

/// Starts a run, and shows how far it is.
async fn start_run<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    let id = parsed_id(&id)?;
    matching::start(&site.app, &session.caller, &id).await?;
    Ok(Redirect::to(&format!("/mentorship/{id}")))
}

#[derive(Deserialize)]
struct Whom {
    #[serde(default)]
    after: String,
}

/// Those of the other role who have room, for somebody who takes part.
async fn people<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    whom: std::result::Result<Query<Whom>, QueryRejection>,
) -> Result<Markup> {
    let Query(whom) = whom?;
    let after = match &*whom.after {
        "" => String::new(),
        after => UserId::new(after)?.to_string(),
    };
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let (programme, _) = mentorship::read(&site.app, &mut tx, &viewer, &id).await?;
    let scope = mentorship::programme_scope(&programme.id)?;
    let own = tx.mentorship_profile(&programme.id, viewer.user.as_str()).await?.ok_or(Error::NotFound)?;
    viewer.memberships.role(&scope).ok_or(Error::NotFound)?;
    let role = if own.role == "mentor" { "mentee" } else { "mentor" };
    let mut found = tx.free_profiles(&programme.id, role, &after, i64::from(ROWS) + 1).await?;
    let next = cut(&mut found, |profile| &profile.user_id);
    let names = site.app.names(&mut tx, found.iter().map(|profile| &*profile.user_id)).await?;
    let terms = |lines: &str| lines.replace('\n', ", ");
    Ok(page(
        "People",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href={ "/mentorship/" (programme.id) } { (programme.name) } }
            h1 { @if role == "mentor" { "Mentors with time" } @else { "Mentees without a mentor" } }
            p.lead { "Propose to one of them. They can accept or decline; then the staff approves." }
            @if found.is_empty() { p.soft { "Nobody at the moment. The next matching run finds you as soon as somebody has joined." } }
            ul.stack {
                @for profile in &found {
                    li.card {
                        div.row {
                            h3 { (names[&profile.user_id]) }
                            span.badge { "class of " (profile.batch_year) }
                        }
                        @if !profile.skills.is_empty() { p { "Knows " (terms(&profile.skills)) } }
                        @if !profile.interests.is_empty() { p { "Likes to talk about " (terms(&profile.interests)) } }
                        p.soft { "Speaks " span.names { (terms(&profile.languages)) } }
                        @if !profile.goals.is_empty() { p.body { (profile.goals) } }
                        form method="post" action={ "/mentorship/" (programme.id) "/matches" } {
                            input type="hidden" name="person" value=(profile.user_id);
                            p { button { "Propose to " (names[&profile.user_id]) } }
                        }
                    }
                }
            }
            @if let Some(next) = next {
                @let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
                p { a rel="next" href={ "/mentorship/" (programme.id) "/people?after=" (next) } { "More" } }
            }
        },
    ))
}

#[derive(Deserialize)]
struct ProposalForm {
    person: String,
}

/// Proposes, and shows the match.
async fn propose<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<ProposalForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let person = UserId::new(form.person).map_err(|_| Error::NotFound)?;
    let proposed = matches::propose(&site.app, &session.caller, &parsed_id(&id)?, &person).await?;
    Ok(Redirect::to(&format!("/matches/{}", proposed.id)))
}

/// One match, with what the viewer can decide about it.
async fn match_page<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let (one, manages) = matches::read(&site.app, &mut tx, &viewer, &id).await?;
    let programme = tx.programme(&one.programme_id).await?.ok_or(Error::NotFound)?;
    let names = names_of(&site, &mut tx, std::slice::from_ref(&one)).await?;
    let mentor = tx.mentorship_profile(&one.programme_id, &one.mentor_user_id).await?;
    let mentee = tx.mentorship_profile(&one.programme_id, &one.mentee_user_id).await?;
    let side = one.side(viewer.user.as_str());
    let possible = Decision::ALL.map(|decision| (decision, one.after_decision(decision, side, manages).is_ok()));
    let said = |profile: Option<&Profile>| {
        html! {
            @if let Some(profile) = profile {
                p { @if profile.role == "mentor" { "Knows " (profile.skills.replace('\n', ", ")) } @else { "Wants to learn " (profile.interests.replace('\n', ", ")) } }
                p.soft { "Class of " (profile.batch_year) ", speaks " span.names { (profile.languages.replace('\n', ", ")) } }
                @if !profile.goals.is_empty() { p.body { (profile.goals) } }
            } @else { p.soft { "No longer takes part." } }
        }
    };
    Ok(page(
        "Match",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href={ "/mentorship/" (programme.id) } { (programme.name) } }
            div.row {
                h1 { (names[&one.mentor_user_id]) " and " (names[&one.mentee_user_id]) }
                span.badge { (one.state) }
            }
            p.lead { (meaning(&one)) }
            ul.grid {
                li.card { h3 { "Mentor: " (names[&one.mentor_user_id]) } (said(mentor.as_ref())) }
                li.card { h3 { "Mentee: " (names[&one.mentee_user_id]) } (said(mentee.as_ref())) }
            }
            div.actions {
                @for (decision, _) in possible.iter().filter(|(_, is_possible)| *is_possible) {
                    form method="post" action={ "/matches/" (one.id) } {
                        input type="hidden" name="decision" value=(decision.as_str());
                        button.quiet[matches!(decision, Decision::Decline | Decision::End)] {
                            @match decision {
                                Decision::Accept => "Accept",
                                Decision::Decline => "Decline",
                                Decision::Approve => "Approve",
                                Decision::End => "End the mentorship",
                            }
                        }
                    }
                }
            }
            p.soft { "Proposed " (date(one.created_at)) ", last changed " (date(one.changed_at)) "." }
        },
    ))
}

/// What the state of a match means for the two.
fn meaning(one: &Match) -> &'static str {
    match (&*one.state, &*one.proposed_by) {
        ("proposed", "mentor") => "The mentor has proposed; the mentee has not answered yet.",
        ("proposed", "mentee") => "The mentee has proposed; the mentor has not answered yet.",
        ("proposed", _) => "The matching thinks that they fit; the mentor has not answered yet.",
        ("accepted", _) => "Accepted. The staff has a look at it before it begins.",
        ("approved", _) => "Approved: write to each other, and find an hour.",
        ("declined", _) => "Declined. There will be somebody else.",
        _ => "This mentorship has come to its end.",
    }
}

#[derive(Deserialize)]
struct DecisionForm {
    decision: Decision,
}

/// Decides, and shows the match.
async fn decide<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<DecisionForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let one = matches::decide(&site.app, &session.caller, &id, form.decision).await?;
    Ok(Redirect::to(&format!("/matches/{}", one.id)))
}
