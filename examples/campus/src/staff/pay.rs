//! What somebody earns in a month: a function of what is known of them, and of nothing else.
//!
//! Every line is rounded half to even by itself, and every total is the sum of its lines: nothing is left over.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::calendar::{Calendar, Month, Period};
use super::money::{Minor, half_even};
use crate::error::{Error, Result};
use crate::text::line;

/// No structure has more rules of a kind, and no deduction more brackets.
const MAX_RULES: usize = 20;
const MAX_NAME: usize = 60;

/// What a structure adds to the base, and takes away, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Added to the base.
    #[serde(default)]
    pub allowances: Vec<Allowance>,
    /// Taken from what is earned.
    #[serde(default)]
    pub deductions: Vec<Deduction>,
}

/// Something that is added to the base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Allowance {
    /// The same every month in which somebody is employed.
    Fixed {
        /// As the payslip calls it.
        name: String,
        /// Minor units.
        minor: Minor,
    },
    /// So many thousandths of what the base came to, after unpaid leave.
    PerMille {
        /// As the payslip calls it.
        name: String,
        /// Thousandths.
        per_mille: i64,
    },
}

/// Something that is taken from what is earned, but never more than is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Deduction {
    /// The same every month.
    Fixed {
        /// As the payslip calls it.
        name: String,
        /// Minor units.
        minor: Minor,
    },
    /// So many thousandths of all that is earned.
    PerMille {
        /// As the payslip calls it.
        name: String,
        /// Thousandths.
        per_mille: i64,
    },
    /// Of what lies between a bracket and the next, so many thousandths; rounded once.
    Progressive {
        /// As the payslip calls it.
        name: String,
        /// From the lowest up.
        brackets: Vec<Bracket>,
    },
}

/// What is taken of the part that lies over an amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bracket {
    /// Minor units.
    pub over: Minor,
    /// Thousandths.
    pub per_mille: i64,
}

impl Rules {
    /// Reads them as they are written into a form, one on a line: `Housing: 25000`, `Seniority: 50/1000`,
    /// `Income tax: 100/1000 over 0, 250/1000 over 150000`.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the line that cannot be read.
    pub fn parse(allowances: &str, deductions: &str) -> Result<Self> {
        let lines =
            |text: &str| text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect();
        let (allowances, deductions): (Vec<String>, Vec<String>) = (lines(allowances), lines(deductions));
        let allowances = allowances.iter().map(|line| {
            let (name, amount) = split(line)?;
            Ok(match per_mille(amount) {
                Some(per_mille) => Allowance::PerMille { name, per_mille },
                None => Allowance::Fixed { name, minor: minor(line, amount)? },
            })
        });
        let deductions = deductions.iter().map(|line| {
            let (name, amount) = split(line)?;
            if !amount.contains(" over ") {
                return Ok(match per_mille(amount) {
                    Some(per_mille) => Deduction::PerMille { name, per_mille },
                    None => Deduction::Fixed { name, minor: minor(line, amount)? },
                });
            }
            let brackets = amount.split(',').map(|bracket| {
                let (rate, over) = bracket.split_once(" over ").ok_or_else(|| unreadable(line))?;
                let per_mille = per_mille(rate.trim()).ok_or_else(|| unreadable(line))?;
                Ok(Bracket { over: minor(line, over.trim())?, per_mille })
            });
            Ok(Deduction::Progressive { name, brackets: brackets.collect::<Result<_>>()? })
        });
        let rules =
            Self { allowances: allowances.collect::<Result<_>>()?, deductions: deductions.collect::<Result<_>>()? };
        rules.checked()
    }

    /// Holds rules from outside to their bounds.
    ///
    /// # Errors
    /// [`Error::Invalid`] says which is not what it has to be.
    pub fn checked(mut self) -> Result<Self> {
        if self.allowances.len() > MAX_RULES || self.deductions.len() > MAX_RULES {
            return Err(Error::Invalid(format!("a structure has at most {MAX_RULES} allowances and deductions")));
        }
        for allowance in &mut self.allowances {
            let (Allowance::Fixed { name, .. } | Allowance::PerMille { name, .. }) = allowance;
            *name = line("the name of an allowance", name, MAX_NAME)?;
            match allowance {
                Allowance::Fixed { minor, .. } => drop(Minor::input("an allowance", minor.0)?),
                Allowance::PerMille { per_mille, .. } => bounded("an allowance", *per_mille, 10_000)?,
            }
        }
        for deduction in &mut self.deductions {
            let (Deduction::Fixed { name, .. }
            | Deduction::PerMille { name, .. }
            | Deduction::Progressive { name, .. }) = deduction;
            *name = line("the name of a deduction", name, MAX_NAME)?;
            match deduction {
                Deduction::Fixed { minor, .. } => drop(Minor::input("a deduction", minor.0)?),
                Deduction::PerMille { per_mille, .. } => bounded("a deduction", *per_mille, 1000)?,
                Deduction::Progressive { brackets, .. } => {
                    if brackets.is_empty()
                        || brackets.len() > MAX_RULES
                        || !brackets.is_sorted_by(|a, b| a.over < b.over)
                    {
                        return Err(Error::Invalid(format!("brackets are 1 to {MAX_RULES}, from the lowest up")));
                    }
                    for bracket in brackets {
                        Minor::input("a bracket", bracket.over.0)?;
                        bounded("a bracket", bracket.per_mille, 1000)?;
                    }
                }
            }
        }
        Ok(self)
    }
}

