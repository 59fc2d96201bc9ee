//! Sets of documents: gaps, a bitmap or runs, whichever is shortest.

use super::{damaged, put, size_of, take};
use crate::error::Result;

/// The distance to each member from the one before.
const GAPS: u8 = 0;
/// A bit for each document, up to the last member.
const BITMAP: u8 = 1;
/// The distance to and the length of each run of neighbours.
const RUNS: u8 = 2;

/// Appends a set; `members` ascend.
pub(crate) fn encode(members: &[u32], bytes: &mut Vec<u8>) {
    let (mut gaps, mut runs, mut after) = (0, 0, 0);
    for &member in members {
        gaps += size_of(u64::from(member - after));
        after = member + 1;
    }
    let bitmap = after.div_ceil(8) as usize;
    for (gap, length) in runs_of(members) {
        runs += size_of(gap) + size_of(length);
    }
    let form = match gaps.min(bitmap).min(runs) {
        least if least == gaps => GAPS,
        least if least == bitmap => BITMAP,
        _ => RUNS,
    };
    put((members.len() as u64) << 2 | u64::from(form), bytes);
    match form {
        GAPS => {
            let mut after = 0;
            for &member in members {
                put(u64::from(member - after), bytes);
                after = member + 1;
            }
        }
        BITMAP => {
            let start = bytes.len();
            bytes.resize(start + bitmap, 0);
            for &member in members {
                bytes[start + member as usize / 8] |= 1 << (member % 8);
            }
        }
        _ => {
            for (gap, length) in runs_of(members) {
                put(gap, bytes);
                put(length, bytes);
            }
        }
    }
}

/// The distance to each run from the one before, and its length less one.
fn runs_of(members: &[u32]) -> impl Iterator<Item = (u64, u64)> {
    let mut after = 0;
    members.chunk_by(|a, b| a + 1 == *b).map(move |run| {
        let gap = u64::from(run[0] - after);
        after = run[run.len() - 1] + 1;
        (gap, run.len() as u64 - 1)
    })
}

/// A set as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set<'a> {
    form: u8,
    count: u32,
    documents: u32,
    body: &'a [u8],
}

impl<'a> Set<'a> {
    /// Reads the set of a tag: the whole of `bytes`.
    pub(crate) fn parse(bytes: &'a [u8], documents: u32) -> Result<Self> {
        Ok(Self::with_payload::<0>(bytes, documents)?.0)
    }

    /// Reads a set and what is attached to each of its members, in their order.
    pub(crate) fn with_payload<const WIDTH: usize>(
        mut bytes: &'a [u8],
        documents: u32,
    ) -> Result<(Self, &'a [[u8; WIDTH]])> {
        let header = take(&mut bytes)?;
        let count = u32::try_from(header >> 2).ok().filter(|count| *count <= documents).ok_or_else(damaged)?;
        let split = bytes.len().checked_sub(WIDTH * count as usize).ok_or_else(damaged)?;
        let (body, payload) = bytes.split_at(split);
        let payload: &[[u8; WIDTH]] = if WIDTH == 0 { &[] } else { payload.as_chunks().0 };
        let form = (header & 3) as u8;
        Ok((Self { form, count, documents, body }, payload))
    }

    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    /// Answers whether it is better read as a bitmap.
    pub(crate) fn is_dense(&self) -> bool {
        self.form != GAPS
    }

    /// Appends the members in ascending order.
    pub(crate) fn members(&self, members: &mut Vec<u32>) -> Result<()> {
        let before = members.len();
        if self.form == GAPS {
            members.reserve(self.count as usize);
            let (mut body, mut after) = (self.body, 0);
            for _ in 0..self.count {
                let member = after + take(&mut body)?;
                if member >= u64::from(self.documents) {
                    return Err(damaged());
                }
                after = member + 1;
                #[expect(clippy::cast_possible_truncation, reason = "below the number of documents")]
                members.push(member as u32);
            }
            return if body.is_empty() { Ok(()) } else { Err(damaged()) };
        }
        let mut bits = vec![0; words(self.documents)];
        self.add_to(&mut bits)?;
        members.reserve(self.count as usize);
        each(&bits, |member| members.push(member));
        if members.len() - before == self.count as usize { Ok(()) } else { Err(damaged()) }
    }

