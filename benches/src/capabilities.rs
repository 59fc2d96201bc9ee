//! A check on a loaded role.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::time::Instant;

use stoa_capabilities::{Matrix, Rule};

use crate::case::Target;
use crate::timing::median;
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
pub fn compare(setup: &Setup) -> Vec<Case> {
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
    vec![case.beside("HashMap of HashSets", median(baseline))]
}

fn nanoseconds(calls: usize, check: impl Fn() -> bool) -> f64 {
    let started = Instant::now();
    for _ in 0..calls {
        assert!(black_box(check()));
    }
    started.elapsed().as_secs_f64() * 1e9 / calls as f64
}
