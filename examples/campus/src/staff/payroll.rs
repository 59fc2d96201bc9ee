//! Payroll: salary structures, runs, payslips.
//!
//! A run is open until it is closed. While it is open a job computes the payslips that are missing, in chunks; whatever changes what
//! somebody earns takes their payslip back, so that what there is, is right. A run closes when nothing is missing, and then the
//! database itself refuses every change.

use std::fmt::Write as _;

use chrono::Utc;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::FromRow;
use stoa_audit::{Action, Actor, Audited, Entity, EntityId, EntityType, Record};
use stoa_capabilities::scoped;
use stoa_jobs_runner::{Context, EnqueueOptions, Failure, Handler, Job};
use utoipa::ToSchema;
use uuid::Uuid;

use super::access::{ClosePayroll, RunPayroll, StaffCapability};
use super::calendar::{Month, Period};
use super::employees::employed;
use super::leave::calendar;
use super::money::{Currency, Minor};
use super::pay::{Facts, Payslip, Rules};
use super::sql::{PayrollSql as _, StaffSql as _};
use super::{id, retry, when};
use crate::access;
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::text::line;

pub(crate) const STRUCTURE_CREATED: Action = Action::new("bits.staff.v1.PayrollService/CreateStructure");
pub(crate) const RUN_CREATED: Action = Action::new("bits.staff.v1.PayrollService/CreateRun");
pub(crate) const RUN_RESUMED: Action = Action::new("bits.staff.v1.PayrollService/ResumeRun");
pub(crate) const RUN_COMPUTED: Action = Action::new("bits.staff.v1.PayrollService/ComputePayslips");
pub(crate) const RUN_CLOSED: Action = Action::new("bits.staff.v1.PayrollService/CloseRun");

/// How many payslips are made in one transaction.
pub const CHUNK: u8 = 200;

/// Greater than every id.
pub(super) const LAST: &str = "~";

/// What somebody earns. It never changes.
#[derive(Clone, Debug, FromRow, Serialize)]
pub struct Structure {
    /// A UUID of version 7.
    pub id: String,
    /// As it is called.
    pub name: String,
    /// What it is paid in.
    pub currency: String,
    /// A full month.
    pub base_minor: Minor,
    /// [`Rules`] as JSON.
    pub rules: String,
    /// Microseconds since 1970 in UTC.
    pub created_at: i64,
}

impl Structure {
    /// Reads its rules.
    ///
    /// # Errors
    /// [`Error::Internal`] if they are damaged.
    pub fn rules(&self) -> Result<Rules> {
        read(&self.rules)
    }
}

/// What of a structure an audit record may hold: no figures.
impl Audited for Structure {
    const FIELDS: &'static [&'static str] = &["name", "currency"];
}

/// A month that is paid for in one currency.
#[derive(Clone, Debug, FromRow, Serialize)]
pub struct Run {
    /// A UUID of version 7: ids grow with time.
    pub id: String,
    /// Such as `2026-11`.
    pub month: String,
    /// What it is paid in.
    pub currency: String,
    /// `open` or `closed`.
    pub state: String,
    /// The job that computes it.
    pub job_id: Option<i64>,
    /// Once closed, how many payslips it has.
    pub payslips: Option<i64>,
    /// Once closed, the sum of its payslips.
    pub gross_minor: Option<Minor>,
    /// Once closed, the sum of its payslips.
    pub deducted_minor: Option<Minor>,
    /// Once closed, the sum of its payslips.
    pub net_minor: Option<Minor>,
    /// Microseconds since 1970 in UTC.
    pub created_at: i64,
    /// Microseconds since 1970 in UTC.
    pub closed_at: Option<i64>,
}

impl Run {
    /// Whether it can still change.
    pub fn is_open(&self) -> bool {
        self.state == "open"
    }

    /// What it was closed with.
    pub fn totals(&self) -> Option<RunTotals> {
        Some(RunTotals {
            payslips: self.payslips?,
            gross_minor: self.gross_minor?,
            deducted_minor: self.deducted_minor?,
            net_minor: self.net_minor?,
        })
    }

    fn month(&self) -> Result<Month> {
        Month::parse(&self.month)
    }

    fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("payroll_run"), EntityId::new(&*self.id)?))
    }

    /// The run for people and programs, as far as it is.
    pub(crate) fn view(&self, totals: RunTotals, progress: Option<String>) -> RunView {
        RunView {
            id: self.id.clone(),
            month: self.month.clone(),
            currency: self.currency.clone(),
            state: self.state.clone(),
            totals,
            progress,
            created_at: when(self.created_at),
            closed_at: self.closed_at.map(when),
        }
    }
}

