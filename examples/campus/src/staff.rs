//! The people who work for the campus: employees, leave, payroll. [`payroll`] shows how a batch of money survives a crash.
//!
//! It stands by itself: its own tables, capabilities and audit records, and nothing of it is ever found by a search.

pub mod access;
pub mod accrual;
pub mod calendar;
pub mod employees;
pub mod leave;
pub mod money;
pub mod pay;
pub mod payroll;
pub mod sql;

mod board;

pub(crate) mod api;
pub(crate) mod office_pages;
pub(crate) mod pages;

use stoa_jobs_runner::Job as _;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::surface::Surface;

/// What the staff brings.
pub const SURFACE: Surface = Surface {
    name: "staff",
    tables: &[
        "campus_staff_structure",
        "campus_staff_employee",
        "campus_staff_leave_type",
        "campus_staff_holiday",
        "campus_staff_leave_entry",
        "campus_staff_leave_request",
        "campus_staff_run",
        "campus_staff_payslip",
    ],
    scopes: &["platform"],
    documents: None,
    actions: &[
        employees::HIRED,
        employees::CHANGED,
        leave::TYPE_CREATED,
        leave::HOLIDAY_ADDED,
        leave::ADJUSTED,
        leave::REQUESTED,
        leave::APPROVED,
        leave::REJECTED,
        leave::CANCELLED,
        accrual::ACCRUED,
        payroll::STRUCTURE_CREATED,
        payroll::RUN_CREATED,
        payroll::RUN_RESUMED,
        payroll::RUN_COMPUTED,
        payroll::RUN_CLOSED,
    ],
    jobs: &[accrual::AccrueLeave::KIND, payroll::ComputeRun::KIND],
    capabilities: &[
        "staff.employee.manage",
        "staff.leave.manage",
        "staff.leave.decide",
        "staff.leave.decide_any",
        "staff.payroll.run",
        "staff.payroll.close",
    ],
    paths: &["/staff", "/api/v1/staff"],
};

/// How often a mutation is tried when the database ends it in favour of another.
const ATTEMPTS: usize = 3;

/// Tries again while the database ends the transaction in favour of another.
macro_rules! retry {
    ($attempt:expr) => {{
        let mut attempts = 1;
        loop {
            match $attempt.await {
                Err(error) if error.is_retryable() && attempts < $crate::staff::ATTEMPTS => attempts += 1,
                result => break result,
            }
        }
    }};
}

use retry;

/// An id of the staff's own; what is none names nothing.
fn id(id: &str) -> Result<String> {
    Uuid::parse_str(id).map(|id| id.to_string()).map_err(|_| Error::NotFound)
}

/// A moment as programs read it.
fn when(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default().to_rfc3339()
}
