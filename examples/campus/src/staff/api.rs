//! The JSON routes of the staff.

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

use super::access::StaffCapability;
use super::calendar::Half;
use super::employees::{self, Employee, Terms};
use super::leave::{self, Decision, LeaveType, RequestView, Wish};
use super::money::Minor;
use super::pay::{Payslip, Rules};
use super::payroll::{self, LAST, RunView, Structure};
use super::sql::{LeaveSql as _, PayrollSql as _, StaffSql as _};
use super::{board, id, when};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::api::{ApiResult, Json, Page, PageQuery, ProblemBody};
use crate::http::session::Session;
use crate::http::{Routes, Site};

/// Adds the JSON routes of the staff.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/api/v1/staff/me", me::<B>)
        .get("/api/v1/staff/me/requests", my_requests::<B>)
        .post("/api/v1/staff/me/requests", request::<B>)
        .get("/api/v1/staff/me/payslips", my_payslips::<B>)
        .get("/api/v1/staff/requests", to_decide::<B>)
        .post("/api/v1/staff/requests/{id}/approve", approve::<B>)
        .post("/api/v1/staff/requests/{id}/reject", reject::<B>)
        .post("/api/v1/staff/requests/{id}/cancel", cancel::<B>)
        .get("/api/v1/staff/employees", list_employees::<B>)
        .post("/api/v1/staff/employees", hire::<B>)
        .get("/api/v1/staff/employees/{id}", employee::<B>)
        .post("/api/v1/staff/employees/{id}", change::<B>)
        .post("/api/v1/staff/employees/{id}/balance", adjust::<B>)
        .post("/api/v1/staff/leave-types", create_type::<B>)
        .post("/api/v1/staff/holidays", add_holiday::<B>)
        .get("/api/v1/staff/structures", list_structures::<B>)
        .post("/api/v1/staff/structures", create_structure::<B>)
        .get("/api/v1/staff/runs", list_runs::<B>)
        .post("/api/v1/staff/runs", create_run::<B>)
        .get("/api/v1/staff/runs/{id}", run::<B>)
        .post("/api/v1/staff/runs/{id}/compute", compute::<B>)
        .post("/api/v1/staff/runs/{id}/close", close::<B>)
        .get("/api/v1/staff/runs/{id}/payslips", run_payslips::<B>)
        .get("/api/v1/staff/runs/{id}/payslips/{employee}", payslip::<B>)
}

/// Describes them.
#[derive(OpenApi)]
#[openapi(paths(
    me,
    my_requests,
    request,
    my_payslips,
    to_decide,
    approve,
    reject,
    cancel,
    list_employees,
    hire,
    employee,
    change,
    adjust,
    create_type,
    add_holiday,
    list_structures,
    create_structure,
    list_runs,
    create_run,
    run,
    compute,
    close,
    run_payslips,
    payslip
))]
pub(crate) struct Api;

/// The caller as an employee.
#[derive(Debug, Serialize, ToSchema)]
struct Me {
    employee: Employee,
    balances: Vec<BalanceView>,
}

/// How much leave of a type there is.
#[derive(Debug, Serialize, ToSchema)]
struct BalanceView {
    leave_type: LeaveType,
    /// What there is by now.
    half_days: i64,
    /// What was asked for of it, and nobody has decided.
    pending_half_days: i64,
}

/// Leave to ask for.
#[derive(Debug, Deserialize, ToSchema)]
struct NewRequest {
    leave_type_id: String,
    /// Such as `2026-11-21`.
    first_on: String,
    #[serde(default = "morning")]
    first_half: Half,
    /// Such as `2026-11-21`.
    last_on: String,
    #[serde(default = "afternoon")]
    last_half: Half,
    #[serde(default)]
    #[schema(max_length = 200)]
    note: String,
}

fn morning() -> Half {
    Half::Morning
}

fn afternoon() -> Half {
    Half::Afternoon
}

/// Somebody to hire.
#[derive(Debug, Deserialize, ToSchema)]
struct NewEmployee {
    person_id: String,
    /// Such as `2026-11-21`.
    hired_on: String,
    #[serde(flatten)]
    terms: NewTerms,
}

