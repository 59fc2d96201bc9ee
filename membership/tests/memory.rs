//! The laws on the memory backend.

use stoa_membership::{
    By, Grant, Import, ImportRow, Membership, Memory, Role, Scope, Source, UserId, conformance, memory,
};

#[derive(Default)]
struct Harness(memory::Database);

impl conformance::Harness for Harness {
    type Store = Memory;
    type Source = memory::Database;

    fn store(&self) -> Memory {
        Memory
    }

    fn source(&self) -> memory::Database {
        self.0.clone()
    }
}

stoa_membership::conformance!(Harness::default());

#[tokio::test]
async fn the_most_rows_are_one_import() {
    let harness = Harness::default();
    let (membership, by) = (Membership::new(Memory), By::user(&UserId::new("root").unwrap()));
    let mut conn = harness.0.acquire().await.unwrap();
    let row = |number: usize| {
        let (user, scope) = (UserId::new(number.to_string()), Scope::group((number % 100).to_string()));
        ImportRow::active(user.unwrap(), scope.unwrap(), Grant::new(Role::new("owner").unwrap()))
    };
    let import = Import::new((0..100_000).map(row)).unwrap();
    assert_eq!(membership.import(&mut conn, &import, &by).await.unwrap().created, 100_000);
    assert_eq!(membership.import(&mut conn, &import, &by).await.unwrap().unchanged, 100_000);
}
