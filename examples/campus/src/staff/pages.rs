//! The pages of whoever works for the campus: their leave, their payslips, and the leave of those they manage.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Path, Query, State};
use axum::response::Redirect;
use chrono::NaiveDate;
use maud::{Markup, html};
use serde::Deserialize;

use super::access::StaffCapability;
use super::board::{self, Balance};
use super::calendar::{Half, in_days};
use super::leave::{self, Decision, Request, Wish};
use super::money::written;
use super::pay::{Line, Payslip};
use super::payroll::{self, LAST};
use super::sql::{LeaveSql as _, PayrollSql as _, StaffSql as _};
use super::{id, office_pages};
use crate::app::{App, Viewer};
use crate::backend::Backend;
use crate::error::{Error, Result};
use crate::http::layout::page;
use crate::http::session::Session;
use crate::http::{FormResult, Routes, Site};

/// Adds the pages of the staff.
pub(crate) fn routes<B: Backend>(routes: Routes<B>) -> Routes<B> {
    let routes = routes
        .get("/staff", my_leave::<B>)
        .post("/staff/requests", request::<B>)
        .post("/staff/requests/{id}/approve", approve::<B>)
        .post("/staff/requests/{id}/reject", reject::<B>)
        .post("/staff/requests/{id}/cancel", cancel::<B>)
        .get("/staff/requests", to_decide::<B>)
        .get("/staff/payslips", my_payslips::<B>)
        .get("/staff/payslips/{run}/{employee}", payslip::<B>);
    office_pages::routes(routes)
}

/// Rows on a page.
pub(super) const ROWS: i64 = 30;

/// Where a list goes on.
#[derive(Deserialize)]
pub(super) struct Position {
    after: Option<String>,
}

pub(super) type PositionResult = std::result::Result<Query<Position>, QueryRejection>;

/// The id a list goes on after; what is none is refused.
pub(super) fn position(position: PositionResult) -> Result<Option<String>> {
    let Query(position) = position?;
    position.after.as_deref().map(id).transpose()
}

/// The parts of the staff's pages that the viewer may see, each with whether it is this one.
pub(super) async fn tabs<B: Backend>(
    app: &App<B>,
    conn: &mut B::Connection,
    viewer: &Viewer,
    here: &str,
) -> Result<Markup> {
    use StaffCapability as May;
    let mut tabs = vec![("/staff", "My leave"), ("/staff/payslips", "My payslips")];
    for (capability, path, title) in [
        (May::DecideLeave, "/staff/requests", "To decide"),
        (May::ManageEmployees, "/staff/employees", "Employees"),
        (May::ManageLeave, "/staff/leave", "Leave rules"),
        (May::RunPayroll, "/staff/payroll", "Payroll"),
        (May::RunPayroll, "/staff/structures", "Salaries"),
    ] {
        if board::may(app, conn, viewer, capability).await? {
            tabs.push((path, title));
        }
    }
    Ok(html! {
        nav aria-label="Staff" {
            ul.tabs {
                @for (path, title) in tabs {
                    li { a href=(path) aria-current=[(path == here).then_some("page")] { span.badge { (title) } } }
                }
            }
        }
    })
}

/// A day for people; what is none stays as it is.
pub(super) fn day_name(on: &str) -> String {
    on.parse::<NaiveDate>().map_or_else(|_| on.to_owned(), |on| on.format("%a %-d %B %Y").to_string())
}

/// A month for people; what is none stays as it is.
pub(super) fn month_name(month: &str) -> String {
    format!("{month}-01").parse::<NaiveDate>().map_or_else(|_| month.to_owned(), |on| on.format("%B %Y").to_string())
}

/// From when to when a request goes, in words.
fn stretch(request: &Request) -> String {
    let view = request.view();
    let (first, last) = (day_name(&view.first_on), day_name(&view.last_on));
    let is_whole = view.first_half == Half::Morning && view.last_half == Half::Afternoon;
    match (view.first_on == view.last_on, is_whole) {
        (true, true) => first,
        (true, false) => format!("{first}, {}", view.first_half.as_str()),
        (false, true) => format!("{first} to {last}"),
        (false, false) => format!("{first}, {}, to {last}, {}", view.first_half.as_str(), view.last_half.as_str()),
    }
}

