//! Laws of the feed: what became visible, once and in order.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Barrier;

use super::{Harness, by, chess, follow, group, membership, owner, role, user};
use crate::{Cursor, Error, Event, Scope, Source, Transition, UserId};

fn changed(events: Vec<Event>) -> Vec<Transition> {
    let changed = events.into_iter().map(|event| match event {
        Event::Changed(transition) => transition,
        Event::Purged { .. } => panic!("nothing was purged: {event:?}"),
    });
    changed.collect()
}

/// From the start, in pages of any size: every event once, those of a membership in the order of their versions.
pub async fn the_feed_brings_every_committed_event_once<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let mut kept = Cursor::start();
    assert_eq!(follow(&membership, &mut conn, &mut kept, 10).await, []);
    let mut expected = Vec::new();
    for round in 0..4 {
        let mut tx = source.begin().await.unwrap();
        for name in ["ada", "bob", "eve"] {
            membership.join(&mut tx, &user(name), &group(&format!("group-{}", round % 2)), &by()).await.unwrap();
            let change = membership.ban(&mut tx, &user(name), &chess(), &by()).await.unwrap();
            expected.push((change.after().user().clone(), change.version()));
        }
        source.commit(tx).await.unwrap();
        // A bare verb is a transaction of its own.
        membership.leave(&mut conn, &user("ada"), &group(&format!("group-{}", round % 2)), &by()).await.unwrap();
        let news = changed(follow(&membership, &mut conn, &mut kept, 2).await);
        assert_eq!(news.len(), if round < 2 { 7 } else { 5 }, "round {round}");
    }
    assert_eq!(follow(&membership, &mut conn, &mut kept, 1).await, []);
    let mut whole = None;
    for limit in [1, 2, 23, 24, 25, 1000] {
        let events = changed(follow(&membership, &mut conn, &mut Cursor::start(), limit).await);
        assert_eq!(events.len(), 24, "limit {limit}");
        let bans = events.iter().filter(|event| event.scope == chess());
        let bans: Vec<_> = bans.map(|event| (event.user.clone(), event.version)).collect();
        assert_eq!(bans, expected, "limit {limit}");
        assert_eq!(whole.get_or_insert_with(|| events.clone()), &events, "limit {limit}");
    }
    // The event is what the history holds.
    let history = super::whole_history(&membership, &mut conn, &user("ada"), &group("group-0")).await;
    let of_ada = whole.unwrap().into_iter().rev();
    let of_ada: Vec<_> = of_ada.filter(|event| event.user == user("ada") && event.scope == group("group-0")).collect();
    assert_eq!(of_ada, history);
}

/// Also where the pages before happened to end with the last event, and something came after.
pub async fn an_answer_without_events_has_caught_up<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let (mut after, mut seen) = (Cursor::start(), Vec::new());
    for names in [&["ada", "bob"][..], &["eve"], &[]] {
        for name in names {
            membership.join(&mut conn, &user(name), &chess(), &by()).await.unwrap();
        }
        let page = membership.changes(&mut conn, &after, 1).await.unwrap();
        seen.extend(changed(page.events));
        let page = membership.changes(&mut conn, &page.next, 1).await.unwrap();
        seen.extend(changed(page.events));
        after = page.next;
    }
    let seen: Vec<_> = seen.iter().map(|event| event.user.as_str()).collect();
    assert_eq!(seen, ["ada", "bob", "eve"]);
    assert_eq!(membership.changes(&mut conn, &after, 1).await.unwrap().events, []);
    membership.leave(&mut conn, &user("eve"), &chess(), &by()).await.unwrap();
    assert_eq!(membership.changes(&mut conn, &after, 1).await.unwrap().events.len(), 1);
}

/// What was rolled back is in no feed, and takes nothing else along.
pub async fn a_rolled_back_change_is_in_no_feed<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let mut kept = Cursor::start();
    for round in 0..3 {
        let mut tx = source.begin().await.unwrap();
        membership.join(&mut tx, &user(&format!("rolled-back-{round}")), &chess(), &by()).await.unwrap();
        assert_eq!(follow(&membership, &mut conn, &mut kept, 1).await, [], "it is not committed");
        drop(tx);
        let name = user(&format!("ada-{round}"));
        membership.join(&mut conn, &name, &chess(), &by()).await.unwrap();
        let events = changed(follow(&membership, &mut conn, &mut kept, 1).await);
        assert_eq!(events.into_iter().map(|event| event.user).collect::<Vec<_>>(), [name]);
    }
    assert_eq!(follow(&membership, &mut conn, &mut Cursor::start(), 2).await.len(), 3);
}

/// Who needs only news begins at the latest.
pub async fn the_latest_cursor_brings_only_what_is_to_come<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut conn = source.acquire().await.unwrap();
    for name in ["ada", "bob"] {
        let mut latest = membership.latest(&mut conn).await.unwrap().to_string().parse().unwrap();
        assert_eq!(follow(&membership, &mut conn, &mut latest, 10).await, []);
        membership.join(&mut conn, &user(name), &chess(), &by()).await.unwrap();
        membership.leave(&mut conn, &user(name), &chess(), &by()).await.unwrap();
        let events = changed(follow(&membership, &mut conn, &mut latest, 10).await);
        assert_eq!(
            events.iter().map(|event| (&event.user, event.version)).collect::<Vec<_>>(),
            [(&user(name), 1), (&user(name), 2)]
        );
    }
}

