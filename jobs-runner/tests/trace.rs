//! The span of an attempt, and what it is tied to.

use std::fmt::Write;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use stoa_jobs_runner::{Context, Failure, Handler, Job, Jobs, Memory, Runner, Source, memory};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Span, Subscriber};

static LINKED: Mutex<Vec<(Option<Id>, String)>> = Mutex::new(Vec::new());
static SPANS: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[derive(Serialize, Deserialize)]
struct Welcome;

impl Job for Welcome {
    const KIND: &'static str = "mail.welcome";
}

impl Handler<()> for Welcome {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Keeps the fields of the runner's spans.
struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.name() == "jobs.run"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        struct Fields(String);
        impl Visit for Fields {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, "{field}={value:?} ");
            }
        }
        let mut fields = Fields(String::new());
        span.record(&mut fields);
        SPANS.lock().unwrap().push(fields.0);
        Id::from_u64(7)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn the_span_of_an_attempt_is_tied_to_the_enqueuer() {
    let _guard = tracing::subscriber::set_default(Collector);
    let database = memory::Database::default();
    let jobs = Jobs::new(Memory).trace(|| Some("00-trace-01".to_owned()));
    jobs.enqueue(&mut database.acquire().await.unwrap(), &Welcome).await.unwrap();
    let runner = Runner::new(jobs, database, ()).handle::<Welcome>();
    let runner = runner.link(|span: &Span, trace| LINKED.lock().unwrap().push((span.id(), trace.to_owned())));
    assert_eq!(runner.drain().await.unwrap().succeeded, 1);
    assert_eq!(*LINKED.lock().unwrap(), [(Some(Id::from_u64(7)), "00-trace-01".to_owned())]);
    assert_eq!(*SPANS.lock().unwrap(), [r#"job=1 kind=mail.welcome attempt=1 trace="00-trace-01" "#]);
}
