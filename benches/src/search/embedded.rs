//! SQLite, in the process.

use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use stoa_search::{Document, Search, Sqlite, sqlite};

use super::{Questions, SEARCHES, document, search};
use crate::case::Target;
use crate::timing::{median, percentile, times};
use crate::{Case, Setup, corpus};

pub(super) async fn compare(
    setup: &Setup,
    documents: &[corpus::Document],
    corpus: &str,
    questions: &Questions,
) -> Vec<Case> {
    let database = testkit::sqlite_durable(&[&sqlite::MIGRATOR]).await;
    let stoa = Search::new(Sqlite);
    let mut conn = database.pool().acquire().await.expect("the file opens");
    let batch: Vec<Document> = documents.iter().map(document).collect();
    stoa.upsert_many(&mut conn, &batch).await.expect("the file is there");
    stoa.compact(database.pool(), Duration::from_hours(1)).await.expect("the file is there");
    load_rival(&mut conn, documents).await;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=setup.rounds() {
        let our_times = times(SEARCHES, async |call| {
            search(&stoa, &mut conn, &questions.common(call), &questions.audience(call)).await;
        });
        let our_times = our_times.await;
        let their_times =
            times(SEARCHES, async |call| rank(&mut conn, &questions.common(call), questions.tags(call)).await);
        let their_times = their_times.await;
        if round > 0 {
            ours.push(percentile(our_times, 95) / 1e3);
            theirs.push(percentile(their_times, 95) / 1e3);
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    vec![
        Case::speedup(
            "search.sqlite_common_vs_fts5",
            ours,
            "ms p95",
            "FTS5 bm25, tags as a column",
            theirs,
            Target::AtLeast(4.0),
        )
        .note(corpus),
    ]
}

/// The rival's search. Tags as a column of the index are its fastest form of an audience.
async fn rank(conn: &mut SqliteConnection, text: &str, tags: &[String]) {
    let words: Vec<String> = text.split(' ').map(|word| format!("\"{word}\"")).collect();
    let tags: Vec<String> = tags.iter().map(|tag| format!("\"{}\"", token(tag))).collect();
    let asked = format!("{{title body}} : ({}) AND tags : ({})", words.join(" AND "), tags.join(" OR "));
    sqlx::query(
        r#"
        SELECT id, title, body, bm25(rival, 0.0, 2.5, 1.0, 0.0) AS rank
        FROM rival
        WHERE rival MATCH $1
        ORDER BY rank
        LIMIT 10
        "#,
    )
    .bind(asked)
    .fetch_all(conn)
    .await
    .expect("the file is there");
}

/// A tag as one word of the rival's.
fn token(tag: &str) -> String {
    tag.chars().map(|c| if c.is_alphanumeric() { c } else { 'q' }).collect()
}

async fn load_rival(conn: &mut SqliteConnection, documents: &[corpus::Document]) {
    let create =
        "CREATE VIRTUAL TABLE rival USING fts5 (id UNINDEXED, title, body, tags, tokenize = 'porter unicode61')";
    sqlx::query(create).execute(&mut *conn).await.expect("the table is new");
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.expect("the file is there");
    for document in documents {
        sqlx::query(
            r#"
            INSERT INTO rival
            VALUES ($1, $2, $3, $4)
            "#,
        )
        .bind(&document.id)
        .bind(&document.title)
        .bind(&document.body)
        .bind(document.categories.iter().map(|tag| token(tag)).collect::<Vec<_>>().join(" "))
        .execute(&mut *tx)
        .await
        .expect("the file is there");
    }
    tx.commit().await.expect("the file is there");
    let optimize = "INSERT INTO rival (rival) VALUES ('optimize')";
    sqlx::query(optimize).execute(conn).await.expect("the table is there");
}
