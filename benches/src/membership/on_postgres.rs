//! On a server of one's own.

use std::time::Instant;

use sqlx::{Connection, PgConnection, PgPool, Row};
use stoa_membership::{By, Filter, Membership, PageRequest, Postgres, Scope, UserId, postgres};
use testkit::{Cluster, Durability};

use super::{LARGE, are_right, import, pair, prepare, questions, user};
use crate::case::Target;
use crate::timing::{blocks, median, percentile, times, turns};
use crate::{Case, Setup};

pub(super) async fn compare(setup: &Setup) -> Vec<Case> {
    let rows = setup.size(1_000_000, 10_000);
    let cluster = Cluster::start(Durability::Durable);
    let mut conn = connect(&cluster, "postgres").await;
    fill(&mut conn, rows).await;
    vec![
        is_member(setup, &mut conn, rows).await,
        size(setup, &cluster, conn, rows).await,
        check_many(setup, &mut connect(&cluster, "postgres").await, rows).await,
        page(setup, &mut connect(&cluster, "postgres").await).await,
        load(setup, &cluster).await,
    ]
}

/// Connects to a database, which has the tables then.
async fn connect(cluster: &Cluster, database: &str) -> PgConnection {
    let pool = PgPool::connect(&cluster.url(database)).await.expect("the server answers");
    postgres::MIGRATOR.run(&pool).await.expect("the schema is sound");
    PgConnection::connect(&cluster.url(database)).await.expect("the server answers")
}

async fn fill(conn: &mut PgConnection, rows: usize) {
    sqlx::query(
        r#"
        INSERT INTO memberships_membership
        SELECT 'user-' || lpad(n::text, 8, '0'), 'group',
            CASE WHEN n % 9 = 0 THEN 'large' ELSE 'group-' || lpad((n % 1000)::text, 4, '0') END,
            'member', 'active', NULL, 1, now(), now()
        FROM generate_series(0, $1::bigint - 1) AS n
        "#,
    )
    .bind(rows as i64)
    .execute(&mut *conn)
    .await
    .expect("the rows fit");
    for command in ["VACUUM ANALYZE memberships_membership", "CHECKPOINT"] {
        sqlx::query(command).execute(&mut *conn).await.expect("the server answers");
    }
}

