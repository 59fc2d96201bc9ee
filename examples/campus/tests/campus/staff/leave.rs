//! Leave: whatever people ask for, at once or one after the other, balances and calendars hold.

use std::collections::BTreeMap;

use campus::app::App;
use campus::backend::Backend;
use campus::caller::Caller;
use campus::error::Error;
use campus::staff::accrual::AccrueLeave;
use campus::staff::calendar::Half;
use campus::staff::employees::{self, Terms};
use campus::staff::leave::{self, Decision, Request, Wish};
use campus::staff::sql::LeaveSql as _;
use chrono::{Days, NaiveDate, Utc};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Office, caller, days, drain, office, on_both, person};
use crate::fixture::{Fixture, OnPostgres, OnSqlite};

/// What may happen to the leave of one person.
#[derive(Clone, Debug)]
enum Step {
    Ask { is_unpaid: bool, from: u8, length: u8 },
    Approve(u8),
    Reject(u8),
    Cancel(u8),
    Adjust(i8),
    Accrue(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (any::<bool>(), 0..60_u8, 0..12_u8).prop_map(|(is_unpaid, from, length)| Step::Ask { is_unpaid, from, length }),
        4 => any::<u8>().prop_map(Step::Approve),
        1 => any::<u8>().prop_map(Step::Reject),
        2 => any::<u8>().prop_map(Step::Cancel),
        2 => (-20..20_i8).prop_map(Step::Adjust),
        1 => (1..=12_u8).prop_map(Step::Accrue),
    ];
    prop::collection::vec(step, 1..25)
}

/// Counted in half days from a Monday far away.
fn wish(leave_type: &str, from: u8, length: u8) -> Wish {
    let half = |slot: u8| {
        let day = NaiveDate::from_ymd_opt(2040, 1, 2).unwrap() + Days::new(u64::from(slot / 2));
        (day.to_string(), if slot.is_multiple_of(2) { Half::Morning } else { Half::Afternoon })
    };
    let ((first_on, first), (last_on, last)) = (half(from), half(from + length));
    Wish::new(leave_type, (&first_on, first), (&last_on, last), "").unwrap()
}

/// Whatever was refused was refused for a reason; then balances and calendar are as they must be.
async fn holds<B: Backend>(app: &App<B>, employee_id: &str) {
    let mut tx = app.read().await.unwrap();
    let balance = tx.leave_balance(employee_id, "annual").await.unwrap();
    assert!(balance >= 0, "{balance} half days left");
    let requests = tx.leave_requests_of(employee_id, "~", 1000).await.unwrap();
    let mut taken: Vec<(i64, i64)> =
        approved(&requests).map(|request| (request.first_slot, request.last_slot)).collect();
    taken.sort_unstable();
    assert!(taken.is_sorted_by(|one, next| one.1 < next.0), "{taken:?}");
    let unpaid: i64 =
        approved(&requests).filter(|request| request.leave_type_id == "unpaid").map(|request| request.half_days).sum();
    assert_eq!(tx.leave_balance(employee_id, "unpaid").await.unwrap(), -unpaid, "the ledger is what was approved");
}

fn approved(requests: &[Request]) -> impl Iterator<Item = &Request> {
    requests.iter().filter(|request| request.state == "approved")
}

fn expected<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(Error::Conflict(_) | Error::Invalid(_)) => None,
        Err(error) => panic!("{error}: {error:?}"),
    }
}

async fn walk<F: Fixture>(office: &Office<F>, name: &str, steps: Vec<Step>) {
    let app = &office.app;
    person(app, name, None).await;
    let terms = Terms::new(None, office.ann.manager_id.as_deref(), None).unwrap();
    let employee = employees::hire(app, &office.hr, name, "2020-01-01", &terms).await.unwrap();
    let own = caller(name);
    let mut ids: Vec<String> = Vec::new();
    let pick = |ids: &[String], index: u8| (!ids.is_empty()).then(|| ids[usize::from(index) % ids.len()].clone());
    for step in steps {
        match step {
            Step::Ask { is_unpaid, from, length } => {
                let wish = wish(if is_unpaid { "unpaid" } else { "annual" }, from, length);
                ids.extend(expected(leave::request(app, &own, &wish).await).map(|request| request.id));
            }
            Step::Approve(index) | Step::Reject(index) => {
                let decision = if matches!(step, Step::Approve(_)) { Decision::Approve } else { Decision::Reject };
                if let Some(id) = pick(&ids, index) {
                    expected(leave::decide(app, &office.manager, &id, decision).await);
                }
            }
            Step::Cancel(index) => {
                if let Some(id) = pick(&ids, index) {
                    expected(leave::cancel(app, &own, &id).await);
                }
            }
            Step::Adjust(half_days) => {
                expected(leave::adjust(app, &office.hr, &employee.id, "annual", half_days.into()).await);
            }
            Step::Accrue(month) => accrue(app, &format!("2039-{month:02}")).await,
        }
        holds(app, &employee.id).await;
    }
}

