//! Laws of traces: what an enqueuer was doing stays with its job.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::Harness;
use crate::{Context, EnqueueOptions, Error, Failure, Filter, Handler, Job, Jobs, Runner, Source, State};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[derive(Serialize, Deserialize)]
struct Traced;

impl Job for Traced {
    const KIND: &'static str = "traced";
}

type Seen = Arc<Mutex<Vec<Option<String>>>>;

impl Handler<Seen> for Traced {
    async fn run(self, cx: &Context<Seen>) -> Result<(), Failure> {
        cx.state().lock().unwrap().push(cx.trace().map(str::to_owned));
        Err(Failure::fatal("enough"))
    }
}

/// What an enqueuer was doing reaches the handler, in every attempt, and stays in the history. A job without it is one.
pub async fn the_trace_of_an_enqueuer_reaches_the_handler<H: Harness>(harness: &H) {
    let source = harness.source();
    let jobs = Jobs::new(harness.store()).trace(|| Some(TRACE.to_owned()));
    let mut tx = source.begin().await.unwrap();
    let id = jobs.enqueue(&mut tx, &Traced).await.unwrap();
    let limited = EnqueueOptions::default().limited("api");
    jobs.enqueue_many_with(&mut tx, &[(Traced, limited)]).await.unwrap();
    Jobs::new(harness.store()).enqueue(&mut tx, &Traced).await.unwrap();
    source.commit(tx).await.unwrap();
    let seen = Seen::default();
    let runner = Runner::new(jobs.clone(), source.clone(), seen.clone()).handle::<Traced>();
    runner.drain().await.unwrap();
    let sorted = |seen: &Seen| {
        let mut seen = std::mem::take(&mut *seen.lock().unwrap());
        seen.sort();
        seen
    };
    let trace = Some(TRACE.to_owned());
    assert_eq!(sorted(&seen), [None, trace.clone(), trace.clone()]);

    let mut tx = source.begin().await.unwrap();
    let dead = jobs.find(&mut tx, id).await.unwrap().unwrap();
    assert_eq!((dead.state, &dead.trace), (State::Dead, &trace));
    assert_eq!(jobs.retry(&mut tx, &Filter::default().id(id), 1).await.unwrap(), 1);
    source.commit(tx).await.unwrap();
    runner.drain().await.unwrap();
    assert_eq!(sorted(&seen), [trace]);
}

/// A trace that no header would carry is a typed error, and nothing is written.
pub async fn a_trace_out_of_bounds_is_refused<H: Harness>(harness: &H) {
    let source = harness.source();
    let mut tx = source.begin().await.unwrap();
    for capture in [|| Some("a\0b".to_owned()), || Some("x".repeat(1025))] as [fn() -> Option<String>; 2] {
        let jobs = Jobs::new(harness.store()).trace(capture);
        let refused = [jobs.enqueue(&mut tx, &Traced).await.err(), jobs.enqueue_many(&mut tx, &[Traced]).await.err()];
        for error in refused {
            assert!(matches!(error, Some(Error::Invalid { what: "trace", .. })), "{error:?}");
        }
    }
    let longest = Jobs::new(harness.store()).trace(|| Some("é".repeat(512)));
    let id = longest.enqueue(&mut tx, &Traced).await.unwrap();
    assert_eq!(longest.find(&mut tx, id).await.unwrap().unwrap().trace.unwrap().len(), 1024);
    let page = longest.list(&mut tx, &Filter::default(), &crate::PageRequest::first(10)).await.unwrap();
    assert_eq!(page.items.len(), 1);
}
