//! Laws of the timetable: what the clock makes due, and how often.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Barrier;

use super::queue::Conn;
use super::{HOUR, Harness};
use crate::cron::Ticker;
use crate::{
    Context, Cron, CronEntry, CronRecord, EnqueueOptions, Error, Failure, Filter, Handler, Job, Jobs, Kind, Missed,
    Name, PageRequest, Result, Runner, Schedule, Settlement, Source, Store,
};

/// Due once a year: no law runs over its tick, but for the one at New Year.
const YEARLY: &str = "0 0 1 1 *";
const REPORT: Name = Name::from_static("report");
/// Five ticks, or four.
const YEARS: TimeDelta = TimeDelta::days(5 * 365);

/// Says for which tick it was made.
#[derive(Serialize, Deserialize)]
struct Report {
    tick: i64,
}

impl Job for Report {
    const KIND: &'static str = "report";
}

impl Handler<()> for Report {
    async fn run(self, _: &Context<()>) -> Result<(), Failure> {
        Ok(())
    }
}

fn yearly(name: &str) -> Cron {
    Cron::with(name, YEARLY, |tick| Report { tick: tick.timestamp() }).unwrap()
}

/// One database with entries in it.
struct Stage<H: Harness> {
    jobs: Jobs<H::Store>,
    source: H::Source,
}

impl<H: Harness> Stage<H> {
    fn new(harness: &H) -> Self {
        Self { jobs: Jobs::new(harness.store()), source: harness.source() }
    }

    async fn conn(&self) -> <H::Source as Source>::Guard {
        self.source.acquire().await.unwrap()
    }

    fn runner(&self, entry: Cron) -> Runner<H::Store, H::Source> {
        Runner::new(self.jobs.clone(), self.source.clone(), ()).cron(entry)
    }

    fn ticker<P: Source<Connection = Conn<H>>>(&self, source: P, entry: Cron) -> Ticker<H::Store, P> {
        Runner::new(self.jobs.clone(), source, ()).cron(entry).ticker().unwrap()
    }

    async fn entry(&self, name: &Name) -> CronRecord {
        let entries = self.jobs.schedule(&mut *self.conn().await).await.unwrap();
        entries.into_iter().find(|entry| entry.name == *name).unwrap()
    }

    /// Lets an entry be settled only up to so long ago, as if nobody had been there since; says since when.
    async fn rewind(&self, name: &Name, ago: TimeDelta) -> DateTime<Utc> {
        let record = self.entry(name).await;
        let to = self.jobs.store.timetable(&mut *self.conn().await).await.unwrap().now - ago;
        assert_eq!(self.settle(&record, to).await, [true]);
        to
    }

    async fn settle(&self, record: &CronRecord, to: DateTime<Utc>) -> Vec<bool> {
        let entry = CronEntry { name: &record.name, expression: &record.expression, zone: &record.zone };
        let wish = Settlement { entry, from: record.settled_at, to, fired: None };
        self.jobs.store.settle(&mut *self.conn().await, &[wish]).await.unwrap()
    }

    /// The ticks that became jobs, the first job first.
    async fn fired(&self) -> Vec<DateTime<Utc>> {
        let filter = Filter { kind: Some(Kind::from_static(Report::KIND)), ..Filter::default() };
        let page = PageRequest::first(1000);
        let mut items = self.jobs.list(&mut *self.conn().await, &filter, &page).await.unwrap().items;
        items.reverse();
        let tick = |payload: &str| serde_json::from_str::<Report>(payload).unwrap().tick;
        items.iter().map(|job| DateTime::from_timestamp(tick(&job.payload), 0).unwrap()).collect()
    }
}

/// The ticks of [`YEARLY`] from a moment until now, the first one first.
fn years_since(since: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let mut ticks: Vec<_> = Schedule::new(YEARLY, "UTC").unwrap().due_between(since, Utc::now()).collect();
    ticks.reverse();
    assert!(matches!(ticks.len(), 4 | 5));
    ticks
}

