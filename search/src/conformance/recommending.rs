//! What a recommender learns from, and what it recommends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Barrier;

use super::{Harness, crew, post, search, tag, tags};
use crate::recommendation::{
    Candidate, CandidateStore, MAX_CANDIDATES, MAX_SIGNALS, Reason, Recorded, Signal, SignalCursor, SignalKey,
    SignalKind, SignalRecorder, Store, UserId,
};
use crate::{Audience, EntityId, Error, Source, Surface};

fn signal(key: &str) -> Signal {
    let (key, user, post) = (SignalKey::new(key), UserId::new("ada"), EntityId::new("1"));
    Signal::new(key.unwrap(), user.unwrap(), Surface::FEED, post.unwrap(), SignalKind::LIKE)
}

fn candidate(id: &str, score: f32) -> Candidate {
    Candidate::new(EntityId::new(id).unwrap(), score)
}

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn keys(signals: &[Recorded]) -> Vec<&str> {
    signals.iter().map(|recorded| recorded.signal.key.as_str()).collect()
}

/// Reads page after page from the beginning until so many signals were read. On a server that others write to as well the last ones may be
/// a while in coming.
async fn read<S: Store>(recorder: &SignalRecorder<S>, conn: &mut S::Connection, count: usize) -> Vec<Recorded> {
    let (mut signals, mut cursor, started) = (Vec::new(), None::<SignalCursor>, Instant::now());
    while signals.len() < count && started.elapsed() < Duration::from_mins(1) {
        let page = recorder.page(conn, cursor.as_ref(), 2).await.unwrap();
        assert!(page.signals.len() <= 2);
        cursor = Some(page.next.to_string().parse().unwrap());
        signals.extend(page.signals);
        tokio::task::yield_now().await;
    }
    signals
}

