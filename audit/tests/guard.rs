//! The guard around a transaction, alone and under a brand.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use stoa_audit::{
    Action, Actor, Audit, AuditedTx, Commit, Entity, EntityType, Filter, PageRequest, Record, Sqlite, sqlite::MIGRATOR,
};
use tracing::span;

fn record() -> Record {
    const CREATED: Action = Action::new("test.posts.v1.PostService/CreatePost");
    Record::new(CREATED, &Actor::user("ada").unwrap(), Entity::new(EntityType::from_static("post"), 1))
}

/// What `stoa-capabilities` puts around a transaction, without the brand: it takes whatever dereferences to a connection.
struct Scoped<T>(T);

impl<T: Deref> Deref for Scoped<T> {
    type Target = T::Target;

    fn deref(&self) -> &T::Target {
        &self.0
    }
}

impl<T: DerefMut> DerefMut for Scoped<T> {
    fn deref_mut(&mut self) -> &mut T::Target {
        &mut self.0
    }
}

/// A host's own transaction.
struct Own<'c>(sqlx::Transaction<'c, sqlx::Sqlite>, Arc<Mutex<Vec<&'static str>>>);

impl Commit for Own<'_> {
    type Error = sqlx::Error;

    async fn commit(self) -> sqlx::Result<()> {
        self.1.lock().unwrap().push("committed");
        self.0.commit().await
    }

    async fn rollback(self) -> sqlx::Result<()> {
        self.1.lock().unwrap().push("rolled back");
        self.0.rollback().await
    }
}

impl Deref for Own<'_> {
    type Target = sqlx::SqliteConnection;

    fn deref(&self) -> &sqlx::SqliteConnection {
        &self.0
    }
}

impl DerefMut for Own<'_> {
    fn deref_mut(&mut self) -> &mut sqlx::SqliteConnection {
        &mut self.0
    }
}

#[tokio::test]
async fn a_guarded_transaction_works_under_a_brand_and_ends_as_told() {
    let database = testkit::sqlite(&[&MIGRATOR]).await;
    let (audit, pool) = (Audit::new(Sqlite), database.pool());
    let count = async || {
        let mut conn = pool.acquire().await.unwrap();
        audit.list(&mut conn, &Filter::new(), &PageRequest::first(9)).await.unwrap().items.len()
    };

    let mut tx = Scoped(AuditedTx::new(pool.begin_with("BEGIN IMMEDIATE").await.unwrap()));
    let receipt = audit.record(&mut tx, &record()).await.unwrap();
    tx.0.commit(receipt).await.unwrap();
    assert_eq!(count().await, 1);

    let mut tx = AuditedTx::new(pool.begin_with("BEGIN IMMEDIATE").await.unwrap());
    audit.record(&mut tx, &record()).await.unwrap();
    drop(tx);
    assert_eq!(count().await, 1);

    let ends = Arc::new(Mutex::new(Vec::new()));
    let mut tx = Scoped(AuditedTx::new(Own(pool.begin_with("BEGIN IMMEDIATE").await.unwrap(), Arc::clone(&ends))));
    let receipt = audit.record(&mut tx, &record()).await.unwrap();
    tx.0.commit(receipt).await.unwrap();
    let mut tx = AuditedTx::new(Own(pool.begin_with("BEGIN IMMEDIATE").await.unwrap(), Arc::clone(&ends)));
    audit.record(&mut tx, &record()).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!((count().await, &*ends.lock().unwrap()), (2, &vec!["committed", "rolled back"]));
}

/// Keeps what is logged as warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<String>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Text(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Text<'a>(&'a mut String);

impl tracing::field::Visit for Text<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write as _;
        write!(self.0, "{field}={value:?};").unwrap();
    }
}

#[tokio::test]
async fn committing_without_a_record_is_never_silent_and_forges_no_line() {
    let database = testkit::sqlite(&[&MIGRATOR]).await;
    let warnings = Warnings::default();
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let tx = AuditedTx::new(database.pool().begin_with("BEGIN IMMEDIATE").await.unwrap());
    tx.commit_unaudited("a cache\nWARN forged\u{1b}[2J").await.unwrap();
    let logged = warnings.0.lock().unwrap().clone();
    assert!(logged.contains("committing without an audit record"), "{logged}");
    assert!(logged.contains(r#"audit.reason="a cache\nWARN forged\u{1b}[2J""#), "{logged}");
}