fn state_badge(state: &str) -> Markup {
    let class = match state {
        "approved" => "succeeded",
        "rejected" => "failed",
        _ => "",
    };
    html! { span.badge.(class) { (state) } }
}

/// The viewer's balances and requests, and a form for more.
async fn my_leave<B: Backend>(State(site): State<Site<B>>, session: Session, from: PositionResult) -> Result<Markup> {
    let before = position(from)?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let tabs = tabs(&site.app, &mut tx, &viewer, "/staff").await?;
    let Some(own) = tx.staff_employee_of(viewer.user.as_str()).await? else {
        return Ok(nobody(&viewer, &tabs, "My leave"));
    };
    let balances = board::balances::<B>(&mut tx, &own.id).await?;
    let name = |id: &str| {
        let balance = balances.iter().find(|balance| balance.leave_type.id == id);
        balance.map_or_else(|| id.to_owned(), |balance| balance.leave_type.name.clone())
    };
    let mut requests = tx.leave_requests_of(&own.id, before.as_deref().unwrap_or(LAST), ROWS + 1).await?;
    let more = cut(&mut requests).then(|| requests.last().map(|last| last.id.clone())).flatten();
    Ok(page(
        "My leave",
        Some(&viewer),
        "",
        &html! {
            h1 { "My leave" }
            p.lead { "Employed since " (day_name(&own.hired_on)) @if let Some(left_on) = &own.left_on { ", until " (day_name(left_on)) } "." }
            (tabs)
            @if balances.is_empty() {
                p.soft { "There is no type of leave yet. Human resources defines them under Leave rules." }
            } @else {
                ul.grid { @for balance in &balances { (balance_card(balance)) } }
                h2 { "Ask for leave" }
                (request_form(&balances))
            }
            h2 { "My requests" }
            @if requests.is_empty() { p.soft { "You have not asked for any leave yet. The form above is where to begin." } }
            ul.stack {
                @for request in &requests {
                    li.card {
                        div.row { h3 { (stretch(request)) } (state_badge(&request.state)) }
                        p.soft { (name(&request.leave_type_id)) " · " (in_days(request.half_days)) }
                        @if !request.note.is_empty() { p { (request.note) } }
                        @if matches!(&*request.state, "pending" | "approved") {
                            form.actions method="post" action={ "/staff/requests/" (request.id) "/cancel" } {
                                button.quiet { "Cancel this request" }
                            }
                        }
                    }
                }
            }
            @if let Some(after) = more { p { a href={ "/staff?after=" (after) } { "Older requests" } } }
        },
    ))
}

fn nobody(viewer: &Viewer, tabs: &Markup, title: &str) -> Markup {
    let content = html! {
        h1 { (title) }
        p.lead { "You are not entered as an employee. If you work here, human resources can change that." }
        (tabs)
    };
    page(title, Some(viewer), "", &content)
}

/// Takes off the row that was read to see whether there is more.
pub(super) fn cut<T>(rows: &mut Vec<T>) -> bool {
    let rows_of_page = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let has_more = rows.len() > rows_of_page;
    rows.truncate(rows_of_page);
    has_more
}

fn balance_card(balance: &Balance) -> Markup {
    let leave_type = &balance.leave_type;
    html! {
        li.card {
            div.row {
                h3 { (leave_type.name) }
                @if !leave_type.is_paid { span.badge { "unpaid" } }
            }
            p.figure { (in_days(balance.half_days)) }
            p.soft {
                @if balance.pending > 0 { (in_days(balance.pending)) " of it asked for. " }
                @if leave_type.yearly_half_days > 0 { (in_days(leave_type.yearly_half_days)) " a year, month by month." }
                @if leave_type.may_go_negative { " May go below nothing." }
            }
        }
    }
}

