//! The Merkle tree of RFC 6962: its hashes, and its right edge, which is all that growing it takes.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A SHA-256 hash: of a leaf, of an inner node or of a whole tree (RFC 6962, section 2.1).
///
/// Displays as 64 lower-case hexadecimal digits and parses from exactly those.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The root of the tree without leaves: the hash of no bytes.
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae,
        0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// Hashes the content of a leaf: `SHA-256(0x00 || content)`.
    pub fn of_leaf(content: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0x00]).chain_update(content).finalize().into())
    }

    /// Hashes an inner node: `SHA-256(0x01 || left || right)`.
    pub fn of_node(left: Self, right: Self) -> Self {
        let mut input = [0x01; 65];
        input[1..33].copy_from_slice(&left.0);
        input[33..].copy_from_slice(&right.0);
        Self(Sha256::digest(input).into())
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = Error;
    fn try_from(bytes: &[u8]) -> Result<Self> {
        match bytes.try_into() {
            Ok(bytes) => Ok(Self(bytes)),
            Err(_) => Err(Error::Invalid { what: "hash", problem: "must have 32 bytes" }),
        }
    }
}

impl FromStr for Hash {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        const INVALID: Error = Error::Invalid { what: "hash", problem: "must be 64 lower-case hexadecimal digits" };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(INVALID);
        }
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = hex_digit(*high).ok_or(INVALID)? << 4 | hex_digit(*low).ok_or(INVALID)?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Hash({self})")
    }
}

/// Names a complete subtree: `2^level` leaves, the first of which is leaf `index * 2^level`.
///
/// Once complete, a subtree never changes, however large the tree grows. A node of level 0 is a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// How far above the leaves the subtree's root is: at most 63.
    pub level: u8,
    /// How many subtrees of the same level are to its left.
    pub index: u64,
}

/// A tree as it stood at one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TreeHead {
    /// How many leaves the tree has.
    pub size: u64,
    /// The hash over all of them.
    pub root: Hash,
}

/// The right edge of a growing tree: the roots of the complete subtrees its leaves divide into, largest first.
///
/// Appending a leaf takes one hash on average, at most 63, and no allocation. Two kilobytes hold a tree of any size.
#[derive(Clone)]
pub struct Frontier {
    size: u64,
    /// By level; in use where `size` has that bit set.
    roots: [Hash; 64],
}

impl Frontier {
    /// The most leaves that a frontier read from bytes may have: 2^62.
    ///
    /// Nothing can push as many again, so appending needs no check.
    pub const MAX_SIZE: u64 = 1 << 62;

    /// Begins an empty tree.
    pub const fn new() -> Self {
        Self { size: 0, roots: [Hash::EMPTY; 64] }
    }

    /// Returns how many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Computes the root of the tree as it stands, with at most 63 hashes.
    pub fn root(&self) -> Hash {
        // Joined from the right: the smallest subtree is the deepest.
        let right_to_left = set_bits(self.size).map(|level| self.roots[usize::from(level)]);
        right_to_left.reduce(|right, left| Hash::of_node(left, right)).unwrap_or(Hash::EMPTY)
    }

