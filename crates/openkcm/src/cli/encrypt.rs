//! `openkcm encrypt`: a file of any size, or with `--raw` a small text by the Core itself.

use std::io::BufWriter;

use anyhow::Context as _;
use clap::Args;
use openkcm_client::Served;
use openkcm_contracts::{RegionId, ServicePath};
use serde_json::json;

use super::container;
use super::core_keys::CoreKeys;
use super::files::{StreamFlags, read_small};
use super::globals::InRegion;
use super::output;
use super::progress::Progress;
use super::render::{self, Format};
use super::session::Session;

/// The largest plaintext that a Core takes.
const MAX_RAW_BYTES: u64 = 1024 * 1024;

/// What is written to disk at once.
const BUFFER_BYTES: usize = 128 * 1024;

#[derive(Args)]
#[command(after_help = "\
The file is encrypted here, in the age format, under a data key of its own that the Core makes; the Core never sees
the file. With --raw the Core encrypts up to 1 MiB itself, and kcm1.… is printed.

Examples:
  openkcm encrypt acme/hr/payroll < report.pdf > report.pdf.enc
  openkcm encrypt acme/hr/payroll --in backup.tar --out backup.tar.enc
  printf %s \"$PASSWORD\" | openkcm encrypt acme/hr/payroll --raw --aad user-42")]
pub(crate) struct Arguments {
    /// TENANT/SYSTEM/SERVICE
    key: ServicePath,
    #[command(flatten)]
    streams: StreamFlags,
    /// Have the Core encrypt a small text, and print kcm1.…
    #[arg(long)]
    raw: bool,
    /// Bind this to the ciphertext: decryption needs the same
    #[arg(long, value_name = "TEXT", requires = "raw")]
    aad: Option<String>,
    #[command(flatten)]
    at: InRegion,
}

pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let doing = || format!("can't encrypt with {}", arguments.key);
    if arguments.raw { raw(arguments, session) } else { file(arguments, session) }.with_context(doing)
}

fn file(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let Arguments { key, streams, at, .. } = arguments;
    let (mut input, len) = streams.open()?;
    let mut output = streams.create(false, false)?;
    let keys = CoreKeys { session, region: at.region.as_ref() };
    let progress = Progress::begin("encrypting", len);
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, &mut output);
    container::encrypt(&keys, key, &mut input, &mut buffered, &mut |bytes| progress.add(bytes))?;
    drop(buffered);
    output.finish()
}

fn raw(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let Arguments { key, streams, aad, at, .. } = arguments;
    let (mut input, _) = streams.open()?;
    let plaintext = read_small(&mut input, MAX_RAW_BYTES, "leave --raw out, and it is encrypted as a file")?;
    let aad = aad.as_deref().map(str::as_bytes);
    let ask = session.anywhere(at.region.as_ref(), async |core| core.encrypt(key, &plaintext, aad).await);
    let Served { region, answer, .. } = session.block_on(ask)?;
    warn_if_at_risk(answer.at_risk, &region);
    let text = match session.format {
        Format::Table => answer.ciphertext,
        Format::Json => render::json(&json!({
            "ciphertext": answer.ciphertext, "version": answer.version, "region": region, "at_risk": answer.at_risk,
        })),
    };
    let mut output = streams.create(false, true)?;
    write_line(&mut output, &text)?;
    output.finish()
}

fn write_line(output: &mut impl std::io::Write, text: &str) -> anyhow::Result<()> {
    writeln!(output, "{text}").and_then(|()| output.flush()).map_err(output::write_failed)
}

/// Says that what was just made would be lost with one region.
pub(crate) fn warn_if_at_risk(at_risk: bool, region: &RegionId) {
    if at_risk {
        output::warn(&format!(
            "the key version that was used is in region {region} alone so far, and would be lost with it"
        ));
    }
}
