//! What people are told of, one by one: that they moved up, that something was called off, that something is published for them.

use chrono::Utc;
use maud::{Markup, html};
use sqlx::FromRow;

use crate::app::Viewer;
use crate::backend::Backend;
use crate::error::Result;
use crate::http::layout::date;
use crate::readers::Readers;
use crate::sql::portable;

/// How many of the newest are looked at for those that may still be read.
const LOOKED_AT: i64 = 200;

/// One thing somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Notice {
    /// The kind of the job that tells it.
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

/// Tells somebody; telling again changes nothing.
///
/// # Errors
/// If the database does not answer.
pub async fn tell<C: NoticeSql>(conn: &mut C, person_id: &str, notice: &Notice) -> Result<()> {
    Ok(conn.insert_notice(person_id, notice, Utc::now().timestamp_micros()).await?)
}

/// The newest notices of the viewer that they may still read.
///
/// # Errors
/// If the database does not answer.
pub async fn recent<B: Backend>(conn: &mut B::Connection, viewer: &Viewer, limit: usize) -> Result<Vec<ToldNotice>> {
    let told = conn.notices(&viewer.person.id, LOOKED_AT).await?;
    // Whoever has left since no longer reads it, and it takes no place on the page.
    let is_readable =
        |told: &ToldNotice| told.notice.scope.parse().is_ok_and(|readers: Readers| readers.include(viewer));
    Ok(told.into_iter().filter(is_readable).take(limit).collect())
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

portable! {
    /// The queries of what people were told.
    pub trait NoticeSql {
        /// Tells somebody; telling again changes nothing.
        async fn insert_notice(&mut self, person_id: &str, notice: &Notice, created_at: i64) -> sqlx::Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_notice (person_id, kind, entity, title, url, scope, created_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(person_id)
            .bind(&notice.kind)
            .bind(&notice.entity)
            .bind(&notice.title)
            .bind(&notice.url)
            .bind(&notice.scope)
            .bind(created_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads the newest that somebody was told.
        async fn notices(&mut self, person_id: &str, limit: i64) -> sqlx::Result<Vec<ToldNotice>> {
            sqlx::query_as(
                r#"
                SELECT kind, entity, title, url, scope, created_at
                FROM campus_notice
                WHERE person_id = $1
                ORDER BY created_at DESC
                LIMIT $2
                "#,
            )
            .bind(person_id)
            .bind(limit)
            .fetch_all(self)
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
