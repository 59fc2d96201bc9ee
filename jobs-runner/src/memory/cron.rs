//! Cron entries in memory.

use super::Connection;
use crate::{CronEntry, CronRecord, Name, Result, Settlement, Timetable};

pub(super) async fn post(conn: &mut Connection, entries: &[CronEntry<'_>]) -> Result<()> {
    conn.write(|rows, now| {
        for entry in entries {
            let record = rows.crons.entry(entry.name.clone()).or_insert_with(|| CronRecord {
                name: entry.name.clone(),
                expression: String::new(),
                zone: String::new(),
                settled_at: now,
                last_fire_at: None,
            });
            entry.expression.clone_into(&mut record.expression);
            entry.zone.clone_into(&mut record.zone);
        }
        Ok(())
    })
    .await
}

pub(super) fn timetable(conn: &mut Connection) -> Result<Timetable> {
    let now = conn.database.now();
    conn.read(|rows| Ok(Timetable { now, entries: rows.crons.values().cloned().collect() }))
}

pub(super) async fn settle(conn: &mut Connection, settlements: &[Settlement<'_>]) -> Result<Vec<bool>> {
    conn.write(|rows, _| {
        let settled = settlements.iter().map(|settlement| {
            let Some(record) = rows.crons.get_mut(settlement.entry.name) else { return false };
            let stands = record.expression == settlement.entry.expression
                && record.zone == settlement.entry.zone
                && record.settled_at == settlement.from;
            if stands {
                record.settled_at = settlement.to;
                record.last_fire_at = settlement.fired.or(record.last_fire_at);
            }
            stands
        });
        Ok(settled.collect())
    })
    .await
}

pub(super) async fn withdraw(conn: &mut Connection, name: &Name) -> Result<bool> {
    conn.write(|rows, _| Ok(rows.crons.remove(name).is_some())).await
}
