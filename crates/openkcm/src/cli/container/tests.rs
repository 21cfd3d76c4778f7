//! The container over keys in memory: what comes back, and everything that must not.

use std::cell::Cell;

use openkcm_host::{Entropy as _, SeededEntropy};

use super::*;

const KEY: &str = "acme/hr/payroll";
const CHUNK: usize = 64 * 1024;
const SEALED_CHUNK: usize = CHUNK + 16;
const NONCE: usize = 16;

/// A key service in memory. The sealed form is the key with the path that it is bound to, in the clear.
#[derive(Default)]
struct Memory {
    made: Cell<u8>,
}

impl FileKeys for Memory {
    fn make(&self, key: &ServicePath) -> anyhow::Result<(DataKey, String)> {
        self.made.set(self.made.get() + 1);
        let made = self.made.get();
        Ok((Zeroizing::new([made; DATA_KEY_BYTES]), format!("kcm1.{made}.{key}")))
    }

    fn open(&self, key: &ServicePath, sealed: &str) -> anyhow::Result<DataKey> {
        let rest = sealed.strip_prefix("kcm1.").context("no ciphertext")?;
        let (made, path) = rest.split_once('.').context("no ciphertext")?;
        anyhow::ensure!(path == key.to_string(), "the Core refuses another key's ciphertext");
        Ok(Zeroizing::new([made.parse()?; DATA_KEY_BYTES]))
    }
}

fn key() -> ServicePath {
    KEY.parse().unwrap()
}

fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SeededEntropy::new(len as u64).fill(&mut bytes);
    bytes
}

fn encrypted(plaintext: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    encrypt(&Memory::default(), &key(), &mut &*plaintext, &mut file, &mut |_| {}).unwrap();
    file
}

/// What came of a file, and what was written until then.
fn decrypted(file: &[u8]) -> (anyhow::Result<()>, Vec<u8>) {
    decrypted_as(&key(), file)
}

fn decrypted_as(key: &ServicePath, mut file: &[u8]) -> (anyhow::Result<()>, Vec<u8>) {
    let mut written = Vec::new();
    let result = decrypt(&Memory::default(), key, &mut file, &mut written, &mut |_| {});
    (result, written)
}

/// Where the chunks begin: after the header's last line and the nonce.
fn payload_at(file: &[u8]) -> usize {
    let end = file.windows(5).position(|bytes| bytes == b"\n--- ").unwrap() + 1;
    end + file[end..].iter().position(|byte| *byte == b'\n').unwrap() + 1 + NONCE
}

/// Refused, and what was written until then is whole chunks of the plaintext, from its beginning.
fn assert_refused(file: &[u8], plaintext: &[u8], what: &str) {
    let (result, written) = decrypted(file);
    assert!(result.is_err(), "{what} was taken");
    assert!(plaintext.starts_with(&written), "{what}: something else than the plaintext was written");
    assert!(written.len() % CHUNK == 0 || written.len() == plaintext.len(), "{what}: {}", written.len());
}

#[test]
fn files_of_every_kind_of_length_come_back() {
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * 1024 * 1024 + 3] {
        let plaintext = random(len);
        let file = encrypted(&plaintext);
        assert!(file.starts_with(b"age-encryption.org/v1\n"));
        let (result, written) = decrypted(&file);
        result.unwrap();
        assert!(written == plaintext, "{len} bytes came back as others");
    }
}

#[test]
fn progress_counts_the_plaintext_on_both_ways() {
    let plaintext = random(3 * CHUNK + 7);
    let (mut there, mut back) = (0, 0);
    let mut file = Vec::new();
    encrypt(&Memory::default(), &key(), &mut &*plaintext, &mut file, &mut |read| there += read).unwrap();
    decrypt(&Memory::default(), &key(), &mut &*file, &mut io::sink(), &mut |read| back += read).unwrap();
    assert_eq!((there, back), (plaintext.len() as u64, plaintext.len() as u64));
}

