//! On a file.

use std::time::Instant;

use sqlx::{Row, SqliteConnection};
use stoa_membership::{By, Filter, Membership, PageRequest, Scope, Sqlite, sqlite};

use super::{LARGE, are_right, import, pair, prepare, questions, user};
use crate::case::Target;
use crate::timing::{blocks, median, turns};
use crate::{Case, Setup};

pub(super) async fn compare(setup: &Setup) -> Vec<Case> {
    let rows = setup.size(1_000_000, 10_000);
    let database = testkit::sqlite_durable(&[&sqlite::MIGRATOR]).await;
    let mut conn = database.pool().acquire().await.expect("the file opens");
    fill(&mut conn, rows).await;
    vec![
        is_member(setup, &mut conn, rows).await,
        check_many(setup, &mut conn, rows).await,
        page(setup, &mut conn).await,
        load(setup).await,
    ]
}

async fn fill(conn: &mut SqliteConnection, rows: usize) {
    sqlx::query(
        r#"
        WITH RECURSIVE row(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM row WHERE n < $1 - 1)
        INSERT INTO memberships_membership
        SELECT printf('user-%08d', n), 'group', iif(n % 9 = 0, 'large', printf('group-%04d', n % 1000)),
            'member', 'active', NULL, 1, 0, 0
        FROM row
        "#,
    )
    .bind(rows as i64)
    .execute(&mut *conn)
    .await
    .expect("the rows fit");
    for command in ["ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"] {
        sqlx::query(command).execute(&mut *conn).await.expect("the file is there");
    }
}

/// Beside the least that reads the same row.
async fn is_member(setup: &Setup, conn: &mut SqliteConnection, rows: usize) -> Case {
    let membership = Membership::new(Sqlite);
    let turns = turns(
        setup.rounds(),
        setup.size(4000, 300),
        conn,
        async |conn: &mut SqliteConnection, index| check(&membership, conn, index, rows).await,
        async |conn: &mut SqliteConnection, index| {
            let (user, scope) = pair(index, rows);
            let row = sqlx::query(
                "SELECT role, state, expires_at, version FROM memberships_membership WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3",
            )
            .bind(user.as_str())
            .bind(scope.kind().as_str())
            .bind(scope.id().as_str())
            .fetch_one(conn)
            .await
            .expect("the row is there");
            assert_eq!(row.get::<&str, _>("state"), "active");
        },
    )
    .await;
    let name = "membership.is_member_sqlite_p50";
    Case::ratio(name, turns.ours, "us", "bare prepared SELECT", turns.other, Target::AtMost(1.2))
        .note(format!("{rows} rows; {turns}"))
}

async fn check(membership: &Membership<Sqlite>, conn: &mut SqliteConnection, index: usize, rows: usize) {
    let (user, scope) = pair(index, rows);
    assert!(membership.is_member(conn, &user, &scope).await.expect("the file is there"));
}

/// Beside one check.
async fn check_many(setup: &Setup, conn: &mut SqliteConnection, rows: usize) -> Case {
    let membership = Membership::new(Sqlite);
    let questions = questions(rows);
    let turns = blocks(
        setup.rounds(),
        setup.size(200, 20),
        conn,
        async |conn: &mut SqliteConnection, index| {
            let pairs = &questions[index % questions.len()];
            let roles = membership.check_many(conn, pairs).await.expect("the file is there");
            assert!(are_right(&roles));
        },
        async |conn: &mut SqliteConnection, index| check(&membership, conn, index, rows).await,
    )
    .await;
    let name = "membership.check_many_sqlite_1000_vs_1";
    Case::ratio(name, turns.ours, "us", "one check", turns.other, Target::AtMost(10.0))
        .note(format!("half of them members, {rows} rows; {turns}"))
}

/// Beside the first page of the same listing.
async fn page(setup: &Setup, conn: &mut SqliteConnection) -> Case {
    let membership = Membership::new(Sqlite);
    let scope = Scope::group(LARGE).expect("an id within the bounds");
    let (filter, limit) = (Filter::default(), setup.size(100, 1));
    let first = PageRequest::first(limit as u32);
    let mut far = first.clone();
    for _ in 1..1000 {
        let page = membership.list_by_scope(conn, &scope, &filter, &far).await.expect("the file is there");
        far = first.clone().after(page.next.expect("a thousand pages"));
    }
    let read = async |conn: &mut SqliteConnection, request: &PageRequest| {
        let page = membership.list_by_scope(conn, &scope, &filter, request).await.expect("the file is there");
        assert_eq!((page.items.len(), page.next.is_some()), (limit, true));
    };
    let turns = turns(
        setup.rounds(),
        setup.size(1000, 100),
        conn,
        async |conn: &mut SqliteConnection, _| read(conn, &far).await,
        async |conn: &mut SqliteConnection, _| read(conn, &first).await,
    )
    .await;
    let name = "membership.page_sqlite_1000_vs_1";
    Case::ratio(name, turns.ours, "us", "page 1", turns.other, Target::AtMost(1.2))
        .note(format!("{limit} members a page; {turns}"))
}

/// Into a fresh file, and a second time.
async fn load(setup: &Setup) -> Case {
    let membership = Membership::new(Sqlite);
    let count = setup.size(100_000, 2_000);
    let by = By::user(&user(0));
    let (mut rates, mut again_rates) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let database = testkit::sqlite_durable(&[&sqlite::MIGRATOR]).await;
        let mut conn = database.pool().acquire().await.expect("the file opens");
        for (rates, created) in [(&mut rates, count), (&mut again_rates, 0)] {
            let rows = import(count);
            let started = Instant::now();
            let imported = membership.import(&mut conn, &prepare(rows), &by).await.expect("the file is there");
            rates.push(count as f64 / started.elapsed().as_secs_f64());
            assert_eq!((imported.created, imported.unchanged), (created as u64, (count - created) as u64));
        }
    }
    Case::absolute("membership.import_sqlite_rows_s", median(rates), "/s", Target::AtLeast(20_000.0))
        .note(format!("{count} rows in one call, fsync on; a second time {:.0}/s", median(again_rates)))
}
