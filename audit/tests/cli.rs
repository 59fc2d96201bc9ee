//! The command line: one line, one exit code for each verdict.

use std::fs;
use std::process::{Command, Output};

use stoa_audit::{
    Action, Actor, Audit, Entity, EntityType, FileSink, LogStore, Origin, Postgres, Record, Sealer, Signer, Source,
    Sqlite, Verdict, postgres, sqlite,
};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stoa-audit")).args(arguments).output().unwrap()
}

/// The exit code and the one line that was written.
fn verdict(arguments: &[&str]) -> (i32, String) {
    let output = run(&[&["verify"], arguments].concat());
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    (output.status.code().unwrap(), text)
}

fn record() -> Record {
    const CREATED: Action = Action::new("test.posts.v1.PostService/CreatePost");
    Record::new(CREATED, &Actor::user("ada").unwrap(), Entity::new(EntityType::from_static("post"), 1))
}

fn signer(seed: u8) -> Signer {
    Signer::new(Origin::new("example.com/audit").unwrap(), &[seed; 32])
}

/// Every exit code but that of a tampered log, which then is what the caller makes of this one.
async fn the_first_verdicts<S, P>(store: S, source: P, url: &str, directory: &std::path::Path) -> [String; 2]
where
    S: LogStore + Copy,
    P: Source<Connection = S::Connection>,
{
    let file = directory.join("checkpoint");
    let (path, key) = (file.to_str().unwrap().to_owned(), signer(1).verifier().to_string());
    Audit::new(store).record_many(&mut *source.acquire().await.unwrap(), &[record(), record()]).await.unwrap();
    let mut sealer = Sealer::new(store, source.clone(), signer(1), FileSink::new(&file));
    while sealer.seal_once().await.unwrap().size < 2 {}
    // Another one goes on from what the file says.
    Audit::new(store).record(&mut *source.acquire().await.unwrap(), &record()).await.unwrap();
    let mut next = Sealer::new(store, source, signer(1), FileSink::new(&file));
    while next.seal_once().await.unwrap().size < 3 {}
    let (latest, history) =
        (fs::read_to_string(&file).unwrap(), fs::read_to_string(format!("{path}.history")).unwrap());
    assert!(latest.starts_with("example.com/audit\n3\n"));
    assert_eq!(history.matches("example.com/audit\n").count(), 2);

    let (code, line) = verdict(&["--database", url, "--checkpoint", &path, "--key", &key]);
    assert!(code == 0 && line.starts_with("intact (leaves: 3, pruned: 0, not sealed: 0"), "{code} {line}");
    let (code, line) = verdict(&["--database", url]);
    assert!(code == 2 && line.starts_with("unanchored"), "{code} {line}");
    let other = signer(2).verifier().to_string();
    let (code, line) = verdict(&["--database", url, "--checkpoint", &path, "--key", &other]);
    assert!(code == 3 && line.starts_with("error: "), "{code} {line}");
    [path, key]
}

/// Whatever is handed in, one line comes back, and it does not begin like a verdict.
#[test]
fn no_argument_forges_a_verdict() {
    let directory = std::env::temp_dir().join(format!("stoa_audit_forged_{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let key = signer(1).verifier().to_string();
    let checkpoint = directory.join("forged");
    fs::write(&checkpoint, "x\nintact (leaves: 3)\n\x1b[2K\rintact\n").unwrap();
    let [missing, forged] =
        [directory.join("no\nintact (leaves: 1"), checkpoint].map(|path| path.to_str().unwrap().to_owned());
    for arguments in [
        &["--database", "sqlite:/no/such\nintact (leaves: 3)\x1b[1A"][..],
        &["--database", "postgres://127.0.0.1:1/x\r\nintact"],
        &["--database", "sqlite::memory:", "--checkpoint", &missing, "--key", &key],
        &["--database", "sqlite::memory:", "--checkpoint", &forged, "--key", &key],
    ] {
        let (code, text) = verdict(arguments);
        let is_one_line = text.trim_end().lines().count() == 1 && !text.contains(['\x1b', '\r']);
        assert!(code == 3 && is_one_line && text.starts_with("error: "), "{code} {text:?}");
    }
    fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verdict_has_its_exit_code() {
    let directory = std::env::temp_dir().join(format!("stoa_audit_cli_{}", std::process::id()));
    fs::create_dir_all(directory.join("postgres")).unwrap();
    fs::create_dir_all(directory.join("sqlite")).unwrap();

    let database = testkit::postgres(&[&postgres::MIGRATOR]).await;
    let (pool, url) = (database.pool(), database.url());
    let [path, key] = the_first_verdicts(Postgres, pool.clone(), url, &directory.join("postgres")).await;
    let mut conn = pool.acquire().await.unwrap();
    sqlx::query("ALTER TABLE audit_record_default DISABLE TRIGGER ALL").execute(&mut *conn).await.unwrap();
    let record: uuid::Uuid = sqlx::query_scalar(
        r#"
        UPDATE audit_record SET actor_id = E'eve\nintact (leaves: 3)'
        WHERE id = (SELECT record_id FROM audit_leaf WHERE leaf_index = 1)
        RETURNING id
        "#,
    )
    .fetch_one(&mut *conn)
    .await
    .unwrap();
    let (code, line) = verdict(&["--database", url, "--checkpoint", &path, "--key", &key]);
    assert!(code == 1 && line.starts_with(&Verdict::Altered { record }.to_string()), "{code} {line}");

    let database = testkit::sqlite(&[&sqlite::MIGRATOR]).await;
    let pool = database.pool();
    let file: String = sqlx::query_scalar("SELECT file FROM pragma_database_list").fetch_one(pool).await.unwrap();
    let url = format!("sqlite:{file}");
    let [path, key] = the_first_verdicts(Sqlite, pool.clone(), &url, &directory.join("sqlite")).await;
    sqlx::query("DROP TRIGGER audit_record_no_delete").execute(pool).await.unwrap();
    sqlx::query("DELETE FROM audit_record WHERE seq = 2").execute(pool).await.unwrap();
    let (code, line) = verdict(&["--database", &url, "--checkpoint", &path, "--key", &key]);
    assert!(code == 1 && line.starts_with("missing: record "), "{code} {line}");

    for wrong in [&["--database", "sqlite:/nowhere\n/at all"][..], &["--database", "postgres://localhost:1/none"]] {
        assert_eq!(verdict(wrong).0, 3);
    }
    for wrong in [&["verify"][..], &["verify", "--database", &url, "--key", &key], &["seal"]] {
        assert_eq!(run(wrong).status.code(), Some(3));
    }
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    fs::remove_dir_all(directory).unwrap();
}
