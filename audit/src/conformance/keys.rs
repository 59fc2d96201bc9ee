//! Idempotency keys: what is tried twice is recorded once.

use super::{CREATED, Harness, POST, UPDATED, all, created, request};
use crate::{Actor, Audit, Entity, IdempotencyKey, Record, Source};

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

/// The second record is not written, its receipt names the first one, and the transaction goes on.
pub async fn a_repeated_key_writes_nothing_and_names_the_first<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    let first = audit.record(&mut tx, &created("1").once(key("a"))).await.unwrap();
    assert!(!first.is_repeated());
    let compound = created("2").request(&request("192.0.2.7")).once(key("a"));
    let again = audit.record(&mut tx, &compound).await.unwrap();
    assert_eq!((again.id(), again.is_repeated()), (first.id(), true));
    source.commit(tx).await.unwrap();

    let mut tx = source.begin().await.unwrap();
    let records = [
        created("3").once(key("b")),
        created("4").once(key("a")),
        created("5"),
        created("6").once(key("b")),
        created("7").once(key("A")),
    ];
    let receipts = audit.record_many(&mut tx, &records).await.unwrap();
    let repeated: Vec<bool> = receipts.iter().map(crate::Receipt::is_repeated).collect();
    assert_eq!(repeated, [false, true, false, true, false]);
    assert_eq!((receipts[1].id(), receipts[3].id()), (first.id(), receipts[0].id()));
    audit.record(&mut tx, &created("8")).await.unwrap();
    source.commit(tx).await.unwrap();

    let mut conn = source.acquire().await.unwrap();
    let entries = all(&audit, &mut conn).await;
    let entities: Vec<&str> = entries.iter().map(|entry| entry.record.entity.id().as_str()).collect();
    assert_eq!(entities, ["8", "7", "5", "3", "1"]);
}

/// Another actor and another action have keys of their own: nobody can keep somebody else's record from being written.
pub async fn a_key_counts_for_one_actor_and_one_action<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    let (ada, eve) = (Actor::user("ada").unwrap(), Actor::user("eve").unwrap());
    let program = Actor::System("ada".try_into().unwrap());
    for (action, actor) in [(CREATED, &ada), (CREATED, &eve), (UPDATED, &ada), (CREATED, &program)] {
        let record = Record::new(action, actor, Entity::new(POST, 1)).once(key("a"));
        assert!(!audit.record(&mut tx, &record).await.unwrap().is_repeated());
        assert!(audit.record(&mut tx, &record).await.unwrap().is_repeated());
    }
    assert_eq!(all(&audit, &mut tx).await.len(), 4);
}

/// What never happened was not tried: neither a dropped transaction nor a rolled back savepoint uses a key up.
pub async fn a_rolled_back_key_is_free_again<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let record = created("1").once(key("a"));
    let mut tx = source.begin().await.unwrap();
    audit.record(&mut tx, &record).await.unwrap();
    drop(tx);
    let mut tx = source.begin().await.unwrap();
    harness.savepoint(&mut tx).await;
    assert!(!audit.record(&mut tx, &record).await.unwrap().is_repeated());
    harness.rollback_to_savepoint(&mut tx).await;
    assert!(!audit.record(&mut tx, &record).await.unwrap().is_repeated());
    source.commit(tx).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    assert_eq!(all(&audit, &mut conn).await.len(), 1);
}

/// Eight at once: one writes, and all others name its record.
pub async fn concurrent_attempts_under_one_key_write_one_record<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let attempt = async || {
        let mut tx = source.begin().await.unwrap();
        let receipt = audit.record(&mut tx, &created("1").once(key("a"))).await.unwrap();
        source.commit(tx).await.unwrap();
        receipt
    };
    let receipts = tokio::join!(attempt(), attempt(), attempt(), attempt(), attempt(), attempt(), attempt(), attempt());
    let receipts: [crate::Receipt; 8] = receipts.into();
    let mut conn = source.acquire().await.unwrap();
    let entries = all(&audit, &mut conn).await;
    assert_eq!(entries.len(), 1);
    assert!(receipts.iter().all(|receipt| receipt.id() == entries[0].id));
    assert_eq!(receipts.iter().filter(|receipt| !receipt.is_repeated()).count(), 1);
}
