//! Random operations give identical answers on memory, SQLite and PostgreSQL.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use stoa_audit::{
    Action, Actions, Actor, ActorName, Body, Entity, EntityId, EntityType, Filter, IdempotencyKey, Memory, NewRecord,
    Outcome, Personal, PersonalFields, Postgres, Record, RecordId, RequestContext, RequestId, Result, Source, Sqlite,
    Store, Trust, UserId, memory,
};

const ENTITIES: [(&str, &str); 4] = [("post", "1"), ("post", "A"), ("post", "a"), ("group", "a")];

static ACTIONS: [Action; 3] = [
    Action::new("test.posts.v1.PostService/Touch"),
    Action::new("test.posts.v1.PostService/TouchAll"),
    Action::new("test.users.v1.UserService/Touch"),
];

#[derive(Clone, Debug)]
enum Operation {
    Append(Record),
    AppendMany(Vec<Record>),
    /// An id that an earlier operation may have used.
    AppendTaken(Record),
    Find(Index),
    Erase {
        subject: UserId,
        record: Record,
    },
    List {
        filter: Filter,
        before: Index,
        limit: u32,
    },
}

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
    let actor = prop_oneof![actor(), short().prop_map(Actor::User)];
    let done = (prop::sample::select(&ACTIONS[..]), outcome, prop::option::weighted(0.3, "[kK]"));
    let personal = prop::option::of((short(), body()));
    (actor, entities, people, request, done, (bodies, personal)).prop_map(
        |(actor, (entity, scope), (impersonator, on_behalf_of), (request_id, client), done, (bodies, personal))| {
            let ((action, outcome, key), (before, after)) = (done, bodies);
            let user = |id: String| UserId::new(id).unwrap();
            let mut record = Record::new(action, &actor, entity).outcome(outcome);
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
            record.key = key.map(|key| IdempotencyKey::new(key).unwrap());
            record.personal = personal
                .and_then(|(subject, fields)| fields.map(|fields| Personal::Kept(PersonalFields { subject, fields })));
            record
        },
    )
}

/// Ids that meet each other.
fn short() -> impl Strategy<Value = UserId> {
    "[ab]".prop_map(|id| UserId::new(id).unwrap())
}

fn filter() -> impl Strategy<Value = Filter> {
    let outcome = prop::sample::select(&[Outcome::Denied, Outcome::Failed, Outcome::Succeeded][..]);
    let actions = prop_oneof![
        prop::sample::select(&ACTIONS[..]).prop_map(|action| Actions::named(&action)),
        "test\\.[a-z]".prop_map(|prefix| Actions::starting_with(&prefix).unwrap()),
        Just(Actions::starting_with("test.posts.v1.PostService/T").unwrap()),
    ];
    let (actor, actions, outcome) = (prop::option::of(actor()), prop::option::of(actions), prop::option::of(outcome));
    (actor, prop::option::of(entity()), prop::option::weighted(0.3, entity()), actions, outcome).prop_map(
        |(actor, entity, scope, actions, outcome)| {
            let mut filter = Filter::new();
            filter.actor = actor;
            filter.entity = entity;
            filter.scope = scope;
            filter.actions = actions;
            filter.outcome = outcome;
            filter
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => record().prop_map(Operation::Append),
        2 => prop::collection::vec(record(), 1..6).prop_map(Operation::AppendMany),
        1 => record().prop_map(Operation::AppendTaken),
        1 => any::<Index>().prop_map(Operation::Find),
        1 => (short(), record()).prop_map(|(subject, record)| Operation::Erase { subject, record }),
        4 => (filter(), any::<Index>(), 1..6_u32)
            .prop_map(|(filter, before, limit)| Operation::List { filter, before, limit }),
    ]
}

/// The records of an operation under their ids, made beforehand: salts and ids are the same on every backend.
fn prepared<'a>(operation: &'a Operation, taken: RecordId) -> Vec<NewRecord<'a>> {
    let new = |id, record: &'a Record| NewRecord::new(id, record).unwrap();
    match operation {
        Operation::Append(record) | Operation::Erase { record, .. } => vec![new(RecordId::now(), record)],
        Operation::AppendMany(records) => records.iter().map(|record| new(RecordId::now(), record)).collect(),
        Operation::AppendTaken(record) => vec![new(taken, record)],
        Operation::Find(_) | Operation::List { .. } => Vec::new(),
    }
}

/// Transactions, and whether each commits.
type Prepared<'a> = Vec<(Vec<(&'a Operation, Vec<NewRecord<'a>>)>, bool)>;

/// Runs the transactions and says what each operation answered.
async fn answers<S: Store, P: Source<Connection = S::Connection>>(
    store: &S,
    source: &P,
    transactions: &Prepared<'_>,
    ids: &[RecordId],
) -> Vec<String> {
    let mut answers = Vec::new();
    for (operations, commits) in transactions {
        let mut tx = source.begin().await.unwrap();
        let mut is_usable = true;
        for (operation, records) in operations {
            let answer = answer(store, &mut tx, operation, records, ids).await;
            is_usable = answer.is_ok();
            answers.push(answer.unwrap_or_else(|_| "failed".into()));
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
    records: &[NewRecord<'_>],
    ids: &[RecordId],
) -> Result<String> {
    Ok(match operation {
        Operation::Append(_) | Operation::AppendTaken(_) => format!("{:?}", store.append(conn, &records[0]).await?),
        Operation::AppendMany(_) => format!("{:?}", store.append_many(conn, records).await?),
        Operation::Erase { subject, .. } => format!("{:?}", store.erase(conn, subject, &records[0]).await?),
        Operation::Find(id) => format!("{:?}", store.find(conn, *id.get(ids)).await?),
        Operation::List { filter, before, limit } => {
            format!("{:?}", store.list(conn, filter, *before.get(ids), *limit).await?)
        }
    })
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
            let taken = RecordId::now();
            let transactions: Prepared<'_> = transactions
                .iter()
                .map(|(operations, commits)| {
                    (operations.iter().map(|operation| (operation, prepared(operation, taken))).collect(), *commits)
                })
                .collect();
            let records = transactions.iter().flat_map(|(operations, _)| operations.iter().flat_map(|(_, new)| new));
            let mut ids: Vec<RecordId> = records.map(|new| new.id).collect();
            ids.push(RecordId::now());
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
