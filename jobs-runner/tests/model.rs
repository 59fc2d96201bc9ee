//! Random operations give identical answers on memory, SQLite and PostgreSQL.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use stoa_jobs_runner::{
    Claim, ClaimRequest, CronEntry, DeadReason, Due, Durability, Filter, Heartbeat, JobId, JobRecord, Kind, Limit,
    LimitKey, Memory, Name, NewJob, Orphans, Outcome, Postgres, Queue, Rate, Report, Settlement, Signal, Source,
    Sqlite, State, Store, Token, Unique, WorkerId, memory,
};

static QUEUES: [Queue; 2] = [Queue::from_static("default"), Queue::from_static("mail")];
static KINDS: [Kind; 3] = [Kind::from_static("a"), Kind::from_static("b"), Kind::from_static("c")];
const STATES: [State; 6] =
    [State::Pending, State::Running, State::Failed, State::Succeeded, State::Dead, State::Cancelled];
static NAMES: [Name; 3] = [Name::from_static("feed"), Name::from_static("digest"), Name::from_static("feed-2")];
const KEYS: [&str; 3] = ["one", "two", "three"];
const LIMITED: [&str; 4] = ["api:one", "api:two", "api", "other"];

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
    Enqueue {
        jobs: Vec<New>,
    },
    /// By one of three workers, who beats first; reports come with it.
    Turn {
        queue: usize,
        kinds: usize,
        worker: usize,
        lease: Time,
        limit: u32,
        reports: Vec<(prop::sample::Index, Outcome)>,
    },
    Beat {
        worker: usize,
        lease: Time,
    },
    Watch {
        claims: Vec<prop::sample::Index>,
    },
    Rescue,
    Expire,
    NextDue {
        queue: usize,
    },
    Progress {
        claim: prop::sample::Index,
    },
    Abandon {
        claim: prop::sample::Index,
    },
    Cancel {
        job: prop::sample::Index,
    },
    Delete {
        job: prop::sample::Index,
    },
    Retry {
        queue: Option<usize>,
        state: Option<usize>,
    },
    Discard {
        job: prop::sample::Index,
    },
    CancelMany {
        queue: Option<usize>,
        state: Option<usize>,
        limit: u32,
    },
    DeleteMany {
        queue: Option<usize>,
        state: Option<usize>,
        limit: u32,
    },
    Prune {
        state: usize,
        older_than: Time,
    },
    Stats,
    Pause {
        queue: usize,
    },
    Resume {
        queue: usize,
    },
    Clock(Clock),
    Limits(Limits),
    Find {
        job: prop::sample::Index,
    },
    List {
        queue: Option<usize>,
        state: Option<usize>,
        before: Option<prop::sample::Index>,
        limit: u32,
    },
}

/// What concerns the limits: of a key, or of the first queue.
#[derive(Clone, Debug)]
enum Limits {
    Set { key: Option<usize>, limit: Limit },
    Remove { key: Option<usize> },
    All,
}

/// What concerns the timetable, and who leads.
#[derive(Clone, Debug)]
enum Clock {
    Post {
        entries: [Option<usize>; 3],
    },
    /// From where the entry stands, or from another moment.
    Settle {
        says: [usize; 3],
        is_current: [bool; 3],
        fires: bool,
    },
    Withdraw {
        name: usize,
    },
    Take {
        name: usize,
        who: usize,
        lease: Time,
    },
    Renew {
        name: usize,
        who: usize,
        lease: Time,
    },
    Leads {
        name: usize,
        who: usize,
    },
    Ran {
        name: usize,
        who: usize,
    },
    Resign {
        name: usize,
        who: usize,
    },
}

#[derive(Clone, Copy, Debug)]
struct New {
    queue: usize,
    kind: usize,
    /// `None`: long ago, so that its place among the others is the same for every clock.
    due: Option<Time>,
    max_attempts: u16,
    expires: Option<Time>,
    unique: Option<(usize, Option<Time>)>,
    order: Option<usize>,
    limit: Option<usize>,
}

