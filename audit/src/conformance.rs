//! The laws every backend obeys, for this crate's backends and yours. Not covered by version promises.
//!
//! Implement [`Harness`] in a test and write `stoa_audit::conformance!(MyHarness::new().await);`.

use std::collections::HashSet;

use serde::Serialize;

use crate::{
    Action, Actor, ActorName, Audit, Audited, Body, Entity, EntityId, EntityType, Entry, Error, Outcome, PageRequest,
    Record, RecordId, RequestContext, RequestId, Source, Store, TraceId, Trust, UserId,
};

/// One fresh, empty, migrated database and the store under test.
pub trait Harness: Send + Sync {
    /// The store under test.
    type Store: Store;
    /// Where its connections come from.
    type Source: Source<Connection = <Self::Store as Store>::Connection>;
    /// Whether two transactions can write at once. Where they cannot, the law on concurrent writers checks that they take turns.
    const CONCURRENT_WRITERS: bool;

    /// Returns the store.
    fn store(&self) -> Self::Store;
    /// Returns the database, which lives as long as the harness.
    fn source(&self) -> Self::Source;
    /// Sets a savepoint in the transaction open on the connection.
    fn savepoint(&self, conn: &mut <Self::Store as Store>::Connection) -> impl Future<Output = ()> + Send;
    /// Takes back what came after the savepoint.
    fn rollback_to_savepoint(&self, conn: &mut <Self::Store as Store>::Connection) -> impl Future<Output = ()> + Send;
}

#[doc(hidden)]
#[macro_export]
macro_rules! __laws {
    ($emit:path, $harness:expr) => {
        $emit! { $harness;
            a_record_exists_if_and_only_if_its_transaction_commits
            a_rolled_back_savepoint_removes_just_its_own_records
            a_record_on_a_bare_connection_stays_at_once
            every_field_reads_back
            bodies_survive_byte_for_byte
            a_field_that_is_not_listed_reaches_neither_row_nor_error
            refused_input_writes_nothing_and_leaves_the_transaction_usable
            many_records_are_added_in_their_order
            a_failing_batch_leaves_nothing
            appends_in_two_transactions_do_not_wait_for_each_other
            pages_walk_each_record_once_newest_first
            ids_are_compared_as_bytes
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __law_tests {
    ($harness:expr; $($law:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $law() {
                $crate::conformance::$law(&$harness).await;
            }
        )*
    };
}

/// Emits one test for each law. The expression makes a fresh harness and may `.await`.
#[macro_export]
macro_rules! conformance {
    ($harness:expr) => {
        $crate::__laws!($crate::__law_tests, $harness);
    };
}

const CREATED: Action = Action::new("test.posts.v1.PostService/CreatePost");
const UPDATED: Action = Action::new("test.posts.v12.PostService/UpdatePost");
const POST: EntityType = EntityType::from_static("post");
const GROUP: EntityType = EntityType::from_static("group");

#[derive(Serialize)]
struct Post {
    title: String,
    secret: &'static str,
}

impl Audited for Post {
    const FIELDS: &'static [&'static str] = &["title"];
}

fn titled(title: impl Into<String>) -> Post {
    Post { title: title.into(), secret: "hunter2" }
}

fn post(id: &str) -> Entity {
    Entity::new(POST, EntityId::new(id).unwrap())
}

fn created(id: &str) -> Record {
    Record::new(CREATED, &Actor::user("ada").unwrap(), post(id))
}

/// Texts that a database which understands JSON likes to rewrite.
fn stubborn_bodies() -> impl Iterator<Item = Body> {
    [
        r#"{"b":1,"a":2,"b":3}"#,
        r#"{"whole":1,"float":1.0,"exponent":1e2,"large":123456789012345678901234567890,"huge":1e400,"zero":-0}"#,
        r#"{"escapes":"\u0041\/\n\u0000\ud83d\ude00\ud800","quote":"\"","backslash":"\\","percent":"%s '; --"}"#,
        "{\"emoji\":\"👩🏽‍🚀 é e\u{301}\",\"separator\":\"\u{2028}\",\"c1\":\"\u{9b}\"}",
        " { \"spaces\" :\t[ 1 ,2 ] }\n",
        "{}",
    ]
    .into_iter()
    .map(|text| Body::from_stored(text.into()))
}

async fn all<S: Store>(audit: &Audit<S>, conn: &mut S::Connection) -> Vec<Entry> {
    audit.recent(conn, &PageRequest::first(1000)).await.unwrap().items
}

/// What is committed is there for everyone, what is dropped never was; before the commit only its own transaction sees it.
pub async fn a_record_exists_if_and_only_if_its_transaction_commits<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    let dropped = audit.record(&mut tx, &created("1")).await.unwrap();
    assert!(audit.find(&mut tx, dropped.id()).await.unwrap().is_some());
    drop(tx);

    let mut tx = source.begin().await.unwrap();
    assert_eq!(audit.find(&mut tx, dropped.id()).await.unwrap(), None);
    let kept = audit.record(&mut tx, &created("2")).await.unwrap();
    let mut reader = source.begin_snapshot().await.unwrap();
    assert_eq!(audit.find(&mut reader, kept.id()).await.unwrap(), None, "others see what is committed");
    source.commit(tx).await.unwrap();
    assert_eq!(audit.find(&mut reader, kept.id()).await.unwrap(), None, "a snapshot is one moment");
    drop(reader);

    let mut conn = source.acquire().await.unwrap();
    let entries = all(&audit, &mut conn).await;
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [kept.id()]);
}

