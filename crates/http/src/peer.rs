//! Who is at the other end of a TLS connection, by the certificate that it came with.
//!
//! The chain was verified in the handshake (see [`crate::Tls`]); this reads one thing out of it, the name.
//! An X.509 SVID has exactly one URI among its subject alternative names, and that is the SPIFFE id
//! (X509-SVID, section 2): a certificate with two names could pass for either.

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::spiffe::SpiffeId;

/// The other end of a connection. In the extensions of each of its requests, for the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    /// It showed no certificate.
    Silent,
    /// Its certificate is the client CA's, but names nobody, for this reason.
    Nameless(&'static str),
    /// Its certificate is the client CA's, and names this one.
    Named(SpiffeId),
}

impl Peer {
    /// By the verified chain of a connection, leaf first.
    pub(crate) fn of(chain: Option<&[CertificateDer<'_>]>) -> Self {
        let Some(leaf) = chain.and_then(<[_]>::first) else { return Self::Silent };
        match name_in(leaf) {
            Ok(id) => Self::Named(id),
            Err(why) => Self::Nameless(why),
        }
    }
}

fn name_in(leaf: &[u8]) -> Result<SpiffeId, &'static str> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| "it can't be read")?;
    let names = leaf.subject_alternative_name().map_err(|_| "its alternative names can't be read")?;
    let mut uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => uri.parse().map_err(|_| "its URI is no SPIFFE id"),
        (None, _) => Err("it has no URI such as spiffe://openkcm/admin among its alternative names"),
        (Some(_), Some(_)) => Err("it has more than one URI among its alternative names"),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn peer_with(uris: &[&str]) -> Peer {
        let mut params = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
        let uri = |text: &&str| SanType::URI((*text).try_into().unwrap());
        params.subject_alt_names.extend(uris.iter().map(uri));
        let leaf = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Peer::of(Some(&[leaf.der().clone()]))
    }

    #[test]
    fn the_one_uri_of_a_certificate_is_its_name() {
        let id = "spiffe://openkcm/admin";
        assert_eq!(peer_with(&[id]), Peer::Named(id.parse().unwrap()));
    }

    #[test]
    fn no_certificate_and_no_single_spiffe_id_name_nobody() {
        assert_eq!(Peer::of(None), Peer::Silent);
        assert_eq!(Peer::of(Some(&[])), Peer::Silent);
        for (uris, said) in [
            (&[][..], "no URI"),
            (&["spiffe://openkcm/admin", "spiffe://openkcm/cmk"], "more than one"),
            (&["spiffe://openkcm/admin", "https://openkcm/"], "more than one"),
            (&["https://openkcm/admin"], "no SPIFFE id"),
            (&["spiffe://openkcm/x/../admin"], "no SPIFFE id"),
        ] {
            let Peer::Nameless(why) = peer_with(uris) else { panic!("{uris:?} is a name") };
            assert!(why.contains(said), "{uris:?}: {why}");
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_name_nobody() {
        assert!(matches!(Peer::of(Some(&[CertificateDer::from(vec![1, 2, 3])])), Peer::Nameless(_)));
    }
}