/// The past of an entry is nobody's; its next tick is told.
pub async fn an_entry_counts_from_when_it_is_first_served<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let before = stage.jobs.store.timetable(&mut *stage.conn().await).await.unwrap();
    assert!(before.entries.is_empty());
    let entry = yearly("report").zone("Europe/Berlin").unwrap();
    stage.runner(entry).drain().await.unwrap();
    let record = stage.entry(&REPORT).await;
    assert_eq!((&*record.expression, &*record.zone, record.last_fire_at), (YEARLY, "Europe/Berlin", None));
    assert!(record.settled_at >= before.now);
    let next = Schedule::new(YEARLY, "Europe/Berlin").unwrap().next_after(before.now);
    assert_eq!(record.next_fire_at(), next);
    assert!(stage.fired().await.is_empty());
}

/// Whoever comes first, and however many come at once.
pub async fn a_tick_becomes_one_job_among_many_runners<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    stage.runner(yearly("report")).drain().await.unwrap();
    for round in 1..=5 {
        let since = stage.rewind(&REPORT, YEARS).await;
        let barrier = Arc::new(Barrier::new(8));
        let mut crowd = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (mut ticker, barrier) = (stage.ticker(stage.source.clone(), yearly("report")), barrier.clone());
            crowd.spawn(async move {
                barrier.wait().await;
                ticker.pass().await.unwrap();
            });
        }
        crowd.join_all().await;
        let last = years_since(since).pop();
        assert_eq!(stage.fired().await, vec![last.unwrap(); round]);
        let record = stage.entry(&REPORT).await;
        assert_eq!(record.last_fire_at, last);
        assert!(record.settled_at > since + YEARS - TimeDelta::hours(1));
    }
}

/// One for all, so many of them, or none that is too old.
pub async fn missed_ticks_become_what_the_entry_says<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let ever = Duration::from_hours(24 * 370);
    for (missed, last) in [
        (Missed::Coalesce, 1),
        (Missed::CatchUp(3), 3),
        (Missed::CatchUp(u16::MAX), 5),
        (Missed::CatchUp(0), 1),
        (Missed::Skip(ever), 1),
        (Missed::Skip(Duration::ZERO), 0),
    ] {
        let before = stage.fired().await.len();
        let entry = || yearly("report").missed(missed);
        stage.runner(entry()).drain().await.unwrap();
        let since = stage.rewind(&REPORT, YEARS).await;
        stage.runner(entry()).drain().await.unwrap();
        stage.runner(entry()).drain().await.unwrap();
        let ticks = years_since(since);
        let expected = &ticks[ticks.len().saturating_sub(last)..];
        assert_eq!(stage.fired().await[before..], *expected, "{missed:?}");
        assert!(stage.entry(&REPORT).await.settled_at > since + YEARS - TimeDelta::hours(1));
    }
}

/// A database whose commits fail: before they happen, or after.
#[derive(Clone)]
struct Torn<P> {
    source: P,
    is_committed: bool,
}

impl<P: Source> Source for Torn<P> {
    type Connection = P::Connection;
    type Guard = P::Guard;
    type Transaction = P::Transaction;

    async fn acquire(&self) -> Result<P::Guard> {
        self.source.acquire().await
    }

    async fn begin(&self) -> Result<P::Transaction> {
        self.source.begin().await
    }

    async fn begin_snapshot(&self) -> Result<P::Transaction> {
        self.source.begin_snapshot().await
    }

    async fn commit(&self, tx: P::Transaction) -> Result<()> {
        if self.is_committed {
            self.source.commit(tx).await?;
        }
        Err(Error::Backend("the line was cut".into()))
    }
}

/// Who ends between the two has done neither, and who does not hear of a commit does not fire again.
pub async fn a_tick_and_its_job_are_stored_together<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    stage.runner(yearly("report")).drain().await.unwrap();
    let since = stage.rewind(&REPORT, YEARS).await;
    let torn = |is_committed| Torn { source: stage.source.clone(), is_committed };
    assert!(stage.ticker(torn(false), yearly("report")).pass().await.is_err());
    assert!(stage.fired().await.is_empty());
    assert_eq!(stage.entry(&REPORT).await.settled_at.timestamp_micros(), since.timestamp_micros());
    let mut ticker = stage.ticker(torn(true), yearly("report"));
    assert!(ticker.pass().await.is_err());
    for _ in 0..2 {
        ticker.pass().await.unwrap();
        stage.runner(yearly("report")).drain().await.unwrap();
    }
    assert_eq!(stage.fired().await, [years_since(since).pop().unwrap()]);
}

