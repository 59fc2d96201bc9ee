//! The people who work for the campus: what holds for their leave and their pay, who sees it, and what is recorded.

mod leave;
mod payroll;

use axum::http::StatusCode;
use campus::app::App;
use campus::backend::Backend;
use campus::caller::Caller;
use campus::directory::Person;
use campus::directory::sql::DirectorySql as _;
use campus::error::Error;
use campus::http::{Options, router};
use campus::sql::MetaSql as _;
use campus::staff::calendar::Half;
use campus::staff::employees::{self, Employee, Terms};
use campus::staff::leave::{Decision, LeaveType, Wish};
use campus::staff::payroll::ComputeRun;
use campus::staff::{accrual::AccrueLeave, leave as leaves, pay::Rules, payroll as payrolls};
use stoa_jobs_runner::{Backoff, Runner, Tally};
use stoa_membership::{By, Grant, Role, Scope, ScopeId, UserId};

use crate::fixture::Fixture;
use crate::pages::Browser;

/// A campus where Hana is human resources, Pia payroll, Max a manager, and Ann and Ben work for him. Zoe does not work here.
struct Office<F: Fixture> {
    fixture: F,
    app: App<F::Backend>,
    hr: Caller,
    payroll: Caller,
    manager: Caller,
    ann: Employee,
    ben: Employee,
    structure: String,
}

fn caller(person: &str) -> Caller {
    Caller::new(UserId::new(person).unwrap())
}

/// Monday to Friday, paid, never below nothing.
fn annual() -> LeaveType {
    LeaveType {
        id: "annual".into(),
        name: "Annual leave".into(),
        is_paid: true,
        may_go_negative: false,
        yearly_half_days: 50,
        carry_half_days: 10,
    }
}

/// Unpaid, as much as one likes.
fn unpaid() -> LeaveType {
    LeaveType {
        id: "unpaid".into(),
        name: "Unpaid leave".into(),
        is_paid: false,
        may_go_negative: true,
        yearly_half_days: 0,
        carry_half_days: 0,
    }
}

async fn person<B: Backend>(app: &App<B>, id: &str, role: Option<&str>) {
    let mut tx = app.begin().await.unwrap();
    let name = format!("{}{}", id[..1].to_uppercase(), &id[1..]);
    tx.insert_person(&Person { id: id.into(), name, headline: "Works".into() }).await.unwrap();
    if let Some(role) = role {
        let user = UserId::new(id).unwrap();
        let platform = Scope::new(campus::access::PLATFORM, ScopeId::new("campus").unwrap());
        let grant = Grant::new(Role::new(role).unwrap());
        app.membership.add(&mut tx, &user, &platform, &grant, &By::user(&user)).await.unwrap();
    }
    app.commit(tx).await.unwrap();
}

async fn office<F: Fixture>() -> Office<F> {
    let fixture = F::empty().await;
    let app = App::open(fixture.backend()).await.unwrap();
    let mut tx = app.begin().await.unwrap();
    assert!(tx.insert_meta("made_by", "demo").await.unwrap());
    app.commit(tx).await.unwrap();
    for (id, role) in [("hana", Some("hr")), ("pia", Some("payroll")), ("max", Some("manager"))] {
        person(&app, id, role).await;
    }
    for id in ["ann", "ben", "zoe"] {
        person(&app, id, None).await;
    }
    let (hr, payroll, manager) = (caller("hana"), caller("pia"), caller("max"));
    let rules =
        Rules::parse("Housing: 25000\nSeniority: 50/1000", "Tax: 100/1000 over 0, 250/1000 over 150000").unwrap();
    let structure = payrolls::create_structure(&app, &payroll, "Step 1", "EUR", 300_001, rules).await.unwrap().id;
    let terms = |manager: Option<&str>| Terms::new(None, manager, Some(&structure)).unwrap();
    let max = employees::hire(&app, &hr, "max", "2020-01-01", &terms(None)).await.unwrap();
    let ann = employees::hire(&app, &hr, "ann", "2020-01-01", &terms(Some(&max.id))).await.unwrap();
    let ben = employees::hire(&app, &hr, "ben", "2020-01-01", &terms(Some(&max.id))).await.unwrap();
    leaves::create_type(&app, &hr, annual()).await.unwrap();
    leaves::create_type(&app, &hr, unpaid()).await.unwrap();
    Office { fixture, app, hr, payroll, manager, ann, ben, structure }
}

