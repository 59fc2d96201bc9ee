//! The pages of the directory.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Path, Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::Wanted;
use super::profile::{Field, NewProfile, Profile, Shown, Update, Visibility, path};
use super::sql::DirectorySql as _;
use crate::backend::Backend;
use crate::directory;
use crate::error::{Error, Result};
use crate::http::layout::page;
use crate::http::session::Session;
use crate::http::{FormResult, Routes, Site};

/// Adds the pages of the directory.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes.get("/directory", list::<B>).get("/directory/{id}", person::<B>).get("/me", own::<B>).post("/me", edit::<B>)
}

/// People on one page.
const PEOPLE: u8 = 30;

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    city: String,
    /// A form sends an empty one where nothing was chosen.
    #[serde(default)]
    batch: String,
    after: Option<String>,
}

/// People by name, and a box to search them.
async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    listing: std::result::Result<Query<Listing>, QueryRejection>,
) -> Result<Markup> {
    let Query(Listing { city, batch, after }) = listing?;
    let year = Some(batch.trim()).filter(|batch| !batch.is_empty()).map(str::parse).transpose();
    let year = year.map_err(|_| Error::Invalid("a batch is a year, as 2014".into()))?;
    let wanted = Wanted { city, batch: year, after };
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let mut found = directory::list(&mut *tx, &viewer, &wanted, PEOPLE).await?;
    let has_more = found.len() > usize::from(PEOPLE);
    found.truncate(PEOPLE.into());
    let next = |last: &Shown| {
        let mut url = Serializer::new(String::from("/directory?"));
        for (name, value) in [("city", wanted.city.trim()), ("batch", batch.trim())] {
            if !value.is_empty() {
                url.append_pair(name, value);
            }
        }
        url.append_pair("after", &last.id).finish()
    };
    Ok(page(
        "Directory",
        Some(&viewer),
        "",
        &html! {
            div.row {
                h1 { "Directory" }
                a.button href="/me" { "Your profile" }
            }
            p.lead { "Everybody on campus. What else you see of somebody is up to them." }
            form.filter action="/search" role="search" {
                input type="hidden" name="surface" value="directory";
                label { "Search people" input type="search" name="q" maxlength="400" placeholder="A name, a company, a craft"; }
                button { "Search" }
            }
            form.filter action="/directory" {
                label { "City" input name="city" maxlength="100" value=(wanted.city); }
                label { "Batch" input name="batch" inputmode="numeric" pattern="[0-9]{4}" maxlength="4" value=(batch); }
                button.quiet { "Filter" }
            }
            @if found.is_empty() {
                p { "Nobody here lets you know that of them. " a href="/directory" { "Show everybody" } "." }
            }
            ul.grid { @for shown in &found { (card(shown)) } }
            @if let Some(last) = found.last().filter(|_| has_more) {
                p { a rel="next" href=(next(last)) { "More people" } }
            }
        },
    ))
}

fn card(shown: &Shown) -> Markup {
    html! {
        li.card {
            h3 { a href=(path(&shown.id)) { (shown.name) } }
            p.soft { (shown.headline) }
            @if shown.batch.is_some() || shown.city.is_some() {
                p.soft {
                    @if let Some(year) = shown.batch { span.badge { "Class of " (year) } " " }
                    @if let Some(city) = &shown.city { span.badge { (city) } }
                }
            }
        }
    }
}

/// What the viewer may see of somebody.
async fn person<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let shown = directory::read(&site.app, &mut tx, &viewer, &id).await?;
    let is_own = shown.id == viewer.person.id;
    let facts = [
        ("Batch", shown.batch.map(|year| format!("Class of {year}"))),
        ("City", shown.city),
        ("Employer", shown.employer),
        ("About", shown.bio),
        ("E-mail", shown.email),
        ("Telephone", shown.phone),
    ];
    Ok(page(
        &shown.name,
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/directory" { "Directory" } }
            div.row {
                h1 { (shown.name) }
                @if is_own { a.button href="/me" { "Edit your profile" } }
            }
            p.lead { (shown.headline) }
            @if facts.iter().all(|(_, value)| value.is_none()) {
                p.soft { "There is nothing else for you to see here." }
            } @else {
                dl.facts.card {
                    @for (name, value) in &facts {
                        @if let Some(value) = value { dt { (name) } dd.body { (value) } }
                    }
                }
            }
        },
    ))
}

/// The viewer's own profile, to be changed.
async fn own<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let profile = tx.profile(&viewer.person.id).await?.ok_or(Error::NotSignedIn)?;
    let text = |field: Field, title: &str, value: &str, max: u16, kind: &str| {
        html! {
            div.pair {
                label { (title) input name=(field.as_str()) type=(kind) maxlength=(max) value=(value); }
                (audience(&profile, field))
            }
        }
    };
    Ok(page(
        "Your profile",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href=(path(&profile.id)) { "As you see it" } " · " a href="/settings/notifications" { "What you are told, and how" } }
            h1 { "Your profile" }
            p.lead { "Everybody sees your name and your headline. For the rest you choose; only what is for everyone can be found by searching." }
            form.write.card method="post" action="/me" {
                label { "Name" input name="name" required maxlength="100" autocomplete="name" value=(profile.name); }
                label { "Headline" input name="headline" maxlength="200" value=(profile.headline); }
                div.pair {
                    p.soft { @if let Some(year) = profile.batch_year { "Class of " (year) " (the campus keeps this)" } @else { "You are of no batch yet: the campus keeps this." } }
                    (audience(&profile, Field::Batch))
                }
                (text(Field::City, "City", &profile.city, 100, "text"))
                (text(Field::Employer, "Employer", &profile.employer, 100, "text"))
                div.pair {
                    label { "About you" textarea name="bio" rows="5" maxlength="4000" { (profile.bio) } }
                    (audience(&profile, Field::Bio))
                }
                (text(Field::Email, "E-mail", &profile.email, 254, "email"))
                (text(Field::Phone, "Telephone", &profile.phone, 40, "tel"))
                div { button { "Save" } }
            }
        },
    ))
}

fn audience(profile: &Profile, field: Field) -> Markup {
    let title = |visibility| match visibility {
        Visibility::Everyone => "Everyone",
        Visibility::Batch => "My batch",
        Visibility::Connections => "My groups",
        Visibility::Nobody => "Nobody",
    };
    html! {
        label { "Who sees it" select name={ (field.as_str()) "_audience" } {
            @for visibility in Visibility::ALL {
                option value=(visibility.as_str()) selected[visibility == profile.visibility(field)] { (title(visibility)) }
            }
        } }
    }
}

/// Changes the viewer's own profile, and shows it.
async fn edit<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<NewProfile>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let profile = directory::edit(&site.app, &session.caller, Update::try_from(&form)?).await?;
    Ok(Redirect::to(&path(&profile.id)))
}
