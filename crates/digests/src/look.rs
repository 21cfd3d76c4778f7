//! Looking into nodes: what a Core answers to a query, and how its authority goes on from there.

use std::collections::{BTreeMap, BTreeSet};

use openkcm_contracts::v1::{Contents, Listed, ListedThing, Node, NodeDigest};
use openkcm_store::{Read, StoreError};

use crate::sum::place_of;
use crate::{Shelf, Sum};

/// Units, or things, that are listed at once; where there are more, smaller nodes are.
pub const MOST_LISTED: usize = 64;

/// The longest name of a unit that is looked into, in bytes: longer than any that there is.
const MAX_UNIT_LEN: usize = 256;

/// The bucket that a unit lies in.
pub fn bucket_of(unit: &str) -> u8 {
    place_of(unit)[0]
}

/// The bucket that a node is, or lies in.
pub fn bucket_of_node(node: &Node) -> u8 {
    match node {
        Node::Bucket(bucket) => *bucket,
        Node::Place(place) => place.to_be_bytes()[0],
        Node::Unit(unit) | Node::Part { unit, .. } => bucket_of(unit),
    }
}

/// Whether a thing of a unit lies in a node.
pub fn lies_in(node: &Node, unit: &str, subject: &str) -> bool {
    match node {
        Node::Bucket(bucket) => bucket_of(unit) == *bucket,
        Node::Place(place) => u16::from_be_bytes(place_of(unit)) == *place,
        Node::Unit(of) => of == unit,
        Node::Part { unit: of, part } => of == unit && place_of(subject)[0] == *part,
    }
}

impl Shelf {
    /// Looks into a node of a view. `things` are those of a unit that are held: subject, revision, sum.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn look(
        &self,
        store: &dyn Read,
        view: &str,
        node: &Node,
        mut things: impl FnMut(&str) -> Result<Vec<(ListedThing, Sum)>, StoreError>,
    ) -> Result<Listed, StoreError> {
        let contents = match node {
            Node::Bucket(bucket) => {
                let units = self.units_at(store, view, &[*bucket], MOST_LISTED + 1)?;
                if units.len() <= MOST_LISTED {
                    units_of(units)
                } else {
                    self.places_of(store, view, *bucket)?
                }
            }
            Node::Place(place) => units_of(self.units_at(store, view, &place.to_be_bytes(), usize::MAX)?),
            Node::Unit(unit) => {
                let held = things(unit)?;
                if held.len() <= MOST_LISTED { listed(held) } else { parts_of(unit, &held) }
            }
            Node::Part { unit, part } => {
                let mut held = things(unit)?;
                held.retain(|(thing, _)| place_of(&thing.subject)[0] == *part);
                listed(held)
            }
        };
        Ok(Listed { node: node.clone(), contents })
    }

    /// Compares what the other side found in a node with what lies in it here, divided as the other side did.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn narrow(
        &self,
        store: &dyn Read,
        view: &str,
        theirs: &Listed,
        mut things: impl FnMut(&str) -> Result<Vec<(ListedThing, Sum)>, StoreError>,
    ) -> Result<Narrowed, StoreError> {
        let ours = match (&theirs.node, &theirs.contents) {
            (Node::Bucket(bucket), Contents::Nodes(nodes)) => match nodes.first() {
                Some(NodeDigest { node: Node::Place(_), .. }) => self.places_of(store, view, *bucket)?,
                _ => units_of(self.units_at(store, view, &[*bucket], usize::MAX)?),
            },
            (Node::Unit(unit), Contents::Nodes(_)) => parts_of(unit, &things(unit)?),
            (Node::Unit(unit), Contents::Things(_)) => listed(things(unit)?),
            (node, _) => self.look(store, view, node, things)?.contents,
        };
        Ok(match (&theirs.contents, ours) {
            (Contents::Nodes(listed), Contents::Nodes(ours)) => {
                let mut nodes = differing_nodes(listed, &ours);
                // What lies elsewhere was not asked for; so each answer leads to smaller nodes, and to an end.
                nodes.retain(|node| is_part(&theirs.node, node));
                Narrowed { nodes, things: Vec::new() }
            }
            (Contents::Things(listed), Contents::Things(ours)) => {
                Narrowed { nodes: BTreeSet::new(), things: differing_things(listed, &ours) }
            }
            // A place holds units, and a part things: whoever says otherwise is not understood, and asked no more.
            _ => Narrowed::default(),
        })
    }

    fn places_of(&self, store: &dyn Read, view: &str, bucket: u8) -> Result<Contents, StoreError> {
        let mut places: BTreeMap<u16, Sum> = BTreeMap::new();
        for (unit, sum) in self.units_at(store, view, &[bucket], usize::MAX)? {
            let total = places.entry(u16::from_be_bytes(place_of(&unit))).or_default();
            *total = total.plus(sum);
        }
        Ok(nodes(places.into_iter().map(|(place, sum)| (Node::Place(place), sum))))
    }
}

