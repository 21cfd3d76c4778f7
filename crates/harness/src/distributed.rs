//! A landscape across processes, as its operators start it: `openkcm init`, a broker, and `openkcm registry`,
//! `cmk` and `krypton`, each a process with its own configuration, directory and log.
//!
//! It knows them from outside alone: their arguments, what they print, their files, their signals. On loopback
//! all share one address that no other test uses; on a `Network` each has a host of its own. Components are
//! called as their configuration files are: `registry`, `cmk`, `krypton-a`; the broker is `nats`.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::loopback::{block_of_ports, own_host};
use crate::process::{Launch, Process};
use crate::{Nats, Network, until};

/// The broker, as a component's name.
const BROKER: &str = "nats";

/// A user of the account that owns the streams, and its password, beside those of the landscape: it may do all there,
/// which no user of a landscape may, its operator included. Tests look through it. A configuration of the broker
/// that is written anew does not have it.
pub const LOOKER: &str = "looker";

/// The host on which a test's own commands run.
const TEST_HOST: &str = "test";

/// Ports of one landscape: three components, and the Cores from [`CORE_PORT`] on.
const PORTS: u16 = 64;
const REGISTRY_PORT: u16 = 0;
const CMK_PORT: u16 = 1;
const BROKER_PORT: u16 = 2;
const CORE_PORT: u16 = 10;

/// A landscape that was made, and whose parts were started, or may have been stopped since. All of them are
/// killed when this value is dropped.
pub struct Distributed {
    program: PathBuf,
    directory: PathBuf,
    components: BTreeMap<String, Process>,
    nats: Nats,
    /// Goes after all that runs in it.
    network: Option<Network>,
}

impl Distributed {
    /// The hosts of a network for a landscape with these regions: each component, the broker, and the test.
    pub fn hosts(regions: &[&str]) -> Vec<String> {
        let cores = regions.iter().map(|region| format!("krypton-{region}"));
        let others = [BROKER, "registry", "cmk", TEST_HOST].map(str::to_owned);
        others.into_iter().chain(cores).collect()
    }

    /// Makes a landscape with `program init` in `directory`, starts all of it and waits until it is ready.
    ///
    /// # Panics
    /// As everything here: when it does not become ready.
    pub async fn start(program: &Path, directory: &Path, regions: &[&str]) -> Self {
        let mut landscape = Self::init(program, directory, regions);
        landscape.start_all().await;
        landscape
    }

    /// As [`Distributed::start`], each part on its own host of a network that has [`Distributed::hosts`].
    pub async fn start_on(network: Network, program: &Path, directory: &Path, regions: &[&str]) -> Self {
        let mut landscape = Self::init_on(network, program, directory, regions);
        landscape.start_all().await;
        landscape
    }

    /// Makes a landscape and starts nothing.
    pub fn init(program: &Path, directory: &Path, regions: &[&str]) -> Self {
        Self::make(program, directory, regions, None)
    }

    /// As [`Distributed::init`], for a network that has [`Distributed::hosts`].
    pub fn init_on(network: Network, program: &Path, directory: &Path, regions: &[&str]) -> Self {
        Self::make(program, directory, regions, Some(network))
    }

