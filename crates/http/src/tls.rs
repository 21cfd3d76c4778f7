//! TLS of a component's listener: its own certificate, and the CA whose certificates clients may bring.
//!
//! What always holds: TLS 1.3 only, with the hybrid key exchange first (X25519MLKEM768), so that what is
//! recorded today stays closed. A client certificate is asked for and may be missing; one that is there
//! and is not the CA's, has expired or is not for clients ends the handshake. No session is resumed and no
//! early data is taken: a resumed session would skip the check of the certificate, and early data can be
//! replayed.
//!
//! Who has which name, and who is let in: see [`crate::Access`].

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::{Zeroize as _, Zeroizing};

/// The largest file that is read: a chain or a bundle of CAs is a few KiB.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// What is spoken above TLS. Said in the handshake, so that another protocol ends there.
const HTTP_1_1: &[u8] = b"http/1.1";

/// The files that TLS needs, all in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// The component's certificate, followed by what leads from it to its CA, if anything does.
    pub certificate: PathBuf,
    /// The key of that certificate.
    pub key: PathBuf,
    /// The certificates of the CA, or CAs, that client certificates are by.
    pub client_ca: PathBuf,
}

/// TLS as it was read from its files. Clones share it.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
}

/// Why TLS can't be set up. Each names the file, and says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("can't read {what} at {}", path.display())]
    Unreadable {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is too large to be what it is for.
    #[error("{what} at {} has more than {MAX_FILE_BYTES} bytes: is it the right file?", path.display())]
    TooLarge {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A file is no PEM, or holds something else.
    #[error("{} does not hold {what} in PEM: is it the right file?", path.display())]
    NotPem {
        /// What the file is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// Certificate and key do not belong together, or one of them is of a kind that can't be used.
    #[error(
        "the certificate at {} and the key at {} can't be used together: give a certificate and the key that it was made for",
        certificate.display(), key.display()
    )]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the TLS library says.
        source: rustls::Error,
    },
    /// A certificate of the client CA is none that can be trusted.
    #[error("the client CA at {} is no certificate of a CA: give the certificate that client certificates are signed by", path.display())]
    NotCa {
        /// The file.
        path: PathBuf,
        /// What the TLS library says.
        source: rustls::Error,
    },
    /// The client CA can't be used for checks.
    #[error("the client CA at {} can't be used to check client certificates", path.display())]
    Verifier {
        /// The file.
        path: PathBuf,
        /// What the TLS library says.
        source: VerifierBuilderError,
    },
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file can't be read or holds something else, or when certificate and key do not belong
    /// together.
    pub fn load(options: &TlsOptions) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(client_roots(&options.client_ca)?);
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|source| TlsError::Verifier { path: options.client_ca.clone(), source })?;
        let own = Arc::new(SingleCertAndKey::from(own(options)?));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has cipher suites of TLS 1.3")
            .with_client_cert_verifier(clients)
            .with_cert_resolver(own);
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { config: Arc::new(config) })
    }

    /// What the next connection is served with. Asked once for each connection and kept by nobody, so
    /// that connections go on with what they began with, and other files take effect with the next one.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// The component's own certificate and its key.
fn own(options: &TlsOptions) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("the certificate", &options.certificate)?;
    let what = "the private key";
    let text = read(what, &options.key)?;
    let not_pem = |source| TlsError::NotPem { what, path: options.key.clone(), source };
    let unusable = |source| TlsError::Unusable {
        certificate: options.certificate.clone(),
        key: options.key.clone(),
        source,
    };
    let mut der = PrivateKeyDer::from_pem_slice(&text).map_err(not_pem)?;
    let key = aws_lc_rs::sign::any_supported_type(&der);
    der.zeroize();
    let own = CertifiedKey::new(chain, key.map_err(unusable)?);
    own.keys_match().map_err(unusable)?;
    Ok(own)
}

fn client_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("the certificate of the client CA", path)? {
        roots.add(certificate).map_err(|source| TlsError::NotCa { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

/// The certificates of a file, in its order; at least one.
fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = |source| TlsError::NotPem { what, path: path.to_owned(), source };
    let text = read(what, path)?;
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(not_pem)?;
    match certificates.is_empty() {
        true => Err(not_pem(pem::Error::NoItemsFound)),
        false => Ok(certificates),
    }
}

/// A file's bytes, wiped when dropped.
fn read(what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { what, path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    // The whole length at once: a vector that grows would leave a copy of the key behind.
    let len = file.metadata().map_err(unreadable)?.len();
    if len > MAX_FILE_BYTES {
        return Err(TlsError::TooLarge { what, path: path.to_owned() });
    }
    let room = usize::try_from(len).expect("the largest file fits in memory") + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
