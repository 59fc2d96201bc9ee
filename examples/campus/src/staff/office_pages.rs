//! The pages of the offices: employees and rules of leave for human resources, salaries and runs for payroll.

use axum::extract::{Form, Path, State};
use axum::response::Redirect;
use chrono::{Datelike as _, Utc};
use maud::{Markup, html};
use serde::Deserialize;

use super::access::StaffCapability;
use super::calendar::{Month, in_days};
use super::employees::{self, Employee, Terms};
use super::leave::{self, LeaveType};
use super::money::written;
use super::pages::{PositionResult, ROWS, cut, day_name, month_name, position, tabs};
use super::pay::{Allowance, Deduction, Rules};
use super::payroll::{self, LAST, RunView, Structure};
use super::sql::{LeaveSql as _, PayrollSql as _, StaffSql as _};
use super::{board, id};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::layout::page;
use crate::http::session::Session;
use crate::http::{FormResult, Routes, Site};

pub(super) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    routes
        .get("/staff/employees", list::<B>)
        .post("/staff/employees", hire::<B>)
        .get("/staff/employees/{id}", employee::<B>)
        .post("/staff/employees/{id}", change::<B>)
        .post("/staff/employees/{id}/balance", adjust::<B>)
        .get("/staff/leave", leave_rules::<B>)
        .post("/staff/leave-types", create_type::<B>)
        .post("/staff/holidays", add_holiday::<B>)
        .get("/staff/structures", structures::<B>)
        .post("/staff/structures", create_structure::<B>)
        .get("/staff/payroll", runs::<B>)
        .post("/staff/payroll", create_run::<B>)
        .get("/staff/payroll/{id}", run::<B>)
        .post("/staff/payroll/{id}/compute", compute::<B>)
        .post("/staff/payroll/{id}/close", close::<B>)
}

/// Everybody who works for the campus, and a form to hire somebody.
async fn list<B: Backend>(State(site): State<Site<B>>, session: Session, from: PositionResult) -> Result<Markup> {
    let after = position(from)?.unwrap_or_default();
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::ManageEmployees).await?;
    let tabs = tabs(&site.app, &mut tx, &viewer, "/staff/employees").await?;
    let mut employees = tx.staff_employees(&after, ROWS + 1).await?;
    let more = cut(&mut employees).then(|| employees.last().map(|last| last.id.clone())).flatten();
    let names = site.app.names(&mut tx, employees.iter().map(|employee| &*employee.person_id)).await?;
    let structures = tx.staff_structures(LAST, 100).await?;
    Ok(page(
        "Employees",
        Some(&viewer),
        "",
        &html! {
            h1 { "Employees" }
            p.lead { "Everybody who works for the campus, in the order in which they were entered." }
            (tabs)
            @if employees.is_empty() { p.soft { "Nobody yet. Hire the first one below." } }
            @else {
                div.scroll {
                    table {
                        thead { tr { th scope="col" { "Name" } th scope="col" { "Since" } th scope="col" { "Until" } th scope="col" { "Paid" } } }
                        tbody {
                            @for employee in &employees {
                                tr {
                                    td { a href={ "/staff/employees/" (employee.id) } { (names[&employee.person_id]) } }
                                    td { (day_name(&employee.hired_on)) }
                                    td { (employee.left_on.as_deref().map(day_name).unwrap_or_default()) }
                                    td { @if employee.structure_id.is_some() { "yes" } @else { span.badge.failed { "no salary" } } }
                                }
                            }
                        }
                    }
                }
            }
            @if let Some(after) = more { p { a href={ "/staff/employees?after=" (after) } { "More employees" } } }
            h2 { "Hire somebody" }
            form.write.card method="post" action="/staff/employees" {
                div.fields {
                    label { "Person (their id)" input name="person_id" required maxlength="128" placeholder="amara-okafor"; }
                    label { "First day" input type="date" name="hired_on" required; }
                    label { "Manager (their id, optional)" input name="manager" maxlength="128"; }
                    (structure_field(&structures, None))
                }
                div { button { "Hire" } }
            }
        },
    ))
}

fn structure_field(structures: &[Structure], chosen: Option<&Structure>) -> Markup {
    let is_listed = |one: &Structure| structures.iter().any(|structure| structure.id == one.id);
    html! {
        label { "Salary" select name="structure_id" {
            option value="" { "none" }
            @if let Some(other) = chosen.filter(|one| !is_listed(one)) { option value=(other.id) selected { (other.name) } }
            @for structure in structures {
                option value=(structure.id) selected[chosen.is_some_and(|one| one.id == structure.id)] {
                    (structure.name) " (" (structure.currency) ")"
                }
            }
        } }
    }
}

