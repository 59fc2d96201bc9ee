//! The laws of `stoa-capabilities` for the facts of campus: what the capability checks are told is what the memberships say.

use campus::access::MemberFacts;
use campus::app::App;
use campus::backend::Backend;
use stoa_capabilities::conformance;
use stoa_membership::{By, Scope, UserId};

use crate::fixture::{Fixture, OnPostgres, OnSqlite};

/// Roles end by a ban, or else by leaving.
struct Harness<F: Fixture, const BANS: bool> {
    app: App<F::Backend>,
    _fixture: F,
}

impl<F: Fixture, const BANS: bool> Harness<F, BANS> {
    async fn new() -> Self {
        let fixture = F::empty().await;
        Self { app: App::open(fixture.backend()).await.unwrap(), _fixture: fixture }
    }
}

impl<F: Fixture, const BANS: bool> conformance::Harness for Harness<F, BANS> {
    type Facts = MemberFacts<<F::Backend as Backend>::Membership>;
    type Transaction = <F::Backend as Backend>::Transaction;
    const CONCURRENT_WRITERS: bool = F::CONCURRENT_WRITERS;

    fn facts(&self) -> Self::Facts {
        MemberFacts(self.app.membership.clone())
    }

    fn actor(&self, name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn scope(&self, name: &str) -> Scope {
        Scope::group(name).unwrap()
    }

    async fn begin(&self) -> Self::Transaction {
        self.app.begin().await.unwrap()
    }

    async fn commit(&self, tx: Self::Transaction) {
        self.app.commit(tx).await.unwrap();
    }

    async fn grant(&self, conn: &mut <F::Backend as Backend>::Connection, actor: &UserId, scope: &Scope) {
        self.app.membership.join(conn, actor, scope, &By::user(actor)).await.unwrap();
    }

    async fn revoke(&self, conn: &mut <F::Backend as Backend>::Connection, actor: &UserId, scope: &Scope) {
        let membership = &self.app.membership;
        if BANS {
            membership.ban(conn, actor, scope, &By::user(&self.actor("moderator"))).await.unwrap();
        } else {
            membership.leave(conn, actor, scope, &By::user(actor)).await.unwrap();
        }
    }
}

macro_rules! laws {
    ($($module:ident: $fixture:ident, $bans:literal;)*) => {
        $(
            mod $module {
                use super::*;
                stoa_capabilities::conformance!(Harness::<$fixture, $bans>::new().await);
            }
        )*
    };
}

laws! {
    on_sqlite_when_members_leave: OnSqlite, false;
    on_sqlite_when_members_are_banned: OnSqlite, true;
    on_postgres_when_members_leave: OnPostgres, false;
    on_postgres_when_members_are_banned: OnPostgres, true;
}
