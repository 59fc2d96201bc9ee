//! Leave: its types, requests and decisions. A balance is the sum of a ledger that only grows.

use chrono::Utc;
use serde::Serialize;
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType};
use stoa_capabilities::scoped;
use utoipa::ToSchema;
use uuid::Uuid;

use super::access::{DecideAnyLeave, DecideLeave, ManageLeave};
use super::calendar::{Calendar, Half, Month, Period, day};
use super::employees::Employee;
use super::sql::{LeaveSql as _, PayrollSql as _, StaffSql as _};
use super::{id, retry, when};
use crate::access;
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::notices::{self, Notice};
use crate::readers::Readers;
use crate::sql::MetaSql as _;
use crate::text::line;

pub(crate) const TYPE_CREATED: Action = Action::new("bits.staff.v1.LeaveService/CreateLeaveType");
pub(crate) const HOLIDAY_ADDED: Action = Action::new("bits.staff.v1.LeaveService/AddHoliday");
pub(crate) const ADJUSTED: Action = Action::new("bits.staff.v1.LeaveService/AdjustBalance");
pub(crate) const REQUESTED: Action = Action::new("bits.staff.v1.LeaveService/RequestLeave");
pub(crate) const APPROVED: Action = Action::new("bits.staff.v1.LeaveService/ApproveLeave");
pub(crate) const REJECTED: Action = Action::new("bits.staff.v1.LeaveService/RejectLeave");
pub(crate) const CANCELLED: Action = Action::new("bits.staff.v1.LeaveService/CancelLeave");

/// The most half days of leave in a year, or entered at once.
const MAX_HALF_DAYS: i64 = 732;

/// A type of leave. It never changes: what was decided by it stays decided.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize, ToSchema)]
pub struct LeaveType {
    /// `[a-z][a-z0-9-]{0,39}`.
    pub id: String,
    /// As it is called.
    pub name: String,
    /// Whether salary goes on.
    pub is_paid: bool,
    /// Whether one may take more than there is.
    pub may_go_negative: bool,
    /// What accrues in a year, month by month.
    pub yearly_half_days: i64,
    /// What is kept of it, at most, when a new year begins.
    pub carry_half_days: i64,
}

impl LeaveType {
    /// Holds it to its bounds.
    ///
    /// # Errors
    /// [`Error::Invalid`] says what is out of them.
    pub fn checked(self) -> Result<Self> {
        let is_id = |id: &str| {
            id.len() <= 40
                && id.starts_with(|first: char| first.is_ascii_lowercase())
                && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        if !is_id(&self.id) {
            return Err(Error::Invalid(
                "the id is 1 to 40 small letters, digits and hyphens, and begins with a letter".into(),
            ));
        }
        for half_days in [self.yearly_half_days, self.carry_half_days] {
            if !(0..=MAX_HALF_DAYS).contains(&half_days) {
                return Err(Error::Invalid(format!("days must be 0 to {}", MAX_HALF_DAYS / 2)));
            }
        }
        Ok(Self { name: line("the name", &self.name, 60)?, ..self })
    }
}

impl Audited for LeaveType {
    const FIELDS: &'static [&'static str] =
        &["name", "is_paid", "may_go_negative", "yearly_half_days", "carry_half_days"];
}

/// Somebody's wish to be away, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize)]
pub struct Request {
    /// A UUID of version 7: ids grow with time.
    pub id: String,
    /// Whose it is.
    pub employee_id: String,
    /// Of which type.
    pub leave_type_id: String,
    /// The first half day, counted from 1970.
    pub first_slot: i64,
    /// The last half day.
    pub last_slot: i64,
    /// How many of them would have been worked, by the calendar of when it was asked for.
    pub half_days: i64,
    /// `pending`, `approved`, `rejected` or `cancelled`.
    pub state: String,
    /// What they say about it; may be empty.
    pub note: String,
    /// The person who decided.
    pub decided_by: Option<String>,
    /// Microseconds since 1970 in UTC.
    pub created_at: i64,
}

impl Request {
    pub(super) const fn period(&self) -> Period {
        Period::from_slots(self.first_slot, self.last_slot)
    }