/// Beside the least that reads the same row.
async fn is_member(setup: &Setup, conn: &mut PgConnection, rows: usize) -> Case {
    let membership = Membership::new(Postgres);
    let turns = turns(
        setup.rounds(),
        setup.size(4000, 300),
        conn,
        async |conn: &mut PgConnection, index| check(&membership, conn, index, rows).await,
        async |conn: &mut PgConnection, index| {
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
    let name = "membership.is_member_pg_p50";
    Case::ratio(name, turns.ours, "us", "bare prepared SELECT", turns.other, Target::AtMost(1.15))
        .note(format!("{rows} rows; {turns}"))
}

async fn check(membership: &Membership<Postgres>, conn: &mut PgConnection, index: usize, rows: usize) {
    let (user, scope) = pair(index, rows);
    assert!(membership.is_member(conn, &user, &scope).await.expect("the server answers"));
}

/// Beside the same check in a small table of the same server.
async fn size(setup: &Setup, cluster: &Cluster, conn: PgConnection, rows: usize) -> Case {
    let membership = Membership::new(Postgres);
    let small_rows = setup.size(10_000, 1_000);
    let mut small = create(cluster, "small", "CREATE DATABASE small").await;
    fill(&mut small, small_rows).await;
    let turns = turns(
        setup.rounds(),
        setup.size(4000, 300),
        &mut [conn, small],
        async |[conn, _]: &mut [PgConnection; 2], index| check(&membership, conn, index, rows).await,
        async |[_, small]: &mut [PgConnection; 2], index| check(&membership, small, index, small_rows).await,
    )
    .await;
    let name = "membership.is_member_pg_1m_vs_10k";
    Case::ratio(name, turns.ours, "us", "a small table", turns.other, Target::AtMost(1.3))
        .note(format!("{rows} rows against {small_rows}; {turns}"))
}

async fn create(cluster: &Cluster, database: &str, statement: &'static str) -> PgConnection {
    let mut server = PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers");
    sqlx::raw_sql(statement).execute(&mut server).await.expect("the database is new");
    connect(cluster, database).await
}

/// Beside one check.
async fn check_many(setup: &Setup, conn: &mut PgConnection, rows: usize) -> Case {
    let membership = Membership::new(Postgres);
    let questions = questions(rows);
    let turns = blocks(
        setup.rounds(),
        setup.size(200, 20),
        conn,
        async |conn: &mut PgConnection, index| {
            let pairs = &questions[index % questions.len()];
            let roles = membership.check_many(conn, pairs).await.expect("the server answers");
            assert!(are_right(&roles));
        },
        async |conn: &mut PgConnection, index| check(&membership, conn, index, rows).await,
    )
    .await;
    let probes = times(setup.size(200, 20), async |call| probe(conn, &questions[call % questions.len()]).await).await;
    let name = "membership.check_many_1000_vs_1";
    Case::ratio(name, turns.ours, "us", "one check", turns.other, Target::AtMost(10.0)).note(format!(
        "half of them members, {rows} rows; {turns}; a bare SELECT count(version) of the users alone {:.0} us",
        percentile(probes, 50)
    ))
}

/// The least that finds as many rows in the index: no places, no scopes, one row returned.
async fn probe(conn: &mut PgConnection, pairs: &[(UserId, Scope)]) {
    let users: Vec<&str> = pairs.iter().map(|(user, _)| user.as_str()).collect();
    let count: i64 = sqlx::query_scalar("SELECT count(version) FROM memberships_membership WHERE user_id = ANY($1)")
        .bind(users)
        .fetch_one(conn)
        .await
        .expect("the server answers");
    assert_eq!(count, 1000);
}

/// Beside the first page of the same listing.
async fn page(setup: &Setup, conn: &mut PgConnection) -> Case {
    let membership = Membership::new(Postgres);
    let scope = Scope::group(LARGE).expect("an id within the bounds");
    let (filter, limit) = (Filter::default(), setup.size(100, 1));
    let first = PageRequest::first(limit as u32);
    let mut far = first.clone();
    for _ in 1..1000 {
        let page = membership.list_by_scope(conn, &scope, &filter, &far).await.expect("the server answers");
        far = first.clone().after(page.next.expect("a thousand pages"));
    }
    let read = async |conn: &mut PgConnection, request: &PageRequest| {
        let page = membership.list_by_scope(conn, &scope, &filter, request).await.expect("the server answers");
        assert_eq!((page.items.len(), page.next.is_some()), (limit, true));
    };
    let turns = turns(
        setup.rounds(),
        setup.size(1000, 100),
        conn,
        async |conn: &mut PgConnection, _| read(conn, &far).await,
        async |conn: &mut PgConnection, _| read(conn, &first).await,
    )
    .await;
    let name = "membership.page_1000_vs_1";
    Case::ratio(name, turns.ours, "us", "page 1", turns.other, Target::AtMost(1.2))
        .note(format!("{limit} members a page; {turns}"))
}

/// Into a fresh database, and a second time.
async fn load(setup: &Setup, cluster: &Cluster) -> Case {
    let membership = Membership::new(Postgres);
    let count = setup.size(100_000, 2_000);
    let by = By::user(&user(0));
    let (mut rates, mut again_rates) = (Vec::new(), Vec::new());
    let fresh = [
        ("load_1", "CREATE DATABASE load_1"),
        ("load_2", "CREATE DATABASE load_2"),
        ("load_3", "CREATE DATABASE load_3"),
    ];
    for (database, statement) in fresh {
        let mut conn = create(cluster, database, statement).await;
        for (rates, created) in [(&mut rates, count), (&mut again_rates, 0)] {
            let rows = import(count);
            let started = Instant::now();
            let imported = membership.import(&mut conn, &prepare(rows), &by).await.expect("the server answers");
            rates.push(count as f64 / started.elapsed().as_secs_f64());
            assert_eq!((imported.created, imported.unchanged), (created as u64, (count - created) as u64));
        }
    }
    Case::absolute("membership.import_rows_s", median(rates), "/s", Target::AtLeast(20_000.0))
        .note(format!("{count} rows in one call, fsync on; a second time {:.0}/s", median(again_rates)))
}
