//! What two sides hold, summed up, so that they find out at little cost whether it is the same, and where not.
//!
//! A sum over (thing, revision, content) is kept for each *unit* (a tenant's word, a system with its services, a
//! tenant's link) and for each of 256 buckets of units, in the transaction that changes a thing. Two sides that
//! agree exchange the buckets' digests, whatever they hold; two that differ look into the buckets that differ,
//! then into units, and list things only where few are left.
//!
//! What always holds: the sum of a set does not depend on the order in which it came to be; and what a
//! transaction that was not committed has changed is in no sum. Sums find accidents, not forgeries: who may write
//! a store can write its sums. Why units and not one tree of things: `docs/adr/0015-digests-by-system.md`.

mod changes;
mod look;
mod recount;
mod shelf;
mod sum;
mod unit;

pub use changes::Changes;
pub use look::{Difference, MOST_LISTED, Narrowed, bucket_of, bucket_of_node, lies_in};
pub use shelf::{BUCKETS, Buckets, BucketsError, EVERY_VIEW, Shelf};
pub use sum::Sum;
pub use unit::Unit;
