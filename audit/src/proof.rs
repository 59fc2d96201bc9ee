//! Proofs that a tree holds a leaf, and that it extends an earlier one (RFC 6962, section 2.1; RFC 9162, section 2.1).

use std::ops::Range;

use crate::tree::set_bits;
use crate::{Error, Hash, Node, Result, TreeHead};

/// Which complete subtrees a proof is made of, and how.
///
/// Made from sizes alone, without any hash: a database fetches the [`nodes`](Self::nodes), of which there are at most 127,
/// in one query, and [`assemble`](Self::assemble) makes the proof of them.
///
/// # Examples
/// ```
/// use std::collections::HashMap;
/// use stoa_audit::{Frontier, Hash, ProofPlan, verify_inclusion};
///
/// # fn main() -> stoa_audit::Result<()> {
/// let (mut frontier, mut stored) = (Frontier::new(), HashMap::new());
/// for content in ["a", "b", "c"] {
///     frontier.push_with(Hash::of_leaf(content.as_bytes()), |node, hash| {
///         stored.insert(node, hash);
///     });
/// }
/// let plan = ProofPlan::inclusion(1, frontier.size())?;
/// let proof = plan.assemble(|node| stored.get(&node).copied())?;
/// verify_inclusion(Hash::of_leaf(b"b"), 1, &proof, &frontier.head())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofPlan {
    nodes: Vec<Node>,
    /// Which of the nodes, left to right, join to a single hash of the proof: the tree's right edge.
    edge: Range<usize>,
}

impl ProofPlan {
    /// Plans the proof that the tree of `size` leaves holds the leaf at `index`: PATH of RFC 6962, section 2.1.1.
    ///
    /// # Errors
    /// [`Error::ProofMalformed`] if the tree has no such leaf.
    pub fn inclusion(index: u64, size: u64) -> Result<Self> {
        require_leaf(index, size)?;
        let mut plan = Self { nodes: Vec::new(), edge: 0..0 };
        plan.climb(Node { level: 0, index }, size);
        Ok(plan)
    }

    /// Plans the proof that the tree of `new` leaves begins with that of `old` leaves: PROOF of RFC 6962, section 2.1.2.
    ///
    /// The plan is empty if the sizes are equal, or the old tree is empty: there is nothing to prove then.
    ///
    /// # Errors
    /// [`Error::ProofMalformed`] if the old tree is larger than the new one.
    pub fn consistency(old: u64, new: u64) -> Result<Self> {
        require_growth(old, new)?;
        let mut plan = Self { nodes: Vec::new(), edge: 0..0 };
        if old > 0 && old < new {
            let start = last_subtree(old);
            // The old tree is this very subtree: the verifier has its root already.
            if !old.is_power_of_two() {
                plan.nodes.push(start);
            }
            plan.climb(start, new);
        }
        Ok(plan)
    }

    /// Returns the subtrees whose hashes the proof needs, each once.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Makes the proof, at most 65 hashes, of the hashes that `fetched` returns for [`nodes`](Self::nodes).
    ///
    /// # Errors
    /// [`Error::ProofMalformed`] if one of them was not fetched.
    pub fn assemble(&self, fetched: impl FnMut(Node) -> Option<Hash>) -> Result<Vec<Hash>> {
        let hashes: Option<Vec<Hash>> = self.nodes.iter().copied().map(fetched).collect();
        let mut hashes = hashes.ok_or(Error::ProofMalformed { problem: "lacks a node of the tree" })?;
        let joined = hashes[self.edge.clone()].iter().copied().rev().reduce(|right, left| Hash::of_node(left, right));
        hashes.splice(self.edge.clone(), joined);
        Ok(hashes)
    }

