//! PostgreSQL over loopback.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, PgPool};
use stoa_search::{Document, Postgres, Search, postgres};
use testkit::{Cluster, Durability};

use super::{CACHE, Questions, SEARCHES, document, search};
use crate::case::Target;
use crate::timing::{median, percentile, times, turns};
use crate::{Case, Setup, corpus};

/// As long as it takes.
const UNLIMITED: Duration = Duration::from_hours(1);

pub(super) async fn compare(
    setup: &Setup,
    documents: &[corpus::Document],
    corpus: &str,
    questions: &Questions,
) -> Vec<Case> {
    let cluster = Cluster::start(Durability::Durable);
    let pool = PgPool::connect(&cluster.url("postgres")).await.expect("the server answers");
    postgres::MIGRATOR.run(&pool).await.expect("the schema is sound");
    let stoa = Search::new(Postgres);

    let mut conn = PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers");
    let batch: Vec<Document> = documents.iter().map(document).collect();
    let started = Instant::now();
    stoa.upsert_many(&mut conn, &batch).await.expect("the server answers");
    stoa.compact(&pool, UNLIMITED).await.expect("the server answers");
    let rate = documents.len() as f64 / started.elapsed().as_secs_f64();
    drop(batch);
    load_rival(&mut conn, documents).await;
    let index = index_size(&mut conn).await;
    let text: usize = documents.iter().map(|document| document.title.len() + document.body.len()).sum();

    let (mut common, mut common_rival, mut rare, mut rare_rival) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut middle, mut cached, mut middle_cached) = (Vec::new(), Vec::new(), Vec::new());
    let with_cache = stoa.clone().with_cache(CACHE);
    for round in 0..=setup.rounds() {
        let ours = times(SEARCHES, async |call| {
            search(&stoa, &mut conn, &questions.common(call), &questions.audience(call)).await;
        });
        let ours = ours.await;
        // One search in ten: the rival takes its time.
        let theirs = times(SEARCHES / 4, async |call| {
            rank(&mut conn, &questions.common(call * 4 + round % 4), questions.tags(call)).await;
        });
        let theirs = theirs.await;
        let ours_cached = times(SEARCHES, async |call| {
            search(&with_cache, &mut conn, &questions.common(call), &questions.audience(call)).await;
        });
        let ours_cached = ours_cached.await;
        let ours_rare = times(SEARCHES, async |call| {
            search(&stoa, &mut conn, &questions.rare(call), &questions.audience(call)).await;
        });
        let ours_rare = ours_rare.await;
        let theirs_rare = times(SEARCHES, async |call| {
            rank(&mut conn, &questions.rare(call), questions.tags(call)).await;
        });
        let theirs_rare = theirs_rare.await;
        if round > 0 {
            middle.push(percentile(ours.clone(), 50) / 1e3);
            common.push(percentile(ours, 95) / 1e3);
            middle_cached.push(percentile(ours_cached.clone(), 50) / 1e3);
            cached.push(percentile(ours_cached, 95) / 1e3);
            common_rival.push(percentile(theirs, 95) / 1e3);
            rare.push(percentile(ours_rare, 95) / 1e3);
            rare_rival.push(percentile(theirs_rare, 95) / 1e3);
        }
    }
    let (common, common_rival) = (median(common), median(common_rival));
    let (rare, rare_rival) = (median(rare), median(rare_rival));
    #[cfg(feature = "rivals")]
    let beside_engine = super::engine::compare(setup, documents, questions, &stoa, &mut conn).await;
    let first = first(&cluster, setup, questions).await;
    let (clean, dirty) = uncompacted(setup, &stoa, &mut conn, documents, questions).await;
    let (upsert, upsert_rival, flush) = upsert(setup, &stoa, &mut conn, documents).await;
    let cases = vec![
        Case::absolute("search.common_p95_ms", common, "ms", Target::AtMost(2.5))
            .beside("ts_rank over GIN", common_rival)
            .note(format!("p50 {:.2} ms, {corpus}, one and two words, no cache", median(middle))),
        Case::absolute("search.common_cached_p95_ms", median(cached), "ms", Target::AtMost(1.5)).note(format!(
            "p50 {:.2} ms, the same with a cache of {} MB",
            median(middle_cached),
            CACHE >> 20
        )),
        Case::speedup(
            "search.common_vs_ts_rank",
            common,
            "ms p95",
            "ts_rank over GIN",
            common_rival,
            Target::AtLeast(20.0),
        )
        .note(corpus),
        Case::absolute("search.rare_minus_gin_ms", rare - rare_rival, "ms", Target::AtMost(1.0))
            .note(format!("p95 {rare:.2} and {rare_rival:.2} ms")),
        Case::absolute("search.bulk_docs_s", rate, "/s", Target::AtLeast(12_000.0)).note(corpus),
        Case::absolute("search.index_vs_text", index as f64 / text as f64, "x", Target::AtMost(0.4)).note(format!(
            "{} of {} MB",
            index >> 20,
            text >> 20
        )),
        Case::absolute("search.first_search_ms", first, "ms", Target::AtMost(20.0))
            .note("a new connection, connecting not included"),
        Case::ratio("search.uncompacted_1000_vs_clean", dirty, "ms p95", "clean", clean, Target::AtMost(2.0)),
        Case::ratio("search.upsert_vs_gin", upsert, "us p50", "tsvector and GIN", upsert_rival, Target::AtMost(0.8))
            .note(flush),
    ];
    #[cfg(feature = "rivals")]
    let cases = cases.into_iter().chain(beside_engine).collect();
    cases
}

