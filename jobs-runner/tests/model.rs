//! Random operations give identical answers on memory, SQLite and PostgreSQL.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use stoa_jobs_runner::{
    Claim, ClaimRequest, DeadReason, Due, Filter, JobId, JobRecord, Kind, Memory, NewJob, Outcome, Postgres, Queue,
    Report, Source, Sqlite, State, Store, Token, memory,
};

const QUEUES: [Queue; 2] = [Queue::from_static("default"), Queue::from_static("mail")];
const KINDS: [Kind; 3] = [Kind::from_static("a"), Kind::from_static("b"), Kind::from_static("c")];
const STATES: [State; 5] = [State::Pending, State::Running, State::Failed, State::Succeeded, State::Dead];

/// Clocks differ between backends: every duration is nothing, or longer than the test.
#[derive(Clone, Copy, Debug)]
enum Time {
    Now,
    Later,
}

impl From<Time> for Duration {
    fn from(time: Time) -> Self {
        match time {
            Time::Now => Duration::ZERO,
            Time::Later => Duration::from_hours(1),
        }
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Enqueue { queue: usize, kind: usize, due: Time, max_attempts: u16 },
    Claim { queue: usize, kinds: usize, lease: Time },
    Renew { claims: Vec<prop::sample::Index>, lease: Time },
    Report { reports: Vec<(prop::sample::Index, Outcome)> },
    Rescue,
    Find { job: prop::sample::Index },
    List { queue: Option<usize>, state: Option<usize>, before: Option<prop::sample::Index>, limit: u32 },
}

fn time() -> impl Strategy<Value = Time> {
    prop_oneof![2 => Just(Time::Now), 1 => Just(Time::Later)]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let failed = |(retry, error, reason): (Option<Time>, usize, DeadReason)| Outcome::Failed {
        error: ["no route", "", "'\"\\\u{1f600}"][error].to_owned(),
        retry: retry.map(Duration::from),
        reason,
    };
    let reason = prop_oneof![Just(DeadReason::Exhausted), Just(DeadReason::Fatal), Just(DeadReason::Undecodable)];
    prop_oneof![
        2 => Just(Outcome::Succeeded),
        4 => (prop::option::weighted(0.8, time()), 0..3_usize, reason).prop_map(failed),
        1 => time().prop_map(|delay| Outcome::Released { delay: delay.into() }),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let (queue, index) = (0..QUEUES.len(), any::<prop::sample::Index>());
    prop_oneof![
        4 => (queue.clone(), 0..KINDS.len(), time(), 1..4_u16)
            .prop_map(|(queue, kind, due, max_attempts)| Operation::Enqueue { queue, kind, due, max_attempts }),
        4 => (queue.clone(), 0..=KINDS.len(), time())
            .prop_map(|(queue, kinds, lease)| Operation::Claim { queue, kinds, lease }),
        1 => (prop::collection::vec(index.clone(), 0..4), time())
            .prop_map(|(claims, lease)| Operation::Renew { claims, lease }),
        4 => prop::collection::vec((index.clone(), outcome()), 0..4).prop_map(|reports| Operation::Report { reports }),
        2 => Just(Operation::Rescue),
        1 => index.clone().prop_map(|job| Operation::Find { job }),
        1 => (prop::option::of(queue), prop::option::of(0..STATES.len()), prop::option::of(index), 0..6_u32)
            .prop_map(|(queue, state, before, limit)| Operation::List { queue, state, before, limit }),
    ]
}

/// What the operations have brought about so far, in one backend.
#[derive(Default)]
struct History {
    jobs: Vec<JobId>,
    claims: Vec<Claim>,
}

impl History {
    /// Names a job by its place, for ids differ between backends.
    fn place(&self, id: JobId) -> usize {
        self.jobs.iter().position(|other| *other == id).unwrap()
    }

    /// Picks claims, old and new, each job once.
    fn pick(&self, indices: impl Iterator<Item = prop::sample::Index>) -> Vec<Claim> {
        let mut picked: Vec<Claim> = Vec::new();
        for index in indices.filter(|_| !self.claims.is_empty()) {
            let claim = *index.get(&self.claims);
            if picked.iter().all(|other| other.id != claim.id) {
                picked.push(claim);
            }
        }
        picked
    }

    fn describe(&self, job: &JobRecord) -> String {
        let times = (job.attempted_at.is_some(), job.finished_at.is_some());
        let counts = (job.attempt, job.max_attempts, job.crashes, job.priority);
        let texts = (&job.queue, &job.kind, &job.payload, &job.last_error);
        format!("{} {:?} {:?} {counts:?} {texts:?} {times:?}", self.place(job.id), job.state, job.reason)
    }
}

/// Applies the operations in one transaction and says what each answered.
async fn answers<S: Store, P: Source<Connection = S::Connection>>(
    store: &S,
    source: &P,
    operations: &[Operation],
) -> Vec<String> {
    let mut tx = source.begin().await.unwrap();
    let (mut history, mut answers) = (History::default(), Vec::new());
    for (number, operation) in operations.iter().enumerate() {
        answers.push(answer(store, &mut tx, &mut history, number, operation).await);
    }
    answers
}

async fn answer<S: Store>(
    store: &S,
    conn: &mut S::Connection,
    history: &mut History,
    number: usize,
    operation: &Operation,
) -> String {
    match operation {
        Operation::Enqueue { queue, kind, due, max_attempts } => {
            let payload = format!("{{\"number\": {number}}}");
            let job = NewJob {
                queue: &QUEUES[*queue],
                kind: &KINDS[*kind],
                payload: &payload,
                priority: u8::try_from(number % 10).unwrap(),
                max_attempts: *max_attempts,
                due: Due::After((*due).into()),
            };
            history.jobs.push(store.enqueue(conn, &job).await.unwrap());
            String::new()
        }
        Operation::Claim { queue, kinds, lease } => {
            let token = Token::from(i64::try_from(number).unwrap());
            // No limit: which of two jobs retried within one tick of a clock comes first is up to the clock.
            let (limit, lease) = (1000, (*lease).into());
            let request = ClaimRequest { queue: &QUEUES[*queue], kinds: &KINDS[..*kinds], limit, lease, token };
            let mut claimed = store.claim(conn, &request).await.unwrap();
            claimed.sort_by_key(|job| job.claim.id);
            history.claims.extend(claimed.iter().map(|job| job.claim));
            let jobs = claimed.iter().map(|job| {
                (history.place(job.claim.id), &job.kind, &job.payload, job.attempt, job.max_attempts, job.claim.token)
            });
            format!("{:?}", jobs.collect::<Vec<_>>())
        }
        Operation::Renew { claims, lease } => {
            let claims = history.pick(claims.iter().copied());
            let lost = store.renew(conn, &claims, (*lease).into()).await.unwrap();
            format!("{:?}", lost.iter().map(|claim| history.place(claim.id)).collect::<Vec<_>>())
        }
        Operation::Report { reports } => {
            let claims = history.pick(reports.iter().map(|(index, _)| *index));
            let outcomes = reports.iter().map(|(_, outcome)| outcome.clone());
            let reports: Vec<Report> =
                claims.into_iter().zip(outcomes).map(|(claim, outcome)| Report { claim, outcome }).collect();
            format!("{:?}", store.report(conn, &reports).await.unwrap())
        }
        Operation::Rescue => format!("{:?}", store.rescue(conn, 1000).await.unwrap()),
        Operation::Find { job } => {
            let id = if history.jobs.is_empty() { JobId::from(0) } else { *job.get(&history.jobs) };
            format!("{:?}", store.find(conn, id).await.unwrap().map(|job| history.describe(&job)))
        }
        Operation::List { queue, state, before, limit } => {
            let mut filter = Filter::default();
            if let Some(queue) = queue {
                filter = filter.queue(QUEUES[*queue].clone());
            }
            if let Some(state) = state {
                filter = filter.state(STATES[*state]);
            }
            let before = before.filter(|_| !history.jobs.is_empty()).map(|job| *job.get(&history.jobs));
            let jobs = store.list(conn, &filter, before, *limit).await.unwrap();
            format!("{:?}", jobs.iter().map(|job| history.describe(job)).collect::<Vec<_>>())
        }
    }
}

#[test]
fn backends_agree_on_random_operations() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sqlite = runtime.block_on(testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]));
    let postgres = runtime.block_on(testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]));
    let cases = if std::env::var_os("STOA_TEST_FULL").is_some() { 1280 } else { 128 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(operation(), 80), |mut operations| {
            // At the end all that is left is looked at.
            operations.push(Operation::List { queue: None, state: None, before: None, limit: 1000 });
            // Each case runs in a transaction that is rolled back: the next one starts from nothing.
            let oracle = memory::Database::default();
            let expected = runtime.block_on(answers(&Memory, &oracle, &operations));
            let on_sqlite = runtime.block_on(answers(&Sqlite, sqlite.pool(), &operations));
            prop_assert_eq!(&on_sqlite, &expected);
            let on_postgres = runtime.block_on(answers(&Postgres, postgres.pool(), &operations));
            prop_assert_eq!(&on_postgres, &expected);
            Ok(())
        })
        .unwrap();
}
