//! The providers `openbao` and `vault`: keys of a transit secrets engine, which never leave the server.
//!
//! One driver for both, since the interface is the same. A key is referenced as `MOUNT/KEY`; it has to be
//! of a type that authenticates associated data. Not here: making, changing or deleting keys. That is the
//! customer's, and this driver asks in a way that can't make one.
//!
//! What always holds: an L2 is only sent where a transit engine has just answered for that very key; a
//! refusal is taken from the server's own words, over TLS or loopback; of requests and answers that hold a
//! key or a credential, our buffers are wiped. The copies inside of the HTTP and TLS libraries are not,
//! which is why a Core leaves no core dump.

mod answer;
mod credential;
mod http;
mod message;
mod target;
mod token;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openkcm_contracts::RootRef;
use openkcm_host::{Clock, Entropy};
use openkcm_secrets::SecretKey;
use reqwest::Method;

use crate::sealed::{self, Driver};
use crate::{Binding, BuildError, Description, KeyState, Root, RootError, TransitConfig};
use answer::{Answer, Said};
use credential::{Credential, Standing};
use http::{Http, Request};
use target::{Operation, Target};

/// How long one operation may take, with every request that it needs: a server in reach answers in
/// milliseconds, and a caller of ours who waits for an unseal gives up after some ten seconds, and should
/// have our answer by then.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest timeout that can be configured: longer, and waiting requests pile up while a provider is down.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// A credential can be replaced once while an operation is under way; a second time is a loop.
const CREDENTIALS_TO_TRY: u32 = 2;

/// A transit engine of an OpenBao or Vault server.
pub struct TransitRoot {
    provider: &'static str,
    http: Http,
    credential: Credential,
    /// The namespace of keys whose reference names none.
    namespace: Option<String>,
    timeout: Duration,
    entropy: Arc<dyn Entropy>,
}

/// What the operation under way wants of the key: a key that is missing means another thing for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Describe,
    Seal,
    Unseal,
}

impl TransitRoot {
    /// Takes the configuration; no request is made.
    ///
    /// # Errors
    ///
    /// When it can't be used as it is.
    pub fn build(
        provider: &'static str,
        config: &TransitConfig,
        data_dir: &Path,
        entropy: Arc<dyn Entropy>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BuildError> {
        let timeout = config.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.duration());
        if timeout > MAX_TIMEOUT {
            let fault = "60s at most, so that requests do not pile up while the provider is down";
            return Err(BuildError::Setting { provider, setting: "timeout", fault });
        }
        if !config.namespace.as_deref().is_none_or(target::is_namespace) {
            let fault = "a path such as team/payments is expected";
            return Err(BuildError::Setting { provider, setting: "namespace", fault });
        }
        Ok(Self {
            provider,
            http: Http::build(provider, config, data_dir, timeout)?,
            credential: Credential::build(provider, config, data_dir, clock)?,
            namespace: config.namespace.clone(),
            timeout,
            entropy,
        })
    }

