//! The laws on PostgreSQL, and what only PostgreSQL can do: write in two transactions at once, and choose a plan.

mod support;

use std::collections::HashMap;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnection, PgPool};
use stoa_membership::postgres::MIGRATOR;
use stoa_membership::{
    By, Cursor, Error, Event, Filter, Import, ImportRow, Membership, PageRequest, Postgres, Role, Scope, Source, State,
    UserId, conformance,
};
use support::{assert_all_fail, assert_corrupt, assert_no_half_stays, by, chess, fill, most_rows, names, owner, user};

struct Harness(testkit::Postgres);

impl Harness {
    async fn new() -> Self {
        Self(testkit::postgres(&[&MIGRATOR]).await)
    }
}

impl conformance::Harness for Harness {
    type Store = Postgres;
    type Source = sqlx::PgPool;

    fn store(&self) -> Postgres {
        Postgres
    }

    fn source(&self) -> sqlx::PgPool {
        self.0.pool().clone()
    }
}

stoa_membership::conformance!(Harness::new().await);

async fn run(conn: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(conn).await.unwrap();
}

#[tokio::test]
async fn a_row_that_breaks_the_rules_is_corrupt_and_no_member() {
    let harness = Harness::new().await;
    let membership = Membership::new(Postgres);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    membership.join(&mut conn, &user("ada"), &chess(), &by()).await.unwrap();
    run(&mut conn, "ALTER TABLE memberships_membership DROP CONSTRAINT memberships_membership_state_check").await;
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
        ("time", "UPDATE memberships_membership SET expires_at = 'infinity'"),
        ("role", "UPDATE memberships_membership SET expires_at = NULL, role = ''"),
        ("role", "UPDATE memberships_membership SET role = E'a\nb'"),
        ("role", "UPDATE memberships_membership SET role = repeat('x', 65)"),
    ] {
        run(&mut conn, update).await;
        assert_corrupt(&membership, &mut conn, what, &rows).await;
    }
    // A verb that meets it writes nothing, and neither does a purge.
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
    let membership = Membership::new(Postgres);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    membership.join(&mut conn, &user("ada"), &chess(), &by()).await.unwrap();
    for (what, update) in [
        ("verb", "UPDATE memberships_transition SET verb = 'promote'"),
        ("role", "UPDATE memberships_transition SET verb = 'join', role = ''"),
        ("state", "UPDATE memberships_transition SET role = 'member', state = 'member'"),
        ("state", "UPDATE memberships_transition SET state = 'active', before_state = 'none', before_role = 'member'"),
        ("role", "UPDATE memberships_transition SET before_state = 'left', before_role = ''"),
        ("actor", "UPDATE memberships_transition SET before_state = NULL, actor = ''"),
        ("reason", "UPDATE memberships_transition SET actor = NULL, reason = repeat('x', 513)"),
        ("time", "UPDATE memberships_transition SET reason = NULL, expires_at = '294000-01-01Z'"),
        ("time", "UPDATE memberships_transition SET expires_at = NULL, changed_at = '-infinity'"),
        ("scope type", "UPDATE memberships_transition SET changed_at = now(), scope_type = 'Group'"),
    ] {
        run(&mut conn, update).await;
        let met_by: &[&str] = if what == "scope type" { &["changes"] } else { &["history", "changes"] };
        assert_corrupt(&membership, &mut conn, what, met_by).await;
    }
}

#[tokio::test]
async fn what_text_the_server_refuses_is_not_worth_a_retry() {
    let harness = Harness::new().await;
    let refused = sqlx::query("SELECT $1::text").bind("a\0b").execute(harness.0.pool()).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("22021"));
    assert!(!Error::from(refused).is_retryable());
}

#[tokio::test]
async fn a_failing_database_is_an_error_from_every_call() {
    let harness = Harness::new().await;
    let membership = Membership::new(Postgres);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let token = support::token(&membership, &mut conn).await;
    run(
        &mut conn,
        r"
        ALTER TABLE memberships_membership RENAME TO elsewhere;
        ALTER TABLE memberships_transition RENAME TO memberships_elsewhere
        ",
    )
    .await;
    assert_all_fail(&membership, &mut conn, &token).await;
}

