//! Which records are found, and in which order.

use std::collections::HashSet;

use super::{CREATED, GROUP, Harness, UPDATED, created, post};
use crate::{Action, Actions, Actor, Audit, Entity, EntityId, Filter, Outcome, PageRequest, Record, RecordId, Source};

/// Whatever the page size, and while new records arrive on top.
pub async fn pages_walk_each_record_once_newest_first<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut conn = source.acquire().await.unwrap();
    let records: Vec<Record> = (0..23).map(|index| created(if index % 3 == 0 { "fizz" } else { "other" })).collect();
    let receipts = audit.record_many(&mut conn, &records).await.unwrap();
    let newest_first = |wanted: &dyn Fn(usize) -> bool| -> Vec<RecordId> {
        (0..receipts.len()).rev().filter(|&index| wanted(index)).map(|index| receipts[index].id()).collect()
    };
    let every = newest_first(&|_| true);
    let fizz = newest_first(&|index| index % 3 == 0);

    for limit in [1, 2, 4, 8, 23, 24] {
        let (mut recent, mut of_entity) = (Vec::new(), Vec::new());
        let mut page = Some(PageRequest::first(limit));
        while let Some(request) = page {
            let answer = audit.list(&mut conn, &Filter::new(), &request).await.unwrap();
            recent.extend(answer.items.iter().map(|entry| entry.id));
            page = answer.next.map(|id| PageRequest::first(limit).after(id));
        }
        let mut page = Some(PageRequest::first(limit));
        while let Some(request) = page {
            let answer = audit.list(&mut conn, &Filter::new().entity(post("fizz")), &request).await.unwrap();
            assert!(answer.items.iter().all(|entry| entry.record.entity == post("fizz")));
            of_entity.extend(answer.items.iter().map(|entry| entry.id));
            page = answer.next.map(|id| PageRequest::first(limit).after(id));
            if page.is_some() {
                audit.record(&mut conn, &created("fizz")).await.unwrap();
            }
        }
        let known: HashSet<RecordId> = every.iter().copied().collect();
        recent.retain(|id| known.contains(id));
        of_entity.retain(|id| known.contains(id));
        assert_eq!((&recent, &of_entity), (&every, &fizz), "pages of {limit}");
    }
    let nowhere = audit.list(&mut conn, &Filter::new().entity(post("nowhere")), &PageRequest::first(5)).await.unwrap();
    assert!(nowhere.items.is_empty() && nowhere.next.is_none());
}

/// Case, normal form, trailing blanks and the entity's type matter.
pub async fn ids_are_compared_as_bytes<H: Harness>(harness: &H) {
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let mut tx = source.begin().await.unwrap();
    let ids = ["ada", "Ada", "ada ", "caf\u{e9}", "cafe\u{301}", "a_a", "a%a"];
    for id in ids {
        audit.record(&mut tx, &created(id)).await.unwrap();
    }
    let same_id = Record::new(CREATED, &Actor::user("ada").unwrap(), Entity::new(GROUP, EntityId::new("ada").unwrap()));
    audit.record(&mut tx, &same_id).await.unwrap();
    for id in ids {
        let page = audit.list(&mut tx, &Filter::new().entity(post(id)), &PageRequest::first(10)).await.unwrap();
        assert_eq!(page.items.iter().map(|entry| &entry.record.entity).collect::<Vec<_>>(), [&post(id)]);
    }
}

/// Every combination of conditions chooses what [`Filter::matches`] says, across pages.
pub async fn a_filter_chooses_what_it_says<H: Harness>(harness: &H) {
    const NEIGHBOUR: Action = Action::new("test.posts.v1.PostService/CreatePostal");
    let (audit, source) = (Audit::new(harness.store()), harness.source());
    let actors = ["ada", "eve"].map(|id| Actor::user(id).unwrap());
    let scopes = [None, Some(Entity::new(GROUP, 1)), Some(Entity::new(GROUP, 2))];
    let outcomes = [Outcome::Succeeded, Outcome::Denied, Outcome::Failed];
    let mut records = Vec::new();
    for index in 0..108_usize {
        let action = [CREATED, UPDATED, NEIGHBOUR][index % 3].clone();
        let entity = post(["1", "2"][index / 3 % 2]);
        let mut record = Record::new(action, &actors[index / 6 % 2], entity).outcome(outcomes[index / 12 % 3]);
        record.scope.clone_from(&scopes[index / 36]);
        records.push(record);
    }
    let mut conn = source.acquire().await.unwrap();
    let receipts = audit.record_many(&mut conn, &records).await.unwrap();
    let written: Vec<(RecordId, &Record)> = receipts.iter().map(crate::Receipt::id).zip(&records).rev().collect();
    let moments = [written[80].0.at(), written[20].0.at()];

    let actions = [
        None,
        Some(Actions::named(&CREATED)),
        Some(Actions::starting_with("test.posts.v1.").unwrap()),
        Some(Actions::starting_with("test.posts.v1.PostService/CreatePost").unwrap()),
        Some(Actions::starting_with("test.nothing.").unwrap()),
    ];
    for combination in 0..2 * 2 * 2 * 2 * 2 * 5_usize {
        let is_set = |bit: usize| combination >> bit & 1 == 1;
        let mut filter = Filter::new();
        filter.actor = is_set(0).then(|| actors[1].clone());
        filter.entity = is_set(1).then(|| post("2"));
        filter.scope = if is_set(2) { scopes[1].clone() } else { None };
        filter.outcome = is_set(3).then_some(outcomes[1]);
        filter.since = is_set(4).then_some(moments[0]);
        filter.until = is_set(4).then_some(moments[1]);
        filter.actions.clone_from(&actions[combination / 32]);
        let mut found = Vec::new();
        let mut page = Some(PageRequest::first(7));
        while let Some(request) = page {
            let answer = audit.list(&mut conn, &filter, &request).await.unwrap();
            found.extend(answer.items.into_iter().map(|entry| entry.id));
            page = answer.next.map(|id| PageRequest::first(7).after(id));
        }
        let chosen = written.iter().filter(|(id, record)| filter.matches(*id, record)).map(|(id, _)| *id);
        assert!(found.iter().copied().eq(chosen), "{filter:?}");
    }
    let succeeded = Filter::new().outcome(Outcome::Succeeded);
    assert_eq!(audit.list(&mut conn, &succeeded, &PageRequest::first(1000)).await.unwrap().items.len(), 36);
}
