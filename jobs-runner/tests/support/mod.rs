//! What more than one database is asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stoa_jobs_runner::{
    Claim, ClaimRequest, Claimed, DeadReason, Durability, EnqueueOptions, Error, Finding, Heartbeat, Job, JobId,
    JobRecord, Jobs, Kind, Orphans, Outcome, Queue, Report, Reported, State, Store, Token, WorkerId,
};

/// Asks the database something while it runs, where it has a handler.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ask;

impl Job for Ask {
    const KIND: &'static str = "ask";
}

pub(crate) async fn claim<S: Store>(store: &S, conn: &mut S::Connection, limit: u32, lease: Duration) -> Vec<Claimed> {
    let worker = WorkerId::random();
    let queue = &Queue::from_static(Ask::QUEUE);
    store.beat(conn, Heartbeat { worker, queue, process: "here:1", lease }).await.unwrap();
    let request = ClaimRequest {
        queue,
        kinds: &[Kind::from_static(Ask::KIND)],
        limit,
        token: Token::random(),
        worker,
        since: None,
        durability: Durability::Durable,
    };
    store.turn(conn, &[], Some(&request)).await.unwrap().claimed
}

/// Asks about a queue beside a worker that does not say what it serves: one of an earlier release, which may serve any.
pub(crate) async fn is_not_unserved<S: Store + Clone>(store: &S, conn: &mut S::Connection) {
    let jobs = Jobs::new(store.clone());
    jobs.enqueue(conn, &Ask).await.unwrap();
    let workers = jobs.workers(conn).await.unwrap();
    assert_eq!((&workers[0].queue, &workers[0].process), (&None, &None));
    let findings = jobs.doctor(conn).await.unwrap();
    let names: Vec<_> = findings.iter().map(Finding::name).collect();
    assert!(names.contains(&"waiting") && !names.contains(&"unserved"), "{findings:?}");
}

/// Two claims whose leases have ended, on a bare connection: the one job has attempts left, the other has not.
pub(crate) struct Pair {
    one: Claim,
    last: Claim,
    before: [JobRecord; 2],
}

impl Pair {
    pub(crate) async fn claim<S: Store + Clone>(store: &S, conn: &mut S::Connection) -> Self {
        let jobs = Jobs::new(store.clone());
        jobs.enqueue(conn, &Ask).await.unwrap();
        jobs.enqueue_with(conn, &Ask, &EnqueueOptions::default().max_attempts(1)).await.unwrap();
        let claimed = claim(store, conn, 2, Duration::ZERO).await;
        let (one, last) = (claimed[0].claim, claimed[1].claim);
        Self { one, last, before: [job(store, conn, one.id).await, job(store, conn, last.id).await] }
    }

    /// While the history refuses, neither verb does what it could have done, and both claims are valid.
    pub(crate) async fn is_held_by_refusals<S: Store>(&self, store: &S, conn: &mut S::Connection) {
        let failed = |error: &str| Outcome::Failed {
            error: error.to_owned(),
            retry: Some(Duration::ZERO),
            reason: DeadReason::Exhausted,
        };
        for outcome in [Outcome::Succeeded, failed("no route")] {
            let reports = [Report { claim: self.one, outcome: failed("busy") }, Report { claim: self.last, outcome }];
            assert!(matches!(store.turn(conn, &reports, None).await, Err(Error::Backend(_))));
            self.is_untouched(store, conn).await;
        }
        assert!(matches!(store.rescue(conn, 10, Orphans::Skip).await, Err(Error::Backend(_))));
        self.is_untouched(store, conn).await;
    }

    /// Once the history takes rows again, the same tokens end the jobs.
    pub(crate) async fn ends<S: Store>(&self, store: &S, conn: &mut S::Connection) {
        let reports = [self.one, self.last].map(|claim| Report { claim, outcome: Outcome::Succeeded });
        assert_eq!(store.turn(conn, &reports, None).await.unwrap().reported, [Reported::Now(State::Succeeded); 2]);
    }

    async fn is_untouched<S: Store>(&self, store: &S, conn: &mut S::Connection) {
        assert_eq!([job(store, conn, self.one.id).await, job(store, conn, self.last.id).await], self.before);
        assert!(store.watch(conn, &[self.one, self.last]).await.unwrap().is_empty());
    }
}

async fn job<S: Store>(store: &S, conn: &mut S::Connection, id: JobId) -> JobRecord {
    store.find(conn, id).await.unwrap().unwrap()
}