    /// Returns the size and the root of the tree as it stands.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root() }
    }

    /// Appends the hash of one leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_, _| ());
    }

    /// Appends the hash of one leaf and gives every subtree that this completes: the leaf itself first, then upwards.
    ///
    /// These hashes are all that proofs are made of. A tree of `n` leaves gives fewer than `2n`, each once.
    pub fn push_with(&mut self, leaf: Hash, mut completed: impl FnMut(Node, Hash)) {
        let mut node = Node { level: 0, index: self.size };
        let mut hash = leaf;
        completed(node, hash);
        while node.index & 1 == 1 {
            hash = Hash::of_node(self.roots[usize::from(node.level)], hash);
            node = Node { level: node.level + 1, index: node.index >> 1 };
            completed(node, hash);
        }
        self.roots[usize::from(node.level)] = hash;
        self.size += 1;
    }

    /// Writes the frontier: the size in 8 bytes, most significant first, then each root in 32 bytes, largest subtree first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 32 * set_bits(self.size).count());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        self.largest_first().for_each(|root| bytes.extend_from_slice(&root.0));
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote: at most 1,992 bytes.
    ///
    /// The roots are taken as they are. Whether they belong to the tree shows by comparing [`root`](Self::root) with a
    /// signed checkpoint.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the size is above [`MAX_SIZE`](Self::MAX_SIZE) or does not match the number of roots.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let invalid = |problem| Error::Invalid { what: "frontier", problem };
        let (size, roots) = bytes.split_first_chunk().ok_or(invalid("is too short"))?;
        let size = u64::from_be_bytes(*size);
        if size > Self::MAX_SIZE {
            return Err(invalid("has too many leaves"));
        }
        let (roots, rest) = roots.as_chunks::<32>();
        if roots.len() != set_bits(size).count() || !rest.is_empty() {
            return Err(invalid("has a length that does not match its size"));
        }
        let mut frontier = Self { size, ..Self::new() };
        for (level, root) in set_bits(size).zip(roots.iter().rev()) {
            frontier.roots[usize::from(level)] = Hash(*root);
        }
        Ok(frontier)
    }

    fn largest_first(&self) -> impl Iterator<Item = Hash> {
        set_bits(self.size).rev().map(|level| self.roots[usize::from(level)])
    }
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

/// Appends the hashes of leaves in order.
impl Extend<Hash> for Frontier {
    fn extend<I: IntoIterator<Item = Hash>>(&mut self, leaves: I) {
        leaves.into_iter().for_each(|leaf| self.push(leaf));
    }
}

/// Equal if both are the right edge of the same tree.
impl PartialEq for Frontier {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.largest_first().eq(other.largest_first())
    }
}

impl Eq for Frontier {}

impl fmt::Debug for Frontier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Frontier").field(&self.head()).finish()
    }
}

/// The places of the bits that are set, lowest first.
pub(crate) fn set_bits(bits: u64) -> impl DoubleEndedIterator<Item = u8> {
    (0..64).filter(move |place| bits >> place & 1 == 1)
}

