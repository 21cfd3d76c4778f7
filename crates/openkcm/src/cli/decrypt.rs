//! `openkcm decrypt`: whatever `openkcm encrypt` made, a file or `kcm1.…`; the first bytes tell which.

use std::io::{Cursor, Read, Write as _};

use anyhow::{Context as _, bail};
use clap::Args;
use openkcm_client::Served;
use openkcm_contracts::ServicePath;

use super::container::{self, MAGIC};
use super::core_keys::CoreKeys;
use super::files::{MAX_CIPHERTEXT_BYTES, StreamFlags, read_small};
use super::globals::InRegion;
use super::output::write_failed;
use super::progress::Progress;
use super::report::Usage;
use super::session::Session;

/// What a ciphertext of a Core begins with.
const KCM1: &[u8] = b"kcm1.";

#[derive(Args)]
#[command(after_help = "\
What is written is authentic, always. A file that was cut short or altered is refused where that shows: with --out
nothing is left then, on stdout its beginning was written, and the exit code says that it is not all.

Examples:
  openkcm decrypt acme/hr/payroll < report.pdf.enc > report.pdf
  openkcm decrypt acme/hr/payroll --in backup.tar.enc --out backup.tar
  openkcm decrypt acme/hr/payroll --aad user-42 < password.kcm")]
pub(crate) struct Arguments {
    /// TENANT/SYSTEM/SERVICE, the same that it was encrypted with
    key: ServicePath,
    #[command(flatten)]
    streams: StreamFlags,
    /// Take nothing but kcm1.…
    #[arg(long)]
    raw: bool,
    /// What was bound to it by `encrypt --raw --aad`
    #[arg(long, value_name = "TEXT")]
    aad: Option<String>,
    #[command(flatten)]
    at: InRegion,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    decrypt(arguments, session).with_context(|| format!("can't decrypt with {}", arguments.key))
}

fn decrypt(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let (mut input, len) = arguments.streams.open()?;
    let begin = peek(&mut input, MAGIC.len())?;
    let kind = kind(&begin);
    let mut input = Cursor::new(begin).chain(input);
    match kind {
        Kind::Raw => raw(arguments, session, &mut input),
        _ if arguments.raw => bail!("the input does not begin with kcm1."),
        Kind::File if arguments.aad.is_some() => {
            Err(Usage("--aad is for kcm1.… ciphertexts; a file has none").into())
        }
        Kind::File => file(arguments, session, &mut input, len),
        Kind::Other => bail!("the input is nothing that `openkcm encrypt` made"),
    }
}

fn file(
    arguments: &Arguments,
    session: &Session,
    input: &mut dyn Read,
    len: Option<u64>,
) -> anyhow::Result<()> {
    let Arguments { key, streams, at, .. } = arguments;
    let mut output = streams.create(true, true)?;
    let keys = CoreKeys { session, region: at.region.as_ref() };
    let progress = Progress::begin("decrypting", len);
    container::decrypt(&keys, key, input, &mut output, &mut |bytes| progress.add(bytes))?;
    output.finish()
}

fn raw(arguments: &Arguments, session: &Session, input: &mut dyn Read) -> anyhow::Result<()> {
    let Arguments { key, streams, aad, at, .. } = arguments;
    let text = read_small(input, MAX_CIPHERTEXT_BYTES, "no Core makes such a ciphertext")?;
    let text = std::str::from_utf8(&text).ok().map(str::trim).context("the ciphertext is damaged")?;
    let aad = aad.as_deref().map(str::as_bytes);
    let ask = session.anywhere(at.region.as_ref(), async |core| core.decrypt(key, text, aad).await);
    let Served { answer, .. } = session.block_on(ask)?;
    let mut output = streams.create(true, true)?;
    output.write_all(&answer.plaintext).and_then(|()| output.flush()).map_err(write_failed)?;
    output.finish()
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    File,
    Raw,
    Other,
}

/// What an input is that begins so. One that ends early is what it might have become.
fn kind(begin: &[u8]) -> Kind {
    match begin {
        begin if begin.starts_with(KCM1) => Kind::Raw,
        begin if !begin.is_empty() && MAGIC.starts_with(begin) => Kind::File,
        _ => Kind::Other,
    }
}

/// The first bytes, fewer only where there are no more.
fn peek(input: &mut dyn Read, len: usize) -> anyhow::Result<Vec<u8>> {
    let mut begin = Vec::with_capacity(len);
    input.take(len as u64).read_to_end(&mut begin).context("can't read the input")?;
    Ok(begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_a_file_from_a_ciphertext() {
        assert_eq!(kind(b"kcm1.AQ6f"), Kind::Raw);
        assert_eq!(kind(MAGIC), Kind::File);
        assert_eq!(kind(b"age-enc"), Kind::File);
        for other in [&b""[..], b"hello, this is a text", b"kcm2.AQ6f-and-further"] {
            assert_eq!(kind(other), Kind::Other, "{other:?}");
        }
    }

    #[test]
    fn what_was_peeked_at_is_read_again() {
        let mut input: &[u8] = b"kcm1.AQ6f";
        let begin = peek(&mut input, 5).unwrap();
        let mut all = Vec::new();
        Cursor::new(begin).chain(input).read_to_end(&mut all).unwrap();
        assert_eq!(all, b"kcm1.AQ6f");
    }
}
