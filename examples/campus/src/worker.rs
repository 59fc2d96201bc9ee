//! The in-process worker.

use crate::app::App;
use crate::backend::Backend;
use crate::error::Result;
use crate::groups::notify::NotifyGroup;
use crate::staff::accrual::{self, AccrueLeave};
use crate::staff::payroll::ComputeRun;

/// Runs jobs until `stop` is ready, then lets the running ones finish.
///
/// # Errors
/// If the database stays away.
pub async fn run<B: Backend>(app: App<B>, stop: impl Future<Output = ()> + Send) -> Result<()> {
    stoa_jobs_runner::Runner::new(app.jobs.clone(), app.backend.pool().clone(), app)
        .queue("notifications", 4)
        .handle::<NotifyGroup>()
        .queue("staff_leave", 1)
        .handle::<AccrueLeave>()
        .cron(accrual::monthly()?)
        .queue("staff_payroll", 1)
        .handle::<ComputeRun>()
        .run_until(stop)
        .await?;
    Ok(())
}
