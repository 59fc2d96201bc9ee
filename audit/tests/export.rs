//! The memory of an export: a process of its own, since the peak is the process's.
#![cfg(target_os = "linux")]

use std::fs;

use stoa_audit::{
    Action, Actor, Audit, Audited, Body, Entity, EntityType, Export, Filter, Format, Postgres, Record, Source, Sqlite,
    Store, postgres, sqlite,
};

/// A body that is as large as one may be, in all three places that a record has for one.
#[derive(serde::Serialize)]
struct Large {
    text: String,
}

impl Audited for Large {
    const FIELDS: &'static [&'static str] = &["text"];
    const PERSONAL: &'static [&'static str] = &["text"];
}

const RECORDS: u64 = 400;

/// Of 79 MB of bodies no more than a part is in memory at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_the_largest_bodies_stays_small() {
    let on_file = testkit::sqlite(&[&sqlite::MIGRATOR]).await;
    stays_small(Sqlite, on_file.pool()).await;
    let on_server = testkit::postgres(&[&postgres::MIGRATOR]).await;
    stays_small(Postgres, on_server.pool()).await;
}

async fn stays_small<S: Store, P: Source<Connection = S::Connection>>(store: S, source: &P) {
    const CREATED: Action = Action::new("test.posts.v1.PostService/CreatePost");
    let audit = Audit::new(store);
    let mut conn = source.acquire().await.unwrap();
    let large = Large { text: "x".repeat(Body::MAX_BYTES - r#"{"text":""}"#.len()) };
    let entity = || Entity::new(EntityType::from_static("post"), 1);
    let record = Record::new(CREATED, &Actor::user("ada").unwrap(), entity()).before(&large).unwrap();
    let record = record.after(&large).unwrap().personal("bob".try_into().unwrap(), &large).unwrap();
    for _ in 0..RECORDS {
        audit.record(&mut conn, &record).await.unwrap();
    }
    for format in [Format::Ndjson, Format::Csv, Format::CloudEvents { source: "/audit".into() }] {
        // Begins the high-water mark anew.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let export = Export::new(format.clone());
        let exported = audit.export(&mut conn, &Filter::new(), &export, &mut tokio::io::sink()).await.unwrap();
        let peak = peak();
        assert_eq!(exported.records, RECORDS);
        assert!(peak < 64 * 1024, "{format:?}: {peak} KiB");
    }
}

/// The high-water mark of resident memory, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let figure = status.lines().find_map(|text| text.strip_prefix("VmHWM:")).unwrap();
    figure.trim().trim_end_matches(" kB").parse().unwrap()
}