/// Runs every job of the staff that is due; a failure is tried again at once, until its job is dead.
async fn drain<B: Backend>(app: &App<B>) -> Tally {
    Runner::new(app.jobs.clone(), app.backend.pool().clone(), app.clone())
        .queue("staff_leave", 1)
        .handle::<AccrueLeave>()
        .queue("staff_payroll", 1)
        .handle::<ComputeRun>()
        .backoff(Backoff::none())
        .drain()
        .await
        .unwrap()
}

/// Whole days of leave.
fn days(leave_type: &str, first: &str, last: &str) -> Wish {
    Wish::new(leave_type, (first, Half::Morning), (last, Half::Afternoon), "").unwrap()
}

const RECORDS: &str = "SELECT count(*) FROM audit_record";

async fn every_mutation_leaves_one_record_and_a_refused_one_none<F: Fixture>() {
    let office = office::<F>().await;
    let (app, fixture) = (&office.app, &office.fixture);
    let mut records = fixture.count(RECORDS).await;
    assert_eq!(records, 6, "a structure, three employees and two types");
    macro_rules! one {
        ($mutation:expr) => {{
            let done = $mutation.await.unwrap();
            records += 1;
            assert_eq!(fixture.count(RECORDS).await, records, stringify!($mutation));
            done
        }};
    }
    macro_rules! none {
        ($refused:expr) => {{
            assert!($refused.await.is_err(), stringify!($refused));
            assert_eq!(fixture.count(RECORDS).await, records, stringify!($refused));
        }};
    }
    one!(leaves::adjust(app, &office.hr, &office.ann.id, "annual", 20));
    none!(leaves::adjust(app, &office.hr, &office.ann.id, "annual", -21));
    none!(leaves::adjust(app, &caller("ann"), &office.ann.id, "annual", 21));
    one!(leaves::add_holiday(app, &office.hr, "2030-12-25", "Christmas"));
    none!(leaves::add_holiday(app, &office.hr, "2030-12-25", "Christmas"));
    none!(leaves::create_type(app, &office.hr, annual()));
    let first = one!(leaves::request(app, &caller("ann"), &days("annual", "2030-01-07", "2030-01-08")));
    none!(leaves::request(app, &caller("ann"), &days("annual", "2030-01-08", "2030-01-09")));
    none!(leaves::decide(app, &caller("ann"), &first.id, Decision::Approve));
    one!(leaves::decide(app, &office.manager, &first.id, Decision::Approve));
    none!(leaves::decide(app, &office.manager, &first.id, Decision::Reject));
    one!(leaves::cancel(app, &caller("ann"), &first.id));
    none!(leaves::cancel(app, &caller("ann"), &first.id));
    let second = one!(leaves::request(app, &caller("ann"), &days("annual", "2030-01-07", "2030-01-08")));
    one!(leaves::decide(app, &office.hr, &second.id, Decision::Reject));

    let terms = Terms::new(None, None, Some(&office.structure)).unwrap();
    one!(employees::change(app, &office.hr, &office.ben.id, &terms));
    employees::change(app, &office.hr, &office.ben.id, &terms).await.unwrap();
    assert_eq!(fixture.count(RECORDS).await, records, "nothing changed");
    none!(employees::hire(app, &office.hr, "ben", "2020-01-01", &terms));
    none!(employees::hire(app, &office.hr, "nobody", "2020-01-01", &terms));
    none!(employees::hire(app, &office.payroll, "zoe", "2020-01-01", &terms));

    let run = one!(payrolls::create_run(app, &office.payroll, "2030-01", "EUR"));
    none!(payrolls::create_run(app, &office.payroll, "2030-01", "EUR"));
    payrolls::resume(app, &office.payroll, &run.id).await.unwrap();
    assert_eq!(fixture.count(RECORDS).await, records, "a job is there already");
    none!(payrolls::close(app, &office.payroll, &run.id));
    assert_eq!(drain(app).await.succeeded, 1);
    records += 1;
    assert_eq!(fixture.count(RECORDS).await, records, "one chunk of payslips");
    one!(payrolls::resume(app, &office.payroll, &run.id));
    assert_eq!(drain(app).await.succeeded, 1);
    assert_eq!(fixture.count(RECORDS).await, records, "there was nothing to compute");
    none!(payrolls::close(app, &office.hr, &run.id));
    one!(payrolls::close(app, &office.payroll, &run.id));
    none!(payrolls::close(app, &office.payroll, &run.id));

    let figures = r"
        SELECT count(*)
        FROM (SELECT CAST(after AS text) AS body FROM audit_record) AS record
        WHERE body LIKE '%minor%' OR body LIKE '%structure%' OR body LIKE '%slot%'
    ";
    assert_eq!(fixture.count(figures).await, 0, "no record holds what somebody earns, or when they are away");
}

