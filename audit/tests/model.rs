//! Random operations give identical answers on memory, SQLite and PostgreSQL.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use stoa_audit::{
    Action, Actor, ActorName, Body, Entity, EntityId, EntityType, Entry, Memory, Outcome, Postgres, Record, RecordId,
    RequestContext, RequestId, Result, Source, Sqlite, Store, Trust, UserId, memory,
};

const ENTITIES: [(&str, &str); 4] = [("post", "1"), ("post", "A"), ("post", "a"), ("group", "a")];

#[derive(Clone, Debug)]
enum Operation {
    Append(Record),
    AppendMany(Vec<Record>),
    /// Two records under one id, or an id that an earlier transaction may have used.
    AppendTaken(Record),
    Find(Index),
    ListByEntity {
        entity: usize,
        before: Index,
        limit: u32,
    },
    ListRecent {
        before: Index,
        limit: u32,
    },
}

/// One transaction and whether it commits.
type Transaction = (Vec<Operation>, bool);

fn entity() -> impl Strategy<Value = Entity> {
    prop::sample::select(&ENTITIES[..]).prop_map(named)
}

fn named((kind, id): (&str, &str)) -> Entity {
    Entity::new(EntityType::new(kind).unwrap(), EntityId::new(id).unwrap())
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        text().prop_map(|id| Actor::user(id).unwrap()),
        text().prop_map(|name| Actor::Service(ActorName::new(name).unwrap())),
        text().prop_map(|name| Actor::System(ActorName::new(name).unwrap())),
    ]
}

/// Texts that any id takes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-cA-C]{1,3}", "\\PC{1,20}"]
        .prop_filter("every id takes it", |text| UserId::new(text.as_str()).is_ok())
}

fn body() -> impl Strategy<Value = Option<Body>> {
    let member = prop_oneof![
        any::<String>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
    ];
    let object = prop::collection::vec(("\\PC{0,5}", member), 0..4).prop_map(|members| {
        let members = members.into_iter().map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key)));
        Body::from_stored(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
    });
    prop::option::of(object)
}

fn record() -> impl Strategy<Value = Record> {
    let outcome = prop::sample::select(&[Outcome::Denied, Outcome::Failed, Outcome::Succeeded][..]);
    let trust = prop::sample::select(&[Trust::Claimed, Trust::Direct, Trust::Proxied][..]);
    let people = (prop::option::of(text()), prop::option::of(text()));
    let request = (prop::option::of(text()), prop::option::of((any::<std::net::IpAddr>(), trust)));
    let (entities, bodies) = ((entity(), prop::option::of(entity())), (body(), body()));
    (actor(), entities, people, request, outcome, bodies).prop_map(
        |(actor, (entity, scope), (impersonator, on_behalf_of), (request_id, client), outcome, (before, after))| {
            const ACTION: Action = Action::new("test.posts.v1.PostService/Touch");
            let user = |id: String| UserId::new(id).unwrap();
            let mut record = Record::new(ACTION, &actor, entity).outcome(outcome);
            record.impersonator = impersonator.map(user);
            record.on_behalf_of = on_behalf_of.map(user);
            record.scope = scope;
            let mut request = RequestContext::default();
            request.request_id = request_id.map(|id| RequestId::new(id).unwrap());
            record.request = match client {
                Some((ip, trust)) => request.client(ip, trust),
                None => request,
            };
            record.before = before;
            record.after = after;
            record
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => record().prop_map(Operation::Append),
        2 => prop::collection::vec(record(), 1..6).prop_map(Operation::AppendMany),
        1 => record().prop_map(Operation::AppendTaken),
        1 => any::<Index>().prop_map(Operation::Find),
        2 => (0..ENTITIES.len(), any::<Index>(), 1..6_u32)
            .prop_map(|(entity, before, limit)| Operation::ListByEntity { entity, before, limit }),
        2 => (any::<Index>(), 1..6_u32).prop_map(|(before, limit)| Operation::ListRecent { before, limit }),
    ]
}

/// Runs the transactions and says what each operation answered. The ids are drawn from a list made beforehand, since a
/// facade would mint others for each backend.
async fn answers<S: Store, P: Source<Connection = S::Connection>>(
    store: &S,
    source: &P,
    transactions: &[Transaction],
    ids: &[RecordId],
) -> Vec<String> {
    let mut answers = Vec::new();
    let mut fresh = ids.iter().copied();
    for (operations, commits) in transactions {
        let mut tx = source.begin().await.unwrap();
        let mut is_usable = true;
        for operation in operations {
            let answer = answer(store, &mut tx, operation, &mut fresh, ids).await;
            is_usable = answer.is_ok();
            answers.push(answer.map_err(|_| "failed").map_or_else(Into::into, |entries| format!("{entries:?}")));
            if !is_usable {
                break;
            }
        }
        if *commits && is_usable {
            source.commit(tx).await.unwrap();
        }
    }
    answers
}

async fn answer<S: Store>(
    store: &S,
    conn: &mut S::Connection,
    operation: &Operation,
    fresh: &mut impl Iterator<Item = RecordId>,
    ids: &[RecordId],
) -> Result<Vec<Entry>> {
    match operation {
        Operation::Append(record) => store.append(conn, fresh.next().unwrap(), record).await.map(|()| Vec::new()),
        Operation::AppendMany(records) => {
            let records: Vec<_> = records.iter().map(|record| (fresh.next().unwrap(), record)).collect();
            store.append_many(conn, &records).await.map(|()| Vec::new())
        }
        Operation::AppendTaken(record) => store.append(conn, ids[0], record).await.map(|()| Vec::new()),
        Operation::Find(id) => Ok(store.find(conn, *id.get(ids)).await?.into_iter().collect()),
        Operation::ListByEntity { entity, before, limit } => {
            store.list_by_entity(conn, &named(ENTITIES[*entity]), *before.get(ids), *limit).await
        }
        Operation::ListRecent { before, limit } => store.list_recent(conn, *before.get(ids), *limit).await,
    }
}

#[test]
fn backends_agree_on_random_operations() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let cases = if std::env::var_os("STOA_TEST_FULL").is_some() { 160 } else { 16 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let transactions =
        prop::collection::vec((prop::collection::vec(operation(), 1..12), prop::bool::weighted(0.8)), 1..8);
    runner
        .run(&transactions, |transactions| {
            let ids: Vec<RecordId> = (0..1000).map(|_| RecordId::now()).collect();
            let oracle = memory::Database::default();
            let expected = runtime.block_on(answers(&Memory, &oracle, &transactions, &ids));
            // Records cannot be removed again: every case has databases of its own.
            let sqlite = runtime.block_on(testkit::sqlite(&[&stoa_audit::sqlite::MIGRATOR]));
            let on_sqlite = runtime.block_on(answers(&Sqlite, sqlite.pool(), &transactions, &ids));
            prop_assert_eq!(&on_sqlite, &expected);
            let postgres = runtime.block_on(testkit::postgres(&[&stoa_audit::postgres::MIGRATOR]));
            let on_postgres = runtime.block_on(answers(&Postgres, postgres.pool(), &transactions, &ids));
            prop_assert_eq!(&on_postgres, &expected);
            Ok(())
        })
        .unwrap();
}
