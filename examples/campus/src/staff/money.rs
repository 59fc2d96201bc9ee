//! Money: whole minor units of a currency, never a fraction.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};

/// An amount in the smallest unit of its currency: cents of a euro, yen. Whatever would not fit is an error, never another amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Minor(pub i64);

impl Minor {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// No amount from outside is larger.
    pub const MAX: Self = Self(1_000_000_000_000);

    /// Parses an amount from outside.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is negative or larger than [`MAX`](Self::MAX).
    pub fn input(what: &str, minor: i64) -> Result<Self> {
        if (0..=Self::MAX.0).contains(&minor) {
            Ok(Self(minor))
        } else {
            Err(Error::Invalid(format!("{what} must be 0 to {} minor units", Self::MAX.0)))
        }
    }

    /// Adds.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the sum is too large for any amount.
    pub fn plus(self, other: Self) -> Result<Self> {
        self.0.checked_add(other.0).map(Self).ok_or_else(too_large)
    }

    /// Subtracts.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the difference is too large for any amount.
    pub fn minus(self, other: Self) -> Result<Self> {
        self.0.checked_sub(other.0).map(Self).ok_or_else(too_large)
    }

    /// Takes `part` of `whole` equal parts, rounded half to even: of many roundings as many go up as down.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the share is too large for any amount, or the whole is not positive.
    pub fn share(self, part: i64, whole: i64) -> Result<Self> {
        half_even(i128::from(self.0) * i128::from(part), whole)
    }

    /// Adds up.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the sum is too large for any amount.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self> {
        amounts.into_iter().try_fold(Self::ZERO, Self::plus)
    }
}

/// Divides, rounded half to even.
pub(super) fn half_even(dividend: i128, divisor: i64) -> Result<Minor> {
    if divisor <= 0 {
        return Err(Error::Invalid("an amount is shared among at least one".into()));
    }
    let divisor = i128::from(divisor);
    let (quotient, rest) = (dividend.div_euclid(divisor), dividend.rem_euclid(divisor));
    let up = match (2 * rest).cmp(&divisor) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => quotient & 1,
        std::cmp::Ordering::Greater => 1,
    };
    i64::try_from(quotient + up).map(Minor).map_err(|_| too_large())
}

fn too_large() -> Error {
    Error::Invalid("the amount is too large".into())
}

/// A currency: three capital letters, as ISO 4217 names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency<'a>(&'a str);

impl<'a> Currency<'a> {
    /// Parses the name of a currency.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not three capital letters.
    pub fn new(name: &'a str) -> Result<Self> {
        if name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_uppercase()) {
            Ok(Self(name))
        } else {
            Err(Error::Invalid("a currency is three capital letters, such as EUR".into()))
        }
    }

    /// How many digits of an amount are behind the point.
    fn digits(self) -> usize {
        match self.0 {
            "CLP" | "ISK" | "JPY" | "KRW" | "PYG" | "UGX" | "VND" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            _ => 2,
        }
    }
}

/// An amount as people write it: `1,234.56 EUR`.
pub(crate) fn written(amount: Minor, currency: &str) -> String {
    Written(amount, Currency(currency)).to_string()
}

struct Written<'a>(Minor, Currency<'a>);

impl fmt::Display for Written<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.1.digits();
        let all = format!("{:0>width$}", self.0.0.unsigned_abs(), width = digits + 1);
        let (whole, fraction) = all.split_at(all.len() - digits);
        if self.0.0 < 0 {
            formatter.write_str("−")?;
        }
        for (index, digit) in whole.chars().enumerate() {
            if index > 0 && (whole.len() - index).is_multiple_of(3) {
                formatter.write_str(",")?;
            }
            write!(formatter, "{digit}")?;
        }
        let point = if digits == 0 { "" } else { "." };
        write!(formatter, "{point}{fraction} {}", self.1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_neighbour() {
        for (minor, part, whole, expected) in
            [(5, 1, 2, 2), (15, 1, 10, 2), (25, 1, 10, 2), (-5, 1, 2, -2), (-7, 1, 2, -4), (10, 1, 3, 3), (20, 1, 3, 7)]
        {
            assert_eq!(Minor(minor).share(part, whole).unwrap(), Minor(expected), "{minor} * {part} / {whole}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(Minor(i64::MAX).plus(Minor(1)).is_err());
        assert!(Minor(i64::MIN).minus(Minor(1)).is_err());
        assert!(Minor(i64::MAX).share(2, 1).is_err());
        assert!(Minor(1).share(1, 0).is_err());
        assert!(Minor::input("it", -1).is_err() && Minor::input("it", Minor::MAX.0 + 1).is_err());
    }

    #[test]
    fn amounts_are_written_for_people() {
        assert_eq!(written(Minor(123_456), "EUR"), "1,234.56 EUR");
        assert_eq!(written(Minor(-5), "EUR"), "−0.05 EUR");
        assert_eq!(written(Minor(1_000_000), "JPY"), "1,000,000 JPY");
        assert_eq!(written(Minor(1), "KWD"), "0.001 KWD");
        assert_eq!(written(Minor(i64::MIN), "JPY"), "−9,223,372,036,854,775,808 JPY");
    }
}
