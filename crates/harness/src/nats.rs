//! A NATS server with JetStream: the broker of the mesh, as a test's own.
//!
//! Two kinds: plain (one account, everybody may do everything), and with the configuration that `openkcm init`
//! wrote. It keeps its port and its store over kills and stops. What the test does to it as a client is not
//! done here: clients know the address, and bring async-nats.

mod store;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

pub use store::StoreCopy;

use crate::loopback::{free_port, own_host};
use crate::network::{Namespace, Network};
use crate::process::{Launch, Process};
use crate::{tool, until};

/// A port that was free can be taken before the server binds it; then another is tried.
const START_ATTEMPTS: u32 = 5;

/// How long one look for the server's first line may take.
const LOOK: Duration = Duration::from_millis(500);

/// What the server logs after each SIGHUP, one or the other.
const RELOADED: &str = "Reloaded server configuration";
const NOT_RELOADED: &str = "Failed to reload server configuration";

/// A broker that was started, and may have been stopped since. It is killed when this value is dropped.
pub struct Nats {
    process: Process,
    url: String,
    address: SocketAddr,
    namespace: Option<Namespace>,
    configuration: PathBuf,
    /// Of a plain broker: its configuration and its store go with this value.
    _directory: Option<TempDir>,
}

impl Nats {
    /// A plain broker on a free port of loopback, with an empty store; what it acknowledged is synced to disk.
    ///
    /// # Panics
    ///
    /// As everything here: when the tool is missing or the server does not do as it should.
    pub async fn start() -> Self {
        for _ in 0..START_ATTEMPTS {
            let directory = TempDir::with_prefix("openkcm-nats-").expect("a temporary directory");
            let address = SocketAddr::new(own_host(), free_port(own_host()));
            let configuration = directory.path().join("nats.conf");
            let text = format!(
                "server_name: test\n\
                 listen: \"{address}\"\n\
                 jetstream {{\n  store_dir: store\n  sync_interval: always\n}}\n"
            );
            fs::write(&configuration, text).expect("the directory is writable");
            let mut server = Self::of_config(&configuration, &format!("nats://{address}"), None);
            server._directory = Some(directory);
            server.spawn();
            if server.comes_up().await {
                return server;
            }
        }
        panic!("nats-server did not start {START_ATTEMPTS} times");
    }

    /// Starts a broker with a configuration file, in the directory of that file, and waits until it answers
    /// under `url`: scheme, address and port.
    pub async fn from_config(configuration: &Path, url: &str) -> Self {
        let mut server = Self::of_config(configuration, url, None);
        server.start_again().await;
        server
    }

    /// As [`Nats::from_config`], on a host of a network.
    pub async fn from_config_on(network: &Network, host: &str, configuration: &Path, url: &str) -> Self {
        let mut server = Self::of_config(configuration, url, Some(network.namespace(host)));
        server.start_again().await;
        server
    }

    /// Not started yet.
    pub(crate) fn of_config(configuration: &Path, url: &str, namespace: Option<Namespace>) -> Self {
        let (_, address) = url.split_once("://").expect("a url has a scheme");
        let address = address.parse().expect("a broker's url has an IP address and a port");
        let configuration = fs::canonicalize(configuration).expect("the broker's configuration");
        let directory = configuration.parent().expect("a file is in a directory");
        let launch = Launch::new(tool("nats-server", "nats"))
            .arguments(["-c".as_ref(), configuration.as_os_str()])
            .within_directory(directory)
            .within_namespace(namespace.clone());
        let log = directory.join("nats.log");
        let process = Process::new("nats-server", launch, log.clone(), log);
        Self { process, url: url.to_owned(), address, namespace, configuration, _directory: None }
    }

    /// Where clients find it, such as `nats://127.64.3.9:40123`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same without a scheme: what a proxy in front of it needs.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its configuration file, which a test may change before [`Nats::reload`] or a start.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything that it has written to its log, over all starts.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Whether it runs; it may not answer yet, or be frozen.
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Kills it as a power cut would: SIGKILL, at once. Nothing happens when it does not run.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    pub async fn stop(&mut self) {
        assert!(self.process.stop().await, "nats-server ended badly; its log:\n{}", self.log());
    }

    /// Starts it again after [`Nats::kill`] or [`Nats::stop`], with its port and store, and waits until it
    /// answers.
    pub async fn start_again(&mut self) {
        self.spawn();
        self.wait_ready().await;
    }

    /// Starts it again and waits for nothing.
    pub fn spawn(&mut self) {
        self.process.spawn();
    }

    /// Waits until it answers.
    pub async fn wait_ready(&self) {
        assert!(self.comes_up().await, "nats-server did not start; its log:\n{}", self.log());
    }

    /// Holds it in mid-air: it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets a frozen broker go on.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Has it read its configuration again (SIGHUP), and waits until it has.
    pub async fn reload(&self) {
        let count = |words: &str| self.log().matches(words).count();
        let (done, failed) = (count(RELOADED), count(NOT_RELOADED));
        self.process.signal(Signal::HUP);
        until("nats-server reads its configuration again", || async {
            assert!(count(NOT_RELOADED) == failed, "nats-server refused; its log:\n{}", self.log());
            (count(RELOADED) > done).then_some(())
        })
        .await;
    }

    /// A copy of what is on its disk, as a backup of it would be: of a stopped broker, or of a running one
    /// between two of its instructions.
    pub async fn copy_store(&self) -> StoreCopy {
        if !self.is_running() {
            return StoreCopy::of(&self.store());
        }
        self.freeze();
        self.process.stands_still().await;
        let copy = StoreCopy::of(&self.store());
        self.thaw();
        copy
    }

    /// Puts a copy in the place of its store. The broker must not run.
    pub fn restore_from(&self, copy: &StoreCopy) {
        assert!(!self.is_running(), "a store is restored while nobody uses it");
        copy.put_to(&self.store());
    }

    /// Where its configuration says that its streams are.
    pub fn store(&self) -> PathBuf {
        let text = fs::read_to_string(&self.configuration).expect("the broker's configuration");
        let words = text.lines().find_map(|line| line.trim().strip_prefix("store_dir"));
        let named = words.expect("the broker's configuration has a line `store_dir`");
        let named = named.trim_matches(|letter: char| " \t:=\"'".contains(letter));
        self.configuration.parent().expect("a file is in a directory").join(named)
    }

    /// Whether it greets, which is with `INFO`, also before TLS; not so when it ended, because its port was
    /// taken.
    async fn comes_up(&self) -> bool {
        until("nats-server answers", || async {
            if !self.is_running() {
                return Some(false);
            }
            let greets = match &self.namespace {
                Some(namespace) => namespace.within(|| greets(self.address)),
                None => greets(self.address),
            };
            greets.then_some(true)
        })
        .await
    }
}

fn greets(address: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect_timeout(&address, LOOK) else { return false };
    let mut line = Vec::new();
    // Whoever does not answer in time does not greet.
    let _ = stream.set_read_timeout(Some(LOOK));
    let _ = BufReader::new(stream).read_until(b'\n', &mut line);
    line.starts_with(b"INFO ")
}
