//! A check on a loaded role, and a proof in a transaction.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::time::Instant;

use sqlx::{Connection, PgConnection};
use stoa_capabilities::{Capabilities, Facts, Matrix, Rule, scoped};
use stoa_membership::{self as membership, By, Grant, Import, ImportRow, Membership, Postgres, Role, Scope, UserId};
use testkit::{Cluster, Durability};

use crate::case::Target;
use crate::timing::{median, percentile};
use crate::{Case, Setup};

stoa_capabilities::capabilities! {
    /// What the bench asks for.
    pub enum BenchCapability {
        /// Granted to members.
        Read = "bench.read",
        /// Granted to members.
        Write = "bench.write",
        /// Granted to admins.
        Ban = "bench.ban",
        /// Granted to owners.
        Close = "bench.close",
    }
}

/// The matrix that the benches ask.
///
/// # Panics
/// Never: the matrix is sound.
pub fn matrix() -> Matrix<BenchCapability> {
    let matrix = Matrix::new([
        Rule::new("member").grants([BenchCapability::Read, BenchCapability::Write]),
        Rule::new("admin").inherits("member").grants([BenchCapability::Ban]),
        Rule::new("owner").inherits("admin").grants([BenchCapability::Close]),
    ]);
    matrix.expect("a sound matrix")
}

/// Measures the capability cases.
pub async fn compare(setup: &Setup) -> Vec<Case> {
    vec![check(setup), authorize(setup).await]
}

fn check(setup: &Setup) -> Case {
    let matrix = matrix();
    let mut sets: HashMap<&str, HashSet<BenchCapability>> = HashMap::new();
    for role in ["member", "admin", "owner"] {
        let all = [BenchCapability::Read, BenchCapability::Write, BenchCapability::Ban, BenchCapability::Close];
        sets.insert(role, all.into_iter().filter(|&capability| matrix.allows(role, capability)).collect());
    }
    let calls = setup.size(10_000_000, 100_000);
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..setup.rounds() {
        ours.push(nanoseconds(calls, || matrix.allows(black_box("admin"), black_box(BenchCapability::Ban))));
        baseline.push(nanoseconds(calls, || sets[black_box("admin")].contains(black_box(&BenchCapability::Ban))));
    }
    let case = Case::absolute("capabilities.check_ns", median(ours), "ns", Target::AtMost(20.0));
    case.beside("HashMap of HashSets", median(baseline))
}

/// The facts of `stoa-membership`, as a host wires them.
struct MemberFacts(Membership<Postgres>);

impl Facts for MemberFacts {
    type Connection = PgConnection;
    type Actor = UserId;
    type Scope = Scope;
    type Role = Role;
    type Error = stoa_membership::Error;

    async fn role(&self, conn: &mut PgConnection, actor: &UserId, scope: &Scope) -> membership::Result<Option<Role>> {
        self.0.role(conn, actor, scope).await
    }

    async fn role_many(
        &self,
        conn: &mut PgConnection,
        actor: &UserId,
        scopes: &[Scope],
    ) -> membership::Result<Vec<Option<Role>>> {
        let pairs: Vec<_> = scopes.iter().map(|scope| (actor.clone(), scope.clone())).collect();
        self.0.check_many(conn, &pairs).await
    }

    async fn hold(&self, conn: &mut PgConnection, actor: &UserId, scope: &Scope) -> membership::Result<Option<Role>> {
        self.0.hold(conn, actor, scope).await
    }
}

/// Each proof and each read is the first statement of a transaction of its own on a row of its own, as in a host.
async fn authorize(setup: &Setup) -> Case {
    let rows = setup.size(100_000, 2_000);
    let cluster = Cluster::start(Durability::Durable);
    let pool = sqlx::PgPool::connect(&cluster.url("postgres")).await.expect("the server answers");
    membership::postgres::MIGRATOR.run(&pool).await.expect("the schema is sound");
    let membership = Membership::new(Postgres);
    let chess = Scope::group("chess").expect("an id within the bounds");
    let user = |row: usize| UserId::new(format!("user-{row:08}")).expect("an id within the bounds");
    let member = Grant::new(Role::new("admin").expect("a name within the bounds"));
    let import = Import::new((0..rows).map(|row| ImportRow::active(user(row), chess.clone(), member.clone())));
    let mut conn = PgConnection::connect(&cluster.url("postgres")).await.expect("the server answers");
    let import = import.expect("distinct rows");
    membership.import(&mut conn, &import, &By::user(&user(0))).await.expect("the rows fit");
    sqlx::query("VACUUM ANALYZE memberships_membership").execute(&mut conn).await.expect("the table is there");

    // Only the statements are timed. A proof locks a row, so its commit would wait for the disk, and what is timed after
    // that begins on a cold processor: always the read.
    sqlx::query("SET synchronous_commit = off").execute(&mut conn).await.expect("the server answers");
    let capabilities = Capabilities::new(MemberFacts(membership), matrix());
    let calls = setup.size(2000, 200);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..=setup.rounds() {
        let (mut proofs, mut reads) = (Vec::new(), Vec::new());
        for call in 0..calls {
            let user = user((round * calls + call) * 7919 % rows);
            scoped!(tx = conn.begin().await.expect("the server answers"));
            let started = Instant::now();
            let may = capabilities.authorize(&mut tx, Ban, &user, &chess).await;
            proofs.push(started.elapsed());
            drop(may.expect("an admin may"));
            tx.into_inner().commit().await.expect("the server answers");

            let mut tx = conn.begin().await.expect("the server answers");
            let started = Instant::now();
            let row = sqlx::query(
                "SELECT role, state, expires_at, version FROM memberships_membership WHERE user_id = $1 AND scope_type = $2 AND scope_id = $3",
            )
            .bind(user.as_str())
            .bind(chess.kind().as_str())
            .bind(chess.id().as_str())
            .fetch_one(&mut *tx)
            .await;
            reads.push(started.elapsed());
            row.expect("the row is there");
            tx.commit().await.expect("the server answers");
        }
        // The first round warms up.
        if round > 0 {
            ours.push(percentile(proofs, 50));
            bare.push(percentile(reads, 50));
        }
    }
    let (name, baseline) = ("capabilities.authorize_vs_read", "bare prepared SELECT in a transaction");
    Case::ratio(name, median(ours), "us", baseline, median(bare), Target::AtMost(1.3)).note(format!("{rows} rows"))
}

fn nanoseconds(calls: usize, check: impl Fn() -> bool) -> f64 {
    let started = Instant::now();
    for _ in 0..calls {
        assert!(black_box(check()));
    }
    started.elapsed().as_secs_f64() * 1e9 / calls as f64
}