impl Audited for Run {
    const FIELDS: &'static [&'static str] = &["month", "currency", "state"];
}

/// What the payslips of a run add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow, Serialize, ToSchema)]
pub struct RunTotals {
    /// How many there are.
    pub payslips: i64,
    /// All that is earned.
    pub gross_minor: Minor,
    /// All that is taken away.
    pub deducted_minor: Minor,
    /// All that is paid out.
    pub net_minor: Minor,
}

/// A payroll run.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RunView {
    /// A UUID.
    pub(crate) id: String,
    /// Such as `2026-11`.
    pub(crate) month: String,
    /// What it is paid in.
    pub(crate) currency: String,
    /// `open` or `closed`.
    pub(crate) state: String,
    /// What its payslips add up to, so far.
    pub(crate) totals: RunTotals,
    /// What its job says, while it runs.
    pub(crate) progress: Option<String>,
    /// When it was begun.
    pub(crate) created_at: String,
    /// When it was closed.
    pub(crate) closed_at: Option<String>,
}

/// Somebody who is to be paid, and what.
#[derive(Clone, Debug, FromRow)]
pub struct PaidEmployee {
    /// The employee.
    pub id: String,
    /// The person.
    pub person_id: String,
    /// Their first day.
    pub hired_on: String,
    /// Their last day, if it is known.
    pub left_on: Option<String>,
    /// A full month.
    pub base_minor: Minor,
    /// [`Rules`] as JSON.
    pub rules: String,
}

/// A payslip as it is stored: the bytes of its JSON, and their SHA-256.
#[derive(Clone, Debug, FromRow)]
pub struct StoredPayslip {
    /// The run.
    pub run_id: String,
    /// Whose it is.
    pub employee_id: String,
    /// A [`Payslip`] as JSON.
    pub body: String,
    /// Of the body, in hexadecimal digits.
    pub hash: String,
    /// What is earned.
    pub gross_minor: Minor,
    /// What is taken away.
    pub deducted_minor: Minor,
    /// What is paid out.
    pub net_minor: Minor,
}

impl StoredPayslip {
    fn of(payslip: &Payslip) -> Result<Self> {
        let body = written(payslip)?;
        Ok(Self {
            run_id: payslip.run_id.clone(),
            employee_id: payslip.employee_id.clone(),
            hash: hash(&body),
            body,
            gross_minor: payslip.gross_minor,
            deducted_minor: payslip.deducted_minor,
            net_minor: payslip.net_minor,
        })
    }

    /// Reads what it says, if that is what was computed.
    ///
    /// # Errors
    /// [`Error::Internal`] if the body is damaged.
    pub fn payslip(&self) -> Result<Payslip> {
        if hash(&self.body) != self.hash {
            return Err(Error::Internal("a payslip does not have its hash".into()));
        }
        read(&self.body)
    }
}

fn hash(body: &str) -> String {
    Sha256::digest(body).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // a String takes everything
        hex
    })
}

fn written<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Internal(Box::new(error)))
}

fn read<T: for<'a> Deserialize<'a>>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| Error::Internal(Box::new(error)))
}

