//! The example of the repository's README, word for word, compiled and run.

use campus::access::CreatePost;
use campus::app::App;
use campus::backend::Sqlite;
use campus::groups::notify::NotifyGroup;
use campus::groups::posts::{self, Draft};
use stoa_audit::{Action, Actor, Record};
use stoa_capabilities::scoped;

use crate::fixture::{Fixture, OnSqlite, a_member};

const POST_CREATED: Action = Action::new("bits.groups.v1.PostService/CreatePost");

#[tokio::test]
async fn the_example_writes_a_row_of_each() -> Result<(), Box<dyn std::error::Error>> {
    let (fixture, app) = OnSqlite::demo().await;
    let (group, user) = a_member(&app).await;
    let before = fixture.counts().await;
    let draft = Draft::new("A title", "A body")?;
    let App::<Sqlite> { group_capabilities: capabilities, audit, jobs, search, .. } = app;
    let (pool, actor) = (fixture.pool(), Actor::user(user.as_str())?);

    scoped!(tx = pool.begin_with("BEGIN IMMEDIATE").await?); // on PostgreSQL: pool.begin()
    let may = capabilities.authorize(&mut tx, CreatePost, &user, &group).await?; // checked, and held until the commit
    let post = posts::insert(&mut tx, &may, draft).await?; // the host's own table
    search.upsert(&mut tx, &post.document()?).await?; // found from the instant of the commit
    audit.record(&mut tx, &Record::new(POST_CREATED, &actor, post.entity()?).after(&post)?).await?;
    jobs.enqueue(&mut tx, &NotifyGroup { post_id: post.id }).await?; // never runs if tx rolls back
    tx.into_inner().commit().await?;

    assert_eq!(fixture.counts().await, before.map(|count| count + 1));
    Ok(())
}

#[test]
fn the_readme_shows_this_very_code() {
    let readme = include_str!("../../../../README.md");
    let shown =
        readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("README has an example");
    assert!(shown.lines().count() > 5);
    let own = include_str!("readme.rs");
    for line in shown.lines() {
        assert!(own.contains(&format!("    {line}\n")), "README shows a line that is not compiled: {line}");
    }
}