async fn nobody_sees_the_pay_or_the_leave_of_others<F: Fixture>() {
    let office = office::<F>().await;
    let app = &office.app;
    let request = leaves::request(app, &caller("ben"), &days("unpaid", "2030-01-07", "2030-01-08")).await.unwrap();
    let run = payrolls::create_run(app, &office.payroll, "2030-01", "EUR").await.unwrap();
    drain(app).await;
    let pages = router(app.clone(), Options::demo());
    let page = format!("/staff/payslips/{}/{}", run.id, office.ann.id);
    let route = format!("/api/v1/staff/runs/{}/payslips/{}", run.id, office.ann.id);
    let none = format!("/staff/payslips/{}/{}", run.id, run.id);
    for (who, before, after) in [
        ("ann", StatusCode::NOT_FOUND, StatusCode::OK),
        ("ben", StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
        ("max", StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
        ("hana", StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
        ("zoe", StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
        ("pia", StatusCode::OK, StatusCode::OK),
    ] {
        let mut browser = Browser::signed_in(pages.clone(), who).await;
        let expected = if who == "pia" || who == "ann" { after } else { before };
        let is_closed = office.fixture.count("SELECT count(*) FROM campus_staff_run WHERE state = 'closed'").await == 1;
        if who == "ann" && !is_closed {
            assert_eq!(browser.get(&page).await.status, before, "not closed yet");
            payrolls::close(app, &office.payroll, &run.id).await.unwrap();
        }
        let (hidden, missing) = (browser.get(&page).await, browser.get(&none).await);
        assert_eq!(hidden.status, expected, "{who}");
        assert_eq!(browser.get(&route).await.status, expected, "{who}");
        if expected == StatusCode::NOT_FOUND {
            assert_eq!(hidden.body, missing.body, "{who}: as if there were none");
        }
    }
    for (who, path, expected) in [
        ("ann", "/staff/employees", StatusCode::NOT_FOUND),
        ("ann", "/staff/payroll", StatusCode::NOT_FOUND),
        ("ann", "/staff/structures", StatusCode::NOT_FOUND),
        ("ann", "/staff/leave", StatusCode::NOT_FOUND),
        ("ann", "/staff/requests", StatusCode::NOT_FOUND),
        ("hana", "/staff/payroll", StatusCode::NOT_FOUND),
        ("hana", "/staff/employees", StatusCode::OK),
        ("hana", "/staff/leave", StatusCode::OK),
        ("pia", "/staff/employees", StatusCode::NOT_FOUND),
        ("pia", "/staff/payroll", StatusCode::OK),
        ("pia", "/staff/structures", StatusCode::OK),
        ("max", "/staff/requests", StatusCode::OK),
        ("zoe", "/staff", StatusCode::OK),
        ("zoe", "/staff/payslips", StatusCode::OK),
    ] {
        let mut browser = Browser::signed_in(pages.clone(), who).await;
        assert_eq!(browser.get(path).await.status, expected, "{who} {path}");
    }
    // Nobody but whose it is cancels a request; nobody but who manages them, or human resources, decides about it.
    for who in ["ann", "max", "hana", "pia", "zoe"] {
        assert!(matches!(leaves::cancel(app, &caller(who), &request.id).await, Err(Error::NotFound)), "{who}");
    }
    for who in ["ann", "ben", "pia", "zoe"] {
        let decided = leaves::decide(app, &caller(who), &request.id, Decision::Approve).await;
        assert!(matches!(decided, Err(Error::NotFound)), "{who}");
    }
    let terms = Terms::new(None, None, None).unwrap();
    employees::change(app, &office.hr, &office.ben.id, &terms).await.unwrap();
    let decided = leaves::decide(app, &office.manager, &request.id, Decision::Approve).await;
    assert!(matches!(decided, Err(Error::NotFound)), "no manager of theirs any more");
}

async fn a_month_goes_from_a_request_to_a_printed_payslip<F: Fixture>() {
    let office = office::<F>().await;
    let pages = router(office.app.clone(), Options::demo());
    let mut hana = Browser::signed_in(pages.clone(), "hana").await;
    let hired = hana.post("/staff/employees", "person_id=zoe&hired_on=2030-01-16&manager=max&structure_id=").await;
    assert_eq!(hired.status, StatusCode::SEE_OTHER, "{}", hired.body);
    let terms = format!("left_on=&manager=max&structure_id={}", office.structure);
    assert_eq!(hana.post(&hired.location, &terms).await.status, StatusCode::SEE_OTHER);
    assert!(hana.get(&hired.location).await.body.contains("Employed since Wed 16 January 2030"));
    assert_eq!(hana.post("/staff/holidays", "day=2030-01-01&name=New+Year").await.status, StatusCode::SEE_OTHER);
    let granted = hana.post(&format!("{}/balance", hired.location), "leave_type_id=annual&half_days=3").await;
    assert_eq!(granted.status, StatusCode::SEE_OTHER, "{}", granted.body);

    let mut zoe = Browser::signed_in(pages.clone(), "zoe").await;
    assert!(zoe.get("/staff").await.body.contains("1½ days"));
    let form = "leave_type_id=unpaid&first_on=2030-01-30&first_half=afternoon&last_on=2030-01-31&last_half=afternoon&note=Moving";
    let asked = zoe.post("/staff/requests", form).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", asked.body);
    let mut max = Browser::signed_in(pages.clone(), "max").await;
    let page = max.get("/staff/requests").await.body;
    assert!(page.contains("Zoe") && page.contains("Moving") && page.contains("1½ days"), "{page}");
    let path =
        page.split("/staff/requests/").find(|part| part.contains("/approve")).unwrap().split('/').next().unwrap();
    assert_eq!(max.post(&format!("/staff/requests/{path}/approve"), "").await.location, "/staff/requests");
    assert!(max.get("/staff/requests").await.body.contains("Nobody is waiting"));

    let mut pia = Browser::signed_in(pages, "pia").await;
    let run = pia.post("/staff/payroll", "month=2030-01&currency=EUR").await;
    assert_eq!(run.status, StatusCode::SEE_OTHER, "{}", run.body);
    assert!(pia.get(&run.location).await.body.contains("0 payslips"));
    drain(&office.app).await;
    let review = pia.get(&run.location).await.body;
    assert!(review.contains("4 payslips") && review.contains("The job: succeeded"), "{review}");
    assert!(zoe.get("/staff/payslips").await.body.contains("There is none yet"));
    assert_eq!(pia.post(&format!("{}/close", run.location), "").await.status, StatusCode::SEE_OTHER);

    let list = zoe.get("/staff/payslips").await.body;
    let link = list.split("href=\"").find(|part| part.starts_with("/staff/payslips/")).unwrap();
    let slip = zoe.get(link.split('"').next().unwrap()).await.body;
    // 22 days of work but New Year, 12 of them employed, 1½ unpaid: 300001 * 24 / 44 and * 3 / 44.
    for part in ["Payslip, January 2030", "Zoe", "1,636.37 EUR", "−204.55 EUR", "Housing", "Paid out"] {
        assert!(slip.contains(part), "{part}: {slip}");
    }
}

async fn nonsense_is_refused_and_writes_nothing<F: Fixture>() {
    let office = office::<F>().await;
    let pages = router(office.app.clone(), Options::demo());
    let records = office.fixture.count(RECORDS).await;
    let id = &office.ann.id;
    let long = "x".repeat(5000);
    let balance = format!("/staff/employees/{id}/balance");
    for (who, path, form) in [
        ("ann", "/staff/requests", String::new()),
        ("ann", "/staff/requests", request_form("none", "2030-01-07", "2030-01-07", "")),
        ("ann", "/staff/requests", request_form("annual%00", "2030-01-07", "2030-01-07", "")),
        ("ann", "/staff/requests", request_form("annual", "2030-01-07", "2030-01-06", "")),
        ("ann", "/staff/requests", request_form("unpaid", "2030-01-05", "2030-01-06", "")),
        ("ann", "/staff/requests", request_form("unpaid", "2030-01-07", "2032-01-07", "")),
        ("ann", "/staff/requests", request_form("unpaid", "2019-12-30", "2020-01-02", "")),
        ("ann", "/staff/requests", request_form("unpaid", "2030-01-07", "2030-01-07", &long)),
        ("ann", "/staff/requests", request_form("unpaid", "2030-01-07", "2030-01-07", "a%00")),
        ("ann", "/staff/requests/none/cancel", String::new()),
        ("ann", "/staff/requests/%00/cancel", String::new()),
        ("max", "/staff/requests/%00/approve", String::new()),
        ("hana", "/staff/employees", "person_id=%00&hired_on=2030-01-01".into()),
        ("hana", "/staff/employees", "person_id=zoe&hired_on=soon".into()),
        ("hana", "/staff/employees", "person_id=zoe&hired_on=2030-01-01&left_on=2029-01-01".into()),
        ("hana", "/staff/employees", "person_id=zoe&hired_on=2030-01-01&manager=zoe".into()),
        ("hana", "/staff/employees", "person_id=zoe&hired_on=2030-01-01&manager=%00".into()),
        ("hana", "/staff/employees", format!("person_id=zoe&hired_on=2030-01-01&structure_id={id}")),
        ("hana", &format!("/staff/employees/{id}"), "manager=ann".into()),
        ("hana", &balance, "leave_type_id=annual&half_days=0".into()),
        ("hana", &balance, "leave_type_id=annual&half_days=99999999999999999999".into()),
        ("hana", &balance, "leave_type_id=annual&half_days=-9223372036854775808".into()),
        ("hana", "/staff/leave-types", "id=A&name=a&yearly_half_days=1&carry_half_days=1".into()),
        ("hana", "/staff/leave-types", "id=a&name=a&yearly_half_days=-1&carry_half_days=1".into()),
        ("hana", "/staff/leave-types", "id=a&name=%00&yearly_half_days=1&carry_half_days=1".into()),
        ("hana", "/staff/holidays", "day=2030-02-30&name=a".into()),
        ("pia", "/staff/payroll", "month=2030-13&currency=EUR".into()),
        ("pia", "/staff/payroll", "month=2030-01&currency=euro".into()),
        ("pia", "/staff/payroll", "month=2030-01%00&currency=EUR".into()),
        ("pia", "/staff/payroll/%00/close", String::new()),
        ("pia", &format!("/staff/payroll/{id}/close"), String::new()),
        ("pia", "/staff/structures", "name=a&currency=EUR&base_minor=-1".into()),
        ("pia", "/staff/structures", "name=a&currency=EUR&base_minor=9223372036854775807".into()),
        ("pia", "/staff/structures", "name=a&currency=EUR&base_minor=1&allowances=x".into()),
        ("pia", "/staff/structures", "name=a&currency=EUR&base_minor=1&deductions=T%3A+1/1000+over+-1".into()),
    ] {
        let mut browser = Browser::signed_in(pages.clone(), who).await;
        let answer = browser.post(path, &form).await;
        assert!(answer.status.is_client_error(), "{who} {path} {form:.60}: {}", answer.status);
    }
    let mut browser = Browser::signed_in(pages, "ann").await;
    for path in [
        "/staff?after=%00",
        "/staff/payslips/x/y",
        "/api/v1/staff/me/requests?after=x",
        "/api/v1/staff/me/payslips?limit=0",
    ] {
        assert!(browser.get(path).await.status.is_client_error(), "{path}");
    }
    assert_eq!(office.fixture.count(RECORDS).await, records);
}

fn request_form(leave_type: &str, first: &str, last: &str, note: &str) -> String {
    format!(
        "leave_type_id={leave_type}&first_on={first}&first_half=morning&last_on={last}&last_half=afternoon&note={note}"
    )
}

macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_sqlite {
            $( #[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() { super::$test::<crate::fixture::OnSqlite>().await } )*
        }
        mod on_postgres {
            $( #[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() { super::$test::<crate::fixture::OnPostgres>().await } )*
        }
    };
}
pub(crate) use on_both;

on_both! {
    every_mutation_leaves_one_record_and_a_refused_one_none
    nobody_sees_the_pay_or_the_leave_of_others
    a_month_goes_from_a_request_to_a_printed_payslip
    nonsense_is_refused_and_writes_nothing
}
