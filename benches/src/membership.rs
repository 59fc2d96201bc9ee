//! The hot check beside the bare statement, and what many checks, far pages and bulk loads cost beside one.

mod cached;
mod on_postgres;
mod on_sqlite;

use stoa_membership::{Grant, Import, ImportRow, Role, Scope, UserId};

use crate::{Case, Setup};

/// The one scope with very many members.
const LARGE: &str = "large";

/// Every `LARGE_STEP`th row is a member of it.
const LARGE_STEP: usize = 9;

/// Measures the membership cases.
pub async fn compare(setup: &Setup) -> Vec<Case> {
    let mut cases = on_postgres::compare(setup).await;
    cases.extend(on_sqlite::compare(setup).await);
    cases.extend(cached::compare(setup).await);
    cases
}

/// The row that is looked up at an index: scattered over the table.
fn row(index: usize, rows: usize) -> usize {
    (index * 7919 + 104_729 * (index / rows)) % rows
}

/// The user of a row.
fn user(row: usize) -> UserId {
    UserId::new(format!("user-{row:08}")).expect("an id within the bounds")
}

/// The scope of a row; the next row's is another one.
fn scope(row: usize) -> Scope {
    let id = if row.is_multiple_of(LARGE_STEP) { LARGE.to_owned() } else { format!("group-{:04}", row % 1000) };
    Scope::group(id).expect("an id within the bounds")
}

/// The user and the scope of one row.
fn pair(index: usize, rows: usize) -> (UserId, Scope) {
    let row = row(index, rows);
    (user(row), scope(row))
}

/// A thousand pairs each, scattered over the table: a member, and a user of another scope, in turns.
fn questions(rows: usize) -> Vec<Vec<(UserId, Scope)>> {
    let question = |index| {
        let row = row(index, rows);
        (user(row), scope(row + index % 2))
    };
    (0..200).map(|list| (list * 1000..(list + 1) * 1000).map(question).collect()).collect()
}

/// Says whether these are the answers to one list of [`questions`].
fn are_right(roles: &[Option<Role>]) -> bool {
    roles.len() == 1000 && roles.iter().enumerate().all(|(index, role)| role.is_some() == index.is_multiple_of(2))
}

/// Memberships to load, in no order.
fn import(rows: usize) -> Vec<ImportRow> {
    let grant = Grant::new(Role::new("member").expect("a role within the bounds"));
    (0..rows)
        .map(|index| {
            let (user, scope) = pair(index, rows);
            ImportRow::active(user, scope, grant.clone())
        })
        .collect()
}

/// What a call that takes the rows has to do with them before it reaches the database belongs to the call.
fn prepare(rows: Vec<ImportRow>) -> Import {
    Import::new(rows).expect("distinct rows, not too many")
}
