//! The landscape's directory: signing keys, trust bundle, credential, and what was chosen at first.
//!
//! Each file is made whole or not at all, and once it is there it is only read, so that a start that
//! was killed is simply done again. Everything secret is readable by its owner alone.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use openkcm_client::Landscape;
use openkcm_contracts::{RegionId, Role};
use openkcm_host::Entropy;
use openkcm_http::Token;
use openkcm_orbital::{Signer, TrustBundle};

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
        private_directory(&directory.join("keys"))?;
        let text = once(&directory.join(CREDENTIAL), || Token::generate(entropy).expose().to_owned())?;
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
        let seed = zeroize::Zeroizing::new(once(&path, || Signer::new_seed(entropy))?);
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

/// This program, as a shell line can call it.
pub(super) fn program() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("openkcm"));
    let here = std::env::current_dir().unwrap_or_default();
    match program.strip_prefix(&here) {
        // A name without a slash would be looked for on the PATH.
        Ok(name) => shell_word(&Path::new(".").join(name)),
        Err(_) => shell_word(&program),
    }
}

/// A path as one word of a shell line.
pub(super) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+,:@%".contains(character);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn private_directory(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("the directory {} can't be made", path.display()))
}

fn lock(directory: &Path) -> anyhow::Result<fs::File> {
    let path = directory.join("lock");
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("{} can't be made", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            bail!("another process runs the landscape in {}: stop that one first", directory.display())
        }
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} can't be locked", path.display()))
        }
    }
}

/// The text of a file; made of `first` when there is none yet.
fn once(path: &Path, first: impl FnOnce() -> String) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => return Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{} can't be read", path.display())),
    }
    let text = zeroize::Zeroizing::new(first());
    replace(path, text.as_bytes())?;
    Ok(text.to_string())
}

/// Puts a file in place whole: written beside it, synced, renamed.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let draft = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file =
            fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("{} can't be written", path.display()))
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

    #[test]
    fn a_path_is_quoted_for_the_shell_where_it_has_to_be() {
        for (path, word) in [
            ("./target/release/openkcm", "./target/release/openkcm"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~x", "'~x'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}
