//! The provider `local`: roots that are files on this machine, to try things out with.
//!
//! **No place for a production root**: who can read the directory has every key, and so has every copy of the
//! disk. It is a full provider in everything else, revocation included: an empty file `NAME.disabled` beside
//! `NAME.key` disables the key, `NAME.deleted` deletes it, and both hold from the next operation on.
//!
//! A key is read for each operation, into locked memory, and is wiped after it.

mod directory;
mod key_file;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use openkcm_contracts::RootRef;
use openkcm_host::{Entropy, random_array};
use openkcm_secrets::{SecretKey, xaes};
use zeroize::Zeroizing;

pub use directory::CreateError;

use crate::sealed::{self, Driver};
use crate::{Binding, BuildError, Description, KeyState, LocalConfig, Root, RootError};
use directory::{KeyDirectory, KeyName, Standing};

/// What the key of a root of this provider is used with.
const ALGORITHM: &str = "XAES-256-GCM";

/// Roots that are files in one directory.
pub struct LocalRoot {
    directory: Arc<KeyDirectory>,
    auto_create: bool,
    entropy: Arc<dyn Entropy>,
}

impl LocalRoot {
    /// The name that references use for this provider.
    pub const PROVIDER: &str = "local";

    /// Opens the directory, or makes it, and says loudly what this is.
    ///
    /// # Errors
    ///
    /// When the directory can't be made.
    pub fn build(
        config: &LocalConfig,
        data_dir: &Path,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, BuildError> {
        let path = data_dir.join(&config.directory);
        let directory = KeyDirectory::open_or_make(path.clone()).map_err(|source| BuildError::Path {
            provider: Self::PROVIDER,
            path: path.clone(),
            source,
        })?;
        tracing::warn!(
            directory = %path.display(),
            "the provider `local` keeps root keys in plain files: it is for trying things out, not for \
             production"
        );
        Ok(Self { directory: Arc::new(directory), auto_create: config.auto_create, entropy })
    }

    /// Makes a new root key.
    ///
    /// # Errors
    ///
    /// When there is one of this name, or was one, or the name or the disk is no good.
    pub async fn create(&self, name: &str) -> Result<(), CreateError> {
        let name = KeyName::parse(name)?;
        let (directory, entropy) = (self.directory.clone(), self.entropy.clone());
        blocking(move || directory.create(&name, &*entropy)).await
    }

    /// Makes a root key unless there is one; tells whether it was made.
    ///
    /// # Errors
    ///
    /// When there was one and it is deleted, or the name or the disk is no good.
    pub async fn ensure(&self, name: &str) -> Result<bool, CreateError> {
        match self.create(name).await {
            Ok(()) => Ok(true),
            Err(CreateError::Exists { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// What the directory says of a key, which is made first where that was configured.
    async fn standing(&self, name: &KeyName) -> Result<Standing, RootError> {
        let (directory, wanted) = (self.directory.clone(), name.clone());
        let standing = blocking(move || directory.standing(&wanted)).await?;
        if standing == Standing::Missing && self.auto_create && !self.was_there(name).await? {
            self.ensure(name.as_str()).await?;
            return Ok(Standing::Usable);
        }
        Ok(standing)
    }

    /// Whether a key of this name was made here before: then what is missing has sealed something, and
    /// another in its place would open none of that, and stand in the way of the key's own return.
    async fn was_there(&self, name: &KeyName) -> Result<bool, RootError> {
        let (directory, wanted) = (self.directory.clone(), name.clone());
        blocking(move || directory.was_there(&wanted)).await
    }

    async fn read(&self, name: KeyName) -> Result<SecretKey, RootError> {
        let directory = self.directory.clone();
        blocking(move || directory.read(&name)).await
    }
}

#[async_trait]
impl Root for LocalRoot {
    async fn seal(
        &self,
        key: &RootRef,
        binding: &Binding,
        plaintext: &SecretKey,
    ) -> Result<Vec<u8>, RootError> {
        let name = name_of(key)?;
        self.standing(&name).await?;
        let root = self.read(name).await?;
        let nonce = random_array::<{ xaes::NONCE_LEN }>(&*self.entropy);
        let mut body = *plaintext.expose();
        let tag = xaes::seal_in_place(&root, &nonce, &binding.to_bytes(), &mut body);
        Ok(sealed::wrap(Driver::Local, &[&nonce, &body, &tag]))
    }

    async fn unseal(&self, key: &RootRef, binding: &Binding, sealed: &[u8]) -> Result<SecretKey, RootError> {
        let name = name_of(key)?;
        let body = sealed::unwrap(Driver::Local, sealed)?;
        let root = self.read(name).await?;
        let Some((nonce, body)) = body.split_first_chunk::<{ xaes::NONCE_LEN }>() else {
            return Err(RootError::unopenable("it is shorter than anything that was sealed"));
        };
        let mut opened = Zeroizing::new(body.to_vec());
        let plaintext = xaes::open(&root, nonce, &binding.to_bytes(), &mut opened).map_err(|_| {
            RootError::unopenable(format!(
                "{key} did not seal it for this tenant, system and version, or it was altered since"
            ))
        })?;
        crate::root::hold(plaintext)
    }

    async fn describe(&self, key: &RootRef) -> Result<Description, RootError> {
        let name = name_of(key)?;
        let state = match self.standing(&name).await? {
            Standing::Usable => KeyState::Usable,
            Standing::Disabled => KeyState::Disabled,
            Standing::Deleted => KeyState::Deleted,
            Standing::Missing => return Err(self.directory.missing(&name)),
        };
        Ok(Description { state, algorithm: Some(ALGORITHM.to_owned()), version: Some(1) })
    }

    fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }
}

impl fmt::Debug for LocalRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalRoot").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn name_of(key: &RootRef) -> Result<KeyName, RootError> {
    if let Some(option) = key.options.keys().next() {
        return Err(RootError::misconfigured(format!(
            "{key} has the option {option:?}, and the provider `local` has none: remove it"
        )));
    }
    KeyName::parse(&key.key).map_err(RootError::from)
}

/// Runs `work` where it may wait for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down before the work began; whoever waits is dropped with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests;
