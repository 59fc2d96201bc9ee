//! Which role may what: a static table of bit masks.

use std::collections::BTreeMap;
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
#[derive(Clone, Debug)]
pub struct Matrix<D> {
    /// For each role the capabilities it grants, as bits of [`Domain::index`].
    masks: Arc<BTreeMap<String, u128>>,
    domain: PhantomData<D>,
}

impl<D: Domain> Matrix<D> {
    /// Compiles the rules, and refuses a matrix that says something nobody means.
    ///
    /// # Errors
    /// [`Error::DuplicateRole`]; [`Error::UnknownParent`]; [`Error::CyclicRole`]; [`Error::EmptyRole`];
    /// [`Error::UngrantedCapability`].
    pub fn new(rules: impl IntoIterator<Item = Rule<D>>) -> Result<Self> {
        let masks = compile(rules.into_iter().collect())?;
        if let Some((role, _)) = masks.iter().find(|(_, mask)| **mask == 0) {
            return Err(Error::EmptyRole { role: role.clone() });
        }
        let granted = masks.values().fold(0, |all, mask| all | mask);
        if let Some(unused) = D::ALL.iter().find(|capability| granted & bit(**capability) == 0) {
            return Err(Error::UngrantedCapability { capability: unused.name() });
        }
        Ok(Self { masks: Arc::new(masks), domain: PhantomData })
    }

    /// Says whether the role grants the capability: a look-up and an AND. An unknown role grants nothing.
    pub fn allows(&self, role: &str, capability: D) -> bool {
        self.masks.get(role).is_some_and(|mask| mask & bit(capability) != 0)
    }

    /// Says whether the matrix has a rule for the role.
    pub fn has_role(&self, role: &str) -> bool {
        self.masks.contains_key(role)
    }
}

/// What one role grants.
#[derive(Clone, Debug)]
#[must_use = "a rule counts in a matrix"]
pub struct Rule<D> {
    role: String,
    parents: Vec<String>,
    granted: Vec<D>,
}

impl<D: Domain> Rule<D> {
    /// Begins the rule of a role.
    pub fn new(role: impl Into<String>) -> Self {
        Self { role: role.into(), parents: Vec::new(), granted: Vec::new() }
    }

    /// Grants everything another role grants, wherever in the matrix its rule stands.
    pub fn inherits(mut self, role: impl Into<String>) -> Self {
        self.parents.push(role.into());
        self
    }

    /// Grants these capabilities.
    pub fn grants(mut self, capabilities: impl IntoIterator<Item = D>) -> Self {
        self.granted.extend(capabilities);
        self
    }
}

/// Resolves inheritance: a role is done when all its parents are.
fn compile<D: Domain>(mut open: Vec<Rule<D>>) -> Result<BTreeMap<String, u128>> {
    refuse_duplicates(&open)?;
    refuse_unknown_parents(&open)?;
    let mut masks = BTreeMap::new();
    while !open.is_empty() {
        let count = open.len();
        open.retain(|rule| {
            let inherited = rule.parents.iter().try_fold(0, |all, parent| Some(all | masks.get(parent)?));
            let Some(inherited) = inherited else { return true };
            masks.insert(rule.role.clone(), rule.granted.iter().fold(inherited, |mask, it| mask | bit(*it)));
            false
        });
        if open.len() == count {
            return Err(Error::CyclicRole { role: role_in_a_cycle(&open) });
        }
    }
    Ok(masks)
}

fn refuse_duplicates<D>(rules: &[Rule<D>]) -> Result<()> {
    for (index, rule) in rules.iter().enumerate() {
        if rules[..index].iter().any(|earlier| earlier.role == rule.role) {
            return Err(Error::DuplicateRole { role: rule.role.clone() });
        }
    }
    Ok(())
}

fn refuse_unknown_parents<D>(rules: &[Rule<D>]) -> Result<()> {
    for rule in rules {
        if let Some(parent) = rule.parents.iter().find(|parent| rules.iter().all(|rule| rule.role != **parent)) {
            return Err(Error::UnknownParent { role: rule.role.clone(), parent: parent.clone() });
        }
    }
    Ok(())
}

/// Names a role that inherits from itself, not one that merely inherits from such a role: whoever walks up as often as there
/// are open rules has entered the cycle.
fn role_in_a_cycle<D>(open: &[Rule<D>]) -> String {
    let mut rule = &open[0];
    for _ in open {
        rule = open.iter().find(|parent| rule.parents.contains(&parent.role)).unwrap_or(rule);
    }
    rule.role.clone()
}

fn bit<D: Domain>(capability: D) -> u128 {
    1 << capability.index()
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
    fn a_matrix_that_says_something_nobody_means_is_refused() {
        let owner = || Rule::new("owner").grants([Can::Read, Can::Write]);
        let refused = |rules: &[Rule<Can>]| Matrix::new(rules.to_vec()).unwrap_err().to_string();

        assert_eq!(refused(&[owner(), owner()]), r#"role "owner" has two rules"#);
        assert_eq!(
            refused(&[owner(), Rule::new("admin").inherits("Owner")]),
            r#"role "admin" inherits from "Owner", which has no rule"#
        );
        assert_eq!(refused(&[owner(), Rule::new("guest")]), r#"role "guest" grants nothing"#);
        assert_eq!(refused(&[owner().inherits("owner")]), r#"role "owner" inherits from itself"#);
        let cycle = [Rule::new("b").inherits("c"), Rule::new("c").inherits("b")];
        assert_eq!(
            refused(&[owner(), Rule::new("a").inherits("b"), cycle[0].clone(), cycle[1].clone()]),
            r#"role "b" inherits from itself"#
        );
        assert_eq!(refused(&[Rule::new("reader").grants([Can::Read])]), "no role grants test.write");
        assert_eq!(refused(&[]), "no role grants test.read");
    }
}
