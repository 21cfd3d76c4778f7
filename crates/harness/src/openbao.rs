//! An OpenBao server of the test's own.
//!
//! Three kinds: in memory (a quarter of a second to start), durable (two seconds; can be stopped and started
//! again), and with TLS. All listen on loopback alone, with free ports. What the test does to it as its
//! administrator is in `admin`.

mod admin;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

pub use admin::{AppRole, transit_policy};

use crate::loopback::free_port;
use crate::process::{Launch, Process};
use crate::{tool, until};

/// Its own certificate knows no other address.
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The root token of a server whose kind lets us choose it.
const DEV_ROOT_TOKEN: &str = "root-token-of-a-test";

/// A port that was free can be taken by another test before the server binds it; then another is tried.
const START_ATTEMPTS: u32 = 5;

/// A running server. It is killed when this value is dropped, and its data go with it.
pub struct OpenBao {
    process: Process,
    address: String,
    root_token: String,
    unseal_key: Option<String>,
    client: reqwest::Client,
    directory: TempDir,
}

impl OpenBao {
    /// A server in memory, unsealed, empty: no transit engine is mounted yet.
    ///
    /// # Panics
    ///
    /// As everything here: when the tool is missing or the server does not do as it should.
    pub async fn start() -> Self {
        Self::start_configured(|_| "storage \"inmem\" {}".to_owned()).await
    }

    /// A server that keeps its data over [`OpenBao::stop`] and [`OpenBao::start_again`].
    pub async fn start_durable() -> Self {
        // The multiplier makes the one node elect itself after one second instead of five.
        Self::start_configured(|directory| {
            let data = directory.join("data");
            fs::create_dir(&data).expect("the directory is new");
            format!(
                "storage \"raft\" {{\n path = {data:?}\n node_id = \"one\"\n performance_multiplier = 1\n}}\n\
                 cluster_addr = \"http://127.0.0.1:{}\"",
                free_port(HOST)
            )
        })
        .await
    }

    /// A server in memory that speaks HTTPS alone, with a certificate by [`OpenBao::ca_file`].
    pub async fn start_tls() -> Self {
        for _ in 0..START_ATTEMPTS {
            let port = free_port(HOST);
            let directory = TempDir::new().expect("a temporary directory");
            let certificates = format!("-dev-tls-cert-dir={}", directory.path().display());
            let listen = format!("-dev-listen-address=127.0.0.1:{port}");
            let token = format!("-dev-root-token-id={DEV_ROOT_TOKEN}");
            let arguments =
                ["server", "-dev", "-dev-tls", "-dev-no-store-token", &certificates, &listen, &token];
            let mut server = Self::new(directory, format!("https://127.0.0.1:{port}"), &arguments);
            server.process.spawn();
            server.client = until("OpenBao makes its certificates", || async {
                let pem = fs::read(server.ca_path()).ok()?;
                let ca = reqwest::Certificate::from_pem(&pem).ok()?;
                client_builder().tls_certs_only([ca]).build().ok()
            })
            .await;
            if server.comes_up().await {
                server.root_token = DEV_ROOT_TOKEN.to_owned();
                server.wait_until_active().await;
                return server;
            }
        }
        panic!("OpenBao did not start {START_ATTEMPTS} times");
    }

    /// The base address, such as `http://127.0.0.1:40123`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The token that may do everything.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// The certificate authority of a server that was started with TLS.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.address.starts_with("https:").then(|| self.ca_path())
    }

    /// Everything that the server has written to its log so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Ends the server at once, as a crash would.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts a durable server after [`OpenBao::stop`], on the same port, and unseals it.
    pub async fn start_again(&mut self) {
        self.process.spawn();
        assert!(self.comes_up().await, "OpenBao did not start again; its log:\n{}", self.log());
        self.unseal().await;
    }

    /// Holds the server in mid-air: it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Seals the server: it answers everything with 503.
    pub async fn seal(&self) {
        self.admin(Method::PUT, "sys/seal", None).await;
    }

    /// Unseals the server and waits until it serves.
    pub async fn unseal(&self) {
        let key = self.unseal_key.as_deref().expect("only a configured server can be unsealed");
        self.admin(Method::PUT, "sys/unseal", Some(json!({ "key": key }))).await;
        self.wait_until_active().await;
    }

    async fn start_configured(storage: impl Fn(&Path) -> String) -> Self {
        for _ in 0..START_ATTEMPTS {
            let directory = TempDir::new().expect("a temporary directory");
            let port = free_port(HOST);
            let config = format!(
                "{}\nlistener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_disable = true\n}}\n\
                 api_addr = \"http://127.0.0.1:{port}\"\n",
                storage(directory.path())
            );
            let file = directory.path().join("openbao.hcl");
            fs::write(&file, config).expect("the directory is writable");
            let arguments = ["server", "-config", &file.display().to_string()];
            let mut server = Self::new(directory, format!("http://127.0.0.1:{port}"), &arguments);
            server.process.spawn();
            if server.comes_up().await {
                server.initialize().await;
                return server;
            }
        }
        panic!("OpenBao did not start {START_ATTEMPTS} times");
    }

    fn new(directory: TempDir, address: String, arguments: &[&str]) -> Self {
        let launch = Launch::new(tool("bao", "openbao"))
            .arguments(arguments.iter().copied())
            // Its own settings and tokens of whoever runs the tests are none of the server's business.
            .without_variables(&["BAO_TOKEN", "BAO_ADDR"])
            .variable("HOME", directory.path());
        let log = directory.path().join("server.log");
        Self {
            process: Process::new("OpenBao", launch, log.clone(), log),
            address,
            root_token: String::new(),
            unseal_key: None,
            client: client_builder().build().expect("a client without TLS needs nothing"),
            directory,
        }
    }

    /// Whether the server answers; not so when it ended, because its port was taken.
    async fn comes_up(&self) -> bool {
        let (client, url) = (self.client.clone(), format!("{}/v1/sys/seal-status", self.address));
        until("OpenBao answers", || {
            let ended = !self.process.is_running();
            let (client, url) = (client.clone(), url.clone());
            async move {
                if ended {
                    return Some(false);
                }
                client.get(url).send().await.is_ok_and(|answer| answer.status().is_success()).then_some(true)
            }
        })
        .await
    }

    async fn initialize(&mut self) {
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let answer = self.admin(Method::PUT, "sys/init", Some(shares)).await;
        self.unseal_key = Some(answer["keys"][0].as_str().expect("an unseal key").to_owned());
        self.root_token = answer["root_token"].as_str().expect("a root token").to_owned();
        self.unseal().await;
    }

    async fn wait_until_active(&self) {
        until("OpenBao is active", || async {
            let answer = self.client.get(format!("{}/v1/sys/health", self.address)).send().await.ok()?;
            (answer.status().as_u16() == 200).then_some(())
        })
        .await;
    }

    fn ca_path(&self) -> PathBuf {
        self.directory.path().join("vault-ca.pem")
    }
}

fn client_builder() -> reqwest::ClientBuilder {
    // No roots of the machine's own are needed, and loading them takes longer than a request.
    reqwest::Client::builder().no_proxy().tls_certs_only([])
}
