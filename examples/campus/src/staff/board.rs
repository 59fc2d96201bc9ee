//! What pages and routes show alike, each to whoever may see it.

use super::access::StaffCapability;
use super::leave::{LeaveType, Request};
use super::payroll::{Run, RunView};
use super::sql::{LeaveSql as _, PayrollSql as _, StaffSql as _};
use crate::access;
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::error::{Error, Result};

/// How much leave of a type an employee has.
pub(super) struct Balance {
    pub(super) leave_type: LeaveType,
    pub(super) half_days: i64,
    pub(super) pending: i64,
}

/// Says whether the viewer has a capability.
pub(super) async fn may<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    capability: StaffCapability,
) -> Result<bool> {
    Ok(app.staff_capabilities.check(conn, capability, &viewer.user, &access::platform()?).await?)
}

/// Goes on only with a capability: to others there is nothing.
pub(super) async fn require<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    capability: StaffCapability,
) -> Result<()> {
    if may(app, conn, viewer, capability).await? { Ok(()) } else { Err(Error::NotFound) }
}

/// What an employee has of every type of leave.
pub(super) async fn balances<B: Backend>(conn: &mut B::Connection, employee_id: &str) -> Result<Vec<Balance>> {
    let mut balances = Vec::new();
    for leave_type in conn.leave_types().await? {
        let half_days = conn.leave_balance(employee_id, &leave_type.id).await?;
        let pending = conn.pending_leave(employee_id, &leave_type.id).await?;
        balances.push(Balance { leave_type, half_days, pending });
    }
    Ok(balances)
}

/// The pending requests that the viewer may decide, the oldest first.
pub(super) async fn to_decide<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    after: &str,
    limit: i64,
) -> Result<Vec<Request>> {
    require(app, conn, viewer, StaffCapability::DecideLeave).await?;
    let own = viewer.user.as_str();
    if may(app, conn, viewer, StaffCapability::DecideAnyLeave).await? {
        return Ok(conn.pending_leave_requests(None, own, after, limit).await?);
    }
    match conn.staff_employee_of(own).await? {
        Some(manager) => Ok(conn.pending_leave_requests(Some(&manager.id), own, after, limit).await?),
        None => Ok(Vec::new()),
    }
}

/// A run as far as it is, and what its job says while it runs.
pub(super) async fn view<B: Backend>(app: &App<B>, conn: &mut B::Connection, run: &Run) -> Result<RunView> {
    let totals = match run.totals() {
        Some(totals) => totals,
        None => conn.staff_run_totals(&run.id).await?,
    };
    let job = match run.job_id.filter(|_| run.is_open()) {
        Some(job_id) => app.jobs.find(conn, job_id.into()).await?,
        None => None,
    };
    let progress = job.map(|job| match job.progress {
        Some(progress) => format!("{}: {progress}", job.state),
        None => job.state.to_string(),
    });
    Ok(run.view(totals, progress))
}
