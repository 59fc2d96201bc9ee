//! What a record holds, and what it refuses.

use super::{GROUP, Harness, POST, UPDATED, all, created, stubborn_bodies, titled};
use crate::{
    Action, Actor, ActorName, Audit, Body, Entity, EntityId, EntityType, Error, IdempotencyKey, Outcome, Record,
    RecordId, RequestContext, RequestId, Source, TraceId, Trust, UserId,
};

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
                .unwrap()
                .personal(user("bob"), &titled("personal"))
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
        assert_eq!(entry.map(|entry| (entry.id, entry.record)), Some((receipt.id(), record.clone())));
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
    for bad in
        ["", "a\0", "a\nb", "a\rb", "\u{1b}[2J", "\u{9b}2J", "a\u{2028}b", "a\u{202e}b", "\u{2066}a", &"x".repeat(129)]
    {
        assert!(matches!(IdempotencyKey::new(bad), Err(Error::Invalid { .. })));
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

/// The fields that changed are there on both sides, in their own bytes; the others are not.
pub async fn a_difference_keeps_what_changed_in_its_own_bytes<H: Harness>(harness: &H) {
    #[derive(serde::Serialize)]
    struct Account {
        name: &'static str,
        balance: f64,
        serial: u64,
        tags: [&'static str; 2],
        secret: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'static str>,
    }
    impl crate::Audited for Account {
        const FIELDS: &'static [&'static str] = &["name", "balance", "serial", "tags", "note"];
    }
    let old =
        Account { name: "a \"b\", {c}", balance: 1.0, serial: u64::MAX, tags: ["x", "y"], secret: "s", note: None };
    let new = Account { balance: 2.5, tags: ["x", "é👩🏽‍🚀"], secret: "t", note: Some("\n"), ..old };
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    let receipt = audit.record(&mut tx, &created("1").diff(&old, &new).unwrap()).await.unwrap();
    let record = audit.find(&mut tx, receipt.id()).await.unwrap().unwrap().record;
    assert_eq!(record.before.unwrap().as_str(), r#"{"balance":1.0,"tags":["x","y"]}"#);
    assert_eq!(record.after.unwrap().as_str(), r#"{"balance":2.5,"tags":["x","é👩🏽‍🚀"],"note":"\n"}"#);
    let receipt = audit.record(&mut tx, &created("1").diff(&old, &old).unwrap()).await.unwrap();
    let record = audit.find(&mut tx, receipt.id()).await.unwrap().unwrap().record;
    assert_eq!(record.before.zip(record.after).map(|(before, after)| format!("{before}{after}")).unwrap(), "{}{}");
}
