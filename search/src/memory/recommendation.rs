//! Signals and candidates in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::{Connection, Memory};
use crate::audience::Audience;
use crate::error::Result;
use crate::id::{SignalKey, Surface, UserId};
use crate::recommendation::{Candidate, Place, Recorded, Signal, Store};

#[derive(Clone, Debug, Default)]
pub(super) struct Signals {
    recorded: BTreeMap<i64, Recorded>,
    keys: BTreeSet<SignalKey>,
    last: i64,
}

pub(super) type Candidates = BTreeMap<(UserId, Surface), Arc<[Candidate]>>;

impl Store for Memory {
    async fn record(&self, conn: &mut Connection, signals: &[&Signal]) -> Result<u64> {
        conn.write(|state| {
            let mut new = 0;
            for &signal in signals {
                if state.signals.keys.insert(signal.key.clone()) {
                    state.signals.last += 1;
                    let number = state.signals.last;
                    let recorded = Recorded { number, signal: signal.clone(), recorded_at: Utc::now() };
                    state.signals.recorded.insert(number, recorded);
                    new += 1;
                }
            }
            new
        })
        .await
    }

    async fn signals(&self, conn: &mut Connection, after: Place, limit: u32) -> Result<Vec<(Place, Recorded)>> {
        let state = conn.read();
        let later = state.signals.recorded.range(after.number + 1..).take(limit as usize);
        let place = |number| Place { is_restored: false, xid: 0, number };
        Ok(later.map(|(&number, recorded)| (place(number), recorded.clone())).collect())
    }

    async fn prune_signals(&self, conn: &mut Connection, age: Duration, limit: u32) -> Result<u64> {
        conn.write(|state| {
            let now = Utc::now();
            let is_old = |recorded: &Recorded| recorded.recorded_at + age <= now;
            let oldest = state.signals.recorded.values().take(limit as usize).filter(|recorded| is_old(recorded));
            let old: Vec<i64> = oldest.map(|recorded| recorded.number).collect();
            for number in &old {
                if let Some(recorded) = state.signals.recorded.remove(number) {
                    state.signals.keys.remove(&recorded.signal.key);
                }
            }
            old.len() as u64
        })
        .await
    }

    async fn replace_candidates(
        &self,
        conn: &mut Connection,
        user_id: &UserId,
        surface: &Surface,
        candidates: &[&Candidate],
    ) -> Result<()> {
        let candidates = candidates.iter().map(|&candidate| candidate.clone()).collect();
        conn.write(|state| {
            state.candidates.insert((user_id.clone(), surface.clone()), candidates);
        })
        .await
    }

    async fn candidates(
        &self,
        conn: &mut Connection,
        user_id: &UserId,
        surface: &Surface,
        audience: &Audience,
    ) -> Result<Vec<Candidate>> {
        let state = conn.read();
        let Some(candidates) = state.candidates.get(&(user_id.clone(), surface.clone())) else { return Ok(Vec::new()) };
        let is_visible = |candidate: &&Candidate| {
            let id = state.ids.get(&(surface.clone(), candidate.entity_id.clone()));
            let stored = id.and_then(|id| state.documents.get(id));
            stored.is_some_and(|stored| audience.sees(&stored.document.audience))
        };
        Ok(candidates.iter().filter(is_visible).cloned().collect())
    }
}
