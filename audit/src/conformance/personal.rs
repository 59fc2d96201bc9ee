//! Personal data: apart from the record, bound to it, erasable.

use super::{Harness, UPDATED, all, created, post, request, stubborn_bodies, titled};
use crate::{
    Actor, ActorName, Audit, Body, ClientAddress, Commitment, Entry, Error, Personal, PersonalFields, Receipt, Record,
    Source, Trust, UserId,
};

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn address(entry: &Entry) -> Option<Personal<String>> {
    let client = entry.record.request.client.as_ref()?;
    Some(client.ip.kept().map_or(Personal::Erased, |ip| Personal::Kept(ip.to_string())))
}

/// The listed personal fields come back; the row holds a commitment, which says the same of equal data never twice.
pub async fn personal_data_is_kept_beside_the_record<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let record = created("1").request(&request("192.0.2.7")).personal(user("bob"), &titled("Bob")).unwrap();
    let mut tx = source.begin().await.unwrap();
    let mut receipts = vec![audit.record(&mut tx, &record).await.unwrap()];
    receipts.extend(audit.record_many(&mut tx, &[record.clone(), created("2")]).await.unwrap());
    let mut commitments: Vec<Commitment> = Vec::new();
    for receipt in &receipts[..2] {
        let entry = audit.find(&mut tx, receipt.id()).await.unwrap().unwrap();
        let fields = Body::from_stored(r#"{"name":"Bob"}"#.into());
        assert_eq!(entry.record.personal, Some(Personal::Kept(PersonalFields { subject: user("bob"), fields })));
        assert_eq!(address(&entry), Some(Personal::Kept("192.0.2.7".into())));
        commitments.extend(entry.digests.client.into_iter().chain(entry.digests.personal));
    }
    assert_eq!(commitments.len(), 4);
    assert!((1..4).all(|index| !commitments[..index].contains(&commitments[index])));
    let plain = audit.find(&mut tx, receipts[2].id()).await.unwrap().unwrap();
    assert_eq!((plain.record.personal, plain.digests.personal, plain.digests.client), (None, None, None));
}

/// What belongs to one person goes, at whosever record it is; the rest of these records and all others stay, byte for byte.
pub async fn an_erasure_removes_what_is_one_persons_and_is_recorded<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let (ada, eve) = (Actor::user("ada").unwrap(), Actor::user("eve").unwrap());
    let service = Actor::Service(ActorName::new("ada").unwrap());
    let by = |actor: &Actor| Record::new(UPDATED, actor, post("1")).request(&request("2001:db8::7"));
    let records = [
        by(&ada).personal(user("bob"), &titled("Bob")).unwrap().after(&titled("after")).unwrap(),
        by(&eve).personal(user("ada"), &titled("Ada")).unwrap(),
        by(&ada).impersonator(user("eve")),
        by(&eve).impersonator(user("ada")),
        by(&service).on_behalf_of(user("ada")),
        by(&service),
        created("2"),
    ];
    let mut conn = source.acquire().await.unwrap();
    let receipts = audit.record_many(&mut conn, &records).await.unwrap();
    let before = all(&audit, &mut conn).await;
    let erasing = Record::new(UPDATED, &Actor::System(ActorName::new("privacy").unwrap()), post("ada"));

    let mut tx = source.begin().await.unwrap();
    assert_eq!(audit.erase(&mut tx, &user("ada"), &erasing).await.unwrap().pieces, 4);
    drop(tx);
    assert_eq!(all(&audit, &mut conn).await, before, "what was rolled back erased nothing");

    let erasure = audit.erase(&mut conn, &user("ada"), &erasing).await.unwrap();
    assert_eq!(erasure.pieces, 4);
    let recorded = audit.find(&mut conn, erasure.receipt.id()).await.unwrap().unwrap();
    assert_eq!(recorded.record, erasing);
    let entry = async |conn: &mut _, receipt: &Receipt| audit.find(conn, receipt.id()).await.unwrap().unwrap();
    let mut after = Vec::new();
    for (receipt, before) in receipts.iter().zip(before.iter().rev()) {
        let entry = entry(&mut conn, receipt).await;
        assert_eq!(entry.digests, before.digests);
        assert_eq!(entry.record.without_personal(), before.record.without_personal());
        after.push((address(&entry), entry.record.personal.as_ref().map(|personal| personal.kept().is_some())));
    }
    let kept = || Some(Personal::Kept("2001:db8::7".to_owned()));
    let erased = || Some(Personal::Erased);
    let expected = [
        (erased(), Some(true)),
        (kept(), Some(false)),
        (kept(), None),
        (erased(), None),
        (erased(), None),
        (kept(), None),
        (None, None),
    ];
    assert_eq!(after, expected);
    assert_eq!(audit.erase(&mut conn, &user("ada"), &erasing).await.unwrap().pieces, 0);
    assert_eq!(audit.erase(&mut conn, &user("Ada"), &erasing).await.unwrap().pieces, 0);
}

/// A record that was read back without its personal data cannot be recorded as if that had never been there.
pub async fn what_was_erased_cannot_be_recorded<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let mut record = created("1");
    record.personal = Some(Personal::Erased);
    assert!(matches!(audit.record(&mut conn, &record).await, Err(Error::Invalid { what: "personal data", .. })));
    let mut record = created("1");
    record.request.client = Some(ClientAddress { ip: Personal::Erased, trust: Trust::Direct });
    assert!(matches!(audit.record_many(&mut conn, &[created("2"), record]).await, Err(Error::Invalid { .. })));
    assert_eq!(all(&audit, &mut conn).await, []);
}

/// Reading a record gives everything the hash of its leaf was computed from, also after an erasure; and what it says is in the hash.
pub async fn the_leaf_hash_can_be_computed_again<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let full = created("1").request(&request("192.0.2.7")).personal(user("bob"), &titled("Bob")).unwrap();
    let mut conn = source.acquire().await.unwrap();
    let mut records = vec![created("1"), full];
    for body in stubborn_bodies() {
        records.push(created("1"));
        records.last_mut().unwrap().before = Some(body);
    }
    audit.record_many(&mut conn, &records).await.unwrap();
    let before = all(&audit, &mut conn).await;
    for subject in ["ada", "bob"] {
        assert_eq!(audit.erase(&mut conn, &user(subject), &created("2")).await.unwrap().pieces, 1);
    }
    let after = all(&audit, &mut conn).await;
    for entry in before.iter().chain(&after) {
        assert_eq!(entry.leaf_hash(), entry.digests.leaf);
    }
    let mut changed = after[0].clone();
    changed.record.actor = Actor::user("eve").unwrap();
    assert_ne!(changed.leaf_hash(), changed.digests.leaf);
}