fn request_form(balances: &[Balance]) -> Markup {
    html! {
        form.write.card method="post" action="/staff/requests" {
            div.fields {
                label { "Type" select name="leave_type_id" {
                    @for balance in balances { option value=(balance.leave_type.id) { (balance.leave_type.name) } }
                } }
                label { "First day" input type="date" name="first_on" required; }
                label { "Beginning" select name="first_half" {
                    option value="morning" { "in the morning" } option value="afternoon" { "at noon" }
                } }
                label { "Last day" input type="date" name="last_on" required; }
                label { "Until" select name="last_half" {
                    option value="afternoon" { "the evening" } option value="morning" { "noon" }
                } }
            }
            label { "Note for whoever decides (optional)" input name="note" maxlength="200"; }
            p.soft { "Weekends and holidays are not counted." }
            div { button { "Ask for leave" } }
        }
    }
}

#[derive(Deserialize)]
struct RequestForm {
    leave_type_id: String,
    first_on: String,
    first_half: Half,
    last_on: String,
    last_half: Half,
    #[serde(default)]
    note: String,
}

async fn request<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    form: FormResult<RequestForm>,
) -> Result<Redirect> {
    let Form(form) = form?;
    let (first, last) = ((&*form.first_on, form.first_half), (&*form.last_on, form.last_half));
    let wish = Wish::new(&form.leave_type_id, first, last, &form.note)?;
    leave::request(&site.app, &session.caller, &wish).await?;
    Ok(Redirect::to("/staff"))
}

async fn cancel<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Redirect> {
    leave::cancel(&site.app, &session.caller, &id).await?;
    Ok(Redirect::to("/staff"))
}

async fn approve<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Redirect> {
    leave::decide(&site.app, &session.caller, &id, Decision::Approve).await?;
    Ok(Redirect::to("/staff/requests"))
}

async fn reject<B: Backend>(State(site): State<Site<B>>, session: Session, Path(id): Path<String>) -> Result<Redirect> {
    leave::decide(&site.app, &session.caller, &id, Decision::Reject).await?;
    Ok(Redirect::to("/staff/requests"))
}

/// The requests that wait for the viewer.
async fn to_decide<B: Backend>(State(site): State<Site<B>>, session: Session, from: PositionResult) -> Result<Markup> {
    let after = position(from)?.unwrap_or_default();
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let mut requests = board::to_decide(&site.app, &mut tx, &viewer, &after, ROWS + 1).await?;
    let tabs = tabs(&site.app, &mut tx, &viewer, "/staff/requests").await?;
    let more = cut(&mut requests).then(|| requests.last().map(|last| last.id.clone())).flatten();
    let types = tx.leave_types().await?;
    let mut rows = Vec::with_capacity(requests.len());
    for request in &requests {
        let employee = tx.staff_employee(&request.employee_id).await?.ok_or(Error::NotFound)?;
        let names = site.app.names(&mut tx, [&*employee.person_id].into_iter()).await?;
        let balance = tx.leave_balance(&employee.id, &request.leave_type_id).await?;
        let leave_type = types.iter().find(|leave_type| leave_type.id == request.leave_type_id);
        let leave_type = leave_type.map_or(&*request.leave_type_id, |leave_type| &*leave_type.name);
        rows.push((request, names[&employee.person_id].clone(), leave_type, balance));
    }
    Ok(page(
        "To decide",
        Some(&viewer),
        "",
        &html! {
            h1 { "To decide" }
            p.lead { "Requests for leave that wait for you, the oldest first." }
            (tabs)
            @if rows.is_empty() { p.soft { "Nobody is waiting for an answer of yours." } }
            ul.stack {
                @for (request, name, leave_type, balance) in &rows {
                    li.card {
                        div.row { h3 { (name) } span.badge { (leave_type) } }
                        p { (stretch(request)) " · " (in_days(request.half_days)) ", of " (in_days(*balance)) " left" }
                        @if !request.note.is_empty() { p.soft { (request.note) } }
                        div.actions {
                            form method="post" action={ "/staff/requests/" (request.id) "/approve" } {
                                button aria-label={ "Approve the leave of " (name) } { "Approve" }
                            }
                            form method="post" action={ "/staff/requests/" (request.id) "/reject" } {
                                button.quiet aria-label={ "Reject the leave of " (name) } { "Reject" }
                            }
                        }
                    }
                }
            }
            @if let Some(after) = more { p { a href={ "/staff/requests?after=" (after) } { "More requests" } } }
        },
    ))
}

