//! The laws on SQLite, and what a broken database answers.

mod support;

use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions};
use stoa_membership::sqlite::MIGRATOR;
use stoa_membership::{By, Error, Import, ImportRow, Membership, Role, Scope, Sqlite, UserId, conformance};
use support::{assert_all_fail, assert_corrupt, assert_no_half_stays, by, chess, fill, most_rows, names, owner, user};

struct Harness(testkit::Sqlite);

impl Harness {
    async fn new() -> Self {
        Self(testkit::sqlite(&[&MIGRATOR]).await)
    }
}

impl conformance::Harness for Harness {
    type Store = Sqlite;
    type Source = sqlx::SqlitePool;

    fn store(&self) -> Sqlite {
        Sqlite
    }

    fn source(&self) -> sqlx::SqlitePool {
        self.0.pool().clone()
    }
}

stoa_membership::conformance!(Harness::new().await);

/// A bare verb commits by itself, and the commit can fail although the statement has answered.
#[tokio::test]
async fn a_commit_that_fails_on_a_bare_connection_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    // With a rollback journal, a reader keeps a writer from committing.
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("rollback.sqlite"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Delete)
        .busy_timeout(Duration::ZERO);
    let pool = SqlitePoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    MIGRATOR.run(&pool).await.unwrap();
    let (membership, ada) = (Membership::new(Sqlite), UserId::new("ada").unwrap());
    let chess = Scope::group("chess").unwrap();

    let mut reader = pool.begin().await.unwrap();
    assert!(!membership.is_member(&mut reader, &ada, &chess).await.unwrap());
    let mut conn = pool.acquire().await.unwrap();
    let error = membership.join(&mut conn, &ada, &chess, &By::user(&ada)).await.unwrap_err();
    assert!(matches!(error, Error::Backend(_)) && error.is_retryable(), "{error:?}");
    reader.rollback().await.unwrap();
    assert!(!membership.is_member(&mut conn, &ada, &chess).await.unwrap());
    assert!(membership.join(&mut conn, &ada, &chess, &By::user(&ada)).await.unwrap().is_created());
}

async fn run(conn: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(conn).await.unwrap();
}

#[tokio::test]
async fn a_row_that_breaks_the_rules_is_corrupt_and_no_member() {
    let harness = Harness::new().await;
    let membership = Membership::new(Sqlite);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    membership.join(&mut conn, &user("ada"), &chess(), &by()).await.unwrap();
    run(&mut conn, "PRAGMA ignore_check_constraints = ON").await;
    // In no listing: those ask for a state, and this is none of them.
    let one_row = ["is_member", "role", "hold", "get", "check_many"];
    for update in [
        "UPDATE memberships_membership SET state = 'member'",
        "UPDATE memberships_membership SET state = 'expired'",
        "UPDATE memberships_membership SET state = ''",
        "UPDATE memberships_membership SET state = 'ACTIVE'",
    ] {
        run(&mut conn, update).await;
        assert_corrupt(&membership, &mut conn, "state", &one_row).await;
    }
    run(&mut conn, "UPDATE memberships_membership SET state = 'active'").await;
    let rows = [&one_row[..], &["of", "list_by_user", "list_by_scope"]].concat();
    for (what, update) in [
        ("role", "UPDATE memberships_membership SET role = ''"),
        ("role", "UPDATE memberships_membership SET role = char(97, 10, 98)"),
        ("role", "UPDATE memberships_membership SET role = printf('%.65c', 'x')"),
        ("time", "UPDATE memberships_membership SET role = 'member', expires_at = 9223372036854775807"),
    ] {
        run(&mut conn, update).await;
        assert_corrupt(&membership, &mut conn, what, &rows).await;
    }
    // A verb that meets it writes nothing, and neither does a purge.
    run(&mut conn, "UPDATE memberships_membership SET role = '', expires_at = NULL").await;
    let banned = membership.ban(&mut conn, &user("ada"), &chess(), &by()).await;
    assert!(matches!(banned, Err(Error::Corrupt { what: "role" })), "{banned:?}");
    let purged = membership.purge_user(&mut conn, &user("ada")).await;
    assert!(matches!(purged, Err(Error::Corrupt { what: "role" })), "{purged:?}");
    run(&mut conn, "UPDATE memberships_membership SET role = 'member'").await;
    assert!(membership.is_member(&mut conn, &user("ada"), &chess()).await.unwrap());
}

#[tokio::test]
async fn a_transition_that_breaks_the_rules_is_corrupt() {
    let harness = Harness::new().await;
    let membership = Membership::new(Sqlite);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    membership.join(&mut conn, &user("ada"), &chess(), &by()).await.unwrap();
    for (what, update) in [
        ("verb", "UPDATE memberships_transition SET verb = 'promote'"),
        ("role", "UPDATE memberships_transition SET verb = 'join', role = ''"),
        ("state", "UPDATE memberships_transition SET role = 'member', state = 'member'"),
        ("state", "UPDATE memberships_transition SET state = 'active', before_state = 'none', before_role = 'member'"),
        ("role", "UPDATE memberships_transition SET before_state = 'left', before_role = ''"),
        ("actor", "UPDATE memberships_transition SET before_state = NULL, actor = ''"),
        ("reason", "UPDATE memberships_transition SET actor = NULL, reason = printf('%.513c', 'x')"),
        ("time", "UPDATE memberships_transition SET reason = NULL, changed_at = -9223372036854775808"),
        ("scope type", "UPDATE memberships_transition SET changed_at = 0, scope_type = 'Group'"),
    ] {
        run(&mut conn, update).await;
        let met_by: &[&str] = if what == "scope type" { &["changes"] } else { &["history", "changes"] };
        assert_corrupt(&membership, &mut conn, what, met_by).await;
    }
}