/// Records before and after the savepoint stay, also a batch.
pub async fn a_rolled_back_savepoint_removes_just_its_own_records<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    let before = audit.record(&mut tx, &created("1")).await.unwrap();
    harness.savepoint(&mut tx).await;
    audit.record(&mut tx, &created("2")).await.unwrap();
    audit.record_many(&mut tx, &[created("3"), created("4")]).await.unwrap();
    harness.rollback_to_savepoint(&mut tx).await;
    let after = audit.record(&mut tx, &created("5")).await.unwrap();
    source.commit(tx).await.unwrap();

    let mut conn = source.acquire().await.unwrap();
    let entries = all(&audit, &mut conn).await;
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [after.id(), before.id()]);
}

/// Outside a transaction a record commits by itself.
pub async fn a_record_on_a_bare_connection_stays_at_once<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut conn = source.acquire().await.unwrap();
    audit.record(&mut conn, &created("1")).await.unwrap();
    audit.record_many(&mut conn, &[created("2"), created("3")]).await.unwrap();
    let mut other = source.acquire().await.unwrap();
    assert_eq!(all(&audit, &mut other).await.len(), 3);
}

/// A full record and an empty one come back as they were, one by one and as a batch.
pub async fn every_field_reads_back<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let name = |name: &str| ActorName::new(name).unwrap();
    let user = |id: &str| UserId::new(id).unwrap();
    let mut records = vec![created("1")];
    for (actor, outcome) in [
        (Actor::Service(name("importer")), Outcome::Denied),
        (Actor::System(name("clean-up")), Outcome::Failed),
        (Actor::User(user("ada")), Outcome::Succeeded),
    ] {
        for (ip, trust) in [
            ("192.0.2.7", Trust::Claimed),
            ("2001:db8::7", Trust::Direct),
            ("::ffff:192.0.2.7", Trust::Proxied),
            ("0.0.0.0", Trust::Direct),
        ] {
            let request = RequestContext::default()
                .request_id(RequestId::new("request 7").unwrap())
                .trace_id(TraceId::new("0af7651916cd43dd8448eb211c80319c").unwrap())
                .client(ip.parse().unwrap(), trust);
            let record = Record::new(UPDATED, &actor, Entity::new(POST, 7))
                .impersonator(user("staff"))
                .on_behalf_of(user("bob"))
                .outcome(outcome)
                .scope(Entity::new(GROUP, EntityId::new("schach ♟ 'n\" more, {x}").unwrap()))
                .request(&request)
                .before(&titled("before"))
                .unwrap()
                .after(&titled("after"))
                .unwrap();
            records.push(record);
        }
    }

    let mut tx = source.begin().await.unwrap();
    let mut receipts = Vec::new();
    for record in &records {
        receipts.push(audit.record(&mut tx, record).await.unwrap());
    }
    receipts.extend(audit.record_many(&mut tx, &records).await.unwrap());
    for (receipt, record) in receipts.iter().zip(records.iter().chain(&records)) {
        let entry = audit.find(&mut tx, receipt.id()).await.unwrap();
        assert_eq!(entry, Some(Entry { id: receipt.id(), record: record.clone() }));
    }
}

