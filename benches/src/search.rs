//! Ranked search beside PostgreSQL's own: `ts_rank` over a multicolumn GIN index.

use sqlx::{Connection, PgConnection};
use stoa_search::{Audience, Document, MatchMode, Postgres, Query, Search, Surface, Tag, postgres};
use testkit::{Cluster, Durability};

use crate::case::Target;
use crate::corpus::{self, COMMON};
use crate::timing::{median, percentile, times};
use crate::{Case, Setup};

/// Measures the search cases.
pub async fn compare(setup: &Setup) -> Vec<Case> {
    let (documents, corpus) = corpus::documents(setup, setup.size(20_000, 2_000));
    let cluster = Cluster::start(Durability::Durable);
    let pool = sqlx::PgPool::connect(&cluster.url("postgres")).await.expect("the server answers");
    postgres::MIGRATOR.run(&pool).await.expect("the schema is sound");
    let mut conn = PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers");
    let search = Search::new(Postgres);
    let started = std::time::Instant::now();
    for batch in documents.chunks(500) {
        let batch: Vec<Document> = batch.iter().map(document).collect();
        search.upsert_many(&mut conn, &batch).await.expect("the server answers");
    }
    let rate = documents.len() as f64 / started.elapsed().as_secs_f64();
    load_rival(&mut conn, &documents).await;

    let tags = audience(&documents);
    let audience = Audience::tags(tags.iter().map(|tag| Tag::try_from(tag.as_str()).expect("a tag within the bounds")));
    let calls = COMMON.len() * setup.size(5, 1);
    let (mut ours, mut rival) = (Vec::new(), Vec::new());
    for round in 0..=setup.rounds() {
        let search_times = times(calls, async |call| {
            let query = Query::text(COMMON[call % COMMON.len()]).mode(MatchMode::All).limit(10);
            let results = search.search(&mut conn, &query, &audience).await.expect("the server answers");
            assert_eq!(results.hits.len(), 10);
        })
        .await;
        let rival_times = times(calls, async |call| {
            let rows = sqlx::query(
                r#"
                SELECT id, title, body, ts_rank(tsv, query) AS rank
                FROM rival, plainto_tsquery('english', $1) AS query
                WHERE tsv @@ query AND tags && $2
                ORDER BY rank DESC, id
                LIMIT 10
                "#,
            )
            .bind(COMMON[call % COMMON.len()])
            .bind(&tags)
            .fetch_all(&mut conn)
            .await
            .expect("the server answers");
            assert_eq!(rows.len(), 10);
        })
        .await;
        if round > 0 {
            ours.push(percentile(search_times, 95) / 1e3);
            rival.push(percentile(rival_times, 95) / 1e3);
        }
    }
    let (ours, rival) = (median(ours), median(rival));
    vec![
        Case::speedup("search.common_vs_ts_rank", ours, "ms p95", "ts_rank over GIN", rival, Target::AtLeast(20.0))
            .note(format!("{corpus}; exact scan, no segments yet")),
        Case::absolute("search.bulk_docs_s", rate, "/s", Target::AtLeast(12_000.0)).note(corpus),
    ]
}

fn document(document: &corpus::Document) -> Document {
    let tags = document.categories.iter().map(|tag| Tag::try_from(tag.as_str()).expect("a tag within the bounds"));
    Document::new(Surface::FEED, document.id.as_str().try_into().expect("an id within the bounds"))
        .title(&document.title)
        .body(&document.body)
        .audience(tags)
}

async fn load_rival(conn: &mut PgConnection, documents: &[corpus::Document]) {
    let create = "CREATE TABLE rival (id text PRIMARY KEY, title text NOT NULL, body text NOT NULL, tags text[] NOT NULL, tsv tsvector NOT NULL)";
    sqlx::raw_sql(create).execute(&mut *conn).await.expect("the table is new");
    for document in documents {
        sqlx::query(
            r#"
            INSERT INTO rival
            VALUES ($1, $2, $3, $4, setweight(to_tsvector('english', $2), 'A') || setweight(to_tsvector('english', $3), 'B'))
            "#,
        )
        .bind(&document.id)
        .bind(&document.title)
        .bind(&document.body)
        .bind(&document.categories)
        .execute(&mut *conn)
        .await
        .expect("the server answers");
    }
    let index = "CREATE INDEX ON rival USING gin (tsv, tags) WITH (fastupdate = off)";
    sqlx::raw_sql(index).execute(&mut *conn).await.expect("the table is there");
    sqlx::query("VACUUM ANALYZE rival").execute(&mut *conn).await.expect("the table is there");
    sqlx::query("VACUUM ANALYZE search_document").execute(&mut *conn).await.expect("the table is there");
}

/// Tags that together reach about a quarter of the documents, the rarest first.
fn audience(documents: &[corpus::Document]) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for tag in documents.iter().flat_map(|document| &document.categories) {
        *counts.entry(tag).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| count);
    let (mut tags, mut reached) = (Vec::new(), 0);
    for (tag, count) in counts.into_iter().rev().skip(3) {
        if reached >= documents.len() / 4 {
            break;
        }
        reached += count;
        tags.push(tag.to_owned());
    }
    tags
}
