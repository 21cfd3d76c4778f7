//! The landscape's directory: signing keys, trust bundle, credential, and what was chosen at first.
//!
//! Each file is made whole or not at all, and once it is there it is only read, so that a start that
//! was killed is simply done again. Everything secret is readable by its owner alone.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use openkcm_client::Landscape;
use openkcm_contracts::{RegionId, Role};
use openkcm_host::Entropy;
use openkcm_http::Token;
use openkcm_orbital::{Signer, TrustBundle};
use zeroize::Zeroizing;

use crate::files::{lock, once, private_directory, replace, room};

/// The regions of a landscape that nobody chose others for.
const DEFAULT_REGIONS: [&str; 2] = ["a", "b"];

/// The file, beside `landscape.json`, that holds the administrator's token.
pub(super) const CREDENTIAL: &str = "credential";

/// The landscape's directory.
pub(super) struct Home {
    directory: PathBuf,
    /// Held for as long as the landscape runs: of two first starts at once, each would make keys and a
    /// credential, and one of them serve with what the other has overwritten.
    _lock: fs::File,
    /// The administrator's token.
    pub(super) token: Token,
}

impl Home {
    /// Makes the directory, if it is not there, and the credential in it.
    pub(super) fn prepare(directory: &Path, entropy: &dyn Entropy) -> anyhow::Result<Self> {
        private_directory(directory)?;
        let lock = lock(directory)?;
        room(directory, "keys")?;
        let make = || Ok(Zeroizing::new(Token::generate(entropy).expose().to_owned()));
        let text = once(&directory.join(CREDENTIAL), make)?;
        let token = Token::new(text.trim()).with_context(|| {
            format!("{} holds no token; delete it to have a new one", directory.join(CREDENTIAL).display())
        })?;
        Ok(Self { directory: directory.to_path_buf(), _lock: lock, token })
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory of one component's own state.
    pub(super) fn of(&self, component: &str) -> PathBuf {
        self.directory.join(component)
    }

    /// Where client commands find the landscape.
    pub(super) fn landscape_file(&self) -> PathBuf {
        self.directory.join("landscape.json")
    }

    /// The regions: those that are asked for, or those of the last start. A region that has state is
    /// never left out in silence.
    pub(super) fn regions(&self, asked: &[RegionId]) -> anyhow::Result<Vec<RegionId>> {
        let last: Vec<RegionId> = match Landscape::load(&self.landscape_file()) {
            Ok(landscape) => landscape.regions.into_iter().map(|region| region.name).collect(),
            Err(openkcm_client::LandscapeError::Missing { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        if let Some(missing) = last.iter().find(|region| !asked.is_empty() && !asked.contains(region)) {
            bail!(
                "region {missing} of this landscape is not in --regions: name it too, or use another --data-dir"
            );
        }
        let mut regions: Vec<RegionId> = if asked.is_empty() { last } else { asked.to_vec() };
        if regions.is_empty() {
            regions = DEFAULT_REGIONS.iter().map(|name| RegionId::new(name)).collect::<Result<_, _>>()?;
        }
        if let Some(twice) =
            regions.iter().enumerate().find_map(|(at, r)| regions[..at].contains(r).then_some(r))
        {
            bail!("region {twice} stands twice in --regions");
        }
        Ok(regions)
    }

    /// A component's signing key, made at its first start.
    pub(super) fn signer(
        &self,
        role: Role,
        region: Option<&RegionId>,
        entropy: &dyn Entropy,
    ) -> anyhow::Result<Signer> {
        let name = region.map_or_else(|| role.to_string(), |region| format!("{role}-{region}"));
        let path = self.directory.join("keys").join(format!("{name}.seed"));
        let seed = once(&path, || Ok(Zeroizing::new(Signer::new_seed(entropy))))?;
        Signer::from_seed(&seed, role, region.cloned())
            .with_context(|| format!("{} holds no signing key", path.display()))
    }

    /// Writes the trust bundle of all signers, for those who look.
    pub(super) fn save_trust(&self, bundle: &TrustBundle) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(bundle).context("the trust bundle can't be written")?;
        replace(&self.directory.join("trust.json"), &text)
    }

    /// Whether a first start was completed; and notes that it was.
    pub(super) fn sample_is_made(&self) -> bool {
        self.directory.join("sample").exists()
    }

    pub(super) fn note_sample(&self) -> anyhow::Result<()> {
        replace(&self.directory.join("sample"), b"a later start makes no sample tenant\n")
    }
}

#[cfg(test)]
mod tests {
    use openkcm_host::OsEntropy;

    use super::*;

    #[test]
    fn of_two_first_starts_at_once_one_makes_the_credential_and_the_other_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let prepare = || Home::prepare(directory.path(), &OsEntropy::new());
        let home = prepare().expect("the first");
        let refused = prepare().err().expect("the second is refused");
        assert!(refused.to_string().contains("another process"), "{refused}");
        let token = home.token.expose().to_owned();
        drop(home);
        assert_eq!(prepare().expect("the next").token.expose(), token);
    }
}
