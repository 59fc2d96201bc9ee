//! What can go wrong.

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no answer, no proof or no matrix.
///
/// All but the last two come from [`Matrix::new`](crate::Matrix::new) only: a host meets them when it starts, or never.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A role inherits from itself or outranks itself, directly or through others.
    #[error("role {role:?} stands above itself")]
    CyclicRole {
        /// One role of the cycle.
        role: String,
    },
    /// A role has two rules.
    #[error("role {role:?} has two rules")]
    DuplicateRole {
        /// The role.
        role: String,
    },
    /// A role grants nothing, neither itself nor by inheritance.
    #[error("role {role:?} grants nothing")]
    EmptyRole {
        /// The role.
        role: String,
    },
    /// A role's name is empty or holds a control character.
    #[error("role {role:?} is empty or holds a control character")]
    InvalidRole {
        /// The role.
        role: String,
    },
    /// No role grants a capability, so nobody could ever use it.
    #[error("no role grants {capability}")]
    UngrantedCapability {
        /// The name of the capability.
        capability: &'static str,
    },
    /// A role inherits from or outranks one without a rule.
    #[error("role {role:?} names {parent:?}, which has no rule")]
    UnknownParent {
        /// The role.
        role: String,
        /// What it names.
        parent: String,
    },
    /// The actor may not. It says neither why nor whether the scope exists: the log does.
    #[error("not allowed")]
    Denied,
    /// The facts could not be read. The source is the [`Facts::Error`](crate::Facts::Error), which also knows whether to retry.
    #[error("the facts could not be read")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}