/// Compare and set: on what it says and on how far it is.
pub async fn an_entry_moves_on_for_one_of_those_who_agree_with_it<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let (store, mut conn) = (&stage.jobs.store, stage.conn().await);
    let other = Name::from_static("other");
    let entry = CronEntry { name: &REPORT, expression: YEARLY, zone: "UTC" };
    store.post(&mut conn, &[entry, CronEntry { name: &other, ..entry }]).await.unwrap();
    let timetable = store.timetable(&mut conn).await.unwrap();
    assert_eq!(timetable.entries.iter().map(|known| &known.name).collect::<Vec<_>>(), [&other, &REPORT]);
    let from = timetable.entries[1].settled_at;
    let (fired, to) = (from + TimeDelta::hours(1), from + TimeDelta::hours(2));
    let wish = Settlement { entry, from, to, fired: Some(fired) };
    for disagreeing in [
        Settlement { from: from + TimeDelta::microseconds(1), ..wish },
        Settlement { entry: CronEntry { expression: "* * * * *", ..entry }, ..wish },
        Settlement { entry: CronEntry { zone: "Europe/Berlin", ..entry }, ..wish },
        Settlement { entry: CronEntry { name: &Name::from_static("nobody"), ..entry }, ..wish },
    ] {
        assert_eq!(store.settle(&mut conn, &[disagreeing]).await.unwrap(), [false], "{disagreeing:?}");
    }
    assert_eq!(store.timetable(&mut conn).await.unwrap().entries, timetable.entries);
    let stale = Settlement { entry: CronEntry { name: &other, ..entry }, from: to, ..wish };
    assert_eq!(store.settle(&mut conn, &[wish, stale]).await.unwrap(), [true, false]);
    assert_eq!(store.settle(&mut conn, &[wish]).await.unwrap(), [false]);
    // Without a tick the last one stays.
    let next = Settlement { from: to, to: to + TimeDelta::hours(1), fired: None, ..wish };
    assert_eq!(store.settle(&mut conn, &[next]).await.unwrap(), [true]);
    let record = stage.entry(&REPORT).await;
    assert_eq!((record.settled_at, record.last_fire_at), (next.to, Some(fired)));
    // Entered again it says something else, and counts on.
    store.post(&mut conn, &[CronEntry { expression: "@daily", ..entry }]).await.unwrap();
    assert_eq!(stage.entry(&REPORT).await, CronRecord { expression: "@daily".to_owned(), ..record });
}

/// A deploy: the old process still runs, and stands back. What came between the two belongs to the new one.
pub async fn a_changed_entry_counts_on_and_the_last_one_started_decides<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let mut old = stage.ticker(stage.source.clone(), yearly("report"));
    old.pass().await.unwrap();
    let since = stage.rewind(&REPORT, TimeDelta::seconds(1)).await;
    let daily = || Cron::with("report", "0 0 * * *", |tick| Report { tick: tick.timestamp() }).unwrap();
    let mut new = stage.ticker(stage.source.clone(), daily());
    new.pass().await.unwrap();
    let record = stage.entry(&REPORT).await;
    assert_eq!(&*record.expression, "0 0 * * *");
    assert!(record.settled_at.timestamp_micros() >= since.timestamp_micros());
    // Nothing that came before the change is due by the new expression.
    assert!(stage.fired().await.len() <= 1);
    old.pass().await.unwrap();
    assert_eq!(&*stage.entry(&REPORT).await.expression, "0 0 * * *");
    // Also a change of the zone is one.
    let moved = daily().zone("Asia/Tokyo").unwrap();
    stage.runner(moved).drain().await.unwrap();
    new.pass().await.unwrap();
    assert_eq!(&*stage.entry(&REPORT).await.zone, "Asia/Tokyo");
}

