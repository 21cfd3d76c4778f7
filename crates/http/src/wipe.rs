//! A buffer that leaves no copies behind.
//!
//! A `Vec` that grows frees its old allocation as it was, with the plaintext still in it. This one
//! wipes what it leaves, and itself when it is dropped. Not a place for keys: those live in locked
//! memory (crate `openkcm-secrets`); this is for texts that pass through.

use std::io;

use zeroize::Zeroizing;

/// The first allocation: most bodies fit, and a length that is only announced costs no more than this.
const FIRST_BYTES: usize = 4 * 1024;

/// Bytes that are wiped wherever they were.
#[derive(Default)]
pub(crate) struct WipingBuf(Zeroizing<Vec<u8>>);

impl WipingBuf {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger =
                Zeroizing::new(Vec::with_capacity(needed.max(self.0.capacity() * 2).max(FIRST_BYTES)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn into_inner(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl io::Write for WipingBuf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_in_parts_comes_out_in_one_piece() {
        let mut buf = WipingBuf::default();
        let part = [7; 1_000];
        (0..20).for_each(|_| buf.push(&part));
        assert_eq!(buf.len(), 20_000);
        assert!(buf.into_inner().iter().all(|byte| *byte == 7));
    }
}