    /// Adds the members to a bitmap of all documents.
    pub(crate) fn add_to(&self, bits: &mut [u64]) -> Result<()> {
        match self.form {
            GAPS => {
                let (mut body, mut next) = (self.body, 0);
                for _ in 0..self.count {
                    let member = next + take(&mut body)?;
                    if member >= u64::from(self.documents) {
                        return Err(damaged());
                    }
                    next = member + 1;
                    #[expect(clippy::cast_possible_truncation, reason = "below the number of documents")]
                    add(bits, member as u32);
                }
                if body.is_empty() { Ok(()) } else { Err(damaged()) }
            }
            BITMAP => {
                let (chunks, rest) = self.body.as_chunks::<8>();
                let mut last = [0; 8];
                last[..rest.len()].copy_from_slice(rest);
                let given = chunks.iter().chain((!rest.is_empty()).then_some(&last));
                let needed = chunks.len() + usize::from(!rest.is_empty());
                let mut count = 0;
                for (word, given) in bits.iter_mut().zip(given) {
                    let given = u64::from_le_bytes(*given);
                    count += given.count_ones();
                    *word |= given;
                }
                let beyond = self.documents % 64;
                let is_inside = needed <= bits.len()
                    && (beyond == 0
                        || needed < words(self.documents)
                        || bits.last().is_none_or(|last| last >> beyond == 0));
                if is_inside && count == self.count { Ok(()) } else { Err(damaged()) }
            }
            RUNS => {
                let (mut body, mut after, mut count) = (self.body, 0_u64, 0);
                while !body.is_empty() {
                    let start = after.checked_add(take(&mut body)?).ok_or_else(damaged)?;
                    after = start.checked_add(take(&mut body)?).ok_or_else(damaged)? + 1;
                    if after > u64::from(self.documents) {
                        return Err(damaged());
                    }
                    count += after - start;
                    #[expect(clippy::cast_possible_truncation, reason = "at most the number of documents")]
                    add_range(bits, start as u32, after as u32);
                }
                if count == u64::from(self.count) { Ok(()) } else { Err(damaged()) }
            }
            _ => Err(damaged()),
        }
    }
}

/// How many words a bitmap of so many documents has.
pub(crate) fn words(documents: u32) -> usize {
    documents.div_ceil(64) as usize
}

pub(crate) fn add(bits: &mut [u64], member: u32) {
    bits[member as usize / 64] |= 1 << (member % 64);
}

pub(crate) fn remove(bits: &mut [u64], member: u32) {
    bits[member as usize / 64] &= !(1 << (member % 64));
}

pub(crate) fn has(bits: &[u64], member: u32) -> bool {
    bits[member as usize / 64] >> (member % 64) & 1 == 1
}

/// Adds the members from `start` to before `end`.
pub(crate) fn add_range(bits: &mut [u64], start: u32, end: u32) {
    let mut at = start;
    while at < end {
        let stop = end.min((at / 64 + 1) * 64);
        bits[at as usize / 64] |= u64::MAX >> (64 - (stop - at)) << (at % 64);
        at = stop;
    }
}

/// Calls `found` with the members of a bitmap in ascending order.
pub(crate) fn each(bits: &[u64], mut found: impl FnMut(u32)) {
    for (at, &word) in (0..).step_by(64).zip(bits) {
        let mut rest = word;
        while rest != 0 {
            found(at + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], documents: u32) -> Result<Vec<u32>> {
        let (set, mut members) = (Set::parse(bytes, documents)?, Vec::new());
        set.members(&mut members)?;
        let mut bits = vec![0; words(documents)];
        set.add_to(&mut bits)?;
        let mut again = Vec::new();
        each(&bits, |member| again.push(member));
        assert_eq!(members, again);
        Ok(members)
    }

    #[test]
    fn members_come_back_in_every_form() {
        let sets: [(Vec<u32>, u8); 7] = [
            (vec![], GAPS),
            (vec![0], GAPS),
            (vec![70, 900, 999], GAPS),
            ((0..1000).filter(|n| n % 3 > 0).collect(), BITMAP),
            ((0..1000).collect(), RUNS),
            ((100..300).chain(900..1000).collect(), RUNS),
            ((5..1000).step_by(2).collect(), BITMAP),
        ];
        for (members, form) in sets {
            let mut bytes = Vec::new();
            encode(&members, &mut bytes);
            assert_eq!(bytes[0] & 3, form, "{members:?}");
            assert_eq!(decoded(&bytes, 1000).unwrap(), members);
            if let Some(&last) = members.last() {
                assert!(decoded(&bytes, last).is_err(), "a member beyond the last document");
                assert!(decoded(&bytes[..bytes.len() - 1], 1000).is_err());
            }
        }
    }

    #[test]
    fn whatever_the_bytes_are_reading_them_ends() {
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        for length in (0..40).cycle().take(20_000) {
            let bytes: Vec<u8> = (0..length).map(|_| random()).collect();
            let _ = decoded(&bytes, 100);
        }
    }

    #[test]
    fn ranges_are_like_their_members() {
        for (start, end) in [(0, 0), (0, 1), (0, 64), (3, 64), (63, 65), (64, 128), (10, 200)] {
            let (mut range, mut one_by_one) = ([0; 4], [0; 4]);
            add_range(&mut range, start, end);
            (start..end).for_each(|member| add(&mut one_by_one, member));
            assert_eq!(range, one_by_one);
        }
    }
}
