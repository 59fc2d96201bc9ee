//! A bounded hash table that is read without a lock and without writing to shared memory.
//!
//! Open addressing: an entry is in one of the [`WINDOW`] slots from where its hash points. A slot is a sequence lock: its fields
//! are written by whoever holds the [`Turn`], and a reader that met a write halfway sees nothing.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

use crate::{Scope, UserId};

/// In how many slots an entry can be.
const WINDOW: usize = 16;
/// The generation of an empty slot.
const EMPTY: u32 = 0;
/// The bits of a shape that belong to the key; the others are the value.
const KEY_BITS: u32 = (1 << VALUE_SHIFT) - 1;
/// The lengths of a user, a scope type and a scope, up to 128, 64 and 128.
const VALUE_SHIFT: u32 = 8 + 7 + 8;

/// The right to write to tables. There is one for all of them, behind a lock.
pub(super) struct Turn(());

impl Turn {
    pub(super) fn new() -> Self {
        Self(())
    }
}

/// What an entry is judged by: one of another generation, or at its deadline, is as good as none.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) generation: u32,
    pub(super) nanoseconds: u64,
}

/// Values of nine bits by keys of up to `N` words.
pub(super) struct Table<const N: usize> {
    slots: Box<[Slot<N>]>,
}

impl<const N: usize> Table<N> {
    /// Has half as many slots again as entries: then almost every entry finds a free one in its window.
    pub(super) fn new(capacity: usize) -> Self {
        let slots = capacity.saturating_add(capacity / 2).max(1) + WINDOW - 1;
        Self { slots: (0..slots).map(|_| Slot::empty()).collect() }
    }

    pub(super) fn find(&self, key: &Key<'_>, at: Moment) -> Option<u16> {
        self.window(key).iter().find_map(|slot| slot.find(key, at))
    }

    /// Puts an entry in the place of an older one of the same key, of none, or of one that was not read lately.
    pub(super) fn insert(&self, turn: &mut Turn, key: &Key<'_>, value: u16, deadline: u64, at: Moment) {
        let window = self.window(key);
        let same = window.iter().find(|slot| slot.holds(key));
        let free = || window.iter().find(|slot| !slot.is_valid(at));
        let slot = same.or_else(free).unwrap_or_else(|| {
            // From anywhere in the window, lest its first slot be the one that always changes hands.
            let (behind, ahead) = window.split_at(key.stripe(WINDOW));
            let unused = |slot: &&Slot<N>| !slot.used.swap(false, Ordering::Relaxed);
            ahead.iter().chain(behind).find(unused).unwrap_or(&ahead[0])
        });
        slot.write(turn, key, value, deadline, at.generation);
    }

    pub(super) fn remove(&self, turn: &mut Turn, key: &Key<'_>) {
        if let Some(slot) = self.window(key).iter().find(|slot| slot.holds(key)) {
            slot.erase(turn);
        }
    }

    pub(super) fn erase(&self, turn: &mut Turn) {
        self.slots.iter().for_each(|slot| slot.erase(turn));
    }

    fn window(&self, key: &Key<'_>) -> &[Slot<N>] {
        let start = key.spread(self.slots.len() - (WINDOW - 1));
        &self.slots[start..start + WINDOW]
    }
}

/// One entry, on cache lines of its own.
#[repr(align(64))]
struct Slot<const N: usize> {
    /// Odd while what is below `used` is being written.
    sequence: AtomicU32,
    /// Whether the entry was read since somebody last looked for one to replace. A hint, outside the sequence.
    used: AtomicBool,
    generation: AtomicU32,
    /// The lengths of the ids, which nothing else delimits, and the value.
    shape: AtomicU32,
    deadline: AtomicU64,
    key: [AtomicU64; N],
}

impl<const N: usize> Slot<N> {
    fn empty() -> Self {
        Self {
            sequence: AtomicU32::new(0),
            used: AtomicBool::new(false),
            generation: AtomicU32::new(EMPTY),
            shape: AtomicU32::new(0),
            deadline: AtomicU64::new(0),
            key: [const { AtomicU64::new(0) }; N],
        }
    }

    fn find(&self, key: &Key<'_>, at: Moment) -> Option<u16> {
        let sequence = self.sequence.load(Ordering::Acquire);
        let shape = self.shape.load(Ordering::Relaxed);
        if !self.holds(key) || !self.is_valid(at) {
            return None;
        }
        // Whoever began to write before the last of these loads has changed the sequence by now.
        fence(Ordering::Acquire);
        if sequence % 2 == 1 || self.sequence.load(Ordering::Relaxed) != sequence {
            return None;
        }
        // Only the first reader writes: later ones must not take the cache line from each other.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        u16::try_from(shape >> VALUE_SHIFT).ok()
    }

    fn holds(&self, key: &Key<'_>) -> bool {
        let mut stored = self.key.iter();
        self.shape.load(Ordering::Relaxed) & KEY_BITS == key.shape
            && key.all(|word| stored.next().is_some_and(|stored| stored.load(Ordering::Relaxed) == word))
    }

