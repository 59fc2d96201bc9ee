//! The host's own SQL, written once for both databases.
//!
//! The statements of a host are plain enough to read the same everywhere as long as times are integers; what is not (locks,
//! upserts with a twist, search) lives in the crates. So `portable!` takes one body for each query and emits it for
//! `PgConnection` and for `SqliteConnection`, where sqlx checks the types of each. Every surface has a trait of its own.

use sqlx::Result;

/// Emits a trait, and one implementation of it for each database from the same bodies.
macro_rules! portable {
    (
        $(#[$trait_doc:meta])*
        pub trait $name:ident {
            $( $(#[$doc:meta])* async fn $function:ident(&mut $self:ident $(, $argument:ident: $type:ty)*) -> $output:ty $body:block )*
        }
    ) => {
        $(#[$trait_doc])*
        pub trait $name: Send {
            $( $(#[$doc])* fn $function(&mut self $(, $argument: $type)*) -> impl Future<Output = $output> + Send; )*
        }
        impl $name for sqlx::PgConnection {
            $( async fn $function(&mut $self $(, $argument: $type)*) -> $output $body )*
        }
        impl $name for sqlx::SqliteConnection {
            $( async fn $function(&mut $self $(, $argument: $type)*) -> $output $body )*
        }
    };
}

pub(crate) use portable;

macro_rules! bundle {
    ($($queries:path,)*) => {
        /// The queries of all surfaces.
        pub trait Sql: $($queries +)* {}

        impl<C: $($queries +)*> Sql for C {}
    };
}

bundle! {
    MetaSql,
    crate::bulk::BulkSql,
    crate::admin::sql::AdminSql,
    crate::announcements::sql::AnnouncementLockSql,
    crate::announcements::sql::AnnouncementSql,
    crate::calendar::sql::CalendarLockSql,
    crate::calendar::sql::CalendarSql,
    crate::directory::sql::DirectorySql,
    crate::feed::sql::FeedSql,
    crate::groups::sql::GroupSql,
    crate::import::sql::ImportSql,
    crate::notices::NoticeSql,
    crate::notifications::sql::NotificationSql,
    crate::notifications::sql::ToldSql,
    crate::openings::sql::BoardSql,
    crate::openings::sql::OpeningSql,
    crate::recommender::sql::DueSql,
    crate::recommender::sql::RecommenderSql,
    crate::marketplace::sql::MarketplaceSql,
    crate::marketplace::sql::UnlistSql,
    crate::mentorship::sql::MatchSql,
    crate::mentorship::sql::MentorshipSql,
    crate::staff::sql::LeaveSql,
    crate::staff::sql::PayrollSql,
    crate::staff::sql::StaffSql,
    crate::assistant::sql::AssistantSql,
    crate::whatsapp::sql::OptInSql,
    crate::whatsapp::sql::WhatsAppSql,
}

portable! {
    /// Facts about this database.
    pub trait MetaSql {
        /// Records a fact about this database, unless it is known; says whether it was not.
        async fn insert_meta(&mut self, name: &str, value: &str) -> Result<bool> {
            let inserted = sqlx::query("INSERT INTO campus_meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(name)
                .bind(value)
                .execute(self)
                .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Says whether there is neither anything of campus nor a membership of anything.
        async fn is_empty(&mut self) -> Result<bool> {
            sqlx::query_scalar(
                r#"
                SELECT NOT EXISTS (SELECT 1 FROM campus_person)
                    AND NOT EXISTS (SELECT 1 FROM campus_group)
                    AND NOT EXISTS (SELECT 1 FROM campus_document)
                    AND NOT EXISTS (SELECT 1 FROM memberships_membership)
                "#,
            )
            .fetch_one(self)
            .await
        }

        /// Replaces a fact about this database, if it is still what it was; says whether it was.
        async fn replace_meta(&mut self, name: &str, before: &str, value: &str) -> Result<bool> {
            let replaced = sqlx::query("UPDATE campus_meta SET value = $3 WHERE name = $1 AND value = $2")
                .bind(name)
                .bind(before)
                .bind(value)
                .execute(self)
                .await?;
            Ok(replaced.rows_affected() == 1)
        }

        /// Reads a fact about this database.
        async fn meta(&mut self, name: &str) -> Result<Option<String>> {
            sqlx::query_scalar("SELECT value FROM campus_meta WHERE name = $1").bind(name).fetch_optional(self).await
        }
    }
}
