//! What the tests share: a landscape in a directory of its own, and the command line.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use openkcm_client::{Client, Landscape, Patience};
use openkcm_harness::{Distributed, Inside, Network};
use openkcm_host::{OsEntropy, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

/// The regions of each landscape.
pub(crate) const REGIONS: [&str; 2] = ["a", "b"];

/// The parts of such a landscape, the broker among them.
pub(crate) const PARTS: [&str; 5] = ["nats", "registry", "cmk", "krypton-a", "krypton-b"];

/// The components of such a landscape.
pub(crate) const COMPONENTS: [&str; 4] = ["registry", "cmk", "krypton-a", "krypton-b"];

/// What each component says of itself now, for a program.
const STATUS: [&str; 4] = ["--output", "json", "--no-wait", "status"];

/// The host of a network on which a test's own client is.
const TEST_HOST: &str = "test";

/// How long a client waits for what is on its way: as long as a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A landscape in a directory that goes when the test ends.
pub(crate) struct Setup {
    /// On a network: the test's thread is on the test's host. Left before the network goes.
    _inside: Option<Inside>,
    pub(crate) landscape: Distributed,
    _directory: TempDir,
}

impl Setup {
    /// All of it runs and is ready, on loopback.
    pub(crate) async fn start() -> Self {
        let directory = TempDir::with_prefix("openkcm landscape ").expect("a temporary directory");
        let landscape = Distributed::start(program(), &directory.path().join("landscape"), &REGIONS).await;
        Self { _inside: None, landscape, _directory: directory }
    }

    /// All of it is made, on loopback, and nothing runs.
    pub(crate) fn init() -> Self {
        let directory = TempDir::with_prefix("openkcm landscape ").expect("a temporary directory");
        let landscape = Distributed::init(program(), &directory.path().join("landscape"), &REGIONS);
        Self { _inside: None, landscape, _directory: directory }
    }

    /// All of it runs and is ready, each part on a host of its own, and the test on another; `None` where that is
    /// not permitted.
    pub(crate) async fn start_on_network() -> Option<Self> {
        let network = Network::new(&Distributed::hosts(&REGIONS))?;
        let directory = TempDir::with_prefix("openkcm landscape ").expect("a temporary directory");
        let home = directory.path().join("landscape");
        let landscape = Distributed::start_on(network, program(), &home, &REGIONS).await;
        let inside = Some(landscape.network().enter(TEST_HOST));
        Some(Self { _inside: inside, landscape, _directory: directory })
    }

    /// A client that takes the first answer. Its connections are its own: take another one after a component was
    /// started again.
    pub(crate) fn client(&self) -> Client {
        let addresses = Landscape::load(&self.landscape.landscape_file()).expect("the landscape's file");
        Client::new(&addresses, Arc::new(SystemClock), Arc::new(OsEntropy::new())).expect("a client")
    }

    /// A client that waits for what is on its way.
    pub(crate) fn patient(&self) -> Client {
        self.client().with_patience(Patience { total: PATIENCE })
    }

    /// Kills components or the broker.
    pub(crate) fn kill(&mut self, parts: &[&str]) {
        for part in parts {
            self.landscape.kill(part);
        }
    }

    /// Starts components or the broker again, one after the other, and waits until each is ready.
    pub(crate) async fn start_again(&mut self, parts: &[&str]) {
        for part in parts {
            self.landscape.start_again(part).await;
        }
    }

    /// `openkcm ARGUMENTS` as the administrator, from its beginning to its end.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        self.landscape.command(arguments).output().expect("the program starts")
    }

    /// As [`Setup::cli`]; a panic with what it said when it fails. Gives what it printed.
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openkcm {} failed: {told}", arguments.join(" "));
        String::from_utf8(output.stdout).expect("a command prints text")
    }

    /// What `openkcm status` tells a program.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.must(&STATUS)).expect("it prints JSON")
    }

    /// The same on the host of a component, which reaches itself whatever is cut.
    pub(crate) fn status_from(&self, component: &str) -> Value {
        let output = self.landscape.command_from(component, &STATUS).output().expect("the program starts");
        serde_json::from_slice(&output.stdout).expect("it prints JSON")
    }
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_openkcm"))
}
