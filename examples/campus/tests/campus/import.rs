//! Importing a file of documents: all of it is found, what is wrong is named, and nothing is written by halves.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use campus::app::App;
use campus::backend::Backend;
use campus::error::{Error, Result};
use campus::http::router;
use campus::import::{self, Imported};
use flate2::Compression;
use flate2::write::GzEncoder;
use stoa_search::{Audience, Query, Surface};
use tempfile::TempDir;
use url::Url;

use crate::fixture::{Fixture, OnPostgres, OnSqlite, a_member};
use crate::pages::{Browser, fixture_stranger};

const TWO: &str = r#"
{"id": "one", "title": "A capybara <naps>", "body": "In the sun & the mud.", "year": 2024}

{"id": "two", "title": "A kettle"}
"#;

/// An empty campus with a directory to import from.
struct Import<F: Fixture> {
    fixture: F,
    app: App<F::Backend>,
    directory: TempDir,
}

impl<F: Fixture> Import<F> {
    async fn empty() -> Self {
        let fixture = F::empty().await;
        let app = App::open(fixture.backend()).await.unwrap();
        Self { fixture, app, directory: TempDir::new().unwrap() }
    }

    async fn demo() -> Self {
        let (fixture, app) = F::demo().await;
        Self { fixture, app, directory: TempDir::new().unwrap() }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    async fn run(&self, path: &Path) -> Result<Imported> {
        self.limited(path, u64::MAX).await
    }

    async fn limited(&self, path: &Path, limit: u64) -> Result<Imported> {
        import::import(&self.app, &Surface::FEED, path, limit, |_| {}).await
    }

    /// Rows of documents, rows of the index, audit records.
    async fn written(&self) -> [i64; 3] {
        [
            self.fixture.count("SELECT count(*) FROM campus_document").await,
            self.fixture.count("SELECT count(*) FROM search_document").await,
            self.fixture.count("SELECT count(*) FROM audit_record WHERE entity_type = 'import'").await,
        ]
    }

    async fn found(&self, word: &str) -> u64 {
        found(&self.app, word).await
    }
}

async fn found<B: Backend>(app: &App<B>, word: &str) -> u64 {
    let mut tx = app.read().await.unwrap();
    app.search.search(&mut tx, &Query::text(word), &Audience::everything()).await.unwrap().total
}

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// So many documents, one a line.
fn lines(count: usize) -> String {
    (0..count).fold(String::new(), |mut lines, number| {
        writeln!(lines, r#"{{"id": "{number}", "title": "Pebble {number}"}}"#).unwrap();
        lines
    })
}

/// What the import was refused for.
#[track_caller]
fn refusal(outcome: Result<Imported>) -> String {
    match outcome {
        Err(Error::Invalid(message)) => message,
        other => panic!("not refused: {other:?}"),
    }
}

/// Follows the only hit of a search, as a browser resolves its link.
async fn follow(browser: &mut Browser, word: &str) -> String {
    let results = browser.get(&format!("/search?q={word}")).await.body;
    assert!(results.contains("1 found"), "{results}");
    let href = results
        .split(r#"<h2 class="hit"><a href=""#)
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a hit has a link");
    let href = href.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    let target = Url::parse("http://localhost:8080/search").unwrap().join(&href).unwrap();
    assert_eq!(target.path(), "/documents", "{target}");
    let answer = browser.get(&target[url::Position::BeforePath..url::Position::AfterQuery]).await;
    assert!(answer.status.is_success(), "{target}: {}", answer.status);
    answer.body
}

async fn what_was_imported_is_found_and_read_by_everybody<F: Fixture>() {
    let import = Import::<F>::demo().await;
    let path = import.file("two.jsonl", TWO);
    let imported = import.run(&path).await.unwrap();
    assert_eq!(imported, Imported { documents: 2, bytes: TWO.len() as u64 });
    let member = a_member(&import.app).await.1.to_string();
    for person in [member, fixture_stranger(&import.app).await] {
        let mut browser = Browser::signed_in(router(import.app.clone(), campus::http::Options::demo()), &person).await;
        let page = follow(&mut browser, "capybara").await;
        assert!(page.contains("A capybara &lt;naps&gt;") && page.contains("In the sun &amp; the mud."), "{page}");
        assert!(follow(&mut browser, "kettle").await.contains("A kettle"));
        assert_eq!(browser.get("/documents?surface=feed&id=three").await.status, 404);
        assert_eq!(browser.get("/documents?surface=jobs&id=one").await.status, 404);
    }
}

async fn an_id_of_any_characters_can_be_followed<F: Fixture>() {
    let import = Import::<F>::demo().await;
    let ids = [
        "a/b/c",
        "a b",
        "what?now",
        "half#way",
        "100%41",
        "a+b&c=d",
        "\"><b>",
        "gr\u{fc}\u{df}e",
        "a/../b",
        "..",
        "a\\b",
    ];
    let mut text = String::new();
    for (number, id) in ids.iter().enumerate() {
        writeln!(text, "{}", serde_json::json!({"id": id, "title": format!("pangolin{number}")})).unwrap();
    }
    import.run(&import.file("ids.jsonl", text)).await.unwrap();
    let mut browser = Browser::signed_in(
        router(import.app.clone(), campus::http::Options::demo()),
        a_member(&import.app).await.1.as_str(),
    )
    .await;
    for number in 0..ids.len() {
        let word = format!("pangolin{number}");
        assert!(follow(&mut browser, &word).await.contains(&word));
    }
}

async fn importing_again_changes_nothing<F: Fixture>() {
    let import = Import::<F>::empty().await;
    let path = import.file("two.jsonl", TWO);
    let first = import.run(&path).await.unwrap();
    assert_eq!(import.written().await, [2, 2, 1]);
    assert_eq!(import.run(&path).await.unwrap(), first);
    assert_eq!(import.written().await, [2, 2, 2], "the second import is recorded as well");
    assert_eq!(import.found("capybara").await, 1);
}

async fn a_document_with_a_known_id_replaces_the_old_one<F: Fixture>() {
    let import = Import::<F>::empty().await;
    import.run(&import.file("two.jsonl", TWO)).await.unwrap();
    // In a later import, and in the same batch: the last one counts.
    let text = "{\"id\": \"one\", \"title\": \"An otter\"}\n{\"id\": \"one\", \"title\": \"A heron\"}\n";
    import.run(&import.file("again.jsonl", text)).await.unwrap();
    assert_eq!(import.written().await, [2, 2, 2]);
    let found = [import.found("capybara").await, import.found("otter").await, import.found("heron").await];
    assert_eq!(found, [0, 0, 1]);
    let titles = import.fixture.texts("SELECT title FROM campus_document WHERE id = 'one'").await;
    assert_eq!(titles, ["A heron"]);
}

async fn what_campus_indexed_itself_is_not_replaced<F: Fixture>() {
    let import = Import::<F>::demo().await;
    let before = (import.written().await[1], import.found("chess").await);
    let path = import.file("groups.jsonl", r#"{"id": "chess", "title": "A walrus"}"#);
    import::import(&import.app, &Surface::GROUPS, &path, u64::MAX, |_| {}).await.unwrap();
    assert_eq!((import.written().await[1], import.found("chess").await), (before.0 + 1, before.1));
    assert_eq!(import.found("walrus").await, 1);
}

async fn a_compressed_file_is_read_alike<F: Fixture>() {
    let import = Import::<F>::empty().await;
    let whole = gzip(TWO);
    let imported = import.run(&import.file("two.jsonl.gz", &whole)).await.unwrap();
    assert_eq!(imported, Imported { documents: 2, bytes: whole.len() as u64 }, "bytes are those of the file");
    assert_eq!((import.found("capybara").await, import.found("kettle").await), (1, 1));

    // Compressed files put one behind the other are one compressed file.
    let text = lines(20);
    let (head, tail) = text.split_at(text.len() / 2);
    let parts = [gzip(head), gzip(tail)].concat();
    assert_eq!(import.run(&import.file("parts.jsonl.gz", parts)).await.unwrap().documents, 20);
    assert_eq!(import.found("pebble").await, 20);
}

async fn a_limit_is_obeyed<F: Fixture>() {
    let import = Import::<F>::empty().await;
    let path = import.file("five.jsonl", format!("{}not a document\n", lines(5)));
    assert_eq!(import.limited(&path, 0).await.unwrap().documents, 0);
    assert_eq!(import.written().await, [0, 0, 0]);
    for limit in [1, 3, 5] {
        assert_eq!(import.limited(&path, limit).await.unwrap().documents, limit);
        assert_eq!(import.fixture.count("SELECT count(*) FROM campus_document").await.cast_unsigned(), limit);
    }
    // Only now is the last line looked at.
    assert!(refusal(import.limited(&path, 6).await).starts_with("line 6 "));
    assert_eq!(import.written().await, [5, 5, 3]);
}

async fn a_file_without_documents_writes_nothing<F: Fixture>() {
    let import = Import::<F>::empty().await;
    for (name, content) in [("none.jsonl", vec![]), ("blank.jsonl", b"\n\r\n   \n".into()), ("none.gz", gzip(""))] {
        let imported = import.run(&import.file(name, content)).await.unwrap();
        assert_eq!(imported.documents, 0, "{name}");
    }
    assert_eq!(import.written().await, [0, 0, 0]);
}

async fn a_line_that_is_no_document_is_named_and_nothing_is_written<F: Fixture>() {
    let import = Import::<F>::empty().await;
    let too_long = format!(r#"{{"id": "{}"}}"#, "x".repeat(129));
    let too_large = format!(r#"{{"id": "large", "body": "{}"}}"#, "x".repeat(17 << 20));
    let bad: &[&[u8]] = &[
        b"not json",
        br#"{"id": "a""#,
        br#"{"id": "a"} {"id": "b"}"#,
        br#"{"title": "no id"}"#,
        br#"{"id": null}"#,
        br#"{"id": 7}"#,
        br#"{"id": ""}"#,
        br#"{"id": "a\u0000b"}"#,
        br#"{"id": "a", "id": "b"}"#,
        br#"{"id": "a", "title": 5}"#,
        br#"{"id": "a", "body": ["b"]}"#,
        br#"{"id": "a", "title": "\ud800"}"#,
        b"{\"id\": \"a\", \"title\": \"\0\"}",
        b"{\"id\": \"a\", \"title\": \"\xff\"}",
        br#""a""#,
        b"5",
        b"null",
        b"[]",
        br#"["a", "a list", "is no object"]"#,
        too_long.as_bytes(),
        too_large.as_bytes(),
    ];
    let mut wrong = Vec::new();
    for line in bad {
        let file = [b"{\"id\": \"good\"}\n\n", *line, b"\n{\"id\": \"better\"}\n"].concat();
        match import.run(&import.file("bad.jsonl", file)).await {
            Err(Error::Invalid(message)) if message.starts_with("line 3 ") => {}
            other => wrong.push(format!("{:.60}: {other:?}", String::from_utf8_lossy(line))),
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(import.written().await, [0, 0, 0]);
}

async fn a_file_that_cannot_be_read_is_named_and_nothing_is_written<F: Fixture>() {
    let import = Import::<F>::empty().await;
    let whole = gzip(TWO);
    let mut files = vec![
        import.directory.path().join("missing.jsonl"),
        import.directory.path().to_owned(),
        import.file("plain.jsonl.gz", TWO),
    ];
    for length in [1, 10, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
        files.push(import.file(&format!("cut-{length}.jsonl.gz"), &whole[..length]));
    }
    let mut flipped = whole;
    let checksum = flipped.len() - 8;
    flipped[checksum] ^= 1;
    files.push(import.file("flipped.jsonl.gz", flipped));
    for path in files {
        let message = refusal(import.run(&path).await);
        assert!(message.contains(&*path.to_string_lossy()), "{message}");
    }
    assert_eq!(import.written().await, [0, 0, 0]);
}

async fn a_nul_in_a_text_is_no_obstacle<F: Fixture>() {
    let import = Import::<F>::empty().await;
    let text = r#"{"id": "nul", "title": "before\u0000after", "body": "\u0000 walrus \u0000"}"#;
    assert_eq!(import.run(&import.file("nul.jsonl", text)).await.unwrap().documents, 1, "without a final line break");
    assert_eq!((import.found("walrus").await, import.found("after").await), (1, 1));
}

async fn every_batch_is_one_transaction_with_one_record<F: Fixture>() {
    let import = Import::<F>::empty().await;
    let path = import.file("batches.jsonl", format!("{}not a document\n", lines(1001)));
    let refused = refusal(import.run(&path).await);
    assert!(refused.starts_with("line 1002 "), "{refused}");
    assert_eq!(import.written().await, [1000, 1000, 1], "the batch before stays, of the other nothing");

    let text = lines(1001);
    let path = import.file("batches.jsonl", &text);
    let mut progress = Vec::new();
    let told = |imported: Imported| progress.push(imported.documents);
    let imported = import::import(&import.app, &Surface::FEED, &path, u64::MAX, told).await.unwrap();
    assert_eq!(imported, Imported { documents: 1001, bytes: text.len() as u64 });
    assert_eq!(progress, [1000, 1001]);
    assert_eq!(import.written().await, [1001, 1001, 3]);
    assert_eq!(import.limited(&path, 1000).await.unwrap().documents, 1000);
    assert_eq!(import.written().await, [1001, 1001, 4], "a limit of one batch makes one batch");
    let records = r"
        SELECT DISTINCT action || ' ' || actor_kind || ' ' || actor_id
        FROM audit_record
    ";
    assert_eq!(import.fixture.texts(records).await, ["bits.search.v1.ImportService/ImportDocuments system adminctl"]);
}

async fn a_batch_that_cannot_be_recorded_is_not_written<F: Fixture>() {
    let import = Import::<F>::empty().await;
    let path = import.file("two.jsonl", TWO);
    import.fixture.break_step(2).await;
    assert!(matches!(import.run(&path).await, Err(Error::Internal(_))));
    assert_eq!(import.written().await, [0, 0, 0]);
    assert_eq!(import.found("capybara").await, 0);
}

macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_sqlite {
            $( #[tokio::test] async fn $test() { super::$test::<super::OnSqlite>().await } )*
        }
        mod on_postgres {
            $( #[tokio::test] async fn $test() { super::$test::<super::OnPostgres>().await } )*
        }
    };
}

on_both! {
    what_was_imported_is_found_and_read_by_everybody
    an_id_of_any_characters_can_be_followed
    importing_again_changes_nothing
    a_document_with_a_known_id_replaces_the_old_one
    what_campus_indexed_itself_is_not_replaced
    a_compressed_file_is_read_alike
    a_limit_is_obeyed
    a_file_without_documents_writes_nothing
    a_line_that_is_no_document_is_named_and_nothing_is_written
    a_file_that_cannot_be_read_is_named_and_nothing_is_written
    a_nul_in_a_text_is_no_obstacle
    every_batch_is_one_transaction_with_one_record
    a_batch_that_cannot_be_recorded_is_not_written
}
