//! Limits in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Rows;
use crate::limit::{Began, Door, name};
use crate::store::{duration, micros};
use crate::{Limit, LimitKey, Queue};

/// What a claim passes: the gate of its queue and those of the keys of jobs that stand there.
pub(super) struct Doors {
    queue: String,
    by_key: BTreeMap<String, (Door, Option<Limit>)>,
    admitted: BTreeMap<String, u32>,
    total: u32,
    began: BTreeMap<String, Began>,
    now: i64,
}

impl Rows {
    pub(super) fn doors(&self, queue: &Queue, now: DateTime<Utc>) -> Doors {
        let now = now.timestamp_micros();
        let queue_key = LimitKey::queue(queue);
        let standing = self.jobs.values().filter(|row| row.job.queue == *queue && row.job.finished_at.is_none());
        let keys = standing.filter_map(|row| row.job.limit_key.as_deref()).chain([queue_key.as_str()]);
        let mut doors = Doors {
            queue: queue_key.as_str().to_owned(),
            by_key: BTreeMap::new(),
            admitted: BTreeMap::new(),
            total: 0,
            began: BTreeMap::new(),
            now,
        };
        for key in keys {
            if doors.by_key.contains_key(key) {
                continue;
            }
            let began = self.began.get(key).cloned().unwrap_or_default();
            let limit = self.limit(key);
            let running = self.jobs.values().filter(|row| row.held.is_some()).filter(|row| match &row.job.limit_key {
                _ if key == queue_key.as_str() => row.job.queue == *queue,
                limit_key => limit_key.as_deref() == Some(key),
            });
            let door = limit.map(|limit| Door::new(&limit, running.count() as u64, &began, now)).unwrap_or_default();
            doors.by_key.insert(key.to_owned(), (door, limit));
            doors.began.insert(key.to_owned(), began);
        }
        doors
    }

    /// The limit of the key itself, or else of its name.
    fn limit(&self, key: &str) -> Option<Limit> {
        let find = |text: &str| self.limits.iter().find(|(key, _)| key.as_str() == text).map(|(_, limit)| *limit);
        find(key).or_else(|| find(name(key)))
    }
}

impl Doors {
    pub(super) fn is_queue_limited(&self) -> bool {
        self.by_key.get(&self.queue).is_some_and(|(_, limit)| limit.is_some())
    }

    /// Lets one more job in, if there is room for it everywhere.
    pub(super) fn admit(&mut self, key: Option<&str>, limit: u32) -> bool {
        let keys: Vec<&str> = key.into_iter().chain([self.queue.as_str()]).collect();
        let has_room = |key: &&str| {
            let admitted = u64::from(self.admitted.get(*key).copied().unwrap_or_default());
            self.by_key.get(*key).and_then(|(door, _)| door.room).is_none_or(|room| admitted < room)
        };
        if self.total >= limit || !keys.iter().all(has_room) {
            return false;
        }
        let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
        for key in keys {
            *self.admitted.entry(key).or_default() += 1;
        }
        self.total += 1;
        true
    }

    pub(super) fn opens_in(&self) -> Option<Duration> {
        let opens_at = self.by_key.values().filter_map(|(door, _)| door.opens_at).min();
        opens_at.map(|at| duration(at - self.now))
    }

    /// What is to be remembered of those that were let in.
    pub(super) fn began(mut self) -> Vec<(String, Began)> {
        let mut began = Vec::new();
        for (key, count) in self.admitted {
            let rate = self.by_key.get(&key).and_then(|(_, limit)| *limit).and_then(|limit| limit.rate);
            if let (Some(rate), Some(mut entry)) = (rate, self.began.remove(&key)) {
                entry.begin(micros(rate.per), self.now, count);
                began.push((key, entry));
            }
        }
        began
    }
}
