//! Whatever a text holds, it is indexed, and it is asked for.

use super::{Harness, crew, find, post, search};
use crate::{Error, MAX_EXTRA, MAX_QUERY, MAX_TEXT, MAX_TITLE, MAX_URL, MatchMode, Query, Source};

/// Huge, strange and broken texts are indexed as far as possible; the transaction goes on.
pub async fn no_text_fails_to_be_indexed<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let controls: String = ('\0'..='\u{9f}').collect();
    let distinct: Vec<String> = (0..200_000).map(|n| format!("w{n}")).collect();
    let long = "x".repeat(5000);
    let hostile = [
        ("huge", format!("boat {}", "word ".repeat(2 << 20))),
        ("distinct", format!("boat {}", distinct.join(" "))),
        ("long", format!("boat {long}")),
        ("controls", format!("boat {controls}")),
        ("marks", format!("boat a{}", "\u{301}".repeat(100_000))),
        (
            "wild",
            "boat \u{fdfa}\u{feff}\u{202e}\u{10ffff}🎉 \u{1f468}\u{200d}\u{1f469} '; DROP TABLE \\ % _ $1 ?".to_owned(),
        ),
    ];
    for (id, text) in &hostile {
        let document = post(id, text).title(text.as_str()).url(controls.as_str()).extra(controls.as_str());
        let report = search.upsert(&mut tx, &document).await.unwrap();
        let is_cut = ["huge", "distinct", "long", "marks"].contains(id);
        assert_eq!(report.is_complete(), !is_cut, "{id}: {report:?}");
    }
    let found = search.search(&mut tx, &Query::text("boat"), &crew()).await.unwrap();
    assert_eq!(found.hits.len(), hostile.len());
    assert!(found.hits.iter().all(|hit| hit.title.html().contains("<mark>boat</mark>")));
    assert_eq!(find(&search, &mut tx, &Query::text("w77"), &crew()).await, ["distinct"]);
    assert_eq!(find(&search, &mut tx, &Query::text(&long[..4000]), &crew()).await, ["long"]);
    search.upsert(&mut tx, &post("wild", "")).await.unwrap();
    // Many at once take another way into the index.
    let mut many: Vec<_> = (0..1000).map(|n| post(&n.to_string(), "ship")).collect();
    many.extend(hostile.iter().map(|(id, text)| post(&format!("{id} again"), text).title(text.as_str())));
    assert_eq!(search.upsert_many(&mut tx, &many).await.unwrap().len(), many.len());
    source.commit(tx).await.unwrap();
    search.compact(&source, std::time::Duration::MAX).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    for (id, text) in [("distinct", "w77"), ("long", &long[..4000])] {
        let found = find(&search, &mut conn, &Query::text(text), &crew()).await;
        assert_eq!(found, [format!("{id} again"), id.to_owned()]);
    }
    assert_eq!(find(&search, &mut conn, &Query::text("boat").limit(20), &crew()).await.len(), 2 * hostile.len() - 1);
}

/// A document as long as can be costs a page no more than its bounds: a short title, a body read so far, no endless attachment.
pub async fn a_huge_document_comes_back_within_bounds<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    let filler = "é ".repeat(MAX_TEXT);
    let hostile = post("1", &format!("boat {}\u{1f6f6} river", &filler[..MAX_TEXT / 3]))
        .title(format!("boat {filler}"))
        .url("u".repeat(MAX_URL + 1))
        .extra("\0".repeat(MAX_EXTRA));
    let report = search.upsert(&mut tx, &hostile).await.unwrap();
    assert_eq!((report.dropped_url, report.dropped_extra), (true, true));
    assert_eq!(report.cut_bytes, "boat ".len() + filler.len() - MAX_TITLE);
    for (text, is_marked) in [("boat", true), ("river", false)] {
        let results = search.search(&mut tx, &Query::text(text), &crew()).await.unwrap();
        let hit = &results.hits[0];
        assert_eq!((hit.title.text.len(), &hit.url, &hit.extra), (MAX_TITLE, &None, &None));
        assert_eq!(
            !hit.snippet.marks.is_empty(),
            is_marked,
            "{text} is found, and marked if it stands near the beginning"
        );
        assert!(hit.snippet.text.starts_with("boat é"));
    }

    let fitting = post("1", "boat").url("u".repeat(MAX_URL)).extra("x".repeat(MAX_EXTRA));
    assert!(search.upsert(&mut tx, &fitting).await.unwrap().is_complete());
    let hit = search.search(&mut tx, &Query::text("boat"), &crew()).await.unwrap().hits.remove(0);
    assert_eq!((hit.url.unwrap().len(), hit.extra.unwrap().len()), (MAX_URL, MAX_EXTRA));
}

/// Whatever people type, the answer is a page.
pub async fn no_text_fails_as_a_query<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    search.upsert(&mut tx, &post("1", "a boat")).await.unwrap();
    let controls: String = ('\0'..='\u{9f}').collect();
    let many: Vec<String> = (0..600).map(|n| format!("w{n}")).collect();
    for text in [
        "",
        " ",
        "-",
        "--",
        "\"",
        "\"boat",
        "AND OR NOT",
        "*",
        "boat*",
        "bo:at",
        "(boat",
        "'; --",
        "\\",
        "%",
        "\0",
        "🎉",
        "-boat",
        "boat -",
        "boat & ship | !",
        "multi-agent",
        "\u{202e}",
        &controls,
        &many.join(" "),
        &"é".repeat(MAX_QUERY / 2),
    ] {
        for mode in [MatchMode::All, MatchMode::Any, MatchMode::Auto] {
            let results = search.search(&mut tx, &Query::text(text).mode(mode), &crew()).await;
            assert!(results.is_ok(), "{text:?}: {results:?}");
        }
    }
    for text in ["BOAT!", "\"boat\"", "boat\0", "\u{feff}boat", "(boat)"] {
        assert_eq!(find(&search, &mut tx, &Query::text(text), &crew()).await, ["1"], "{text:?}");
    }
    for weight in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0] {
        assert_eq!(find(&search, &mut tx, &Query::text("boat").title_weight(weight).limit(0), &crew()).await, ["1"]);
    }
}

/// A refused query leaves the caller's transaction as it was.
pub async fn after_a_refusal_the_transaction_is_usable<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    search.upsert(&mut tx, &post("1", "a boat")).await.unwrap();
    let refused = search.search(&mut tx, &Query::text("x".repeat(MAX_QUERY + 1)), &crew()).await;
    assert!(matches!(refused, Err(Error::QueryTooLong { .. })));
    search.upsert(&mut tx, &post("2", "a boat")).await.unwrap();
    source.commit(tx).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    assert_eq!(find(&search, &mut conn, &Query::text("boat"), &crew()).await, ["2", "1"]);
}
