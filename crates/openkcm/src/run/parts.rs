//! What a component is made of, opened from the files that its configuration names: keys, trust, TLS, the way to the
//! mesh, the providers.
//!
//! Nothing here waits for the broker or a provider.

use std::sync::Arc;

use anyhow::Context as _;
use openkcm_host::{Clock, Entropy, OsEntropy, SystemClock};
use openkcm_http::{Access, Tls};
use openkcm_orbital::nats::{self, NatsOptions, NatsTransport};
use openkcm_orbital::{Signer, Transport, TrustBundle, Verifier};
use openkcm_roots::Roots;

use super::config::{Config, Mesh};
use crate::files;

/// What a component is handed.
pub(super) struct Parts {
    pub(super) access: Access,
    pub(super) signer: Arc<Signer>,
    pub(super) verifier: Arc<Verifier>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) roots: Roots,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl Parts {
    /// What every component is handed.
    pub(super) fn surroundings(&self) -> openkcm_component::Surroundings {
        openkcm_component::Surroundings {
            transport: self.transport.clone(),
            signer: self.signer.clone(),
            verifier: self.verifier.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
        }
    }

    /// Opens everything. Needs a tokio runtime.
    pub(super) async fn open(config: &Config) -> anyhow::Result<Self> {
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let keys = Keys::open(config)?;
        if !keys.believed() {
            // It serves all the same; what it says waits in the others' quarantine of strangers.
            tracing::error!(
                key = keys.signer.trusted_key().id,
                "the signing key is not in the trust bundle: the others won't believe what this component says"
            );
        }
        let options = options(&config.mesh, &config.component.to_string(), &config.mesh.nkey)?;
        let verifier = Arc::new(Verifier::new(&keys.bundle)?);
        let transport = NatsTransport::connect_believing(options, verifier.clone(), entropy.clone()).await?;
        Ok(Self {
            access: access(config)?,
            signer: Arc::new(keys.signer),
            verifier,
            transport: Arc::new(transport),
            roots: Roots::build(&config.roots, &config.directory, entropy.clone(), clock.clone())?,
            clock,
            entropy,
        })
    }
}

/// Opens what the files hold and keeps nothing: whether a start would find fault with one.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    let keys = Keys::open(config)?;
    Verifier::new(&keys.bundle)?;
    if !keys.believed() {
        anyhow::bail!(
            "the signing key in {} is not in {}: the others won't believe what this component says",
            config.mesh.signing_key.display(),
            config.mesh.trust.display()
        );
    }
    access(config)?;
    options(&config.mesh, &config.component.to_string(), &config.mesh.nkey)?;
    if let Some(operator) = &config.mesh.operator {
        options(&config.mesh, nats::layout::OPERATOR, &operator.nkey)?;
    }
    Roots::build(&config.roots, &config.directory, Arc::new(OsEntropy::new()), Arc::new(SystemClock))?;
    Ok(())
}

/// What a component signs with, and whom it believes.
struct Keys {
    signer: Signer,
    bundle: TrustBundle,
}

impl Keys {
    fn open(config: &Config) -> anyhow::Result<Self> {
        let path = &config.mesh.signing_key;
        let seed = files::read(path)?;
        let (role, region) = (config.component.role(), config.component.region().cloned());
        let signer = Signer::from_seed(&seed, role, region);
        let signer = signer.with_context(|| format!("{} holds no signing key", path.display()))?;
        Ok(Self { signer, bundle: TrustBundle::load(&config.mesh.trust)? })
    }

    fn believed(&self) -> bool {
        self.bundle.keys.contains(&self.signer.trusted_key())
    }
}

fn access(config: &Config) -> anyhow::Result<Access> {
    let tls = Tls::load(&config.listen.tls)?;
    Ok(Access::Certificates { tls, admins: config.listen.admins.clone() })
}

/// How to reach the broker as a user.
pub(super) fn options(mesh: &Mesh, user: &str, nkey: &std::path::Path) -> anyhow::Result<NatsOptions> {
    let text = files::read(nkey)?;
    let seed = zeroize::Zeroizing::new(text.trim().to_owned());
    nkeys::KeyPair::from_seed(&seed).with_context(|| format!("{} holds no NKey", nkey.display()))?;
    let tls = mesh.tls.as_ref().map(|tls| nats::Tls {
        ca: tls.ca.clone(),
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
    });
    Ok(NatsOptions {
        servers: mesh.servers.clone(),
        user: user.to_owned(),
        nkey_seed: Some(seed),
        tls,
        makes_what_is_missing: false,
    })
}
