//! The memory of an export.

use std::process::Command;
use std::{env, fs};

use stoa_audit::{Audit, Export, Filter, Format, Postgres};

use super::connect;
use crate::case::Target;
use crate::{Case, Setup};

/// The peak of a process that does nothing else: what the cases before have left in the memory of this one is not the export's.
pub(super) async fn compare(setup: &Setup, url: &str) -> Case {
    let records = setup.size(1_000_000, 100_000);
    load(url, records).await;
    let binary = env::current_exe().expect("this process has a path");
    let output = Command::new(binary).args(["export-peak", url]).output().expect("it starts");
    let answer = String::from_utf8(output.stdout).expect("a line");
    let figures: Vec<f64> = answer.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    let [exported, seconds, kibibytes] = figures[..] else {
        panic!("the export said {answer:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    assert_eq!(exported as usize, records);
    Case::absolute("audit.export_peak_mib", kibibytes / 1024.0, "MiB", Target::AtMost(64.0)).note(format!(
        "VmHWM of a process of its own, {records} records as NDJSON, {:.0} records/s",
        exported / seconds
    ))
}

/// Exports all records of a database to nowhere, and prints how many, the seconds, and this process's peak of resident memory
/// in KiB, as Linux tells it.
///
/// # Panics
/// If the database or `/proc` is not there.
pub async fn peak(url: &str) {
    let mut conn = connect(url).await;
    let started = std::time::Instant::now();
    let exported = Audit::new(Postgres)
        .export(&mut conn, &Filter::new(), &Export::new(Format::Ndjson), &mut tokio::io::sink())
        .await
        .expect("the server answers");
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
    let kibibytes = line.trim().trim_end_matches(" kB");
    println!("{} {} {kibibytes}", exported.records, started.elapsed().as_secs_f64());
}

/// Records of half a kilobyte, a tenth of a second apart, written by the server itself. An export does not look at the hashes.
async fn load(url: &str, records: usize) {
    let mut conn = connect(url).await;
    sqlx::query(
        r#"
        INSERT INTO audit_record (id, at, action, actor_kind, actor_id, outcome, entity_type, entity_id, after, leaf_hash)
        SELECT
            (lpad(to_hex(1760000000000 + number * 100), 12, '0') || '70008000' || lpad(to_hex(number), 12, '0'))::uuid,
            timestamptz 'epoch' + (1760000000000 + number * 100) * interval '1 millisecond',
            'bits.bench.v1.PostService/CreatePost', 'user', 'user-' || number % 1000, 'succeeded', 'post', number,
            json_build_object('title', 'A title of some words', 'body', repeat('x', 400)), sha256('')
        FROM generate_series(1, $1::bigint) AS number
        "#,
    )
    .bind(records as i64)
    .execute(&mut conn)
    .await
    .expect("the rows fit");
    sqlx::query("VACUUM ANALYZE audit_record").execute(&mut conn).await.expect("the table is there");
}