fn property<F: Fixture>() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let office = runtime.block_on(office::<F>());
    let cases = if std::env::var_os("STOA_TEST_FULL").is_some() { 200 } else { 20 };
    let number = std::cell::Cell::new(0);
    TestRunner::new(Config { cases, max_shrink_iters: 100, failure_persistence: None, ..Config::default() })
        .run(&steps(), |steps| {
            number.set(number.get() + 1);
            runtime.block_on(walk(&office, &format!("person-{}", number.get()), steps));
            Ok(())
        })
        .unwrap();
}

#[test]
fn on_sqlite_no_balance_is_negative_and_no_leave_overlaps_whatever_happens() {
    property::<OnSqlite>();
}

#[test]
fn on_postgres_no_balance_is_negative_and_no_leave_overlaps_whatever_happens() {
    property::<OnPostgres>();
}

async fn accrue<B: Backend>(app: &App<B>, month: &str) {
    let mut tx = app.begin().await.unwrap();
    app.jobs.enqueue(&mut tx, &AccrueLeave { month: month.into() }).await.unwrap();
    app.commit(tx).await.unwrap();
    let tally = drain(app).await;
    assert_eq!((tally.succeeded, tally.failed, tally.dead), (1, 0, 0));
}

/// Requests that nobody could have made one after the other, as if checks had been missed when they were asked for.
async fn pending<B: Backend>(app: &App<B>, employee_id: &str, slots: impl Iterator<Item = (i64, i64)>) -> Vec<String> {
    let mut tx = app.begin().await.unwrap();
    let mut ids = Vec::new();
    for (number, (first_slot, last_slot)) in slots.enumerate() {
        let request = Request {
            id: format!("01900000-0000-7000-8000-{number:012}"),
            employee_id: employee_id.into(),
            leave_type_id: "annual".into(),
            first_slot,
            last_slot,
            half_days: last_slot - first_slot + 1,
            state: "pending".into(),
            note: String::new(),
            decided_by: None,
            created_at: Utc::now().timestamp_micros(),
        };
        tx.insert_leave_request(&request).await.unwrap();
        ids.push(request.id);
    }
    app.commit(tx).await.unwrap();
    ids
}

async fn all_at_once<B: Backend>(app: &App<B>, ids: &[String], who: &[&Caller]) -> usize {
    let tasks: Vec<_> = ids
        .iter()
        .zip(who.iter().cycle())
        .map(|(id, who)| {
            let (app, id, who) = (app.clone(), id.clone(), (*who).clone());
            tokio::spawn(async move { expected(leave::decide(&app, &who, &id, Decision::Approve).await).is_some() })
        })
        .collect();
    let mut approved = 0;
    for task in tasks {
        approved += usize::from(task.await.unwrap());
    }
    approved
}

async fn approvals_at_once_take_no_more_than_there_is<F: Fixture>() {
    let office = office::<F>().await;
    leave::adjust(&office.app, &office.hr, &office.ann.id, "annual", 10).await.unwrap();
    let ids =
        pending(&office.app, &office.ann.id, (0..12).map(|number| (50_000 + 10 * number, 50_003 + 10 * number))).await;
    assert_eq!(all_at_once(&office.app, &ids, &[&office.manager, &office.hr]).await, 2, "of 10 half days, 4 each");
    holds(&office.app, &office.ann.id).await;
}

async fn approvals_at_once_do_not_overlap<F: Fixture>() {
    let office = office::<F>().await;
    leave::adjust(&office.app, &office.hr, &office.ann.id, "annual", 200).await.unwrap();
    let ids = pending(&office.app, &office.ann.id, (0..12).map(|number| (50_000 + number, 50_011 + number))).await;
    assert_eq!(all_at_once(&office.app, &ids, &[&office.manager, &office.hr]).await, 1, "each meets every other");
    holds(&office.app, &office.ann.id).await;
}

