//! The contract between the recommender stores and a database.

use std::time::Duration;

use super::{Candidate, Recorded, Signal};
use crate::audience::Audience;
use crate::error::Result;
use crate::id::{Surface, UserId};

/// What a backend of [`SignalRecorder`](super::SignalRecorder) and [`CandidateStore`](super::CandidateStore) promises: the contract of
/// [`Store`](crate::Store), for other tables.
pub trait Store: crate::Store {
    /// Adds signals whose keys are not there yet; answers how many. They come in ascending order of keys, no two the same.
    fn record(&self, conn: &mut Self::Connection, signals: &[&Signal]) -> impl Future<Output = Result<u64>> + Send;

    /// Returns signals after a place, in the order of their places: none may appear before one that was returned, save those that
    /// were restored. So those of transactions that are open are left to later calls where these may commit in another order.
    fn signals(
        &self,
        conn: &mut Self::Connection,
        after: Place,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<(Place, Recorded)>>> + Send;

    /// Removes those of the oldest signals, about, that are older; answers how many.
    fn prune_signals(
        &self,
        conn: &mut Self::Connection,
        age: Duration,
        limit: u32,
    ) -> impl Future<Output = Result<u64>> + Send;

    /// Replaces all candidates of a user on a surface. They come best first, no document twice.
    fn replace_candidates(
        &self,
        conn: &mut Self::Connection,
        user_id: &UserId,
        surface: &Surface,
        candidates: &[&Candidate],
    ) -> impl Future<Output = Result<()>> + Send;

    /// Returns the candidates of a user on a surface whose documents `audience` may see, in the order in which they were kept.
    fn candidates(
        &self,
        conn: &mut Self::Connection,
        user_id: &UserId,
        surface: &Surface,
        audience: &Audience,
    ) -> impl Future<Output = Result<Vec<Candidate>>> + Send;
}

/// The place of a signal in the order of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Whether the number of its transaction is of another server, and comes before all of this one. Always so before the first signal.
    pub is_restored: bool,
    /// The transaction that recorded it, where that decides; else 0.
    pub xid: i64,
    /// Its number.
    pub number: i64,
}

impl Place {
    /// Before the first signal.
    pub const START: Self = Self { is_restored: true, xid: 0, number: 0 };
}
