//! The container of encrypted files: age (age-encryption.org/v1), with a recipient stanza of our own.
//!
//! ```text
//! -> openkcm TENANT/SYSTEM/SERVICE kcm1.…
//! base64 of the file key, sealed under the data key that the kcm1.… ciphertext holds
//! ```
//!
//! Each file has a data key of its own, which a Core made and which seals one thing once: age's file key, by the
//! primitive that age's own recipients use. The rest is age's: a header that is authenticated under the file key,
//! then chunks of 64 KiB, each authenticated together with its place and with whether it is the last.
//!
//! What always holds: memory does not grow with the file; what is written is authentic and in order, a prefix of
//! the plaintext; a file that was cut short, altered, reordered or extended is an error. Who has network and keys
//! is behind [`FileKeys`]; who has files is the caller.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read, Write};

use age::secrecy::ExposeSecret as _;
use age::{DecryptError, Decryptor, EncryptError, Encryptor, Identity, Recipient};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::{aead_decrypt, aead_encrypt};
use anyhow::{Context as _, anyhow, bail};
use openkcm_contracts::ServicePath;
use zeroize::Zeroizing;

use super::output::write_failed;

/// What every age file begins with; the version follows.
pub(crate) const MAGIC: &[u8] = b"age-encryption.org/";

/// The tag of our stanza.
const TAG: &str = "openkcm";

/// The largest header that is read. Ours has less than 1 KiB; others may have added recipients.
const MAX_HEADER_BYTES: u64 = 16 * 1024;

/// What the last line of a header begins with.
const HEADER_END: &[u8] = b"--- ";

/// What is read and written at once: a chunk of the format.
const BUFFER_BYTES: usize = 64 * 1024;

/// A data key's length.
pub(crate) const DATA_KEY_BYTES: usize = 32;

/// A data key in the clear, wiped when dropped.
pub(crate) type DataKey = Zeroizing<[u8; DATA_KEY_BYTES]>;

/// Where the data keys of files come from.
pub(crate) trait FileKeys {
    /// Makes a data key: in the clear, and sealed as `kcm1.…`.
    fn make(&self, key: &ServicePath) -> anyhow::Result<(DataKey, String)>;

    /// Opens a sealed data key.
    fn open(&self, key: &ServicePath, sealed: &str) -> anyhow::Result<DataKey>;
}

/// Encrypts all of `input` under a new data key, and tells of every piece that was read.
///
/// # Errors
/// When there is no data key, or the input or the output fails. What was written then is no whole file.
pub(crate) fn encrypt(
    keys: &dyn FileKeys,
    key: &ServicePath,
    input: &mut dyn Read,
    output: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<()> {
    let sealer = Sealer { keys, key, failure: RefCell::default() };
    let encryptor = Encryptor::with_recipients(std::iter::once(&sealer as &dyn Recipient));
    let encryptor = encryptor.map_err(|error| sealer.failure.take().unwrap_or_else(|| error.into()))?;
    let mut sealed = encryptor.wrap_output(output).map_err(write_failed)?;
    let mut buffer = Zeroizing::new(vec![0; BUFFER_BYTES]);
    loop {
        let read = read_some(input, &mut buffer).context("can't read the input")?;
        if read == 0 {
            break;
        }
        sealed.write_all(&buffer[..read]).map_err(write_failed)?;
        progress(read as u64);
    }
    sealed.finish().and_then(|output| output.flush()).map_err(write_failed)
}

/// Decrypts all of `input`, and tells of every piece that was written.
///
/// # Errors
/// When it is not such a file, is of another key, is not whole and unaltered, or does not open; or when the input
/// or the output fails. What was written then is an authentic beginning of the plaintext.
pub(crate) fn decrypt(
    keys: &dyn FileKeys,
    key: &ServicePath,
    input: &mut dyn Read,
    output: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<()> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    let header = read_header(&mut input)?;
    let opener = Opener { keys, key, failure: RefCell::default() };
    let decryptor = Decryptor::new_buffered(Cursor::new(header).chain(input)).map_err(refusal)?;
    let opened = decryptor.decrypt(std::iter::once(&opener as &dyn Identity));
    let mut opened = opened.map_err(|error| opener.failure.take().unwrap_or_else(|| refusal(error)))?;
    let mut buffer = Zeroizing::new(vec![0; BUFFER_BYTES]);
    loop {
        let read = read_some(&mut opened, &mut buffer).map_err(damage)?;
        if read == 0 {
            break;
        }
        output.write_all(&buffer[..read]).map_err(write_failed)?;
        progress(read as u64);
    }
    output.flush().map_err(write_failed)
}

/// Reads as much as there is at once; nothing at the end only.
fn read_some(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Reads the lines of a header. The parser would go on for as long as lines come, so they are counted here.
fn read_header(input: &mut impl BufRead) -> anyhow::Result<Vec<u8>> {
    let mut header = Vec::new();
    let mut limited = input.take(MAX_HEADER_BYTES);
    loop {
        let line = header.len();
        limited.read_until(b'\n', &mut header).context("can't read the input")?;
        let known = header.len().min(MAGIC.len());
        if header.is_empty() || header[..known] != MAGIC[..known] {
            bail!("this is no file that `openkcm encrypt` made");
        }
        if header[line..].ends_with(b"\n") && header[line..].starts_with(HEADER_END) {
            return Ok(header);
        }
        if limited.limit() == 0 {
            bail!("the file's header is longer than {MAX_HEADER_BYTES} bytes: it is damaged, or not ours");
        }
        if !header[line..].ends_with(b"\n") {
            bail!("the file is cut short: it ends within its header");
        }
    }
}

/// Seals the file key to a service's key.
struct Sealer<'a> {
    keys: &'a dyn FileKeys,
    key: &'a ServicePath,
    /// Why there is no data key; age has no room for it.
    failure: RefCell<Option<anyhow::Error>>,
}

impl Recipient for Sealer<'_> {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let (data_key, sealed) = self.keys.make(self.key).map_err(|error| {
            self.failure.replace(Some(error));
            EncryptError::MissingRecipients
        })?;
        // A key that seals once needs no nonce, as for age's own recipients.
        let body = aead_encrypt(&data_key, file_key.expose_secret());
        let stanza = Stanza { tag: TAG.to_owned(), args: vec![self.key.to_string(), sealed], body };
        Ok((vec![stanza], HashSet::new()))
    }
}

