//! What opens a landscape's components: a token over loopback, or over TLS the administrator's certificate.
//!
//! The addresses decide. Plain http goes to loopback only, with a bearer token; https goes anywhere, trusts
//! the landscape's CA and nobody else, and shows the certificate in the credential's file. TLS is 1.3, with
//! the hybrid key exchange first.
//!
//! What always holds: what was read of the credential is wiped, and no error repeats it.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use reqwest::Url;
use reqwest::header::HeaderValue;
use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::{Zeroize as _, Zeroizing};

use crate::landscape::{Landscape, LandscapeError};

/// The largest file that is read: a token is a line, a chain or a bundle of CAs a few KiB.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// What is spoken above TLS.
const HTTP_1_1: &[u8] = b"http/1.1";

/// What opens the components of a landscape.
#[derive(Debug)]
pub(crate) struct Credential {
    /// What each request says; nothing where the connection says it.
    pub(crate) authorization: Option<HeaderValue>,
    /// How connections are encrypted, and what opens them. Trusts nobody where there is no TLS.
    pub(crate) tls: ClientConfig,
}

impl Credential {
    /// Reads what the landscape names.
    ///
    /// # Errors
    /// When no credential may be sent to its addresses, or a file is not what they need.
    pub(crate) fn of(landscape: &Landscape) -> Result<Self, LandscapeError> {
        let with_tls = landscape.urls().find(|url| url.scheme() == "https");
        let without = landscape.urls().find(|url| url.scheme() != "https");
        match (with_tls, without) {
            (Some(_), Some(url)) => Err(LandscapeError::MixedSchemes { url: url.clone() }),
            (Some(https), None) => Self::certificate(landscape, https),
            (None, _) => Self::token(landscape),
        }
    }

    fn token(landscape: &Landscape) -> Result<Self, LandscapeError> {
        if let Some(url) = landscape.urls().find(|url| !stays_on_this_machine(url)) {
            return Err(LandscapeError::NeedsTls { url: url.clone() });
        }
        let path = &landscape.credential;
        let malformed = || LandscapeError::CredentialMalformed { path: path.clone() };
        let bytes = read(path)
            .map_err(|source| LandscapeError::CredentialUnreadable { path: path.clone(), source })?;
        let token = std::str::from_utf8(&bytes).map_err(|_| malformed())?.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed());
        }
        let line = Zeroizing::new(format!("Bearer {token}"));
        let mut authorization = HeaderValue::from_str(&line).map_err(|_| malformed())?;
        authorization.set_sensitive(true);
        Ok(Self { authorization: Some(authorization), tls: tls(RootCertStore::empty(), None) })
    }

    fn certificate(landscape: &Landscape, https: &Url) -> Result<Self, LandscapeError> {
        let ca = landscape.ca.as_ref().ok_or_else(|| LandscapeError::NoCa { url: https.clone() })?;
        let identity = identity(&landscape.credential)?;
        Ok(Self { authorization: None, tls: tls(roots(ca)?, Some(identity)) })
    }
}

fn tls(roots: RootCertStore, identity: Option<CertifiedKey>) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has cipher suites of TLS 1.3")
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    config
}

