//! The audit log: what happened, one record in full, and whether it is still what was signed.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use chrono::{NaiveDate, NaiveTime, SecondsFormat};
use maud::{Markup, html};
use serde::Deserialize;
use stoa_audit::{
    Actions, Actor, Anchor, Entity, EntityId, EntityType, Entry, Filter, Log, PageRequest, Personal, RecordId,
    verify_inclusion,
};

use super::pages::tabs;
use super::require;
use crate::access::PlatformCapability;
use crate::app::App;
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::Site;
use crate::http::layout::page;
use crate::http::session::Session;

/// Records on a page.
const ROWS: u32 = 50;

/// So many of the newest records are looked up in the sealed log.
const LAG: u32 = 200;

/// A log of at most so many leaves is verified on its page as a whole: a second's work.
const WHOLE: u64 = 20_000;

/// Which records, as the form sends it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    entity: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
    after: Option<String>,
}

impl Wanted {
    fn filter(&self) -> Result<Filter> {
        let mut filter = Filter::new();
        if let Some(actor) = given(&self.actor) {
            // Most actors are people.
            let (kind, id) = actor.split_once(':').filter(|(kind, _)| KINDS.contains(kind)).unwrap_or(("user", actor));
            filter = filter.actor(Actor::from_parts(kind, id).map_err(invalid)?);
        }
        if let Some(action) = given(&self.action) {
            filter = filter.actions(Actions::starting_with(action).map_err(invalid)?);
        }
        if let Some(entity) = given(&self.entity) {
            let (kind, id) = entity.split_once(':').ok_or_else(|| {
                Error::Invalid("an entity is a type and an id with a colon between them, such as group:chess".into())
            })?;
            let kind = EntityType::new(kind).map_err(invalid)?;
            filter = filter.entity(Entity::new(kind, EntityId::new(id).map_err(invalid)?));
        }
        if let Some(day) = given(&self.since) {
            filter = filter.since(date(day)?.and_time(NaiveTime::MIN).and_utc());
        }
        if let Some(day) = given(&self.until) {
            let end = date(day)?.succ_opt().ok_or_else(|| Error::Invalid("there is no day after that".into()))?;
            filter = filter.until(end.and_time(NaiveTime::MIN).and_utc());
        }
        Ok(filter)
    }

    fn href(&self, after: RecordId) -> String {
        const PATH: &str = "/admin/audit?";
        let mut url = url::form_urlencoded::Serializer::for_suffix(PATH.to_owned(), PATH.len());
        let fields = [
            ("actor", &self.actor),
            ("action", &self.action),
            ("entity", &self.entity),
            ("since", &self.since),
            ("until", &self.until),
        ];
        for (name, value) in fields {
            if let Some(value) = given(value) {
                url.append_pair(name, value);
            }
        }
        url.append_pair("after", &after.to_string());
        url.finish()
    }

    fn is_narrow(&self) -> bool {
        [&self.actor, &self.action, &self.entity, &self.since, &self.until].into_iter().any(|one| given(one).is_some())
    }
}

const KINDS: [&str; 3] = ["user", "service", "system"];

fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn date(day: &str) -> Result<NaiveDate> {
    day.parse().map_err(|_| Error::Invalid("a day is written as 2026-03-31".into()))
}

/// What somebody typed is not what it has to be.
fn invalid(error: stoa_audit::Error) -> Error {
    match error {
        stoa_audit::Error::Invalid { .. } => Error::Invalid(error.to_string()),
        other => other.into(),
    }
}

/// The records that the form asks for, newest first.
pub(super) async fn list<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    wanted: std::result::Result<Query<Wanted>, QueryRejection>,
) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    require(&site.app, &mut tx, &viewer, PlatformCapability::ReadAudit).await?;
    let Query(wanted) = wanted?;
    let mut request = PageRequest::first(ROWS);
    if let Some(after) = &wanted.after {
        request = request.after(after.parse().map_err(invalid)?);
    }
    let records = site.app.audit.list(&mut tx, &wanted.filter()?, &request).await?;
    Ok(page(
        "Audit log",
        Some(&viewer),
        "",
        &html! {
            h1 { "Audit log" }
            (tabs("/admin/audit"))
            p.lead { "The newest first. The database itself refuses to change or delete a record." }
            form.filter.card method="get" action="/admin/audit" {
                label { "Who" input name="actor" value=(wanted.actor) maxlength="140" placeholder="ada, service:importer"; }
                label { "What" input name="action" value=(wanted.action) maxlength="128" placeholder="bits.groups."; }
                label { "To what" input name="entity" value=(wanted.entity) maxlength="200" placeholder="group:chess"; }
                label { "From" input type="date" name="since" value=(wanted.since); }
                label { "To" input type="date" name="until" value=(wanted.until); }
                div { button { "Show" } " " @if wanted.is_narrow() { a href="/admin/audit" { "Show all" } } }
            }
            @if records.items.is_empty() {
                p.soft { "No record is like that." }
            } @else {
                (table(&records.items))
            }
            @if let Some(next) = records.next { p { a href=(wanted.href(next)) { "Older records" } } }
        },
    ))
}