/// A cursor that no feed of this database gave out is an error, and the transaction is usable after it.
pub async fn a_foreign_cursor_is_refused<H: Harness>(harness: &H) {
    let (membership, source) = (membership(harness), harness.source());
    let mut tx = source.begin().await.unwrap();
    membership.join(&mut tx, &user("ada"), &chess(), &by()).await.unwrap();
    source.commit(tx).await.unwrap();
    let mut tx = source.begin().await.unwrap();
    for foreign in [
        "x",
        "-1",
        "1.5",
        "0x1",
        " 1",
        "'",
        "\u{661}",
        "99999999999",
        "9223372036854775807",
        "18446744073709551616",
        "99999999999:99999999999:",
        "99999999999:99999999999:/99999999999:99999999999:/1",
        "3:2:",
        "3:3:/",
        "1:2:3:4",
        "3:9:10",
        "3:9:/3:9:",
        "3:9:/3:9:/-",
        ":",
        "/",
        "//",
    ] {
        // The checksum is right: only the backend can tell.
        let cursor: Cursor = Cursor::new(foreign.to_owned()).to_string().parse().unwrap();
        let refused = membership.changes(&mut tx, &cursor, 10).await;
        assert!(matches!(refused, Err(Error::Cursor)), "{foreign}: {refused:?}");
    }
    let latest = membership.latest(&mut tx).await.unwrap().to_string();
    for edited in [format!("{latest}0"), latest.replace('.', ".1"), latest[1..].to_owned(), String::new()] {
        assert!(matches!(edited.parse::<Cursor>(), Err(Error::Cursor)), "{edited}");
    }
    assert_eq!(membership.changes(&mut tx, &Cursor::start(), 10).await.unwrap().events.len(), 1);
    membership.join(&mut tx, &user("bob"), &chess(), &by()).await.unwrap();
}

/// Sixty-four writers, some of whom roll back, and a reader that polls all the while in small pages.
pub async fn many_writers_and_a_reader_of_the_feed<H: Harness>(harness: &H) {
    const WRITERS: usize = 64;
    let source = harness.source();
    let (reader, mut conn) = (membership(harness), source.acquire().await.unwrap());
    // The guard is not what this is about.
    reader.add(&mut conn, &user("root"), &chess(), &owner(), &by()).await.unwrap();
    let barrier = Arc::new(Barrier::new(WRITERS + 1));
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..WRITERS {
        let (membership, source, barrier) = (membership(harness), source.clone(), barrier.clone());
        writers.spawn(async move {
            barrier.wait().await;
            // Its own row and one that eight others write, too.
            let (own, shared) = (user(&format!("writer-{number}")), user(&format!("shared-{}", number / 8)));
            let mut tx = source.begin().await.unwrap();
            membership.add(&mut tx, &shared, &chess(), &owner(), &by()).await.unwrap();
            membership.join(&mut tx, &own, &chess(), &by()).await.unwrap();
            if number % 8 == 7 {
                return Vec::new(); // rolled back
            }
            source.commit(tx).await.unwrap();
            let mut tx = source.begin().await.unwrap();
            let role = role(&format!("role-{number}"));
            membership.set_role(&mut tx, &shared, &chess(), &role, &by()).await.unwrap();
            membership.leave(&mut tx, &own, &chess(), &by()).await.unwrap();
            source.commit(tx).await.unwrap();
            vec![own, shared]
        });
    }
    barrier.wait().await;
    let (mut cursor, mut events) = (Cursor::start(), Vec::new());
    let mut written = Vec::new();
    let mut is_over = false;
    loop {
        let limit = [1, 3, 7][events.len() % 3];
        let page = reader.changes(&mut conn, &cursor, limit).await.unwrap();
        cursor = page.next;
        // The end of a page is not the end of the feed: only after all have committed, and nothing came twice.
        let was_empty = page.events.is_empty();
        events.extend(page.events);
        if was_empty && is_over {
            break;
        }
        while let Some(done) = writers.try_join_next() {
            written.push(done.unwrap());
        }
        is_over = written.len() == WRITERS;
        tokio::task::yield_now().await;
    }
    events.extend(follow(&reader, &mut conn, &mut cursor, 100).await);

    let mut versions: HashMap<(UserId, Scope), Vec<i64>> = HashMap::new();
    for event in changed(events) {
        versions.entry((event.user, event.scope)).or_default().push(event.version);
    }
    assert_eq!(versions.remove(&(user("root"), chess())).unwrap(), [1]);
    let committed: Vec<_> = written.into_iter().flatten().collect();
    for user in committed.iter().filter(|user| user.as_str().starts_with("writer-")) {
        assert_eq!(versions.remove(&(user.clone(), chess())).unwrap(), [1, 2], "{user}");
    }
    for number in 0..8 {
        let shared = user(&format!("shared-{number}"));
        let found = versions.remove(&(shared.clone(), chess())).unwrap();
        let history = super::whole_history(&reader, &mut conn, &shared, &chess()).await;
        let expected: Vec<_> = history.iter().rev().map(|change| change.version).collect();
        assert_eq!(found, expected, "{shared}");
        assert_eq!(expected, (1..=i64::try_from(expected.len()).unwrap()).collect::<Vec<_>>());
    }
    assert!(versions.is_empty(), "not committed: {versions:?}");
}
