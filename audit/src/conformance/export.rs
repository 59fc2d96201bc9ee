//! Exports: every record once, on a line of its own, whatever it holds.

use std::collections::HashSet;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde_json::Value;
use tokio::io::AsyncWrite;

use super::{GROUP, Harness, UPDATED, all, created, post, request, stubborn_bodies, titled};
use crate::{
    Actor, Audit, Body, Entity, EntityId, Error, Export, Filter, Format, Outcome, Receipt, Record, RecordId, Source,
    UserId,
};

fn formats() -> [Format; 3] {
    [Format::Csv, Format::Ndjson, Format::CloudEvents { source: "https://example.org/audit".into() }]
}

/// Splits an export into its lines; each ends as its format says, and nothing else does.
fn lines(format: &Format, export: &[u8]) -> Vec<String> {
    let text = String::from_utf8(export.to_vec()).unwrap();
    let end = if *format == Format::Csv { "\r\n" } else { "\n" };
    let lines: Vec<String> = text.split_terminator(end).map(str::to_owned).collect();
    assert!(text.is_empty() || text.ends_with(end));
    for line in &lines {
        assert!(!line.chars().any(crate::id::is_unprintable), "{line:?}");
    }
    lines
}

/// Reads one line of CSV in which every cell is quoted.
fn cells(line: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut rest = line;
    while let Some(cell) = rest.strip_prefix('"') {
        let (mut text, mut letters) = (String::new(), cell.char_indices().peekable());
        let end = loop {
            match letters.next() {
                Some((_, '"')) if letters.next_if(|(_, letter)| *letter == '"').is_some() => text.push('"'),
                Some((at, '"')) => break at + 1,
                Some((_, letter)) => text.push(letter),
                None => panic!("a cell does not end: {line}"),
            }
        };
        cells.push(text);
        rest = cell[end..].strip_prefix(',').unwrap_or(&cell[end..]);
    }
    assert_eq!(rest, "", "{line}");
    cells
}

/// Texts with line breaks, quotes, commas, formulas and escape sequences, wherever a record takes text.
pub async fn nothing_recorded_forges_a_line_or_a_column<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let hostile = "=HYPERLINK(\"x\"),\"y\";'{\"a\":1}";
    let mut records: Vec<Record> = Vec::new();
    for body in stubborn_bodies() {
        let mut record = Record::new(UPDATED, &Actor::user(hostile).unwrap(), post(hostile))
            .scope(Entity::new(GROUP, EntityId::new("-7").unwrap()))
            .outcome(Outcome::Denied)
            .request(&request("192.0.2.7"))
            .after(&titled("\r\n\",\"=1+1\u{1b}[2J\u{9b}2J\u{202e}\u{2028}\0"))
            .unwrap()
            .personal(UserId::new("+bob").unwrap(), &titled("\n@x"))
            .unwrap();
        record.before = Some(body);
        records.push(record);
    }
    let mut conn = source.acquire().await.unwrap();
    audit.record_many(&mut conn, &records).await.unwrap();

    for format in formats() {
        let mut sink = Vec::new();
        let exported = audit.export(&mut conn, &Filter::new(), &Export::new(format.clone()), &mut sink).await.unwrap();
        assert_eq!((exported.records, exported.next), (records.len() as u64, None));
        let mut lines = lines(&format, &sink);
        if format == Format::Csv {
            let headings = lines.remove(0);
            for line in &lines {
                let cells = cells(line);
                assert_eq!(cells.len(), headings.split(',').count(), "{line}");
                assert!(!cells.iter().any(|cell| cell.starts_with(['=', '+', '-', '@'])), "{line}");
                assert_eq!(
                    (&*cells[5], &*cells[9], &*cells[11]),
                    (&*format!("'{hostile}"), &*format!("'{hostile}"), "'-7")
                );
            }
        }
        assert_eq!(lines.len(), records.len());
        for (line, record) in lines.iter().zip(records.iter().rev()).filter(|_| format != Format::Csv) {
            let json: Value = serde_json::from_str(&line.replace("1e400", "1").replace("\\ud800", "")).unwrap();
            let (actor, entity) = match &format {
                Format::Ndjson => (&json["actor"]["id"], &json["entity"]["id"]),
                _ => (&json["data"]["actor"]["user"]["uid"], &json["data"]["resources"][0]["uid"]),
            };
            assert_eq!((actor, entity), (&Value::from(hostile), &Value::from(hostile)));
            // What is on one line as it is, is there as it is.
            let body = record.before.as_ref().map(Body::as_str).unwrap();
            assert!(body.chars().any(crate::id::is_unprintable) || line.contains(body), "{line}");
        }
    }
}

