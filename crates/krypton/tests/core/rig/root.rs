//! A provider that does as it is told: answers, is away, denies, limits the rate, or keeps everybody waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use openkcm_contracts::RootRef;
use openkcm_host::Entropy;
use openkcm_roots::{Binding, Description, Root, RootError};
use openkcm_secrets::SecretKey;
use tokio::sync::watch;

/// How the provider is disposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Answers,
    Away,
    Denies,
    /// It has been asked too much.
    Throttles,
    /// Who asks waits until the mood changes.
    Ponders,
}

/// A real provider behind a mood.
pub(crate) struct Moody {
    inner: Arc<dyn Root>,
    mood: watch::Sender<Mood>,
    asked: AtomicUsize,
}

impl Moody {
    pub(crate) fn new(inner: Arc<dyn Root>) -> Self {
        Self { inner, mood: watch::channel(Mood::Answers).0, asked: AtomicUsize::new(0) }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn answer(&self) -> Result<(), RootError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut mood = self.mood.subscribe();
        let mood = *mood.wait_for(|mood| *mood != Mood::Ponders).await.expect("the provider is here");
        match mood {
            Mood::Answers | Mood::Ponders => Ok(()),
            Mood::Away => {
                Err(RootError::Unreachable { reason: "no route".into(), retry_after: Duration::from_secs(1) })
            }
            Mood::Throttles => {
                Err(RootError::Throttled { reason: "too many questions".into(), retry_after: None })
            }
            Mood::Denies => Err(RootError::Denied { reason: "the owner says no".into() }),
        }
    }
}

#[async_trait]
impl Root for Moody {
    async fn seal(
        &self,
        key: &RootRef,
        binding: &Binding,
        plaintext: &SecretKey,
    ) -> Result<Vec<u8>, RootError> {
        self.answer().await?;
        self.inner.seal(key, binding, plaintext).await
    }

    async fn unseal(&self, key: &RootRef, binding: &Binding, sealed: &[u8]) -> Result<SecretKey, RootError> {
        self.answer().await?;
        self.inner.unseal(key, binding, sealed).await
    }

    async fn describe(&self, key: &RootRef) -> Result<Description, RootError> {
        self.answer().await?;
        self.inner.describe(key).await
    }

    fn entropy(&self) -> &dyn Entropy {
        self.inner.entropy()
    }
}
