//! What people are told of, one by one: that they moved up, that something was called off, that something is published for them.

use chrono::Utc;
use maud::{Markup, html};
use serde::Serialize;
use sqlx::FromRow;

use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::bulk::Bulk;
use crate::error::Result;
use crate::http::layout::date;
use crate::notifications::preferences::Preferences;
use crate::notifications::{Channel, Span, delivery};
use crate::readers::Readers;
use crate::sql::portable;

/// How many of the newest are looked at for those that may still be read.
pub(crate) const LOOKED_AT: u8 = 200;

/// One thing somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct Notice {
    /// What it is called: the surface that tells it, a point, and what happened.
    pub kind: String,
    /// What it is about: told once for each kind and entity.
    pub entity: String,
    /// One line.
    pub title: String,
    /// Where to read more.
    pub url: String,
    /// Who may read it, as [`Readers`] are written.
    pub scope: String,
}

/// Tells people, by every way that each of them wants, in the caller's transaction; telling again changes nothing. However many they
/// are, it is two statements, and a job for each who asked for something else than the pages of campus.
///
/// # Errors
/// If the database does not answer.
pub async fn tell<B: Backend>(app: &App<B>, conn: &mut B::Connection, people: &[&str], notice: &Notice) -> Result<()> {
    let created_at = Utc::now().timestamp_micros();
    let rows: Vec<_> = people.iter().map(|&person_id| NoticeRow { person_id, notice, created_at }).collect();
    NOTICES.write(conn, &rows).await?;
    delivery::enqueue(app, conn, people, &notice.kind, &notice.entity).await
}

/// Says whether the viewer is still among its readers.
pub(crate) fn is_readable(notice: &Notice, viewer: &Viewer) -> bool {
    notice.scope.parse().is_ok_and(|readers: Readers| readers.include(viewer))
}

/// The newest notices of the viewer that they want to see and may still read.
///
/// # Errors
/// If the database does not answer.
pub async fn recent<B: Backend>(conn: &mut B::Connection, viewer: &Viewer, limit: usize) -> Result<Vec<ToldNotice>> {
    let preferences = Preferences::of(conn, &viewer.person.id).await?;
    let told = conn.notices(&viewer.person.id, Span::ALWAYS, LOOKED_AT.into()).await?;
    // Whoever has left since no longer reads it, and it takes no place on the page.
    let is_shown =
        |told: &ToldNotice| preferences.wants(&told.notice.kind, Channel::InApp) && is_readable(&told.notice, viewer);
    Ok(told.into_iter().filter(is_shown).take(limit).collect())
}

/// A notice and when it was told.
#[derive(Clone, Debug, FromRow)]
pub struct ToldNotice {
    /// What was told.
    #[sqlx(flatten)]
    pub notice: Notice,
    /// Microseconds since 1970 in UTC.
    pub created_at: i64,
}

/// Notices as a section of a page; nothing if there are none.
pub(crate) fn section(notices: &[ToldNotice]) -> Markup {
    html! {
        @if !notices.is_empty() {
            h2 { "For you" }
            ul.stack {
                @for told in notices {
                    li.card.row {
                        a href=(told.notice.url) { (told.notice.title) }
                        span.soft { (date(told.created_at)) }
                    }
                }
            }
        }
    }
}

/// A notice for somebody, as a statement for many takes it.
#[derive(Serialize)]
struct NoticeRow<'a> {
    person_id: &'a str,
    #[serde(flatten)]
    notice: &'a Notice,
    created_at: i64,
}

/// Telling again changes nothing.
const NOTICES: Bulk = Bulk {
    postgres: r#"
        INSERT INTO campus_notice (person_id, kind, entity, title, url, scope, created_at)
        SELECT person_id, kind, entity, title, url, scope, created_at
        FROM json_to_recordset($1::json) AS row (
            person_id text, kind text, entity text, title text, url text, scope text, created_at bigint
        )
        ON CONFLICT DO NOTHING
    "#,
    sqlite: r#"
        INSERT INTO campus_notice (person_id, kind, entity, title, url, scope, created_at)
        SELECT value ->> 'person_id', value ->> 'kind', value ->> 'entity', value ->> 'title', value ->> 'url',
            value ->> 'scope', value ->> 'created_at'
        FROM json_each($1)
        WHERE true
        ON CONFLICT DO NOTHING
    "#,
};

portable! {
    /// The queries of what people were told.
    pub trait NoticeSql {
        /// Reads the newest that somebody was told in that time.
        async fn notices(&mut self, person_id: &str, span: Span, limit: i64) -> sqlx::Result<Vec<ToldNotice>> {
            sqlx::query_as(
                r#"
                SELECT kind, entity, title, url, scope, created_at
                FROM campus_notice
                WHERE person_id = $1 AND created_at > $2 AND created_at <= $3
                ORDER BY created_at DESC
                LIMIT $4
                "#,
            )
            .bind(person_id)
            .bind(span.after)
            .bind(span.until)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads one thing that somebody was told.
        async fn notice(&mut self, person_id: &str, kind: &str, entity: &str) -> sqlx::Result<Option<Notice>> {
            sqlx::query_as(
                r#"
                SELECT kind, entity, title, url, scope
                FROM campus_notice
                WHERE person_id = $1 AND kind = $2 AND entity = $3
                "#,
            )
            .bind(person_id)
            .bind(kind)
            .bind(entity)
            .fetch_optional(self)
            .await
        }

        /// Takes back from everybody what they were told of it.
        async fn delete_notices(&mut self, kind: &str, entity: &str) -> sqlx::Result<()> {
            sqlx::query("DELETE FROM campus_notice WHERE kind = $1 AND entity = $2")
                .bind(kind)
                .bind(entity)
                .execute(self)
                .await?;
            Ok(())
        }
    }
}
