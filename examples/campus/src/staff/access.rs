//! Who may do what with the staff: roles on the platform, in a matrix of their own.

use stoa_capabilities::{self as capabilities, Matrix, Rule};

capabilities::capabilities! {
    /// What one may do with the people who work for the campus.
    pub enum StaffCapability {
        /// See, hire and change employees.
        ManageEmployees = "staff.employee.manage",
        /// Define types of leave and holidays, and correct balances.
        ManageLeave = "staff.leave.manage",
        /// Decide about the leave of those one manages.
        DecideLeave = "staff.leave.decide",
        /// Decide about the leave of everybody else.
        DecideAnyLeave = "staff.leave.decide_any",
        /// Define salary structures, compute payroll runs, and read every payslip.
        RunPayroll = "staff.payroll.run",
        /// Close payroll runs for good.
        ClosePayroll = "staff.payroll.close",
    }
}

/// Roles of the staff on the platform. Payroll says what people earn, and the office of human resources who they are.
pub(crate) fn matrix() -> capabilities::Result<Matrix<StaffCapability>> {
    use StaffCapability as May;
    Matrix::new([
        Rule::new("manager").grants([May::DecideLeave]),
        Rule::new("hr").inherits("manager").grants([May::ManageEmployees, May::ManageLeave, May::DecideAnyLeave]),
        Rule::new("payroll").grants([May::RunPayroll, May::ClosePayroll]),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who may what with the staff is a file that a reviewer sees change.
    #[test]
    fn the_staff_matrix_is_the_reviewed_one() {
        assert_eq!(matrix().unwrap().diff(include_str!("access.txt")), "");
    }
}