/// What can be changed of an employee: what is left out is taken away.
#[derive(Debug, Deserialize, ToSchema)]
struct NewTerms {
    left_on: Option<String>,
    manager_id: Option<String>,
    structure_id: Option<String>,
}

impl NewTerms {
    fn parse(&self) -> Result<Terms> {
        Terms::new(self.left_on.as_deref(), self.manager_id.as_deref(), self.structure_id.as_deref())
    }
}

/// Half days to enter into a ledger.
#[derive(Debug, Deserialize, ToSchema)]
struct Adjustment {
    leave_type_id: String,
    half_days: i64,
}

/// A type of leave to define.
#[derive(Debug, Deserialize, ToSchema)]
struct NewLeaveType {
    id: String,
    name: String,
    is_paid: bool,
    #[serde(default)]
    may_go_negative: bool,
    yearly_half_days: i64,
    #[serde(default)]
    carry_half_days: i64,
}

/// A day on which nobody works.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Holiday {
    /// Such as `2026-12-25`.
    day: String,
    name: String,
}

/// A salary structure to define.
#[derive(Debug, Deserialize, ToSchema)]
struct NewStructure {
    name: String,
    /// Such as `EUR`.
    currency: String,
    base_minor: i64,
    #[serde(default)]
    rules: Rules,
}

/// A salary structure.
#[derive(Debug, Serialize, ToSchema)]
struct StructureView {
    id: String,
    name: String,
    currency: String,
    base_minor: Minor,
    rules: Rules,
    created_at: String,
}

impl TryFrom<&Structure> for StructureView {
    type Error = Error;
    fn try_from(structure: &Structure) -> Result<Self> {
        Ok(Self {
            id: structure.id.clone(),
            name: structure.name.clone(),
            currency: structure.currency.clone(),
            base_minor: structure.base_minor,
            rules: structure.rules()?,
            created_at: when(structure.created_at),
        })
    }
}

/// A month to pay.
#[derive(Debug, Deserialize, ToSchema)]
struct NewRun {
    /// Such as `2026-11`.
    month: String,
    /// Such as `EUR`.
    currency: String,
}

/// A payslip, and the hash of its stored bytes.
#[derive(Debug, Serialize, ToSchema)]
struct PayslipView {
    #[serde(flatten)]
    payslip: Payslip,
    /// The SHA-256 of what is stored, in hexadecimal digits.
    hash: String,
}

/// Reads the caller's employment and leave.
#[utoipa::path(get, path = "/api/v1/staff/me", tag = "staff",
    responses((status = 200, body = Me), (status = 404, body = ProblemBody)))]
async fn me<B: Backend>(State(site): State<Site<B>>, session: Session) -> ApiResult<Me> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let employee = tx.staff_employee_of(viewer.user.as_str()).await?.ok_or(Error::NotFound)?;
    let balances = board::balances::<B>(&mut tx, &employee.id).await?;
    let balances = balances.into_iter().map(|balance| BalanceView {
        leave_type: balance.leave_type,
        half_days: balance.half_days,
        pending_half_days: balance.pending,
    });
    Ok(Json(Me { employee, balances: balances.collect() }))
}

/// Lists the caller's requests, the newest first.
#[utoipa::path(get, path = "/api/v1/staff/me/requests", tag = "staff", params(PageQuery),
    responses((status = 200, body = Page<RequestView>), (status = 404, body = ProblemBody)))]
async fn my_requests<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<RequestView>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let employee = tx.staff_employee_of(viewer.user.as_str()).await?.ok_or(Error::NotFound)?;
    let limit = page.limit()?;
    let before = page.after.as_deref().map(id).transpose()?;
    let found = tx.leave_requests_of(&employee.id, before.as_deref().unwrap_or(LAST), i64::from(limit) + 1).await?;
    let views = found.iter().map(leave::Request::view).collect();
    Ok(Json(Page::of(views, limit, |request: &RequestView| request.id.clone())))
}