    fn months(&self) -> (String, String) {
        let ((first, _), (last, _)) = (self.period().begins(), self.period().ends());
        (Month::of(first).to_string(), Month::of(last).to_string())
    }

    fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("leave_request"), EntityId::new(&*self.id)?))
    }

    /// The request for people and programs.
    pub(crate) fn view(&self) -> RequestView {
        let ((first_on, first_half), (last_on, last_half)) = (self.period().begins(), self.period().ends());
        RequestView {
            id: self.id.clone(),
            employee_id: self.employee_id.clone(),
            leave_type_id: self.leave_type_id.clone(),
            first_on: first_on.to_string(),
            first_half,
            last_on: last_on.to_string(),
            last_half,
            half_days: self.half_days,
            state: self.state.clone(),
            note: self.note.clone(),
            created_at: when(self.created_at),
        }
    }
}

/// What of a request an audit record may hold: why and when somebody is away is kept apart.
impl Audited for Request {
    const FIELDS: &'static [&'static str] = &["employee_id", "state"];
    const PERSONAL: &'static [&'static str] = &["leave_type_id", "first_slot", "last_slot", "half_days"];
}

/// A request for leave.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RequestView {
    /// A UUID.
    pub(crate) id: String,
    /// Whose it is.
    pub(crate) employee_id: String,
    /// Of which type.
    pub(crate) leave_type_id: String,
    /// The first day.
    pub(crate) first_on: String,
    /// From the morning or the afternoon on.
    pub(crate) first_half: Half,
    /// The last day.
    pub(crate) last_on: String,
    /// Up to and with the morning or the afternoon.
    pub(crate) last_half: Half,
    /// Half days of work in it.
    pub(crate) half_days: i64,
    /// `pending`, `approved`, `rejected` or `cancelled`.
    pub(crate) state: String,
    /// What they say about it.
    pub(crate) note: String,
    /// When it was asked for.
    pub(crate) created_at: String,
}

/// Leave to ask for, within its bounds.
#[derive(Clone, Debug)]
pub struct Wish {
    leave_type_id: String,
    period: Period,
    note: String,
}