    fn is_valid(&self, at: Moment) -> bool {
        self.generation.load(Ordering::Relaxed) == at.generation
            && at.nanoseconds < self.deadline.load(Ordering::Relaxed)
    }

    fn write(&self, turn: &mut Turn, key: &Key<'_>, value: u16, deadline: u64, generation: u32) {
        self.change(turn, || {
            self.shape.store(key.shape | u32::from(value) << VALUE_SHIFT, Ordering::Relaxed);
            self.deadline.store(deadline, Ordering::Relaxed);
            let mut stored = self.key.iter();
            key.all(|word| stored.next().inspect(|stored| stored.store(word, Ordering::Relaxed)).is_some());
            self.generation.store(generation, Ordering::Relaxed);
        });
        self.used.store(false, Ordering::Relaxed);
    }

    fn erase(&self, turn: &mut Turn) {
        self.change(turn, || self.generation.store(EMPTY, Ordering::Relaxed));
    }

    /// Makes a change that is seen as a whole or not at all. Changes take turns: the sequence has one writer at a time.
    fn change(&self, _turn: &mut Turn, change: impl FnOnce()) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        change();
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }
}

/// A user and a scope, byte by byte: ids that are spelled differently are different.
pub(super) struct Key<'a> {
    hash: u64,
    shape: u32,
    parts: [Part<'a>; 3],
}

/// A UUID that is spelled in the usual way takes two words, and its length is 0, which no text has; another text is as it is.
#[derive(Clone, Copy)]
struct Part<'a> {
    uuid: Option<[u64; 2]>,
    text: &'a [u8],
}

impl<'a> Key<'a> {
    pub(super) fn new(hasher: &impl BuildHasher, user: &'a UserId, scope: &'a Scope) -> Self {
        let kind = Part { uuid: None, text: scope.kind().as_str().as_bytes() };
        let parts = [Part::of_id(user.as_str()), kind, Part::of_id(scope.id().as_str())];
        let [user, kind, id] = parts.map(|part| part.text.len());
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the bounds of the ids are within the bits of `VALUE_SHIFT`"
        )]
        let shape = (user | kind << 8 | id << 15) as u32;
        let mut state = hasher.build_hasher();
        state.write_u32(shape);
        for part in parts {
            match part.uuid {
                Some([first, second]) => {
                    state.write_u64(first);
                    state.write_u64(second);
                }
                None => state.write(part.text),
            }
        }
        Self { hash: state.finish(), shape, parts }
    }

    /// Calls with each word in turn, until one is answered with no.
    fn all(&self, mut is_right: impl FnMut(u64) -> bool) -> bool {
        self.parts.iter().all(|part| part.all(&mut is_right))
    }

    /// Returns the number of words that it takes in a slot.
    pub(super) fn length(&self) -> usize {
        self.parts.iter().map(Part::length).sum()
    }

    /// Returns one of so many stripes: by other bits of the hash than the place in the table.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is less than a usize")]
    pub(super) fn stripe(&self, stripes: usize) -> usize {
        (self.hash % stripes as u64) as usize
    }

    /// Returns one of so many places.
    #[expect(clippy::cast_possible_truncation, reason = "the high half of the product is less than a usize")]
    fn spread(&self, places: usize) -> usize {
        ((u128::from(self.hash) * places as u128) >> 64) as usize
    }
}

impl<'a> Part<'a> {
    fn of_id(text: &'a str) -> Self {
        let uuid = uuid(text.as_bytes());
        Self { uuid, text: if uuid.is_some() { &[] } else { text.as_bytes() } }
    }

    fn length(&self) -> usize {
        self.uuid.map_or(self.text.len().div_ceil(8), |words| words.len())
    }

    /// See [`Key::all`]. The last words of a text may overlap: texts are equal if their lengths and words are.
    #[inline]
    fn all(&self, mut is_right: impl FnMut(u64) -> bool) -> bool {
        if let Some([first, second]) = self.uuid {
            return is_right(first) && is_right(second);
        }
        let (whole, rest) = self.text.as_chunks::<8>();
        whole.iter().all(|word| is_right(u64::from_ne_bytes(*word)))
            && match (rest, self.text.last_chunk::<8>()) {
                ([], _) => true,
                (_, Some(last)) => is_right(u64::from_ne_bytes(*last)),
                (rest, None) => is_right(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))),
            }
    }
}

/// Packs a UUID in lower-case letters and with four hyphens; `None` for everything else.
fn uuid(text: &[u8]) -> Option<[u64; 2]> {
    let text: &[u8; 36] = text.try_into().ok()?;
    let four = |at: usize| text[at..].first_chunk().map_or(0, |four| u64::from(u32::from_le_bytes(*four)));
    let eight = |at| four(at) | four(at + 4) << 32;
    let [first, second] = [nibbles(eight(0)), nibbles(four(9) | four(14) << 32)];
    let [third, fourth] = [nibbles(four(19) | four(24) << 32), nibbles(eight(28))];
    let hyphens = [text[8], text[13], text[18], text[23]];
    (hyphens == *b"----").then_some([first? | second? << 8, third? | fourth? << 8])
}