    fn make(program: &Path, directory: &Path, regions: &[&str], network: Option<Network>) -> Self {
        let first = block_of_ports(PORTS);
        let port = |offset: u16| (first + offset).to_string();
        let mut init = Launch::new(program)
            .arguments(["init".as_ref(), "--dir".as_ref(), directory.as_os_str()])
            .arguments(["--regions", &regions.join(",")])
            .arguments(["--registry-port", &port(REGISTRY_PORT), "--cmk-port", &port(CMK_PORT)])
            .arguments(["--core-port", &port(CORE_PORT), "--nats-port", &port(BROKER_PORT)]);
        let broker_host = match &network {
            None => {
                init = init.arguments(["--host", &own_host().to_string()]);
                own_host()
            }
            Some(network) => {
                let hosts = Self::hosts(regions).into_iter().filter(|host| host != TEST_HOST);
                let hosts = hosts.map(|host| format!("{host}={}", network.address(&host)));
                init = init.arguments(["--hosts", &hosts.collect::<Vec<_>>().join(",")]);
                network.address(BROKER).into()
            }
        };
        let made = init.command().output().expect("the program starts");
        let told = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "`openkcm init` failed: {told}");
        add_looker(&directory.join("nats.conf"));
        let broker = SocketAddr::new(broker_host, first + BROKER_PORT);
        let namespace = network.as_ref().map(|network| network.namespace(BROKER));
        let nats = Nats::of_config(&directory.join("nats.conf"), &format!("tls://{broker}"), namespace);
        Self {
            program: program.to_path_buf(),
            directory: directory.to_path_buf(),
            components: BTreeMap::new(),
            nats,
            network,
        }
    }

    /// Starts the broker, then each component that has a configuration file, and waits until all are ready.
    pub async fn start_all(&mut self) {
        self.start_again(BROKER).await;
        let components = self.components();
        for component in &components {
            self.spawn(component);
        }
        for component in &components {
            self.wait_ready(component).await;
        }
    }

    /// The components that have a configuration file.
    pub fn components(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).expect("the landscape's directory");
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> =
            names.filter_map(|name| name.strip_suffix(".toml").map(str::to_owned)).collect();
        names.sort();
        names
    }

    /// Starts a component or the broker, also after [`Distributed::kill`] or [`Distributed::stop`], and waits
    /// until it is ready.
    pub async fn start_again(&mut self, component: &str) {
        self.spawn(component);
        self.wait_ready(component).await;
    }

    /// Starts a component or the broker, and waits for nothing.
    pub fn spawn(&mut self, component: &str) {
        match component {
            BROKER => self.nats.spawn(),
            _ => self.spawn_with(component, &[]),
        }
    }

    /// Starts a component with further arguments for this once, and waits for nothing.
    pub fn spawn_with(&mut self, component: &str, arguments: &[&str]) {
        self.spawn_in(component, arguments, &[]);
    }

    /// As [`Distributed::spawn_with`], with further variables in its environment.
    pub fn spawn_in(&mut self, component: &str, arguments: &[&str], variables: &[(&str, String)]) {
        let running = self.components.get(component).is_some_and(Process::is_running);
        assert!(!running, "{component} runs");
        // Cores of all regions are one kind of component.
        let kind = component.split('-').next().expect("a name");
        let launch = Launch::new(&self.program)
            .arguments([kind.as_ref(), "--config".as_ref(), self.configuration(component).as_os_str()])
            .arguments(arguments.iter().copied())
            .within_namespace(self.network.as_ref().map(|network| network.namespace(component)));
        let launch =
            variables.iter().fold(launch, |launch, (name, value)| launch.variable(name, value.as_str()));
        let file = |kind: &str| self.directory.join(format!("{component}.{kind}"));
        let mut process = Process::new(component, launch, file("stdout"), file("stderr"));
        process.spawn();
        self.components.insert(component.to_owned(), process);
    }

    /// Waits until a component has printed `ready` since its last start, or the broker answers.
    pub async fn wait_ready(&self, component: &str) {
        if component == BROKER {
            return self.nats.wait_ready().await;
        }
        let process = self.component(component);
        until(&format!("{component} is ready"), || async { process.has_printed("ready").then_some(()) })
            .await;
    }

    /// Kills a component or the broker as a power cut would: SIGKILL, at once.
    pub fn kill(&mut self, component: &str) {
        match component {
            BROKER => self.nats.kill(),
            _ => self.component_mut(component).kill(),
        }
    }

    /// Asks a component or the broker to stop (SIGTERM), and waits until it has. Says whether it ended well.
    pub async fn stop(&mut self, component: &str) -> bool {
        if component == BROKER {
            self.nats.stop().await;
            return true;
        }
        self.component_mut(component).stop().await
    }

    /// Holds a component or the broker in mid-air: it keeps its connections and answers nothing.
    pub fn freeze(&self, component: &str) {
        match component {
            BROKER => self.nats.freeze(),
            _ => self.component(component).freeze(),
        }
    }

    /// Lets a frozen one go on.
    pub fn thaw(&self, component: &str) {
        match component {
            BROKER => self.nats.thaw(),
            _ => self.component(component).thaw(),
        }
    }

    /// Everything that a component or the broker has written to its log, over all starts.
    pub fn log(&self, component: &str) -> String {
        match component {
            BROKER => self.nats.log(),
            _ => self.component(component).log(),
        }
    }

    /// The process id of a component or the broker.
    pub fn pid(&self, component: &str) -> u32 {
        match component {
            BROKER => self.nats.pid(),
            _ => self.component(component).pid(),
        }
    }

    /// A component's configuration file; a change takes effect with its next start.
    pub fn configuration(&self, component: &str) -> PathBuf {
        self.directory.join(format!("{component}.toml"))
    }

    /// Has a component talk to the broker at another address of the same host, such as a proxy's, from its next
    /// start on.
    pub fn direct(&self, component: &str, broker: SocketAddr) {
        let path = self.configuration(component);
        let text = fs::read_to_string(&path).expect("the component's configuration");
        let is_servers = |line: &&str| line.trim_start().starts_with("servers");
        let old = text.lines().find(is_servers).expect("a line with the broker's address");
        let new = text.replace(old, &format!("servers = [\"tls://{broker}\"]"));
        fs::write(&path, new).expect("the component's configuration");
    }

    /// `openkcm ARGUMENTS` on this landscape, as its administrator, not started yet; on a network, on the host of
    /// the test.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_from(TEST_HOST, arguments)
    }

    /// As [`Distributed::command`], on the host of a component, which reaches itself whatever is cut.
    pub fn command_from(&self, host: &str, arguments: &[&str]) -> Command {
        Launch::new(&self.program)
            .arguments(arguments.iter().copied())
            .variable("OPENKCM_LANDSCAPE", self.landscape_file())
            .within_namespace(self.network.as_ref().map(|network| network.namespace(host)))
            .command()
    }

    /// The file that client commands read.
    pub fn landscape_file(&self) -> PathBuf {
        self.directory.join("landscape.json")
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The broker.
    pub fn nats(&self) -> &Nats {
        &self.nats
    }

    /// The broker, to kill it, or to start it again.
    pub fn nats_mut(&mut self) -> &mut Nats {
        &mut self.nats
    }

    /// The network that it is on, to cut it.
    ///
    /// # Panics
    /// When it is on loopback.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("the landscape is on a network")
    }

    fn component(&self, name: &str) -> &Process {
        self.components.get(name).unwrap_or_else(|| panic!("{name} was never started"))
    }

    fn component_mut(&mut self, name: &str) -> &mut Process {
        self.components.get_mut(name).unwrap_or_else(|| panic!("{name} was never started"))
    }
}

fn add_looker(configuration: &Path) {
    let text = fs::read_to_string(configuration).expect("init wrote it");
    let first = "{ # operator";
    assert!(text.contains(first), "the users of the streams' account begin with the operator");
    let looker = format!("{{ user: {LOOKER}, password: {LOOKER} }}\n      {first}");
    fs::write(configuration, text.replacen(first, &looker, 1)).expect("written");
}
