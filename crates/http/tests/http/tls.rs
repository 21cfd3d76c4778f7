//! TLS: who is let in, who is not and why, and that who fails in a handshake costs others nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use openkcm_http::{Access, BindError, Identity, Options, Service, Tls, TlsOptions, bind, serve};
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::{ADMIN, Authority, Folder, Pair, client};
use crate::harness::{Heard, Running, hear, options, routes};

const OPEN: [&str; 4] = ["/livez", "/readyz", "/openapi.json", "/metrics"];

/// A component with a CA, which lets in the administrator.
struct Ground {
    authority: Authority,
    server: Running,
}

impl Ground {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let authority = Authority::new();
        let mut options = options();
        options.access = Access::Certificates { tls: authority.tls(), admins: vec![ADMIN.parse().unwrap()] };
        change(&mut options);
        let (router, openapi) = routes();
        let who = async |Extension(identity): Extension<Identity>| format!("{identity:?}");
        let server = Running::start_with(router.route("/v1/who", get(who)), &openapi, options).await;
        Self { authority, server }
    }

    fn config(&self, pair: Option<&Pair>) -> ClientConfig {
        config(&self.authority, pair)
    }

    async fn connect(&self, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        connect(&self.server, Arc::new(config)).await
    }

    /// One request by whoever has this certificate.
    async fn get(&self, pair: Option<&Pair>, path: &str) -> io::Result<Heard> {
        request(self.connect(self.config(pair)).await?, path).await
    }

    async fn the_administrator_is_served(&self) {
        let admin = self.authority.client(&[ADMIN]);
        assert_eq!(self.get(Some(&admin), "/v1/things").await.unwrap().status, 200);
    }
}

/// A client that trusts this CA.
fn config(authority: &Authority, pair: Option<&Pair>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_root_certificates(roots);
    let Some(Pair { certificate, key }) = pair else { return config.with_no_client_auth() };
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
    config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
}

async fn connect(server: &Running, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.addr).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(config).connect(ServerName::from(server.addr.ip()), stream).await
}

/// Sends a request and reads the answer until the server closes. With TLS 1.3 the server's verdict on our
/// certificate comes only then.
async fn request(mut stream: TlsStream<TcpStream>, path: &str) -> io::Result<Heard> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(hear(&bytes[..]).await)
}

#[tokio::test]
async fn an_administrator_is_let_in_and_handlers_know_who_it_is() {
    let ground = Ground::new().await;
    let admin = ground.authority.client(&[ADMIN]);
    let heard = ground.get(Some(&admin), "/v1/who").await.unwrap();
    assert_eq!((heard.status, heard.body.as_str()), (200, "Admin(SpiffeId(spiffe://openkcm/admin))"));
}

#[tokio::test]
async fn whoever_is_no_administrator_is_refused_and_told_why() {
    let ground = Ground::new().await;
    let client = |uris: &[&str]| Some(ground.authority.client(uris));
    for (pair, said) in [
        (None, "a client certificate is required"),
        (client(&["spiffe://openkcm/registry"]), "that of spiffe://openkcm/registry, who is no admin"),
        (client(&["spiffe://openkcm/admin/2"]), "who is no administrator"),
        (client(&["spiffe://elsewhere/admin"]), "who is no administrator"),
        (client(&[]), "names nobody"),
        (client(&[ADMIN, "spiffe://openkcm/cmk"]), "more than one URI"),
        (client(&["https://openkcm/admin"]), "no SPIFFE id"),
    ] {
        for path in ["/v1/things", "/v1/no-such-route", "/"] {
            let heard = ground.get(pair.as_ref(), path).await.unwrap();
            assert_eq!((heard.status, heard.code().as_str()), (401, "unauthenticated"), "{said}");
            assert!(heard.json()["detail"].as_str().unwrap().contains(said), "{said}: {}", heard.body);
            assert!(heard.header("www-authenticate").is_some());
        }
    }
    ground.the_administrator_is_served().await;
}

#[tokio::test]
async fn a_token_opens_nothing_where_certificates_do() {
    let ground = Ground::new().await;
    let mut stream = ground.connect(ground.config(None)).await.unwrap();
    crate::harness::ask(&mut stream, "/v1/things").await;
    assert_eq!(hear(stream).await.code(), "unauthenticated");
}

