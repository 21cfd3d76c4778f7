//! What a backup says of itself: `backup.json`, beside the copy.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use aws_lc_rs::digest;
use openkcm_contracts::Timestamp;
use openkcm_orbital::TrustBundle;
use serde::{Deserialize, Serialize};

use crate::cli::Progress;
use crate::files;

/// Its file's name.
const FILE: &str = "backup.json";

/// The form that is written, and the only one that is read.
const FORMAT: u32 = 1;

/// How much of a file is read at once, in bytes.
const PIECE: usize = 1024 * 1024;

/// A backup's description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) format: u32,
    /// By its name, such as `krypton-eu-1`.
    pub(super) component: String,
    pub(super) taken_at: Timestamp,
    /// The store's length, in bytes.
    pub(super) bytes: u64,
    /// The store's SHA-256, in hexadecimal.
    pub(super) sha256: String,
    /// The version of OpenKCM that took it.
    pub(super) openkcm: String,
    /// The public keys that the component believed: the landscape, as far as it can be told from outside.
    pub(super) trusted_keys: Vec<String>,
}

impl Description {
    pub(super) fn new(component: String, taken_at: Timestamp, store: Digested, trust: &TrustBundle) -> Self {
        Self {
            format: FORMAT,
            component,
            taken_at,
            bytes: store.bytes,
            sha256: store.sha256,
            openkcm: env!("CARGO_PKG_VERSION").to_owned(),
            trusted_keys: trust.keys.iter().map(|key| key.public_key.clone()).collect(),
        }
    }

    pub(super) fn write(&self, backup: &Path) -> anyhow::Result<()> {
        files::replace(&backup.join(FILE), (serde_json::to_string_pretty(self)? + "\n").as_bytes())
    }

    pub(super) fn read(backup: &Path) -> anyhow::Result<Self> {
        let path = backup.join(FILE);
        let text = files::read(&path)
            .with_context(|| format!("{} is no backup: it has no description", backup.display()))?;
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let form: Form = serde_json::from_str(&text)
            .with_context(|| format!("{} is no description of a backup", path.display()))?;
        if form.format != FORMAT {
            bail!(
                "the backup is of format {}, and this version of openkcm reads {FORMAT}: use the version that took it",
                form.format
            );
        }
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Whether it is of the landscape that believes these keys. Keys are replaced one by one, so that a backup of the
    /// same landscape shares some of them.
    pub(super) fn is_of_landscape(&self, trust: &TrustBundle) -> bool {
        trust.keys.iter().any(|key| self.trusted_keys.contains(&key.public_key))
    }
}

/// What a file's bytes come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digested {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// Reads a file to its end.
pub(super) fn digest(path: &Path, what: &'static str) -> anyhow::Result<Digested> {
    let read = || -> std::io::Result<Digested> {
        let mut file = std::fs::File::open(path)?;
        let progress = Progress::begin(what, Some(file.metadata()?.len()));
        let (mut context, mut piece, mut bytes) = (digest::Context::new(&digest::SHA256), vec![0; PIECE], 0);
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            context.update(&piece[..read]);
            bytes += read as u64;
            progress.add(read as u64);
        }
        let sha256 = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Digested { bytes, sha256 })
    };
    read().with_context(|| format!("{} can't be read", path.display()))
}
