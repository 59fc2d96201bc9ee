//! The hot check beside the bare statement.

use sqlx::{Connection, PgConnection, Row};
use stoa_membership::{Membership, Postgres, Scope, Sqlite, UserId, postgres, sqlite};
use testkit::{Cluster, Durability};

use crate::case::Target;
use crate::timing::{median, percentile, times};
use crate::{Case, Setup};

/// Measures the membership cases.
pub async fn compare(setup: &Setup) -> Vec<Case> {
    vec![on_postgres(setup).await, on_sqlite(setup).await]
}

/// The user and the scope of one row, another one for each index.
fn pair(index: usize, rows: usize) -> (UserId, Scope) {
    let row = (index * 7919) % rows;
    let user = UserId::new(format!("user-{row:08}")).expect("an id within the bounds");
    (user, Scope::group(format!("group-{:04}", row % 1000)).expect("an id within the bounds"))
}

async fn on_postgres(setup: &Setup) -> Case {
    let rows = setup.size(1_000_000, 10_000);
    let cluster = Cluster::start(Durability::Durable);
    let pool = sqlx::PgPool::connect(&cluster.url("postgres")).await.expect("the server answers");
    postgres::MIGRATOR.run(&pool).await.expect("the schema is sound");
    let mut conn = PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers");
    sqlx::query(
        r#"
        INSERT INTO memberships_membership
        SELECT 'user-' || lpad(n::text, 8, '0'), 'group', 'group-' || lpad((n % 1000)::text, 4, '0'), 'member', 'active',
            NULL, 1, now(), now()
        FROM generate_series(0, $1::bigint - 1) AS n
        "#,
    )
    .bind(rows as i64)
    .execute(&mut conn)
    .await
    .expect("the rows fit");
    sqlx::query("VACUUM ANALYZE memberships_membership").execute(&mut conn).await.expect("the table is there");

    let membership = Membership::new(Postgres);
    let calls = setup.size(4000, 300);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=setup.rounds() {
        let check = times(calls, async |call| {
            let (user, scope) = pair(round * calls + call, rows);
            assert!(membership.is_member(&mut conn, &user, &scope).await.expect("the server answers"));
        })
        .await;
        let select = times(calls, async |call| {
            let (user, scope) = pair(round * calls + call, rows);
            let row = sqlx::query(
                "SELECT role, state, expires_at, version FROM memberships_membership WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3",
            )
            .bind(user.as_str())
            .bind(scope.kind().as_str())
            .bind(scope.id().as_str())
            .fetch_one(&mut conn)
            .await
            .expect("the row is there");
            assert_eq!(row.get::<&str, _>("state"), "active");
        })
        .await;
        // The first round warms up.
        if round > 0 {
            ours.push(percentile(check, 50));
            bare.push(percentile(select, 50));
        }
    }
    Case::ratio(
        "membership.is_member_pg_p50",
        median(ours),
        "us",
        "bare prepared SELECT",
        median(bare),
        Target::AtMost(1.15),
    )
    .note(format!("{rows} rows"))
}

async fn on_sqlite(setup: &Setup) -> Case {
    let rows = setup.size(1_000_000, 10_000);
    let database = testkit::sqlite_durable(&[&sqlite::MIGRATOR]).await;
    let mut conn = database.pool().acquire().await.expect("the file opens");
    sqlx::query(
        r#"
        WITH RECURSIVE row(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM row WHERE n < $1 - 1)
        INSERT INTO memberships_membership
        SELECT printf('user-%08d', n), 'group', printf('group-%04d', n % 1000), 'member', 'active', NULL, 1, 0, 0
        FROM row
        "#,
    )
    .bind(rows as i64)
    .execute(&mut *conn)
    .await
    .expect("the rows fit");

    let membership = Membership::new(Sqlite);
    let calls = setup.size(4000, 300);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=setup.rounds() {
        let check = times(calls, async |call| {
            let (user, scope) = pair(round * calls + call, rows);
            assert!(membership.is_member(&mut conn, &user, &scope).await.expect("the file is there"));
        })
        .await;
        let select = times(calls, async |call| {
            let (user, scope) = pair(round * calls + call, rows);
            let row = sqlx::query(
                "SELECT role, state, expires_at, version FROM memberships_membership WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3",
            )
            .bind(user.as_str())
            .bind(scope.kind().as_str())
            .bind(scope.id().as_str())
            .fetch_one(&mut *conn)
            .await
            .expect("the row is there");
            assert_eq!(row.get::<&str, _>("state"), "active");
        })
        .await;
        if round > 0 {
            ours.push(percentile(check, 50));
            bare.push(percentile(select, 50));
        }
    }
    Case::ratio(
        "membership.is_member_sqlite_p50",
        median(ours),
        "us",
        "bare prepared SELECT",
        median(bare),
        Target::AtMost(1.2),
    )
    .note(format!("{rows} rows"))
}