    fn climb(&mut self, start: Node, size: u64) {
        for sibling in Siblings::new(start, size) {
            if !sibling.on_edge {
                self.nodes.push(sibling.node);
                continue;
            }
            // At most once, since the path itself runs on the right edge from here on.
            let begin = self.nodes.len();
            let mut first_leaf = sibling.node.index << sibling.node.level;
            for level in set_bits(size - first_leaf).rev() {
                self.nodes.push(Node { level, index: first_leaf >> level });
                first_leaf += 1 << level;
            }
            self.edge = begin..self.nodes.len();
        }
    }
}

/// Verifies that the tree holds the leaf at `index` (RFC 9162, section 2.1.3.2).
///
/// The length of the proof is checked before anything is hashed; it takes one hash for each of at most 64 levels. A proof
/// holds for the root, which does not by itself imply the size: take both from the same checkpoint.
///
/// # Errors
/// [`Error::ProofMalformed`] if the tree has no such leaf or the proof has the wrong length, [`Error::ProofMismatch`] if it
/// does not lead from the leaf to the root.
pub fn verify_inclusion(leaf: Hash, index: u64, proof: &[Hash], head: &TreeHead) -> Result<()> {
    require_leaf(index, head.size)?;
    let siblings = Siblings::new(Node { level: 0, index }, head.size);
    require_length(siblings.clone().count(), proof)?;
    let root = siblings.zip(proof).fold(leaf, |hash, (sibling, other)| sibling.join(hash, *other));
    if root == head.root { Ok(()) } else { Err(Error::ProofMismatch) }
}

/// Verifies that the new tree begins with the leaves of the old one, in the same order (RFC 9162, section 2.1.4.2).
///
/// The empty tree is the beginning of any. The length of the proof is checked before anything is hashed; it takes at most
/// two hashes for each of at most 64 levels.
///
/// # Errors
/// [`Error::ProofMalformed`] if the old tree is larger than the new one or the proof has the wrong length,
/// [`Error::ProofMismatch`] if it does not lead to both roots.
pub fn verify_consistency(old: &TreeHead, new: &TreeHead, proof: &[Hash]) -> Result<()> {
    require_growth(old.size, new.size)?;
    if old.size == new.size || old.size == 0 {
        require_length(0, proof)?;
        let expected = if old.size == 0 { Hash::EMPTY } else { new.root };
        let is_same = old.root == expected && (new.size > 0 || new.root == Hash::EMPTY);
        return if is_same { Ok(()) } else { Err(Error::ProofMismatch) };
    }

    let siblings = Siblings::new(last_subtree(old.size), new.size);
    let is_whole = old.size.is_power_of_two();
    require_length(siblings.clone().count() + usize::from(!is_whole), proof)?;
    let (start, path) = match proof {
        [start, path @ ..] if !is_whole => (*start, path),
        path => (old.root, path),
    };
    // What stands to the left belongs to both trees, what stands to the right was added since.
    let (old_root, new_root) = siblings.zip(path).fold((start, start), |(before, after), (sibling, other)| {
        let before = if sibling.is_left() { sibling.join(before, *other) } else { before };
        (before, sibling.join(after, *other))
    });
    if old_root == old.root && new_root == new.root { Ok(()) } else { Err(Error::ProofMismatch) }
}

/// The nodes beside the path from a complete subtree up to the root.
#[derive(Clone)]
struct Siblings {
    node: Node,
    /// The index of the rightmost node on the same level.
    last: u64,
}

struct Sibling {
    node: Node,
    /// The tree ends in this node: it may be incomplete.
    on_edge: bool,
}

impl Siblings {
    /// The size must be more than 0 and the subtree part of the tree.
    fn new(node: Node, size: u64) -> Self {
        Self { node, last: (size - 1) >> node.level }
    }
}

impl Iterator for Siblings {
    type Item = Sibling;
    fn next(&mut self) -> Option<Sibling> {
        while self.last > 0 {
            let Node { level, index } = self.node;
            let sibling = Node { level, index: index ^ 1 };
            let last = self.last;
            self.node = Node { level: level + 1, index: index >> 1 };
            self.last >>= 1;
            // The last node of a level may stand alone: it is then the same tree one level up.
            if sibling.index <= last {
                return Some(Sibling { node: sibling, on_edge: sibling.index == last });
            }
        }
        None
    }
}