fn split(line: &str) -> Result<(String, &str)> {
    let (name, amount) = line.split_once(':').ok_or_else(|| unreadable(line))?;
    Ok((name.to_owned(), amount.trim()))
}

fn per_mille(amount: &str) -> Option<i64> {
    amount.strip_suffix("/1000")?.trim().parse().ok()
}

fn minor(line: &str, amount: &str) -> Result<Minor> {
    Minor::input("an amount", amount.parse().map_err(|_| unreadable(line))?)
}

fn unreadable(line: &str) -> Error {
    let shown: String = line.chars().filter(|character| !character.is_control()).take(MAX_NAME).collect();
    Error::Invalid(format!(
        "cannot read “{shown}”: write “Housing: 25000”, “Seniority: 50/1000” or “Tax: 100/1000 over 0, 250/1000 over 150000”"
    ))
}

fn bounded(what: &str, per_mille: i64, max: i64) -> Result<()> {
    if (0..=max).contains(&per_mille) {
        Ok(())
    } else {
        Err(Error::Invalid(format!("{what} must be 0 to {max} thousandths")))
    }
}

/// All that a payslip is made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The run it belongs to.
    pub run_id: &'a str,
    /// The month that is paid for.
    pub month: Month,
    /// What it is paid in.
    pub currency: &'a str,
    /// Whose it is.
    pub employee_id: &'a str,
    /// Which person that is.
    pub person_id: &'a str,
    /// The days of the month on which they are employed.
    pub employed: Period,
    /// A full month.
    pub base: Minor,
    /// What is added and taken away.
    pub rules: &'a Rules,
    /// Approved unpaid leave, no two of which overlap.
    pub unpaid: &'a [Period],
}

/// What somebody is paid for a month, and why. Its JSON is what is stored: the same facts make the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Payslip {
    /// The run it belongs to.
    pub run_id: String,
    /// The month that is paid for.
    pub month: String,
    /// What it is paid in.
    pub currency: String,
    /// Whose it is.
    pub employee_id: String,
    /// Which person that is.
    pub person_id: String,
    /// Half days of work in the month.
    pub working_half_days: i64,
    /// Of those, while they were employed.
    pub employed_half_days: i64,
    /// Of those, on unpaid leave.
    pub unpaid_half_days: i64,
    /// What they earn; unpaid leave is negative.
    pub earnings: Vec<Line>,
    /// What is taken away.
    pub deductions: Vec<Line>,
    /// The sum of the earnings.
    pub gross_minor: Minor,
    /// The sum of the deductions.
    pub deducted_minor: Minor,
    /// What is paid out.
    pub net_minor: Minor,
}

/// An amount, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// What it is for.
    pub name: String,
    /// Minor units.
    pub minor: Minor,
}

impl Payslip {
    /// Computes it.
    ///
    /// The base is paid for the half days of work on which somebody is employed, and unpaid leave is taken from it at the same rate.
    /// In a month without any work the base is paid in full.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an amount becomes too large.
    pub fn compute(facts: &Facts<'_>, calendar: &Calendar) -> Result<Self> {
        let working = calendar.half_days(Period::days(facts.month.first(), facts.month.last()));
        let employed = calendar.half_days(facts.employed);
        let leave = facts.unpaid.iter().filter_map(|leave| leave.within(facts.employed));
        let unpaid: i64 = leave.map(|leave| calendar.half_days(leave)).sum();

        let (base, unpaid_minor) = match working {
            0 => (facts.base, Minor::ZERO),
            _ => (facts.base.share(employed, working)?, facts.base.share(unpaid, working)?),
        };
        let mut earnings = vec![Line { name: "Base salary".into(), minor: base }];
        if unpaid > 0 {
            earnings.push(Line { name: "Unpaid leave".into(), minor: Minor::ZERO.minus(unpaid_minor)? });
        }
        let earned = base.minus(unpaid_minor)?;
        for allowance in &facts.rules.allowances {
            let (name, minor) = match allowance {
                Allowance::Fixed { name, minor } => (name, *minor),
                Allowance::PerMille { name, per_mille } => (name, earned.share(*per_mille, 1000)?),
            };
            earnings.push(Line { name: name.clone(), minor });
        }
        let gross_minor = Minor::sum(earnings.iter().map(|line| line.minor))?;

        let mut left = gross_minor;
        let mut deductions = Vec::with_capacity(facts.rules.deductions.len());
        for deduction in &facts.rules.deductions {
            let (name, minor) = match deduction {
                Deduction::Fixed { name, minor } => (name, *minor),
                Deduction::PerMille { name, per_mille } => (name, gross_minor.share(*per_mille, 1000)?),
                Deduction::Progressive { name, brackets } => (name, progressive(gross_minor, brackets)?),
            };
            let minor = minor.min(left);
            left = left.minus(minor)?;
            deductions.push(Line { name: name.clone(), minor });
        }
        Ok(Self {
            run_id: facts.run_id.into(),
            month: facts.month.to_string(),
            currency: facts.currency.into(),
            employee_id: facts.employee_id.into(),
            person_id: facts.person_id.into(),
            working_half_days: working,
            employed_half_days: employed,
            unpaid_half_days: unpaid,
            deducted_minor: Minor::sum(deductions.iter().map(|line| line.minor))?,
            earnings,
            deductions,
            gross_minor,
            net_minor: left,
        })
    }
}