/// The one who decided is gone for longer than a lease: whoever is still there goes on, and loses no tick.
pub async fn what_nobody_keeps_alive_is_taken_over<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let mut left = stage.ticker(stage.source.clone(), yearly("report"));
    left.pass().await.unwrap();
    let gone = Cron::with("report", "0 0 1 7 *", |tick| Report { tick: tick.timestamp() }).unwrap();
    stage.runner(gone).drain().await.unwrap();
    stage.rewind(&REPORT, TimeDelta::seconds(1)).await;
    left.pass().await.unwrap();
    assert_eq!(&*stage.entry(&REPORT).await.expression, "0 0 1 7 *");
    let since = stage.rewind(&REPORT, YEARS).await;
    left.pass().await.unwrap();
    assert_eq!(&*stage.entry(&REPORT).await.expression, YEARLY);
    assert_eq!(stage.fired().await, [years_since(since).pop().unwrap()]);
}

/// What was settled stays settled: nothing is due until the clock has caught up.
pub async fn a_clock_that_was_set_back_fires_nothing_twice<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let mut ticker = stage.ticker(stage.source.clone(), yearly("report").missed(Missed::CatchUp(100)));
    ticker.pass().await.unwrap();
    let record = stage.entry(&REPORT).await;
    let ahead = record.settled_at + YEARS;
    assert_eq!(stage.settle(&record, ahead).await, [true]);
    for _ in 0..3 {
        ticker.pass().await.unwrap();
    }
    assert!(stage.fired().await.is_empty());
    assert_eq!(stage.entry(&REPORT).await.settled_at, ahead);
}

/// Its tick waits for a better time; what its options refuse is refused when it is made.
pub async fn an_entry_without_a_job_holds_up_no_other<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    let is_well = Arc::new(AtomicBool::new(false));
    let sick = || {
        let is_well = is_well.clone();
        Cron::with("sick", YEARLY, move |tick| {
            assert!(is_well.load(Ordering::SeqCst), "no job today");
            Report { tick: -tick.timestamp() }
        })
        .unwrap()
    };
    let runner = || stage.runner(sick()).cron(yearly("report"));
    runner().drain().await.unwrap();
    let sick_name = Name::from_static("sick");
    let since = stage.rewind(&sick_name, YEARS).await;
    stage.rewind(&REPORT, YEARS).await;
    let last = years_since(since).pop().unwrap();
    runner().drain().await.unwrap();
    assert_eq!(stage.fired().await, [last]);
    is_well.store(true, Ordering::SeqCst);
    runner().drain().await.unwrap();
    assert_eq!(stage.fired().await.len(), 2);
    assert_eq!(stage.entry(&sick_name).await.last_fire_at, Some(last));
    assert!(matches!(Cron::new("Sick", YEARLY, Report { tick: 0 }), Err(Error::Invalid { what: "name", .. })));
    let refused = yearly("report").options(EnqueueOptions::default().priority(10));
    assert!(matches!(refused, Err(Error::Invalid { what: "priority", .. })));
    // A key that is taken: the tick is settled, and its job is the one that waits already.
    let unique = || yearly("report").options(EnqueueOptions::default().unique("one").delay(HOUR)).unwrap();
    for _ in 0..2 {
        stage.rewind(&REPORT, YEARS).await;
        stage.runner(unique()).drain().await.unwrap();
    }
    assert_eq!(stage.fired().await.len(), 3);
}

/// It fires no more, and shows by how far it is settled that nobody serves it.
pub async fn an_entry_that_was_removed_stays_listed_until_it_is_forgotten<H: Harness>(harness: &H) {
    let stage = Stage::<H>::new(harness);
    stage.runner(yearly("report")).drain().await.unwrap();
    stage.rewind(&REPORT, YEARS).await;
    stage.runner(yearly("other")).handle::<Report>().drain().await.unwrap();
    assert!(stage.fired().await.is_empty());
    let mut conn = stage.conn().await;
    let listed = stage.jobs.schedule(&mut conn).await.unwrap();
    assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["other", "report"]);
    assert!(listed[0].settled_at > listed[1].settled_at);
    assert!(stage.jobs.unschedule(&mut conn, &REPORT).await.unwrap());
    assert!(!stage.jobs.unschedule(&mut conn, &REPORT).await.unwrap());
    assert_eq!(stage.jobs.schedule(&mut conn).await.unwrap(), listed[..1]);
}
