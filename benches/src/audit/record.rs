//! One writer: a record beside a bare INSERT, an audited UPDATE beside a bare one.

use sqlx::{Connection, PgConnection};
use stoa_audit::{Action, Actor, Audit, Postgres, Record};

use super::{BARE, Post, connect, entity, insert, record};
use crate::case::Target;
use crate::timing::{Turns, turns};
use crate::{Case, Setup};

pub(super) async fn compare(setup: &Setup, url: &str) -> Vec<Case> {
    let mut conn = connect(url).await;
    vec![alone(setup, &mut conn).await, update(setup, &mut conn).await]
}

/// The statement itself, in a transaction that commits when all is measured: a commit takes a hundred times as long, and would
/// hide any difference. How the two compare with it is in the note.
async fn alone(setup: &Setup, conn: &mut PgConnection) -> Case {
    let committing = records(setup.rounds(), setup.size(100, 20), conn).await;
    let mut tx = conn.begin().await.expect("the server answers");
    let turns = records(setup.rounds(), setup.size(2000, 200), &mut tx).await;
    tx.commit().await.expect("the server answers");
    Case::ratio("audit.record_pg_p50", turns.ours, "us", "bare INSERT", turns.other, Target::AtMost(1.15)).note(
        format!(
            "{turns}; one writer in a transaction; committing each with fsync {:.0} beside {:.0} us, {committing}",
            committing.ours, committing.other
        ),
    )
}

async fn records(rounds: usize, calls: usize, conn: &mut PgConnection) -> Turns {
    let (post, actor) = (Post::new(), Actor::user("user-1").expect("an id within the bounds"));
    let json = serde_json::to_string(&post).expect("it serialises");
    let ours = async |conn: &mut PgConnection, id| record(conn, &actor, id, &post).await;
    let bare = async |conn: &mut PgConnection, id| insert(conn, BARE, id, &json).await;
    turns(rounds, calls, conn, ours, bare).await
}

const UPDATED: Action = Action::new("bits.bench.v1.PostService/UpdatePost");

const POSTS: usize = 10_000;

/// BEGIN, UPDATE, the record, COMMIT beside the same without the record: four round trips and three.
async fn update(setup: &Setup, conn: &mut PgConnection) -> Case {
    sqlx::raw_sql(
        r#"
        CREATE TABLE post (id bigint PRIMARY KEY, title text NOT NULL, body text NOT NULL);
        INSERT INTO post SELECT id, 'A title of some words', repeat('x', 400) FROM generate_series(0, 9999) AS id;
        "#,
    )
    .execute(&mut *conn)
    .await
    .expect("the table is new");
    sqlx::query("VACUUM ANALYZE post").execute(&mut *conn).await.expect("the table is there");
    let durable = updates(setup.rounds(), setup.size(100, 20), conn).await;
    sqlx::query("SET synchronous_commit = off").execute(&mut *conn).await.expect("the server answers");
    let unflushed = updates(setup.rounds(), setup.size(1000, 100), conn).await;
    let target = Target::AtMost(1.35);
    Case::ratio("audit.audited_update", durable.ours, "us", "bare UPDATE in a transaction", durable.other, target).note(
        format!(
            "{durable}; fsync on, 4 round trips beside 3; not waiting for the disk {:.0} beside {:.0} us, {unflushed}",
            unflushed.ours, unflushed.other
        ),
    )
}

async fn updates(rounds: usize, calls: usize, conn: &mut PgConnection) -> Turns {
    let (old, actor) = (Post::new(), Actor::user("user-1").expect("an id within the bounds"));
    let new = |index: usize| Post { title: format!("Title {index}"), ..Post::new() };
    let audit = Audit::new(Postgres);
    let audited = async |conn: &mut PgConnection, index| {
        let post = new(index);
        let mut tx = conn.begin().await.expect("the server answers");
        set_title(&mut tx, index, &post).await;
        let record = Record::new(UPDATED, &actor, entity(index)).diff(&old, &post).expect("a body within the bounds");
        audit.record(&mut tx, &record).await.expect("the server answers");
        tx.commit().await.expect("the server answers");
    };
    let bare = async |conn: &mut PgConnection, index| {
        let post = new(index);
        let mut tx = conn.begin().await.expect("the server answers");
        set_title(&mut tx, index, &post).await;
        tx.commit().await.expect("the server answers");
    };
    turns(rounds, calls, conn, audited, bare).await
}

async fn set_title(conn: &mut PgConnection, index: usize, post: &Post) {
    sqlx::query("UPDATE post SET title = $2 WHERE id = $1")
        .bind((index * 7919 % POSTS) as i64)
        .bind(&post.title)
        .execute(conn)
        .await
        .expect("the server answers");
}