#[derive(Deserialize)]
struct HireForm {
    person_id: String,
    hired_on: String,
    #[serde(flatten)]
    terms: TermsForm,
}

#[derive(Deserialize)]
struct TermsForm {
    #[serde(default)]
    left_on: String,
    /// The id of the person, as people know it.
    #[serde(default)]
    manager: String,
    #[serde(default)]
    structure_id: String,
}

impl TermsForm {
    /// Who may not see employees learns nothing about managers either.
    async fn parse<B: Backend>(&self, site: &Site<B>, session: &Session) -> Result<Terms> {
        let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
        board::require(&site.app, &mut tx, &viewer, StaffCapability::ManageEmployees).await?;
        let manager = match self.manager.trim() {
            "" => None,
            manager if manager.len() > 128 || manager.chars().any(char::is_control) => return Err(no_such_manager()),
            manager => Some(tx.staff_employee_of(manager).await?.ok_or_else(no_such_manager)?.id),
        };
        Terms::new(Some(&self.left_on), manager.as_deref(), Some(&self.structure_id))
    }
}

fn no_such_manager() -> Error {
    Error::Invalid("no employee has the manager's id".into())
}

async fn hire<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<HireForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let terms = form.terms.parse(&site, &session).await?;
    let employee = employees::hire(&site.app, &session.caller, &form.person_id, &form.hired_on, &terms).await?;
    Ok(Redirect::to(&format!("/staff/employees/{}", employee.id)))
}

/// One employee: their terms and balances.
async fn employee<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(employee_id): Path<String>,
) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::ManageEmployees).await?;
    let tabs = tabs(&site.app, &mut tx, &viewer, "/staff/employees").await?;
    let employee: Employee = tx.staff_employee(&id(&employee_id)?).await?.ok_or(Error::NotFound)?;
    let manager = match &employee.manager_id {
        Some(manager_id) => tx.staff_employee(manager_id).await?.map(|manager| manager.person_id),
        None => None,
    };
    let structure = match &employee.structure_id {
        Some(structure_id) => tx.staff_structure(structure_id).await?,
        None => None,
    };
    let structures = tx.staff_structures(LAST, 100).await?;
    let balances = board::balances::<B>(&mut tx, &employee.id).await?;
    let names = site.app.names(&mut tx, [&*employee.person_id].into_iter()).await?;
    let name = &names[&employee.person_id];
    Ok(page(
        name,
        Some(&viewer),
        "",
        &html! {
            h1 { (name) }
            p.lead { "Employed since " (day_name(&employee.hired_on)) "." }
            (tabs)
            h2 { "Terms" }
            form.write.card method="post" action={ "/staff/employees/" (employee.id) } {
                div.fields {
                    label { "Last day (optional)" input type="date" name="left_on" value=(employee.left_on.as_deref().unwrap_or_default()); }
                    label { "Manager (their id, optional)" input name="manager" maxlength="128" value=(manager.as_deref().unwrap_or_default()); }
                    (structure_field(&structures, structure.as_ref()))
                }
                p.soft { "An open payroll run computes their payslip again." }
                div { button { "Save the terms" } }
            }
            h2 { "Leave" }
            @if balances.is_empty() { p.soft { "There is no type of leave yet." } }
            @else {
                ul.grid {
                    @for balance in &balances {
                        li.card {
                            h3 { (balance.leave_type.name) }
                            p.figure { (in_days(balance.half_days)) }
                            @if balance.pending > 0 { p.soft { (in_days(balance.pending)) " asked for" } }
                        }
                    }
                }
                details {
                    summary { "Correct a balance" }
                    form method="post" action={ "/staff/employees/" (employee.id) "/balance" } {
                        label { "Type" select name="leave_type_id" {
                            @for balance in &balances { option value=(balance.leave_type.id) { (balance.leave_type.name) } }
                        } }
                        label { "Half days, up or down" input type="number" name="half_days" required min="-732" max="732"; }
                        button.quiet { "Enter" }
                    }
                }
            }
        },
    ))
}

async fn change<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
    form: FormResult<TermsForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let terms = form.parse(&site, &session).await?;
    let employee = employees::change(&site.app, &session.caller, &id, &terms).await?;
    Ok(Redirect::to(&format!("/staff/employees/{}", employee.id)))
}

#[derive(Deserialize)]
struct BalanceForm {
    leave_type_id: String,
    half_days: i64,
}