#[tokio::test]
async fn a_lost_connection_is_an_error_from_every_call() {
    let harness = Harness::new().await;
    let membership = Membership::new(Postgres);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let token = support::token(&membership, &mut conn).await;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *conn).await.unwrap();
    let is_ended: bool = sqlx::query_scalar("SELECT pg_terminate_backend($1, 10000)")
        .bind(pid)
        .fetch_one(harness.0.pool())
        .await
        .unwrap();
    assert!(is_ended);
    assert_all_fail(&membership, &mut conn, &token).await;
    assert!(matches!(membership.latest(&mut conn).await, Err(Error::Backend(_))));
}

#[tokio::test]
async fn what_fails_halfway_leaves_nothing_on_a_bare_connection() {
    let harness = Harness::new().await;
    let membership = Membership::new(Postgres);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    fill(&membership, &mut conn).await;
    run(
        &mut conn,
        r"
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
        CREATE TRIGGER refuse BEFORE UPDATE ON memberships_membership
            FOR EACH ROW WHEN (new.user_id = 'm') EXECUTE FUNCTION refuse();
        CREATE TRIGGER refuse BEFORE INSERT ON memberships_transition
            FOR EACH ROW WHEN (new.user_id = 'n' OR new.verb = 'purge') EXECUTE FUNCTION refuse()
        ",
    )
    .await;
    assert_no_half_stays(&membership, &mut conn).await;
}

#[tokio::test]
async fn a_savepoint_takes_row_and_transition_back_together() {
    let harness = Harness::new().await;
    let membership = Membership::new(Postgres);
    let mut tx = harness.0.pool().begin().await.unwrap();
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
    let membership = Membership::new(Postgres);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let eve = user("eve-7f3a");
    for scope in ["group:a", "group:b", "batch:2018"] {
        membership.join(&mut conn, &eve, &scope.parse().unwrap(), &By::user(&eve)).await.unwrap();
        membership.ban(&mut conn, &eve, &scope.parse().unwrap(), &by()).await.unwrap();
        membership.join(&mut conn, &user("ada"), &scope.parse().unwrap(), &By::user(&eve)).await.unwrap();
    }
    let mentions = r"
        SELECT (SELECT count(*) FROM memberships_membership AS row WHERE row::text LIKE '%eve-7f3a%')
            + (SELECT count(*) FROM memberships_transition AS row WHERE row::text LIKE '%eve-7f3a%')
    ";
    let before: i64 = sqlx::query_scalar(mentions).fetch_one(&mut *conn).await.unwrap();
    assert_eq!(before, 3 + 9);
    membership.purge_user(&mut conn, &eve).await.unwrap();
    let after: i64 = sqlx::query_scalar(mentions).fetch_one(&mut *conn).await.unwrap();
    assert_eq!(after, 0);
}

/// Waits until somebody in this database waits for a lock; fails if nobody ever does.
async fn until_blocked(pool: &PgPool) {
    let blocked = tokio::time::timeout(Duration::from_secs(20), blocked(pool));
    assert!(blocked.await.is_ok(), "nobody waited");
}

