//! Statements of the mentorship.

use sqlx::Result;

use super::matches::Match;
use super::matching::{Preference, Run};
use super::{Profile, Programme};
use crate::sql::portable;

portable! {
    /// The queries of programmes and of who takes part in them.
    pub trait MentorshipSql {
        /// Inserts a programme.
        async fn insert_programme(&mut self, programme: &Programme) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_mentorship_programme (id, name, description, audience, state, created_by, created_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7)
                "#,
            )
            .bind(&programme.id)
            .bind(&programme.name)
            .bind(&programme.description)
            .bind(&programme.audience)
            .bind(&programme.state)
            .bind(&programme.created_by)
            .bind(programme.created_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads a programme.
        async fn programme(&mut self, id: &str) -> Result<Option<Programme>> {
            sqlx::query_as(
                r#"
                SELECT id, name, description, audience, state, created_by, created_at
                FROM campus_mentorship_programme
                WHERE id = $1
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Reads the newest programmes before `before`.
        async fn programmes(&mut self, before: Option<&str>, limit: i64) -> Result<Vec<Programme>> {
            sqlx::query_as(
                r#"
                SELECT id, name, description, audience, state, created_by, created_at
                FROM campus_mentorship_programme
                WHERE id < $1
                ORDER BY id DESC
                LIMIT $2
                "#,
            )
            // Every id is made of digits, letters and hyphens, all of them less than a tilde.
            .bind(before.unwrap_or("~"))
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads the newest programmes before `before` for one audience.
        async fn programmes_for(&mut self, audience: &str, before: Option<&str>, limit: i64) -> Result<Vec<Programme>> {
            sqlx::query_as(
                r#"
                SELECT id, name, description, audience, state, created_by, created_at
                FROM campus_mentorship_programme
                WHERE audience = $1 AND id < $2
                ORDER BY id DESC
                LIMIT $3
                "#,
            )
            .bind(audience)
            .bind(before.unwrap_or("~"))
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Opens or closes a programme; says whether it was not so already.
        async fn set_programme_state(&mut self, id: &str, state: &str) -> Result<bool> {
            let updated = sqlx::query("UPDATE campus_mentorship_programme SET state = $2 WHERE id = $1 AND state <> $2")
                .bind(id)
                .bind(state)
                .execute(self)
                .await?;
            Ok(updated.rows_affected() == 1)
        }

        /// Inserts a profile, unless there is one; says whether there was none.
        async fn insert_profile(&mut self, profile: &Profile) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_mentorship_profile
                    (programme_id, user_id, role, skills, interests, languages, batch_year, goals, capacity, taken, spread)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(&profile.programme_id)
            .bind(&profile.user_id)
            .bind(&profile.role)
            .bind(&profile.skills)
            .bind(&profile.interests)
            .bind(&profile.languages)
            .bind(profile.batch_year)
            .bind(&profile.goals)
            .bind(profile.capacity)
            .bind(profile.spread)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Replaces what a profile says, unless more is taken than it would have room for; says whether it was replaced.
        async fn update_mentorship_profile(&mut self, profile: &Profile) -> Result<bool> {
            let updated = sqlx::query(
                r#"
                UPDATE campus_mentorship_profile
                SET skills = $3, interests = $4, languages = $5, batch_year = $6, goals = $7, capacity = $8
                WHERE programme_id = $1 AND user_id = $2 AND taken <= $8
                "#,
            )
            .bind(&profile.programme_id)
            .bind(&profile.user_id)
            .bind(&profile.skills)
            .bind(&profile.interests)
            .bind(&profile.languages)
            .bind(profile.batch_year)
            .bind(&profile.goals)
            .bind(profile.capacity)
            .execute(self)
            .await?;
            Ok(updated.rows_affected() == 1)
        }

        /// Deletes a profile that has no match; says whether it did.
        async fn delete_profile(&mut self, programme_id: &str, user_id: &str) -> Result<bool> {
            let deleted = sqlx::query(
                "DELETE FROM campus_mentorship_profile WHERE programme_id = $1 AND user_id = $2 AND taken = 0",
            )
            .bind(programme_id)
            .bind(user_id)
            .execute(self)
            .await?;
            Ok(deleted.rows_affected() == 1)
        }

        /// Reads a profile.
        async fn mentorship_profile(&mut self, programme_id: &str, user_id: &str) -> Result<Option<Profile>> {
            sqlx::query_as(
                r#"
                SELECT programme_id, user_id, role, skills, interests, languages, batch_year, goals, capacity, taken, spread
                FROM campus_mentorship_profile
                WHERE programme_id = $1 AND user_id = $2
                "#,
            )
            .bind(programme_id)
            .bind(user_id)
            .fetch_optional(self)
            .await
        }

        /// Reads those of a role who have room, after `after` by their id.
        async fn free_profiles(&mut self, programme_id: &str, role: &str, after: &str, limit: i64) -> Result<Vec<Profile>> {
            sqlx::query_as(
                r#"
                SELECT programme_id, user_id, role, skills, interests, languages, batch_year, goals, capacity, taken, spread
                FROM campus_mentorship_profile
                WHERE programme_id = $1 AND role = $2 AND user_id > $3 AND taken < capacity
                ORDER BY user_id
                LIMIT $4
                "#,
            )
            .bind(programme_id)
            .bind(role)
            .bind(after)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Forgets something that a mentor can help with.
        async fn delete_term(&mut self, programme_id: &str, user_id: &str, term: &str) -> Result<()> {
            sqlx::query("DELETE FROM campus_mentorship_term WHERE programme_id = $1 AND term = $2 AND user_id = $3")
                .bind(programme_id)
                .bind(term)
                .bind(user_id)
                .execute(self)
                .await?;
            Ok(())
        }

        /// Notes something that a mentor can help with.
        async fn insert_term(&mut self, programme_id: &str, user_id: &str, term: &str) -> Result<()> {
            sqlx::query(
                "INSERT INTO campus_mentorship_term (programme_id, term, user_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            )
            .bind(programme_id)
            .bind(term)
            .bind(user_id)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads the mentors with room who share most of a mentee's interests and were never matched with them. Of those who share as
        /// many, each mentee is offered others first.
        async fn candidates(&mut self, mentee: &Profile, interests: &[&str; 8], limit: i64) -> Result<Vec<Profile>> {
            sqlx::query_as(
                r#"
                SELECT mentor.programme_id, mentor.user_id, mentor.role, mentor.skills, mentor.interests, mentor.languages,
                    mentor.batch_year, mentor.goals, mentor.capacity, mentor.taken, mentor.spread
                FROM (
                    SELECT user_id, count(*) AS shared
                    FROM campus_mentorship_term
                    WHERE programme_id = $1 AND term IN ($4, $5, $6, $7, $8, $9, $10, $11)
                    GROUP BY user_id
                ) AS found
                JOIN campus_mentorship_profile AS mentor ON mentor.programme_id = $1 AND mentor.user_id = found.user_id
                WHERE mentor.taken < mentor.capacity AND NOT EXISTS (
                    SELECT 1
                    FROM campus_mentorship_match AS past
                    WHERE past.programme_id = $1 AND past.mentor_user_id = mentor.user_id AND past.mentee_user_id = $2
                )
                ORDER BY found.shared DESC, (mentor.spread + $3) % 1000003, mentor.user_id
                LIMIT $12
                "#,
            )
            .bind(&mentee.programme_id)
            .bind(&mentee.user_id)
            .bind(mentee.spread)
            .bind(interests[0])
            .bind(interests[1])
            .bind(interests[2])
            .bind(interests[3])
            .bind(interests[4])
            .bind(interests[5])
            .bind(interests[6])
            .bind(interests[7])
            .bind(limit)
            .fetch_all(self)
            .await
        }
    }
}

portable! {
    /// The queries of matches and of the runs that propose them.
    pub trait MatchSql {
        /// Takes a place with somebody; says whether there was one.
        async fn take_place(&mut self, programme_id: &str, user_id: &str, role: &str) -> Result<bool> {
            let updated = sqlx::query(
                r#"
                UPDATE campus_mentorship_profile
                SET taken = taken + 1
                WHERE programme_id = $1 AND user_id = $2 AND role = $3 AND taken < capacity
                "#,
            )
            .bind(programme_id)
            .bind(user_id)
            .bind(role)
            .execute(self)
            .await?;
            Ok(updated.rows_affected() == 1)
        }

        /// Gives a place back.
        async fn free_place(&mut self, programme_id: &str, user_id: &str) -> Result<()> {
            sqlx::query(
                r#"
                UPDATE campus_mentorship_profile
                SET taken = taken - 1
                WHERE programme_id = $1 AND user_id = $2 AND taken > 0
                "#,
            )
            .bind(programme_id)
            .bind(user_id)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Inserts a match, unless the two were matched before; says whether they were not.
        async fn insert_match(&mut self, new: &Match) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_mentorship_match
                    (id, programme_id, mentor_user_id, mentee_user_id, state, proposed_by, score, run_id, created_at, changed_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                ON CONFLICT (programme_id, mentor_user_id, mentee_user_id) DO NOTHING
                "#,
            )
            .bind(&new.id)
            .bind(&new.programme_id)
            .bind(&new.mentor_user_id)
            .bind(&new.mentee_user_id)
            .bind(&new.state)
            .bind(&new.proposed_by)
            .bind(new.score)
            .bind(&new.run_id)
            .bind(new.created_at)
            .bind(new.changed_at)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Moves a match on, if it is still in that state; says whether it was.
        async fn move_match(&mut self, id: &str, from: &str, to: &str, changed_at: i64) -> Result<bool> {
            let updated = sqlx::query(
                "UPDATE campus_mentorship_match SET state = $3, changed_at = $4 WHERE id = $1 AND state = $2",
            )
            .bind(id)
            .bind(from)
            .bind(to)
            .bind(changed_at)
            .execute(self)
            .await?;
            Ok(updated.rows_affected() == 1)
        }

        /// Reads a match.
        async fn mentorship_match(&mut self, id: &str) -> Result<Option<Match>> {
            sqlx::query_as(
                r#"
                SELECT id, programme_id, mentor_user_id, mentee_user_id, state, proposed_by, score, run_id, created_at, changed_at
                FROM campus_mentorship_match
                WHERE id = $1
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Reads somebody's newest matches before `before`.
        async fn matches_of(&mut self, user_id: &str, before: Option<&str>, limit: i64) -> Result<Vec<Match>> {
            sqlx::query_as(
                r#"
                SELECT id, programme_id, mentor_user_id, mentee_user_id, state, proposed_by, score, run_id, created_at, changed_at
                FROM (
                    SELECT * FROM (
                        SELECT * FROM campus_mentorship_match WHERE mentor_user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3
                    ) AS as_mentor
                    UNION ALL
                    SELECT * FROM (
                        SELECT * FROM campus_mentorship_match WHERE mentee_user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3
                    ) AS as_mentee
                ) AS mine
                ORDER BY id DESC
                LIMIT $3
                "#,
            )
            .bind(user_id)
            .bind(before.unwrap_or("~"))
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads the newest matches of a programme in a state before `before`.
        async fn matches_in(&mut self, programme_id: &str, state: &str, before: Option<&str>, limit: i64) -> Result<Vec<Match>> {
            sqlx::query_as(
                r#"
                SELECT id, programme_id, mentor_user_id, mentee_user_id, state, proposed_by, score, run_id, created_at, changed_at
                FROM campus_mentorship_match
                WHERE programme_id = $1 AND state = $2 AND id < $3
                ORDER BY id DESC
                LIMIT $4
                "#,
            )
            .bind(programme_id)
            .bind(state)
            .bind(before.unwrap_or("~"))
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Begins a run, unless one is running; says whether none was.
        async fn insert_run(&mut self, id: &str, programme_id: &str, started_at: i64) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_mentorship_run (id, programme_id, state, mentees, matched, started_at)
                VALUES ($1, $2, 'running', 0, 0, $3)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(id)
            .bind(programme_id)
            .bind(started_at)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Gives a run a row for every mentee who has no match.
        async fn insert_preferences(&mut self, run_id: &str, programme_id: &str) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_mentorship_preference (run_id, mentee_user_id)
                SELECT $1, user_id
                FROM campus_mentorship_profile
                WHERE programme_id = $2 AND role = 'mentee' AND taken < capacity
                "#,
            )
            .bind(run_id)
            .bind(programme_id)
            .execute(&mut *self)
            .await?;
            sqlx::query(
                r#"
                UPDATE campus_mentorship_run
                SET mentees = (SELECT count(*) FROM campus_mentorship_preference WHERE run_id = $1)
                WHERE id = $1
                "#,
            )
            .bind(run_id)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads a run.
        async fn run(&mut self, id: &str) -> Result<Option<Run>> {
            sqlx::query_as(
                r#"
                SELECT id, programme_id, state, mentees, matched, started_at, finished_at
                FROM campus_mentorship_run
                WHERE id = $1
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Reads the newest run of a programme: if one is running, that one.
        async fn newest_run(&mut self, programme_id: &str) -> Result<Option<Run>> {
            sqlx::query_as(
                r#"
                SELECT id, programme_id, state, mentees, matched, started_at, finished_at
                FROM campus_mentorship_run
                WHERE programme_id = $1
                ORDER BY id DESC
                LIMIT 1
                "#,
            )
            .bind(programme_id)
            .fetch_optional(self)
            .await
        }

        /// Reads the mentees of a run for whom nobody has scored yet.
        async fn undone(&mut self, run_id: &str) -> Result<Vec<String>> {
            sqlx::query_scalar(
                r#"
                SELECT mentee_user_id
                FROM campus_mentorship_preference
                WHERE run_id = $1 AND choices IS NULL
                ORDER BY mentee_user_id
                "#,
            )
            .bind(run_id)
            .fetch_all(self)
            .await
        }

        /// Says whether every mentee of a run has been scored for.
        async fn is_scored(&mut self, run_id: &str) -> Result<bool> {
            sqlx::query_scalar(
                "SELECT NOT EXISTS (SELECT 1 FROM campus_mentorship_preference WHERE run_id = $1 AND choices IS NULL)",
            )
            .bind(run_id)
            .fetch_one(self)
            .await
        }

        /// Counts those for whom nobody has scored yet.
        async fn count_undone(&mut self, run_id: &str) -> Result<i64> {
            sqlx::query_scalar("SELECT count(*) FROM campus_mentorship_preference WHERE run_id = $1 AND choices IS NULL")
                .bind(run_id)
                .fetch_one(self)
                .await
        }

        /// Replaces the choices of a mentee in a run.
        async fn set_choices(&mut self, run_id: &str, mentee_user_id: &str, choices: &str) -> Result<()> {
            sqlx::query("UPDATE campus_mentorship_preference SET choices = $3 WHERE run_id = $1 AND mentee_user_id = $2")
                .bind(run_id)
                .bind(mentee_user_id)
                .bind(choices)
                .execute(self)
                .await?;
            Ok(())
        }

        /// Reads the choices of a run after `after` by mentee.
        async fn preferences(&mut self, run_id: &str, after: &str, limit: i64) -> Result<Vec<Preference>> {
            sqlx::query_as(
                r#"
                SELECT mentee_user_id, choices
                FROM campus_mentorship_preference
                WHERE run_id = $1 AND mentee_user_id > $2
                ORDER BY mentee_user_id
                LIMIT $3
                "#,
            )
            .bind(run_id)
            .bind(after)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Ends a run that is running and forgets its choices; says whether it was running.
        async fn finish_run(&mut self, run_id: &str, finished_at: i64) -> Result<bool> {
            let updated = sqlx::query(
                r#"
                UPDATE campus_mentorship_run
                SET state = 'done', finished_at = $2,
                    matched = (SELECT count(*) FROM campus_mentorship_match WHERE run_id = $1)
                WHERE id = $1 AND state = 'running'
                "#,
            )
            .bind(run_id)
            .bind(finished_at)
            .execute(&mut *self)
            .await?;
            sqlx::query("DELETE FROM campus_mentorship_preference WHERE run_id = $1").bind(run_id).execute(self).await?;
            Ok(updated.rows_affected() == 1)
        }
    }
}