fn progressive(gross: Minor, brackets: &[Bracket]) -> Result<Minor> {
    let ends = brackets.iter().skip(1).map(|bracket| bracket.over).chain([Minor(i64::MAX)]);
    let part = |(bracket, end): (&Bracket, Minor)| {
        i128::from(gross.min(end).0.saturating_sub(bracket.over.0).max(0)) * i128::from(bracket.per_mille)
    };
    half_even(brackets.iter().zip(ends).map(part).sum(), 1000)
}

#[cfg(test)]
mod tests {
    use super::super::calendar::{Half, day};
    use super::*;

    #[test]
    fn rules_are_read_line_by_line() {
        let rules = Rules::parse(
            "Housing: 25000\n\n Seniority : 50/1000",
            "Club: 500\nPension: 90/1000\nIncome tax: 100/1000 over 0, 250/1000 over 150000",
        )
        .unwrap();
        assert_eq!((rules.allowances.len(), rules.deductions.len()), (2, 3));
        assert_eq!(rules.allowances[1], Allowance::PerMille { name: "Seniority".into(), per_mille: 50 });
        for (allowances, deductions) in [
            ("Housing", ""),
            ("Housing: 2.5", ""),
            (": 5", ""),
            ("Housing: -5", ""),
            ("A: 10001/1000", ""),
            ("", "Tax: 1001/1000"),
            ("", "Tax: 1/1000 over 5, 2/1000 over 5"),
            ("", "Tax: 1/1000 over x"),
            ("A\u{7}: 5", ""),
        ] {
            assert!(Rules::parse(allowances, deductions).is_err(), "{allowances:?} {deductions:?}");
        }
        assert!(Rules::parse(&"A: 1\n".repeat(21), "").is_err());
    }

    #[test]
    fn a_payslip_is_made_of_its_lines() {
        let on = |text| day("it", text).unwrap();
        let calendar = Calendar::new("sat sun", []).unwrap();
        let rules =
            Rules::parse("Housing: 10000\nSeniority: 50/1000", "Tax: 100/1000 over 0, 200/1000 over 200000").unwrap();
        let month = Month::parse("2026-11").unwrap(); // 21 days of work
        let facts = Facts {
            run_id: "r",
            month,
            currency: "EUR",
            employee_id: "e",
            person_id: "p",
            employed: Period::days(month.first(), month.last()),
            base: Minor(300_001),
            rules: &rules,
            unpaid: &[Period::new(on("2026-10-30"), Half::Morning, on("2026-11-02"), Half::Morning).unwrap()],
        };
        let payslip = Payslip::compute(&facts, &calendar).unwrap();
        assert_eq!((payslip.working_half_days, payslip.unpaid_half_days), (42, 1));
        // 300001 / 42 = 7142.88; 5 % of 292858 is 14642.9; 10 % of 200000 and 20 % of 117501 is 43500.2.
        let amounts = |lines: &[Line]| lines.iter().map(|line| line.minor.0).collect::<Vec<_>>();
        assert_eq!(amounts(&payslip.earnings), [300_001, -7143, 10_000, 14_643]);
        assert_eq!(amounts(&payslip.deductions), [43_500]);
        assert_eq!((payslip.gross_minor, payslip.net_minor), (Minor(317_501), Minor(274_001)));

        let hired = Facts { employed: Period::days(on("2026-11-16"), month.last()), unpaid: &[], ..facts };
        assert_eq!(Payslip::compute(&hired, &calendar).unwrap().earnings[0].minor, Minor(157_143));
        let greedy = Rules::parse("", "Everything: 1000000000\nMore: 1000/1000").unwrap();
        let nothing = Payslip::compute(&Facts { rules: &greedy, ..facts }, &calendar).unwrap();
        assert_eq!((nothing.net_minor, nothing.deductions[1].minor), (Minor::ZERO, Minor::ZERO));
    }
}