/// Takes eight lower-case hexadecimal digits, a byte each, to their values, two in every other byte.
fn nibbles(digits: u64) -> Option<u64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Of letters, bit 6 is set: `a` is 0x61 and counts ten.
    let values = (digits & (0x0f * EACH)) + 9 * (digits >> 6 & EACH);
    let letters = (values + 6 * EACH) >> 4 & EACH;
    // Whatever is no such digit is not what its value is written as, or has a value of more than four bits.
    let written = values + u64::from(b'0') * EACH + u64::from(b'a' - b'0' - 10) * letters;
    let is_right = written == digits && values & (0xf0 * EACH) == 0;
    is_right.then_some((values | values >> 4) & 0x00ff_00ff_00ff_00ff)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::AtomicU64;
    use std::thread;

    use foldhash::fast::FixedState;

    use super::*;

    const AT: Moment = Moment { generation: 1, nanoseconds: 0 };

    fn ids(count: u64) -> Vec<(UserId, Scope)> {
        let user = |number: u64| UserId::new(format!("{number:036}")).unwrap();
        (0..count).map(|number| (user(number), Scope::group("chess").unwrap())).collect()
    }

    fn words(text: &str) -> Vec<u64> {
        let mut words = Vec::new();
        Part::of_id(text).all(|word| {
            words.push(word);
            true
        });
        words
    }

    #[test]
    fn words_of_texts_of_one_length_differ_if_the_texts_do() {
        for length in 1..=25 {
            let text = "a".repeat(length);
            assert_eq!(words(&text).len(), Part::of_id(&text).length());
            for changed in 0..length {
                let mut other = text.clone();
                other.replace_range(changed..=changed, "b");
                assert_ne!(words(&text), words(&other), "byte {changed} of {length}");
            }
        }
    }

    #[test]
    fn a_uuid_is_packed_if_it_is_spelled_as_usual_and_each_digit_counts() {
        let text = *b"0123abcd-4567-89ef-0f9a-fedcba987654";
        let packed = uuid(&text).unwrap();
        let mut seen = HashSet::from([packed]);
        for (at, digit) in text.iter().enumerate() {
            for other in (0..=u8::MAX).filter(|other| other != digit) {
                let mut text = text;
                text[at] = other;
                let is_digit = matches!(other, b'0'..=b'9' | b'a'..=b'f') && *digit != b'-';
                match uuid(&text) {
                    Some(packed) => assert!(is_digit && seen.insert(packed), "{other} at {at}"),
                    None => assert!(!is_digit, "{other} at {at}"),
                }
            }
        }
        assert_eq!(uuid(&text[..35]), None);
        assert_eq!(uuid(&[&text[..], b"0"].concat()), None);
    }

    #[test]
    fn an_entry_is_found_in_its_generation_until_its_deadline() {
        let (table, mut turn, ids) = (Table::<13>::new(100), Turn::new(), ids(1));
        let key = Key::new(&FixedState::default(), &ids[0].0, &ids[0].1);
        table.insert(&mut turn, &key, 7, 10, AT);
        assert_eq!(table.find(&key, Moment { nanoseconds: 9, ..AT }), Some(7));
        assert_eq!(table.find(&key, Moment { nanoseconds: 10, ..AT }), None);
        assert_eq!(table.find(&key, Moment { generation: 2, ..AT }), None);
        table.insert(&mut turn, &key, 511, 10, AT);
        assert_eq!(table.find(&key, AT), Some(511));
        table.remove(&mut turn, &key);
        assert_eq!(table.find(&key, AT), None);
        table.insert(&mut turn, &key, 7, 10, AT);
        table.erase(&mut turn);
        assert_eq!(table.find(&key, AT), None);
    }

    /// Entries keep taking each other's slots while two threads read them.
    #[test]
    fn a_reader_never_takes_one_entry_for_another() {
        let (table, ids, hasher) = (Table::<13>::new(1), ids(64), FixedState::default());
        let keys: Vec<_> = ids.iter().map(|(user, scope)| Key::new(&hasher, user, scope)).collect();
        let found = AtomicU64::new(0);
        thread::scope(|scope| {
            let readers = [0, 32].map(|from| {
                let (table, keys, found) = (&table, &keys, &found);
                scope.spawn(move || {
                    for (number, key) in keys.iter().enumerate().cycle().skip(from).take(2_000_000) {
                        if let Some(value) = table.find(key, AT) {
                            assert_eq!(usize::from(value), number);
                            found.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            });
            let mut turn = Turn::new();
            for (number, key) in (0..).zip(&keys).cycle() {
                table.insert(&mut turn, key, number, u64::MAX, AT);
                if readers.iter().all(thread::ScopedJoinHandle::is_finished) {
                    break;
                }
            }
        });
        assert!(found.into_inner() > 0, "the readers met nothing");
    }
}