/// In parts of any size, with one line of headings; and whatever arrives above meanwhile.
pub async fn an_export_goes_on_where_it_stopped<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let records: Vec<Record> = (0..1203).map(|index| created(if index % 2 == 0 { "even" } else { "odd" })).collect();
    audit.record_many(&mut conn, &records).await.unwrap();
    let even = Filter::new().entity(post("even"));
    for format in formats() {
        let mut whole = Vec::new();
        let exported = audit.export(&mut conn, &even, &Export::new(format.clone()), &mut whole).await.unwrap();
        let heading = usize::from(format == Format::Csv);
        assert_eq!(lines(&format, &whole).len() - heading, usize::try_from(exported.records).unwrap());
        for part in [1, 128, 129, 602] {
            let (mut parts, mut after, mut turns) = (Vec::new(), None::<RecordId>, 0);
            loop {
                let export = Export::new(format.clone()).at_most(part);
                let export = after.map_or(export.clone(), |after| export.after(after));
                let exported = audit.export(&mut conn, &even, &export, &mut parts).await.unwrap();
                after = exported.next;
                turns += 1;
                if after.is_none() || part == 1 && turns == 3 {
                    break;
                }
            }
            assert!(whole.starts_with(&parts));
            assert!(part == 1 || whole == parts);
        }
    }
}

/// A sink that fails is an error that says where to go on; after it, the rest is there.
pub async fn a_broken_export_says_where_to_go_on<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut conn = source.acquire().await.unwrap();
    audit.record_many(&mut conn, &vec![created("1"); 1100]).await.unwrap();
    let newest_first: Vec<String> = {
        let mut tx = source.begin_snapshot().await.unwrap();
        let mut sink = Vec::new();
        audit.export(&mut tx, &Filter::new(), &Export::new(Format::Ndjson), &mut sink).await.unwrap();
        lines(&Format::Ndjson, &sink)
    };
    let mut sink = Brittle { room: newest_first[..700].iter().map(|line| line.len() + 1).sum(), written: Vec::new() };
    let error = audit.export(&mut conn, &Filter::new(), &Export::new(Format::Ndjson), &mut sink).await.unwrap_err();
    let Error::Sink { after: Some(after), .. } = error else { panic!("{error:?}") };
    let whole = newest_first.iter().position(|line| line.contains(&after.to_string())).unwrap() + 1;
    // What was not yet written in full is at most one part of an export.
    assert!((500..=700).contains(&whole), "{whole}");
    let mut rest = Vec::new();
    let export = Export::new(Format::Ndjson).after(after);
    let exported = audit.export(&mut conn, &Filter::new(), &export, &mut rest).await.unwrap();
    assert_eq!(exported.records, 1100 - whole as u64);
    assert_eq!(lines(&Format::Ndjson, &rest), newest_first[whole..]);
    let nonsense = Export::new(Format::CloudEvents { source: "a\"\n".into() });
    let refused = audit.export(&mut conn, &Filter::new(), &nonsense, &mut rest).await;
    assert!(matches!(refused, Err(Error::Invalid { what: "event source", .. })));
}