#[test]
fn the_plaintext_is_not_in_the_file_and_no_two_files_share_a_key() {
    let plaintext = b"CANARY-OF-THE-PLAINTEXT".repeat(100);
    let keys = Memory::default();
    let mut files = [Vec::new(), Vec::new()];
    for file in &mut files {
        encrypt(&keys, &key(), &mut &*plaintext, file, &mut |_| {}).unwrap();
        assert!(!file.windows(6).any(|bytes| bytes == b"CANARY"));
    }
    assert_eq!(keys.made.get(), 2);
    assert_ne!(files[0], files[1]);
}

#[test]
fn a_file_that_was_cut_at_any_border_or_between_is_refused() {
    let plaintext = random(3 * CHUNK + 100);
    let file = encrypted(&plaintext);
    let payload = payload_at(&file);
    let borders = (0..4).flat_map(|chunk| {
        let border = payload + chunk * SEALED_CHUNK;
        [border.saturating_sub(1), border, border + 1, border + 17]
    });
    let mut places: Vec<usize> = borders.collect();
    places.extend([0, 1, 10, payload - NONCE, file.len() - 1, file.len() - 16, file.len() - 17]);
    let entropy = SeededEntropy::new(7);
    places.extend((0..64).map(|_| {
        let place = u64::from_be_bytes(openkcm_host::random_array(&entropy));
        usize::try_from(place % file.len() as u64).unwrap()
    }));
    for place in places {
        assert_refused(&file[..place], &plaintext, &format!("a file cut at {place}"));
    }
}

#[test]
fn a_file_that_ends_with_a_full_chunk_is_refused_without_it() {
    let plaintext = random(2 * CHUNK);
    let file = encrypted(&plaintext);
    assert_refused(&file[..file.len() - SEALED_CHUNK], &plaintext, "a file without its last chunk");
}

#[test]
fn chunks_that_changed_places_or_were_doubled_left_out_or_added_are_refused() {
    let plaintext = random(4 * CHUNK);
    let file = encrypted(&plaintext);
    let payload = payload_at(&file);
    let (head, chunks) = file.split_at(payload);
    let chunks: Vec<&[u8]> = chunks.chunks(SEALED_CHUNK).collect();
    assert_eq!(chunks.len(), 4);
    for order in [
        &[1, 0, 2, 3][..],
        &[0, 2, 1, 3],
        &[0, 1, 3, 2],
        &[0, 0, 1, 2, 3],
        &[1, 2, 3],
        &[0, 1, 2, 3, 3],
        &[3],
    ] {
        let put_together: Vec<u8> =
            head.iter().copied().chain(order.iter().flat_map(|chunk| chunks[*chunk].to_vec())).collect();
        assert_refused(&put_together, &plaintext, &format!("the order {order:?}"));
    }
    let longer = [&file[..], b"x"].concat();
    assert_refused(&longer, &plaintext, "a file with a byte more");
}

#[test]
fn a_chunk_of_another_file_under_the_same_service_is_refused() {
    let (one, other) = (random(2 * CHUNK), vec![7; 2 * CHUNK]);
    let (file, donor) = (encrypted(&one), encrypted(&other));
    let mut spliced = file.clone();
    let (at, from) = (payload_at(&file), payload_at(&donor));
    spliced[at..at + SEALED_CHUNK].copy_from_slice(&donor[from..from + SEALED_CHUNK]);
    assert_refused(&spliced, &one, "another file's chunk");
}

#[test]
fn any_altered_byte_of_a_small_file_is_refused_before_anything_is_written() {
    let plaintext = random(100);
    let file = encrypted(&plaintext);
    for at in 0..file.len() {
        for flip in [0x01, 0x80] {
            let mut altered = file.clone();
            altered[at] ^= flip;
            let (result, written) = decrypted(&altered);
            assert!(result.is_err() && written.is_empty(), "byte {at} of {} by {flip:#x}", file.len());
        }
    }
}

#[test]
fn an_altered_byte_in_a_later_chunk_is_refused_from_that_chunk_on() {
    let plaintext = random(4 * CHUNK + 5);
    let file = encrypted(&plaintext);
    let payload = payload_at(&file);
    for chunk in 0..5 {
        for within in [0, 5, 20] {
            let mut altered = file.clone();
            altered[payload + chunk * SEALED_CHUNK + within] ^= 1;
            let (result, written) = decrypted(&altered);
            assert!(result.unwrap_err().to_string().contains("altered"));
            assert_eq!(written, plaintext[..chunk * CHUNK]);
        }
    }
}

