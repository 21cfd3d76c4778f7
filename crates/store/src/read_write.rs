//! The two faces of a store that rules may see.

use crate::StoreError;

/// A named space of a store: an ordered map from keys to values. The name is a table's name, so it
/// is a constant of the code, never anyone's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space(pub &'static str);

/// A key and its value.
pub type Item = (Vec<u8>, Vec<u8>);

/// Which items of a space to read, in the order of their keys.
#[derive(Debug, Clone, Copy)]
pub struct Scan<'a> {
    /// Only keys that begin so.
    pub prefix: &'a [u8],
    /// Only keys after this one.
    pub after: Option<&'a [u8]>,
    /// At most so many.
    pub limit: usize,
}

impl<'a> Scan<'a> {
    /// Everything under a prefix.
    pub fn prefix(prefix: &'a [u8]) -> Self {
        Self { prefix, after: None, limit: usize::MAX }
    }
}

/// A consistent view of a store.
pub trait Read {
    /// The value of a key.
    ///
    /// # Errors
    /// When the store can't be read.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The items that a scan asks for.
    ///
    /// # Errors
    /// When the store can't be read.
    fn scan(&self, space: Space, scan: Scan<'_>) -> Result<Vec<Item>, StoreError>;

    /// The item with the greatest key under a prefix.
    ///
    /// # Errors
    /// When the store can't be read.
    fn last(&self, space: Space, prefix: &[u8]) -> Result<Option<Item>, StoreError>;
}

/// A transaction: sees its own writes, and takes effect as a whole or not at all.
pub trait Write: Read {
    /// Sets the value of a key.
    ///
    /// # Errors
    /// When the store can't be written.
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Removes a key, if it is there.
    ///
    /// # Errors
    /// When the store can't be written.
    fn delete(&mut self, space: Space, key: &[u8]) -> Result<(), StoreError>;

    /// This transaction, as something to read.
    fn as_read(&self) -> &dyn Read;
}

/// The first key that is greater than every key with this prefix; none when there is no such key.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::prefix_end;

    #[test]
    fn the_end_of_a_prefix_is_after_all_its_keys() {
        assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_end(&[1, 255]), Some(vec![2]));
        assert_eq!(prefix_end(&[255, 255]), None);
        assert_eq!(prefix_end(b""), None);
    }
}