/// Takes so many bytes and fails.
struct Brittle {
    room: usize,
    written: Vec<u8>,
}

impl AsyncWrite for Brittle {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let taken = bytes.len().min(self.room - self.written.len());
        if taken == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::StorageFull.into()));
        }
        self.written.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The attributes that `CloudEvents` 1.0 requires are there, every attribute has the type that it demands, a name of lower-case
/// letters and digits, and a text that may stand in one; source and id name one event together.
pub async fn an_event_keeps_the_rules_of_cloud_events<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let mut records = vec![created("1"), created("\u{1f680} é"), created("1").outcome(Outcome::Failed)];
    for body in stubborn_bodies() {
        let mut record = created("2").request(&request("192.0.2.7")).scope(post("3"));
        record.after = Some(body);
        records.push(record);
    }
    audit.record_many(&mut conn, &records).await.unwrap();
    let mut sink = Vec::new();
    let format = Format::CloudEvents { source: "/audit".into() };
    audit.export(&mut conn, &Filter::new(), &Export::new(format.clone()), &mut sink).await.unwrap();
    let mut ids = HashSet::new();
    for line in lines(&format, &sink) {
        let event: Value = serde_json::from_str(&line.replace("1e400", "1").replace("\\ud800", "")).unwrap();
        let attributes = event.as_object().unwrap();
        for required in ["id", "source", "specversion", "type"] {
            assert!(attributes[required].as_str().is_some_and(|text| !text.is_empty()), "{line}");
        }
        assert_eq!((&attributes["specversion"], &attributes["source"]), (&"1.0".into(), &"/audit".into()));
        assert!(ids.insert(attributes["id"].as_str().unwrap().to_owned()), "{line}");
        for (name, value) in attributes {
            let is_name = (1..=20).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            assert!(is_name, "{name}");
            match (name.as_str(), value) {
                ("data", data) => assert!(data.is_object()),
                ("datacontenttype", media_type) => assert_eq!(media_type, "application/json"),
                ("subject", subject) => assert!(subject.as_str().is_some_and(|text| !text.is_empty())),
                ("time", time) => assert!(chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).is_ok()),
                // An attribute is a text, a number of 32 bits or a truth value, and absent rather than null.
                (_, Value::Number(number)) => {
                    assert!(number.as_i64().is_some_and(|whole| i32::try_from(whole).is_ok()));
                }
                (_, value) => assert!(value.is_string() || value.is_boolean(), "{name}"),
            }
            assert!(value.as_str().is_none_or(|text| !text.chars().any(char::is_control)), "{line}");
        }
    }
    assert_eq!(ids.len(), records.len());
}

/// It says that something was there, and nothing of what it was.
pub async fn an_export_marks_what_was_erased<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let record = created("1").request(&request("192.0.2.7"));
    let record = record.personal(UserId::new("ada").unwrap(), &titled("Lovelace")).unwrap();
    let receipts: Vec<Receipt> = audit.record_many(&mut conn, &[record]).await.unwrap();
    let erasing = Record::new(UPDATED, &Actor::user("eve").unwrap(), post("1"));
    audit.erase(&mut conn, &UserId::new("ada").unwrap(), &erasing).await.unwrap();
    assert_eq!(all(&audit, &mut conn).await.len(), receipts.len() + 1);
    for (format, mark) in formats().into_iter().zip([
        r#""","true","true""#,
        r#""client":{"erased":true,"trust":"direct"},"personal":{"erased":true}"#,
        r#""client":{"erased":true,"trust":"direct"},"personal":{"erased":true}"#,
    ]) {
        let mut sink = Vec::new();
        audit.export(&mut conn, &Filter::new(), &Export::new(format.clone()), &mut sink).await.unwrap();
        let text = lines(&format, &sink).join("");
        assert!(text.contains(mark) && !text.contains("Lovelace") && !text.contains("192.0.2.7"), "{text}");
    }
}