/// Key order, doubled keys, large integers, `1.0` beside `1`, escapes, emoji, white space.
pub async fn bodies_survive_byte_for_byte<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut records: Vec<Record> = Vec::new();
    for body in stubborn_bodies() {
        let mut record = created("1");
        record.before = Some(body.clone());
        records.push(record.clone());
        record.after = record.before.replace(Body::from_stored("{}".into()));
        records.push(record);
    }
    let mut full = created("1");
    let room = Body::MAX_BYTES - r#"{"title":""}"#.len();
    full = full.before(&titled("é".repeat(room / 2))).unwrap().after(&titled("\"".repeat(room / 2))).unwrap();
    records.push(full);

    let mut tx = source.begin().await.unwrap();
    let mut receipts = audit.record_many(&mut tx, &records).await.unwrap();
    for record in &records {
        receipts.push(audit.record(&mut tx, record).await.unwrap());
    }
    for (receipt, record) in receipts.iter().zip(records.iter().chain(&records)) {
        let entry = audit.find(&mut tx, receipt.id()).await.unwrap().unwrap();
        assert_eq!((entry.record.before, entry.record.after), (record.before.clone(), record.after.clone()));
    }
}

/// The allow-list decides, not the value.
pub async fn a_field_that_is_not_listed_reaches_neither_row_nor_error<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    let record = created("1").before(&titled("old")).unwrap().after(&titled("new")).unwrap();
    let receipt = audit.record(&mut tx, &record).await.unwrap();
    let entry = audit.find(&mut tx, receipt.id()).await.unwrap().unwrap();
    assert_eq!(entry.record.before.as_ref().map(Body::as_str), Some(r#"{"title":"old"}"#));
    assert_eq!(entry.record.after.as_ref().map(Body::as_str), Some(r#"{"title":"new"}"#));
    let secret = titled("").secret;
    assert!(!format!("{entry:?}").contains(secret));
    let error = created("1").after(&titled("x".repeat(Body::MAX_BYTES))).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(secret));
}

/// Bad input gets a typed error before any statement runs.
pub async fn refused_input_writes_nothing_and_leaves_the_transaction_usable<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    for bad in ["", "a\0", "a\nb", "\u{1b}[2J", &"x".repeat(129)] {
        assert!(matches!(EntityId::new(bad), Err(Error::Invalid { .. })));
        assert!(matches!(Actor::user(bad), Err(Error::Invalid { .. })));
        assert!(matches!(ActorName::new(bad), Err(Error::Invalid { .. })));
        assert!(matches!(RequestId::new(bad), Err(Error::Invalid { .. })));
        assert!(matches!(TraceId::new(bad), Err(Error::Invalid { .. })));
        assert!(matches!(EntityType::new(bad), Err(Error::Invalid { .. })));
        assert!(matches!(Action::parse(bad), Err(Error::Invalid { .. })));
        assert!(matches!(RecordId::try_from(bad), Err(Error::Invalid { .. })));
    }
    let too_large = created("1").after(&titled("x".repeat(Body::MAX_BYTES)));
    assert!(matches!(too_large, Err(Error::BodyTooLarge)));
    assert!(audit.record_many(&mut tx, &[]).await.unwrap().is_empty());
    assert_eq!(all(&audit, &mut tx).await, []);

    let kept = audit.record(&mut tx, &created("1")).await.unwrap();
    source.commit(tx).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    assert!(audit.find(&mut conn, kept.id()).await.unwrap().is_some());
    assert_eq!(audit.find(&mut conn, RecordId::now()).await.unwrap(), None);
}

/// A batch reads back like the same records one after the other.
pub async fn many_records_are_added_in_their_order<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let records: Vec<Record> = (0..500).map(|index| created(&format!("post {index}"))).collect();
    let mut tx = source.begin().await.unwrap();
    let receipts = audit.record_many(&mut tx, &records).await.unwrap();
    source.commit(tx).await.unwrap();
    assert!(receipts.is_sorted_by(|a, b| a.id() < b.id()));

    let mut conn = source.acquire().await.unwrap();
    let mut entries = all(&audit, &mut conn).await;
    entries.reverse();
    let expected = receipts.iter().zip(records).map(|(receipt, record)| Entry { id: receipt.id(), record });
    assert_eq!(entries, expected.collect::<Vec<_>>());
}

/// A batch is one statement: what the database refuses in the middle takes the rest with it.
pub async fn a_failing_batch_leaves_nothing<H: Harness>(harness: &H) {
    let (store, source) = (harness.store(), harness.source());
    let (first, second) = (RecordId::now(), RecordId::now());
    let record = created("1");
    let mut conn = source.acquire().await.unwrap();
    let doubled = [(first, &record), (second, &record), (second, &record)];
    assert!(matches!(store.append_many(&mut conn, &doubled).await, Err(Error::Backend(_))));
    assert_eq!(store.find(&mut conn, first).await.unwrap(), None);
    store.append_many(&mut conn, &doubled[..2]).await.unwrap();
    assert!(matches!(store.append(&mut conn, first, &record).await, Err(Error::Backend(_))));
}