async fn a_request_decided_twice_at_once_is_decided_once<F: Fixture>() {
    let office = office::<F>().await;
    leave::adjust(&office.app, &office.hr, &office.ann.id, "annual", 4).await.unwrap();
    let request =
        leave::request(&office.app, &caller("ann"), &days("annual", "2030-01-07", "2030-01-07")).await.unwrap();
    let ids = vec![request.id; 8];
    assert_eq!(all_at_once(&office.app, &ids, &[&office.manager, &office.hr]).await, 1);
    let mut tx = office.app.read().await.unwrap();
    assert_eq!(tx.leave_balance(&office.ann.id, "annual").await.unwrap(), 2);
}

async fn leave_accrues_once_a_month_and_lapses_once_a_year<F: Fixture>() {
    let office = office::<F>().await;
    let app = &office.app;
    let balance = async || {
        let mut tx = app.read().await.unwrap();
        tx.leave_balance(&office.ann.id, "annual").await.unwrap()
    };
    let hired = Terms::new(Some("2031-01-31"), None, None).unwrap();
    person(app, "late", None).await;
    let late = employees::hire(app, &office.hr, "late", "2030-03-02", &hired).await.unwrap();

    accrue(app, "2030-01").await;
    assert_eq!(balance().await, 4, "50 / 12");
    accrue(app, "2030-01").await;
    assert_eq!(balance().await, 4, "again");
    accrue(app, "2030-06").await;
    assert_eq!(balance().await, 25, "what was missed is caught up");
    accrue(app, "2030-12").await;
    accrue(app, "2030-05").await;
    assert_eq!(balance().await, 50);
    accrue(app, "2031-01").await;
    assert_eq!(balance().await, 14, "10 are kept, and the new year begins");
    leave::adjust(app, &office.hr, &office.ann.id, "annual", 30).await.unwrap();
    accrue(app, "2031-02").await;
    assert_eq!(balance().await, 48, "nothing lapses twice in a year");

    let of_late: BTreeMap<String, i64> = office
        .fixture
        .texts("SELECT employee_id || ' ' || cause FROM campus_staff_leave_entry WHERE kind = 'accrued' AND leave_type_id = 'annual'")
        .await
        .into_iter()
        .filter_map(|entry| entry.strip_prefix(&format!("{} ", late.id)).map(|month| (month.to_owned(), 1)))
        .collect();
    assert_eq!(of_late.keys().next().unwrap(), "2030-04", "the first month that began with them");
    assert_eq!(of_late.keys().last().unwrap(), "2031-01", "the last one that did");
    assert_eq!(of_late.len(), 10);
    for change in ["UPDATE campus_staff_leave_entry SET half_days = 100", "DELETE FROM campus_staff_leave_entry"] {
        assert!(office.fixture.refuses(change).await, "{change}");
    }
}

async fn leave_that_has_begun_is_not_given_back<F: Fixture>() {
    let office = office::<F>().await;
    let today = Utc::now().date_naive();
    let first = today - Days::new(7);
    let request = leave::request(&office.app, &caller("ann"), &days("unpaid", &first.to_string(), &today.to_string()))
        .await
        .unwrap();
    leave::decide(&office.app, &office.manager, &request.id, Decision::Approve).await.unwrap();
    assert!(matches!(leave::cancel(&office.app, &caller("ann"), &request.id).await, Err(Error::Conflict(_))));
    let own = leave::request(&office.app, &caller("max"), &days("unpaid", "2030-01-07", "2030-01-07")).await.unwrap();
    assert!(
        matches!(leave::decide(&office.app, &office.manager, &own.id, Decision::Approve).await, Err(Error::NotFound)),
        "one's own"
    );
    leave::decide(&office.app, &office.hr, &own.id, Decision::Approve).await.unwrap();
}

on_both! {
    approvals_at_once_take_no_more_than_there_is
    approvals_at_once_do_not_overlap
    a_request_decided_twice_at_once_is_decided_once
    leave_accrues_once_a_month_and_lapses_once_a_year
    leave_that_has_begun_is_not_given_back
}