/// The viewer's payslips.
async fn my_payslips<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    from: PositionResult,
) -> Result<Markup> {
    let before = position(from)?;
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let tabs = tabs(&site.app, &mut tx, &viewer, "/staff/payslips").await?;
    let Some(own) = tx.staff_employee_of(viewer.user.as_str()).await? else {
        return Ok(nobody(&viewer, &tabs, "My payslips"));
    };
    let mut found = tx.staff_payslips_of(&own.id, before.as_deref().unwrap_or(LAST), ROWS + 1).await?;
    let more = cut(&mut found).then(|| found.last().map(|last| last.run_id.clone())).flatten();
    let payslips = found.iter().map(payroll::StoredPayslip::payslip).collect::<Result<Vec<_>>>()?;
    Ok(page(
        "My payslips",
        Some(&viewer),
        "",
        &html! {
            h1 { "My payslips" }
            p.lead { "A payslip is here once the payroll of its month is closed. Nobody but you and payroll sees it." }
            (tabs)
            @if payslips.is_empty() { p.soft { "There is none yet. The first one comes with the next payroll." } }
            ul.grid {
                @for payslip in &payslips {
                    li.card {
                        h3 { a href={ "/staff/payslips/" (payslip.run_id) "/" (payslip.employee_id) } { (month_name(&payslip.month)) } }
                        p.figure { (written(payslip.net_minor, &payslip.currency)) }
                        p.soft { "paid out, of " (written(payslip.gross_minor, &payslip.currency)) " earned" }
                    }
                }
            }
            @if let Some(after) = more { p { a href={ "/staff/payslips?after=" (after) } { "Older payslips" } } }
        },
    ))
}

/// One payslip, made to be printed.
async fn payslip<B: Backend>(
    State(site): State<Site<B>>,
    session: Session,
    Path((run, employee)): Path<(String, String)>,
) -> Result<Markup> {
    let (mut tx, viewer) = site.app.read_as(&session.caller.user).await?;
    let (run, stored) = payroll::read_payslip(&site.app, &mut tx, &viewer, &run, &employee).await?;
    let payslip = stored.payslip()?;
    let names = site.app.names(&mut tx, [&*payslip.person_id].into_iter()).await?;
    let title = format!("Payslip, {}", month_name(&payslip.month));
    Ok(page(
        &title,
        Some(&viewer),
        "",
        &html! {
            article.card.slip {
                div.row {
                    h1 { (title) }
                    @if run.is_open() { span.badge { "not closed yet" } }
                }
                p { strong { (names[&payslip.person_id]) } }
                p.soft {
                    "Employee " code { (payslip.employee_id) } br;
                    (in_days(payslip.working_half_days)) " of work in the month, " (in_days(payslip.employed_half_days)) " of them employed"
                    @if payslip.unpaid_half_days > 0 { ", " (in_days(payslip.unpaid_half_days)) " on unpaid leave" }
                    "."
                }
                (lines(&payslip, "Earnings", &payslip.earnings, "Earned", stored.gross_minor))
                (lines(&payslip, "Deductions", &payslip.deductions, "Deducted", stored.deducted_minor))
                div.row { h2 { "Paid out" } p.figure { (written(stored.net_minor, &payslip.currency)) } }
                p.soft { "SHA-256 of the stored payslip: " code { (stored.hash) } }
            }
            p.soft.screen { "Your browser prints this page without the navigation, on one sheet." }
        },
    ))
}

fn lines(payslip: &Payslip, title: &str, lines: &[Line], total: &str, sum: super::money::Minor) -> Markup {
    html! {
        h2 { (title) }
        table {
            thead { tr { th scope="col" { "For" } th.number scope="col" { "Amount" } } }
            tbody {
                @for line in lines { tr { td { (line.name) } td.number { (written(line.minor, &payslip.currency)) } } }
            }
            tfoot { tr { th scope="row" { (total) } td.number { (written(sum, &payslip.currency)) } } }
        }
    }
}