async fn adjust<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(employee_id): Path<String>,
    form: FormResult<BalanceForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    leave::adjust(&site.app, &session.caller, &employee_id, &form.leave_type_id, form.half_days).await?;
    Ok(Redirect::to(&format!("/staff/employees/{}", id(&employee_id)?)))
}

/// Types of leave and holidays.
async fn leave_rules<B: Backend>(State(site): State<Site<B>>, session: Session) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::ManageLeave).await?;
    let tabs = tabs(&site.app, &mut tx, &viewer, "/staff/leave").await?;
    let types = tx.leave_types().await?;
    let year = Utc::now().year();
    let holidays = tx.holidays(&format!("{year}-01-01"), &format!("{}-12-31", year + 1)).await?;
    Ok(page(
        "Leave rules",
        Some(&viewer),
        "",
        &html! {
            h1 { "Leave rules" }
            p.lead { "What there is to take, and on which days nobody works." }
            (tabs)
            h2 { "Types of leave" }
            @if types.is_empty() { p.soft { "None yet: nobody can ask for leave until there is one." } }
            ul.grid {
                @for leave_type in &types {
                    li.card {
                        div.row { h3 { (leave_type.name) } span.badge { @if leave_type.is_paid { "paid" } @else { "unpaid" } } }
                        p.soft {
                            (in_days(leave_type.yearly_half_days)) " a year, " (in_days(leave_type.carry_half_days)) " kept at its end. "
                            @if leave_type.may_go_negative { "May go below nothing." } @else { "Never below nothing." }
                        }
                    }
                }
            }
            h2 { "New type" }
            form.write.card method="post" action="/staff/leave-types" {
                div.fields {
                    label { "Id" input name="id" required maxlength="40" pattern="[a-z][a-z0-9\\-]*" placeholder="annual"; }
                    label { "Name" input name="name" required maxlength="60" placeholder="Annual leave"; }
                    label { "Half days a year" input type="number" name="yearly_half_days" required min="0" max="732" value="50"; }
                    label { "Half days kept into the next" input type="number" name="carry_half_days" required min="0" max="732" value="10"; }
                }
                label.check { input type="checkbox" name="is_paid" value="on" checked; "Salary goes on" }
                label.check { input type="checkbox" name="may_go_negative" value="on"; "One may take more than there is" }
                p.soft { "A type cannot be changed later: what was decided by it stays decided." }
                div { button { "Create the type" } }
            }
            h2 { "Holidays" }
            @if holidays.is_empty() { p.soft { "None this year or the next. Weekends need not be entered." } }
            @else {
                div.scroll { table {
                    thead { tr { th scope="col" { "Day" } th scope="col" { "Name" } } }
                    tbody { @for (on, name) in &holidays { tr { td { (day_name(on)) } td { (name) } } } }
                } }
            }
            details {
                summary { "Add a holiday" }
                form method="post" action="/staff/holidays" {
                    label { "Day" input type="date" name="day" required; }
                    label { "Name" input name="name" required maxlength="60"; }
                    button.quiet { "Add" }
                }
            }
        },
    ))
}

#[derive(Deserialize)]
struct TypeForm {
    id: String,
    name: String,
    yearly_half_days: i64,
    carry_half_days: i64,
    is_paid: Option<String>,
    may_go_negative: Option<String>,
}

async fn create_type<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<TypeForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let leave_type = LeaveType {
        id: form.id,
        name: form.name,
        is_paid: form.is_paid.is_some(),
        may_go_negative: form.may_go_negative.is_some(),
        yearly_half_days: form.yearly_half_days,
        carry_half_days: form.carry_half_days,
    };
    leave::create_type(&site.app, &session.caller, leave_type).await?;
    Ok(Redirect::to("/staff/leave"))
}

#[derive(Deserialize)]
struct HolidayForm {
    day: String,
    name: String,
}

async fn add_holiday<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<HolidayForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    leave::add_holiday(&site.app, &session.caller, &form.day, &form.name).await?;
    Ok(Redirect::to("/staff/leave"))
}

