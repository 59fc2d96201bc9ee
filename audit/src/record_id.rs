//! Record ids: `UUIDv7` that carry the microsecond.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use uuid::{Builder, Uuid};

use crate::{Error, Result};

/// The id of one record: a `UUIDv7` whose first 60 free bits are its time in microseconds, the other 62 random.
///
/// Ids sort by time. Within one process each is later than the one before, also if the clock stands still or steps back a
/// little; between processes their order is that of their clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(Uuid);

impl RecordId {
    /// Sorts after every id that can be minted: where a listing begins.
    pub(crate) const END: Self = Self(Uuid::max());

    /// Mints the id of a record that happens now.
    pub fn now() -> Self {
        static LAST: AtomicI64 = AtomicI64::new(i64::MIN);
        let now = Utc::now().timestamp_micros();
        let last = LAST.update(Ordering::Relaxed, Ordering::Relaxed, |last| successor(last, now));
        Self::at_micros(successor(last, now))
    }

    /// Sorts before every id that is minted at this moment or later, and after all earlier ones.
    pub(crate) fn floor(at: DateTime<Utc>) -> Self {
        let micros = at.timestamp_micros() + i64::from(!at.timestamp_subsec_nanos().is_multiple_of(1000));
        // Ids end in the year 10889, and begin in 1970.
        let micros = micros.clamp(0, ((1 << 48) - 1) * 1000);
        let uuid = *Self::at_micros(micros).as_uuid();
        Self(Uuid::from_u64_pair(uuid.as_u64_pair().0, 1 << 63))
    }

    /// Returns the moment at which the id was minted, in whole microseconds.
    pub fn at(self) -> DateTime<Utc> {
        // 48 bits of milliseconds stay far below the years chrono can hold.
        DateTime::from_timestamp_micros(self.micros()).unwrap_or_default()
    }

    /// Returns the id as a UUID.
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    fn at_micros(micros: i64) -> Self {
        let [high, low] = u16::try_from(micros.rem_euclid(1000)).unwrap_or_default().to_be_bytes();
        let mut rest = [0; 10];
        rest.copy_from_slice(&Uuid::new_v4().as_bytes()[6..]);
        rest[0] = high;
        rest[1] = low;
        // A clock before 1970 counts as 1970: the format knows no earlier time.
        let millis = u64::try_from(micros.div_euclid(1000)).unwrap_or_default();
        Self(Builder::from_unix_timestamp_millis(millis, &rest).into_uuid())
    }

    fn micros(self) -> i64 {
        let (high, _) = self.0.as_u64_pair();
        // Both fit: the first is 48 bits wide, the second 12.
        (high >> 16).cast_signed() * 1000 + (high & 0xfff).cast_signed()
    }
}

/// How far ids may run ahead of a clock that stood still or was set back: beyond it, the right time matters more than the order.
const LEAD_MICROS: i64 = 10_000_000;

fn successor(last: i64, now: i64) -> i64 {
    if last >= now && last - now < LEAD_MICROS { last + 1 } else { now }
}

impl TryFrom<Uuid> for RecordId {
    type Error = Error;
    fn try_from(uuid: Uuid) -> Result<Self> {
        let id = Self(uuid);
        let is_ours = uuid.get_version_num() == 7
            && uuid.get_variant() == uuid::Variant::RFC4122
            && uuid.as_u64_pair().0 & 0xfff < 1000;
        if is_ours { Ok(id) } else { Err(Error::Invalid { what: "record id", problem: "is not one of ours" }) }
    }
}

impl TryFrom<&str> for RecordId {
    type Error = Error;
    fn try_from(text: &str) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for RecordId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match Uuid::try_parse(text) {
            Ok(uuid) => uuid.try_into(),
            Err(_) => Err(Error::Invalid { what: "record id", problem: "is not a uuid" }),
        }
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_microsecond() {
        for micros in [0, 999, 1000, 1_763_683_453_123_456] {
            let id = RecordId::at_micros(micros);
            assert_eq!(id.at().timestamp_micros(), micros);
            assert_eq!(id.to_string().parse::<RecordId>().unwrap(), id);
            assert!(id < RecordId::END);
        }
    }

    #[test]
    fn ids_of_one_process_never_go_back() {
        let ids: Vec<RecordId> = (0..10_000).map(|_| RecordId::now()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b && a.at() < b.at()));
    }

    #[test]
    fn a_clock_set_back_far_is_believed() {
        assert_eq!(successor(100, 90), 101);
        assert_eq!(successor(100, 101), 101);
        assert_eq!(successor(100_000_000, 5), 5);
        assert_eq!(successor(i64::MIN, 5), 5);
    }

    #[test]
    fn a_floor_lies_between_the_microseconds() {
        let at = |nanos| DateTime::from_timestamp(1_763_683_453, nanos).unwrap();
        let earlier = RecordId::at_micros(1_763_683_453_000_006);
        let later = RecordId::at_micros(1_763_683_453_000_007);
        assert!(earlier < RecordId::floor(at(6_001)) && RecordId::floor(at(7_000)) <= later);
        assert_eq!(RecordId::floor(at(6_001)), RecordId::floor(at(7_000)));
        assert!(RecordId::floor(DateTime::<Utc>::MIN_UTC) <= RecordId::at_micros(0));
        assert!(RecordId::floor(DateTime::<Utc>::MAX_UTC) > later);
    }

    #[test]
    fn foreign_ids_are_refused() {
        for foreign in ["", "7", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "019aa2c5-8d31-7fff-8000-000000000000"] {
            assert!(matches!(foreign.parse::<RecordId>(), Err(Error::Invalid { what: "record id", .. })), "{foreign}");
        }
    }
}