fn table(records: &[Entry]) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr { th { "When" } th { "Who" } th { "What" } th { "To what" } th { "How it ended" } } }
                tbody {
                    @for entry in records {
                        tr {
                            td { a href={ "/admin/audit/records/" (entry.id) } { (moment(entry.id)) } }
                            td { (entry.record.actor) }
                            td { code.name { (entry.record.action) } }
                            td { code { (entry.record.entity) } }
                            td { span.badge { (entry.record.outcome.as_str()) } }
                        }
                    }
                }
            }
        }
    }
}

fn moment(id: RecordId) -> String {
    id.at().to_rfc3339_opts(SecondsFormat::Secs, true).replace('T', " ").replace('Z', "")
}

/// One record in full, and whether it is sealed.
pub(super) async fn record<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Markup> {
    let app = &site.app;
    let (mut tx, viewer) = app.read_as(&session.caller.user).await?;
    require(app, &mut tx, &viewer, PlatformCapability::ReadAudit).await?;
    let id: RecordId = id.parse().map_err(|_| Error::NotFound)?;
    let entry = app.audit.find(&mut tx, id).await?.ok_or(Error::NotFound)?;
    let is_sealed = is_sealed(app, &mut tx, &entry).await?;
    let record = &entry.record;
    let request = &record.request;
    let client = request.client.map(|client| match client.ip {
        Personal::Kept(ip) => format!("{ip} ({})", client.trust.as_str()),
        Personal::Erased => "erased".to_owned(),
    });
    let facts = [
        ("When", Some(entry.id.at().to_rfc3339_opts(SecondsFormat::Micros, true))),
        ("Who", Some(record.actor.to_string())),
        ("In whose name", record.impersonator.as_ref().map(|user| format!("really {user}"))),
        ("For whom", record.on_behalf_of.as_ref().map(ToString::to_string)),
        ("To what", Some(record.entity.to_string())),
        ("Within", record.scope.as_ref().map(ToString::to_string)),
        ("How it ended", Some(record.outcome.as_str().to_owned())),
        ("Request", request.request_id.as_ref().map(ToString::to_string)),
        ("Trace", request.trace_id.as_ref().map(ToString::to_string)),
        ("From", client),
        ("Sealed", Some(is_sealed.to_owned())),
    ];
    let (before, after) = (members(record.before.as_ref()), members(record.after.as_ref()));
    Ok(page(
        "Audit record",
        Some(&viewer),
        "",
        &html! {
            p.soft { a href="/admin/audit" { "Audit log" } " / " code { (entry.id) } }
            h1 { code { (record.action) } }
            dl.facts { @for (name, value) in &facts { @if let Some(value) = value { div { dt { (name) } dd { (value) } } } } }
            p {
                a href={ "/admin/audit?entity=" (url::form_urlencoded::byte_serialize(record.entity.to_string().as_bytes()).collect::<String>()) } {
                    "Everything that was done to this"
                }
            }
            h2 { "What changed" }
            @if before.is_empty() && after.is_empty() {
                p.soft { "The record keeps no fields of it." }
            } @else {
                (difference(&before, &after))
            }
        },
    ))
}

/// The fields of a body, each with its own bytes.
fn members(body: Option<&stoa_audit::Body>) -> Vec<(String, String)> {
    let parsed =
        body.and_then(|body| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(body.as_str()).ok());
    parsed.into_iter().flatten().map(|(name, value)| (name, value.to_string())).collect()
}

/// Both sides of every field; what differs is marked.
fn difference(before: &[(String, String)], after: &[(String, String)]) -> Markup {
    let find = |side: &[(String, String)], name: &str| {
        side.iter().find(|(one, _)| one == name).map(|(_, value)| value.clone())
    };
    let mut names: Vec<&String> = before.iter().chain(after).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let side = |value: &Option<String>, is_changed: bool| match value {
        Some(value) if is_changed => html! { mark { code { (value) } } },
        Some(value) => html! { code { (value) } },
        None => html! { span.soft { "–" } },
    };
    html! {
        div.scroll {
            table {
                thead { tr { th { "Field" } th { "Before" } th { "After" } } }
                tbody {
                    @for name in names {
                        @let (old, new) = (find(before, name), find(after, name));
                        @let is_changed = old != new && !before.is_empty();
                        tr { td { (name) } td { (side(&old, is_changed)) } td { (side(&new, is_changed)) } }
                    }
                }
            }
        }
    }
}

/// The newest record, for the overview.
pub(super) struct Newest {
    pub(super) action: String,
    pub(super) actor: String,
    pub(super) when: String,
}