/// How many documents the large cases have.
const LARGE: usize = 700_000;

/// Common words in the same documents several times over, under new ids.
pub(super) async fn compare_large(setup: &Setup, documents: &[corpus::Document], questions: &Questions) -> Vec<Case> {
    let cluster = Cluster::start(Durability::Durable);
    let pool = PgPool::connect(&cluster.url("postgres")).await.expect("the server answers");
    postgres::MIGRATOR.run(&pool).await.expect("the schema is sound");
    let stoa = Search::new(Postgres);
    let mut conn = PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers");
    let mut left = setup.size(LARGE, 2 * documents.len());
    for copy in 0.. {
        let batch = documents.iter().take(left).map(|one| {
            let id = format!("{copy}-{}", one.id);
            document(&corpus::Document { id, ..one.clone() })
        });
        let batch: Vec<Document> = batch.collect();
        stoa.upsert_many(&mut conn, &batch).await.expect("the server answers");
        left -= batch.len();
        if left == 0 {
            break;
        }
    }
    stoa.compact(&pool, UNLIMITED).await.expect("the server answers");
    index_size(&mut conn).await;

    let with_cache = stoa.clone().with_cache(4 * CACHE);
    let (mut uncached, mut cached) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for round in 0..=setup.rounds() {
        for (stoa, (middle, tail)) in [(&stoa, &mut uncached), (&with_cache, &mut cached)] {
            let times = times(SEARCHES, async |call| {
                search(stoa, &mut conn, &questions.common(call), &questions.audience(call)).await;
            });
            let times = times.await;
            if round > 0 {
                middle.push(percentile(times.clone(), 50) / 1e3);
                tail.push(percentile(times, 95) / 1e3);
            }
        }
    }
    let case = |name, (middle, tail), limit| {
        Case::absolute(name, median(tail), "ms", Target::AtMost(limit)).note(format!("p50 {:.2} ms", median(middle)))
    };
    vec![
        case("search.common_700k_p95_ms", uncached, 8.0),
        case("search.common_700k_cached_p95_ms", cached, 4.0).note(format!("a cache of {} MB", (4 * CACHE) >> 20)),
    ]
}

/// How many bytes the index takes, tidied up.
async fn index_size(conn: &mut PgConnection) -> i64 {
    for table in [
        "VACUUM ANALYZE search_document",
        "VACUUM ANALYZE search_dirty",
        "VACUUM ANALYZE search_segment",
        "VACUUM ANALYZE search_page",
    ] {
        sqlx::query(table).execute(&mut *conn).await.expect("the table is there");
    }
    sqlx::query_scalar(
        r#"
        SELECT pg_total_relation_size('search_segment') + pg_total_relation_size('search_page')
            + pg_total_relation_size('search_dirty')
        "#,
    )
    .fetch_one(conn)
    .await
    .expect("the tables are there")
}

/// The rival's search.
async fn rank(conn: &mut PgConnection, text: &str, tags: &[String]) {
    sqlx::query(
        r#"
        SELECT id, title, body, ts_rank(tsv, query) AS rank
        FROM rival, plainto_tsquery('english', $1) AS query
        WHERE tsv @@ query AND tags && $2
        ORDER BY rank DESC, id
        LIMIT 10
        "#,
    )
    .bind(text)
    .bind(tags)
    .fetch_all(conn)
    .await
    .expect("the server answers");
}

