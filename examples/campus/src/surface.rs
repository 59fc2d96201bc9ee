//! What every surface brings. `tests/campus/surfaces.rs` holds it against what there is: nothing belongs to no surface, or to two.

use stoa_audit::Action;

/// A surface: one module of its own tables, statements, service functions, JSON routes and pages.
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// As its module is called.
    pub name: &'static str,
    /// Its own tables.
    pub tables: &'static [&'static str],
    /// The kinds of scopes whose members read it; none if everybody does.
    pub scopes: &'static [&'static str],
    /// Where its documents are found: the name of a surface of `stoa-search`.
    pub documents: Option<&'static str>,
    /// What it writes into the audit log.
    pub actions: &'static [Action],
    /// The kinds of its jobs, each handled by the worker.
    pub jobs: &'static [&'static str],
    /// The capabilities it asks for.
    pub capabilities: &'static [&'static str],
    /// How the paths of its pages and of its JSON routes begin.
    pub paths: &'static [&'static str],
}

/// Every surface of campus.
pub const SURFACES: &[Surface] = &[
    crate::admin::SURFACE,
    crate::announcements::SURFACE,
    crate::calendar::SURFACE,
    crate::directory::SURFACE,
    crate::feed::SURFACE,
    crate::groups::SURFACE,
    crate::notifications::SURFACE,
    crate::openings::SURFACE,
    crate::recommender::SURFACE,
    crate::marketplace::SURFACE,
    crate::mentorship::SURFACE,
    crate::staff::SURFACE,
    crate::assistant::SURFACE,
    crate::whatsapp::SURFACE,
];
