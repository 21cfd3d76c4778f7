//! Finds out of an HTTP library's error that the two ends of a connection did not accept each other.
//!
//! The component's certificate is checked before a request is sent. Ours is checked after that (RFC 8446,
//! section 4.4: the client's end of the handshake may carry a request behind it), and the refusal comes as
//! an alert; the component does not read the request then.

use std::error::Error;
use std::io;

use rustls::AlertDescription as Alert;

/// The alerts by which a component refuses a certificate or a handshake (RFC 8446, section 6.2).
const REFUSALS: [Alert; 11] = [
    Alert::AccessDenied,
    Alert::BadCertificate,
    Alert::CertificateExpired,
    Alert::CertificateRequired,
    Alert::CertificateRevoked,
    Alert::CertificateUnknown,
    // A certificate by a CA of the right name and another key; nothing that the record layer sends.
    Alert::DecryptError,
    Alert::HandshakeFailure,
    Alert::ProtocolVersion,
    Alert::UnknownCA,
    Alert::UnsupportedCertificate,
];

/// Whether the connection failed for a certificate, the component's or ours.
pub(crate) fn in_error(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return is_distrust(error);
        }
        // An I/O error is made of another one, and names as its source only the source of that.
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = within.map(|error| error as &(dyn Error + 'static)).or_else(|| error.source());
    }
    false
}

fn is_distrust(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => true,
        rustls::Error::AlertReceived(alert) => REFUSALS.contains(alert),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    fn wrapped(error: rustls::Error) -> io::Error {
        io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn a_certificate_that_is_refused_is_found_below_other_errors() {
        for error in [
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
            rustls::Error::AlertReceived(Alert::CertificateExpired),
        ] {
            assert!(in_error(&wrapped(error)));
        }
    }

    #[test]
    fn what_may_happen_in_the_middle_of_a_request_is_no_refusal() {
        for error in [rustls::Error::DecryptError, rustls::Error::AlertReceived(Alert::BadRecordMac)] {
            assert!(!in_error(&wrapped(error)));
        }
        assert!(!in_error(&io::Error::from(io::ErrorKind::ConnectionReset)));
    }
}