/// What people may earn.
async fn structures<B: Backend>(State(site): State<Site<B>>, session: Session, from: PositionResult) -> Result<Markup> {
    let before = position(from)?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::RunPayroll).await?;
    let tabs = tabs(&site.app, &mut tx, &viewer, "/staff/structures").await?;
    let mut found = tx.staff_structures(before.as_deref().unwrap_or(LAST), ROWS + 1).await?;
    let more = cut(&mut found).then(|| found.last().map(|last| last.id.clone())).flatten();
    let cards = found.iter().map(structure_card).collect::<Result<Vec<_>>>()?;
    Ok(page(
        "Salaries",
        Some(&viewer),
        "",
        &html! {
            h1 { "Salaries" }
            p.lead { "What people may earn. A structure never changes; whoever earns something else is given another one." }
            (tabs)
            @if cards.is_empty() { p.soft { "None yet: nobody can be paid until there is one." } }
            ul.grid { @for card in &cards { (card) } }
            @if let Some(after) = more { p { a href={ "/staff/structures?after=" (after) } { "Older structures" } } }
            h2 { "New structure" }
            form.write.card method="post" action="/staff/structures" {
                div.fields {
                    label { "Name" input name="name" required maxlength="60" placeholder="Lecturer, step 2"; }
                    label { "Currency" input name="currency" required pattern="[A-Z]{3}" maxlength="3" value="EUR"; }
                    label { "Base of a month, in minor units" input type="number" name="base_minor" required min="0" placeholder="320000"; }
                }
                label { "Allowances, one on a line: “Housing: 25000” or “Seniority: 50/1000”"
                    textarea name="allowances" rows="3" maxlength="4000" {} }
                label { "Deductions, one on a line: also “Income tax: 100/1000 over 0, 250/1000 over 150000”"
                    textarea name="deductions" rows="3" maxlength="4000" {} }
                div { button { "Create the structure" } }
            }
        },
    ))
}

fn structure_card(structure: &Structure) -> Result<Markup> {
    let rules = structure.rules()?;
    let amount = |minor| written(minor, &structure.currency);
    Ok(html! {
        li.card {
            h3 { (structure.name) }
            p.figure { (amount(structure.base_minor)) }
            @for allowance in &rules.allowances {
                p.soft { @match allowance {
                    Allowance::Fixed { name, minor } => { "+ " (name) ": " (amount(*minor)) }
                    Allowance::PerMille { name, per_mille } => { "+ " (name) ": " (per_mille) "/1000 of the base" }
                } }
            }
            @for deduction in &rules.deductions {
                p.soft { @match deduction {
                    Deduction::Fixed { name, minor } => { "− " (name) ": " (amount(*minor)) }
                    Deduction::PerMille { name, per_mille } => { "− " (name) ": " (per_mille) "/1000" }
                    Deduction::Progressive { name, brackets } => {
                        "− " (name) ":" @for bracket in brackets { " " (bracket.per_mille) "/1000 over " (amount(bracket.over)) ";" }
                    }
                } }
            }
        }
    })
}

#[derive(Deserialize)]
struct StructureForm {
    name: String,
    currency: String,
    base_minor: i64,
    #[serde(default)]
    allowances: String,
    #[serde(default)]
    deductions: String,
}

async fn create_structure<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<StructureForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let rules = Rules::parse(&form.allowances, &form.deductions)?;
    payroll::create_structure(&site.app, &session.caller, &form.name, &form.currency, form.base_minor, rules).await?;
    Ok(Redirect::to("/staff/structures"))
}

/// Payroll runs, and a form to begin one.
async fn runs<B: Backend>(State(site): State<Site<B>>, session: Session, from: PositionResult) -> Result<Markup> {
    let before = position(from)?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::RunPayroll).await?;
    let tabs = tabs(&site.app, &mut tx, &viewer, "/staff/payroll").await?;
    let mut found = tx.staff_runs(before.as_deref().unwrap_or(LAST), ROWS + 1).await?;
    let more = cut(&mut found).then(|| found.last().map(|last| last.id.clone())).flatten();
    let mut runs = Vec::with_capacity(found.len());
    for run in &found {
        runs.push(board::view(&site.app, &mut tx, run).await?);
    }
    Ok(page(
        "Payroll",
        Some(&viewer),
        "",
        &html! {
            h1 { "Payroll" }
            p.lead { "One run for each month and currency. Payslips are computed in the background, reviewed, and closed for good." }
            (tabs)
            form.card.write method="post" action="/staff/payroll" {
                div.fields {
                    label { "Month" input type="month" name="month" required value=(Month::of(Utc::now().date_naive())) pattern="[0-9]{4}-[0-9]{2}"; }
                    label { "Currency" input name="currency" required pattern="[A-Z]{3}" maxlength="3" value="EUR"; }
                    div { button { "Begin a run" } }
                }
            }
            h2 { "Runs" }
            @if runs.is_empty() { p.soft { "There is none yet. Begin the first one above." } }
            ul.grid {
                @for run in &runs {
                    li.card {
                        div.row {
                            h3 { a href={ "/staff/payroll/" (run.id) } { (month_name(&run.month)) ", " (run.currency) } }
                            (run_badge(run))
                        }
                        p.figure { (written(run.totals.net_minor, &run.currency)) }
                        p.soft { (run.totals.payslips) " payslips" }
                    }
                }
            }
            @if let Some(after) = more { p { a href={ "/staff/payroll?after=" (after) } { "Older runs" } } }
        },
    ))
}