/// The first search on a connection, in milliseconds.
async fn first(cluster: &Cluster, setup: &Setup, questions: &Questions) -> f64 {
    let mut firsts = Vec::new();
    for round in 0..setup.rounds() {
        let mut conn = PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers");
        let started = Instant::now();
        search(&Search::new(Postgres), &mut conn, &questions.common(round), &questions.audience(round)).await;
        firsts.push(started.elapsed().as_secs_f64() * 1e3);
    }
    median(firsts)
}

/// A thousand changes that nobody compacted, beside none; in milliseconds.
async fn uncompacted(
    setup: &Setup,
    stoa: &Search<Postgres>,
    conn: &mut PgConnection,
    documents: &[corpus::Document],
    questions: &Questions,
) -> (f64, f64) {
    let (mut clean, mut dirty) = (Vec::new(), Vec::new());
    for _ in 0..setup.rounds() {
        for is_dirty in [false, true] {
            let mut tx = conn.begin().await.expect("the server answers");
            if is_dirty {
                // At REPEATABLE READ no writer compacts on the way.
                sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    .execute(&mut *tx)
                    .await
                    .expect("the server answers");
                let every = documents.len() / 1000;
                let batch: Vec<Document> = documents.iter().step_by(every).take(1000).map(document).collect();
                stoa.upsert_many(&mut tx, &batch).await.expect("the server answers");
            }
            let times = times(SEARCHES, async |call| {
                search(stoa, &mut tx, &questions.common(call), &questions.audience(call)).await;
            });
            let figure = percentile(times.await, 95) / 1e3;
            if is_dirty { &mut dirty } else { &mut clean }.push(figure);
            tx.rollback().await.expect("the server answers");
        }
    }
    (median(clean), median(dirty))
}

/// One document in a transaction of its own, replaced; in microseconds. What a writer compacts on the way is included. Says as well
/// what both take within a transaction, where nobody waits for the disk.
async fn upsert(
    setup: &Setup,
    stoa: &Search<Postgres>,
    conn: &mut PgConnection,
    documents: &[corpus::Document],
) -> (f64, f64, String) {
    let at = |call: usize| (call * 37) % documents.len();
    let ours = async |conn: &mut PgConnection, call| {
        stoa.upsert(conn, &document(&documents[at(call)])).await.expect("the server answers");
    };
    let theirs = async |conn: &mut PgConnection, call| insert(conn, &documents[at(call)..=at(call)]).await;
    let committed = turns(setup.rounds(), SEARCHES, conn, ours, theirs).await;
    let mut tx = conn.begin().await.expect("the server answers");
    let open = turns(setup.rounds(), SEARCHES, &mut *tx, ours, theirs).await;
    tx.rollback().await.expect("the server answers");
    let without_commit = format!("without the commit {:.0} and {:.0} us", open.ours, open.other);
    (committed.ours, committed.other, format!("{committed}; {without_commit}"))
}

/// The rival's write.
async fn insert(conn: &mut PgConnection, documents: &[corpus::Document]) {
    let column = |value: fn(&corpus::Document) -> &str| documents.iter().map(value).collect::<Vec<_>>();
    sqlx::query(
        r#"
        INSERT INTO rival
        SELECT id, title, body, string_to_array(tags, ' '),
            setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('english', body), 'B')
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS given (id, title, body, tags)
        ON CONFLICT (id) DO UPDATE
        SET title = excluded.title, body = excluded.body, tags = excluded.tags, tsv = excluded.tsv
        "#,
    )
    .bind(column(|document| &document.id))
    .bind(column(|document| &document.title))
    .bind(column(|document| &document.body))
    .bind(documents.iter().map(|document| document.categories.join(" ")).collect::<Vec<_>>())
    .execute(conn)
    .await
    .expect("the server answers");
}

async fn load_rival(conn: &mut PgConnection, documents: &[corpus::Document]) {
    let create = "CREATE TABLE rival (id text PRIMARY KEY, title text NOT NULL, body text NOT NULL, tags text[] NOT NULL, tsv tsvector NOT NULL)";
    sqlx::raw_sql(create).execute(&mut *conn).await.expect("the table is new");
    for batch in documents.chunks(1000) {
        insert(conn, batch).await;
    }
    let index = "CREATE INDEX ON rival USING gin (tsv, tags) WITH (fastupdate = off)";
    sqlx::raw_sql(index).execute(&mut *conn).await.expect("the table is there");
    sqlx::query("VACUUM ANALYZE rival").execute(&mut *conn).await.expect("the table is there");
}
