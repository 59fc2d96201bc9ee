//! Which role may what: a static table of bit masks.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::{Domain, Error, Result};

/// Which role grants which capabilities, fixed when the host starts. A clone shares the table.
///
/// ```
/// use stoa_capabilities::Matrix;
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
/// let matrix = Matrix::builder()
///     .role("member").grants([Can::Read, Can::CreatePost])
///     .role("moderator").inherits("member").grants([Can::RemovePost])
///     .role("owner").inherits("moderator")
///     .build()?;
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
    /// Begins an empty matrix.
    pub fn builder() -> MatrixBuilder<D> {
        MatrixBuilder { rules: Vec::new() }
    }

    /// Says whether the role grants the capability: a look-up and an AND. An unknown role grants nothing.
    pub fn allows(&self, role: &str, capability: D) -> bool {
        self.masks.get(role).is_some_and(|mask| mask & bit(capability) != 0)
    }

    /// Says whether the matrix declares the role.
    pub fn has_role(&self, role: &str) -> bool {
        self.masks.contains_key(role)
    }
}

/// A matrix in the making, between two roles. [`Matrix::builder`] begins one.
#[derive(Clone, Debug)]
#[must_use = "a matrix ends with `build`"]
pub struct MatrixBuilder<D> {
    rules: Vec<Rule<D>>,
}

/// A matrix in the making, and the role that [`inherits`](Self::inherits) and [`grants`](Self::grants) speak of.
#[derive(Clone, Debug)]
#[must_use = "a matrix ends with `build`"]
pub struct RoleBuilder<D> {
    earlier: Vec<Rule<D>>,
    rule: Rule<D>,
}

#[derive(Clone, Debug)]
struct Rule<D> {
    role: String,
    parents: Vec<String>,
    granted: Vec<D>,
}

impl<D: Domain> MatrixBuilder<D> {
    /// Declares a role.
    pub fn role(self, name: impl Into<String>) -> RoleBuilder<D> {
        let rule = Rule { role: name.into(), parents: Vec::new(), granted: Vec::new() };
        RoleBuilder { earlier: self.rules, rule }
    }
}

impl<D: Domain> RoleBuilder<D> {
    /// Grants this role everything another one grants, declared before or after it.
    pub fn inherits(mut self, role: impl Into<String>) -> Self {
        self.rule.parents.push(role.into());
        self
    }

    /// Grants this role these capabilities.
    pub fn grants(mut self, capabilities: impl IntoIterator<Item = D>) -> Self {
        self.rule.granted.extend(capabilities);
        self
    }

    /// Declares the next role.
    pub fn role(self, name: impl Into<String>) -> Self {
        MatrixBuilder { rules: self.into_rules() }.role(name)
    }

    /// Compiles the matrix, and refuses one that says something nobody means.
    ///
    /// # Errors
    /// [`Error::DuplicateRole`]; [`Error::UnknownParent`]; [`Error::CyclicRole`]; [`Error::EmptyRole`];
    /// [`Error::UngrantedCapability`].
    pub fn build(self) -> Result<Matrix<D>> {
        let masks = compile(self.into_rules())?;
        if let Some((role, _)) = masks.iter().find(|(_, mask)| **mask == 0) {
            return Err(Error::EmptyRole { role: role.clone() });
        }
        let granted = masks.values().fold(0, |all, mask| all | mask);
        if let Some(unused) = D::ALL.iter().find(|capability| granted & bit(**capability) == 0) {
            return Err(Error::UngrantedCapability { capability: unused.name() });
        }
        Ok(Matrix { masks: Arc::new(masks), domain: PhantomData })
    }

    fn into_rules(self) -> Vec<Rule<D>> {
        let mut rules = self.earlier;
        rules.push(self.rule);
        rules
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
    fn a_role_grants_what_its_ancestors_grant_in_any_order_of_declaration() {
        let matrix = Matrix::builder()
            .role("owner")
            .inherits("admin")
            .role("admin")
            .inherits("reader")
            .inherits("writer")
            .role("writer")
            .grants([Can::Write])
            .role("reader")
            .grants([Can::Read])
            .build()
            .unwrap();
        for role in ["owner", "admin"] {
            assert!(matrix.allows(role, Can::Read) && matrix.allows(role, Can::Write), "{role}");
        }
        assert!(matrix.allows("reader", Can::Read) && !matrix.allows("reader", Can::Write));
        assert!(!matrix.allows("nobody", Can::Read) && !matrix.has_role("nobody"));
    }

    #[test]
    fn a_matrix_that_says_something_nobody_means_is_refused() {
        let all = || Matrix::builder().role("owner").grants([Can::Read, Can::Write]);
        let refusal = |builder: RoleBuilder<Can>| builder.build().unwrap_err().to_string();

        assert_eq!(refusal(all().role("owner")), r#"role "owner" is declared twice"#);
        let unknown = all().role("admin").inherits("Owner");
        assert_eq!(refusal(unknown), r#"role "admin" inherits from "Owner", which is not declared"#);
        assert_eq!(refusal(all().role("guest")), r#"role "guest" grants nothing"#);
        assert_eq!(refusal(all().inherits("owner")), r#"role "owner" inherits from itself"#);
        let cycle = all().role("a").inherits("b").role("b").inherits("c").role("c").inherits("b");
        assert_eq!(refusal(cycle), r#"role "b" inherits from itself"#);
        assert_eq!(refusal(Matrix::builder().role("reader").grants([Can::Read])), "no role grants test.write");
    }
}
