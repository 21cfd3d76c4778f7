//! The sum of a set of things.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256, digest};
use openkcm_contracts::v1::KeyPurge;
use openkcm_contracts::{Event, Revision};

/// The sum of a set of things: of one is the first half of its SHA-256, of several their sum modulo 2^128.
///
/// Adding and taking away are the whole arithmetic, so a set that changes by one thing costs one addition. A
/// difference of two sums is a sum too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    count: u64,
    value: u128,
}

impl Sum {
    /// The sum of one thing.
    pub fn of(subject: &str, revision: Revision, content: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in [subject.as_bytes(), revision.to_string().as_bytes(), content] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Self { count: 1, value: first_half(context.finish().as_ref()) }
    }

    /// The sum of one fact, as its event tells it.
    pub fn of_event(event: &Event, revision: Revision) -> Self {
        Self::of(event.subject().as_str(), revision, &event.to_body())
    }

    /// The sum of a tombstone: of what it ends, and not of the revision that told it, since a rebuild may tell it anew.
    pub fn of_tombstone(fact: &KeyPurge) -> Self {
        Self::of_event(&Event::KeyPurge(fact.clone()), fact.generation.0)
    }

    /// The digest, in hexadecimal.
    pub fn digest(self) -> String {
        format!("{:032x}", self.value)
    }

    /// The digest's bytes.
    pub(crate) fn bytes(self) -> [u8; 16] {
        self.value.to_be_bytes()
    }

    /// With another one.
    pub fn plus(self, other: Self) -> Self {
        Self { count: self.count.wrapping_add(other.count), value: self.value.wrapping_add(other.value) }
    }

    /// Without another one.
    pub fn minus(self, other: Self) -> Self {
        Self { count: self.count.wrapping_sub(other.count), value: self.value.wrapping_sub(other.value) }
    }

    /// Whether it is of nothing.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// The first two bytes of a name's hash.
pub(crate) fn place_of(name: &str) -> [u8; 2] {
    let hash = digest(&SHA256, name.as_bytes());
    [hash.as_ref()[0], hash.as_ref()[1]]
}

fn first_half(hash: &[u8]) -> u128 {
    hash.iter().take(16).fold(0, |value, byte| (value << 8) | u128::from(*byte))
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:032x}", self.count, self.value)
    }
}

/// A text is no sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sum is expected as COUNT.DIGEST")]
pub struct SumError;

impl FromStr for Sum {
    type Err = SumError;

    fn from_str(text: &str) -> Result<Self, SumError> {
        let (count, value) = text.split_once('.').ok_or(SumError)?;
        Ok(Self {
            count: count.parse().map_err(|_| SumError)?,
            value: u128::from_str_radix(value, 16).map_err(|_| SumError)?,
        })
    }
}

openkcm_contracts::as_text!(Sum);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thing_revision_and_content_are_told_apart() {
        let r = |counter| Revision::new(1, counter);
        let sums = [
            Sum::of("key.a", r(1), b"x"),
            Sum::of("key.ab", r(1), b"x"),
            Sum::of("key.a", r(2), b"x"),
            Sum::of("key.a", r(1), b"y"),
            Sum::of("key.a", r(1), b""),
            Sum::of("key.", r(1), b"ax"),
        ];
        for (at, sum) in sums.iter().enumerate() {
            assert!(sums[at + 1..].iter().all(|other| other.digest() != sum.digest()));
        }
    }

    #[test]
    fn a_sum_is_read_back_from_its_text() {
        let sum = Sum::of("key.a", Revision::new(1, 1), b"x");
        let difference = Sum::default().minus(sum);
        for sum in [sum, difference, sum.plus(sum), Sum::default()] {
            assert_eq!(sum.to_string().parse(), Ok(sum));
        }
        assert!("x".parse::<Sum>().is_err() && "1.x".parse::<Sum>().is_err());
    }
}