/// Reads the newest record.
pub(super) async fn newest<B: Backend>(app: &App<B>, conn: &mut B::Connection) -> Result<Option<Newest>> {
    let page = app.audit.list(conn, &Filter::new(), &PageRequest::first(1)).await?;
    Ok(page.items.into_iter().next().map(|entry| Newest {
        action: entry.record.action.to_string(),
        actor: entry.record.actor.to_string(),
        when: moment(entry.id),
    }))
}

fn log<B: Backend>(app: &App<B>) -> Log<B::Audit> {
    Log::new(app.backend.stores().1)
}

/// Whether the newest checkpoint covers a record, and proves it.
async fn is_sealed<B: Backend>(app: &App<B>, conn: &mut B::Connection, entry: &Entry) -> Result<&'static str> {
    let Some(latest) = log(app).latest(conn).await? else { return Ok("no, nothing was sealed yet") };
    let Some(proof) = log(app).inclusion_proof(conn, entry.id, latest.head.size).await? else { return Ok("not yet") };
    let is_same = *proof.leaf.as_bytes() == entry.leaf_hash();
    let is_proven = verify_inclusion(proof.leaf, proof.index, &proof.hashes, &latest.head).is_ok();
    Ok(if is_same && is_proven {
        "yes, and proven to be in the newest checkpoint"
    } else {
        "altered since it was sealed"
    })
}

/// Whether the log is still what was signed, and how far behind the sealer is.
pub(super) async fn verify<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let app = &site.app;
    let (mut tx, viewer) = app.read_as(&session.caller.user).await?;
    require(app, &mut tx, &viewer, PlatformCapability::ReadAudit).await?;
    let content = match (&app.verifier, log(app).latest(&mut tx).await?) {
        (None, _) => html! {
            p { span.badge { "off" } " This server does not seal the log: it was started without a key." }
            p.soft { "Start it with " code { "--audit-key FILE" } ", a file that the owner of the database cannot read. It is made where there is none." }
        },
        (Some(_), None) => html! { p { span.badge { "empty" } " Nothing was sealed yet." } },
        (Some(verifier), Some(latest)) => {
            let anchor = Anchor::open(verifier, &latest.note).ok().filter(|one| one.checkpoint().head == latest.head);
            let (behind, newest) = lag(app, &mut tx).await?;
            let verdict = match &anchor {
                None => Some(Err("the newest checkpoint was not signed by this server's key".to_owned())),
                Some(anchor) if latest.head.size <= WHOLE => {
                    let report = log(app).verify(&mut tx, Some(anchor)).await?;
                    let verdict = report.verdict;
                    Some(if verdict.is_tampered() { Err(verdict.to_string()) } else { Ok(verdict.to_string()) })
                }
                Some(_) => None,
            };
            html! {
                @match &verdict {
                    Some(Ok(verdict)) => p role="status" { span.badge.succeeded { (verdict) } " Every record is the one that was sealed." },
                    Some(Err(verdict)) => p role="alert" { span.badge.dead { "tampered" } " " (verdict) },
                    None => p role="status" { span.badge.succeeded { "signed" } " The newest checkpoint is signed by this server's key. To compare every record with it, run " code { "adminctl audit verify" } "." },
                }
                dl.facts {
                    div { dt { "Records sealed" } dd { (latest.head.size) } }
                    div { dt { "Lag" } dd {
                        @if behind == 0 { "none" }
                        @else if behind >= u64::from(LAG) { (LAG) " records and more" }
                        @else { (behind) " records" }
                    } }
                    @if let Some(newest) = newest { div { dt { "Newest record" } dd { (moment(newest)) } } }
                    div { dt { "Key" } dd { code { (verifier) } } }
                }
                h2 { "Newest checkpoint" }
                pre.card { (latest.note) }
                p.soft { "Whoever owns the database could write all of it anew, this note included. Compare it with the copies that were taken away: " code { "adminctl audit verify --checkpoint FILE" } "." }
            }
        }
    };
    Ok(page(
        "Verification",
        Some(&viewer),
        "",
        &html! {
            h1 { "Is the log what was signed?" }
            (tabs("/admin/audit/verify"))
            (content)
        },
    ))
}

/// How many of the newest records are not sealed, up to a bound, and the newest of all.
async fn lag<B: Backend>(app: &App<B>, conn: &mut B::Connection) -> Result<(u64, Option<RecordId>)> {
    let Some(latest) = log(app).latest(conn).await? else { return Ok((0, None)) };
    let records = app.audit.list(conn, &Filter::new(), &PageRequest::first(LAG)).await?.items;
    let mut behind = 0;
    for entry in &records {
        if log(app).inclusion_proof(conn, entry.id, latest.head.size).await?.is_some() {
            break;
        }
        behind += 1;
    }
    Ok((behind, records.first().map(|entry| entry.id)))
}
