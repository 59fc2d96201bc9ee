//! A record and the transaction that it belongs to.

use super::{Harness, all, created, request};
use crate::{Audit, Error, IdempotencyKey, NewRecord, Outcome, Receipt, Record, RecordId, Source, Store};

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
    let written = entries.into_iter().map(|entry| (entry.id, entry.record));
    assert!(written.eq(receipts.iter().map(Receipt::id).zip(records)));
}

/// A batch is one statement: what the database refuses in the middle takes the rest with it.
pub async fn a_failing_batch_leaves_nothing<H: Harness>(harness: &H) {
    let (store, source) = (harness.store(), harness.source());
    let compound = created("1").request(&request("192.0.2.7")).once(IdempotencyKey::new("batch").unwrap());
    let mut conn = source.acquire().await.unwrap();
    for record in [&created("1"), &compound] {
        let (first, second) = (RecordId::now(), RecordId::now());
        let mut doubled = [first, second, second].map(|id| NewRecord::new(id, record).unwrap());
        let keyless = Record { key: None, ..record.clone() };
        doubled[1].record = &keyless;
        doubled[2].record = &keyless;
        assert!(matches!(store.append_many(&mut conn, &doubled).await, Err(Error::Backend(_))));
        assert_eq!(store.find(&mut conn, first).await.unwrap(), None);
        // Its key is free as well.
        assert_eq!(store.append_many(&mut conn, &doubled[..2]).await.unwrap(), [first, second]);
        assert!(matches!(store.append(&mut conn, &doubled[2]).await, Err(Error::Backend(_))));
    }
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

/// A refusal is on record although the transaction in which it was refused never commits.
pub async fn a_detached_record_survives_a_rollback<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let denied = created("1").outcome(Outcome::Denied);
    let mut refused = Some(source.begin().await.unwrap());
    if let Some(tx) = &mut refused {
        audit.record(tx, &created("2")).await.unwrap();
    }
    if !H::CONCURRENT_WRITERS {
        // It holds the lock that the other one needs.
        refused = None;
    }
    let kept = audit.record_detached(&source, &denied).await.unwrap();
    drop(refused);
    let mut conn = source.acquire().await.unwrap();
    let entries = all(&audit, &mut conn).await;
    assert_eq!(entries.into_iter().map(|entry| (entry.id, entry.record)).collect::<Vec<_>>(), [(kept, denied)]);
}
