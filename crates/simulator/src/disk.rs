//! A component's simulated disk: memory that survives a crash, and remembers what was written lately.
//!
//! Not a file system. What always holds: a transaction is there as a whole or not at all, and every
//! value that was committed is seen once by the invariant of containment.

use openkcm_store::{Item, Memory, Read, Scan, Space, StoreError, Write};

/// A disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    memory: Memory,
    fresh: Vec<Vec<u8>>,
}

impl Disk {
    /// What is committed.
    pub(crate) fn view(&self) -> &Memory {
        &self.memory
    }

    /// One transaction.
    pub(crate) fn write<T, E>(
        &mut self,
        change: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<T, E> {
        let fresh = &mut self.fresh;
        self.memory.write(|tx| {
            let mut recorder = Recorder { tx, written: Vec::new() };
            let answer = change(&mut recorder)?;
            fresh.append(&mut recorder.written);
            Ok(answer)
        })
    }

    /// One transaction that only a store could fail, which memory does not.
    pub(crate) fn commit<T>(&mut self, change: impl FnOnce(&mut dyn Write) -> Result<T, StoreError>) -> T {
        self.write(change).expect("a store in memory does not fail")
    }

    /// A copy of it, as a backup takes one.
    pub(crate) fn copy(&self) -> Memory {
        self.memory.clone()
    }

    /// A copy is put back in its place; an empty one when it is lost.
    pub(crate) fn put_back(&mut self, copy: Memory) {
        self.memory = copy;
    }

    /// What was written since this was last asked.
    pub(crate) fn take_fresh(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.fresh)
    }

    /// The keys of a space.
    pub(crate) fn keys(&self, space: Space) -> Vec<Vec<u8>> {
        self.items(space).into_iter().map(|(key, _)| key).collect()
    }

    /// The items of a space.
    pub(crate) fn items(&self, space: Space) -> Vec<Item> {
        self.memory.scan(space, Scan::prefix(b"")).expect("a store in memory does not fail")
    }
}

struct Recorder<'a> {
    tx: &'a mut dyn Write,
    written: Vec<Vec<u8>>,
}

impl Read for Recorder<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.tx.get(space, key)
    }

    fn scan(&self, space: Space, scan: Scan<'_>) -> Result<Vec<Item>, StoreError> {
        self.tx.scan(space, scan)
    }

    fn last(&self, space: Space, prefix: &[u8]) -> Result<Option<Item>, StoreError> {
        self.tx.last(space, prefix)
    }
}

impl Write for Recorder<'_> {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.written.push(value.to_vec());
        self.tx.put(space, key, value)
    }

    fn delete(&mut self, space: Space, key: &[u8]) -> Result<(), StoreError> {
        self.tx.delete(space, key)
    }

    fn as_read(&self) -> &dyn Read {
        self
    }
}