/// In the caller's transaction, once for each key, and read back as they were.
pub async fn a_signal_is_recorded_once<H: Harness>(harness: &H) {
    let (recorder, source) = (SignalRecorder::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    recorder.record(&mut tx, &signal("never")).await.unwrap();
    drop(tx);
    let mut tx = source.begin().await.unwrap();
    assert!(recorder.record(&mut tx, &signal("a")).await.unwrap());
    assert!(!recorder.record(&mut tx, &signal("a").weight(9.0)).await.unwrap());
    harness.savepoint(&mut tx).await;
    assert!(recorder.record(&mut tx, &signal("taken back")).await.unwrap());
    harness.rollback_to_savepoint(&mut tx).await;
    source.commit(tx).await.unwrap();

    let mut conn = source.acquire().await.unwrap();
    let many = [signal("c"), signal("a"), signal("b").weight(-0.1), signal("c").weight(3.0), signal("caf\u{e9} '; {}")];
    assert_eq!(recorder.record_many(&mut conn, &many).await.unwrap(), 3);
    assert_eq!(recorder.record_many(&mut conn, &many).await.unwrap(), 0);
    assert_eq!(recorder.record_many(&mut conn, &[]).await.unwrap(), 0);
    let found = read(&recorder, &mut conn, 4).await;
    assert_eq!(keys(&found), ["a", "b", "c", "caf\u{e9} '; {}"]);
    assert_eq!(
        found.iter().map(|recorded| &recorded.signal).collect::<Vec<_>>(),
        [&many[1], &many[2], &many[0], &many[4]]
    );
    let age = chrono::Utc::now() - found[0].recorded_at;
    assert!(age.num_minutes().abs() < 10, "{age}");
}

/// More than one call takes, and what is no number, is refused, and the transaction stays usable.
pub async fn what_is_no_signal_or_candidate_is_refused<H: Harness>(harness: &H) {
    let (recorder, candidates) = (SignalRecorder::new(harness.store()), CandidateStore::new(harness.store()));
    let source = harness.source();
    let mut tx = source.begin().await.unwrap();
    for weight in [f32::NAN, f32::INFINITY] {
        let refused = recorder.record(&mut tx, &signal("a").weight(weight)).await;
        assert!(matches!(refused, Err(Error::Invalid { what: "signal weight", .. })));
        let refused = candidates.replace(&mut tx, &user("ada"), &Surface::FEED, &[candidate("1", weight)]).await;
        assert!(matches!(refused, Err(Error::Invalid { what: "candidate score", .. })));
    }
    let signals: Vec<_> = (0..=MAX_SIGNALS).map(|n| signal(&n.to_string())).collect();
    let refused = recorder.record_many(&mut tx, &signals).await;
    assert!(matches!(refused, Err(Error::TooMany { what: "signals", count: 1001, limit: MAX_SIGNALS })));
    let many: Vec<_> = (0..=MAX_CANDIDATES).map(|n| candidate(&n.to_string(), 1.0)).collect();
    let refused = candidates.replace(&mut tx, &user("ada"), &Surface::FEED, &many).await;
    assert!(matches!(refused, Err(Error::TooMany { what: "candidates", .. })));
    assert_eq!(recorder.record_many(&mut tx, &signals[1..]).await.unwrap(), 1000);
    candidates.replace(&mut tx, &user("ada"), &Surface::FEED, &many[1..]).await.unwrap();
    source.commit(tx).await.unwrap();
}

/// Who reads on from where a page ended meets every signal once, also those of a transaction that began earlier and commits later.
pub async fn a_signal_that_commits_late_is_read<H: Harness>(harness: &H) {
    let (recorder, source) = (SignalRecorder::new(harness.store()), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let mut late = source.begin().await.unwrap();
    recorder.record(&mut late, &signal("late 1")).await.unwrap();
    if H::CONCURRENT_WRITERS {
        for n in 0..5 {
            recorder.record(&mut conn, &signal(&format!("early {n}"))).await.unwrap();
        }
    }
    let before = recorder.page(&mut conn, None, 100).await.unwrap();
    recorder.record(&mut late, &signal("late 2")).await.unwrap();
    source.commit(late).await.unwrap();
    let (mut found, mut cursor, started) = (before.signals, before.next, Instant::now());
    let expected = if H::CONCURRENT_WRITERS { 7 } else { 2 };
    while found.len() < expected && started.elapsed() < Duration::from_mins(1) {
        let page = recorder.page(&mut conn, Some(&cursor), 3).await.unwrap();
        cursor = page.next;
        found.extend(page.signals);
        tokio::task::yield_now().await;
    }
    let distinct: BTreeSet<_> = keys(&found).into_iter().map(str::to_owned).collect();
    assert_eq!((found.len(), distinct.len()), (expected, expected), "{distinct:?}");
}

/// The oldest go, as many as were asked for, and their keys can be used again.
pub async fn old_signals_are_pruned<H: Harness>(harness: &H) {
    let (recorder, source) = (SignalRecorder::new(harness.store()), harness.source());
    let mut conn = source.acquire().await.unwrap();
    for key in ["a", "b", "c"] {
        recorder.record(&mut conn, &signal(key)).await.unwrap();
    }
    let cursor = read(&recorder, &mut conn, 3).await.len();
    assert_eq!(cursor, 3);
    for age in [Duration::from_hours(1), Duration::MAX] {
        assert_eq!(recorder.prune(&mut conn, age, 100).await.unwrap(), 0);
    }
    assert_eq!(recorder.prune(&mut conn, Duration::ZERO, 2).await.unwrap(), 2);
    assert_eq!(keys(&read(&recorder, &mut conn, 1).await), ["c"]);
    assert!(recorder.record(&mut conn, &signal("a")).await.unwrap());
    assert_eq!(keys(&read(&recorder, &mut conn, 2).await), ["c", "a"]);
}

/// Best first, with score and reason, for one user and one surface.
pub async fn candidates_replace_those_before<H: Harness>(harness: &H) {
    let (search, candidates, source) = (search(harness), CandidateStore::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    for id in ["1", "2", "3", "caf\u{e9} \",'"] {
        search.upsert(&mut tx, &post(id, "boat")).await.unwrap();
    }
    let (ada, everything) = (user("ada"), Audience::everything());
    let because = candidate("2", 0.1).reason(Reason::new("because of \u{201c}1\u{201d}, \"'{}\\").unwrap());
    let given = [candidate("3", -1.5), because.clone(), candidate("caf\u{e9} \",'", 0.1), candidate("2", -7.0)];
    candidates.replace(&mut tx, &ada, &Surface::FEED, &given).await.unwrap();
    let expected = [because, given[2].clone(), given[0].clone()];
    assert_eq!(candidates.read(&mut tx, &ada, &Surface::FEED, &everything, 10).await.unwrap(), expected);
    assert_eq!(candidates.read(&mut tx, &ada, &Surface::FEED, &everything, 2).await.unwrap(), expected[..2]);
    assert!(candidates.read(&mut tx, &user("Ada"), &Surface::FEED, &everything, 10).await.unwrap().is_empty());
    assert!(candidates.read(&mut tx, &ada, &Surface::JOBS, &everything, 10).await.unwrap().is_empty());

    harness.savepoint(&mut tx).await;
    candidates.replace(&mut tx, &ada, &Surface::FEED, &[candidate("1", 1.0)]).await.unwrap();
    candidates.replace(&mut tx, &ada, &Surface::JOBS, &[candidate("1", 1.0)]).await.unwrap();
    assert_eq!(candidates.read(&mut tx, &ada, &Surface::FEED, &everything, 10).await.unwrap(), [candidate("1", 1.0)]);
    harness.rollback_to_savepoint(&mut tx).await;
    source.commit(tx).await.unwrap();
    let mut conn = source.acquire().await.unwrap();
    assert_eq!(candidates.read(&mut conn, &ada, &Surface::FEED, &everything, 10).await.unwrap(), expected);
    candidates.replace(&mut conn, &ada, &Surface::FEED, &[]).await.unwrap();
    assert!(candidates.read(&mut conn, &ada, &Surface::FEED, &everything, 10).await.unwrap().is_empty());
}

/// What the caller may not see, or may not any more, and what is gone, is not recommended, whenever that happened.
pub async fn candidates_are_those_the_caller_may_see<H: Harness>(harness: &H) {
    let (search, candidates, source) = (search(harness), CandidateStore::new(harness.store()), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let id = |id: &str| EntityId::new(id).unwrap();
    for (name, tag_name) in [("1", "crew"), ("2", "crew"), ("3", "guests"), ("4", "crew")] {
        search.upsert(&mut conn, &post(name, "boat").audience([tag(tag_name), tag("all")])).await.unwrap();
    }
    search.upsert(&mut conn, &post("nobody", "boat").audience([])).await.unwrap();
    let given = ["absent", "nobody", "4", "3", "2", "1"].map(|id| candidate(id, 1.0));
    candidates.replace(&mut conn, &user("ada"), &Surface::FEED, &given).await.unwrap();
    search.remove(&mut conn, &Surface::FEED, &id("2")).await.unwrap();
    for (audience, expected) in [
        (crew(), vec!["4", "1"]),
        (tags(&["guests", "crew"]), vec!["4", "3", "1"]),
        (tags(&["all"]).within([tag("guests")]), vec!["3"]),
        (tags(&[]), vec![]),
        (tags(&[""; 0]), vec![]),
        (Audience::everything(), vec!["nobody", "4", "3", "1"]),
    ] {
        let found = candidates.read(&mut conn, &user("ada"), &Surface::FEED, &audience, 10).await.unwrap();
        let found: Vec<_> = found.iter().map(|candidate| candidate.entity_id.as_str()).collect();
        assert_eq!(found, expected, "{audience:?}");
    }
    search.set_audience(&mut conn, &Surface::FEED, &id("4"), [tag("guests")]).await.unwrap();
    let found = candidates.read(&mut conn, &user("ada"), &Surface::FEED, &crew(), 1).await.unwrap();
    assert_eq!(found, [candidate("1", 1.0)]);
}

/// Of those who replace the same candidates at the same time one wins, and wins all.
pub async fn concurrent_candidates_never_mix<H: Harness>(harness: &H) {
    let (search, source) = (search(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let documents: Vec<_> = (0..40).map(|n| post(&n.to_string(), "boat")).collect();
    search.upsert_many(&mut conn, &documents).await.unwrap();
    let barrier = Arc::new(Barrier::new(4));
    let writers: Vec<_> = (0..4_u8)
        .map(|writer| {
            let (candidates, source) = (CandidateStore::new(harness.store()), harness.source());
            let barrier = barrier.clone();
            tokio::spawn(async move {
                let set: Vec<_> = (0..10 + writer)
                    .map(|n| candidate(&((writer * 10 + n) % 40).to_string(), f32::from(writer)))
                    .collect();
                barrier.wait().await;
                for _ in 0..10 {
                    let mut tx = source.begin().await.unwrap();
                    candidates.replace(&mut tx, &user("ada"), &Surface::FEED, &set).await.unwrap();
                    source.commit(tx).await.unwrap();
                    let mut conn = source.acquire().await.unwrap();
                    let found = candidates.read(&mut conn, &user("ada"), &Surface::FEED, &crew(), 100).await.unwrap();
                    let winners: BTreeSet<u32> = found.iter().map(|found| found.score.to_bits()).collect();
                    let winner = f32::from(u8::try_from(found.len() - 10).unwrap());
                    assert_eq!(winners, BTreeSet::from([winner.to_bits()]), "{found:?}");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}