impl New {
    fn job<'a>(&self, payload: &'a str, priority: u8) -> NewJob<'a> {
        NewJob {
            queue: &QUEUES[self.queue],
            kind: &KINDS[self.kind],
            payload: payload.into(),
            priority,
            max_attempts: self.max_attempts,
            due: self.due.map_or(Due::At(DateTime::UNIX_EPOCH), |due| Due::After(due.into())),
            expires: self.expires.map(|time| Due::After(time.into())),
            timeout: None,
            unique: self.unique.map(|(key, period)| Unique { key: KEYS[key], period: period.map(Duration::from) }),
            order_key: self.order.map(|key| KEYS[key]),
            limit_key: self.limit.map(|key| LIMITED[key]),
            trace: self.order.map(|_| "00-4bf92f3577b34da6-01"),
        }
    }
}

fn new() -> impl Strategy<Value = New> {
    // Within one call a key is taken once, whatever its period.
    let unique = prop::option::weighted(0.3, (0..KEYS.len(), prop::option::of(Just(Time::Later))));
    let limit = prop::option::weighted(0.3, 0..LIMITED.len());
    let options = (prop::option::weighted(0.1, time()), unique, prop::option::weighted(0.3, 0..KEYS.len()), limit);
    (0..QUEUES.len(), 0..KINDS.len(), time(), 1..4_u16, options).prop_map(
        |(queue, kind, due, max_attempts, (expires, unique, order, limit))| New {
            queue,
            kind,
            due: Some(due),
            max_attempts,
            expires,
            unique,
            order,
            limit,
        },
    )
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
        4 => prop::collection::vec(new(), 1..4).prop_map(|jobs| Operation::Enqueue { jobs }),
        6 => (queue.clone(), 0..=KINDS.len(), 0..3_usize, time(), prop::collection::vec((index.clone(), outcome()), 0..4))
            .prop_map(|(queue, kinds, worker, lease, reports)| Operation::Turn { queue, kinds, worker, lease, limit: 1000, reports }),
        1 => (0..3_usize, time()).prop_map(|(worker, lease)| Operation::Beat { worker, lease }),
        1 => prop::collection::vec(index.clone(), 0..4).prop_map(|claims| Operation::Watch { claims }),
        1 => Just(Operation::Rescue),
        1 => Just(Operation::Expire),
        1 => queue.clone().prop_map(|queue| Operation::NextDue { queue }),
        1 => index.clone().prop_map(|claim| Operation::Progress { claim }),
        1 => index.clone().prop_map(|claim| Operation::Abandon { claim }),
        1 => index.clone().prop_map(|job| Operation::Cancel { job }),
        1 => index.clone().prop_map(|job| Operation::Delete { job }),
        1 => (prop::option::of(queue.clone()), prop::option::of(0..STATES.len()))
            .prop_map(|(queue, state)| Operation::Retry { queue, state }),
        1 => index.clone().prop_map(|job| Operation::Discard { job }),
        1 => (prop::option::of(queue.clone()), prop::option::of(0..STATES.len()), 0..4_u32)
            .prop_map(|(queue, state, limit)| Operation::CancelMany { queue, state, limit }),
        1 => (prop::option::of(queue.clone()), prop::option::of(0..STATES.len()), 0..4_u32)
            .prop_map(|(queue, state, limit)| Operation::DeleteMany { queue, state, limit }),
        1 => (0..STATES.len(), time()).prop_map(|(state, older_than)| Operation::Prune { state, older_than }),
        1 => Just(Operation::Stats),
        1 => queue.clone().prop_map(|queue| Operation::Pause { queue }),
        2 => queue.clone().prop_map(|queue| Operation::Resume { queue }),
        10 => clock().prop_map(Operation::Clock),
        1 => index.clone().prop_map(|job| Operation::Find { job }),
        1 => (prop::option::of(queue), prop::option::of(0..STATES.len()), prop::option::of(index), 0..6_u32)
            .prop_map(|(queue, state, before, limit)| Operation::List { queue, state, before, limit }),
    ]
}

