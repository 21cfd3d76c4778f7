//! Files that hold a credential.
//!
//! Read whole, with a largest size, into a buffer that does not grow and is wiped. Nothing of them is told
//! in errors.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::RootError;

/// The longest file: tokens with many policies in them take some kilobytes.
const MAX_LEN: usize = 16 * 1024;

/// The text of a file.
pub(super) async fn read(path: &Path) -> Result<Zeroizing<String>, RootError> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_now(&file)).await;
    read.unwrap_or_else(|_| Err(io::Error::other("the process is ending"))).map_err(|error| {
        RootError::misconfigured(format!(
            "can't read a credential from {} ({}): put it there, for this process to read",
            path.display(),
            error.kind()
        ))
    })
}

fn read_now(path: &Path) -> io::Result<Zeroizing<String>> {
    // One byte more than may be read, and one more that `read_to_end` looks for the end with.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_LEN + 2));
    File::open(path)?.take(MAX_LEN as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_LEN {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        assert_eq!(read_now(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "s.abc\n").unwrap();
        assert_eq!(read_now(&path).unwrap().as_str(), "s.abc\n");
        std::fs::write(&path, vec![b'a'; MAX_LEN]).unwrap();
        assert_eq!(read_now(&path).unwrap().len(), MAX_LEN);
        std::fs::write(&path, vec![b'a'; MAX_LEN + 1]).unwrap();
        assert_eq!(read_now(&path).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(read_now(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
