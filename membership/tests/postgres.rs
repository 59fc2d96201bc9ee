//! The laws on PostgreSQL.

use stoa_membership::postgres::MIGRATOR;
use stoa_membership::{By, Error, Membership, Postgres, Scope, UserId, conformance};

struct Harness(testkit::Postgres);

impl Harness {
    async fn new() -> Self {
        Self(testkit::postgres(&[&MIGRATOR]).await)
    }
}

impl conformance::Harness for Harness {
    type Store = Postgres;
    type Source = sqlx::PgPool;

    fn store(&self) -> Postgres {
        Postgres
    }

    fn source(&self) -> sqlx::PgPool {
        self.0.pool().clone()
    }
}

stoa_membership::conformance!(Harness::new().await);

#[tokio::test]
async fn a_row_that_breaks_the_rules_is_corrupt_and_no_member() {
    let harness = Harness::new().await;
    let (membership, ada) = (Membership::new(Postgres), UserId::new("ada").unwrap());
    let chess = Scope::group("chess").unwrap();
    let mut conn = harness.0.pool().acquire().await.unwrap();
    membership.join(&mut conn, &ada, &chess, &By::user(&ada)).await.unwrap();
    sqlx::raw_sql(
        r"
        ALTER TABLE memberships_membership DROP CONSTRAINT memberships_membership_state_check;
        UPDATE memberships_membership SET state = 'member'
        ",
    )
    .execute(&mut *conn)
    .await
    .unwrap();
    assert!(matches!(membership.is_member(&mut conn, &ada, &chess).await, Err(Error::Corrupt { what: "state" })));
}

#[tokio::test]
async fn what_text_the_server_refuses_is_not_worth_a_retry() {
    let harness = Harness::new().await;
    let refused = sqlx::query("SELECT $1::text").bind("a\0b").execute(harness.0.pool()).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("22021"));
    assert!(!Error::from(refused).is_retryable());
}
