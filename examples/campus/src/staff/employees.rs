//! Employees: persons of the campus who work for it.

use serde::Serialize;
use sqlx::FromRow;
use stoa_audit::{Action, Audited, Entity, EntityId, EntityType};
use stoa_capabilities::scoped;
use utoipa::ToSchema;
use uuid::Uuid;

use super::access::ManageEmployees;
use super::calendar::{Period, day};
use super::sql::{PayrollSql as _, StaffSql as _};
use super::{id, retry};
use crate::access;
use crate::app::App;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::directory::sql::DirectorySql as _;
use crate::error::{Error, Result};

pub(crate) const HIRED: Action = Action::new("bits.staff.v1.EmployeeService/HireEmployee");
pub(crate) const CHANGED: Action = Action::new("bits.staff.v1.EmployeeService/ChangeEmployee");

/// No chain of managers is longer.
const MAX_LEVELS: usize = 32;

/// A person who works for the campus.
#[derive(Clone, Debug, PartialEq, Eq, FromRow, Serialize, ToSchema)]
pub struct Employee {
    /// A UUID of version 7.
    pub id: String,
    /// Who they are.
    pub person_id: String,
    /// Their first day.
    pub hired_on: String,
    /// Their last day, if it is known.
    pub left_on: Option<String>,
    /// The employee who decides about their leave.
    pub manager_id: Option<String>,
    /// What they earn; who has none is not paid.
    pub structure_id: Option<String>,
}

impl Employee {
    pub(super) fn entity(&self) -> Result<Entity> {
        Ok(Entity::new(EntityType::from_static("employee"), EntityId::new(&*self.id)?))
    }

    /// The part of the period in which they are employed.
    pub(super) fn employed(&self, period: Period) -> Result<Option<Period>> {
        employed(&self.hired_on, self.left_on.as_deref(), period)
    }
}

pub(super) fn employed(hired_on: &str, left_on: Option<&str>, period: Period) -> Result<Option<Period>> {
    let hired_on = day("the first day", hired_on)?;
    let left_on = left_on.map(|left_on| day("the last day", left_on)).transpose()?;
    let last_on = left_on.unwrap_or(period.ends().0).max(hired_on);
    Ok(Period::days(hired_on, last_on).within(period))
}

/// What of an employee an audit record may hold: what they earn is kept apart.
impl Audited for Employee {
    const FIELDS: &'static [&'static str] = &["person_id", "hired_on", "left_on", "manager_id"];
    const PERSONAL: &'static [&'static str] = &["structure_id"];
}

/// What can be said of an employee, and changed later, but for the person and the first day.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    left_on: Option<String>,
    manager_id: Option<String>,
    structure_id: Option<String>,
}

impl Terms {
    /// Parses what may be left out: what is empty is.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the last day is no day, or an id cannot be one.
    pub fn new(left_on: Option<&str>, manager_id: Option<&str>, structure_id: Option<&str>) -> Result<Self> {
        let given = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(String::from);
        let left_on = given(left_on);
        if let Some(left_on) = &left_on {
            day("the last day", left_on)?;
        }
        let known = |what: &str, text: Option<String>| {
            text.map(|text| id(&text).map_err(|_| Error::Invalid(format!("there is no such {what}")))).transpose()
        };
        Ok(Self {
            left_on,
            manager_id: known("manager", given(manager_id))?,
            structure_id: known("salary structure", given(structure_id))?,
        })
    }
}

/// Makes a person an employee.
///
/// # Errors
/// [`Error::NotFound`] if the caller does not manage employees; [`Error::Invalid`] if there is no such person, manager or structure;
/// [`Error::Conflict`] if the person is an employee already; [`Error::Internal`].
pub async fn hire<B: Backend>(
    app: &App<B>,
    caller: &Caller,
    person_id: &str,
    hired_on: &str,
    terms: &Terms,
) -> Result<Employee> {
    retry!(try_hire(app, caller, person_id, hired_on, terms))
}

