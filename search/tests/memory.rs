//! The laws on the memory backend.

use std::collections::BTreeSet;

use stoa_search::{
    Audience, Change, DocId, Document, EntityId, Indexed, Key, Load, Memory, Page, Publication, Query, Result, Search,
    SegmentRow, Snapshot, Source, Store, Surface, Tag, conformance, memory,
};

#[derive(Default)]
struct Harness(memory::Database);

impl conformance::Harness for Harness {
    type Store = Memory;
    type Source = memory::Database;

    const CONCURRENT_WRITERS: bool = false;

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

    async fn upsert(&self, conn: &mut memory::Connection, documents: &[Indexed]) -> Result<bool> {
        Memory.upsert(conn, documents).await
    }

    async fn load(&self, conn: &mut memory::Connection, load: &mut Load<'_>) -> Result<()> {
        Memory.load(conn, load).await
    }

    async fn set_audience(
        &self,
        conn: &mut memory::Connection,
        surface: &Surface,
        entity_id: &EntityId,
        audience: &BTreeSet<Tag>,
    ) -> Result<bool> {
        Memory.set_audience(conn, surface, entity_id, audience).await
    }

    async fn remove(&self, conn: &mut memory::Connection, surface: &Surface, entity_id: &EntityId) -> Result<bool> {
        Memory.remove(conn, surface, entity_id).await
    }

    async fn snapshot(&self, conn: &mut memory::Connection, audience: &Audience, keys: &[Key]) -> Result<Snapshot> {
        let snapshot = Memory.snapshot(conn, audience, keys).await?;
        let search = Search::new(Memory);
        search.remove(conn, &Surface::FEED, &EntityId::new("gone").unwrap()).await?;
        search.upsert(conn, &post("hidden", "boat", "guests")).await?;
        search.upsert(conn, &post("other", "ship", "crew")).await?;
        search.upsert(conn, &post("changed", "a boat with news", "crew")).await?;
        Ok(snapshot)
    }

    async fn find(
        &self,
        conn: &mut memory::Connection,
        audience: &Audience,
        surface: &Surface,
        entity_id: &EntityId,
    ) -> Result<Option<Document>> {
        Memory.find(conn, audience, surface, entity_id).await
    }

    async fn vocabulary(&self, conn: &mut memory::Connection, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<Page>> {
        Memory.vocabulary(conn, from, to, limit).await
    }

    async fn documents(
        &self,
        conn: &mut memory::Connection,
        audience: &Audience,
        ids: &[DocId],
    ) -> Result<Vec<(DocId, Document)>> {
        Memory.documents(conn, audience, ids).await
    }

    async fn scan(&self, conn: &mut memory::Connection, each: &mut (dyn FnMut(DocId, Document) + Send)) -> Result<()> {
        Memory.scan(conn, each).await
    }

    async fn claim(&self, _: &mut memory::Connection, _: u32) -> Result<bool> {
        Ok(false)
    }

    async fn segments(&self, conn: &mut memory::Connection) -> Result<Vec<SegmentRow>> {
        Memory.segments(conn).await
    }

    async fn backlog(&self, conn: &mut memory::Connection, rows: u32, bytes: u64) -> Result<Vec<Change>> {
        Memory.backlog(conn, rows, bytes).await
    }

    async fn pages(&self, conn: &mut memory::Connection, segment: i64, after: &[u8], limit: u32) -> Result<Vec<Page>> {
        Memory.pages(conn, segment, after, limit).await
    }

    async fn originals(&self, conn: &mut memory::Connection, ids: &[DocId]) -> Result<Vec<(DocId, Document, i64)>> {
        Memory.originals(conn, ids).await
    }

    async fn stored_bytes(&self, conn: &mut memory::Connection) -> Result<Option<u64>> {
        Memory.stored_bytes(conn).await
    }

    async fn publish(&self, conn: &mut memory::Connection, publication: &Publication) -> Result<bool> {
        Memory.publish(conn, publication).await
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