#[tokio::test]
async fn a_failing_database_is_an_error_from_every_call() {
    let harness = Harness::new().await;
    let membership = Membership::new(Sqlite);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let token = support::token(&membership, &mut conn).await;
    run(
        &mut conn,
        r"
        DROP TRIGGER memberships_transition_insert;
        ALTER TABLE memberships_membership RENAME TO elsewhere;
        ALTER TABLE memberships_transition RENAME TO memberships_elsewhere
        ",
    )
    .await;
    assert_all_fail(&membership, &mut conn, &token).await;
}

#[tokio::test]
async fn what_fails_halfway_leaves_nothing_on_a_bare_connection() {
    let harness = Harness::new().await;
    let membership = Membership::new(Sqlite);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    fill(&membership, &mut conn).await;
    run(
        &mut conn,
        r"
        CREATE TRIGGER refuse_row BEFORE UPDATE ON memberships_membership WHEN new.user_id = 'm'
            BEGIN SELECT raise(ABORT, 'refused'); END;
        CREATE TRIGGER refuse_transition BEFORE INSERT ON memberships_transition
            WHEN new.user_id = 'n' OR new.verb = 'purge'
            BEGIN SELECT raise(ABORT, 'refused'); END
        ",
    )
    .await;
    assert_no_half_stays(&membership, &mut conn).await;
}

#[tokio::test]
async fn a_savepoint_takes_row_and_transition_back_together() {
    let harness = Harness::new().await;
    let membership = Membership::new(Sqlite);
    let mut tx = harness.0.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
    membership.add(&mut tx, &user("ada"), &chess(), &owner(), &by()).await.unwrap();
    {
        let mut outer = tx.begin().await.unwrap();
        membership.join(&mut outer, &user("bob"), &chess(), &by()).await.unwrap();
        let mut inner = outer.begin().await.unwrap();
        let rows = Import::new([ImportRow::active(user("eve"), chess(), owner())]).unwrap();
        membership.import(&mut inner, &rows, &by()).await.unwrap();
        inner.commit().await.unwrap();
        membership.purge_user(&mut outer, &user("ada")).await.unwrap();
        assert_eq!(names(&membership, &mut outer).await.0, ["bob", "eve"].map(str::to_owned));
    }
    // The host's own savepoint, under the very name that the driver would choose, around verbs with savepoints of their own.
    run(&mut tx, "SAVEPOINT _sqlx_savepoint_1").await;
    let demoted = Import::new([ImportRow::left(user("ada"), chess(), Role::new("owner").unwrap())]).unwrap();
    assert!(matches!(membership.import(&mut tx, &demoted, &by()).await, Err(Error::LastOwner)));
    membership.purge_user(&mut tx, &user("ada")).await.unwrap();
    run(&mut tx, "ROLLBACK TO SAVEPOINT _sqlx_savepoint_1").await;
    membership.join(&mut tx, &user("eve"), &chess(), &by()).await.unwrap();
    run(&mut tx, "RELEASE SAVEPOINT _sqlx_savepoint_1").await;
    tx.commit().await.unwrap();
    let mut conn = harness.0.pool().acquire().await.unwrap();
    assert_eq!(names(&membership, &mut conn).await, (vec!["eve".to_owned(), "ada".to_owned()], 2));
}

#[tokio::test]
async fn a_purge_leaves_the_name_in_no_column() {
    let harness = Harness::new().await;
    let membership = Membership::new(Sqlite);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let eve = user("eve-7f3a");
    for scope in ["group:a", "group:b", "batch:2018"] {
        membership.join(&mut conn, &eve, &scope.parse().unwrap(), &By::user(&eve)).await.unwrap();
        membership.ban(&mut conn, &eve, &scope.parse().unwrap(), &by()).await.unwrap();
        membership.join(&mut conn, &user("ada"), &scope.parse().unwrap(), &By::user(&eve)).await.unwrap();
    }
    let mentions = r"
        SELECT (SELECT count(*) FROM memberships_membership WHERE user_id || scope_id || role || state LIKE '%eve-7f3a%')
            + (
                SELECT count(*)
                FROM memberships_transition
                WHERE coalesce(user_id, '') || scope_id || verb || coalesce(before_role, '') || coalesce(role, '')
                    || coalesce(actor, '') || coalesce(reason, '') LIKE '%eve-7f3a%'
            )
    ";
    let before: i64 = sqlx::query_scalar(mentions).fetch_one(&mut *conn).await.unwrap();
    assert_eq!(before, 3 + 9);
    membership.purge_user(&mut conn, &eve).await.unwrap();
    let after: i64 = sqlx::query_scalar(mentions).fetch_one(&mut *conn).await.unwrap();
    assert_eq!(after, 0);
}

#[tokio::test]
async fn the_most_rows_are_one_import() {
    let harness = Harness::new().await;
    let membership = Membership::new(Sqlite);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let import = most_rows();
    assert_eq!(membership.import(&mut conn, &import, &by()).await.unwrap().created, 100_000);
    assert_eq!(membership.import(&mut conn, &import, &by()).await.unwrap().unchanged, 100_000);
}