/// Asks for leave.
#[utoipa::path(post, path = "/api/v1/staff/me/requests", tag = "staff", request_body = NewRequest,
    responses((status = 200, body = RequestView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
async fn request<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(new): Json<NewRequest>,
) -> ApiResult<RequestView> {
    let (first, last) = ((&*new.first_on, new.first_half), (&*new.last_on, new.last_half));
    let wish = Wish::new(&new.leave_type_id, first, last, &new.note)?;
    Ok(Json(leave::request(&site.app, &session.caller, &wish).await?.view()))
}

/// Lists the caller's payslips of closed runs, the newest first.
#[utoipa::path(get, path = "/api/v1/staff/me/payslips", tag = "staff", params(PageQuery),
    responses((status = 200, body = Page<PayslipView>), (status = 404, body = ProblemBody)))]
async fn my_payslips<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<PayslipView>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let employee = tx.staff_employee_of(viewer.user.as_str()).await?.ok_or(Error::NotFound)?;
    let limit = page.limit()?;
    let before = page.after.as_deref().map(id).transpose()?;
    let found = tx.staff_payslips_of(&employee.id, before.as_deref().unwrap_or(LAST), i64::from(limit) + 1).await?;
    let views = found.iter().map(view).collect::<Result<_>>()?;
    Ok(Json(Page::of(views, limit, |view: &PayslipView| view.payslip.run_id.clone())))
}

fn view(stored: &payroll::StoredPayslip) -> Result<PayslipView> {
    Ok(PayslipView { payslip: stored.payslip()?, hash: stored.hash.clone() })
}

/// Lists the pending requests that the caller may decide, the oldest first.
#[utoipa::path(get, path = "/api/v1/staff/requests", tag = "staff", params(PageQuery),
    responses((status = 200, body = Page<RequestView>), (status = 404, body = ProblemBody)))]
async fn to_decide<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<RequestView>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let limit = page.limit()?;
    let after = page.after.as_deref().map(id).transpose()?.unwrap_or_default();
    let found = board::to_decide(&site.app, &mut tx, &viewer, &after, i64::from(limit) + 1).await?;
    let views = found.iter().map(leave::Request::view).collect();
    Ok(Json(Page::of(views, limit, |request: &RequestView| request.id.clone())))
}

/// Approves a request for leave.
#[utoipa::path(post, path = "/api/v1/staff/requests/{id}/approve", tag = "staff", params(("id" = String, Path)),
    responses((status = 200, body = RequestView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn approve<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<RequestView> {
    Ok(Json(leave::decide(&site.app, &session.caller, &id, Decision::Approve).await?.view()))
}

/// Rejects a request for leave.
#[utoipa::path(post, path = "/api/v1/staff/requests/{id}/reject", tag = "staff", params(("id" = String, Path)),
    responses((status = 200, body = RequestView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn reject<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<RequestView> {
    Ok(Json(leave::decide(&site.app, &session.caller, &id, Decision::Reject).await?.view()))
}

/// Withdraws one's own request, or gives approved leave back before it begins.
#[utoipa::path(post, path = "/api/v1/staff/requests/{id}/cancel", tag = "staff", params(("id" = String, Path)),
    responses((status = 200, body = RequestView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn cancel<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> ApiResult<RequestView> {
    Ok(Json(leave::cancel(&site.app, &session.caller, &id).await?.view()))
}

/// Lists the employees, by when they were entered.
#[utoipa::path(get, path = "/api/v1/staff/employees", tag = "staff", params(PageQuery),
    responses((status = 200, body = Page<Employee>), (status = 404, body = ProblemBody)))]
async fn list_employees<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<Employee>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::ManageEmployees).await?;
    let limit = page.limit()?;
    let after = page.after.as_deref().map(id).transpose()?.unwrap_or_default();
    let found = tx.staff_employees(&after, i64::from(limit) + 1).await?;
    Ok(Json(Page::of(found, limit, |employee| employee.id.clone())))
}

/// Makes a person an employee.
#[utoipa::path(post, path = "/api/v1/staff/employees", tag = "staff", request_body = NewEmployee,
    responses((status = 200, body = Employee), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
async fn hire<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(new): Json<NewEmployee>,
) -> ApiResult<Employee> {
    let terms = new.terms.parse()?;
    Ok(Json(employees::hire(&site.app, &session.caller, &new.person_id, &new.hired_on, &terms).await?))
}

/// Reads an employee.
#[utoipa::path(get, path = "/api/v1/staff/employees/{id}", tag = "staff", params(("id" = String, Path)),
    responses((status = 200, body = Employee), (status = 404, body = ProblemBody)))]
