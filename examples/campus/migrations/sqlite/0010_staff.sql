-- The tables of the staff: employees, their leave, their pay. Money is in minor units, leave in half days, both whole numbers. Days
-- are texts such as 2026-11-21 and months such as 2026-11, which sort as they should; half days are counted from 1970.
-- Creates tables, indexes and triggers; safe beside any release.

-- A structure never changes: whoever earns something else has another one.
CREATE TABLE campus_staff_structure (
    id TEXT NOT NULL COLLATE BINARY,
    name TEXT NOT NULL,
    currency TEXT NOT NULL COLLATE BINARY,
    base_minor INTEGER NOT NULL,
    rules TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT campus_staff_structure_pkey PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE campus_staff_employee (
    id TEXT NOT NULL COLLATE BINARY,
    person_id TEXT NOT NULL COLLATE BINARY,
    hired_on TEXT NOT NULL COLLATE BINARY,
    left_on TEXT COLLATE BINARY,
    manager_id TEXT COLLATE BINARY,
    structure_id TEXT COLLATE BINARY,
    -- Counting it up is how a transaction takes the lock of a row, on either database.
    revision INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT campus_staff_employee_pkey PRIMARY KEY (id),
    CONSTRAINT campus_staff_employee_person_key UNIQUE (person_id),
    CONSTRAINT campus_staff_employee_manager_fkey FOREIGN KEY (manager_id) REFERENCES campus_staff_employee (id),
    CONSTRAINT campus_staff_employee_structure_fkey FOREIGN KEY (structure_id) REFERENCES campus_staff_structure (id),
    CONSTRAINT campus_staff_employee_left_check CHECK (left_on >= hired_on)
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_staff_employee_manager_idx ON campus_staff_employee (manager_id, id);

CREATE TABLE campus_staff_leave_type (
    id TEXT NOT NULL COLLATE BINARY,
    name TEXT NOT NULL,
    is_paid INTEGER NOT NULL,
    may_go_negative INTEGER NOT NULL,
    yearly_half_days INTEGER NOT NULL,
    carry_half_days INTEGER NOT NULL,
    CONSTRAINT campus_staff_leave_type_pkey PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE campus_staff_holiday (
    day TEXT NOT NULL COLLATE BINARY,
    name TEXT NOT NULL,
    CONSTRAINT campus_staff_holiday_pkey PRIMARY KEY (day)
) STRICT, WITHOUT ROWID;

-- A balance is the sum of its entries, which are never changed. The key makes every entry happen once: the accrual of a month, the
-- lapse at the end of a year, what a request took and what its cancellation gave back.
CREATE TABLE campus_staff_leave_entry (
    employee_id TEXT NOT NULL COLLATE BINARY,
    leave_type_id TEXT NOT NULL COLLATE BINARY,
    kind TEXT NOT NULL COLLATE BINARY,
    cause TEXT NOT NULL COLLATE BINARY,
    half_days INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT campus_staff_leave_entry_pkey PRIMARY KEY (employee_id, leave_type_id, kind, cause),
    CONSTRAINT campus_staff_leave_entry_employee_fkey FOREIGN KEY (employee_id) REFERENCES campus_staff_employee (id),
    CONSTRAINT campus_staff_leave_entry_type_fkey FOREIGN KEY (leave_type_id) REFERENCES campus_staff_leave_type (id),
    CONSTRAINT campus_staff_leave_entry_kind_check CHECK (kind IN ('accrued', 'adjusted', 'lapsed', 'returned', 'taken'))
) STRICT, WITHOUT ROWID;

CREATE TABLE campus_staff_leave_request (
    id TEXT NOT NULL COLLATE BINARY,
    employee_id TEXT NOT NULL COLLATE BINARY,
    leave_type_id TEXT NOT NULL COLLATE BINARY,
    first_slot INTEGER NOT NULL,
    last_slot INTEGER NOT NULL,
    half_days INTEGER NOT NULL,
    state TEXT NOT NULL COLLATE BINARY,
    note TEXT NOT NULL,
    decided_by TEXT COLLATE BINARY,
    created_at INTEGER NOT NULL,
    decided_at INTEGER,
    CONSTRAINT campus_staff_leave_request_pkey PRIMARY KEY (id),
    CONSTRAINT campus_staff_leave_request_employee_fkey FOREIGN KEY (employee_id) REFERENCES campus_staff_employee (id),
    CONSTRAINT campus_staff_leave_request_type_fkey FOREIGN KEY (leave_type_id) REFERENCES campus_staff_leave_type (id),
    CONSTRAINT campus_staff_leave_request_slots_check CHECK (first_slot <= last_slot),
    CONSTRAINT campus_staff_leave_request_state_check CHECK (state IN ('approved', 'cancelled', 'pending', 'rejected'))
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_staff_leave_request_employee_idx ON campus_staff_leave_request (employee_id, id);
CREATE INDEX campus_staff_leave_request_pending_idx ON campus_staff_leave_request (id) WHERE state = 'pending';

CREATE TABLE campus_staff_run (
    id TEXT NOT NULL COLLATE BINARY,
    month TEXT NOT NULL COLLATE BINARY,
    currency TEXT NOT NULL COLLATE BINARY,
    state TEXT NOT NULL COLLATE BINARY,
    job_id INTEGER,
    payslips INTEGER,
    gross_minor INTEGER,
    deducted_minor INTEGER,
    net_minor INTEGER,
    created_at INTEGER NOT NULL,
    closed_at INTEGER,
    revision INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT campus_staff_run_pkey PRIMARY KEY (id),
    CONSTRAINT campus_staff_run_month_key UNIQUE (month, currency),
    CONSTRAINT campus_staff_run_state_check CHECK (state IN ('closed', 'open')),
    CONSTRAINT campus_staff_run_totals_check CHECK (gross_minor - deducted_minor = net_minor)
) STRICT, WITHOUT ROWID;

CREATE TABLE campus_staff_payslip (
    run_id TEXT NOT NULL COLLATE BINARY,
    employee_id TEXT NOT NULL COLLATE BINARY,
    body TEXT NOT NULL,
    hash TEXT NOT NULL COLLATE BINARY,
    gross_minor INTEGER NOT NULL,
    deducted_minor INTEGER NOT NULL,
    net_minor INTEGER NOT NULL,
    CONSTRAINT campus_staff_payslip_pkey PRIMARY KEY (run_id, employee_id),
    CONSTRAINT campus_staff_payslip_run_fkey FOREIGN KEY (run_id) REFERENCES campus_staff_run (id),
    CONSTRAINT campus_staff_payslip_employee_fkey FOREIGN KEY (employee_id) REFERENCES campus_staff_employee (id),
    CONSTRAINT campus_staff_payslip_total_check CHECK (gross_minor - deducted_minor = net_minor)
) STRICT, WITHOUT ROWID;

CREATE INDEX campus_staff_payslip_employee_idx ON campus_staff_payslip (employee_id, run_id);

CREATE TRIGGER campus_staff_leave_entry_no_update
    BEFORE UPDATE ON campus_staff_leave_entry
BEGIN
    SELECT RAISE(ABORT, 'an entry of leave is never changed');
END;

CREATE TRIGGER campus_staff_leave_entry_no_delete
    BEFORE DELETE ON campus_staff_leave_entry
BEGIN
    SELECT RAISE(ABORT, 'an entry of leave is never changed');
END;

CREATE TRIGGER campus_staff_structure_no_update
    BEFORE UPDATE ON campus_staff_structure
BEGIN
    SELECT RAISE(ABORT, 'a salary structure is never changed');
END;

CREATE TRIGGER campus_staff_structure_no_delete
    BEFORE DELETE ON campus_staff_structure
BEGIN
    SELECT RAISE(ABORT, 'a salary structure is never changed');
END;

CREATE TRIGGER campus_staff_run_no_update
    BEFORE UPDATE ON campus_staff_run
    WHEN OLD.state = 'closed'
BEGIN
    SELECT RAISE(ABORT, 'the payroll run is closed');
END;

CREATE TRIGGER campus_staff_run_no_delete
    BEFORE DELETE ON campus_staff_run
    WHEN OLD.state = 'closed'
BEGIN
    SELECT RAISE(ABORT, 'the payroll run is closed');
END;

CREATE TRIGGER campus_staff_payslip_no_insert
    BEFORE INSERT ON campus_staff_payslip
    WHEN (SELECT state FROM campus_staff_run WHERE id = NEW.run_id) = 'closed'
BEGIN
    SELECT RAISE(ABORT, 'the payroll run is closed');
END;

CREATE TRIGGER campus_staff_payslip_no_update
    BEFORE UPDATE ON campus_staff_payslip
    WHEN 'closed' IN (
        SELECT state FROM campus_staff_run WHERE id IN (OLD.run_id, NEW.run_id)
    )
BEGIN
    SELECT RAISE(ABORT, 'the payroll run is closed');
END;

CREATE TRIGGER campus_staff_payslip_no_delete
    BEFORE DELETE ON campus_staff_payslip
    WHEN (SELECT state FROM campus_staff_run WHERE id = OLD.run_id) = 'closed'
BEGIN
    SELECT RAISE(ABORT, 'the payroll run is closed');
END;

-- REPLACE deletes without the triggers above: what it would replace is refused before it is inserted.
CREATE TRIGGER campus_staff_leave_entry_no_replace
    BEFORE INSERT ON campus_staff_leave_entry
    WHEN EXISTS (
        SELECT 1
        FROM campus_staff_leave_entry
        WHERE employee_id = NEW.employee_id AND leave_type_id = NEW.leave_type_id AND kind = NEW.kind AND cause = NEW.cause
    )
BEGIN
    SELECT RAISE(ABORT, 'an entry of leave is never changed');
END;

CREATE TRIGGER campus_staff_structure_no_replace
    BEFORE INSERT ON campus_staff_structure
    WHEN EXISTS (SELECT 1 FROM campus_staff_structure WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'a salary structure is never changed');
END;

CREATE TRIGGER campus_staff_run_no_replace
    BEFORE INSERT ON campus_staff_run
    WHEN EXISTS (
        SELECT 1
        FROM campus_staff_run
        WHERE state = 'closed' AND (id = NEW.id OR (month = NEW.month AND currency = NEW.currency))
    )
BEGIN
    SELECT RAISE(ABORT, 'the payroll run is closed');
END;