impl Sibling {
    fn is_left(&self) -> bool {
        self.node.index & 1 == 0
    }

    fn join(&self, path: Hash, other: Hash) -> Hash {
        if self.is_left() { Hash::of_node(other, path) } else { Hash::of_node(path, other) }
    }
}

/// The rightmost of the complete subtrees that a tree divides into. The size must be more than 0.
fn last_subtree(size: u64) -> Node {
    let level = set_bits(size).next().unwrap_or_default();
    Node { level, index: (size - 1) >> level }
}

fn require_leaf(index: u64, size: u64) -> Result<()> {
    if index < size {
        Ok(())
    } else {
        Err(Error::ProofMalformed { problem: "is about a leaf that the tree does not have" })
    }
}

fn require_growth(old: u64, new: u64) -> Result<()> {
    if old <= new {
        Ok(())
    } else {
        Err(Error::ProofMalformed { problem: "is about an old tree larger than the new one" })
    }
}

fn require_length(length: usize, proof: &[Hash]) -> Result<()> {
    if proof.len() == length { Ok(()) } else { Err(Error::ProofMalformed { problem: "has the wrong length" }) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::Frontier;
    use crate::tree::tests::{REFERENCE_LEAVES, REFERENCE_ROOTS, leaves, naive_root};

    /// A tree with the hashes of all its complete subtrees and its head at every size.
    struct Tree {
        leaves: Vec<Hash>,
        nodes: HashMap<Node, Hash>,
        heads: Vec<TreeHead>,
    }

    impl Tree {
        fn new(leaves: Vec<Hash>) -> Self {
            let (mut frontier, mut nodes) = (Frontier::new(), HashMap::new());
            let mut heads = vec![frontier.head()];
            for leaf in &leaves {
                frontier.push_with(*leaf, |node, hash| assert_eq!(nodes.insert(node, hash), None));
                heads.push(frontier.head());
            }
            Self { leaves, nodes, heads }
        }

        fn reference() -> Self {
            Self::new(REFERENCE_LEAVES.iter().map(|leaf| Hash::of_leaf(leaf)).collect())
        }

        fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
            ProofPlan::inclusion(index, size).unwrap().assemble(|node| self.nodes.get(&node).copied()).unwrap()
        }

        fn consistency(&self, old: u64, new: u64) -> Vec<Hash> {
            ProofPlan::consistency(old, new).unwrap().assemble(|node| self.nodes.get(&node).copied()).unwrap()
        }

        fn head(&self, size: u64) -> &TreeHead {
            &self.heads[usize::try_from(size).unwrap()]
        }
    }

    /// PATH(m, D[n]) of RFC 6962, section 2.1.1, word for word.
    fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let middle = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(middle);
        let (mut path, last) = if index < middle {
            (naive_path(index, left), naive_root(right))
        } else {
            (naive_path(index - middle, right), naive_root(left))
        };
        path.push(last);
        path
    }

    /// SUBPROOF(m, D[n], b) of RFC 6962, section 2.1.2, word for word.
    fn naive_subproof(old: usize, leaves: &[Hash], is_known: bool) -> Vec<Hash> {
        if old == leaves.len() {
            return if is_known { Vec::new() } else { vec![naive_root(leaves)] };
        }
        let middle = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(middle);
        let (mut proof, last) = if old <= middle {
            (naive_subproof(old, left, is_known), naive_root(right))
        } else {
            (naive_subproof(old - middle, right, false), naive_root(left))
        };
        proof.push(last);
        proof
    }

    fn hashes(texts: &[&str]) -> Vec<Hash> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const PAIR_1: &str = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e";
    const PAIR_2: &str = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a";
    const PAIR_3: &str = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0";
    const LEAF_1: &str = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7";
    const LEAF_4: &str = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b";
    const LEAF_6: &str = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f";
    const RIGHT_HALF: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

    #[test]
    fn inclusion_proofs_of_the_reference_tree() {
        let tree = Tree::reference();
        let root = |size: usize| REFERENCE_ROOTS[size - 1];
        for (index, size, proof) in [
            (0, 1, vec![]),
            (0, 8, vec![LEAF_1, PAIR_1, RIGHT_HALF]),
            (5, 8, vec![LEAF_4, PAIR_3, root(4)]),
            (2, 3, vec![root(2)]),
            (1, 5, vec![root(1), PAIR_1, LEAF_4]),
        ] {
            let proof = hashes(&proof);
            assert_eq!(tree.inclusion(index, size), proof);
            verify_inclusion(tree.leaves[usize::try_from(index).unwrap()], index, &proof, tree.head(size)).unwrap();
        }
    }

    #[test]
    fn consistency_proofs_of_the_reference_tree() {
        let tree = Tree::reference();
        let left_half = REFERENCE_ROOTS[3];
        for (old, new, proof) in [
            (1, 1, vec![]),
            (1, 8, vec![LEAF_1, PAIR_1, RIGHT_HALF]),
            (6, 8, vec![PAIR_2, PAIR_3, left_half]),
            (2, 5, vec![PAIR_1, LEAF_4]),
            (6, 7, vec![PAIR_2, LEAF_6, left_half]),
        ] {
            let proof = hashes(&proof);
            assert_eq!(tree.consistency(old, new), proof);
            verify_consistency(tree.head(old), tree.head(new), &proof).unwrap();
        }
    }

    #[test]
    fn plans_give_the_proofs_of_the_rfc() {
        let tree = Tree::new(leaves(70));
        for size in 1..=70_u64 {
            let leaves = &tree.leaves[..usize::try_from(size).unwrap()];
            for (index, leaf) in (0..).zip(leaves) {
                let proof = tree.inclusion(index, size);
                assert_eq!(proof, naive_path(usize::try_from(index).unwrap(), leaves), "{index} in {size}");
                for other in 0..=size {
                    let is_verified = verify_inclusion(*leaf, other, &proof, tree.head(size)).is_ok();
                    assert_eq!(is_verified, other == index, "{other} for {index} in {size}");
                }
            }
            for old in 1..=size {
                let proof = tree.consistency(old, size);
                assert_eq!(proof, naive_subproof(usize::try_from(old).unwrap(), leaves, true), "{old} to {size}");
                verify_consistency(tree.head(old), tree.head(size), &proof).unwrap();
            }
        }
    }

    #[test]
    fn a_proof_holds_for_no_other_leaf_and_size() {
        let tree = Tree::new(leaves(20));
        let pairs: Vec<(u64, u64)> = (0..=20).flat_map(|size| (0..=size).map(move |index| (index, size))).collect();
        for &(index, size) in pairs.iter().filter(|(index, size)| index < size) {
            let (leaf, proof) = (tree.leaves[usize::try_from(index).unwrap()], tree.inclusion(index, size));
            for &(other, other_size) in &pairs {
                let is_verified = verify_inclusion(leaf, other, &proof, tree.head(other_size)).is_ok();
                assert_eq!(is_verified, (other, other_size) == (index, size));
            }
        }
        for &(old, new) in pairs.iter().filter(|(old, new)| 0 < *old && old < new) {
            let proof = tree.consistency(old, new);
            for &(other_old, other_new) in &pairs {
                let is_verified = verify_consistency(tree.head(other_old), tree.head(other_new), &proof).is_ok();
                assert_eq!(is_verified, (other_old, other_new) == (old, new));
            }
        }
    }

    fn flipped(hash: Hash, bit: usize) -> Hash {
        let mut bytes = *hash.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes.into()
    }

    /// Every proof that differs from this one in one bit.
    fn tampered(proof: &[Hash]) -> impl Iterator<Item = Vec<Hash>> {
        (0..proof.len() * 256).map(|bit| {
            let mut proof = proof.to_vec();
            proof[bit / 256] = flipped(proof[bit / 256], bit % 256);
            proof
        })
    }

    /// Every proof that lacks one hash of this one, or has one more.
    fn stretched(proof: &[Hash]) -> impl Iterator<Item = Vec<Hash>> {
        let shorter = (0..proof.len()).map(|at| [&proof[..at], &proof[at + 1..]].concat());
        let longer = (0..=proof.len()).map(|at| [&proof[..at], &[Hash::EMPTY], &proof[at..]].concat());
        let endless = [vec![Hash::EMPTY; 64], vec![Hash::EMPTY; 65], vec![Hash::EMPTY; 1_000]];
        shorter.chain(longer).chain(endless)
    }

    #[test]
    fn one_flipped_bit_is_refused() {
        let tree = Tree::new(leaves(13));
        for size in 1..=13 {
            let head = tree.head(size);
            for index in 0..size {
                let (leaf, proof) = (tree.leaves[usize::try_from(index).unwrap()], tree.inclusion(index, size));
                for proof in tampered(&proof) {
                    assert!(matches!(verify_inclusion(leaf, index, &proof, head), Err(Error::ProofMismatch)));
                }
                for bit in 0..256 {
                    assert!(verify_inclusion(flipped(leaf, bit), index, &proof, head).is_err());
                    let head = TreeHead { root: flipped(head.root, bit), ..*head };
                    assert!(verify_inclusion(leaf, index, &proof, &head).is_err());
                }
            }
            for old in 0..=size {
                let (old, proof) = (tree.head(old), tree.consistency(old, size));
                for proof in tampered(&proof) {
                    assert!(matches!(verify_consistency(old, head, &proof), Err(Error::ProofMismatch)));
                }
                for bit in 0..256 {
                    let forged = TreeHead { root: flipped(old.root, bit), ..*old };
                    assert!(verify_consistency(&forged, head, &proof).is_err());
                    let forged = TreeHead { root: flipped(head.root, bit), ..*head };
                    // Whatever the new tree is, it begins with no leaves.
                    assert_eq!(verify_consistency(old, &forged, &proof).is_ok(), old.size == 0);
                }
            }
        }
    }

    #[test]
    fn a_proof_of_the_wrong_length_is_refused() {
        let tree = Tree::new(leaves(40));
        for size in 1..=40 {
            for index in 0..size {
                let leaf = tree.leaves[usize::try_from(index).unwrap()];
                for proof in stretched(&tree.inclusion(index, size)) {
                    let verdict = verify_inclusion(leaf, index, &proof, tree.head(size));
                    assert!(matches!(verdict, Err(Error::ProofMalformed { .. })));
                }
            }
            for old in 0..=size {
                for proof in stretched(&tree.consistency(old, size)) {
                    let verdict = verify_consistency(tree.head(old), tree.head(size), &proof);
                    assert!(matches!(verdict, Err(Error::ProofMalformed { .. })));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_proved_is_refused() {
        for (index, size) in [(0, 0), (1, 1), (8, 8), (u64::MAX, u64::MAX), (u64::MAX, 0)] {
            assert!(matches!(ProofPlan::inclusion(index, size), Err(Error::ProofMalformed { .. })));
            let head = TreeHead { size, root: Hash::EMPTY };
            assert!(verify_inclusion(Hash::EMPTY, index, &[], &head).is_err());
        }
        for (old, new) in [(1, 0), (8, 7), (u64::MAX, u64::MAX - 1)] {
            assert!(matches!(ProofPlan::consistency(old, new), Err(Error::ProofMalformed { .. })));
            let head = |size| TreeHead { size, root: Hash::EMPTY };
            assert!(verify_consistency(&head(old), &head(new), &[]).is_err());
        }
        let plan = ProofPlan::inclusion(1, 8).unwrap();
        let lacking = plan.nodes()[2];
        let proof = plan.assemble(|node| (node != lacking).then_some(Hash::EMPTY));
        assert!(matches!(proof, Err(Error::ProofMalformed { .. })));
    }

    /// A tree of any size whose leaves are all the same: what its subtrees hash to depends on their level alone.
    fn uniform(size: u64) -> (impl Fn(Node) -> Option<Hash>, TreeHead) {
        let mut levels = vec![Hash::of_leaf(b"")];
        for level in 0..63 {
            levels.push(Hash::of_node(levels[level], levels[level]));
        }
        let smallest_first = set_bits(size).map(|level| levels[usize::from(level)]);
        let root = smallest_first.reduce(|right, left| Hash::of_node(left, right)).unwrap_or(Hash::EMPTY);
        (move |node: Node| levels.get(usize::from(node.level)).copied(), TreeHead { size, root })
    }

    #[test]
    fn the_largest_trees_stay_within_the_bounds() {
        let (stored, head) = uniform(u64::MAX);
        let plan = ProofPlan::consistency((1 << 63) - 1, u64::MAX).unwrap();
        assert_eq!(plan.nodes().len(), 127);
        let old = uniform((1 << 63) - 1).1;
        let proof = plan.assemble(&stored).unwrap();
        assert_eq!(proof.len(), 65);
        verify_consistency(&old, &head, &proof).unwrap();
    }

    proptest! {
        #[test]
        fn large_trees_prove_as_the_rfc_says(size in 1..3000_u64, picks: [prop::sample::Index; 2]) {
            let tree = Tree::new(leaves(size));
            let index = picks[0].index(tree.leaves.len());
            let proof = tree.inclusion(index as u64, size);
            prop_assert_eq!(&proof, &naive_path(index, &tree.leaves));
            verify_inclusion(tree.leaves[index], index as u64, &proof, tree.head(size))?;

            let old = picks[1].index(tree.leaves.len()) + 1;
            let proof = tree.consistency(old as u64, size);
            prop_assert_eq!(&proof, &naive_subproof(old, &tree.leaves, true));
            verify_consistency(tree.head(old as u64), tree.head(size), &proof)?;
        }

        #[test]
        fn proofs_reach_across_all_sizes(a: u64, b: u64, shift_a in 0..64_u32, shift_b in 0..64_u32) {
            let (old, new) = ((a >> shift_a).min(b >> shift_b), (a >> shift_a).max(b >> shift_b));
            let (stored, head) = uniform(new);
            let plan = ProofPlan::consistency(old, new)?;
            prop_assert!(plan.nodes().len() <= 127);
            let proof = plan.assemble(&stored)?;
            prop_assert!(proof.len() <= 65);
            verify_consistency(&uniform(old).1, &head, &proof)?;
            if old < new {
                let proof = ProofPlan::inclusion(old, new)?.assemble(&stored)?;
                prop_assert!(proof.len() <= 64);
                verify_inclusion(Hash::of_leaf(b""), old, &proof, &head)?;
            }
        }

        #[test]
        fn random_proofs_are_refused(
            index: u64, sizes: [u64; 2], shift in 0..64_u32, proof in prop::collection::vec(any::<[u8; 32]>(), 0..70)
        ) {
            let proof: Vec<Hash> = proof.into_iter().map(Hash::from).collect();
            let head = |size: u64| TreeHead { size: size >> shift, root: Hash::of_leaf(b"") };
            prop_assert!(verify_inclusion(Hash::of_leaf(b"?"), index >> shift, &proof, &head(sizes[0])).is_err());
            if sizes[0] >> shift != sizes[1] >> shift {
                prop_assert!(verify_consistency(&head(sizes[0]), &head(sizes[1]), &proof).is_err());
            }
        }
    }
}
