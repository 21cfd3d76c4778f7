//! The providers that this component can reach, by name.
//!
//! Built once from the configuration; building reaches no provider, so a component starts while its
//! providers are down. It only picks the provider of a reference, and never tries a second one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use openkcm_contracts::RootRef;
use openkcm_host::{Clock, Entropy};
use openkcm_secrets::SecretKey;

use crate::{Binding, BuildError, Description, LocalRoot, Root, RootError, RootsConfig, TransitRoot};

/// The configured providers.
#[derive(Clone, Default)]
pub struct Roots {
    providers: BTreeMap<String, Arc<dyn Root>>,
    local: Option<Arc<LocalRoot>>,
}

impl Roots {
    /// Sets the providers of `config` up. `data_dir` is what relative paths are relative to.
    ///
    /// # Errors
    ///
    /// When the configuration can't be used as it is. A provider that is down is no error, and neither is a
    /// credential that is missing still: that shows at the first use.
    pub fn build(
        config: &RootsConfig,
        data_dir: &Path,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BuildError> {
        let mut roots = Self::default();
        if let Some(local) = &config.local {
            let local = Arc::new(LocalRoot::build(local, data_dir, entropy.clone())?);
            roots = roots.with(LocalRoot::PROVIDER, local.clone());
            roots.local = Some(local);
        }
        for (provider, transit) in [("openbao", &config.openbao), ("vault", &config.vault)] {
            if let Some(transit) = transit {
                let root = TransitRoot::build(provider, transit, data_dir, entropy.clone(), clock.clone())?;
                roots = roots.with(provider, Arc::new(root));
            }
        }
        Ok(roots)
    }

    /// The same set with one provider more: one of another crate, or a test's.
    #[must_use]
    pub fn with(mut self, provider: &str, root: Arc<dyn Root>) -> Self {
        self.providers.insert(provider.to_owned(), root);
        self
    }

    /// The provider of this name, if it is configured.
    pub fn get(&self, provider: &str) -> Option<Arc<dyn Root>> {
        self.providers.get(provider).cloned()
    }

    /// The provider that a reference names.
    ///
    /// # Errors
    ///
    /// [`RootError::Misconfigured`] when it is not configured here.
    pub fn of(&self, key: &RootRef) -> Result<Arc<dyn Root>, RootError> {
        self.get(&key.provider).ok_or_else(|| {
            let configured: Vec<&str> = self.names().collect();
            RootError::misconfigured(format!(
                "no provider {:?} is configured here (configured: {}); add a section [roots.{}] or \
                 correct the reference",
                key.provider,
                if configured.is_empty() { "none".to_owned() } else { configured.join(", ") },
                key.provider.escape_debug()
            ))
        })
    }

    /// The names of the configured providers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// The local provider, which can also make keys.
    pub fn local(&self) -> Option<&LocalRoot> {
        self.local.as_deref()
    }

    /// [`Root::seal`] at the provider of `key`.
    ///
    /// # Errors
    ///
    /// As there, and when the provider is not configured.
    pub async fn seal(
        &self,
        key: &RootRef,
        binding: &Binding,
        plaintext: &SecretKey,
    ) -> Result<Vec<u8>, RootError> {
        self.of(key)?.seal(key, binding, plaintext).await
    }

    /// [`Root::unseal`] at the provider of `key`.
    ///
    /// # Errors
    ///
    /// As there, and when the provider is not configured.
    pub async fn unseal(
        &self,
        key: &RootRef,
        binding: &Binding,
        sealed: &[u8],
    ) -> Result<SecretKey, RootError> {
        self.of(key)?.unseal(key, binding, sealed).await
    }

    /// [`Root::describe`] at the provider of `key`.
    ///
    /// # Errors
    ///
    /// As there, and when the provider is not configured.
    pub async fn describe(&self, key: &RootRef) -> Result<Description, RootError> {
        self.of(key)?.describe(key).await
    }

    /// [`Root::prove`] at the provider of `key`.
    ///
    /// # Errors
    ///
    /// As there, and when the provider is not configured.
    pub async fn prove(&self, key: &RootRef, binding: &Binding) -> Result<Vec<u8>, RootError> {
        self.of(key)?.prove(key, binding).await
    }

    /// [`Root::prove_again`] at the provider of `key`.
    ///
    /// # Errors
    ///
    /// As there, and when the provider is not configured.
    pub async fn prove_again(&self, key: &RootRef, binding: &Binding, proof: &[u8]) -> Result<(), RootError> {
        self.of(key)?.prove_again(key, binding, proof).await
    }

    /// [`Root::probe`] at the provider of `key`.
    ///
    /// # Errors
    ///
    /// As there, and when the provider is not configured.
    pub async fn probe(&self, key: &RootRef, binding: &Binding) -> Result<(), RootError> {
        self.of(key)?.probe(key, binding).await
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use openkcm_host::{OsEntropy, SystemClock};

    use super::*;
    use crate::LocalConfig;

    #[test]
    fn a_provider_that_is_not_configured_is_told_with_those_that_are() {
        let directory = tempfile::tempdir().unwrap();
        let config = RootsConfig { local: Some(LocalConfig::default()), ..RootsConfig::default() };
        let roots =
            Roots::build(&config, directory.path(), Arc::new(OsEntropy::new()), Arc::new(SystemClock));
        let roots = roots.unwrap();
        assert_eq!(format!("{roots:?}"), r#"{"local"}"#);
        let key =
            RootRef { provider: "openbao".into(), key: "transit/acme".into(), options: BTreeMap::new() };
        let Err(RootError::Misconfigured { reason }) = roots.of(&key).map(drop) else {
            panic!("it is not there")
        };
        assert!(reason.contains("configured: local"), "{reason}");
        assert!(reason.contains("[roots.openbao]"), "{reason}");
    }
}
