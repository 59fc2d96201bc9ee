-- The tables of the staff: employees, their leave, their pay. Money is in minor units, leave in half days, both whole numbers. Days
-- are texts such as 2026-11-21 and months such as 2026-11, which sort as they should; half days are counted from 1970.
-- Creates tables, indexes and triggers; locks nothing that exists; safe beside any release.

-- A structure never changes: whoever earns something else has another one.
CREATE TABLE campus_staff_structure (
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    currency text COLLATE "C" NOT NULL,
    base_minor bigint NOT NULL,
    rules text NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT campus_staff_structure_pkey PRIMARY KEY (id)
);

CREATE TABLE campus_staff_employee (
    id text COLLATE "C" NOT NULL,
    person_id text COLLATE "C" NOT NULL,
    hired_on text COLLATE "C" NOT NULL,
    left_on text COLLATE "C",
    manager_id text COLLATE "C",
    structure_id text COLLATE "C",
    -- Counting it up is how a transaction takes the lock of a row, on either database.
    revision bigint NOT NULL DEFAULT 0,
    CONSTRAINT campus_staff_employee_pkey PRIMARY KEY (id),
    CONSTRAINT campus_staff_employee_person_key UNIQUE (person_id),
    CONSTRAINT campus_staff_employee_manager_fkey FOREIGN KEY (manager_id) REFERENCES campus_staff_employee (id),
    CONSTRAINT campus_staff_employee_structure_fkey FOREIGN KEY (structure_id) REFERENCES campus_staff_structure (id),
    CONSTRAINT campus_staff_employee_left_check CHECK (left_on >= hired_on)
);

CREATE INDEX campus_staff_employee_manager_idx ON campus_staff_employee (manager_id, id);

CREATE TABLE campus_staff_leave_type (
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    is_paid boolean NOT NULL,
    may_go_negative boolean NOT NULL,
    yearly_half_days bigint NOT NULL,
    carry_half_days bigint NOT NULL,
    CONSTRAINT campus_staff_leave_type_pkey PRIMARY KEY (id)
);

CREATE TABLE campus_staff_holiday (
    day text COLLATE "C" NOT NULL,
    name text NOT NULL,
    CONSTRAINT campus_staff_holiday_pkey PRIMARY KEY (day)
);

-- A balance is the sum of its entries, which are never changed. The key makes every entry happen once: the accrual of a month, the
-- lapse at the end of a year, what a request took and what its cancellation gave back.
CREATE TABLE campus_staff_leave_entry (
    employee_id text COLLATE "C" NOT NULL,
    leave_type_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    cause text COLLATE "C" NOT NULL,
    half_days bigint NOT NULL,
    created_at bigint NOT NULL,
    CONSTRAINT campus_staff_leave_entry_pkey PRIMARY KEY (employee_id, leave_type_id, kind, cause),
    CONSTRAINT campus_staff_leave_entry_employee_fkey FOREIGN KEY (employee_id) REFERENCES campus_staff_employee (id),
    CONSTRAINT campus_staff_leave_entry_type_fkey FOREIGN KEY (leave_type_id) REFERENCES campus_staff_leave_type (id),
    CONSTRAINT campus_staff_leave_entry_kind_check CHECK (kind IN ('accrued', 'adjusted', 'lapsed', 'returned', 'taken'))
);

CREATE TABLE campus_staff_leave_request (
    id text COLLATE "C" NOT NULL,
    employee_id text COLLATE "C" NOT NULL,
    leave_type_id text COLLATE "C" NOT NULL,
    first_slot bigint NOT NULL,
    last_slot bigint NOT NULL,
    half_days bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    note text NOT NULL,
    decided_by text COLLATE "C",
    created_at bigint NOT NULL,
    decided_at bigint,
    CONSTRAINT campus_staff_leave_request_pkey PRIMARY KEY (id),
    CONSTRAINT campus_staff_leave_request_employee_fkey FOREIGN KEY (employee_id) REFERENCES campus_staff_employee (id),
    CONSTRAINT campus_staff_leave_request_type_fkey FOREIGN KEY (leave_type_id) REFERENCES campus_staff_leave_type (id),
    CONSTRAINT campus_staff_leave_request_slots_check CHECK (first_slot <= last_slot),
    CONSTRAINT campus_staff_leave_request_state_check CHECK (state IN ('approved', 'cancelled', 'pending', 'rejected'))
);