#[test]
fn a_file_of_another_key_is_refused_by_name_and_nobody_is_asked_to_open_it() {
    let file = encrypted(b"x");
    let (result, written) = decrypted_as(&"acme/hr/pensions".parse().unwrap(), &file);
    let text = result.unwrap_err().to_string();
    assert_eq!(text, "the file was encrypted with acme/hr/payroll, not with acme/hr/pensions");
    assert!(written.is_empty());
}

#[test]
fn a_file_whose_header_was_changed_to_name_another_key_is_refused_by_the_core() {
    let mut renamed = encrypted(b"x");
    let text = renamed.windows(KEY.len()).position(|bytes| bytes == KEY.as_bytes()).unwrap();
    renamed[text..text + KEY.len()].copy_from_slice(b"acme/hr/pension");
    let (result, written) = decrypted_as(&"acme/hr/pension".parse().unwrap(), &renamed);
    assert_eq!(result.unwrap_err().to_string(), "the Core refuses another key's ciphertext");
    assert!(written.is_empty());
}

#[test]
fn what_is_no_file_of_ours_is_refused_in_bounded_memory() {
    let mut endless = MAGIC.to_vec();
    endless.extend_from_slice(b"v1\n");
    let without_end = Cursor::new(endless.clone()).chain(io::repeat(b'x'));
    let lines = Cursor::new(endless).chain(io::repeat(b'\n'));
    for (what, input) in [("one line", &mut { without_end } as &mut dyn Read), ("many lines", &mut { lines })]
    {
        let result = decrypt(&Memory::default(), &key(), input, &mut io::sink(), &mut |_| {});
        assert!(result.is_err(), "{what}");
    }
    for text in [&b""[..], b"hello", b"age", b"age-encryption.org/v1\n", b"age-encryption.org/v2\n--- \n"] {
        assert!(decrypted(text).0.is_err(), "{text:?}");
    }
}

#[test]
fn a_file_that_age_encrypted_to_someone_else_says_so() {
    let passphrase = age::secrecy::SecretString::from("a passphrase".to_owned());
    let mut recipient = age::scrypt::Recipient::new(passphrase);
    recipient.set_work_factor(1);
    let file = age::encrypt(&recipient, b"x").unwrap();
    let text = decrypted(&file).0.unwrap_err().to_string();
    assert!(text.contains("not by `openkcm encrypt`"), "{text}");
}

#[test]
fn a_core_that_refuses_is_heard_in_its_own_words() {
    struct Refusing;
    impl FileKeys for Refusing {
        fn make(&self, _: &ServicePath) -> anyhow::Result<(DataKey, String)> {
            bail!("tenant_unlinked")
        }
        fn open(&self, _: &ServicePath, _: &str) -> anyhow::Result<DataKey> {
            bail!("tenant_unlinked")
        }
    }
    let mut written = Vec::new();
    let result = encrypt(&Refusing, &key(), &mut &b"x"[..], &mut written, &mut |_| {});
    assert_eq!(result.unwrap_err().to_string(), "tenant_unlinked");
    let result = decrypt(&Refusing, &key(), &mut &*encrypted(b"x"), &mut written, &mut |_| {});
    assert_eq!(result.unwrap_err().to_string(), "tenant_unlinked");
    assert!(written.is_empty());
}

#[test]
fn an_input_or_output_that_fails_is_an_error_of_its_own() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::TimedOut.into())
        }
    }
    let keys = Memory::default();
    let full = encrypt(&keys, &key(), &mut &b"x"[..], &mut Full, &mut |_| {}).unwrap_err();
    assert_eq!(full.to_string(), "can't write the output");
    let failing = encrypt(&keys, &key(), &mut Failing, &mut io::sink(), &mut |_| {}).unwrap_err();
    assert_eq!(failing.to_string(), "can't read the input");
}
