//! What is in the file of a local root: a line that names the format, and the key in hexadecimal.
//!
//! Not for where the file is. What always holds: of what is read, nothing is left but the key in locked
//! memory.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use openkcm_secrets::{SecretBytes, SecretKey};
use zeroize::Zeroizing;

use super::directory::disk_error;
use crate::RootError;

/// The first line of every key file: which release wrote it does not matter, which format it is does.
const FIRST_LINE: &[u8] = b"openkcm-local-root-v1\n";

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Length of a whole file, with the line end that is its last byte.
const FILE_LEN: usize = FIRST_LINE.len() + 2 * SecretKey::LEN + 1;

/// Permissions of anybody but the owner.
const OTHERS: u32 = 0o077;

/// A file for this key.
pub(super) fn text(key: &SecretKey) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_LEN));
    text.extend_from_slice(FIRST_LINE);
    for byte in key.expose() {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 0xf)]);
    }
    text.push(b'\n');
    text
}

/// The key of a file; `path` is for the words.
pub(super) fn read(path: &Path, mut file: File) -> Result<SecretKey, RootError> {
    let metadata = file.metadata().map_err(|error| disk_error("read", path, &error))?;
    if metadata.mode() & OTHERS != 0 {
        return Err(RootError::misconfigured(format!(
            "others than its owner may use {}: set its mode to 600, and think about who has read it",
            path.display()
        )));
    }
    let mut text = SecretBytes::zeroed(FILE_LEN);
    match file.read_exact(text.expose_mut()) {
        Ok(()) if metadata.len() == FILE_LEN as u64 => {}
        Ok(()) => return Err(no_key(path)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(no_key(path)),
        Err(error) => return Err(disk_error("read", path, &error)),
    }
    let mut key = Zeroizing::new([0; SecretKey::LEN]);
    if !decode(text.expose(), &mut key) {
        return Err(no_key(path));
    }
    crate::root::hold(&mut *key)
}

/// Reads the key of a file's text into `key`; `false` when there is none.
fn decode(text: &[u8], key: &mut [u8; SecretKey::LEN]) -> bool {
    let Some(digits) = text.strip_prefix(FIRST_LINE).and_then(|rest| rest.strip_suffix(b"\n")) else {
        return false;
    };
    let value = |digit: u8| DIGITS.iter().position(|known| *known == digit);
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let (Some(high), Some(low)) = (value(pair[0]), value(pair[1])) else { return false };
        *byte = u8::try_from(high << 4 | low).expect("two hexadecimal digits are a byte");
    }
    digits.len() == 2 * SecretKey::LEN
}

fn no_key(path: &Path) -> RootError {
    RootError::misconfigured(format!("{} is not a local root's file: restore it from a copy", path.display()))
}