async fn try_hire<B: Backend>(
    app: &App<B>,
    caller: &Caller,
    person_id: &str,
    hired_on: &str,
    terms: &Terms,
) -> Result<Employee> {
    let hired_on = day("the first day", hired_on)?.to_string();
    scoped!(tx = app.begin().await?);
    drop(app.staff_capabilities.authorize(&mut tx, ManageEmployees, &caller.user, &access::platform()?).await?);
    let person_id = stoa_membership::UserId::new(person_id.trim()).map_err(|_| no_such("person"))?;
    tx.person(person_id.as_str()).await?.ok_or_else(|| no_such("person"))?;
    tx.hold_open_staff_runs().await?;
    let employee = Employee {
        id: Uuid::now_v7().to_string(),
        person_id: person_id.to_string(),
        hired_on,
        left_on: terms.left_on.clone(),
        manager_id: terms.manager_id.clone(),
        structure_id: terms.structure_id.clone(),
    };
    check::<B>(&mut tx, &employee).await?;
    if !tx.insert_staff_employee(&employee).await? {
        return Err(Error::Conflict("this person is an employee already".into()));
    }
    let subject = stoa_audit::UserId::new(&*employee.person_id)?;
    let record = caller.record(HIRED, employee.entity()?)?.after(&employee)?.personal(subject, &employee)?;
    app.audit.record(&mut tx, &record).await?;
    app.commit(tx.into_inner()).await?;
    Ok(employee)
}

/// Changes the terms of an employee. What an open payroll run has computed for them is taken back, and computed again.
///
/// # Errors
/// As [`hire`], and [`Error::NotFound`] if there is no such employee.
pub async fn change<B: Backend>(app: &App<B>, caller: &Caller, id: &str, terms: &Terms) -> Result<Employee> {
    retry!(try_change(app, caller, id, terms))
}

async fn try_change<B: Backend>(app: &App<B>, caller: &Caller, employee_id: &str, terms: &Terms) -> Result<Employee> {
    let employee_id = id(employee_id)?;
    scoped!(tx = app.begin().await?);
    drop(app.staff_capabilities.authorize(&mut tx, ManageEmployees, &caller.user, &access::platform()?).await?);
    tx.hold_open_staff_runs().await?;
    let before = tx.hold_staff_employee(&employee_id).await?.ok_or(Error::NotFound)?;
    let terms = terms.clone();
    let after = Employee {
        left_on: terms.left_on,
        manager_id: terms.manager_id,
        structure_id: terms.structure_id,
        ..before.clone()
    };
    if after == before {
        return Ok(after);
    }
    check::<B>(&mut tx, &after).await?;
    tx.update_staff_employee(&after).await?;
    tx.delete_open_staff_payslips(&after.id).await?;
    let subject = stoa_audit::UserId::new(&*after.person_id)?;
    let record = caller.record(CHANGED, after.entity()?)?.diff(&before, &after)?.personal(subject, &after)?;
    app.audit.record(&mut tx, &record).await?;
    app.commit(tx.into_inner()).await?;
    Ok(after)
}

/// Holds what an employee would be to what there is.
async fn check<B: Backend>(conn: &mut B::Connection, employee: &Employee) -> Result<()> {
    if employee.left_on.as_ref().is_some_and(|left_on| *left_on < employee.hired_on) {
        return Err(Error::Invalid("the last day cannot come before the first".into()));
    }
    if let Some(structure_id) = &employee.structure_id {
        conn.staff_structure(structure_id).await?.ok_or_else(|| no_such("salary structure"))?;
    }
    let mut above = employee.manager_id.clone();
    for _ in 0..MAX_LEVELS {
        let Some(manager_id) = above else { return Ok(()) };
        if manager_id == employee.id {
            return Err(Error::Invalid("nobody is their own manager, not even through others".into()));
        }
        above = conn.staff_employee(&manager_id).await?.ok_or_else(|| no_such("manager"))?.manager_id;
    }
    Err(Error::Invalid(format!("a chain of managers has at most {MAX_LEVELS} levels")))
}

fn no_such(what: &str) -> Error {
    Error::Invalid(format!("there is no such {what}"))
}