/// Opens what [`Sealer`] sealed.
struct Opener<'a> {
    keys: &'a dyn FileKeys,
    key: &'a ServicePath,
    /// Why the file key does not open; age has no room for it.
    failure: RefCell<Option<anyhow::Error>>,
}

impl Opener<'_> {
    /// The file key in the stanza of this key, of which a file has one.
    fn open(&self, stanzas: &[Stanza]) -> anyhow::Result<FileKey> {
        let mut others = Vec::new();
        for stanza in stanzas.iter().filter(|stanza| stanza.tag == TAG) {
            let [path, sealed] = stanza.args.as_slice() else {
                bail!("the file is damaged, or a later version made it: its key stanza is not understood");
            };
            if *path == self.key.to_string() {
                return self.open_with(sealed, &stanza.body);
            }
            // The header is not authenticated yet: only a name is repeated, never any text.
            others.extend(path.parse::<ServicePath>().ok().map(|path| path.to_string()));
        }
        if others.is_empty() {
            bail!("the file is encrypted, but not by `openkcm encrypt`: it holds no data key");
        }
        bail!("the file was encrypted with {}, not with {}", others.join(" and "), self.key)
    }

    fn open_with(&self, sealed: &str, body: &[u8]) -> anyhow::Result<FileKey> {
        let data_key = self.keys.open(self.key, sealed)?;
        let file_key = aead_decrypt(&data_key, FILE_KEY_BYTES, body).map(Zeroizing::new);
        let file_key = file_key.map_err(|_| anyhow!("the file is damaged: its key stanza does not open"))?;
        FileKey::try_init_with_mut(|place| {
            let whole = file_key.len() == place.len();
            whole.then(|| place.copy_from_slice(&file_key)).context("the file key has another length")
        })
    }
}

impl Identity for Opener<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        Some(self.open(stanzas).map_err(|error| {
            self.failure.replace(Some(error));
            DecryptError::DecryptionFailed
        }))
    }
}

/// Why a header is refused.
fn refusal(error: DecryptError) -> anyhow::Error {
    match error {
        DecryptError::InvalidMac => anyhow!("the file's header was altered"),
        DecryptError::InvalidHeader => anyhow!("the file's header is damaged"),
        DecryptError::UnknownFormat => anyhow!("the file is of a later format than this version reads"),
        DecryptError::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            anyhow!("the file is cut short: it ends right after its header")
        }
        error => anyhow::Error::new(error).context("the file does not open"),
    }
}

/// Why the data behind a header is refused.
fn damage(error: io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => anyhow!("the file is cut short: what was written is not all of it"),
        ErrorKind::InvalidData => {
            anyhow!(
                "the file was altered, cut short or put together in another order, and is refused from there on"
            )
        }
        _ => anyhow::Error::new(error).context("can't read the input"),
    }
}

#[cfg(test)]
mod tests;
