//! Statements of the calendar.

use sqlx::Result;

use super::Event;
use super::rsvp::Rsvp;
use crate::sql::portable;

/// What every statement reads of an event.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT event.id, event.scope, event.author_id, event.title, event.body, event.place, event.starts_at, event.ends_at, ",
            "event.time_zone, event.capacity, event.going, event.waiting, event.last_place, event.created_at, ",
            "event.updated_at, event.cancelled_at ",
            $rest
        )
    };
}

/// Which events come next, and after which one.
#[derive(Clone, Debug)]
pub struct Next<'a> {
    /// The scopes, as a JSON list of texts.
    pub scopes: &'a str,
    /// What has ended by then is over.
    pub now: i64,
    /// The start and the id of the last event on the page before.
    pub after: (i64, &'a str),
    /// How many at most.
    pub limit: i64,
}

/// What each database has to be told in its own words.
pub trait CalendarLockSql: Send {
    /// Reads an event, and keeps others from changing it or its answers until the transaction ends.
    fn lock_event(&mut self, id: &str) -> impl Future<Output = Result<Option<Event>>> + Send;

    /// Reads the next events of any of the scopes, by start and id.
    fn next_events(&mut self, next: &Next<'_>) -> impl Future<Output = Result<Vec<Event>>> + Send;

    /// Reads what somebody has answered to the events, a JSON list of ids.
    fn answers(&mut self, person_id: &str, event_ids: &str) -> impl Future<Output = Result<Vec<Rsvp>>> + Send;
}

impl CalendarLockSql for sqlx::PgConnection {
    async fn lock_event(&mut self, id: &str) -> Result<Option<Event>> {
        sqlx::query_as(select!("FROM campus_event AS event WHERE event.id = $1 FOR UPDATE"))
            .bind(id)
            .fetch_optional(self)
            .await
    }

    async fn next_events(&mut self, next: &Next<'_>) -> Result<Vec<Event>> {
        // One walk along the index for each scope: what is upcoming elsewhere is never read.
        sqlx::query_as(select!(
            r"
            FROM jsonb_array_elements_text($1::jsonb) AS reader (scope)
            CROSS JOIN LATERAL (
                SELECT *
                FROM campus_event
                WHERE campus_event.scope = reader.scope
                    AND cancelled_at IS NULL
                    AND ends_at > $2
                    AND (starts_at, id) > ($3, $4)
                ORDER BY starts_at, id
                LIMIT $5
            ) AS event
            ORDER BY event.starts_at, event.id
            LIMIT $5
            "
        ))
        .bind(next.scopes)
        .bind(next.now)
        .bind(next.after.0)
        .bind(next.after.1)
        .bind(next.limit)
        .fetch_all(self)
        .await
    }

    async fn answers(&mut self, person_id: &str, event_ids: &str) -> Result<Vec<Rsvp>> {
        sqlx::query_as(
            r"
            SELECT event_id, person_id, state, place
            FROM campus_rsvp
            WHERE person_id = $1 AND event_id IN (SELECT jsonb_array_elements_text($2::jsonb))
            ",
        )
        .bind(person_id)
        .bind(event_ids)
        .fetch_all(self)
        .await
    }
}

impl CalendarLockSql for sqlx::SqliteConnection {
    async fn lock_event(&mut self, id: &str) -> Result<Option<Event>> {
        // Whoever writes began with BEGIN IMMEDIATE: there is no other.
        self.event(id).await
    }

    async fn next_events(&mut self, next: &Next<'_>) -> Result<Vec<Event>> {
        sqlx::query_as(select!(
            r"
            FROM campus_event AS event
            WHERE event.scope IN (SELECT value FROM json_each($1))
                AND event.cancelled_at IS NULL
                AND event.ends_at > $2
                AND (event.starts_at, event.id) > ($3, $4)
            ORDER BY event.starts_at, event.id
            LIMIT $5
            "
        ))
        .bind(next.scopes)
        .bind(next.now)
        .bind(next.after.0)
        .bind(next.after.1)
        .bind(next.limit)
        .fetch_all(self)
        .await
    }