impl Wish {
    /// Parses the days, such as `2026-11-21`, and a note of one line and at most 200 characters.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which is not what it has to be.
    pub fn new(leave_type_id: &str, first: (&str, Half), last: (&str, Half), note: &str) -> Result<Self> {
        let period = Period::new(day("the first day", first.0)?, first.1, day("the last day", last.0)?, last.1)?;
        let note = if note.trim().is_empty() { String::new() } else { line("the note", note, 200)? };
        let leave_type_id = line("the type of leave", leave_type_id, 40)?;
        Ok(Self { leave_type_id, period, note })
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is granted.
    Approve,
    /// It is not.
    Reject,
}

/// Defines a type of leave.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage leave; [`Error::Conflict`] if there is one of this id; [`Error::Internal`].
pub async fn create_type<B: Backend>(app: &App<B>, caller: &Caller, leave_type: LeaveType) -> Result<LeaveType> {
    let leave_type = leave_type.checked()?;
    scoped!(tx = app.begin().await?);
    drop(app.staff_capabilities.authorize(&mut tx, ManageLeave, &caller.user, &access::platform()?).await?);
    if !tx.insert_leave_type(&leave_type).await? {
        return Err(Error::Conflict("there is a type of leave with this id already".into()));
    }
    let entity = Entity::new(EntityType::from_static("leave_type"), EntityId::new(&*leave_type.id)?);
    app.audit.record(&mut tx, &caller.record(TYPE_CREATED, entity)?.after(&leave_type)?).await?;
    app.commit(tx.into_inner()).await?;
    Ok(leave_type)
}

/// Makes a day one on which nobody works. Requests keep the days they were counted with; open payroll runs of the month are computed
/// again.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage leave; [`Error::Conflict`] if it is a holiday already; [`Error::Internal`].
pub async fn add_holiday<B: Backend>(app: &App<B>, caller: &Caller, on: &str, name: &str) -> Result<()> {
    let (on, name) = (day("the holiday", on)?, line("the name", name, 60)?);
    retry!(try_add_holiday(app, caller, on, &name))
}

async fn try_add_holiday<B: Backend>(app: &App<B>, caller: &Caller, on: chrono::NaiveDate, name: &str) -> Result<()> {
    scoped!(tx = app.begin().await?);
    drop(app.staff_capabilities.authorize(&mut tx, ManageLeave, &caller.user, &access::platform()?).await?);
    tx.hold_open_staff_runs().await?;
    if !tx.insert_holiday(&on.to_string(), name).await? {
        return Err(Error::Conflict("this day is a holiday already".into()));
    }
    tx.delete_open_staff_payslips_of_month(&Month::of(on).to_string()).await?;
    let entity = Entity::new(EntityType::from_static("holiday"), EntityId::new(on.to_string())?);
    app.audit.record(&mut tx, &caller.record(HOLIDAY_ADDED, entity)?).await?;
    app.commit(tx.into_inner()).await
}

/// Enters half days into a ledger: what somebody brings along, or a correction.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage leave, or there is no such employee; [`Error::Invalid`] if there is no such
/// type, or the number is out of bounds; [`Error::Conflict`] if the balance would be less than the type allows.
pub async fn adjust<B: Backend>(
    app: &App<B>,
    caller: &Caller,
    employee_id: &str,
    leave_type_id: &str,
    half_days: i64,
) -> Result<()> {
    retry!(try_adjust(app, caller, employee_id, leave_type_id, half_days))
}

async fn try_adjust<B: Backend>(
    app: &App<B>,
    caller: &Caller,
    employee_id: &str,
    leave_type_id: &str,
    half_days: i64,
) -> Result<()> {
    let employee_id = id(employee_id)?;
    let leave_type_id = line("the type of leave", leave_type_id, 40)?;
    if half_days == 0 || !(-MAX_HALF_DAYS..=MAX_HALF_DAYS).contains(&half_days) {
        return Err(Error::Invalid(format!("a correction is half a day to {} days, up or down", MAX_HALF_DAYS / 2)));
    }
    scoped!(tx = app.begin().await?);
    drop(app.staff_capabilities.authorize(&mut tx, ManageLeave, &caller.user, &access::platform()?).await?);
    let employee = tx.hold_staff_employee(&employee_id).await?.ok_or(Error::NotFound)?;
    let leave_type = tx.leave_type(&leave_type_id).await?.ok_or_else(no_such_type)?;
    let balance = tx.leave_balance(&employee.id, &leave_type.id).await?;
    // Whoever is given something may still owe; nobody is made to.
    if half_days < 0 && !leave_type.may_go_negative && balance + half_days < 0 {
        return Err(too_little(balance));
    }
    let cause = Uuid::now_v7().to_string();
    tx.insert_leave_entry(&employee.id, &leave_type.id, "adjusted", &cause, half_days, Utc::now().timestamp_micros())
        .await?;
    app.audit.record(&mut tx, &caller.record(ADJUSTED, employee.entity()?)?).await?;
    app.commit(tx.into_inner()).await
}

/// Asks for leave, as an employee. What is not decided yet counts as taken.
///
/// # Errors
/// [`Error::NotFound`] if the caller is no employee; [`Error::Invalid`] if there is no such type, no day of it would be worked, or they
/// are not employed then; [`Error::Conflict`] if it meets another request, or there is too little left.
pub async fn request<B: Backend>(app: &App<B>, caller: &Caller, wish: &Wish) -> Result<Request> {
    retry!(try_request(app, caller, wish))
}

async fn try_request<B: Backend>(app: &App<B>, caller: &Caller, wish: &Wish) -> Result<Request> {
    let mut tx = app.begin().await?;
    let own = tx.staff_employee_of(caller.user.as_str()).await?.ok_or(Error::NotFound)?;
    let employee = tx.hold_staff_employee(&own.id).await?.ok_or(Error::NotFound)?;
    let leave_type = tx.leave_type(&wish.leave_type_id).await?.ok_or_else(no_such_type)?;
    if employee.employed(wish.period)? != Some(wish.period) {
        return Err(Error::Invalid("you are not employed on all of these days".into()));
    }
    let half_days = calendar::<B>(&mut tx, wish.period).await?.half_days(wish.period);
    if half_days == 0 {
        return Err(Error::Invalid("none of these days is a day of work".into()));
    }
    let (first_slot, last_slot) = wish.period.slots();
    if tx.leave_overlaps(&employee.id, "", first_slot, last_slot, "pending").await? {
        return Err(overlaps());
    }
    let balance = tx.leave_balance(&employee.id, &leave_type.id).await?;
    let left = balance - tx.pending_leave(&employee.id, &leave_type.id).await?;
    if !leave_type.may_go_negative && left < half_days {
        return Err(too_little(left));
    }
    let request = Request {
        id: Uuid::now_v7().to_string(),
        employee_id: employee.id.clone(),
        leave_type_id: leave_type.id,
        first_slot,
        last_slot,
        half_days,
        state: "pending".into(),
        note: wish.note.clone(),
        decided_by: None,
        created_at: Utc::now().timestamp_micros(),
    };
    tx.insert_leave_request(&request).await?;
    record(app, &mut tx, caller, REQUESTED, &employee, &request).await?;
    app.commit(tx).await?;
    Ok(request)
}

/// Decides about the leave of somebody whom the caller manages or, with the capability, of anybody; never about their own.
///
/// # Errors
/// [`Error::NotFound`] if the caller may not decide about it, or there is no such request; [`Error::Conflict`] if it is decided
/// already, meets other leave, there is too little left, or the month has been paid.
pub async fn decide<B: Backend>(app: &App<B>, caller: &Caller, id: &str, decision: Decision) -> Result<Request> {
    retry!(try_decide(app, caller, id, decision))
}

async fn try_decide<B: Backend>(app: &App<B>, caller: &Caller, request: &str, decision: Decision) -> Result<Request> {
    let request_id = id(request)?;
    let platform = access::platform()?;
    scoped!(tx = app.begin().await?);
    drop(app.staff_capabilities.authorize(&mut tx, DecideLeave, &caller.user, &platform).await?);
    let employee_id = tx.leave_request(&request_id).await?.ok_or(Error::NotFound)?.employee_id;
    tx.hold_open_staff_runs().await?;
    let employee = tx.hold_staff_employee(&employee_id).await?.ok_or(Error::NotFound)?;
    if employee.person_id == caller.user.as_str() {
        return Err(Error::NotFound);
    }
    let own = tx.staff_employee_of(caller.user.as_str()).await?;
    if own.is_none() || employee.manager_id != own.map(|own| own.id) {
        drop(app.staff_capabilities.authorize(&mut tx, DecideAnyLeave, &caller.user, &platform).await?);
    }
    // Read again, now that nobody else can decide.
    let request = tx.leave_request(&request_id).await?.ok_or(Error::NotFound)?;
    if request.state != "pending" {
        return Err(Error::Conflict(format!("this request is {} already", request.state)));
    }
    let now = Utc::now().timestamp_micros();
    let (action, state) = match decision {
        Decision::Approve => (APPROVED, "approved"),
        Decision::Reject => (REJECTED, "rejected"),
    };
    if decision == Decision::Approve {
        let leave_type = tx.leave_type(&request.leave_type_id).await?.ok_or_else(no_such_type)?;
        if tx.leave_overlaps(&employee.id, &request.id, request.first_slot, request.last_slot, "approved").await? {
            return Err(overlaps());
        }
        let balance = tx.leave_balance(&employee.id, &leave_type.id).await?;
        if !leave_type.may_go_negative && balance < request.half_days {
            return Err(too_little(balance));
        }
        tx.insert_leave_entry(&employee.id, &leave_type.id, "taken", &request.id, -request.half_days, now).await?;
        change_pay::<B>(&mut tx, &leave_type, &request).await?;
    }
    tx.decide_leave_request(&request.id, state, caller.user.as_str(), now).await?;
    let request = Request { state: state.into(), decided_by: Some(caller.user.to_string()), ..request };
    record(app, &mut tx, caller, action, &employee, &request).await?;
    let notice = Notice {
        kind: "staff.leave_decided".into(),
        entity: request.id.clone(),
        title: format!("Your leave is {state}"),
        url: "/staff".into(),
        scope: Readers::Everyone.to_string(),
    };
    notices::tell(app, &mut tx, &[&employee.person_id], &notice).await?;
    app.commit(tx.into_inner()).await?;
    app.jobs.wake();
    Ok(request)
}

/// Withdraws one's own request, or gives leave back that has been approved.
///
/// # Errors
/// [`Error::NotFound`] if it is not the caller's; [`Error::Conflict`] if it was rejected or cancelled, has begun, or the month has been
/// paid.
pub async fn cancel<B: Backend>(app: &App<B>, caller: &Caller, id: &str) -> Result<Request> {
    retry!(try_cancel(app, caller, id))
}

async fn try_cancel<B: Backend>(app: &App<B>, caller: &Caller, request: &str) -> Result<Request> {
    let request_id = id(request)?;
    let mut tx = app.begin().await?;
    let own = tx.staff_employee_of(caller.user.as_str()).await?.ok_or(Error::NotFound)?;
    tx.hold_open_staff_runs().await?;
    let employee = tx.hold_staff_employee(&own.id).await?.ok_or(Error::NotFound)?;
    let request = tx.leave_request(&request_id).await?.filter(|request| request.employee_id == employee.id);
    let request = request.ok_or(Error::NotFound)?;
    let now = Utc::now();
    match &*request.state {
        "pending" => {}
        "approved" if request.period().begins().0 > now.date_naive() => {
            let leave_type = tx.leave_type(&request.leave_type_id).await?.ok_or_else(no_such_type)?;
            let now = now.timestamp_micros();
            tx.insert_leave_entry(&employee.id, &leave_type.id, "returned", &request.id, request.half_days, now)
                .await?;
            change_pay::<B>(&mut tx, &leave_type, &request).await?;
        }
        "approved" => return Err(Error::Conflict("this leave has begun".into())),
        state => return Err(Error::Conflict(format!("this request is {state} already"))),
    }
    tx.decide_leave_request(&request.id, "cancelled", caller.user.as_str(), now.timestamp_micros()).await?;
    let request = Request { state: "cancelled".into(), decided_by: Some(caller.user.to_string()), ..request };
    record(app, &mut tx, caller, CANCELLED, &employee, &request).await?;
    app.commit(tx).await?;
    Ok(request)
}

/// Unpaid leave changes what a month is paid with: a closed run is not changed, an open one computes the payslip again.
async fn change_pay<B: Backend>(conn: &mut B::Connection, leave_type: &LeaveType, request: &Request) -> Result<()> {
    if leave_type.is_paid {
        return Ok(());
    }
    let (first, last) = request.months();
    if conn.is_staff_paid(&request.employee_id, &first, &last).await? {
        return Err(Error::Conflict("the payroll of that month is closed".into()));
    }
    conn.delete_open_staff_payslips(&request.employee_id).await?;
    Ok(())
}

async fn record<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    caller: &Caller,
    action: Action,
    employee: &Employee,
    request: &Request,
) -> Result<()> {
    let subject = stoa_audit::UserId::new(&*employee.person_id)?;
    let record = caller.record(action, request.entity()?)?.scope(employee.entity()?);
    app.audit.record(conn, &record.after(request)?.personal(subject, request)?).await?;
    Ok(())
}

/// Which days of the period are worked. The weekend is a fact about the database, `staff.weekend`; without it, Saturday and Sunday.
///
/// # Errors
/// [`Error::Internal`]; [`Error::Invalid`] if what is stored is no weekend.
pub(super) async fn calendar<B: Backend>(conn: &mut B::Connection, period: Period) -> Result<Calendar> {
    let ((first, _), (last, _)) = (period.begins(), period.ends());
    let holidays = conn.holidays(&first.to_string(), &last.to_string()).await?;
    let holidays = holidays.iter().map(|(on, _)| day("a holiday", on)).collect::<Result<Vec<_>>>()?;
    Calendar::new(conn.meta("staff.weekend").await?.as_deref().unwrap_or("sat sun"), holidays)
}

fn no_such_type() -> Error {
    Error::Invalid("there is no such type of leave".into())
}

fn overlaps() -> Error {
    Error::Conflict("there is another request for some of these days".into())
}

fn too_little(half_days: i64) -> Error {
    Error::Conflict(format!("there is too little leave for that: {} left", super::calendar::in_days(half_days)))
}
