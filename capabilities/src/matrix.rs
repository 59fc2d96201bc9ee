//! Which role may what: a static table of bit masks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::{Domain, Error, Result};

/// Which role grants which capabilities, fixed when the host starts. A clone shares the table.
///
/// ```
/// use stoa_capabilities::{Matrix, Rule};
/// # stoa_capabilities::capabilities! {
/// #     /// What one may do in a group.
/// #     pub enum GroupCapability {
/// #         /// Read its posts.
/// #         Read = "group.read",
/// #         /// Write a post.
/// #         CreatePost = "group.post.create",
/// #         /// Take a post down.
/// #         RemovePost = "group.post.remove",
/// #     }
/// # }
/// use GroupCapability as Can;
///
/// # fn main() -> Result<(), stoa_capabilities::Error> {
/// let matrix = Matrix::new([
///     Rule::new("member").grants([Can::Read, Can::CreatePost]),
///     Rule::new("moderator").inherits("member").grants([Can::RemovePost]),
///     Rule::new("owner").inherits("moderator"),
/// ])?;
/// assert!(matrix.allows("owner", Can::CreatePost));
/// assert!(!matrix.allows("member", Can::RemovePost));
/// assert!(!matrix.allows("Owner", Can::Read), "roles are compared as bytes");
/// # Ok(())
/// # }
/// ```
///
/// A role *outranks* those it inherits from, and those its rule [`outranks`](Rule::outranks), directly or through others.
#[derive(Clone, Debug)]
pub struct Matrix<D> {
    roles: Arc<BTreeMap<String, Row>>,
    version: Version,
    domain: PhantomData<D>,
}

/// What one role may; sets of capabilities are bits of [`Domain::index`].
#[derive(Clone, Debug, Default)]
struct Row {
    /// What its own rule grants.
    granted: u128,
    /// What its own rule denies.
    denied: u128,
    /// All that is granted to it or to a role it inherits from, and denied to none of them.
    allowed: u128,
    /// The roles it inherits from, directly or through others.
    inherited: BTreeSet<String>,
    /// The roles it outranks: those, and others.
    below: BTreeSet<String>,
}

impl<D: Domain> Matrix<D> {
    /// Compiles the rules, and refuses a matrix that says something nobody means.
    ///
    /// # Errors
    /// [`Error::DuplicateRole`]; [`Error::InvalidRole`]; [`Error::UnknownParent`]; [`Error::CyclicRole`];
    /// [`Error::EmptyRole`]; [`Error::UngrantedCapability`].
    pub fn new(rules: impl IntoIterator<Item = Rule<D>>) -> Result<Self> {
        let roles = compile(rules.into_iter().collect())?;
        if let Some((role, _)) = roles.iter().find(|(_, row)| row.allowed == 0) {
            return Err(Error::EmptyRole { role: role.clone() });
        }
        let allowed = roles.values().fold(0, |all, row| all | row.allowed);
        if let Some(unused) = D::ALL.iter().find(|capability| allowed & bit(**capability) == 0) {
            return Err(Error::UngrantedCapability { capability: unused.name() });
        }
        let mut matrix = Self { roles: Arc::new(roles), version: Version(0), domain: PhantomData };
        matrix.version = Version(crc32fast::hash(matrix.to_string().as_bytes()));
        Ok(matrix)
    }

    /// Says whether the role grants the capability: a look-up and an AND. An unknown role grants nothing.
    pub fn allows(&self, role: &str, capability: D) -> bool {
        self.roles.get(role).is_some_and(|row| row.allowed & bit(capability) != 0)
    }

    /// Says the same as [`allows`](Self::allows), and why.
    pub fn explain(&self, role: Option<&str>, capability: D) -> Explanation {
        let Some(role) = role else { return Explanation::NoRole };
        let Some(row) = self.roles.get(role) else { return Explanation::UnknownRole { role: role.to_owned() } };
        let rules = || std::iter::once(role).chain(row.inherited.iter().map(String::as_str));
        let rule_with = |mask: fn(&Row) -> u128| rules().find(|rule| mask(&self.roles[*rule]) & bit(capability) != 0);
        let role = role.to_owned();
        if let Some(rule) = rule_with(|row| row.denied) {
            Explanation::Denied { role, rule: rule.to_owned() }
        } else if let Some(rule) = rule_with(|row| row.granted) {
            Explanation::Granted { role, rule: rule.to_owned() }
        } else {
            Explanation::NotGranted { role }
        }
    }