fn clock() -> impl Strategy<Value = Clock> {
    prop_oneof![
        1 => prop::array::uniform3(prop::option::of(0..2_usize)).prop_map(|entries| Clock::Post { entries }),
        2 => (prop::array::uniform3(0..2_usize), prop::array::uniform3(any::<bool>()), any::<bool>())
            .prop_map(|(says, is_current, fires)| Clock::Settle { says, is_current, fires }),
        1 => (0..3_usize).prop_map(|name| Clock::Withdraw { name }),
        2 => (0..3_usize, 0..3_usize, time()).prop_map(|(name, who, lease)| Clock::Take { name, who, lease }),
        1 => (0..3_usize, 0..3_usize, time()).prop_map(|(name, who, lease)| Clock::Renew { name, who, lease }),
        1 => (0..3_usize, 0..3_usize).prop_map(|(name, who)| Clock::Leads { name, who }),
        1 => (0..3_usize, 0..3_usize).prop_map(|(name, who)| Clock::Ran { name, who }),
        1 => (0..3_usize, 0..3_usize).prop_map(|(name, who)| Clock::Resign { name, who }),
    ]
}

fn filter(queue: Option<usize>, state: Option<usize>) -> Filter {
    let mut filter = Filter::default();
    if let Some(queue) = queue {
        filter = filter.queue(QUEUES[queue].clone());
    }
    if let Some(state) = state {
        filter = filter.state(STATES[state]);
    }
    filter
}

/// Operations with limits, of which none brings a job back at once: how such jobs stand among each other is up to the clock.
fn limited_operation() -> impl Strategy<Value = Operation> {
    let index = any::<prop::sample::Index>();
    let old =
        new().prop_map(|new| New { due: new.due.filter(|due| matches!(due, Time::Later)), max_attempts: 1, ..new });
    let limit = (prop::option::of(1..4_u32), prop::option::of(1..5_u32)).prop_map(|(concurrency, rate)| {
        let rate = rate.map(|count| Rate { count, per: Time::Later.into() });
        Limit { concurrency: concurrency.or(Some(2).filter(|_| rate.is_none())), rate }
    });
    let key = prop::option::weighted(0.8, 0..LIMITED.len());
    let outcome = outcome().prop_map(|outcome| match outcome {
        Outcome::Released { .. } => Outcome::Released { delay: Time::Later.into() },
        outcome => outcome,
    });
    let reports = prop::collection::vec((index.clone(), outcome), 0..4);
    prop_oneof![
        4 => prop::collection::vec(old, 1..5).prop_map(|jobs| Operation::Enqueue { jobs }),
        6 => (0..QUEUES.len(), 0..=KINDS.len(), 0..3_usize, time(), prop_oneof![1..6_u32, Just(1000)], reports)
            .prop_map(|(queue, kinds, worker, lease, limit, reports)| Operation::Turn {
                queue,
                kinds,
                worker,
                lease,
                limit,
                reports
            }),
        2 => (key.clone(), limit).prop_map(|(key, limit)| Operation::Limits(Limits::Set { key, limit })),
        1 => key.prop_map(|key| Operation::Limits(Limits::Remove { key })),
        1 => Just(Operation::Limits(Limits::All)),
        1 => Just(Operation::Rescue),
        1 => (0..QUEUES.len()).prop_map(|queue| Operation::NextDue { queue }),
        1 => index.clone().prop_map(|claim| Operation::Abandon { claim }),
        1 => index.prop_map(|job| Operation::Cancel { job }),
    ]
}

fn limit_key(key: Option<usize>) -> LimitKey {
    key.map_or_else(|| LimitKey::queue(&QUEUES[0]), |key| LimitKey::new(LIMITED[key]).unwrap())
}

/// What the operations have brought about so far, in one backend.
#[derive(Default)]
struct History {
    jobs: Vec<JobId>,
    claims: Vec<Claim>,
}

/// What an entry may say.
fn entry(name: usize, says: usize) -> CronEntry<'static> {
    let (expression, zone) = [("0 3 * * *", "UTC"), ("* * * * *", "Europe/Berlin")][says];
    CronEntry { name: &NAMES[name], expression, zone }
}

/// A moment that is the same in every backend.
fn moment(number: usize) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(i64::try_from(number).unwrap())
}