async fn employee<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(employee_id): Path<String>,
) -> ApiResult<Employee> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::ManageEmployees).await?;
    Ok(Json(tx.staff_employee(&id(&employee_id)?).await?.ok_or(Error::NotFound)?))
}

/// Changes the terms of an employee.
#[utoipa::path(post, path = "/api/v1/staff/employees/{id}", tag = "staff", params(("id" = String, Path)), request_body = NewTerms,
    responses((status = 200, body = Employee), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn change<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    Json(terms): Json<NewTerms>,
) -> ApiResult<Employee> {
    Ok(Json(employees::change(&site.app, &session.caller, &id, &terms.parse()?).await?))
}

/// Enters half days into the ledger of an employee.
#[utoipa::path(post, path = "/api/v1/staff/employees/{id}/balance", tag = "staff", params(("id" = String, Path)),
    request_body = Adjustment, responses((status = 200, body = Employee), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn adjust<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(employee_id): Path<String>,
    Json(new): Json<Adjustment>,
) -> ApiResult<Employee> {
    leave::adjust(&site.app, &session.caller, &employee_id, &new.leave_type_id, new.half_days).await?;
    let mut tx = site.app.read().await?;
    Ok(Json(tx.staff_employee(&id(&employee_id)?).await?.ok_or(Error::NotFound)?))
}

/// Defines a type of leave.
#[utoipa::path(post, path = "/api/v1/staff/leave-types", tag = "staff", request_body = NewLeaveType,
    responses((status = 200, body = LeaveType), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
async fn create_type<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(new): Json<NewLeaveType>,
) -> ApiResult<LeaveType> {
    let leave_type = LeaveType {
        id: new.id,
        name: new.name,
        is_paid: new.is_paid,
        may_go_negative: new.may_go_negative,
        yearly_half_days: new.yearly_half_days,
        carry_half_days: new.carry_half_days,
    };
    Ok(Json(leave::create_type(&site.app, &session.caller, leave_type).await?))
}

/// Makes a day a holiday.
#[utoipa::path(post, path = "/api/v1/staff/holidays", tag = "staff", request_body = Holiday,
    responses((status = 200, body = Holiday), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
async fn add_holiday<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(holiday): Json<Holiday>,
) -> ApiResult<Holiday> {
    leave::add_holiday(&site.app, &session.caller, &holiday.day, &holiday.name).await?;
    Ok(Json(holiday))
}

/// Lists the salary structures, the newest first.
#[utoipa::path(get, path = "/api/v1/staff/structures", tag = "staff", params(PageQuery),
    responses((status = 200, body = Page<StructureView>), (status = 404, body = ProblemBody)))]
async fn list_structures<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<StructureView>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::RunPayroll).await?;
    let limit = page.limit()?;
    let before = page.after.as_deref().map(id).transpose()?;
    let found = tx.staff_structures(before.as_deref().unwrap_or(LAST), i64::from(limit) + 1).await?;
    let views = found.iter().map(StructureView::try_from).collect::<Result<_>>()?;
    Ok(Json(Page::of(views, limit, |structure: &StructureView| structure.id.clone())))
}

/// Defines a salary structure.
#[utoipa::path(post, path = "/api/v1/staff/structures", tag = "staff", request_body = NewStructure,
    responses((status = 200, body = StructureView), (status = 404, body = ProblemBody), (status = 422, body = ProblemBody)))]
async fn create_structure<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(new): Json<NewStructure>,
) -> ApiResult<StructureView> {
    let NewStructure { name, currency, base_minor, rules } = new;
    let structure = payroll::create_structure(&site.app, &session.caller, &name, &currency, base_minor, rules).await?;
    Ok(Json(StructureView::try_from(&structure)?))
}

/// Lists the payroll runs, the newest first.
#[utoipa::path(get, path = "/api/v1/staff/runs", tag = "staff", params(PageQuery),
    responses((status = 200, body = Page<RunView>), (status = 404, body = ProblemBody)))]
