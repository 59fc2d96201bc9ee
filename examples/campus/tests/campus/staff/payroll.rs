//! Payroll: totals to the minor unit, the same bytes after a crash, and nothing changes once a run is closed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use campus::error::Error;
use campus::staff::calendar::{Calendar, Half, Month, Period};
use campus::staff::employees::{self, Employee, Terms};
use campus::staff::leave::{self, Decision};
use campus::staff::money::Minor;
use campus::staff::pay::{Allowance, Bracket, Deduction, Facts, Payslip, Rules};
use campus::staff::payroll::{self, CHUNK, Run};
use campus::staff::sql::{PayrollSql as _, StaffSql as _};
use chrono::{Days, NaiveDate};
use proptest::prelude::*;

use super::{Office, caller, days, drain, office, on_both};
use crate::fixture::{Fixture, OnPostgres, OnSqlite};

/// Enters employees without their forms: who they are does not matter here.
async fn enter<F: Fixture>(office: &Office<F>, count: u32) {
    let mut tx = office.app.begin().await.unwrap();
    for number in 0..count {
        let employee = Employee {
            id: format!("01900000-0000-7000-8000-{number:012}"),
            person_id: format!("worker-{number}"),
            // Some begin in the middle of the month.
            hired_on: if number % 7 == 0 { "2030-01-15".into() } else { "2020-01-01".into() },
            left_on: None,
            manager_id: None,
            structure_id: Some(office.structure.clone()),
        };
        assert!(tx.insert_staff_employee(&employee).await.unwrap());
    }
    office.app.commit(tx).await.unwrap();
}

/// Every byte of every payslip, in order.
const BYTES: &str = "SELECT employee_id || ' ' || hash || ' ' || body FROM campus_staff_payslip ORDER BY employee_id";
const PAYSLIPS: &str = "SELECT count(*) FROM campus_staff_payslip";

async fn begin<F: Fixture>(office: &Office<F>) -> Run {
    payroll::create_run(&office.app, &office.payroll, "2030-01", "EUR").await.unwrap()
}

/// Payslips from the stored bytes, added up in another way than the service does.
async fn totals_are_the_sum_of_all_lines<F: Fixture>() {
    let office = office::<F>().await;
    enter(&office, 450).await;
    let run = begin(&office).await;
    assert_eq!(drain(&office.app).await.succeeded, 1);
    let closed = payroll::close(&office.app, &office.payroll, &run.id).await.unwrap();

    let bodies = office.fixture.texts("SELECT body FROM campus_staff_payslip").await;
    let (mut gross, mut deducted) = (0_i128, 0_i128);
    for body in &bodies {
        let payslip: serde_json::Value = serde_json::from_str(body).unwrap();
        let sum = |lines: &str| {
            let lines = payslip[lines].as_array().unwrap().iter();
            lines.map(|line| i128::from(line["minor"].as_i64().unwrap())).sum::<i128>()
        };
        gross += sum("earnings");
        deducted += sum("deductions");
        assert_eq!(i128::from(payslip["net_minor"].as_i64().unwrap()), sum("earnings") - sum("deductions"));
    }
    assert_eq!(closed.payslips, Some(453));
    let stored = |minor: Option<Minor>| i128::from(minor.unwrap().0);
    assert_eq!((stored(closed.gross_minor), stored(closed.deducted_minor)), (gross, deducted));
    assert_eq!(stored(closed.net_minor), gross - deducted);
    assert_eq!(bodies.len(), 453);
}

