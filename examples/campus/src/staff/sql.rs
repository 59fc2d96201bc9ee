//! Statements of the staff.
//!
//! Rows are locked by counting their revision up, which both databases do in the same words. Locks are taken in one order: roles,
//! open payroll runs, employees by id.

use sqlx::Result;

use super::employees::Employee;
use super::leave::{LeaveType, Request};
use super::payroll::{PaidEmployee, Run, RunTotals, StoredPayslip, Structure};
use crate::directory::Person;
use crate::sql::portable;

portable! {
    /// The queries of employees, and of what they are paid.
    pub trait StaffSql {
        /// Inserts an employee, unless the person is one already; says whether they were not.
        async fn insert_staff_employee(&mut self, employee: &Employee) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_staff_employee (id, person_id, hired_on, left_on, manager_id, structure_id)
                VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(&employee.id)
            .bind(&employee.person_id)
            .bind(&employee.hired_on)
            .bind(&employee.left_on)
            .bind(&employee.manager_id)
            .bind(&employee.structure_id)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Changes what can be changed of an employee.
        async fn update_staff_employee(&mut self, employee: &Employee) -> Result<()> {
            sqlx::query(
                r#"
                UPDATE campus_staff_employee
                SET left_on = $2, manager_id = $3, structure_id = $4
                WHERE id = $1
                "#,
            )
            .bind(&employee.id)
            .bind(&employee.left_on)
            .bind(&employee.manager_id)
            .bind(&employee.structure_id)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Holds an employee until the transaction ends, and reads them.
        async fn hold_staff_employee(&mut self, id: &str) -> Result<Option<Employee>> {
            sqlx::query_as(
                r#"
                UPDATE campus_staff_employee
                SET revision = revision + 1
                WHERE id = $1
                RETURNING id, person_id, hired_on, left_on, manager_id, structure_id
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Reads an employee.
        async fn staff_employee(&mut self, id: &str) -> Result<Option<Employee>> {
            sqlx::query_as(
                r#"
                SELECT id, person_id, hired_on, left_on, manager_id, structure_id
                FROM campus_staff_employee
                WHERE id = $1
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Reads the employee that a person is.
        async fn staff_employee_of(&mut self, person_id: &str) -> Result<Option<Employee>> {
            sqlx::query_as(
                r#"
                SELECT id, person_id, hired_on, left_on, manager_id, structure_id
                FROM campus_staff_employee
                WHERE person_id = $1
                "#,
            )
            .bind(person_id)
            .fetch_optional(self)
            .await
        }

        /// Reads a person, and whether they are an employee: what every page asks at once.
        async fn person_and_employee(&mut self, person_id: &str) -> Result<Option<(Person, bool)>> {
            let found = sqlx::query_as(
                r#"
                SELECT id, name, headline,
                    EXISTS (SELECT 1 FROM campus_staff_employee WHERE person_id = person.id) AS is_employee
                FROM campus_person AS person
                WHERE id = $1
                "#,
            )
            .bind(person_id)
            .fetch_optional(self)
            .await?;
            Ok(found.map(|(id, name, headline, is_employee)| (Person { id, name, headline }, is_employee)))
        }

        /// Reads the employees after an id.
        async fn staff_employees(&mut self, after: &str, limit: i64) -> Result<Vec<Employee>> {
            sqlx::query_as(
                r#"
                SELECT id, person_id, hired_on, left_on, manager_id, structure_id
                FROM campus_staff_employee
                WHERE id > $1
                ORDER BY id
                LIMIT $2
                "#,
            )
            .bind(after)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Inserts a salary structure.
        async fn insert_staff_structure(&mut self, structure: &Structure) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_staff_structure (id, name, currency, base_minor, rules, created_at)
                VALUES ($1, $2, $3, $4, $5, $6)
                "#,
            )
            .bind(&structure.id)
            .bind(&structure.name)
            .bind(&structure.currency)
            .bind(structure.base_minor)
            .bind(&structure.rules)
            .bind(structure.created_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads a salary structure.
        async fn staff_structure(&mut self, id: &str) -> Result<Option<Structure>> {
            sqlx::query_as(
                "SELECT id, name, currency, base_minor, rules, created_at FROM campus_staff_structure WHERE id = $1",
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Reads the newest salary structures before an id: ids grow with time.
        async fn staff_structures(&mut self, before: &str, limit: i64) -> Result<Vec<Structure>> {
            sqlx::query_as(
                r#"
                SELECT id, name, currency, base_minor, rules, created_at
                FROM campus_staff_structure
                WHERE id < $1
                ORDER BY id DESC
                LIMIT $2
                "#,
            )
            .bind(before)
            .bind(limit)
            .fetch_all(self)
            .await
        }
    }
}

portable! {
    /// The queries of payroll.
    pub trait PayrollSql {
        /// Inserts an open payroll run, unless there is one of its month and currency; says whether there was none.
        async fn insert_staff_run(&mut self, run: &Run) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_staff_run (id, month, currency, state, created_at)
                VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(&run.id)
            .bind(&run.month)
            .bind(&run.currency)
            .bind(&run.state)
            .bind(run.created_at)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Notes which job computes a run.
        async fn set_staff_run_job(&mut self, id: &str, job_id: i64) -> Result<()> {
            sqlx::query("UPDATE campus_staff_run SET job_id = $2 WHERE id = $1").bind(id).bind(job_id).execute(self).await?;
            Ok(())
        }

        /// Closes a run for good, with its totals.
        async fn close_staff_run(&mut self, run: &Run) -> Result<()> {
            sqlx::query(
                r#"
                UPDATE campus_staff_run
                SET state = 'closed', payslips = $2, gross_minor = $3, deducted_minor = $4, net_minor = $5, closed_at = $6
                WHERE id = $1
                "#,
            )
            .bind(&run.id)
            .bind(run.payslips)
            .bind(run.gross_minor)
            .bind(run.deducted_minor)
            .bind(run.net_minor)
            .bind(run.closed_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Holds a run until the transaction ends, if it is open, and reads it.
        async fn hold_open_staff_run(&mut self, id: &str) -> Result<Option<Run>> {
            sqlx::query_as(
                r#"
                UPDATE campus_staff_run
                SET revision = revision + 1
                WHERE id = $1 AND state = 'open'
                RETURNING id, month, currency, state, job_id, payslips, gross_minor, deducted_minor, net_minor, created_at, closed_at
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Holds every open run until the transaction ends.
        async fn hold_open_staff_runs(&mut self) -> Result<()> {
            sqlx::query("UPDATE campus_staff_run SET revision = revision + 1 WHERE state = 'open'").execute(self).await?;
            Ok(())
        }

        /// Reads a run.
        async fn staff_run(&mut self, id: &str) -> Result<Option<Run>> {
            sqlx::query_as(
                r#"
                SELECT id, month, currency, state, job_id, payslips, gross_minor, deducted_minor, net_minor, created_at, closed_at
                FROM campus_staff_run
                WHERE id = $1
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Says whether there is a run of this month and currency.
        async fn has_staff_run(&mut self, month: &str, currency: &str) -> Result<bool> {
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM campus_staff_run WHERE month = $1 AND currency = $2)")
                .bind(month)
                .bind(currency)
                .fetch_one(self)
                .await
        }

        /// Reads the newest runs before an id: ids grow with time.
        async fn staff_runs(&mut self, before: &str, limit: i64) -> Result<Vec<Run>> {
            sqlx::query_as(
                r#"
                SELECT id, month, currency, state, job_id, payslips, gross_minor, deducted_minor, net_minor, created_at, closed_at
                FROM campus_staff_run
                WHERE id < $1
                ORDER BY id DESC
                LIMIT $2
                "#,
            )
            .bind(before)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads who is to be paid in a run after an employee: employed on a day of the month, in its currency, without a payslip.
        async fn staff_unpaid_employees(
            &mut self,
            run: &Run,
            first_on: &str,
            last_on: &str,
            after: &str,
            limit: i64
        ) -> Result<Vec<PaidEmployee>> {
            sqlx::query_as(
                r#"
                SELECT employee.id, employee.person_id, employee.hired_on, employee.left_on, structure.base_minor, structure.rules
                FROM campus_staff_employee AS employee
                JOIN campus_staff_structure AS structure ON structure.id = employee.structure_id
                WHERE employee.id > $5
                    AND employee.hired_on <= $4
                    AND (employee.left_on IS NULL OR employee.left_on >= $3)
                    AND structure.currency = $2
                    AND NOT EXISTS (
                        SELECT 1
                        FROM campus_staff_payslip AS payslip
                        WHERE payslip.run_id = $1 AND payslip.employee_id = employee.id
                    )
                ORDER BY employee.id
                LIMIT $6
                "#,
            )
            .bind(&run.id)
            .bind(&run.currency)
            .bind(first_on)
            .bind(last_on)
            .bind(after)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Holds the employees from one id to another until the transaction ends.
        async fn hold_staff_employees(&mut self, first_id: &str, last_id: &str) -> Result<()> {
            sqlx::query("UPDATE campus_staff_employee SET revision = revision + 1 WHERE id >= $1 AND id <= $2")
                .bind(first_id)
                .bind(last_id)
                .execute(self)
                .await?;
            Ok(())
        }

        /// Reads the approved unpaid leave that touches a stretch of half days, of the employees from one id to another.
        async fn staff_unpaid_leave(
            &mut self,
            first_id: &str,
            last_id: &str,
            first_slot: i64,
            last_slot: i64
        ) -> Result<Vec<(String, i64, i64)>> {
            sqlx::query_as(
                r#"
                SELECT request.employee_id, request.first_slot, request.last_slot
                FROM campus_staff_leave_request AS request
                JOIN campus_staff_leave_type AS leave_type ON leave_type.id = request.leave_type_id
                WHERE request.employee_id >= $1
                    AND request.employee_id <= $2
                    AND request.state = 'approved'
                    AND request.first_slot <= $4
                    AND request.last_slot >= $3
                    AND NOT leave_type.is_paid
                ORDER BY request.employee_id, request.first_slot
                "#,
            )
            .bind(first_id)
            .bind(last_id)
            .bind(first_slot)
            .bind(last_slot)
            .fetch_all(self)
            .await
        }

        /// Stores a payslip, unless there is one; says whether there was none.
        async fn insert_staff_payslip(&mut self, payslip: &StoredPayslip) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_staff_payslip (run_id, employee_id, body, hash, gross_minor, deducted_minor, net_minor)
                VALUES ($1, $2, $3, $4, $5, $6, $7)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(&payslip.run_id)
            .bind(&payslip.employee_id)
            .bind(&payslip.body)
            .bind(&payslip.hash)
            .bind(payslip.gross_minor)
            .bind(payslip.deducted_minor)
            .bind(payslip.net_minor)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Takes back the payslips of an employee in open runs.
        async fn delete_open_staff_payslips(&mut self, employee_id: &str) -> Result<()> {
            sqlx::query(
                r#"
                DELETE FROM campus_staff_payslip
                WHERE employee_id = $1 AND run_id IN (SELECT id FROM campus_staff_run WHERE state = 'open')
                "#,
            )
            .bind(employee_id)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Takes back every payslip of the open runs of a month.
        async fn delete_open_staff_payslips_of_month(&mut self, month: &str) -> Result<()> {
            sqlx::query(
                r#"
                DELETE FROM campus_staff_payslip
                WHERE run_id IN (SELECT id FROM campus_staff_run WHERE state = 'open' AND month = $1)
                "#,
            )
            .bind(month)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Says whether an employee has been paid for one of these months by a closed run.
        async fn is_staff_paid(&mut self, employee_id: &str, first_month: &str, last_month: &str) -> Result<bool> {
            sqlx::query_scalar(
                r#"
                SELECT EXISTS (
                    SELECT 1
                    FROM campus_staff_payslip AS payslip
                    JOIN campus_staff_run AS run ON run.id = payslip.run_id
                    WHERE payslip.employee_id = $1 AND run.state = 'closed' AND run.month >= $2 AND run.month <= $3
                )
                "#,
            )
            .bind(employee_id)
            .bind(first_month)
            .bind(last_month)
            .fetch_one(self)
            .await
        }

        /// Adds up the payslips of a run: one row for each employee of the campus at most.
        async fn staff_run_totals(&mut self, run_id: &str) -> Result<RunTotals> {
            sqlx::query_as(
                r#"
                SELECT
                    count(*) AS payslips,
                    CAST(coalesce(sum(gross_minor), 0) AS bigint) AS gross_minor,
                    CAST(coalesce(sum(deducted_minor), 0) AS bigint) AS deducted_minor,
                    CAST(coalesce(sum(net_minor), 0) AS bigint) AS net_minor
                FROM campus_staff_payslip
                WHERE run_id = $1
                "#,
            )
            .bind(run_id)
            .fetch_one(self)
            .await
        }

        /// Reads a payslip.
        async fn staff_payslip(&mut self, run_id: &str, employee_id: &str) -> Result<Option<StoredPayslip>> {
            sqlx::query_as(
                r#"
                SELECT run_id, employee_id, body, hash, gross_minor, deducted_minor, net_minor
                FROM campus_staff_payslip
                WHERE run_id = $1 AND employee_id = $2
                "#,
            )
            .bind(run_id)
            .bind(employee_id)
            .fetch_optional(self)
            .await
        }

        /// Reads the payslips of a run after an employee.
        async fn staff_payslips(&mut self, run_id: &str, after: &str, limit: i64) -> Result<Vec<StoredPayslip>> {
            sqlx::query_as(
                r#"
                SELECT run_id, employee_id, body, hash, gross_minor, deducted_minor, net_minor
                FROM campus_staff_payslip
                WHERE run_id = $1 AND employee_id > $2
                ORDER BY employee_id
                LIMIT $3
                "#,
            )
            .bind(run_id)
            .bind(after)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads the newest payslips of an employee, of closed runs, before a run.
        async fn staff_payslips_of(&mut self, employee_id: &str, before: &str, limit: i64) -> Result<Vec<StoredPayslip>> {
            sqlx::query_as(
                r#"
                SELECT payslip.run_id, payslip.employee_id, payslip.body, payslip.hash, payslip.gross_minor,
                    payslip.deducted_minor, payslip.net_minor
                FROM campus_staff_payslip AS payslip
                JOIN campus_staff_run AS run ON run.id = payslip.run_id
                WHERE payslip.employee_id = $1 AND payslip.run_id < $2 AND run.state = 'closed'
                ORDER BY payslip.run_id DESC
                LIMIT $3
                "#,
            )
            .bind(employee_id)
            .bind(before)
            .bind(limit)
            .fetch_all(self)
            .await
        }
    }
}

portable! {
    /// The queries of leave.
    pub trait LeaveSql {
        /// Inserts a type of leave, unless there is one of its id; says whether there was none.
        async fn insert_leave_type(&mut self, leave_type: &LeaveType) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_staff_leave_type (id, name, is_paid, may_go_negative, yearly_half_days, carry_half_days)
                VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT DO NOTHING
                "#,
            )
            .bind(&leave_type.id)
            .bind(&leave_type.name)
            .bind(leave_type.is_paid)
            .bind(leave_type.may_go_negative)
            .bind(leave_type.yearly_half_days)
            .bind(leave_type.carry_half_days)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Reads a type of leave.
        async fn leave_type(&mut self, id: &str) -> Result<Option<LeaveType>> {
            sqlx::query_as(
                r#"
                SELECT id, name, is_paid, may_go_negative, yearly_half_days, carry_half_days
                FROM campus_staff_leave_type
                WHERE id = $1
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Reads the types of leave, of which there are few.
        async fn leave_types(&mut self) -> Result<Vec<LeaveType>> {
            sqlx::query_as(
                r#"
                SELECT id, name, is_paid, may_go_negative, yearly_half_days, carry_half_days
                FROM campus_staff_leave_type
                ORDER BY id
                LIMIT 100
                "#,
            )
            .fetch_all(self)
            .await
        }

        /// Inserts a holiday, unless there is one on that day; says whether there was none.
        async fn insert_holiday(&mut self, day: &str, name: &str) -> Result<bool> {
            let inserted =
                sqlx::query("INSERT INTO campus_staff_holiday (day, name) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind(day)
                    .bind(name)
                    .execute(self)
                    .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Reads the holidays from one day to another.
        async fn holidays(&mut self, first_on: &str, last_on: &str) -> Result<Vec<(String, String)>> {
            sqlx::query_as(
                "SELECT day, name FROM campus_staff_holiday WHERE day >= $1 AND day <= $2 ORDER BY day LIMIT 1000",
            )
            .bind(first_on)
            .bind(last_on)
            .fetch_all(self)
            .await
        }

        /// Enters something into the ledger of an employee who is held, unless it is there; says whether it was not.
        async fn insert_leave_entry(
            &mut self,
            employee_id: &str,
            leave_type_id: &str,
            kind: &str,
            cause: &str,
            half_days: i64,
            created_at: i64
        ) -> Result<bool> {
            let inserted = sqlx::query(
                r#"
                INSERT INTO campus_staff_leave_entry (employee_id, leave_type_id, kind, cause, half_days, created_at)
                SELECT $1, $2, $3, $4, $5, $6
                WHERE NOT EXISTS (
                    SELECT 1
                    FROM campus_staff_leave_entry
                    WHERE employee_id = $1 AND leave_type_id = $2 AND kind = $3 AND cause = $4
                )
                "#,
            )
            .bind(employee_id)
            .bind(leave_type_id)
            .bind(kind)
            .bind(cause)
            .bind(half_days)
            .bind(created_at)
            .execute(self)
            .await?;
            Ok(inserted.rows_affected() == 1)
        }

        /// Adds up the ledger of an employee for a type of leave.
        async fn leave_balance(&mut self, employee_id: &str, leave_type_id: &str) -> Result<i64> {
            sqlx::query_scalar(
                r#"
                SELECT CAST(coalesce(sum(half_days), 0) AS bigint)
                FROM campus_staff_leave_entry
                WHERE employee_id = $1 AND leave_type_id = $2
                "#,
            )
            .bind(employee_id)
            .bind(leave_type_id)
            .fetch_one(self)
            .await
        }

        /// Adds up what an employee has asked for of a type of leave, and nobody has decided.
        async fn pending_leave(&mut self, employee_id: &str, leave_type_id: &str) -> Result<i64> {
            sqlx::query_scalar(
                r#"
                SELECT CAST(coalesce(sum(half_days), 0) AS bigint)
                FROM campus_staff_leave_request
                WHERE employee_id = $1 AND leave_type_id = $2 AND state = 'pending'
                "#,
            )
            .bind(employee_id)
            .bind(leave_type_id)
            .fetch_one(self)
            .await
        }

        /// Inserts a request.
        async fn insert_leave_request(&mut self, request: &Request) -> Result<()> {
            sqlx::query(
                r#"
                INSERT INTO campus_staff_leave_request
                    (id, employee_id, leave_type_id, first_slot, last_slot, half_days, state, note, created_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                "#,
            )
            .bind(&request.id)
            .bind(&request.employee_id)
            .bind(&request.leave_type_id)
            .bind(request.first_slot)
            .bind(request.last_slot)
            .bind(request.half_days)
            .bind(&request.state)
            .bind(&request.note)
            .bind(request.created_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Changes the state of a request.
        async fn decide_leave_request(&mut self, id: &str, state: &str, decided_by: &str, decided_at: i64) -> Result<()> {
            sqlx::query(
                "UPDATE campus_staff_leave_request SET state = $2, decided_by = $3, decided_at = $4 WHERE id = $1",
            )
            .bind(id)
            .bind(state)
            .bind(decided_by)
            .bind(decided_at)
            .execute(self)
            .await?;
            Ok(())
        }

        /// Reads a request.
        async fn leave_request(&mut self, id: &str) -> Result<Option<Request>> {
            sqlx::query_as(
                r#"
                SELECT id, employee_id, leave_type_id, first_slot, last_slot, half_days, state, note, decided_by, created_at
                FROM campus_staff_leave_request
                WHERE id = $1
                "#,
            )
            .bind(id)
            .fetch_optional(self)
            .await
        }

        /// Reads the newest requests of an employee before an id: ids grow with time.
        async fn leave_requests_of(&mut self, employee_id: &str, before: &str, limit: i64) -> Result<Vec<Request>> {
            sqlx::query_as(
                r#"
                SELECT id, employee_id, leave_type_id, first_slot, last_slot, half_days, state, note, decided_by, created_at
                FROM campus_staff_leave_request
                WHERE employee_id = $1 AND id < $2
                ORDER BY id DESC
                LIMIT $3
                "#,
            )
            .bind(employee_id)
            .bind(before)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Reads the pending requests after an id that somebody may decide: those of the employees they manage, or of everybody.
        async fn pending_leave_requests(
            &mut self,
            manager_id: Option<&str>,
            not_of: &str,
            after: &str,
            limit: i64
        ) -> Result<Vec<Request>> {
            sqlx::query_as(
                r#"
                SELECT request.id, request.employee_id, request.leave_type_id, request.first_slot, request.last_slot,
                    request.half_days, request.state, request.note, request.decided_by, request.created_at
                FROM campus_staff_leave_request AS request
                JOIN campus_staff_employee AS employee ON employee.id = request.employee_id
                WHERE request.state = 'pending'
                    AND request.id > $3
                    AND employee.person_id <> $2
                    AND ($1 IS NULL OR employee.manager_id = $1)
                ORDER BY request.id
                LIMIT $4
                "#,
            )
            .bind(manager_id)
            .bind(not_of)
            .bind(after)
            .bind(limit)
            .fetch_all(self)
            .await
        }

        /// Says whether a stretch of half days meets another request of the employee that is approved or, if so asked, pending.
        async fn leave_overlaps(
            &mut self,
            employee_id: &str,
            other_than: &str,
            first_slot: i64,
            last_slot: i64,
            or_state: &str
        ) -> Result<bool> {
            sqlx::query_scalar(
                r#"
                SELECT EXISTS (
                    SELECT 1
                    FROM campus_staff_leave_request
                    WHERE employee_id = $1
                        AND id <> $2
                        AND first_slot <= $4
                        AND last_slot >= $3
                        AND state IN ('approved', $5)
                )
                "#,
            )
            .bind(employee_id)
            .bind(other_than)
            .bind(first_slot)
            .bind(last_slot)
            .bind(or_state)
            .fetch_one(self)
            .await
        }
    }
}
