//! The demo's people who work for the campus.

use chrono::{Datelike, Utc};
use stoa_membership::{By, Grant, Role, UserId};
use uuid::Uuid;

use crate::access;
use crate::app::App;
use crate::backend::Backend;
use crate::directory::Person;
use crate::error::Result;
use crate::staff::calendar::{Half, Period, day};
use crate::staff::employees::Employee;
use crate::staff::leave::{LeaveType, Request};
use crate::staff::money::Minor;
use crate::staff::pay::Rules;
use crate::staff::payroll::Structure;
use crate::staff::sql::{LeaveSql as _, StaffSql as _};

/// The role, the salary and, as an index, the manager of those who follow the demo's first person.
const WORK: [(Option<&str>, usize, Option<usize>); 9] = [
    (Some("hr"), 1, None),
    (Some("payroll"), 1, Some(0)),
    (Some("manager"), 1, Some(0)),
    (None, 0, Some(2)),
    (None, 0, Some(2)),
    (None, 0, Some(2)),
    (None, 0, Some(2)),
    (None, 1, Some(0)),
    (None, 0, Some(0)),
];

const SALARIES: [(&str, i64, &str); 2] =
    [("Library and grounds", 284_000, "Travel pass: 4900"), ("Administration", 361_500, "Seniority: 35/1000")];

const DEDUCTIONS: &str =
    "Pension: 93/1000\nHealth: 81/1000\nIncome tax: 0/1000 over 0, 140/1000 over 100000, 240/1000 over 250000";

/// Nine employees: one of human resources, one of payroll, one who manages some of the others, and a request that waits for her.
pub(super) async fn make<B: Backend>(app: &App<B>, tx: &mut B::Connection, people: &[Person]) -> Result<()> {
    let now = Utc::now();
    let created_at = now.timestamp_micros();
    let mut structures = Vec::new();
    for (name, base, allowances) in SALARIES {
        let rules = serde_json::to_string(&Rules::parse(allowances, DEDUCTIONS)?);
        let structure = Structure {
            id: Uuid::now_v7().to_string(),
            name: name.into(),
            currency: "EUR".into(),
            base_minor: Minor(base),
            rules: rules.map_err(|error| crate::error::Error::Internal(Box::new(error)))?,
            created_at,
        };
        tx.insert_staff_structure(&structure).await?;
        structures.push(structure.id);
    }
    let leave_type = |id: &str, name: &str, is_paid, may_go_negative, yearly_half_days| LeaveType {
        id: id.into(),
        name: name.into(),
        is_paid,
        may_go_negative,
        yearly_half_days,
        carry_half_days: yearly_half_days / 5,
    };
    tx.insert_leave_type(&leave_type("annual", "Annual leave", true, false, 56)).await?;
    tx.insert_leave_type(&leave_type("sick", "Sick leave", true, true, 0)).await?;
    tx.insert_leave_type(&leave_type("unpaid", "Unpaid leave", false, true, 0)).await?;
    for year in [now.year(), now.year() + 1] {
        tx.insert_holiday(&format!("{year}-01-01"), "New Year's Day").await?;
        tx.insert_holiday(&format!("{year}-12-25"), "Christmas Day").await?;
    }

    let mut ids: Vec<String> = Vec::new();
    for ((role, salary, manager), person) in WORK.into_iter().zip(people.iter().skip(1)) {
        if let Some(role) = role {
            let user = UserId::new(&*person.id)?;
            let grant = Grant::new(Role::new(role)?);
            app.membership.add(tx, &user, &access::platform()?, &grant, &By::user(&user)).await?;
        }
        let employee = Employee {
            id: Uuid::now_v7().to_string(),
            person_id: person.id.clone(),
            hired_on: format!("{}-09-01", 2016 + ids.len()),
            left_on: None,
            manager_id: manager.map(|index| ids[index].clone()),
            structure_id: Some(structures[salary].clone()),
        };
        tx.insert_staff_employee(&employee).await?;
        tx.insert_leave_entry(&employee.id, "annual", "adjusted", "demo", 24, created_at).await?;
        ids.push(employee.id);
    }

    // A Monday to Wednesday noon of next year.
    let monday = day("the day", &format!("{}-03-01", now.year() + 1))?.week(chrono::Weekday::Mon).last_day().succ_opt();
    if let Some(monday) = monday {
        let period = Period::new(monday, Half::Morning, monday + chrono::Days::new(2), Half::Morning)?;
        let (first_slot, last_slot) = period.slots();
        let request = Request {
            id: Uuid::now_v7().to_string(),
            employee_id: ids[3].clone(),
            leave_type_id: "annual".into(),
            first_slot,
            last_slot,
            half_days: 5,
            state: "pending".into(),
            note: "Helping my sister move".into(),
            decided_by: None,
            created_at,
        };
        tx.insert_leave_request(&request).await?;
    }
    Ok(())
}