async fn a_crash_between_two_payslips_and_a_new_run_give_the_same_bytes<F: Fixture>(
    broken: &'static str,
    repaired: &'static str,
) {
    let office = office::<F>().await;
    let several = 2 * u32::from(CHUNK) + 50;
    enter(&office, several).await;
    let request =
        leave::request(&office.app, &caller("ben"), &days("unpaid", "2030-01-07", "2030-01-08")).await.unwrap();
    leave::decide(&office.app, &office.manager, &request.id, Decision::Approve).await.unwrap();
    let run = begin(&office).await;
    assert_eq!(drain(&office.app).await.succeeded, 1);
    let expected = office.fixture.texts(BYTES).await;
    assert_eq!(expected.len(), 453);

    office.fixture.execute("DELETE FROM campus_staff_payslip").await;
    office.fixture.execute(broken).await;
    payroll::resume(&office.app, &office.payroll, &run.id).await.unwrap();
    let tally = drain(&office.app).await;
    assert_eq!((tally.succeeded, tally.dead), (0, 1), "between the 250th payslip and the next it failed, each time");
    assert_eq!(office.fixture.count(PAYSLIPS).await, i64::from(CHUNK), "the first chunk is there");
    assert!(matches!(payroll::close(&office.app, &office.payroll, &run.id).await, Err(Error::Conflict(_))));

    office.fixture.execute(repaired).await;
    payroll::resume(&office.app, &office.payroll, &run.id).await.unwrap();
    assert_eq!(drain(&office.app).await.succeeded, 1);
    assert_eq!(office.fixture.texts(BYTES).await, expected);
    payroll::resume(&office.app, &office.payroll, &run.id).await.unwrap();
    drain(&office.app).await;
    assert_eq!(office.fixture.texts(BYTES).await, expected, "once more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_crash_between_two_payslips_and_a_new_run_give_the_same_bytes() {
    a_crash_between_two_payslips_and_a_new_run_give_the_same_bytes::<OnSqlite>(
        r"
        CREATE TRIGGER broken BEFORE INSERT ON campus_staff_payslip WHEN NEW.employee_id LIKE '%000250'
        BEGIN SELECT RAISE(ABORT, 'broken'); END
        ",
        "DROP TRIGGER broken",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_a_crash_between_two_payslips_and_a_new_run_give_the_same_bytes() {
    a_crash_between_two_payslips_and_a_new_run_give_the_same_bytes::<OnPostgres>(
        r"
        CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$;
        CREATE TRIGGER broken BEFORE INSERT ON campus_staff_payslip FOR EACH ROW
        WHEN (NEW.employee_id LIKE '%000250') EXECUTE FUNCTION broken();
        ",
        "DROP TRIGGER broken ON campus_staff_payslip",
    )
    .await;
}

async fn a_closed_run_refuses_every_change<F: Fixture>() {
    let office = office::<F>().await;
    let (app, fixture) = (&office.app, &office.fixture);
    let waiting = leave::request(app, &caller("ben"), &days("unpaid", "2030-01-07", "2030-01-08")).await.unwrap();
    let run = begin(&office).await;
    drain(app).await;
    payroll::close(app, &office.payroll, &run.id).await.unwrap();
    let stored = "SELECT id || state || payslips || gross_minor || deducted_minor || net_minor || closed_at FROM campus_staff_run";
    let before = (fixture.texts(BYTES).await, fixture.texts(stored).await);
    assert_eq!(before.0.len(), 3);

    for refused in [
        payroll::close(app, &office.payroll, &run.id).await.map(drop),
        payroll::resume(app, &office.payroll, &run.id).await,
        payroll::create_run(app, &office.payroll, "2030-01", "EUR").await.map(drop),
        leave::decide(app, &office.manager, &waiting.id, Decision::Approve).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    }
    let terms = Terms::new(None, None, None).unwrap();
    employees::change(app, &office.hr, &office.ann.id, &terms).await.unwrap();
    leave::add_holiday(app, &office.hr, "2030-01-10", "Too late").await.unwrap();
    for change in [
        "UPDATE campus_staff_run SET state = 'open'",
        "UPDATE campus_staff_run SET net_minor = net_minor + 1, gross_minor = gross_minor + 1",
        "DELETE FROM campus_staff_run",
        "UPDATE campus_staff_payslip SET body = '{}'",
        "UPDATE campus_staff_payslip SET run_id = 'other'",
        "DELETE FROM campus_staff_payslip",
        r"
        INSERT INTO campus_staff_payslip (run_id, employee_id, body, hash, gross_minor, deducted_minor, net_minor)
        SELECT run_id, 'another', body, hash, gross_minor, deducted_minor, net_minor FROM campus_staff_payslip
        ",
        "UPDATE campus_staff_structure SET base_minor = 1",
        "DELETE FROM campus_staff_structure",
    ] {
        assert!(fixture.refuses(change).await, "{change}");
    }
    if F::CONCURRENT_WRITERS {
        for change in ["TRUNCATE campus_staff_payslip", "TRUNCATE campus_staff_run CASCADE"] {
            assert!(fixture.refuses(change).await, "{change}");
        }
    } else {
        for change in [
            "INSERT OR REPLACE INTO campus_staff_payslip SELECT * FROM campus_staff_payslip",
            "INSERT OR REPLACE INTO campus_staff_run SELECT * FROM campus_staff_run",
            "INSERT OR REPLACE INTO campus_staff_structure SELECT * FROM campus_staff_structure",
        ] {
            assert!(fixture.refuses(change).await, "{change}");
        }
    }
    assert_eq!((fixture.texts(BYTES).await, fixture.texts(stored).await), before);
}

async fn what_changes_pay_takes_the_payslip_of_an_open_run_back<F: Fixture>() {
    let office = office::<F>().await;
    let (app, fixture) = (&office.app, &office.fixture);
    let run = begin(&office).await;
    drain(app).await;
    let missing = async |expected: i64, why: &str| {
        assert_eq!(fixture.count(PAYSLIPS).await, 3 - expected, "{why}");
        assert!(matches!(payroll::close(app, &office.payroll, &run.id).await, Err(Error::Conflict(_))), "{why}");
        payroll::resume(app, &office.payroll, &run.id).await.unwrap();
        drain(app).await;
        assert_eq!(fixture.count(PAYSLIPS).await, 3, "{why}");
    };
    let request = leave::request(app, &caller("ann"), &days("unpaid", "2030-01-07", "2030-01-08")).await.unwrap();
    assert_eq!(fixture.count(PAYSLIPS).await, 3, "asking changes nothing");
    leave::decide(app, &office.manager, &request.id, Decision::Approve).await.unwrap();
    missing(1, "unpaid leave").await;
    assert_eq!(unpaid_half_days(&office, &run).await, 4);
    leave::cancel(app, &caller("ann"), &request.id).await.unwrap();
    missing(1, "unpaid leave given back").await;
    assert_eq!(unpaid_half_days(&office, &run).await, 0);
    let terms = Terms::new(Some("2030-01-20"), None, Some(&office.structure)).unwrap();
    employees::change(app, &office.hr, &office.ben.id, &terms).await.unwrap();
    missing(1, "a last day").await;
    leave::add_holiday(app, &office.hr, "2030-01-10", "A day off").await.unwrap();
    missing(3, "a holiday").await;
    payroll::close(app, &office.payroll, &run.id).await.unwrap();
}

async fn unpaid_half_days<F: Fixture>(office: &Office<F>, run: &Run) -> i64 {
    let mut tx = office.app.read().await.unwrap();
    tx.staff_payslip(&run.id, &office.ann.id).await.unwrap().unwrap().payslip().unwrap().unpaid_half_days
}

/// Approvals, closings and the job meet; whatever the order, what is closed is right.
async fn a_run_closes_with_what_was_approved_or_refuses_it<F: Fixture>() {
    let office = office::<F>().await;
    for month in 1..=6 {
        let (first, month) = (format!("2030-{month:02}-07"), format!("2030-{month:02}"));
        let request = leave::request(&office.app, &caller("ann"), &days("unpaid", &first, &first)).await;
        let Ok(request) = request else { continue };
        let run = payroll::create_run(&office.app, &office.payroll, &month, "EUR").await.unwrap();
        drain(&office.app).await;
        let approving = tokio::spawn({
            let (app, manager, id) = (office.app.clone(), office.manager.clone(), request.id.clone());
            async move { leave::decide(&app, &manager, &id, Decision::Approve).await.is_ok() }
        });
        let closing = tokio::spawn({
            let (app, payroll, id) = (office.app.clone(), office.payroll.clone(), run.id.clone());
            async move { payroll::close(&app, &payroll, &id).await.is_ok() }
        });
        let (is_approved, is_closed) = (approving.await.unwrap(), closing.await.unwrap());
        assert!(is_approved != is_closed, "{month}: approved {is_approved}, closed {is_closed}");
        if is_approved {
            payroll::resume(&office.app, &office.payroll, &run.id).await.unwrap();
            drain(&office.app).await;
            payroll::close(&office.app, &office.payroll, &run.id).await.unwrap();
        }
        assert_eq!(unpaid_half_days(&office, &run).await, if is_approved { 2 } else { 0 });
    }
}

/// The bound is for a release build on a quiet machine; this one is several times slower, and still within it.
async fn five_thousand_employees_are_paid_in_time_and_one_sees_how_far_it_is<F: Fixture>() {
    let office = office::<F>().await;
    enter(&office, 5000).await;
    let run = begin(&office).await;
    let started = Instant::now();
    let job = tokio::spawn({
        let app = office.app.clone();
        async move { drain(&app).await.succeeded }
    });
    let mut seen = BTreeSet::new();
    while !job.is_finished() {
        let mut tx = office.app.read().await.unwrap();
        seen.insert(tx.staff_run_totals(&run.id).await.unwrap().payslips);
    }
    assert_eq!(job.await.unwrap(), 1);
    let took = started.elapsed();
    assert_eq!(office.fixture.count(PAYSLIPS).await, 5003);
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(seen.iter().any(|payslips| (1..5003).contains(payslips)), "{seen:?}");
    let mut tx = office.app.read().await.unwrap();
    let job = office.app.jobs.find(&mut tx, run.job_id.unwrap().into()).await.unwrap().unwrap();
    // A note is written within a second; a job that is done sooner may leave none.
    assert!(took < Duration::from_secs(2) || job.progress.is_some_and(|note| note.ends_with(" payslips")));
}

on_both! {
    totals_are_the_sum_of_all_lines
    a_closed_run_refuses_every_change
    what_changes_pay_takes_the_payslip_of_an_open_run_back
    a_run_closes_with_what_was_approved_or_refuses_it
    five_thousand_employees_are_paid_in_time_and_one_sees_how_far_it_is
}

fn rules() -> impl Strategy<Value = Rules> {
    let name = || "[A-Z][a-z]{1,9}";
    let minor = || (0..=Minor::MAX.0).prop_map(Minor);
    let allowance = prop_oneof![
        (name(), minor()).prop_map(|(name, minor)| Allowance::Fixed { name, minor }),
        (name(), 0..=10_000_i64).prop_map(|(name, per_mille)| Allowance::PerMille { name, per_mille }),
    ];
    let brackets = prop::collection::btree_map(0..1_000_000_i64, 0..=1000_i64, 1..6).prop_map(|brackets| {
        brackets.into_iter().map(|(over, per_mille)| Bracket { over: Minor(over), per_mille }).collect()
    });
    let deduction = prop_oneof![
        (name(), minor()).prop_map(|(name, minor)| Deduction::Fixed { name, minor }),
        (name(), 0..=1000_i64).prop_map(|(name, per_mille)| Deduction::PerMille { name, per_mille }),
        (name(), brackets).prop_map(|(name, brackets)| Deduction::Progressive { name, brackets }),
    ];
    (prop::collection::vec(allowance, 0..5), prop::collection::vec(deduction, 0..5))
        .prop_map(|(allowances, deductions)| Rules { allowances, deductions })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_payslip_is_the_sum_of_its_lines_to_the_minor_unit(
        rules in rules(),
        base in 0..=Minor::MAX.0,
        hired in 0..31_u64,
        leave in prop::collection::btree_set(0..62_u64, 0..20),
    ) {
        let rules = rules.checked().unwrap();
        let month = Month::parse("2030-01").unwrap();
        let on = |day: u64| NaiveDate::from_ymd_opt(2030, 1, 1).unwrap() + Days::new(day);
        let half = |slot: u64| if slot.is_multiple_of(2) { Half::Morning } else { Half::Afternoon };
        let unpaid: Vec<Period> =
            leave.iter().map(|&slot| Period::new(on(slot / 2), half(slot), on(slot / 2), half(slot)).unwrap()).collect();
        let facts = Facts {
            run_id: "r",
            month,
            currency: "EUR",
            employee_id: "e",
            person_id: "p",
            employed: Period::new(on(hired), Half::Morning, month.last(), Half::Afternoon).unwrap(),
            base: Minor(base),
            rules: &rules,
            unpaid: &unpaid,
        };
        let calendar = Calendar::new("sat sun", [on(0)]).unwrap();
        let payslip = Payslip::compute(&facts, &calendar).unwrap();
        let sum = |lines: &[campus::staff::pay::Line]| lines.iter().map(|line| i128::from(line.minor.0)).sum::<i128>();
        prop_assert_eq!(sum(&payslip.earnings), i128::from(payslip.gross_minor.0));
        prop_assert_eq!(sum(&payslip.deductions), i128::from(payslip.deducted_minor.0));
        prop_assert_eq!(payslip.gross_minor.0 - payslip.deducted_minor.0, payslip.net_minor.0);
        prop_assert!(payslip.net_minor.0 >= 0);
        prop_assert!(payslip.unpaid_half_days <= payslip.employed_half_days);
        let bytes = serde_json::to_vec(&payslip).unwrap();
        let again = serde_json::to_vec(&Payslip::compute(&facts, &calendar).unwrap()).unwrap();
        prop_assert_eq!(bytes, again);
    }
}