/// The value of one lower-case hexadecimal digit.
pub(crate) fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The leaves of the reference tree that implementations of RFC 6962 share as test data.
    pub(crate) const REFERENCE_LEAVES: [&[u8]; 8] =
        [b"", b"\0", b"\x10", b" !", b"01", b"@ABC", b"PQRSTUVW", b"`abcdefghijklmno"];

    /// The roots of the reference tree at sizes 1 to 8.
    pub(crate) const REFERENCE_ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    /// As many different leaves as asked for.
    pub(crate) fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|index| Hash::of_leaf(&index.to_le_bytes())).collect()
    }

    /// MTH of RFC 6962, section 2.1, word for word.
    pub(crate) fn naive_root(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::EMPTY,
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                Hash::of_node(naive_root(left), naive_root(right))
            }
        }
    }

    #[test]
    fn hashes_are_those_of_the_rfc() {
        assert_eq!(Hash::EMPTY, Hash(Sha256::digest([]).into()));
        assert_eq!(Hash::of_leaf(b""), REFERENCE_ROOTS[0].parse().unwrap());
        let leaf = "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56";
        assert_eq!(Hash::of_leaf(b"L123456").to_string(), leaf);
        let content = [&[0x01][..], Hash::EMPTY.as_bytes(), Hash::EMPTY.as_bytes()].concat();
        assert_eq!(Hash::of_node(Hash::EMPTY, Hash::EMPTY), Hash(Sha256::digest(content).into()));
    }

    #[test]
    fn the_reference_tree_has_its_roots() {
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root(), Hash::EMPTY);
        for (leaf, root) in REFERENCE_LEAVES.iter().zip(REFERENCE_ROOTS) {
            frontier.push(Hash::of_leaf(leaf));
            assert_eq!(frontier.root().to_string(), root);
        }
        assert_eq!(frontier.head(), TreeHead { size: 8, root: REFERENCE_ROOTS[7].parse().unwrap() });
    }

    #[test]
    fn a_hash_parses_only_from_what_it_displays() {
        let text = REFERENCE_ROOTS[3];
        assert_eq!(text.parse::<Hash>().unwrap().to_string(), text);
        let wide = "\u{e9}".repeat(32);
        for bad in
            ["", &text[1..], &text[2..], &format!("{text}00"), &text.to_uppercase(), &text.replace('d', "g"), &wide]
        {
            assert!(matches!(bad.parse::<Hash>(), Err(Error::Invalid { what: "hash", .. })), "{bad}");
        }
        assert!(Hash::try_from(&[0; 31][..]).is_err());
        assert_eq!(Hash::try_from(&[0; 32][..]).unwrap(), Hash::from([0; 32]));
    }

    #[test]
    fn every_root_up_to_a_few_hundred_leaves_is_the_naive_one() {
        let leaves = leaves(300);
        let mut frontier = Frontier::new();
        for (size, leaf) in leaves.iter().enumerate() {
            assert_eq!(frontier.root(), naive_root(&leaves[..size]));
            frontier.push(*leaf);
        }
    }

    #[test]
    fn every_complete_subtree_is_given_once_with_its_root() {
        let leaves = leaves(133);
        let mut frontier = Frontier::new();
        let mut given = BTreeMap::new();
        for leaf in &leaves {
            frontier.push_with(*leaf, |node, hash| assert_eq!(given.insert(node, hash), None));
        }
        let mut expected = BTreeMap::new();
        for level in 0..8 {
            for (index, subtree) in (0..).zip(leaves.chunks_exact(1 << level)) {
                expected.insert(Node { level, index }, naive_root(subtree));
            }
        }
        assert_eq!(given, expected);
    }

    #[test]
    fn a_frontier_grows_on_from_its_bytes() {
        let leaves = leaves(70);
        for size in 0..=70 {
            let mut frontier = Frontier::new();
            frontier.extend(leaves[..size].iter().copied());
            let mut read = Frontier::from_bytes(&frontier.to_bytes()).unwrap();
            assert_eq!(read, frontier);
            read.extend(leaves[size..].iter().copied());
            assert_eq!(read.root(), naive_root(&leaves));
        }
    }

    #[test]
    fn bytes_that_are_no_frontier_are_refused() {
        let mut frontier = Frontier::new();
        frontier.extend(leaves(7));
        let bytes = frontier.to_bytes();
        assert_eq!(bytes.len(), 8 + 3 * 32);
        for length in 0..bytes.len() {
            assert!(matches!(Frontier::from_bytes(&bytes[..length]), Err(Error::Invalid { what: "frontier", .. })));
        }
        assert!(Frontier::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        assert!(Frontier::from_bytes(&[&bytes[..], &[0; 32]].concat()).is_err());

        let full = |size: u64| [&size.to_be_bytes()[..], &vec![7; 32 * size.count_ones() as usize]].concat();
        assert!(Frontier::from_bytes(&full(Frontier::MAX_SIZE)).is_ok());
        assert_eq!(full(Frontier::MAX_SIZE - 1).len(), 1992);
        assert!(Frontier::from_bytes(&full(Frontier::MAX_SIZE + 1)).is_err());
        assert!(Frontier::from_bytes(&full(u64::MAX)).is_err());
    }

    #[test]
    fn the_largest_frontier_takes_more_leaves() {
        let bytes = [&(Frontier::MAX_SIZE - 1).to_be_bytes()[..], &[7; 32 * 62]].concat();
        let mut frontier = Frontier::from_bytes(&bytes).unwrap();
        let mut highest = None;
        frontier.push_with(Hash::EMPTY, |node, _| highest = Some(node));
        assert_eq!(highest, Some(Node { level: 62, index: 0 }));
        frontier.push(Hash::EMPTY);
        assert_eq!(frontier.size(), Frontier::MAX_SIZE + 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frontier_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(frontier) = Frontier::from_bytes(&bytes) {
                prop_assert_eq!(frontier.to_bytes(), bytes);
            }
        }

        #[test]
        fn any_hash_survives_its_text(bytes: [u8; 32]) {
            let hash = Hash::from(bytes);
            prop_assert_eq!(hash.to_string().parse::<Hash>().unwrap(), hash);
        }
    }
}