CREATE INDEX campus_staff_leave_request_employee_idx ON campus_staff_leave_request (employee_id, id);
CREATE INDEX campus_staff_leave_request_pending_idx ON campus_staff_leave_request (id) WHERE state = 'pending';

CREATE TABLE campus_staff_run (
    id text COLLATE "C" NOT NULL,
    month text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    job_id bigint,
    payslips bigint,
    gross_minor bigint,
    deducted_minor bigint,
    net_minor bigint,
    created_at bigint NOT NULL,
    closed_at bigint,
    revision bigint NOT NULL DEFAULT 0,
    CONSTRAINT campus_staff_run_pkey PRIMARY KEY (id),
    CONSTRAINT campus_staff_run_month_key UNIQUE (month, currency),
    CONSTRAINT campus_staff_run_state_check CHECK (state IN ('closed', 'open')),
    CONSTRAINT campus_staff_run_totals_check CHECK (gross_minor - deducted_minor = net_minor)
);

CREATE TABLE campus_staff_payslip (
    run_id text COLLATE "C" NOT NULL,
    employee_id text COLLATE "C" NOT NULL,
    body text NOT NULL,
    hash text COLLATE "C" NOT NULL,
    gross_minor bigint NOT NULL,
    deducted_minor bigint NOT NULL,
    net_minor bigint NOT NULL,
    CONSTRAINT campus_staff_payslip_pkey PRIMARY KEY (run_id, employee_id),
    CONSTRAINT campus_staff_payslip_run_fkey FOREIGN KEY (run_id) REFERENCES campus_staff_run (id),
    CONSTRAINT campus_staff_payslip_employee_fkey FOREIGN KEY (employee_id) REFERENCES campus_staff_employee (id),
    CONSTRAINT campus_staff_payslip_total_check CHECK (gross_minor - deducted_minor = net_minor)
);

CREATE INDEX campus_staff_payslip_employee_idx ON campus_staff_payslip (employee_id, run_id);

CREATE FUNCTION campus_staff_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is not allowed', TG_OP, TG_TABLE_NAME;
END
$$;

-- The lock makes a payslip and the closing of its run wait for each other.
CREATE FUNCTION campus_staff_refuse_closed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    run_state text;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        SELECT state INTO run_state FROM campus_staff_run WHERE id = OLD.run_id FOR SHARE;
        IF run_state = 'closed' THEN RAISE EXCEPTION 'the payroll run is closed'; END IF;
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    SELECT state INTO run_state FROM campus_staff_run WHERE id = NEW.run_id FOR SHARE;
    IF run_state = 'closed' THEN RAISE EXCEPTION 'the payroll run is closed'; END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER campus_staff_leave_entry_append_only
    BEFORE UPDATE OR DELETE ON campus_staff_leave_entry FOR EACH ROW EXECUTE FUNCTION campus_staff_refuse();
CREATE TRIGGER campus_staff_leave_entry_keep
    BEFORE TRUNCATE ON campus_staff_leave_entry FOR EACH STATEMENT EXECUTE FUNCTION campus_staff_refuse();
CREATE TRIGGER campus_staff_structure_fixed
    BEFORE UPDATE OR DELETE ON campus_staff_structure FOR EACH ROW EXECUTE FUNCTION campus_staff_refuse();
CREATE TRIGGER campus_staff_run_closed
    BEFORE UPDATE OR DELETE ON campus_staff_run FOR EACH ROW WHEN (OLD.state = 'closed') EXECUTE FUNCTION campus_staff_refuse();
CREATE TRIGGER campus_staff_run_keep
    BEFORE TRUNCATE ON campus_staff_run FOR EACH STATEMENT EXECUTE FUNCTION campus_staff_refuse();
CREATE TRIGGER campus_staff_payslip_closed
    BEFORE INSERT OR UPDATE OR DELETE ON campus_staff_payslip FOR EACH ROW EXECUTE FUNCTION campus_staff_refuse_closed();
CREATE TRIGGER campus_staff_payslip_keep
    BEFORE TRUNCATE ON campus_staff_payslip FOR EACH STATEMENT EXECUTE FUNCTION campus_staff_refuse();