    /// Says whether the matrix has a rule for the role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.contains_key(role)
    }

    /// Says whether the role stands above the other. A role does not outrank itself, nor one that the matrix does not know.
    pub fn outranks(&self, role: &str, other: &str) -> bool {
        self.roles.get(role).is_some_and(|row| row.below.contains(other))
    }

    /// Says whether whoever has the role may give the other to somebody: it is the same or below, and allows nothing more.
    pub fn may_grant(&self, role: &str, other: &str) -> bool {
        let (Some(row), Some(given)) = (self.roles.get(role), self.roles.get(other)) else { return false };
        (role == other || row.below.contains(other)) && given.allowed & !row.allowed == 0
    }

    /// Returns a number that changes with whatever the matrix says, for logs and records.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Compares the matrix with what [`Display`](fmt::Display) once printed: an empty text if they are equal, otherwise the lines
    /// that are gone, with `-`, and the new ones, with `+`.
    ///
    /// Keep that text in a file, and a change of who may what is a change of a file that somebody reviews:
    ///
    /// ```
    /// # use stoa_capabilities::{Matrix, Rule};
    /// # stoa_capabilities::capabilities! { enum Can { Read = "group.read" } }
    /// let matrix = Matrix::new([Rule::new("member").grants([Can::Read])])?;
    /// let golden = "member may group.read\n"; // include_str!("matrix.txt")
    /// assert_eq!(matrix.diff(golden), "");
    /// # Ok::<(), stoa_capabilities::Error>(())
    /// ```
    pub fn diff(&self, golden: &str) -> String {
        let current = self.to_string();
        let (old, new): (Vec<_>, Vec<_>) = (golden.lines().collect(), current.lines().collect());
        let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("-{line}\n"));
        let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+{line}\n"));
        gone.chain(come).collect()
    }
}

/// One line for each role above another, each capability a role has, and each that is denied to it; in the order of the roles'
/// names, then of the declaration.
impl<D: Domain> fmt::Display for Matrix<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (role, row) in &*self.roles {
            for below in &row.below {
                writeln!(formatter, "{role} outranks {below}")?;
            }
            for &capability in D::ALL {
                match self.explain(Some(role), capability) {
                    Explanation::Granted { .. } => writeln!(formatter, "{role} may {capability}")?,
                    Explanation::Denied { .. } => writeln!(formatter, "{role} must not {capability}")?,
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// The version of a [`Matrix`]: eight hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u32);

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}", self.0)
    }
}

/// Why a role may, or may not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// A rule grants it: the role's own, or that of a role it inherits from.
    Granted {
        /// The role.
        role: String,
        /// Whose rule.
        rule: String,
    },
    /// A rule denies it, which counts more than any grant.
    Denied {
        /// The role.
        role: String,
        /// Whose rule.
        rule: String,
    },
    /// No rule grants it to the role.
    NotGranted {
        /// The role.
        role: String,
    },
    /// The matrix has no rule for the role.
    UnknownRole {
        /// The role.
        role: String,
    },
    /// The actor has no role in the scope.
    NoRole,
}

impl Explanation {
    /// Says whether the answer is yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Granted { .. })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted { role, rule } if role == rule => formatter.write_str("the role grants it"),
            Self::Granted { rule, .. } => write!(formatter, "the role inherits it from {rule:?}"),
            Self::Denied { role, rule } if role == rule => formatter.write_str("the role denies it"),
            Self::Denied { rule, .. } => write!(formatter, "the role inherits its denial from {rule:?}"),
            Self::NotGranted { .. } => formatter.write_str("the role does not grant it"),
            Self::UnknownRole { .. } => formatter.write_str("the matrix does not know the role"),
            Self::NoRole => formatter.write_str("no role in the scope"),
        }
    }
}

