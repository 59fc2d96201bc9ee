//! Numbers that look random and are the same every time.

/// [SplitMix64](https://prng.di.unimi.it/splitmix64.c): small, quick, and good enough to make up a campus.
pub(super) struct Rng(u64);

impl Rng {
    /// The numbers of one thing: whatever else is made, and in whatever order, they are the same.
    pub(super) fn of(seed: u64, stream: &str, index: u64) -> Self {
        let mut rng = Self(seed);
        for byte in stream.bytes() {
            rng.0 = rng.next() ^ u64::from(byte);
        }
        rng.0 = rng.next() ^ index;
        rng.next();
        rng
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below the bound, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // The upper half of the product is less than the bound.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the items, of which there are some.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.index(items.len())]
    }

    /// A place in a list of that length.
    pub(super) fn index(&mut self, length: usize) -> usize {
        // What is below a length is none that could be too large.
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    /// So many bytes, for the random part of an id.
    pub(super) fn bytes(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.next().to_le_bytes());
        bytes[8..].copy_from_slice(&self.next().to_le_bytes()[..2]);
        bytes
    }
}