fn run_badge(run: &RunView) -> Markup {
    let class = if run.state == "closed" { "succeeded" } else { "" };
    html! { span.badge.(class) { (run.state) } }
}

#[derive(Deserialize)]
struct RunForm {
    month: String,
    currency: String,
}

async fn create_run<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<RunForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let run = payroll::create_run(&site.app, &session.caller, &form.month, &form.currency).await?;
    Ok(Redirect::to(&format!("/staff/payroll/{}", run.id)))
}

/// One run: how far it is, what it comes to, and its payslips.
async fn run<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(run): Path<String>,
    from: PositionResult,
) -> Result<Markup> {
    let after = position(from)?.unwrap_or_default();
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    board::require(&site.app, &mut tx, &viewer, StaffCapability::RunPayroll).await?;
    let tabs = tabs(&site.app, &mut tx, &viewer, "/staff/payroll").await?;
    let run = tx.staff_run(&id(&run)?).await?.ok_or(Error::NotFound)?;
    let is_open = run.is_open();
    let run = board::view(&site.app, &mut tx, &run).await?;
    let mut found = tx.staff_payslips(&run.id, &after, ROWS + 1).await?;
    let more = cut(&mut found).then(|| found.last().map(|last| last.employee_id.clone())).flatten();
    let mut rows = Vec::with_capacity(found.len());
    for stored in &found {
        let employee = tx.staff_employee(&stored.employee_id).await?.ok_or(Error::NotFound)?;
        let names = site.app.names(&mut tx, [&*employee.person_id].into_iter()).await?;
        rows.push((stored, names[&employee.person_id].clone()));
    }
    let amount = |minor| written(minor, &run.currency);
    let title = format!("Payroll, {}", month_name(&run.month));
    Ok(page(
        &title,
        Some(&viewer),
        "",
        &html! {
            div.row { h1 { (title) ", " (run.currency) } (run_badge(&run)) }
            p.lead {
                (run.totals.payslips) " payslips."
                @if let Some(progress) = &run.progress { " The job: " (progress) "." }
                @if is_open { " Reload this page to see how far it is." }
            }
            (tabs)
            ul.grid {
                li.card { h2 { "Earned" } p.figure { (amount(run.totals.gross_minor)) } }
                li.card { h2 { "Deducted" } p.figure { (amount(run.totals.deducted_minor)) } }
                li.card { h2 { "Paid out" } p.figure { (amount(run.totals.net_minor)) } }
            }
            @if is_open {
                div.actions {
                    form method="post" action={ "/staff/payroll/" (run.id) "/compute" } { button.quiet { "Compute what is missing" } }
                    form method="post" action={ "/staff/payroll/" (run.id) "/close" } { button { "Close for good" } }
                }
                p.soft { "Once closed, nothing of it changes any more, and everybody sees their payslip." }
            }
            h2 { "Payslips" }
            @if rows.is_empty() { p.soft { "None yet. They appear as the job computes them." } }
            @else {
                div.scroll { table {
                    thead { tr { th scope="col" { "Name" } th.number scope="col" { "Earned" } th.number scope="col" { "Deducted" } th.number scope="col" { "Paid out" } } }
                    tbody {
                        @for (stored, name) in &rows {
                            tr {
                                td { a href={ "/staff/payslips/" (stored.run_id) "/" (stored.employee_id) } { (name) } }
                                td.number { (amount(stored.gross_minor)) }
                                td.number { (amount(stored.deducted_minor)) }
                                td.number { (amount(stored.net_minor)) }
                            }
                        }
                    }
                } }
            }
            @if let Some(after) = more { p { a href={ "/staff/payroll/" (run.id) "?after=" (after) } { "More payslips" } } }
        },
    ))
}

async fn compute<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(run): Path<String>,
) -> Result<Redirect> {
    payroll::resume(&site.app, &session.caller, &run).await?;
    Ok(Redirect::to(&format!("/staff/payroll/{}", id(&run)?)))
}

async fn close<B: Backend>(State(site): State<Site<B>>, session: Session, Path(run): Path<String>) -> Result<Redirect> {
    payroll::close(&site.app, &session.caller, &run).await?;
    Ok(Redirect::to(&format!("/staff/payroll/{}", id(&run)?)))
}