async fn blocked(pool: &PgPool) {
    loop {
        let is_blocked: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        if is_blocked {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_that_a_purge_waited_for_is_purged_with_its_transition() {
    let harness = Harness::new().await;
    let (pool, ada) = (harness.0.pool().clone(), user("ada"));
    let membership = Membership::new(Postgres);
    let mut conn = pool.acquire().await.unwrap();
    membership.join(&mut conn, &ada, &chess(), &by()).await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    membership.ban(&mut tx, &ada, &chess(), &by()).await.unwrap();
    let purge = {
        let (membership, pool) = (membership.clone(), pool.clone());
        tokio::spawn(async move {
            let mut conn = pool.acquire().await.unwrap();
            membership.purge_user(&mut conn, &user("ada")).await.unwrap()
        })
    };
    until_blocked(&pool).await;
    tx.commit().await.unwrap();
    assert_eq!(purge.await.unwrap().transitions, 2);
    // The versions that were taken are free again.
    for version in 1..4 {
        let by = by().because(format!("ban {version}").try_into().unwrap());
        assert_eq!(membership.ban(&mut conn, &ada, &chess(), &by).await.unwrap().version(), version);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verb_that_waited_for_another_decides_on_what_it_left() {
    let harness = Harness::new().await;
    let pool = harness.0.pool().clone();
    let membership = Membership::new(Postgres);
    let mut conn = pool.acquire().await.unwrap();
    for round in ["ban", "demotion"] {
        let scope = Scope::group(round).unwrap();
        for name in ["ada", "bob"] {
            membership.add(&mut conn, &user(name), &scope, &owner(), &by()).await.unwrap();
        }
        let mut tx = pool.begin().await.unwrap();
        if round == "ban" {
            membership.ban(&mut tx, &user("bob"), &scope, &by()).await.unwrap();
        } else {
            membership.leave(&mut tx, &user("ada"), &scope, &by()).await.unwrap();
        }
        let waiting = {
            let (membership, pool, scope) = (membership.clone(), pool.clone(), scope.clone());
            tokio::spawn(async move {
                let mut conn = pool.acquire().await.unwrap();
                let (ada, bob) = (user("ada"), user("bob"));
                if scope.id().as_str() == "ban" {
                    return membership.leave(&mut conn, &ada, &scope, &by()).await;
                }
                let member = stoa_membership::Grant::new(Role::new("member").unwrap());
                membership.add(&mut conn, &bob, &scope, &member, &by()).await
            })
        };
        until_blocked(&pool).await;
        tx.commit().await.unwrap();
        let outcome = waiting.await.unwrap();
        assert!(matches!(outcome, Err(Error::LastOwner)), "{round}: {outcome:?}");
    }
}

/// Reads one page and keeps what it brought, by user and version.
async fn poll(
    conn: &mut PgConnection,
    cursor: &mut Cursor,
    limit: u32,
    seen: &mut HashMap<(UserId, i64), usize>,
) -> usize {
    let changes = Membership::new(Postgres).changes(conn, cursor, limit).await.unwrap();
    for event in &changes.events {
        let Event::Changed(change) = event else { panic!("nothing was purged") };
        assert_eq!(change.version == 1, change.before.is_none());
        assert!(change.version == 1 || seen.contains_key(&(change.user.clone(), change.version - 1)), "{change:?}");
        *seen.entry((change.user.clone(), change.version)).or_default() += 1;
    }
    *cursor = changes.next.to_string().parse().unwrap();
    changes.events.len()
}

#[tokio::test]
async fn a_transaction_that_began_first_and_commits_last_is_not_lost() {
    let harness = Harness::new().await;
    let (pool, membership) = (harness.0.pool(), Membership::new(Postgres));
    let mut reader = pool.acquire().await.unwrap();
    let mut expected = 0;
    for (round, limit) in [1, 1, 1, 2, 3, 1000, 1, 2].into_iter().enumerate() {
        let polls = [0, 1, 2, 3, 1, 1, 5, 2][round];
        let (mut cursor, mut seen) = (Cursor::start(), HashMap::new());
        let scope = Scope::group(format!("group-{round}")).unwrap();
        if round % 2 == 0 {
            cursor = membership.latest(&mut reader).await.unwrap();
        }
        let mut slow = pool.begin().await.unwrap();
        for step in 0..6 {
            let name = user(&format!("slow-{round}-{step}"));
            membership.join(&mut slow, &name, &scope, &by()).await.unwrap();
            membership.leave(&mut slow, &name, &scope, &by()).await.unwrap();
            let mut quick = pool.begin().await.unwrap();
            let name = user(&format!("quick-{round}-{step}"));
            membership.join(&mut quick, &name, &scope, &by()).await.unwrap();
            membership.leave(&mut quick, &name, &scope, &by()).await.unwrap();
            quick.commit().await.unwrap();
            for _ in 0..polls {
                poll(&mut reader, &mut cursor, limit, &mut seen).await;
            }
            assert!(seen.keys().all(|(user, _)| !user.as_str().starts_with(&format!("slow-{round}"))));
        }
        slow.commit().await.unwrap();
        let before = expected;
        expected += 24;
        // A page without events ends a window, not the feed: two of them in a row do, when nobody writes.
        let mut idle = 0;
        while idle < 2 {
            idle = if poll(&mut reader, &mut cursor, limit, &mut seen).await == 0 { idle + 1 } else { 0 };
        }
        assert_eq!(seen.len(), if round % 2 == 0 { 24 } else { before + 24 }, "round {round}");
        assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    }
}

#[tokio::test]
async fn an_open_transaction_delays_nobody_elses_events() {
    let harness = Harness::new().await;
    let (pool, membership) = (harness.0.pool(), Membership::new(Postgres));
    let mut reader = pool.acquire().await.unwrap();
    run(&mut reader, "CREATE TABLE unrelated (id bigint)").await;
    let mut unrelated = pool.begin().await.unwrap();
    run(&mut unrelated, "INSERT INTO unrelated VALUES (1)").await;
    let mut related = pool.begin().await.unwrap();
    membership.join(&mut related, &user("open"), &chess(), &by()).await.unwrap();
    let mut cursor = membership.latest(&mut reader).await.unwrap();
    for name in ["ada", "bob", "eve"] {
        let mut conn = pool.acquire().await.unwrap();
        membership.join(&mut conn, &user(name), &chess(), &by()).await.unwrap();
        let changes = membership.changes(&mut reader, &cursor, 10).await.unwrap();
        assert!(matches!(&changes.events[..], [Event::Changed(change)] if change.user == user(name)), "{changes:?}");
        cursor = changes.next;
    }
    unrelated.rollback().await.unwrap();
    related.commit().await.unwrap();
    let changes = membership.changes(&mut reader, &cursor, 10).await.unwrap();
    assert!(matches!(&changes.events[..], [Event::Changed(change)] if change.user == user("open")), "{changes:?}");
}

/// A transaction's own number may be lower than that of another that has ended by then, in the snapshot that it reads with.
#[tokio::test]
async fn a_reader_that_wrote_gets_its_own_events_after_its_commit() {
    let harness = Harness::new().await;
    let (pool, membership) = (harness.0.pool(), Membership::new(Postgres));
    let mut other = pool.acquire().await.unwrap();
    for from_start in [true, false] {
        for limit in [1, 10] {
            let suffix = format!("{from_start}-{limit}");
            let (own, late, quick) =
                (user(&format!("own-{suffix}")), user(&format!("late-{suffix}")), user(&format!("quick-{suffix}")));
            let mut cursor = membership.latest(&mut other).await.unwrap();
            if from_start {
                cursor = Cursor::start();
            }
            let mut tx = pool.begin().await.unwrap();
            membership.join(&mut tx, &own, &chess(), &by()).await.unwrap();
            membership.join(&mut other, &quick, &chess(), &by()).await.unwrap();
            let latest = membership.latest(&mut tx).await.unwrap();
            let mut seen = HashMap::new();
            while poll(&mut tx, &mut cursor, limit, &mut seen).await > 0 {}
            assert_eq!(seen.get(&(quick.clone(), 1)), Some(&1), "{suffix}");
            assert_eq!(seen.get(&(own.clone(), 1)), None, "{suffix}: not committed yet");
            membership.join(&mut tx, &late, &chess(), &by()).await.unwrap();
            tx.commit().await.unwrap();
            for _ in 0..4 {
                poll(&mut other, &mut cursor, limit, &mut seen).await;
            }
            for name in [own, late] {
                assert_eq!(seen.get(&(name.clone(), 1)), Some(&1), "{suffix}: {name}");
            }
            let news = membership.changes(&mut other, &latest, 10).await.unwrap();
            assert_eq!(news.events.len(), 2, "{suffix}: {news:?}");
        }
    }
}

#[tokio::test]
async fn a_cursor_of_another_database_is_refused() {
    let harness = Harness::new().await;
    let membership = Membership::new(Postgres);
    let sqlite = testkit::sqlite(&[&stoa_membership::sqlite::MIGRATOR]).await;
    let mut conn = sqlite.pool().acquire().await.unwrap();
    let on_sqlite = Membership::new(stoa_membership::Sqlite);
    on_sqlite.join(&mut conn, &user("ada"), &chess(), &by()).await.unwrap();
    let foreign = on_sqlite.latest(&mut conn).await.unwrap().to_string().parse().unwrap();
    let mut tx = harness.0.pool().begin().await.unwrap();
    let own = membership.latest(&mut tx).await.unwrap();
    assert!(matches!(membership.changes(&mut tx, &foreign, 1).await, Err(Error::Cursor)));
    assert!(matches!(on_sqlite.changes(&mut conn, &own, 1).await, Err(Error::Cursor)));
    // Where more transactions have begun. Those of other tests count here, too.
    let text: Vec<&str> = own.position().split(':').collect();
    let end: u64 = text[1].parse().unwrap();
    for ahead in [1 << 32, u64::MAX - end] {
        let future = Cursor::new(format!("{}:{}:", end + ahead, end + ahead));
        let refused = membership.changes(&mut tx, &future, 1).await;
        assert!(matches!(refused, Err(Error::Cursor)), "{future}: {refused:?}");
    }
    assert_eq!(membership.changes(&mut tx, &own, 1).await.unwrap().events, []);
}

#[tokio::test]
async fn the_most_rows_are_one_import() {
    let harness = Harness::new().await;
    let membership = Membership::new(Postgres);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let import = most_rows();
    assert_eq!(membership.import(&mut conn, &import, &by()).await.unwrap().created, 100_000);
    assert_eq!(membership.import(&mut conn, &import, &by()).await.unwrap().unchanged, 100_000);
}

/// What the server makes of the one statement on the tables of this crate that `text` is in, as the driver prepared it.
async fn plans(conn: &mut PgConnection, text: &str, arguments: &str) -> Vec<String> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%memberships_%' AND position($1 IN statement) > 0",
    )
    .bind(text)
    .persistent(false)
    .fetch_all(&mut *conn)
    .await
    .unwrap();
    assert_eq!(names.len(), 1, "{text}");
    let mut plans = Vec::new();
    for mode in ["force_custom_plan", "force_generic_plan"] {
        sqlx::query("SELECT set_config('plan_cache_mode', $1, false)").bind(mode).execute(&mut *conn).await.unwrap();
        let lines: Vec<String> = sqlx::query_scalar("SELECT pg_temp.plan($1)")
            .bind(format!("{}({arguments})", names[0]))
            .persistent(false)
            .fetch_all(&mut *conn)
            .await
            .unwrap();
        plans.push(lines.join("\n"));
    }
    plans
}

#[tokio::test]
async fn the_hot_statements_read_no_more_than_they_answer() {
    let harness = Harness::new().await;
    let membership = Membership::new(Postgres);
    let mut conn = harness.0.pool().acquire().await.unwrap();
    let role = |number: usize| Role::new(if number.is_multiple_of(1000) { "owner" } else { "member" }).unwrap();
    let rows = (0..20_000).map(|number| {
        let scope = if number < 10_000 { chess() } else { Scope::group(format!("group-{}", number % 100)).unwrap() };
        let grant = stoa_membership::Grant::new(role(number));
        ImportRow::active(user(&format!("user-{number:05}")), scope, grant)
    });
    membership.import(&mut conn, &Import::new(rows).unwrap(), &by()).await.unwrap();
    run(
        &mut conn,
        "CREATE FUNCTION pg_temp.plan(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
            BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) EXECUTE ' || statement; END $$",
    )
    .await;
    run(&mut conn, "VACUUM (ANALYZE) memberships_membership, memberships_transition").await;

    let ada = user("user-00000");
    membership.is_member(&mut conn, &ada, &chess()).await.unwrap();
    for plan in plans(&mut conn, "WHERE user_id = $1 AND scope_type = $2", "'user-00000', 'group', 'chess'").await {
        assert!(plan.starts_with("Index Only Scan using memberships_membership_pkey"), "{plan}");
    }

    let page = PageRequest::first(50);
    let next = membership.list_by_scope(&mut conn, &chess(), &Filter::default(), &page).await.unwrap().next.unwrap();
    membership.list_by_scope(&mut conn, &chess(), &Filter::default(), &page.after(next)).await.unwrap();
    let arguments = "'group', 'chess', 'active', 'member', 'user-00049', 'z', false, 51";
    for plan in plans(&mut conn, "ORDER BY role, user_id", arguments).await {
        let is_walked = plan.contains("Index Only Scan using memberships_membership_scope_idx")
            || plan.contains("Index Scan using memberships_membership_scope_idx");
        assert!(is_walked && !plan.contains("Sort"), "{plan}");
    }

    membership.count(&mut conn, &chess(), &Filter::default().role(role(0))).await.unwrap();
    for plan in plans(&mut conn, "role >= $4", "'group', 'chess', 'active', 'owner', 'owner', false").await {
        assert!(plan.contains("Index Only Scan using memberships_membership_scope_idx"), "{plan}");
    }

    // The guard looks up owners, not the members of the scope.
    membership.leave(&mut conn, &ada, &chess(), &by()).await.unwrap();
    let arguments = "'user-01000', 'group', 'chess', 1, 'owner', 'left', NULL, 'leave', 'root', NULL, '{owner}'";
    for plan in plans(&mut conn, "verdict AS", arguments).await {
        assert!(!plan.contains("Seq Scan on memberships_"), "{plan}");
        assert!(plan.contains("using memberships_membership_scope_idx") && plan.contains("role = ANY"), "{plan}");
    }

    membership.history(&mut conn, &ada, &chess(), &PageRequest::first(10)).await.unwrap();
    for plan in plans(&mut conn, "ORDER BY version DESC", "'user-00000', 'group', 'chess', 9, 10").await {
        assert!(plan.contains("using memberships_transition_version_key") && !plan.contains("Sort"), "{plan}");
    }

    // Whoever has caught up finds what is new by its transaction, not by walking the log.
    // A transaction elsewhere in the cluster that is older than the import holds it back.
    let cursor = loop {
        let cursor = membership.latest(&mut conn).await.unwrap();
        let is_past: bool =
            sqlx::query_scalar("SELECT pg_snapshot_xmin($1::pg_snapshot) > max(xid) FROM memberships_transition")
                .bind(cursor.position().split('/').next())
                .fetch_one(&mut *conn)
                .await
                .unwrap();
        if is_past {
            break cursor;
        }
    };
    membership.changes(&mut conn, &cursor, 100).await.unwrap();
    let arguments = format!("'{}', 100", cursor.position());
    for plan in plans(&mut conn, "WITH fresh AS MATERIALIZED", &arguments).await {
        assert!(plan.contains("memberships_transition_xid_idx"), "{plan}");
        assert!(!plan.contains("Seq Scan on memberships_transition"), "{plan}");
    }

    let expired = Filter::default().state(State::Expired);
    assert_eq!(membership.count(&mut conn, &chess(), &expired).await.unwrap(), 0);
}

#[tokio::test]
async fn a_transaction_given_up_while_it_begins_leaves_none() {
    let database = testkit::postgres(&[]).await;
    database.give_up_beginning(|pool| async move { Source::begin(&pool).await.unwrap() }).await;
    database.give_up_beginning(|pool| async move { Source::begin_snapshot(&pool).await.unwrap() }).await;
}
