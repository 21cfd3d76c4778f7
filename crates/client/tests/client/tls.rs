//! Over TLS, both ends prove who they are, and a client says which of them did not.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;

use axum::routing::{get, post};
use axum::{Json, Router};
use openkcm_client::{Call, Client, ClientError, Component, Landscape, Region, Route};
use openkcm_contracts::problem::Code;
use openkcm_http::{Access, Tls, TlsOptions};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, date_time_ymd,
};
use serde_json::json;

use crate::harness::{client_in, component, component_with, key, nobody};

const ADMIN: &str = "spiffe://openkcm/admin";

/// A CA, and a folder for what it makes.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn issue(&self, params: &CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn ca(&self) -> PathBuf {
        self.write("ca.pem", &self.issuer.pem())
    }

    /// A client's certificate and key in one file.
    fn credential(&self, id: &str, ends: i32) -> PathBuf {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(id.try_into().unwrap())];
        params.not_after = date_time_ymd(ends, 1, 1);
        let (certificate, key) = self.issue(&params);
        self.write("admin.pem", &format!("{certificate}{key}"))
    }

    /// A component that has a certificate of this CA and lets in its administrator.
    async fn component(&self, routes: Router) -> SocketAddr {
        let (certificate, key) = self.issue(&CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap());
        let options = TlsOptions {
            certificate: self.write("server.pem", &certificate),
            key: self.write("server.key", &key),
            client_ca: self.ca(),
        };
        let tls = Tls::load(&options).unwrap();
        component_with(routes, Access::Certificates { tls, admins: vec![ADMIN.parse().unwrap()] }).await
    }
}

/// A client of a landscape with TLS.
fn client_of(
    authorities: SocketAddr,
    regions: &[(&str, SocketAddr)],
    credential: PathBuf,
    ca: PathBuf,
) -> Client {
    let url = |addr: &SocketAddr| format!("https://{addr}").parse().unwrap();
    let region = |(name, addr): &(&str, SocketAddr)| Region { name: name.parse().unwrap(), url: url(addr) };
    client_in(&Landscape {
        registry: url(&authorities),
        cmk: url(&authorities),
        regions: regions.iter().map(region).collect(),
        credential,
        ca: Some(ca),
    })
}

fn routes() -> Router {
    Router::new().route("/v1/here", get(async || Json(json!({}))))
}

async fn ask(client: &Client) -> Result<u16, ClientError> {
    client.call(&Call::get(Component::Cmk, "/v1/here")).await.map(|answer| answer.status)
}

/// An error and its causes.
fn told(error: &ClientError) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told.push_str(&format!(": {error}"));
        cause = error.source();
    }
    told
}

#[tokio::test]
async fn the_administrators_certificate_opens_a_component() {
    let authority = Authority::new("ours");
    let addr = authority.component(routes()).await;
    let client = client_of(addr, &[], authority.credential(ADMIN, 3_000), authority.ca());
    assert_eq!(ask(&client).await.unwrap(), 200);
}

#[tokio::test]
async fn the_certificate_of_a_component_opens_no_other_component() {
    let authority = Authority::new("ours");
    let addr = authority.component(routes()).await;
    let credential = authority.credential("spiffe://openkcm/registry", 3_000);
    let error = ask(&client_of(addr, &[], credential, authority.ca())).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::Unauthenticated));
    assert!(error.to_string().contains("spiffe://openkcm/registry"), "{error}");
}

#[tokio::test]
async fn a_component_of_another_ca_is_not_asked() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let addr = theirs.component(routes()).await;
    let error = ask(&client_of(addr, &[], ours.credential(ADMIN, 3_000), ours.ca())).await.unwrap_err();
    assert!(matches!(error, ClientError::Distrust { .. }) && error.never_arrived(), "{error}");
    assert!(told(&error).contains("UnknownIssuer"), "{}", told(&error));
}

#[tokio::test]
async fn a_component_at_another_address_than_its_certificates_is_not_asked() {
    let authority = Authority::new("ours");
    let addr = authority.component(routes()).await;
    let credential = authority.credential(ADMIN, 3_000);
    let mut landscape = client_of(addr, &[], credential, authority.ca()).landscape().clone();
    landscape.cmk = format!("https://localhost:{}", addr.port()).parse().unwrap();
    let error = ask(&client_in(&landscape)).await.unwrap_err();
    assert!(matches!(error, ClientError::Distrust { .. }), "{error}");
}

#[tokio::test]
async fn a_caller_whom_the_component_does_not_accept_is_told_so() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let addr = ours.component(routes()).await;
    // As after an `init` that was run again: the CA has the same name, and another key.
    let same_name = Authority::new("ours");
    for (credential, said) in [
        (ours.credential(ADMIN, 2_001), "CertificateExpired"),
        (theirs.credential(ADMIN, 3_000), "UnknownCA"),
        (same_name.credential(ADMIN, 3_000), "DecryptError"),
    ] {
        let error = ask(&client_of(addr, &[], credential, ours.ca())).await.unwrap_err();
        assert!(matches!(error, ClientError::Distrust { .. }), "{}", told(&error));
        assert!(told(&error).contains(said), "{}", told(&error));
    }
}

#[tokio::test]
async fn what_listens_without_tls_or_not_at_all_is_unreachable() {
    let authority = Authority::new("ours");
    for addr in [nobody().await, component(routes()).await] {
        let client = client_of(addr, &[], authority.credential(ADMIN, 3_000), authority.ca());
        let error = ask(&client).await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{}", told(&error));
    }
}

#[tokio::test]
async fn a_region_that_can_not_prove_itself_is_passed_over() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let encrypt =
        async || Json(json!({"ciphertext": "kcm1.x", "version": "0e4fd0b1-8f3a-4f1e-9a57-0c6d8ab6a0f5"}));
    let core = || Router::new().route("/v1/keys/acme/hr/payroll/encrypt", post(encrypt));
    let regions = [("a", theirs.component(core()).await), ("b", ours.component(core()).await)];
    let client = client_of(nobody().await, &regions, ours.credential(ADMIN, 3_000), ours.ca());
    let served = client.core(Route::First).encrypt(&key(), b"x", None).await.unwrap();
    assert_eq!(served.region.as_str(), "b");
}