#[tokio::test]
async fn what_is_open_needs_no_certificate_and_takes_any_of_the_ca() {
    let ground = Ground::new().await;
    for pair in [None, Some(ground.authority.client(&[])), Some(ground.authority.client(&[ADMIN]))] {
        for path in OPEN {
            assert_eq!(ground.get(pair.as_ref(), path).await.unwrap().status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_ends_the_handshake_even_for_what_is_open() {
    let ground = Ground::new().await;
    let (authority, other) = (&ground.authority, Authority::new());
    let between = |from: i32, to: i32| {
        let mut params = client(&[ADMIN]);
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        authority.issue(&params)
    };
    let mut for_servers = client(&[ADMIN]);
    for_servers.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let self_signed = client(&[ADMIN]).self_signed(&key).unwrap();
    for (pair, alert) in [
        // Of the same name as ours, with another key.
        (other.client(&[ADMIN]), "DecryptError"),
        (Pair { certificate: self_signed.pem(), key: key.serialize_pem() }, "UnknownCA"),
        (between(2_020, 2_021), "CertificateExpired"),
        (between(3_000, 3_001), "CertificateExpired"),
        (authority.issue(&for_servers), "certificate"),
    ] {
        for path in ["/v1/things", "/livez"] {
            let error = ground.get(Some(&pair), path).await.unwrap_err().to_string();
            assert!(error.to_lowercase().contains(&alert.to_lowercase()), "{alert}: {error}");
        }
    }
    ground.the_administrator_is_served().await;
}

#[tokio::test]
async fn another_protocol_or_version_is_refused() {
    let ground = Ground::new().await;
    let admin = ground.authority.client(&[ADMIN]);
    let key = PrivateKeyDer::from_pem_slice(admin.key.as_bytes()).unwrap();
    let certificate = CertificateDer::from_pem_slice(admin.certificate.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ground.authority.pem().as_bytes()).unwrap()).unwrap();
    let old = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let error = ground.connect(old).await.unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
    let mut other = ground.config(Some(&admin));
    other.alpn_protocols = vec![b"h2".to_vec()];
    let error = ground.connect(other).await.unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    ground.the_administrator_is_served().await;
}

#[tokio::test]
async fn every_connection_has_a_hybrid_key_exchange_and_a_whole_handshake() {
    let ground = Ground::new().await;
    let config = Arc::new(ground.config(Some(&ground.authority.client(&[ADMIN]))));
    for _ in 0..2 {
        let stream = connect(&ground.server, config.clone()).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let group = session.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        assert_eq!(request(stream, "/v1/things").await.unwrap().status, 200);
    }
    let mut again = connect(&ground.server, config).await.unwrap();
    assert_eq!(again.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    again.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_speaks_no_tls_hears_no_http_and_costs_others_nothing() {
    let ground = Ground::new().await;
    let huge = [&[0x16, 3, 1, 0xff, 0xff][..], &[7; 70_000]].concat();
    for bytes in [&b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"[..], b"\0\0\0\0\0\0\0\0", &[0xff; 600], &huge] {
        let mut stream = TcpStream::connect(ground.server.addr).await.unwrap();
        stream.write_all(bytes).await.ok();
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        // An end or a reset: what matters is that the connection does not stay.
        stream.read_to_end(&mut answer).await.ok();
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    ground.the_administrator_is_served().await;
}

#[tokio::test]
async fn a_slow_handshake_holds_up_no_one_else() {
    let ground = Ground::new().await;
    let mut slow = Vec::new();
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(ground.server.addr).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        slow.push(stream);
    }
    ground.the_administrator_is_served().await;
    drop(slow);
}

#[tokio::test]
async fn a_handshake_that_does_not_end_gives_its_place_to_the_next() {
    let ground = Ground::with(|options| {
        options.connections.connections = 1;
        options.connections.handshake_timeout = Duration::from_millis(500);
    })
    .await;
    let mut silent = TcpStream::connect(ground.server.addr).await.unwrap();
    ground.the_administrator_is_served().await;
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).await.ok();
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn a_handshake_does_not_hold_up_the_end() {
    let ground = Ground::new().await;
    let mut silent = TcpStream::connect(ground.server.addr).await.unwrap();
    ground.the_administrator_is_served().await;
    ground.server.stop().await.unwrap().unwrap();
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).await.ok();
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn without_a_connection_nobody_is_known() {
    let authority = Authority::new();
    let mut options = options();
    options.access = Access::Certificates { tls: authority.tls(), admins: vec![ADMIN.parse().unwrap()] };
    let (router, openapi) = routes();
    let router = TowerToHyperService::new(Service::new(router, &openapi, options).into_router());
    let request = Request::get("/v1/things").body(Body::empty()).unwrap();
    assert_eq!(router.call(request).await.unwrap().status(), 401);
}

#[tokio::test]
async fn beyond_loopback_certificates_are_served_and_tokens_are_not() {
    let access = Access::Certificates { tls: Authority::new().tls(), admins: Vec::new() };
    // A documentation address, which no machine has: the system refuses it, and nothing else does.
    let error = bind("192.0.2.1:0".parse().unwrap(), &access).await.unwrap_err();
    assert!(matches!(error, BindError::Refused { .. }), "{error}");
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let (router, openapi) = routes();
    let service = Service::new(router, &openapi, options());
    let error = serve(listener, service, std::future::pending()).await.unwrap_err();
    assert!(error.to_string().contains("beyond loopback"), "{error}");
}

#[test]
fn each_file_that_is_wrong_is_named() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let pair = authority.server();
    folder.write("empty", "");
    folder.write("large", &"x".repeat(300_000));
    folder.write("other.key", &authority.server().key);
    folder.write("broken", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    let good = TlsOptions {
        certificate: folder.write("server.pem", &pair.certificate),
        key: folder.write("server.key", &pair.key),
        client_ca: folder.write("ca.pem", &authority.pem()),
    };
    assert!(Tls::load(&good).is_ok());
    for (part, name, said) in [
        ("certificate", "none", "can't read the certificate"),
        ("certificate", "empty", "does not hold the certificate in PEM"),
        ("certificate", "server.key", "does not hold the certificate in PEM"),
        ("certificate", "large", "more than 262144 bytes"),
        ("certificate", "broken", "can't be used together"),
        ("key", "none", "can't read the private key"),
        ("key", "server.pem", "does not hold the private key in PEM"),
        ("key", "other.key", "can't be used together"),
        ("client_ca", "none", "can't read the certificate of the client CA"),
        ("client_ca", "server.key", "does not hold the certificate of the client CA in PEM"),
        ("client_ca", "broken", "is no certificate of a CA"),
    ] {
        let mut options = good.clone();
        let file = match part {
            "certificate" => &mut options.certificate,
            "key" => &mut options.key,
            _ => &mut options.client_ca,
        };
        *file = folder.path().join(name);
        let error = Tls::load(&options).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(said) && text.contains(name), "{text}");
    }
}
