//! Why something is recommended: kept as a code, so that what it speaks of is checked when it is shown.

use stoa_membership::Scope;

/// The reason of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The person is in this scope, and what is recommended has to do with it.
    In(Scope),
    /// So many people of the person's class, at least, are in it.
    Class(u32),
    /// So many people did something with it and with what the person did something with.
    Together(u32),
    /// It reads like what the person looked at.
    Like,
    /// It reads like what the person says of themselves.
    Profile,
}

impl Why {
    pub(super) fn code(&self) -> String {
        match self {
            Self::In(scope) => format!("in {scope}"),
            Self::Class(people) => format!("class {people}"),
            Self::Together(people) => format!("together {people}"),
            Self::Like => "like".into(),
            Self::Profile => "profile".into(),
        }
    }

    pub(super) fn parse(code: &str) -> Option<Self> {
        match code.split_once(' ') {
            Some(("in", scope)) => Some(Self::In(scope.parse().ok()?)),
            Some(("class", people)) => Some(Self::Class(people.parse().ok()?)),
            Some(("together", people)) => Some(Self::Together(people.parse().ok()?)),
            None if code == "like" => Some(Self::Like),
            None if code == "profile" => Some(Self::Profile),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back() {
        let scope = Scope::group("chess club").unwrap();
        for why in [Why::In(scope), Why::Class(3), Why::Together(2), Why::Like, Why::Profile] {
            assert_eq!(Why::parse(&why.code()), Some(why));
        }
        for code in ["", "in", "in nowhere", "class x", "like it"] {
            assert_eq!(Why::parse(code), None, "{code}");
        }
    }
}