/// The token of one of three leaders.
fn leader(who: usize) -> Token {
    Token::from(i64::try_from(who).unwrap())
}

/// The id of one of the three workers.
fn worker(number: usize) -> WorkerId {
    WorkerId::from(i64::try_from(number).unwrap() + 1)
}

fn heartbeat(number: usize, lease: Duration) -> Heartbeat<'static> {
    Heartbeat { worker: worker(number), queue: &QUEUES[0], process: "here:1", lease }
}

impl History {
    /// Names a job by its place, for ids differ between backends.
    fn place(&self, id: JobId) -> usize {
        self.find(id).unwrap()
    }

    fn find(&self, id: JobId) -> Option<usize> {
        self.jobs.iter().position(|other| *other == id)
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

    fn claim(&self, index: prop::sample::Index) -> Claim {
        let nobody = Claim { id: JobId::from(0), token: Token::from(0) };
        if self.claims.is_empty() { nobody } else { *index.get(&self.claims) }
    }

    fn job(&self, index: prop::sample::Index) -> JobId {
        if self.jobs.is_empty() { JobId::from(0) } else { *index.get(&self.jobs) }
    }

    fn describe(&self, job: &JobRecord) -> String {
        let times = (job.attempted_at.is_some(), job.finished_at.is_some());
        let counts = (job.attempt, job.max_attempts, job.crashes, job.priority);
        let texts = (
            &job.queue,
            &job.kind,
            &job.payload,
            &job.last_error,
            &job.progress,
            &job.unique_key,
            &job.order_key,
            &job.limit_key,
            &job.trace,
        );
        let errors: Vec<_> = job.errors.iter().map(|error| (error.attempt, &error.error)).collect();
        format!("{} {:?} {:?} {counts:?} {texts:?} {times:?} {errors:?}", self.place(job.id), job.state, job.reason)
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
        Operation::Enqueue { jobs } => {
            let payload = format!("{{\"number\": {number}}}");
            let priority = u8::try_from(number % 10).unwrap();
            let jobs: Vec<NewJob<'_>> = jobs.iter().map(|new| new.job(&payload, priority)).collect();
            let enqueued = store.enqueue(conn, &jobs).await.unwrap();
            history.jobs.extend(enqueued.iter().filter(|new| new.is_new).map(|new| new.id));
            // Who holds a key may be deleted by now.
            format!("{:?}", enqueued.iter().map(|new| (new.is_new, history.find(new.id))).collect::<Vec<_>>())
        }
        Operation::Turn { queue, kinds, worker: claimer, lease, limit, reports } => {
            let token = Token::from(i64::try_from(number).unwrap());
            let claims = history.pick(reports.iter().map(|(index, _)| *index));
            let reports = claims.into_iter().zip(reports).map(|(claim, (_, outcome))| (claim, outcome.clone()));
            let reports: Vec<Report> = reports.map(|(claim, outcome)| Report { claim, outcome }).collect();
            store.beat(conn, heartbeat(*claimer, (*lease).into())).await.unwrap();
            // In two calls, for what the reports make due may be left to the next one.
            let reported = store.turn(conn, &reports, None).await.unwrap().reported;
            // Unless all that is due was so long ago, no limit: which of two jobs retried within one tick of a clock comes first is up to the clock.
            let request = ClaimRequest {
                queue: &QUEUES[*queue],
                kinds: &KINDS[..*kinds],
                limit: *limit,
                token,
                worker: worker(*claimer),
                since: None,
                durability: Durability::Durable,
            };
            let mut claimed = store.turn(conn, &[], Some(&request)).await.unwrap().claimed;
            claimed.sort_by_key(|job| job.claim.id);
            history.claims.extend(claimed.iter().map(|job| job.claim));
            let jobs = claimed.iter().map(|job| {
                let place = history.place(job.claim.id);
                (place, &job.kind, &job.payload, job.attempt, job.max_attempts, job.claim.token, job.is_awaited)
            });
            format!("{reported:?} {:?}", jobs.collect::<Vec<_>>())
        }
        Operation::Beat { worker: who, lease } => {
            format!("{:?}", store.beat(conn, heartbeat(*who, (*lease).into())).await.unwrap())
        }
        Operation::Watch { claims } => {
            let claims = history.pick(claims.iter().copied());
            let signals = store.watch(conn, &claims).await.unwrap();
            let named = signals.iter().map(|signal| match signal {
                Signal::Lost(claim) => ("lost", history.place(claim.id)),
                Signal::Cancel(claim) => ("cancel", history.place(claim.id)),
            });
            format!("{:?}", named.collect::<Vec<_>>())
        }
        Operation::Rescue => format!("{:?}", store.rescue(conn, 1000, Orphans::Include).await.unwrap()),
        Operation::Expire => format!("{:?}", store.expire(conn, 1000).await.unwrap()),
        Operation::NextDue { queue } => {
            format!("{:?}", store.next_due(conn, &QUEUES[*queue], &KINDS[..2]).await.unwrap().is_some())
        }
        Operation::Progress { claim } => {
            format!("{:?}", store.progress(conn, history.claim(*claim), "half").await.unwrap())
        }
        Operation::Abandon { claim } => {
            // Of all three workers: whose it was.
            for who in 0..3 {
                store.abandon(conn, worker(who), &[history.claim(*claim).token]).await.unwrap();
            }
            String::new()
        }
        Operation::Cancel { job } => format!("{:?}", store.cancel(conn, history.job(*job)).await.unwrap()),
        Operation::Delete { job } => format!("{:?}", store.delete(conn, history.job(*job)).await.unwrap()),
        Operation::Retry { queue, state } => {
            format!("{:?}", store.retry(conn, &filter(*queue, *state), 1000).await.unwrap())
        }
        Operation::Discard { job } => {
            format!("{:?}", store.discard(conn, history.job(*job), "no use").await.unwrap())
        }
        Operation::CancelMany { queue, state, limit } => {
            format!("{:?}", store.cancel_many(conn, &filter(*queue, *state), *limit).await.unwrap())
        }
        Operation::DeleteMany { queue, state, limit } => {
            format!("{:?}", store.delete_many(conn, &filter(*queue, *state), *limit).await.unwrap())
        }
        Operation::Prune { state, older_than } => {
            format!("{:?}", store.prune(conn, STATES[*state], (*older_than).into(), 1000).await.unwrap())
        }
        Operation::Stats => {
            let stats = store.stats(conn, 1000).await.unwrap();
            let queues = stats.queues.iter().map(|queue| {
                let counts = (queue.ready, queue.running, queue.scheduled, queue.failed, queue.finished);
                (&queue.queue, queue.is_paused, counts, queue.oldest.is_some())
            });
            format!("{:?} {:?}", queues.collect::<Vec<_>>(), (stats.dead, stats.cancelled))
        }
        Operation::Pause { queue } => format!("{:?}", store.pause(conn, &QUEUES[*queue]).await.unwrap()),
        Operation::Resume { queue } => format!("{:?}", store.resume(conn, &QUEUES[*queue]).await.unwrap()),
        Operation::Clock(operation) => tell(store, conn, number, operation).await,
        Operation::Limits(operation) => limits(store, conn, operation).await,
        Operation::Find { job } => {
            format!("{:?}", store.find(conn, history.job(*job)).await.unwrap().map(|job| history.describe(&job)))
        }
        Operation::List { queue, state, before, limit } => {
            let before = before.filter(|_| !history.jobs.is_empty()).map(|job| *job.get(&history.jobs));
            let jobs = store.list(conn, &filter(*queue, *state), before, *limit).await.unwrap();
            format!("{:?}", jobs.iter().map(|job| history.describe(job)).collect::<Vec<_>>())
        }
    }
}

async fn tell<S: Store>(store: &S, conn: &mut S::Connection, number: usize, operation: &Clock) -> String {
    match operation {
        Clock::Post { entries } => {
            let posted = entries.iter().enumerate().filter_map(|(name, says)| Some(entry(name, (*says)?)));
            store.post(conn, &posted.collect::<Vec<_>>()).await.unwrap();
            String::new()
        }
        Clock::Settle { says, is_current, fires } => {
            let known = store.timetable(conn).await.unwrap().entries;
            let wishes = (0..3).map(|name| {
                let known = known.iter().find(|known| known.name == NAMES[name]);
                let from = known.filter(|_| is_current[name]).map_or(DateTime::UNIX_EPOCH, |known| known.settled_at);
                let fired = fires.then(|| moment(number));
                Settlement { entry: entry(name, says[name]), from, to: moment(number + 1), fired }
            });
            let settled = store.settle(conn, &wishes.collect::<Vec<_>>()).await.unwrap();
            let known = store.timetable(conn).await.unwrap().entries;
            let known = known.iter().map(|known| (&known.name, &known.expression, &known.zone, known.last_fire_at));
            format!("{settled:?} {:?}", known.collect::<Vec<_>>())
        }
        Clock::Withdraw { name } => format!("{:?}", store.withdraw(conn, &NAMES[*name]).await.unwrap()),
        Clock::Take { name, who, lease } => {
            let lead = store.take(conn, &NAMES[*name], leader(*who), (*lease).into()).await.unwrap();
            format!("{:?}", lead.map(|lead| lead.ran_at))
        }
        Clock::Renew { name, who, lease } => {
            let lead = store.renew(conn, &NAMES[*name], leader(*who), (*lease).into()).await.unwrap();
            format!("{:?}", lead.map(|lead| lead.ran_at))
        }
        Clock::Leads { name, who } => {
            format!("{:?}", store.leads(conn, &NAMES[*name], leader(*who)).await.unwrap())
        }
        Clock::Ran { name, who } => {
            format!("{:?}", store.ran(conn, &NAMES[*name], leader(*who), moment(number)).await.unwrap())
        }
        Clock::Resign { name, who } => {
            format!("{:?}", store.resign(conn, &NAMES[*name], leader(*who)).await.unwrap())
        }
    }
}

async fn limits<S: Store>(store: &S, conn: &mut S::Connection, operation: &Limits) -> String {
    match operation {
        Limits::Set { key, limit } => format!("{:?}", store.set_limit(conn, &limit_key(*key), limit).await.unwrap()),
        Limits::Remove { key } => format!("{:?}", store.remove_limit(conn, &limit_key(*key)).await.unwrap()),
        Limits::All => format!("{:?}", store.limits(conn).await.unwrap()),
    }
}

/// Fails with the first answer that differs.
fn agree(operations: &[Operation], answers: &[String], expected: &[String]) -> Result<(), TestCaseError> {
    for ((operation, answer), expected) in operations.iter().zip(answers).zip(expected) {
        prop_assert_eq!(answer, expected, "{:?}", operation);
    }
    Ok(())
}

#[test]
fn backends_agree_on_random_operations() {
    agree_on(operation());
}

#[test]
fn backends_agree_on_limits() {
    agree_on(limited_operation());
}

fn agree_on(operation: impl Strategy<Value = Operation>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sqlite = runtime.block_on(testkit::sqlite(&[&stoa_jobs_runner::sqlite::MIGRATOR]));
    let postgres = runtime.block_on(testkit::postgres(&[&stoa_jobs_runner::postgres::MIGRATOR]));
    let cases = if std::env::var_os("STOA_TEST_FULL").is_some() { 1280 } else { 128 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&prop::collection::vec(operation, 80), |mut operations| {
            // At the end all that is left is looked at.
            operations.push(Operation::List { queue: None, state: None, before: None, limit: 1000 });
            // Each case runs in a transaction that is rolled back: the next one starts from nothing.
            let oracle = memory::Database::default();
            let expected = runtime.block_on(answers(&Memory, &oracle, &operations));
            let on_sqlite = runtime.block_on(answers(&Sqlite, sqlite.pool(), &operations));
            agree(&operations, &on_sqlite, &expected)?;
            let on_postgres = runtime.block_on(answers(&Postgres, postgres.pool(), &operations));
            agree(&operations, &on_postgres, &expected)?;
            Ok(())
        })
        .unwrap();
}
