//! The people who work for the campus: Hana hires, Max manages, Ann works, Pia pays.

use super::case::{Case, mixed, open, read, write};

pub(super) const CASES: &[Case] = &[
    // What people may earn, and who works here.
    write("pia", "/staff/structures", STRUCTURE, "bits.staff.v1.PayrollService/CreateStructure"),
    write("pia", "/api/v1/staff/structures", STRUCTURE_JSON, "bits.staff.v1.PayrollService/CreateStructure")
        .keeps("structure"),
    read("pia", "/staff/structures"),
    read("pia", "/api/v1/staff/structures"),
    write("hana", "/staff/employees", HIRE, "bits.staff.v1.EmployeeService/HireEmployee").keeps("max"),
    write("hana", "/api/v1/staff/employees", HIRE_JSON, "bits.staff.v1.EmployeeService/HireEmployee").keeps("ann"),
    write(
        "hana",
        "/staff/employees/{max}",
        "structure_id={structure}&left_on=2089-12-31",
        "bits.staff.v1.EmployeeService/ChangeEmployee",
    ),
    write("hana", "/api/v1/staff/employees/{ann}", TERMS_JSON, "bits.staff.v1.EmployeeService/ChangeEmployee"),
    read("hana", "/staff/employees"),
    read("hana", "/api/v1/staff/employees"),
    read("hana", "/staff/employees/{ann}"),
    read("hana", "/api/v1/staff/employees/{ann}"),
    // Leave.
    write("hana", "/staff/leave-types", TYPE, "bits.staff.v1.LeaveService/CreateLeaveType"),
    write("hana", "/api/v1/staff/leave-types", TYPE_JSON, "bits.staff.v1.LeaveService/CreateLeaveType"),
    read("hana", "/staff/leave"),
    write(
        "hana",
        "/staff/employees/{ann}/balance",
        "leave_type_id=annual&half_days=20",
        "bits.staff.v1.LeaveService/AdjustBalance",
    ),
    write(
        "hana",
        "/api/v1/staff/employees/{ann}/balance",
        r#"{"leave_type_id": "annual", "half_days": 20}"#,
        "bits.staff.v1.LeaveService/AdjustBalance",
    ),
    write("ann", "/api/v1/staff/me/requests", MONDAY, "bits.staff.v1.LeaveService/RequestLeave").keeps("first"),
    write("ann", "/api/v1/staff/me/requests", TUESDAY, "bits.staff.v1.LeaveService/RequestLeave").keeps("second"),
    write("ann", "/api/v1/staff/me/requests", WEDNESDAY, "bits.staff.v1.LeaveService/RequestLeave").keeps("third"),
    write("ann", "/api/v1/staff/me/requests", THURSDAY, "bits.staff.v1.LeaveService/RequestLeave").keeps("fourth"),
    write("ann", "/staff/requests", FRIDAY, "bits.staff.v1.LeaveService/RequestLeave"),
    mixed("ann", "/staff"),
    read("ann", "/api/v1/staff/me"),
    read("ann", "/api/v1/staff/me/requests"),
    read("max", "/staff/requests"),
    read("max", "/api/v1/staff/requests"),
    write("max", "/staff/requests/{first}/approve", "", "bits.staff.v1.LeaveService/ApproveLeave"),
    write("max", "/api/v1/staff/requests/{second}/approve", "", "bits.staff.v1.LeaveService/ApproveLeave"),
    write("max", "/staff/requests/{third}/reject", "", "bits.staff.v1.LeaveService/RejectLeave"),
    write("max", "/api/v1/staff/requests/{fourth}/reject", "", "bits.staff.v1.LeaveService/RejectLeave"),
    write("ann", "/staff/requests/{first}/cancel", "", "bits.staff.v1.LeaveService/CancelLeave"),
    write("ann", "/api/v1/staff/requests/{second}/cancel", "", "bits.staff.v1.LeaveService/CancelLeave"),
    // Pay. A holiday takes the payslips of its month back.
    write("pia", "/staff/payroll", "month=2020-03&currency=EUR", "bits.staff.v1.PayrollService/CreateRun").keeps("run"),
    write("pia", "/api/v1/staff/runs", RUN_JSON, "bits.staff.v1.PayrollService/CreateRun").keeps("api_run"),
    write("hana", "/staff/holidays", "day=2020-03-17&name=Rest", "bits.staff.v1.LeaveService/AddHoliday").after_work(),
    write(
        "hana",
        "/api/v1/staff/holidays",
        r#"{"day": "2020-04-14", "name": "Rest"}"#,
        "bits.staff.v1.LeaveService/AddHoliday",
    ),
    write("pia", "/staff/payroll/{run}/compute", "", "bits.staff.v1.PayrollService/ResumeRun"),
    write("pia", "/api/v1/staff/runs/{api_run}/compute", "", "bits.staff.v1.PayrollService/ResumeRun"),
    read("pia", "/staff/payroll").after_work(),
    read("pia", "/api/v1/staff/runs"),
    read("pia", "/staff/payroll/{run}"),
    read("pia", "/api/v1/staff/runs/{run}"),
    read("pia", "/api/v1/staff/runs/{run}/payslips"),
    write("pia", "/staff/payroll/{run}/close", "", "bits.staff.v1.PayrollService/CloseRun"),
    write("pia", "/api/v1/staff/runs/{api_run}/close", "", "bits.staff.v1.PayrollService/CloseRun"),
    open("ann", "/staff/payslips"),
    read("ann", "/api/v1/staff/me/payslips"),
    read("ann", "/staff/payslips/{run}/{ann}"),
    read("ann", "/api/v1/staff/runs/{run}/payslips/{ann}"),
];

const STRUCTURE: &str = "name=Step+1&currency=EUR&base_minor=200000&allowances=Housing:+25000&deductions=Tax:+100/1000";
const STRUCTURE_JSON: &str = r#"{"name": "Step 2", "currency": "EUR", "base_minor": 300000, "rules": {}}"#;
const HIRE: &str = "person_id=max&hired_on=2020-01-01&structure_id={structure}";
const HIRE_JSON: &str =
    r#"{"person_id": "ann", "hired_on": "2020-01-01", "manager_id": "{max}", "structure_id": "{structure}"}"#;
const TERMS_JSON: &str = r#"{"left_on": "2089-12-31", "manager_id": "{max}", "structure_id": "{structure}"}"#;
const TYPE: &str = "id=study&name=Study&yearly_half_days=10&carry_half_days=0";
const TYPE_JSON: &str = r#"{"id": "moving", "name": "Moving house", "is_paid": true, "may_go_negative": false, "yearly_half_days": 2,
    "carry_half_days": 0}"#;
const MONDAY: &str = r#"{"leave_type_id": "annual", "first_on": "{monday}", "first_half": "morning", "last_on": "{monday}",
    "last_half": "afternoon", "note": "To feed the quetzalcoatlus"}"#;
const TUESDAY: &str = r#"{"leave_type_id": "annual", "first_on": "{tuesday}", "last_on": "{tuesday}"}"#;
const WEDNESDAY: &str = r#"{"leave_type_id": "annual", "first_on": "{wednesday}", "last_on": "{wednesday}"}"#;
const THURSDAY: &str = r#"{"leave_type_id": "annual", "first_on": "{thursday}", "last_on": "{thursday}"}"#;
const FRIDAY: &str =
    "leave_type_id=annual&first_on={friday}&first_half=morning&last_on={friday}&last_half=afternoon&note=Again";
const RUN_JSON: &str = r#"{"month": "2020-04", "currency": "EUR"}"#;