/// Both append while both are open, and the later one commits first. With a single writer they take turns instead: the
/// second sees what the first one committed.
pub async fn appends_in_two_transactions_do_not_wait_for_each_other<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    if H::CONCURRENT_WRITERS {
        let mut early = source.begin().await.unwrap();
        let mut late = source.begin().await.unwrap();
        // The same entity, actor and action: nothing that two records share is locked.
        for _ in 0..3 {
            audit.record(&mut early, &created("1")).await.unwrap();
            audit.record(&mut late, &created("1")).await.unwrap();
            audit.record_many(&mut early, &[created("1")]).await.unwrap();
            audit.record_many(&mut late, &[created("1")]).await.unwrap();
        }
        assert_eq!((all(&audit, &mut early).await.len(), all(&audit, &mut late).await.len()), (6, 6));
        source.commit(late).await.unwrap();
        source.commit(early).await.unwrap();
    } else {
        let write = async || {
            let mut tx = source.begin().await.unwrap();
            let seen = all(&audit, &mut tx).await.len();
            audit.record_many(&mut tx, &vec![created("1"); 6]).await.unwrap();
            source.commit(tx).await.unwrap();
            seen
        };
        let (one, other) = tokio::join!(write(), write());
        assert_eq!((one.min(other), one.max(other)), (0, 6));
    }
    let mut conn = source.acquire().await.unwrap();
    assert_eq!(all(&audit, &mut conn).await.len(), 12);
}

/// Whatever the page size, and while new records arrive on top.
pub async fn pages_walk_each_record_once_newest_first<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let records: Vec<Record> = (0..23).map(|index| created(if index % 3 == 0 { "fizz" } else { "other" })).collect();
    let receipts = audit.record_many(&mut conn, &records).await.unwrap();
    let newest_first = |wanted: &dyn Fn(usize) -> bool| -> Vec<RecordId> {
        (0..receipts.len()).rev().filter(|&index| wanted(index)).map(|index| receipts[index].id()).collect()
    };
    let every = newest_first(&|_| true);
    let fizz = newest_first(&|index| index % 3 == 0);

    for limit in [1, 2, 4, 8, 23, 24] {
        let (mut recent, mut of_entity) = (Vec::new(), Vec::new());
        let mut page = Some(PageRequest::first(limit));
        while let Some(request) = page {
            let answer = audit.recent(&mut conn, &request).await.unwrap();
            recent.extend(answer.items.iter().map(|entry| entry.id));
            page = answer.next.map(|id| PageRequest::first(limit).after(id));
        }
        let mut page = Some(PageRequest::first(limit));
        while let Some(request) = page {
            let answer = audit.by_entity(&mut conn, &post("fizz"), &request).await.unwrap();
            assert!(answer.items.iter().all(|entry| entry.record.entity == post("fizz")));
            of_entity.extend(answer.items.iter().map(|entry| entry.id));
            page = answer.next.map(|id| PageRequest::first(limit).after(id));
            if page.is_some() {
                audit.record(&mut conn, &created("fizz")).await.unwrap();
            }
        }
        let known: HashSet<RecordId> = every.iter().copied().collect();
        recent.retain(|id| known.contains(id));
        of_entity.retain(|id| known.contains(id));
        assert_eq!((&recent, &of_entity), (&every, &fizz), "pages of {limit}");
    }
    let nowhere = audit.by_entity(&mut conn, &post("nowhere"), &PageRequest::first(5)).await.unwrap();
    assert!(nowhere.items.is_empty() && nowhere.next.is_none());
}

/// Case, normal form, trailing blanks and the entity's type matter.
pub async fn ids_are_compared_as_bytes<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    let ids = ["ada", "Ada", "ada ", "caf\u{e9}", "cafe\u{301}", "a_a", "a%a"];
    for id in ids {
        audit.record(&mut tx, &created(id)).await.unwrap();
    }
    let same_id = Record::new(CREATED, &Actor::user("ada").unwrap(), Entity::new(GROUP, EntityId::new("ada").unwrap()));
    audit.record(&mut tx, &same_id).await.unwrap();
    for id in ids {
        let page = audit.by_entity(&mut tx, &post(id), &PageRequest::first(10)).await.unwrap();
        assert_eq!(page.items.iter().map(|entry| &entry.record.entity).collect::<Vec<_>>(), [&post(id)]);
    }
}