    async fn answers(&mut self, person_id: &str, event_ids: &str) -> Result<Vec<Rsvp>> {
        sqlx::query_as(
            r"
            SELECT event_id, person_id, state, place
            FROM campus_rsvp
            WHERE person_id = $1 AND event_id IN (SELECT value FROM json_each($2))
            ",
        )
        .bind(person_id)
        .bind(event_ids)
        .fetch_all(self)
        .await
    }
}

portable! {
    /// The queries of events and of the answers to them.
    pub trait CalendarSql {
        /// Inserts an event.
        async fn insert_event(&mut self, event: &Event) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_event (
                    id, scope, author_id, title, body, place, starts_at, ends_at, time_zone, capacity,
                    going, waiting, last_place, created_at, updated_at
                )
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, $11, $12)
                "#,
            )
            .bind(&event.id)
            .bind(&event.scope)
            .bind(&event.author_id)
            .bind(&event.title)
            .bind(&event.body)
            .bind(&event.place)
            .bind(event.starts_at)
            .bind(event.ends_at)
            .bind(&event.time_zone)
            .bind(event.capacity)
            .bind(event.created_at)
            .bind(event.updated_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Stores what an event says; neither its answers nor whose it is.
        async fn update_event(&mut self, event: &Event) -> Result<()> {
            sqlx::query(
                r#"
                UPDATE campus_event
                SET title = $2, body = $3, place = $4, starts_at = $5, ends_at = $6, time_zone = $7, capacity = $8,
                    updated_at = $9, cancelled_at = $10
                WHERE id = $1
                "#,
            )
            .bind(&event.id)
            .bind(&event.title)
            .bind(&event.body)
            .bind(&event.place)
            .bind(event.starts_at)
            .bind(event.ends_at)
            .bind(&event.time_zone)
            .bind(event.capacity)
            .bind(event.updated_at)
            .bind(event.cancelled_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads an event.
        async fn event(&mut self, id: &str) -> Result<Option<Event>> {
            sqlx::query_as(select!("FROM campus_event AS event WHERE event.id = $1")).bind(id).fetch_optional(self).await
        }

        /// Stores how many answers an event has, under its lock.
        async fn set_event_counts(&mut self, event: &Event) -> Result<()> {
            sqlx::query("UPDATE campus_event SET going = $2, waiting = $3, last_place = $4 WHERE id = $1")
                .bind(&event.id)
                .bind(event.going)
                .bind(event.waiting)
                .bind(event.last_place)
                .execute(self)
                .await?;
            Ok(())
        }

        /// Reads somebody's answer.
        async fn rsvp(&mut self, event_id: &str, person_id: &str) -> Result<Option<Rsvp>> {
            sqlx::query_as("SELECT event_id, person_id, state, place FROM campus_rsvp WHERE event_id = $1 AND person_id = $2")
                .bind(event_id)
                .bind(person_id)
                .fetch_optional(self)
                .await
        }

        /// Stores an answer in place of the one before.
        async fn put_rsvp(&mut self, rsvp: &Rsvp) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_rsvp (event_id, person_id, state, place)
                VALUES ($1, $2, $3, $4)
                ON CONFLICT (event_id, person_id) DO UPDATE
                SET state = EXCLUDED.state, place = EXCLUDED.place
                "#,
            )
            .bind(&rsvp.event_id)
            .bind(&rsvp.person_id)
            .bind(&rsvp.state)
            .bind(rsvp.place)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Deletes an answer.
        async fn delete_rsvp(&mut self, event_id: &str, person_id: &str) -> Result<()> {
            sqlx::query("DELETE FROM campus_rsvp WHERE event_id = $1 AND person_id = $2")
                .bind(event_id)
                .bind(person_id)
                .execute(self)
                .await?;
            Ok(())
        }

        /// Reads the answers of one state, first come first.
        async fn rsvps(&mut self, event_id: &str, state: &str, after: i64, limit: i64) -> Result<Vec<Rsvp>> {
            sqlx::query_as(
                r#"
                SELECT event_id, person_id, state, place
                FROM campus_rsvp
                WHERE event_id = $1 AND state = $2 AND place > $3
                ORDER BY place
                LIMIT $4
                "#,
            )
            .bind(event_id)
            .bind(state)
            .bind(after)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads which events of a scope, not yet over, somebody has answered, by id.
        async fn answered_in(&mut self, person_id: &str, scope: &str, now: i64) -> Result<Vec<String>> {
            sqlx::query_scalar(
                r#"
                SELECT rsvp.event_id
                FROM campus_rsvp AS rsvp
                JOIN campus_event AS event ON event.id = rsvp.event_id
                WHERE rsvp.person_id = $1 AND event.scope = $2 AND event.ends_at > $3 AND event.cancelled_at IS NULL
                ORDER BY rsvp.event_id
                "#,
            )
            .bind(person_id)
            .bind(scope)
            .bind(now)
            .fetch_all(self)
            .await
        }
    }
}