/// What one role grants.
#[derive(Clone, Debug)]
#[must_use = "a rule counts in a matrix"]
pub struct Rule<D> {
    role: String,
    parents: Vec<String>,
    below: Vec<String>,
    granted: Vec<D>,
    denied: Vec<D>,
}

impl<D: Domain> Rule<D> {
    /// Begins the rule of a role.
    pub fn new(role: impl Into<String>) -> Self {
        Self { role: role.into(), parents: Vec::new(), below: Vec::new(), granted: Vec::new(), denied: Vec::new() }
    }

    /// Grants everything another role grants, wherever in the matrix its rule stands.
    pub fn inherits(mut self, role: impl Into<String>) -> Self {
        self.parents.push(role.into());
        self
    }

    /// Stands above another role without what that one is granted or denied: an admin above whoever is muted.
    pub fn outranks(mut self, role: impl Into<String>) -> Self {
        self.below.push(role.into());
        self
    }

    /// Grants these capabilities.
    pub fn grants(mut self, capabilities: impl IntoIterator<Item = D>) -> Self {
        self.granted.extend(capabilities);
        self
    }

    /// Denies these capabilities to the role and to all that inherit from it, whatever is granted to them and wherever.
    pub fn denies(mut self, capabilities: impl IntoIterator<Item = D>) -> Self {
        self.denied.extend(capabilities);
        self
    }

    /// The roles it names: all of them are below it.
    fn references(&self) -> impl Iterator<Item = &String> {
        self.parents.iter().chain(&self.below)
    }
}

/// Resolves inheritance and rank: a role is done when all that its rule names are.
fn compile<D: Domain>(mut open: Vec<Rule<D>>) -> Result<BTreeMap<String, Row>> {
    refuse_duplicates(&open)?;
    refuse_invalid_names(&open)?;
    refuse_unknown_parents(&open)?;
    let mut roles: BTreeMap<String, Row> = BTreeMap::new();
    while !open.is_empty() {
        let count = open.len();
        open.retain(|rule| {
            if !rule.references().all(|role| roles.contains_key(role)) {
                return true;
            }
            roles.insert(rule.role.clone(), row(rule, &roles));
            false
        });
        if open.len() == count {
            return Err(Error::CyclicRole { role: role_in_a_cycle(&open) });
        }
    }
    Ok(roles)
}

fn row<D: Domain>(rule: &Rule<D>, roles: &BTreeMap<String, Row>) -> Row {
    let mut inherited: BTreeSet<String> = rule.parents.iter().cloned().collect();
    inherited.extend(rule.parents.iter().flat_map(|parent| roles[parent].inherited.iter().cloned()));
    let mut below: BTreeSet<String> = rule.references().cloned().collect();
    below.extend(rule.references().flat_map(|role| roles[role].below.iter().cloned()));
    let (granted, denied) = (mask(&rule.granted), mask(&rule.denied));
    let all_granted = inherited.iter().fold(granted, |all, role| all | roles[role].granted);
    let all_denied = inherited.iter().fold(denied, |all, role| all | roles[role].denied);
    Row { granted, denied, allowed: all_granted & !all_denied, inherited, below }
}

fn mask<D: Domain>(capabilities: &[D]) -> u128 {
    capabilities.iter().fold(0, |mask, capability| mask | bit(*capability))
}

fn refuse_duplicates<D>(rules: &[Rule<D>]) -> Result<()> {
    for (index, rule) in rules.iter().enumerate() {
        if rules[..index].iter().any(|earlier| earlier.role == rule.role) {
            return Err(Error::DuplicateRole { role: rule.role.clone() });
        }
    }
    Ok(())
}

/// A line break in a name could forge a line of what a matrix prints.
fn refuse_invalid_names<D>(rules: &[Rule<D>]) -> Result<()> {
    let is_invalid = |role: &String| role.is_empty() || role.chars().any(char::is_control);
    match rules.iter().find(|rule| is_invalid(&rule.role)) {
        Some(rule) => Err(Error::InvalidRole { role: rule.role.clone() }),
        None => Ok(()),
    }
}