    /// Gives `work` the time that one operation may take.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, RootError>>) -> Result<T, RootError> {
        tokio::time::timeout(self.timeout, work).await.unwrap_or_else(|_| {
            Err(RootError::unreachable(format!(
                "{} did not answer within {:?}: see whether it is up and reachable from here",
                self.http.address(),
                self.timeout
            )))
        })
    }

    /// Asks whether the key is there, what it is, and that it is a transit engine's, without giving it
    /// anything.
    async fn inspect(&self, target: &Target, purpose: Purpose) -> Result<Description, RootError> {
        let answer = self.ask(target, Operation::Describe, || Vec::new().into()).await?;
        match answer.said() {
            Said::Done => message::description(&answer, target),
            Said::Forbidden => self.inspect_by_decrypting(target, purpose).await,
            Said::NothingThere => Err(self.refusal(target, purpose, &answer, Said::KeyMissing)),
            said => Err(self.refusal(target, purpose, &answer, said)),
        }
    }

    /// The same for a credential that may not read keys: something that is no ciphertext is refused in
    /// other words by a key that is there than by one that is not, and not refused at all by an engine that
    /// is not transit.
    async fn inspect_by_decrypting(
        &self,
        target: &Target,
        purpose: Purpose,
    ) -> Result<Description, RootError> {
        let answer = self.ask(target, Operation::Decrypt, message::no_ciphertext).await?;
        let state = match answer.said() {
            Said::Malformed => KeyState::Usable,
            Said::KeyDisabled => KeyState::Disabled,
            Said::Done => return Err(self.refusal(target, purpose, &answer, Said::NotTransit)),
            said => return Err(self.refusal(target, purpose, &answer, said)),
        };
        Ok(Description { state, algorithm: None, version: None })
    }

    /// Makes one request as the configured credential, and once more with a newer one if the server does
    /// not know that. The answer is the server's own, about the key: nothing that will pass and nothing
    /// about our credential.
    async fn ask(
        &self,
        target: &Target,
        operation: Operation,
        body: impl Fn() -> http::Body,
    ) -> Result<Answer, RootError> {
        let path = target.path(operation);
        let mut token = self.credential.token(&self.http).await?;
        for _ in 0..CREDENTIALS_TO_TRY {
            let request = Request {
                method: if operation == Operation::Describe { Method::GET } else { Method::POST },
                path: &path,
                token: Some(&token),
                namespace: target.namespace.as_deref(),
                body: body(),
            };
            let answer = self.http.send(request).await?;
            match answer.said() {
                Said::Forbidden | Said::TokenRefused => {}
                Said::Transient => return Err(answer.trouble(self.http.address())),
                _ => return Ok(answer),
            }
            // Which of the two it is decides whether serving ends, so the server is asked about the token
            // itself.
            match self.credential.standing(&self.http, &token).await? {
                Standing::Good => return Ok(answer.forbidden()),
                Standing::Refused => token = self.credential.newer(&self.http, &token).await?,
            }
        }
        Err(self.credential.no_good(self.http.address()))
    }

    /// What a refusal of the server's means; see the table in `docs/roots/openbao.md`.
    fn refusal(&self, target: &Target, purpose: Purpose, answer: &Answer, said: Said) -> RootError {
        let (provider, address) = (self.provider, self.http.address());
        match said {
            Said::KeyMissing if purpose == Purpose::Unseal => RootError::denied(format!(
                "{target} is gone from {address}, and it has sealed what is to be opened: its owner has \
                 deleted it"
            )),
            Said::KeyMissing => RootError::misconfigured(format!(
                "there is no key {target} at {address}: make one (`bao write -f {}`), or correct the \
                 reference",
                target.path(Operation::Describe)
            )),
            Said::KeyDisabled => RootError::denied(format!("the owner of {target} has soft-deleted it")),
            Said::VersionForbidden => RootError::denied(format!(
                "the owner of {target} has raised its min_decryption_version above the version that \
                 sealed this"
            )),
            Said::Forbidden => RootError::denied(format!(
                "the credential is good, and no policy of it allows {target} (any more)"
            )),
            Said::NamespaceLocked => {
                RootError::denied(format!("the namespace of {target} is locked by its administrator"))
            }
            Said::NotAuthentic | Said::Malformed if purpose == Purpose::Unseal => {
                RootError::unopenable(format!(
                    "{target} did not seal it for this tenant, system and version, or it was altered since"
                ))
            }
            Said::NotAuthenticating => RootError::misconfigured(format!(
                "{target} is of a type that can't bind what it seals to a tenant: make a key of type \
                 aes256-gcm96"
            )),
            Said::Derived => RootError::misconfigured(format!(
                "{target} is a key with derivation, which this provider does not use: make one without"
            )),
            Said::NoMount | Said::NotTransit => RootError::misconfigured(format!(
                "no transit engine is mounted where {target} points at {address}: correct the mount or \
                 the namespace"
            )),
            Said::NoNamespace => {
                RootError::misconfigured(format!("{address} has no such namespace as that of {target}"))
            }
            Said::Redirect => RootError::misconfigured(format!(
                "{address} wants us to ask elsewhere, and an L2 goes nowhere but to what is configured: \
                 configure the active node's address, or let the standby forward requests"
            )),
            Said::Transient => answer.trouble(address),
            _ => RootError::misconfigured(format!(
                "{address} answered with status {} and in words that the provider {provider} does not \
                 know; its audit log has them",
                answer.status()
            )),
        }
    }
}

#[async_trait]
impl Root for TransitRoot {
    async fn seal(
        &self,
        key: &RootRef,
        binding: &Binding,
        plaintext: &SecretKey,
    ) -> Result<Vec<u8>, RootError> {
        let target = Target::parse(key, self.namespace.as_deref())?;
        self.in_time(async {
            // A key/value store would take the L2 and keep it: first make sure that this is no such thing.
            if self.inspect(&target, Purpose::Seal).await?.state != KeyState::Usable {
                return Err(RootError::denied(format!("the owner of {target} has soft-deleted it")));
            }
            let aad = binding.to_bytes();
            let answer = self.ask(&target, Operation::Encrypt, || message::encrypt(plaintext, &aad)).await?;
            match answer.said() {
                Said::Done => message::sealed(&answer, &target),
                said => Err(self.refusal(&target, Purpose::Seal, &answer, said)),
            }
        })
        .await
    }

    async fn unseal(&self, key: &RootRef, binding: &Binding, sealed: &[u8]) -> Result<SecretKey, RootError> {
        let target = Target::parse(key, self.namespace.as_deref())?;
        let ciphertext = message::ciphertext(sealed::unwrap(Driver::Transit, sealed)?)?;
        self.in_time(async {
            let aad = binding.to_bytes();
            let answer =
                self.ask(&target, Operation::Decrypt, || message::decrypt(&ciphertext, &aad)).await?;
            match answer.said() {
                Said::Done => message::opened(&answer, &target),
                said => Err(self.refusal(&target, Purpose::Unseal, &answer, said)),
            }
        })
        .await
    }

    async fn describe(&self, key: &RootRef) -> Result<Description, RootError> {
        let target = Target::parse(key, self.namespace.as_deref())?;
        self.in_time(self.inspect(&target, Purpose::Describe)).await
    }

    fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }
}

impl fmt::Debug for TransitRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransitRoot")
            .field("provider", &self.provider)
            .field("address", &self.http.address())
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
