//! Leave accrues month by month: a job on the first of each, which may run as often as it likes.

use chrono::Utc;
use serde::{Deserialize, Serialize};
use stoa_audit::{Action, Actor, Audited, Entity, EntityId, EntityType, Record};
use stoa_jobs_runner::{Context, Cron, Failure, Handler, Job};

use super::calendar::{Month, day};
use super::leave::LeaveType;
use super::retry;
use super::sql::{LeaveSql as _, StaffSql as _};
use crate::app::App;
use crate::backend::Backend;
use crate::error::Result;

pub(crate) const ACCRUED: Action = Action::new("bits.staff.v1.LeaveService/AccrueLeave");

/// How many employees get theirs in one transaction.
const BATCH: u8 = 50;

/// Enters what has accrued this year, up to and with a month, into the ledgers of everybody employed.
///
/// A month belongs to whoever is employed on its first day. Before the first entry of a year lapses what is over the type's carry-over.
#[derive(Debug, Serialize, Deserialize)]
pub struct AccrueLeave {
    /// The month, such as `2026-11`.
    pub month: String,
}

impl Job for AccrueLeave {
    const KIND: &'static str = "staff.leave.accrue";
    const QUEUE: &'static str = "staff_leave";
}

/// The first of every month, shortly after midnight; what was missed is caught up by the next one, within the year.
///
/// # Errors
/// Never: the entry is well-formed.
pub(crate) fn monthly() -> Result<Cron> {
    Ok(Cron::with("staff.leave.accrue", "10 0 1 * *", |tick| AccrueLeave {
        month: Month::of(tick.date_naive()).to_string(),
    })?)
}

impl<B: Backend> Handler<App<B>> for AccrueLeave {
    async fn run(self, context: &Context<App<B>>) -> Result<(), Failure> {
        let month = Month::parse(&self.month).map_err(Failure::fatal)?;
        let mut after = String::new();
        let mut employees = 0;
        while let Some((last, reached)) = retry!(accrue_batch(context.state(), month, &after))? {
            (after, employees) = (last, employees + reached);
            context.progress(format!("{employees} employees"));
            if context.is_cancelled() {
                return Err(Failure::release());
            }
        }
        Ok(())
    }
}

/// One transaction, with one audit record if it entered anything. Returns the last employee that it reached, and how many those were.
async fn accrue_batch<B: Backend>(app: &App<B>, month: Month, after: &str) -> Result<Option<(String, usize)>> {
    let mut tx = app.begin().await?;
    let types = tx.leave_types().await?;
    let batch = tx.staff_employees(after, BATCH.into()).await?;
    let mut entries = 0;
    for employee in &batch {
        let Some(employee) = tx.hold_staff_employee(&employee.id).await? else { continue };
        let hired_on = day("the first day", &employee.hired_on)?;
        let left_on = employee.left_on.as_deref().map(|left_on| day("the last day", left_on)).transpose()?;
        let is_employed = |month: Month| hired_on <= month.first() && left_on.is_none_or(|left| left >= month.first());
        let months: Vec<Month> = month.of_year_so_far().filter(|month| is_employed(*month)).collect();
        for leave_type in &types {
            entries += accrue::<B>(&mut tx, &employee.id, leave_type, &months).await?;
        }
    }
    let Some(last) = batch.last() else { return Ok(None) };
    if entries > 0 {
        let entity = Entity::new(EntityType::from_static("leave_accrual"), EntityId::new(month.to_string())?);
        let actor = Actor::System("staff".try_into()?);
        app.audit.record(&mut tx, &Record::new(ACCRUED, &actor, entity).after(&Accrued { entries })?).await?;
        app.commit(tx).await?;
    }
    Ok(Some((last.id.clone(), batch.len())))
}

/// Says how many entries were made.
async fn accrue<B: Backend>(
    conn: &mut B::Connection,
    employee_id: &str,
    leave_type: &LeaveType,
    months: &[Month],
) -> Result<usize> {
    let now = Utc::now().timestamp_micros();
    let mut entries = 0;
    let Some(first) = months.first() else { return Ok(0) };
    // Whatever lapses, lapses once a year: the entry is made even where nothing does.
    let over = (conn.leave_balance(employee_id, &leave_type.id).await? - leave_type.carry_half_days).max(0);
    let year = first.year().to_string();
    entries += usize::from(conn.insert_leave_entry(employee_id, &leave_type.id, "lapsed", &year, -over, now).await?);
    for month in months {
        let part = month.part_of(leave_type.yearly_half_days);
        let cause = month.to_string();
        if part > 0 {
            let is_new = conn.insert_leave_entry(employee_id, &leave_type.id, "accrued", &cause, part, now).await?;
            entries += usize::from(is_new);
        }
    }
    Ok(entries)
}

/// What a record says of a batch: nothing about anybody.
#[derive(Serialize)]
struct Accrued {
    entries: usize,
}

impl Audited for Accrued {
    const FIELDS: &'static [&'static str] = &["entries"];
}