async fn list_runs<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    page: PageQuery,
) -> ApiResult<Page<RunView>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::RunPayroll).await?;
    let limit = page.limit()?;
    let before = page.after.as_deref().map(id).transpose()?;
    let mut views = Vec::new();
    for run in tx.staff_runs(before.as_deref().unwrap_or(LAST), i64::from(limit) + 1).await? {
        views.push(board::view(&site.app, &mut tx, &run).await?);
    }
    Ok(Json(Page::of(views, limit, |run: &RunView| run.id.clone())))
}

/// Begins to pay a month.
#[utoipa::path(post, path = "/api/v1/staff/runs", tag = "staff", request_body = NewRun,
    responses((status = 200, body = RunView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
async fn create_run<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Json(new): Json<NewRun>,
) -> ApiResult<RunView> {
    let run = payroll::create_run(&site.app, &session.caller, &new.month, &new.currency).await?;
    seen(&site, &run.id).await
}

/// Reads a payroll run, and how far it is.
#[utoipa::path(get, path = "/api/v1/staff/runs/{id}", tag = "staff", params(("id" = String, Path)),
    responses((status = 200, body = RunView), (status = 404, body = ProblemBody)))]
async fn run<B: Backend>(State(site): State<Site<B>>, session: Session, Path(run): Path<String>) -> ApiResult<RunView> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::RunPayroll).await?;
    drop(tx);
    seen(&site, &id(&run)?).await
}

/// Computes the payslips that an open run lacks.
#[utoipa::path(post, path = "/api/v1/staff/runs/{id}/compute", tag = "staff", params(("id" = String, Path)),
    responses((status = 200, body = RunView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn compute<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(run): Path<String>,
) -> ApiResult<RunView> {
    payroll::resume(&site.app, &session.caller, &run).await?;
    seen(&site, &id(&run)?).await
}

/// Closes a run for good.
#[utoipa::path(post, path = "/api/v1/staff/runs/{id}/close", tag = "staff", params(("id" = String, Path)),
    responses((status = 200, body = RunView), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn close<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(run): Path<String>,
) -> ApiResult<RunView> {
    payroll::close(&site.app, &session.caller, &run).await?;
    seen(&site, &id(&run)?).await
}

/// Whoever asks for it has been allowed to.
async fn seen<B: Backend>(site: &Site<B>, run_id: &str) -> ApiResult<RunView> {
    let mut tx = site.app.read().await?;
    let run = tx.staff_run(run_id).await?.ok_or(Error::NotFound)?;
    Ok(Json(board::view(&site.app, &mut tx, &run).await?))
}

/// Lists the payslips of a run, by employee.
#[utoipa::path(get, path = "/api/v1/staff/runs/{id}/payslips", tag = "staff", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = Page<PayslipView>), (status = 404, body = ProblemBody)))]
async fn run_payslips<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(run): Path<String>,
    page: PageQuery,
) -> ApiResult<Page<PayslipView>> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::RunPayroll).await?;
    let run = tx.staff_run(&id(&run)?).await?.ok_or(Error::NotFound)?;
    let limit = page.limit()?;
    let after = page.after.as_deref().map(id).transpose()?.unwrap_or_default();
    let found = tx.staff_payslips(&run.id, &after, i64::from(limit) + 1).await?;
    let views = found.iter().map(view).collect::<Result<_>>()?;
    Ok(Json(Page::of(views, limit, |view: &PayslipView| view.payslip.employee_id.clone())))
}

/// Reads a payslip: one's own of a closed run, or any with the capability.
#[utoipa::path(get, path = "/api/v1/staff/runs/{id}/payslips/{employee}", tag = "staff",
    params(("id" = String, Path), ("employee" = String, Path)),
    responses((status = 200, body = PayslipView), (status = 404, body = ProblemBody)))]
async fn payslip<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path((run, employee)): Path<(String, String)>,
) -> ApiResult<PayslipView> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let (_, stored) = payroll::read_payslip(&site.app, &mut tx, &viewer, &run, &employee).await?;
    Ok(Json(view(&stored)?))
}