/// Defines what somebody may earn.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not run payroll; [`Error::Invalid`] says what is out of bounds; [`Error::Internal`].
pub async fn create_structure<B: Backend>(
    app: &App<B>,
    caller: &Caller,
    name: &str,
    currency: &str,
    base: i64,
    rules: Rules,
) -> Result<Structure> {
    Currency::new(currency)?;
    let structure = Structure {
        id: Uuid::now_v7().to_string(),
        name: line("the name", name, 60)?,
        currency: currency.into(),
        base_minor: Minor::input("the base", base)?,
        rules: written(&rules.checked()?)?,
        created_at: Utc::now().timestamp_micros(),
    };
    scoped!(tx = app.begin().await?);
    drop(app.staff_capabilities.authorize(&mut tx, RunPayroll, &caller.user, &access::platform()?).await?);
    tx.insert_staff_structure(&structure).await?;
    let entity = Entity::new(EntityType::from_static("salary_structure"), EntityId::new(&*structure.id)?);
    app.audit.record(&mut tx, &caller.record(STRUCTURE_CREATED, entity)?.after(&structure)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(structure)
}

/// Begins to pay a month: the payslips are computed by a job.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not run payroll; [`Error::Invalid`] if the month or currency is none; [`Error::Conflict`] if there
/// is a run of that month and currency; [`Error::Internal`].
pub async fn create_run<B: Backend>(app: &App<B>, caller: &Caller, month: &str, currency: &str) -> Result<Run> {
    Currency::new(currency)?;
    let mut run = Run {
        id: Uuid::now_v7().to_string(),
        month: Month::parse(month)?.to_string(),
        currency: currency.into(),
        state: "open".into(),
        job_id: None,
        payslips: None,
        gross_minor: None,
        deducted_minor: None,
        net_minor: None,
        created_at: Utc::now().timestamp_micros(),
        closed_at: None,
    };
    scoped!(tx = app.begin().await?);
    drop(app.staff_capabilities.authorize(&mut tx, RunPayroll, &caller.user, &access::platform()?).await?);
    if tx.has_staff_run(month, currency).await? || !tx.insert_staff_run(&run).await? {
        return Err(Error::Conflict("there is a run of this month and currency already".into()));
    }
    run.job_id = Some(enqueue(app, &mut tx, &run.id).await?.0);
    app.audit.record(&mut tx, &caller.record(RUN_CREATED, run.entity()?)?.after(&run)?).await?;
    app.commit(tx.into_inner()).await?;
    app.jobs.wake();
    Ok(run)
}

/// Computes the payslips that an open run lacks, unless a job is about to. Doing it again changes nothing.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not run payroll, or there is no such run; [`Error::Conflict`] if it is closed;
/// [`Error::Internal`].
pub async fn resume<B: Backend>(app: &App<B>, caller: &Caller, run_id: &str) -> Result<()> {
    retry!(try_resume(app, caller, run_id))
}

async fn try_resume<B: Backend>(app: &App<B>, caller: &Caller, run_id: &str) -> Result<()> {
    let run_id = id(run_id)?;
    scoped!(tx = app.begin().await?);
    drop(app.staff_capabilities.authorize(&mut tx, RunPayroll, &caller.user, &access::platform()?).await?);
    let run = hold_open::<B>(&mut tx, &run_id).await?;
    let (_, is_new) = enqueue(app, &mut tx, &run.id).await?;
    if is_new {
        app.audit.record(&mut tx, &caller.record(RUN_RESUMED, run.entity()?)?).await?;
        app.commit(tx.into_inner()).await?;
        app.jobs.wake();
    }
    Ok(())
}

async fn enqueue<B: Backend>(app: &App<B>, conn: &mut B::Connection, run_id: &str) -> Result<(i64, bool)> {
    let job = ComputeRun { run_id: run_id.into() };
    let enqueued = app.jobs.enqueue_with(conn, &job, &EnqueueOptions::default().unique(run_id)).await?;
    let job_id = enqueued.id.as_i64();
    conn.set_staff_run_job(run_id, job_id).await?;
    Ok((job_id, enqueued.is_new))
}

async fn hold_open<B: Backend>(conn: &mut B::Connection, run_id: &str) -> Result<Run> {
    if let Some(run) = conn.hold_open_staff_run(run_id).await? {
        return Ok(run);
    }
    conn.staff_run(run_id).await?.ok_or(Error::NotFound)?;
    Err(Error::Conflict("this payroll run is closed".into()))
}

/// Closes a run for good: from then on its payslips are seen by whose they are.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not close payroll, or there is no such run; [`Error::Conflict`] if it is closed already,
/// somebody's payslip is missing, or there is none at all; [`Error::Internal`].
pub async fn close<B: Backend>(app: &App<B>, caller: &Caller, run_id: &str) -> Result<Run> {
    retry!(try_close(app, caller, run_id))
}

async fn try_close<B: Backend>(app: &App<B>, caller: &Caller, run_id: &str) -> Result<Run> {
    let run_id = id(run_id)?;
    scoped!(tx = app.begin().await?);
    drop(app.staff_capabilities.authorize(&mut tx, ClosePayroll, &caller.user, &access::platform()?).await?);
    let before = hold_open::<B>(&mut tx, &run_id).await?;
    let month = before.month()?;
    let (first_on, last_on) = (month.first().to_string(), month.last().to_string());
    if !tx.staff_unpaid_employees(&before, &first_on, &last_on, "", 1).await?.is_empty() {
        return Err(Error::Conflict("somebody's payslip is missing: compute the run first".into()));
    }
    let totals = tx.staff_run_totals(&before.id).await?;
    if totals.payslips == 0 {
        return Err(Error::Conflict("there is nobody to pay in this run".into()));
    }
    let after = Run {
        state: "closed".into(),
        payslips: Some(totals.payslips),
        gross_minor: Some(totals.gross_minor),
        deducted_minor: Some(totals.deducted_minor),
        net_minor: Some(totals.net_minor),
        closed_at: Some(Utc::now().timestamp_micros()),
        ..before.clone()
    };
    tx.close_staff_run(&after).await?;
    app.audit.record(&mut tx, &caller.record(RUN_CLOSED, after.entity()?)?.diff(&before, &after)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(after)
}

/// Computes the payslips that a run lacks.
#[derive(Debug, Serialize, Deserialize)]
pub struct ComputeRun {
    /// The run.
    pub run_id: String,
}

impl Job for ComputeRun {
    const KIND: &'static str = "staff.payroll.compute";
    const QUEUE: &'static str = "staff_payroll";
    const MAX_ATTEMPTS: u16 = 5;
}

impl<B: Backend> Handler<App<B>> for ComputeRun {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        let mut after = String::new();
        while let Some((last, payslips)) = retry!(compute_chunk(context.state(), &self.run_id, &after))? {
            after = last;
            context.progress(format!("{payslips} payslips"));
            if context.is_cancelled() {
                return Err(Failure::release());
            }
        }
        Ok(())
    }
}

/// One transaction: the payslips of the next employees, and one audit record. Returns the last employee that it reached, and how many
/// payslips there are by now; nothing if nobody is left, or the run is closed.
async fn compute_chunk<B: Backend>(app: &App<B>, run_id: &str, after: &str) -> Result<Option<(String, i64)>> {
    let mut tx = app.begin().await?;
    let Some(run) = tx.hold_open_staff_run(run_id).await? else { return Ok(None) };
    let month = run.month()?;
    let whole = Period::days(month.first(), month.last());
    let (first_on, last_on) = (month.first().to_string(), month.last().to_string());
    let found = tx.staff_unpaid_employees(&run, &first_on, &last_on, after, CHUNK.into()).await?;
    let (Some(first), Some(last)) = (found.first(), found.last()) else { return Ok(None) };

    // Whoever changes what these people earn waits until their payslips are there to be taken back, or is waited for.
    tx.hold_staff_employees(&first.id, &last.id).await?;
    let employees = tx.staff_unpaid_employees(&run, &first_on, &last_on, after, CHUNK.into()).await?;
    let employees = employees.iter().filter(|employee| first.id <= employee.id && employee.id <= last.id);
    let (first_slot, last_slot) = whole.slots();
    let leave = tx.staff_unpaid_leave(&first.id, &last.id, first_slot, last_slot).await?;
    let calendar = calendar::<B>(&mut tx, whole).await?;
    let mut computed = 0;
    for employee in employees {
        let Some(employed) = employed(&employee.hired_on, employee.left_on.as_deref(), whole)? else { continue };
        let unpaid = leave.iter().filter(|(id, ..)| *id == employee.id);
        let unpaid: Vec<Period> = unpaid.map(|&(_, first, last)| Period::from_slots(first, last)).collect();
        let facts = Facts {
            run_id: &run.id,
            month,
            currency: &run.currency,
            employee_id: &employee.id,
            person_id: &employee.person_id,
            employed,
            base: employee.base_minor,
            rules: &read(&employee.rules)?,
            unpaid: &unpaid,
        };
        let payslip = StoredPayslip::of(&Payslip::compute(&facts, &calendar)?)?;
        computed += usize::from(tx.insert_staff_payslip(&payslip).await?);
    }
    let payslips = tx.staff_run_totals(&run.id).await?.payslips;
    if computed > 0 {
        let actor = Actor::System("staff".try_into()?);
        let record = Record::new(RUN_COMPUTED, &actor, run.entity()?).after(&Computed { payslips: computed })?;
        app.audit.record(&mut tx, &record).await?;
        app.commit(tx).await?;
    }
    Ok(Some((last.id.clone(), payslips)))
}

/// What a record says of a chunk: nothing about anybody.
#[derive(Serialize)]
struct Computed {
    payslips: usize,
}

impl Audited for Computed {
    const FIELDS: &'static [&'static str] = &["payslips"];
}

/// Reads a payslip: whoever runs payroll may at any time, whose it is once the run is closed. To others there is none.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Internal`].
pub async fn read_payslip<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    run_id: &str,
    employee_id: &str,
) -> Result<(Run, StoredPayslip)> {
    let (run_id, employee_id) = (id(run_id)?, id(employee_id)?);
    let run = conn.staff_run(&run_id).await?.ok_or(Error::NotFound)?;
    let payslip = conn.staff_payslip(&run_id, &employee_id).await?.ok_or(Error::NotFound)?;
    let own = conn.staff_employee_of(viewer.user.as_str()).await?;
    let is_own = own.is_some_and(|own| own.id == payslip.employee_id);
    let platform = access::platform()?;
    let runs_payroll = app.staff_capabilities.check(conn, StaffCapability::RunPayroll, &viewer.user, &platform).await?;
    if runs_payroll || (is_own && !run.is_open()) { Ok((run, payslip)) } else { Err(Error::NotFound) }
}
