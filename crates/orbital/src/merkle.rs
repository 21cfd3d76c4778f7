//! The hash tree over letters that are signed together (RFC 9162, section 2.1).
//!
//! One signature over the root stands for all of them: a reader that is given a million facts checks some
//! thousand signatures and a few hashes for each fact, instead of a million signatures. Each message carries
//! its own way to the root, so that it can be checked alone, whatever the mesh has compacted away around it.
//!
//! What always holds: leaves and inner nodes are hashed under different prefixes, and a proof fits one index
//! of one tree size, so no two different trees share a root and no inner node passes for a letter.

use aws_lc_rs::digest::{Context, SHA256};

/// Most letters in one tree: ten hashes for each, and as many letters as the mesh takes in one batch.
pub(crate) const MAX_LEAVES: usize = 1024;

/// The longest way to a root in a tree of [`MAX_LEAVES`].
const MAX_PATH: usize = 10;

/// A SHA-256 digest.
pub(crate) type Hash = [u8; 32];

/// A letter's way to the root of the tree that it was signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    index: u16,
    size: u16,
    path: Vec<Hash>,
}

/// The hash of a leaf.
pub(crate) fn leaf(bytes: &[u8]) -> Hash {
    hash(&[&[0], bytes])
}

/// The root over leaves, and the way of each to it. At least one leaf and at most [`MAX_LEAVES`].
pub(crate) fn tree(leaves: &[Hash]) -> (Hash, Vec<Proof>) {
    assert!((1..=MAX_LEAVES).contains(&leaves.len()), "callers sign one to {MAX_LEAVES} letters at once");
    let number = |count: usize| u16::try_from(count).expect("bounded by MAX_LEAVES");
    let size = number(leaves.len());
    let mut proofs: Vec<Proof> =
        (0..leaves.len()).map(|index| Proof { index: number(index), size, path: Vec::new() }).collect();
    let root = subtree(leaves, &mut proofs);
    (root, proofs)
}

/// The root of a subtree; every proof of it grows by the way through it.
fn subtree(leaves: &[Hash], proofs: &mut [Proof]) -> Hash {
    if let [leaf] = leaves {
        return *leaf;
    }
    // The largest power of two that is smaller than the number of leaves.
    let split = leaves.len().next_power_of_two() / 2;
    let (left_proofs, right_proofs) = proofs.split_at_mut(split);
    let left = subtree(&leaves[..split], left_proofs);
    let right = subtree(&leaves[split..], right_proofs);
    left_proofs.iter_mut().for_each(|proof| proof.path.push(right));
    right_proofs.iter_mut().for_each(|proof| proof.path.push(left));
    node(&left, &right)
}

impl Proof {
    /// How many letters the tree has.
    pub(crate) fn size(&self) -> u16 {
        self.size
    }

    /// The root that this way leads to from a leaf; none when the way fits no tree (RFC 9162, section 2.1.3.2).
    pub(crate) fn root(&self, leaf: Hash) -> Option<Hash> {
        let (mut index, mut last) = (self.index, self.size.checked_sub(1)?);
        if index > last {
            return None;
        }
        let mut root = leaf;
        for sibling in &self.path {
            if last == 0 {
                return None;
            }
            if index & 1 == 1 || index == last {
                root = node(sibling, &root);
                while index & 1 == 0 && index != 0 {
                    index >>= 1;
                    last >>= 1;
                }
            } else {
                root = node(&root, sibling);
            }
            index >>= 1;
            last >>= 1;
        }
        (last == 0).then_some(root)
    }

    /// Its bytes: index, size, hashes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + 32 * self.path.len());
        bytes.extend_from_slice(&self.index.to_be_bytes());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        self.path.iter().for_each(|hash| bytes.extend_from_slice(hash));
        bytes
    }

    /// From its bytes; none when they are no proof.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, path) = bytes.split_at_checked(4)?;
        let (hashes, rest) = path.as_chunks::<32>();
        if !rest.is_empty() || hashes.len() > MAX_PATH {
            return None;
        }
        let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        Some(Self { index: number(0), size: number(2), path: hashes.to_vec() })
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_leads_to_its_root_and_to_no_other() {
        for count in (1..=70).chain([127, 128, 129, 1023, MAX_LEAVES]) {
            let leaves = leaves(count);
            let (root, proofs) = tree(&leaves);
            for (leaf, proof) in leaves.iter().zip(&proofs) {
                assert_eq!(proof.root(*leaf), Some(root));
                let read = Proof::from_bytes(&proof.to_bytes()).expect("its own bytes");
                assert_eq!(&read, proof);
            }
            let stranger = leaf(b"a letter that was not signed");
            assert!(proofs.iter().all(|proof| proof.root(stranger) != Some(root)));
        }
    }

    /// The tree of RFC 9162, section 2.1.5: seven leaves.
    #[test]
    fn the_tree_has_the_form_of_the_standard() {
        let l = leaves(7);
        let (g, h, i) = (node(&l[0], &l[1]), node(&l[2], &l[3]), node(&l[4], &l[5]));
        let (k, m) = (node(&g, &h), node(&i, &l[6]));
        let (root, proofs) = tree(&l);
        assert_eq!(root, node(&k, &m));
        assert_eq!(proofs[0].path, [l[1], h, m]);
        assert_eq!(proofs[3].path, [l[2], g, m]);
        assert_eq!(proofs[4].path, [l[5], l[6], k]);
        assert_eq!(proofs[6].path, [i, k]);
    }

    #[test]
    fn a_proof_that_was_tampered_with_leads_nowhere() {
        let l = leaves(7);
        let (root, proofs) = tree(&l);
        for (at, proof) in proofs.iter().enumerate() {
            for index in 0..9 {
                let moved = Proof { index, ..proof.clone() };
                assert_eq!(moved.root(l[at]) == Some(root), usize::from(index) == at);
            }
            let shorter = Proof { path: proof.path[1..].to_vec(), ..proof.clone() };
            let longer = Proof { path: [&proof.path[..], &[l[0]]].concat(), ..proof.clone() };
            assert!(shorter.root(l[at]) != Some(root) && longer.root(l[at]).is_none());
        }
        let none = Proof { index: 0, size: 0, path: Vec::new() };
        assert_eq!(none.root(l[0]), None);
    }

    #[test]
    fn what_is_no_proof_is_not_read() {
        for len in [0, 3, 5, 35, 37, 4 + 32 * (MAX_PATH + 1)] {
            assert_eq!(Proof::from_bytes(&vec![0; len]), None, "{len}");
        }
    }
}
