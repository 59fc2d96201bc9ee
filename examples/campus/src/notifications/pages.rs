//! The pages of the notifications: what one was told, and how one wants to be.

use axum::extract::{Form, State};
use axum::response::Redirect;
use chrono::Utc;
use chrono_tz::TZ_VARIANTS;
use maud::{Markup, html};

use super::api::SHOWN;
use super::digest::Rhythm;
use super::preferences::{self, Preferences, Written};
use super::{Channel, Kind, Span, mail, told};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::layout::{date, page};
use crate::http::session::Session;
use crate::http::{FormResult, Routes, Site};

/// Adds the pages of the notifications.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/notifications", list::<B>)
        .get("/settings/notifications", settings::<B>)
        .post("/settings/notifications", update::<B>)
}

/// The newest things the viewer was told.
async fn list<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let told = told::<B>(&mut tx, &viewer, Channel::InApp, Span::ALWAYS).await?;
    Ok(page(
        "Notifications",
        Some(&viewer),
        "",
        &html! {
            div.row {
                h1 { "Notifications" }
                a.button href="/settings/notifications" { "Choose what you are told" }
            }
            p.lead { "What you were told and may still read, the newest first." }
            @if told.is_empty() {
                p.soft { "Nothing yet. You hear of what is written in your groups, of events you answer, and of what is decided about you: " a href="/groups" { "find a group" } "." }
            }
            ul.stack {
                @for told in told.iter().take(SHOWN) {
                    li.card.row {
                        a href=(told.notice.url) { (told.notice.title) }
                        span.soft {
                            @if let Some(kind) = Kind::of(&told.notice.kind) { span.badge { (title(kind)) } " " }
                            (date(told.created_at))
                        }
                    }
                }
            }
        },
    ))
}

/// The viewer's own preferences, to be changed.
async fn settings<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let preferences = Preferences::of(&mut *tx, &viewer.person.id).await?;
    let address = mail::address::<B>(&mut tx, &viewer).await?;
    let written = Written::from(&preferences);
    let is_wanted = |kind: Kind, channel: Channel| {
        written.channels.get(kind.as_str()).is_some_and(|channels| channels.iter().any(|name| name == channel.as_str()))
    };
    let missing: Vec<_> = Channel::ALL.into_iter().filter(|channel| !channel.is_available(&site.app)).collect();
    Ok(page(
        "What you are told",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/notifications" { "Notifications" } }
            h1 { "What you are told" }
            p.lead { "Nobody writes to you who was not asked to: choose what leaves campus, and how." }
            @match &address {
                Some(address) => p.soft { "E-mail goes to " (address.email) ", as " a href="/me" { "your profile" } " says." },
                None => p.soft { "There is no e-mail address in your profile: " a href="/me" { "add one" } " before you ask for e-mail." },
            }
            form.write.card method="post" action="/settings/notifications" {
                div.scroll {
                    table.choices {
                        thead {
                            tr {
                                th scope="col" { "Of" }
                                @for channel in Channel::ALL {
                                    th scope="col" { (way(channel)) @if missing.contains(&channel) { " " span.badge { "not set up here" } } }
                                }
                            }
                        }
                        tbody {
                            @for kind in Kind::ALL {
                                tr {
                                    th scope="row" { (title(kind)) }
                                    @for channel in Channel::ALL {
                                        td {
                                            label.check {
                                                input type="checkbox" name="want" value={ (kind.as_str()) " " (channel.as_str()) }
                                                    checked[is_wanted(kind, channel)] aria-label={ (title(kind)) ": " (way(channel)) };
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                @if !missing.is_empty() { p.soft { "What you choose of a way that is not set up here holds once it is." } }
                div.fields {
                    label { "Digest" select name="digest" {
                        @for rhythm in Rhythm::ALL {
                            option value=(rhythm.as_str()) selected[rhythm == preferences.rhythm] {
                                @match rhythm { Rhythm::Daily => "Every morning", Rhythm::Weekly => "On Monday morning" }
                            }
                        }
                    } }
                    label { "Quiet from" input type="time" name="quiet_from" value=(written.quiet_from); }
                    label { "Quiet until" input type="time" name="quiet_until" value=(written.quiet_until); }
                    label { "Time zone" input name="time_zone" required maxlength="64" list="zones" value=(written.time_zone) autocomplete="off"; }
                }
                p.soft { "In quiet hours nothing leaves campus: it comes when they end." }
                datalist #zones { @for zone in TZ_VARIANTS { option value=(zone.name()) {} } }
                div { button { "Save" } }
            }
        },
    ))
}

/// A kind, as people call it.
fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::GroupPost => "Posts in your groups",
        Kind::Event => "Events you answered",
        Kind::Announcement => "Announcements",
        Kind::Mentorship => "Mentorships",
        Kind::Marketplace => "Deals",
        Kind::Staff => "Your leave",
    }
}

/// A channel, as people call it.
fn way(channel: Channel) -> &'static str {
    match channel {
        Channel::InApp => "On campus",
        Channel::Email => "E-mail at once",
        Channel::Digest => "In a digest",
        Channel::Whatsapp => "WhatsApp",
    }
}

/// Changes the viewer's own preferences. A box that is not ticked is not sent.
async fn update<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<Vec<(String, String)>>,
) -> Result<Redirect> {
    let Form(fields) = form?;
    let mut written = Written {
        channels: Kind::ALL.into_iter().map(|kind| (kind.as_str().to_owned(), Vec::new())).collect(),
        ..Written::default()
    };
    for (name, value) in fields {
        match &*name {
            "want" => {
                let unknown = || Error::Invalid("this is not a choice that the form has".into());
                let (kind, channel) = value.split_once(' ').ok_or_else(unknown)?;
                written.channels.get_mut(kind).ok_or_else(unknown)?.push(channel.to_owned());
            }
            "digest" => written.digest = value,
            "quiet_from" => written.quiet_from = value,
            "quiet_until" => written.quiet_until = value,
            "time_zone" => written.time_zone = value,
            _ => {}
        }
    }
    preferences::update(&site.app, &session.caller, Preferences::try_from(&written)?, Utc::now()).await?;
    Ok(Redirect::to("/settings/notifications"))
}
