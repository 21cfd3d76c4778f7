//! One HTTP request to the server, and its whole answer.
//!
//! It knows no transit and retries nothing. What always holds: a key travels over TLS or loopback; no
//! redirect is followed, no proxy is used that somebody's environment names; an answer has a largest size;
//! bodies are wiped.

use std::error::Error;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, Response, Url};
use zeroize::Zeroizing;

use super::answer::Answer;
use super::token::Token;
use crate::{BuildError, RootError, TransitConfig};

/// How long a connection may take to be made: a server that is there takes one round trip, two with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an idle connection is kept: less than what load balancers commonly allow.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer that is read: a transit key of 30,000 versions is told in as many bytes.
const MAX_ANSWER_LEN: usize = 1024 * 1024;

/// What is set aside for an answer that does not say how long it is.
const USUAL_ANSWER_LEN: usize = 4 * 1024;

/// The longest wait that a server can ask of us.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// A request's body; empty when it has none.
pub(super) type Body = Zeroizing<Vec<u8>>;

/// A request. `path` is what follows `/v1/`.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) token: Option<&'a Token>,
    pub(super) namespace: Option<&'a str>,
    pub(super) body: Body,
}

/// The way to one server.
pub(super) struct Http {
    client: Client,
    /// Without a slash at its end.
    address: String,
}

impl Http {
    pub(super) fn build(
        provider: &'static str,
        config: &TransitConfig,
        data_dir: &Path,
        timeout: Duration,
    ) -> Result<Self, BuildError> {
        let url = check_address(&config.address).map_err(|fault| BuildError::Address { provider, fault })?;
        let tls = |source| BuildError::Tls { provider, source };
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .user_agent("openkcm");
        if let Some(file) = &config.ca_file {
            let path = data_dir.join(file);
            let pem = fs::read(&path).map_err(|source| BuildError::Path { provider, path, source })?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(tls)?;
            if certificates.is_empty() {
                let fault = "a file of certificates in PEM is expected";
                return Err(BuildError::Setting { provider, setting: "ca_file", fault });
            }
            builder = builder.tls_certs_only(certificates);
        } else if url.scheme() == "http" {
            // Loopback needs no certificates, and a machine that has none can use it all the same.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(tls)?;
        Ok(Self { client, address: url.as_str().trim_end_matches('/').to_owned() })
    }

    /// The server's base address, for the words of errors.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) async fn send(&self, request: Request<'_>) -> Result<Answer, RootError> {
        let url = format!("{}/v1/{}", self.address, request.path);
        // Demanded of clients by servers that are set up to refuse requests which a browser was tricked into.
        let mut call = self.client.request(request.method, url).header("X-Vault-Request", "true");
        if let Some(token) = request.token {
            call = call.header("X-Vault-Token", token.header());
        }
        if let Some(namespace) = request.namespace {
            call = call.header("X-Vault-Namespace", namespace);
        }
        if !request.body.is_empty() {
            call = call.header(CONTENT_TYPE, "application/json").body(Bytes::from_owner(request.body));
        }
        let response = call.send().await.map_err(|error| self.silence(&error))?;
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let body = self.read(response).await?;
        Ok(Answer::new(status, body, retry_after))
    }

    async fn read(&self, mut response: Response) -> Result<Body, RootError> {
        let announced = response.content_length().and_then(|len| usize::try_from(len).ok());
        let room = announced.unwrap_or(USUAL_ANSWER_LEN).min(MAX_ANSWER_LEN);
        let mut body = Zeroizing::new(Vec::with_capacity(room));
        while let Some(chunk) = response.chunk().await.map_err(|error| self.silence(&error))? {
            let len = body.len() + chunk.len();
            if len > MAX_ANSWER_LEN {
                return Err(RootError::unreachable(format!(
                    "{} gave an answer of more than {MAX_ANSWER_LEN} bytes: see what it is",
                    self.address
                )));
            }
            if len > body.capacity() {
                // A vector that grows leaves its old bytes behind; this one wipes them.
                let mut larger = Zeroizing::new(Vec::with_capacity((2 * len).min(MAX_ANSWER_LEN)));
                larger.extend_from_slice(&body);
                body = larger;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What a request without an answer becomes. The innermost cause says most, and never holds what was
    /// sent.
    fn silence(&self, error: &reqwest::Error) -> RootError {
        let mut cause: &dyn Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let cause = if error.source().is_none() { "no answer".to_owned() } else { cause.to_string() };
        RootError::unreachable(format!(
            "{} does not answer ({cause}): see whether it is up, reachable from here, and has a \
             certificate that is trusted here",
            self.address
        ))
    }
}

/// Takes an address that a key may be sent to.
fn check_address(address: &str) -> Result<Url, &'static str> {
    let Ok(url) = Url::parse(address) else {
        return Err("a URL such as https://bao.example:8200 is expected");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("no user and password can be given in it: use token_file or app_role");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a base address is expected, without ? and #");
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => Err("https is expected: keys in the clear travel over this connection"),
        _ => Err("https is expected, or http on loopback"),
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sent_over_tls_or_to_this_machine_alone() {
        for address in [
            "https://bao.example:8200",
            "https://bao.example/behind/a/proxy/",
            "http://127.0.0.1:8200",
            "http://127.8.8.8:8200",
            "http://[::1]:8200",
            "http://localhost:8200",
        ] {
            assert!(check_address(address).is_ok(), "{address}");
        }
        for address in [
            "http://bao.example:8200",
            "http://10.0.0.1:8200",
            "http://localhost.example:8200",
            "http://127.0.0.1.example:8200",
            "ftp://127.0.0.1",
            "bao.example:8200",
            "",
            "https://user:password@bao.example",
            "https://bao.example/?x=y",
        ] {
            assert!(check_address(address).is_err(), "{address}");
        }
    }
}