fn refuse_unknown_parents<D: Domain>(rules: &[Rule<D>]) -> Result<()> {
    for rule in rules {
        if let Some(parent) = rule.references().find(|parent| rules.iter().all(|rule| rule.role != **parent)) {
            return Err(Error::UnknownParent { role: rule.role.clone(), parent: parent.clone() });
        }
    }
    Ok(())
}

/// Names a role that inherits from itself, not one that merely inherits from such a role: whoever walks up as often as there
/// are open rules has entered the cycle.
fn role_in_a_cycle<D: Domain>(open: &[Rule<D>]) -> String {
    let mut rule = &open[0];
    for _ in open {
        rule = open.iter().find(|parent| rule.references().any(|role| *role == parent.role)).unwrap_or(rule);
    }
    rule.role.clone()
}

/// No bit at all for an index beyond the mask, which only a hand-written domain can have: nobody gets it, and `new` says so.
fn bit<D: Domain>(capability: D) -> u128 {
    1_u128.checked_shl(capability.index()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::capabilities! {
        /// What one may do in a test.
        enum Can {
            /// The first.
            Read = "test.read",
            /// The second.
            Write = "test.write",
        }
    }

    #[test]
    fn a_role_grants_what_its_ancestors_grant_in_any_order_of_the_rules() {
        let matrix = Matrix::new([
            Rule::new("owner").inherits("admin"),
            Rule::new("admin").inherits("reader").inherits("writer"),
            Rule::new("writer").grants([Can::Write]),
            Rule::new("reader").grants([Can::Read]),
        ])
        .unwrap();
        for role in ["owner", "admin"] {
            assert!(matrix.allows(role, Can::Read) && matrix.allows(role, Can::Write), "{role}");
        }
        assert!(matrix.allows("reader", Can::Read) && !matrix.allows("reader", Can::Write));
        assert!(!matrix.allows("nobody", Can::Read) && !matrix.has_role("nobody"));
    }

    #[test]
    fn a_denial_counts_more_than_any_grant_in_any_order_of_the_rules() {
        let rules = [
            Rule::new("owner").inherits("suspended").grants([Can::Read, Can::Write]),
            Rule::new("suspended").inherits("reader").denies([Can::Write]),
            Rule::new("reader").grants([Can::Read]),
            Rule::new("writer").grants([Can::Write]),
        ];
        for turn in 0..rules.len() {
            let mut rules = rules.clone();
            rules.rotate_left(turn);
            let matrix = Matrix::new(rules).unwrap();
            assert!(matrix.allows("owner", Can::Read) && !matrix.allows("owner", Can::Write));
            assert!(matrix.allows("writer", Can::Write));
            let why = matrix.explain(Some("owner"), Can::Write);
            assert_eq!(why, Explanation::Denied { role: "owner".to_owned(), rule: "suspended".to_owned() });
        }
    }

    /// Every role, state of knowledge and capability: the answer and its reason never part.
    #[test]
    fn explain_agrees_with_allows() {
        let matrix = Matrix::new([
            Rule::new("reader").grants([Can::Read]),
            Rule::new("editor").inherits("reader").grants([Can::Write]),
            Rule::new("muted").inherits("editor").denies([Can::Write]),
        ])
        .unwrap();
        let mut reasons = Vec::new();
        for role in [None, Some("reader"), Some("editor"), Some("muted"), Some("ghost")] {
            for &capability in Can::ALL {
                let why = matrix.explain(role, capability);
                assert_eq!(why.is_allowed(), role.is_some_and(|role| matrix.allows(role, capability)));
                reasons.push(why.to_string());
            }
        }
        assert_eq!(
            reasons,
            [
                "no role in the scope",
                "no role in the scope",
                "the role grants it",
                "the role does not grant it",
                r#"the role inherits it from "reader""#,
                "the role grants it",
                r#"the role inherits it from "reader""#,
                "the role denies it",
                "the matrix does not know the role",
                "the matrix does not know the role",
            ]
        );
    }

    #[test]
    fn a_role_outranks_what_it_inherits_from_and_grants_what_it_covers() {
        let matrix = Matrix::new([
            Rule::new("member").grants([Can::Read]),
            Rule::new("admin").inherits("member").grants([Can::Write]),
            Rule::new("owner").inherits("admin"),
            Rule::new("restricted").inherits("admin").denies([Can::Write]),
            Rule::new("staff").outranks("restricted").grants([Can::Read]),
        ])
        .unwrap();
        assert!(matrix.outranks("staff", "restricted") && matrix.outranks("staff", "admin"));
        assert!(!matrix.allows("staff", Can::Write) && !matrix.may_grant("staff", "admin"));
        assert!(matrix.outranks("owner", "admin") && matrix.outranks("owner", "member"));
        for (role, other) in [("admin", "owner"), ("owner", "owner"), ("owner", "ghost"), ("ghost", "member")] {
            assert!(!matrix.outranks(role, other), "{role} {other}");
        }
        assert!(matrix.may_grant("owner", "owner") && matrix.may_grant("admin", "member"));
        assert!(!matrix.may_grant("admin", "owner"), "above one's own");
        assert!(!matrix.may_grant("restricted", "admin"), "below, but allowing more");
        assert!(!matrix.may_grant("owner", "ghost"));
    }

    #[test]
    fn a_matrix_prints_what_it_says_and_shows_what_changed() {
        let member = || Rule::new("member").grants([Can::Read]);
        let old = Matrix::new([member(), Rule::new("owner").inherits("member").grants([Can::Write])]).unwrap();
        let golden = "member may test.read\nowner outranks member\nowner may test.read\nowner may test.write\n";
        assert_eq!(old.to_string(), golden);
        assert_eq!(old.diff(golden), "");
        let new = Matrix::new([
            Rule::new("writer").grants([Can::Write]),
            member(),
            Rule::new("owner").inherits("member").denies([Can::Write]),
        ])
        .unwrap();
        assert_eq!(new.diff(golden), "-owner may test.write\n+owner must not test.write\n+writer may test.write\n");
        assert_ne!(new.version(), old.version());
        assert_eq!(old.version().to_string(), format!("{:08x}", crc32fast::hash(golden.as_bytes())));
    }

    #[test]
    fn a_matrix_that_says_something_nobody_means_is_refused() {
        let owner = || Rule::new("owner").grants([Can::Read, Can::Write]);
        let refused = |rules: &[Rule<Can>]| Matrix::new(rules.to_vec()).unwrap_err().to_string();

        assert_eq!(refused(&[owner(), owner()]), r#"role "owner" has two rules"#);
        assert_eq!(
            refused(&[owner(), Rule::new("admin").inherits("Owner")]),
            r#"role "admin" names "Owner", which has no rule"#
        );
        assert_eq!(refused(&[owner(), Rule::new("guest")]), r#"role "guest" grants nothing"#);
        let muted = Rule::new("muted").inherits("owner").denies([Can::Read, Can::Write]);
        assert_eq!(refused(&[owner(), muted]), r#"role "muted" grants nothing"#);
        assert_eq!(
            refused(&[owner(), Rule::new("a\nb").grants([Can::Read])]),
            r#"role "a\nb" is empty or holds a control character"#
        );
        assert_eq!(refused(&[owner().inherits("owner")]), r#"role "owner" stands above itself"#);
        let above_each_other = [Rule::new("a").outranks("b"), Rule::new("b").outranks("a")];
        assert_eq!(
            refused(&[owner(), above_each_other[0].clone(), above_each_other[1].clone()]),
            r#"role "a" stands above itself"#
        );
        let cycle = [Rule::new("b").inherits("c"), Rule::new("c").inherits("b")];
        assert_eq!(
            refused(&[owner(), Rule::new("a").inherits("b"), cycle[0].clone(), cycle[1].clone()]),
            r#"role "b" stands above itself"#
        );
        assert_eq!(refused(&[Rule::new("reader").grants([Can::Read])]), "no role grants test.write");
        assert_eq!(refused(&[]), "no role grants test.read");
    }
}