/// Whether a node is a smaller one within another.
fn is_part(of: &Node, node: &Node) -> bool {
    match (of, node) {
        (Node::Bucket(bucket), Node::Place(place)) => place.to_be_bytes()[0] == *bucket,
        (Node::Bucket(_) | Node::Place(_), Node::Unit(unit)) => {
            unit.len() <= MAX_UNIT_LEN && lies_in(of, unit, "")
        }
        (Node::Unit(of), Node::Part { unit, .. }) => unit == of,
        _ => false,
    }
}

fn units_of(units: Vec<(String, Sum)>) -> Contents {
    nodes(units.into_iter().map(|(unit, sum)| (Node::Unit(unit), sum)))
}

fn parts_of(unit: &str, held: &[(ListedThing, Sum)]) -> Contents {
    let mut parts: BTreeMap<u8, Sum> = BTreeMap::new();
    for (thing, sum) in held {
        let total = parts.entry(place_of(&thing.subject)[0]).or_default();
        *total = total.plus(*sum);
    }
    nodes(parts.into_iter().map(|(part, sum)| (Node::Part { unit: unit.to_owned(), part }, sum)))
}

fn nodes(nodes: impl Iterator<Item = (Node, Sum)>) -> Contents {
    Contents::Nodes(nodes.map(|(node, sum)| NodeDigest { node, digest: sum.digest() }).collect())
}

fn listed(held: Vec<(ListedThing, Sum)>) -> Contents {
    Contents::Things(held.into_iter().map(|(thing, _)| thing).collect())
}

/// What is not the same in a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// Nodes that differ: to be looked into.
    pub nodes: BTreeSet<Node>,
    /// Things that differ.
    pub things: Vec<Difference>,
}

/// A thing that two sides hold differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its subject.
    pub subject: String,
    /// What the other side holds; none if nothing.
    pub theirs: Option<ListedThing>,
    /// What this side holds; none if nothing.
    pub ours: Option<ListedThing>,
}

fn differing_nodes(theirs: &[NodeDigest], ours: &[NodeDigest]) -> BTreeSet<Node> {
    let of = |nodes: &[NodeDigest]| -> BTreeMap<Node, String> {
        nodes.iter().map(|entry| (entry.node.clone(), entry.digest.clone())).collect()
    };
    let (theirs, ours) = (of(theirs), of(ours));
    let all = theirs.keys().chain(ours.keys());
    all.filter(|node| theirs.get(node) != ours.get(node)).cloned().collect()
}

fn differing_things(theirs: &[ListedThing], ours: &[ListedThing]) -> Vec<Difference> {
    let of = |things: &[ListedThing]| -> BTreeMap<String, ListedThing> {
        things.iter().map(|thing| (thing.subject.clone(), thing.clone())).collect()
    };
    let (mut theirs, mut ours) = (of(theirs), of(ours));
    let subjects: BTreeSet<String> = theirs.keys().chain(ours.keys()).cloned().collect();
    let all = subjects.into_iter().map(|subject| Difference {
        theirs: theirs.remove(&subject),
        ours: ours.remove(&subject),
        subject,
    });
    all.filter(|difference| difference.theirs != difference.ours).collect()
}

#[cfg(test)]
mod tests;
