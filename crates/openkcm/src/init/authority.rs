//! The landscape's certificate authority, and the certificates that it issues.
//!
//! ECDSA on P-256 (FIPS 186-5), which every TLS library takes. A certificate names who it is for as a SPIFFE id, the
//! one URI among its alternative names, and where it may listen. The keys are drawn by the library of primitives
//! itself, which takes no randomness from outside.
//!
//! What always holds: a key that is there is kept; a certificate is made anew whenever it is asked for, since it
//! depends on what `init` was told this time.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use openkcm_host::random_array;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use zeroize::Zeroizing;

use super::host::Host;
use super::site::Site;
use crate::files;

/// How long the authority's certificate is valid.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long an issued certificate is valid.
const LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How far a certificate's beginning lies back, for machines whose clocks are behind.
const LEEWAY: Duration = Duration::from_secs(60 * 60);

/// The random bytes of a serial number: RFC 5280 allows 20 (section 4.1.2.2), and 8 would be enough.
const SERIAL_BYTES: usize = 16;

/// The line that a key begins with (RFC 7468, section 10).
const KEY_BEGINS: &str = "-----BEGIN PRIVATE KEY-----";

/// What a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To listen, and to call others.
    Both,
    /// To call others.
    Client,
}

/// Who a certificate is for.
pub(super) struct Bearer<'a> {
    /// The SPIFFE id.
    pub(super) id: &'a str,
    pub(super) purpose: Purpose,
    /// Where it listens.
    pub(super) hosts: &'a [Host],
}

/// The authority.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority, and makes it if there is none.
    pub(super) fn ensure(site: &Site<'_>) -> anyhow::Result<Self> {
        let key = key(site, "tls/ca.key")?;
        let certificate = files::once(&site.path("tls/ca.pem"), || {
            let mut params = params("OpenKCM landscape", site, AUTHORITY_LIFE);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let made = params.self_signed(&key).context("the authority's certificate can't be made")?;
            Ok(Zeroizing::new(made.pem()))
        })?;
        Self::of(&certificate, key)
    }

    /// Opens an authority that is there.
    pub(super) fn open(site: &Site<'_>) -> anyhow::Result<Self> {
        let text = files::read(&site.path("tls/ca.key"));
        let text = text.context("the landscape's authority is needed: bring its key back for this")?;
        let key =
            parse(&text).with_context(|| format!("{} holds no key", site.path("tls/ca.key").display()))?;
        Self::of(&files::read(&site.path("tls/ca.pem"))?, key)
    }

    fn of(certificate: &str, key: KeyPair) -> anyhow::Result<Self> {
        let issuer = Issuer::from_ca_cert_pem(certificate, key);
        Ok(Self { issuer: issuer.context("tls/ca.pem is no certificate of an authority")? })
    }

    /// Makes `tls/NAME.key`, if it is not there, and `tls/NAME.pem`.
    pub(super) fn issue(&self, name: &str, bearer: &Bearer<'_>, site: &Site<'_>) -> anyhow::Result<()> {
        let key = key(site, &format!("tls/{name}.key"))?;
        let certificate = self.certificate(bearer, &key, site)?;
        site.write(&format!("tls/{name}.pem"), &certificate)
    }

    /// Makes a file that holds both the certificate and its key.
    pub(super) fn issue_as_one(
        &self,
        name: &str,
        bearer: &Bearer<'_>,
        site: &Site<'_>,
    ) -> anyhow::Result<()> {
        files::once(&site.path(name), || self.as_one(bearer, &new_key()?, site))?;
        Ok(())
    }

    /// Makes such a file anew, for the key in it.
    pub(super) fn renew_as_one(
        &self,
        name: &str,
        bearer: &Bearer<'_>,
        site: &Site<'_>,
    ) -> anyhow::Result<()> {
        let path = site.path(name);
        let text = files::read(&path)?;
        let key = text.find(KEY_BEGINS).map(|at| parse(&text[at..]));
        let key = key.with_context(|| format!("{} holds no key", path.display()))?;
        let key = key.with_context(|| format!("{} holds no key", path.display()))?;
        files::replace(&path, self.as_one(bearer, &key, site)?.as_bytes())
    }

    fn as_one(
        &self,
        bearer: &Bearer<'_>,
        key: &KeyPair,
        site: &Site<'_>,
    ) -> anyhow::Result<Zeroizing<String>> {
        let mut text = Zeroizing::new(self.certificate(bearer, key, site)?);
        text.push_str(&Zeroizing::new(key.serialize_pem()));
        Ok(text)
    }

    fn certificate(&self, bearer: &Bearer<'_>, key: &KeyPair, site: &Site<'_>) -> anyhow::Result<String> {
        let doing = || format!("the certificate of {} can't be made", bearer.id);
        let name = bearer.id.strip_prefix("spiffe://").unwrap_or(bearer.id);
        let mut params = params(name, site, LIFE);
        params.subject_alt_names = vec![SanType::URI(bearer.id.try_into().with_context(doing)?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        if bearer.purpose == Purpose::Both {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            params.subject_alt_names.push(SanType::DnsName("localhost".try_into().with_context(doing)?));
            let loopback = Host::Address(Ipv4Addr::LOCALHOST.into());
            let others = bearer.hosts.iter().filter(|host| **host != loopback);
            for host in others.chain([&loopback]) {
                params.subject_alt_names.push(match host {
                    Host::Address(address) => SanType::IpAddress(*address),
                    Host::Name(name) => SanType::DnsName(name.as_str().try_into().with_context(doing)?),
                });
            }
        }
        Ok(params.signed_by(key, &self.issuer).with_context(doing)?.pem())
    }
}

/// What all certificates have in common.
fn params(name: &str, site: &Site<'_>, life: Duration) -> CertificateParams {
    let now = Duration::from_millis(site.clock.now().as_millis());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut serial = random_array::<SERIAL_BYTES>(site.entropy);
    // Positive, and of full length, whatever was drawn.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    let mut params = CertificateParams::default();
    params.not_before = epoch + now.saturating_sub(LEEWAY);
    params.not_after = epoch + now + life;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = distinguished_name;
    params
}

/// The key in a file; made if there is none.
fn key(site: &Site<'_>, name: &str) -> anyhow::Result<KeyPair> {
    let path = site.path(name);
    let text = files::once(&path, || Ok(Zeroizing::new(new_key()?.serialize_pem())))?;
    parse(&text).with_context(|| format!("{} holds no key", path.display()))
}

fn new_key() -> anyhow::Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("no key can be made")
}

fn parse(text: &str) -> Result<KeyPair, rcgen::Error> {
    KeyPair::from_pkcs8_pem_and_sign_algo(text, &PKCS_ECDSA_P256_SHA256)
}