/// The CA, or CAs, whose components are believed.
fn roots(path: &Path) -> Result<RootCertStore, LandscapeError> {
    let text = read(path).map_err(|source| LandscapeError::CaUnreadable { path: path.to_owned(), source })?;
    let not_pem = |source| LandscapeError::CaNotPem { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&text).map_err(not_pem)? {
        roots
            .add(certificate)
            .map_err(|source| LandscapeError::CaUnusable { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

/// The certificate and the key of one PEM file.
fn identity(path: &Path) -> Result<CertifiedKey, LandscapeError> {
    let text = read(path)
        .map_err(|source| LandscapeError::CredentialUnreadable { path: path.to_owned(), source })?;
    let not_pem = |source| LandscapeError::CredentialNotPem { path: path.to_owned(), source };
    let unusable = |source| LandscapeError::CredentialUnusable { path: path.to_owned(), source };
    let chain = certificates(&text).map_err(not_pem)?;
    let mut der = PrivateKeyDer::from_pem_slice(&text).map_err(not_pem)?;
    let key = aws_lc_rs::sign::any_supported_type(&der);
    der.zeroize();
    let identity = CertifiedKey::new(chain, key.map_err(unusable)?);
    identity.keys_match().map_err(unusable)?;
    Ok(identity)
}

/// The certificates of a PEM file, in its order; at least one.
fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>()?;
    match certificates.is_empty() {
        true => Err(pem::Error::NoItemsFound),
        false => Ok(certificates),
    }
}

/// A file's bytes, wiped when dropped.
fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    if len > MAX_FILE_BYTES {
        let said = format!("it has {len} bytes, where {MAX_FILE_BYTES} are the most");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, said));
    }
    // The whole length at once: a vector that grows would leave a copy of the key behind.
    let room = usize::try_from(len).expect("the largest file fits in memory") + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether what is sent there stays on this machine, so that it needs no TLS.
fn stays_on_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    url.scheme() == "http" && (host == "localhost" || address.is_ok_and(|ip| ip.to_canonical().is_loopback()))
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;
    use std::path::PathBuf;

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use crate::landscape::Region;

    use super::*;

    /// A landscape in a folder of its own, whose addresses all have this scheme.
    struct Ground {
        folder: TempDir,
        landscape: Landscape,
    }

    impl Ground {
        fn new(scheme: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let url = |port: u16| format!("{scheme}://127.0.0.1:{port}").parse().unwrap();
            let region = Region { name: "a".parse().unwrap(), url: url(3) };
            let landscape = Landscape {
                registry: url(1),
                cmk: url(2),
                regions: vec![region],
                credential: folder.path().join("admin"),
                ca: Some(folder.path().join("ca.pem")),
            };
            Self { folder, landscape }
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        }

        fn error(&self) -> LandscapeError {
            Credential::of(&self.landscape).unwrap_err()
        }
    }

    /// A certificate and its key, each in PEM.
    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["admin".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn only_plain_http_to_loopback_needs_no_tls() {
        for text in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1/base", "http://127.9.9.9"] {
            assert!(stays_on_this_machine(&text.parse().unwrap()), "{text}");
        }
        for text in [
            "https://127.0.0.1:1",
            "http://192.0.2.1",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://[2001:db8::1]",
        ] {
            assert!(!stays_on_this_machine(&text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn without_tls_a_credential_is_one_token_with_white_space_around_it() {
        let ground = Ground::new("http");
        assert!(matches!(ground.error(), LandscapeError::CredentialUnreadable { .. }));
        ground.write("admin", "  a-token\n");
        let credential = Credential::of(&ground.landscape).unwrap();
        assert_eq!(credential.authorization.unwrap(), "Bearer a-token");
        for text in ["", "\n", "two words", "-----BEGIN\nPEM-----", "tökén"] {
            ground.write("admin", text);
            assert!(matches!(ground.error(), LandscapeError::CredentialMalformed { .. }), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_token_by_its_size_is_not_read() {
        let ground = Ground::new("http");
        ground.write("admin", &"x".repeat(300_000));
        let error = ground.error();
        assert!(error.source().unwrap().to_string().contains("300000 bytes"), "{error}");
    }

    #[test]
    fn with_tls_the_connection_says_who_it_is_and_no_request_does() {
        let ground = Ground::new("https");
        let (certificate, key) = pair();
        ground.write("ca.pem", &certificate);
        for text in [format!("{certificate}{key}"), format!("a comment\n{key}\n{certificate}")] {
            ground.write("admin", &text);
            let credential = Credential::of(&ground.landscape).unwrap();
            assert!(credential.authorization.is_none());
            assert!(credential.tls.client_auth_cert_resolver.has_certs());
        }
    }

    #[test]
    fn with_tls_each_file_that_is_wrong_is_named() {
        let ground = Ground::new("https");
        let ((certificate, key), (_, other_key)) = (pair(), pair());
        let good = format!("{certificate}{key}");
        for (credential, ca, file, said) in [
            (None, Some(&certificate), "admin", "can't read the credential"),
            (Some(&"a-token".to_owned()), Some(&certificate), "admin", "a certificate and its key"),
            (Some(&certificate), Some(&certificate), "admin", "a certificate and its key"),
            (Some(&key), Some(&certificate), "admin", "a certificate and its key"),
            (Some(&format!("{certificate}{other_key}")), Some(&certificate), "admin", "its key has to be"),
            (Some(&good), None, "ca.pem", "can't read the CA"),
            (Some(&good), Some(&key), "ca.pem", "does not hold certificates"),
            (Some(&good), Some(&String::new()), "ca.pem", "does not hold certificates"),
            (
                Some(&good),
                Some(&"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_owned()),
                "ca.pem",
                "none of a CA",
            ),
        ] {
            for (name, text) in [("admin", credential), ("ca.pem", ca)] {
                fs::remove_file(ground.folder.path().join(name)).ok();
                if let Some(text) = text {
                    ground.write(name, text);
                }
            }
            let text = ground.error().to_string();
            assert!(text.contains(said) && text.contains(file), "{text}");
            assert!(!text.contains("a-token"));
        }
    }

    #[test]
    fn without_a_ca_nobody_is_trusted() {
        let mut ground = Ground::new("https");
        ground.landscape.ca = None;
        assert!(matches!(ground.error(), LandscapeError::NoCa { .. }));
    }

    #[test]
    fn addresses_with_tls_and_without_are_not_mixed() {
        for scheme in ["http", "https"] {
            let mut ground = Ground::new(scheme);
            let other = if scheme == "http" { "https://127.0.0.1:9" } else { "http://127.0.0.1:9" };
            ground.landscape.regions[0].url = other.parse().unwrap();
            let error = ground.error();
            assert!(matches!(error, LandscapeError::MixedSchemes { .. }), "{error}");
            assert!(error.to_string().contains("http://127.0.0.1:"), "{error}");
        }
    }

    #[test]
    fn no_credential_is_sent_beyond_loopback_without_tls() {
        for url in ["http://192.0.2.1:7020", "ftp://127.0.0.1"] {
            let mut ground = Ground::new("http");
            ground.landscape.cmk = url.parse().unwrap();
            assert!(matches!(ground.error(), LandscapeError::NeedsTls { .. }), "{url}");
        }
    }
}
