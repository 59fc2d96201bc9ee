//! The laws on the memory backend.

use stoa_search::{
    Audience, DocId, Document, EntityId, Indexed, Memory, Query, Result, Scanned, Search, Source, Store, Surface, Tag,
    conformance, memory,
};

#[derive(Default)]
struct Harness(memory::Database);

impl conformance::Harness for Harness {
    type Store = Memory;
    type Source = memory::Database;

    fn store(&self) -> Memory {
        Memory
    }

    fn source(&self) -> memory::Database {
        self.0.clone()
    }

    async fn savepoint(&self, conn: &mut memory::Connection) {
        conn.savepoint();
    }

    async fn rollback_to_savepoint(&self, conn: &mut memory::Connection) {
        conn.rollback_to_savepoint();
    }
}

stoa_search::conformance!(Harness::default());

/// A store on which others commit between the two statements of a search.
struct Interrupted;

fn post(id: &str, body: &str, tag: &str) -> Document {
    Document::new(Surface::FEED, EntityId::new(id).unwrap()).body(body).audience([Tag::new(tag).unwrap()])
}

impl Store for Interrupted {
    type Connection = memory::Connection;

    async fn upsert(&self, conn: &mut memory::Connection, documents: &[Indexed]) -> Result<()> {
        Memory.upsert(conn, documents).await
    }

    async fn remove(&self, conn: &mut memory::Connection, surface: &Surface, entity_id: &EntityId) -> Result<bool> {
        Memory.remove(conn, surface, entity_id).await
    }

    async fn scan(
        &self,
        conn: &mut memory::Connection,
        audience: &Audience,
        each: &mut (dyn FnMut(Scanned<'_>) + Send),
    ) -> Result<()> {
        Memory.scan(conn, audience, each).await?;
        let search = Search::new(Memory);
        search.remove(conn, &Surface::FEED, &EntityId::new("gone").unwrap()).await?;
        search.upsert(conn, &post("hidden", "boat", "guests")).await?;
        search.upsert(conn, &post("other", "ship", "crew")).await?;
        search.upsert(conn, &post("changed", "a boat with news", "crew")).await?;
        Ok(())
    }

    async fn documents(
        &self,
        conn: &mut memory::Connection,
        audience: &Audience,
        ids: &[DocId],
    ) -> Result<Vec<(DocId, Indexed)>> {
        Memory.documents(conn, audience, ids).await
    }
}

#[tokio::test]
async fn a_commit_between_the_statements_of_a_search_shows_no_more_than_what_still_matches() {
    let (search, database) = (Search::new(Interrupted), memory::Database::default());
    let mut tx = database.begin().await.unwrap();
    for id in ["gone", "hidden", "other", "changed", "same"] {
        search.upsert(&mut tx, &post(id, "boat", "crew")).await.unwrap();
    }
    let crew = Audience::tags([Tag::new("crew").unwrap()]);
    let results = search.search(&mut tx, &Query::text("boat"), &crew).await.unwrap();
    let shown: Vec<_> = results.hits.iter().map(|hit| (hit.entity_id.as_str(), hit.snippet.text.as_str())).collect();
    assert_eq!(shown, [("same", "boat"), ("changed", "a boat with news")]);
}
