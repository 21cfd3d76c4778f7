//! A landscape for one drill: real processes of this very program, a real broker, in a directory of its own, on loopback.
//!
//! It is made and run as an operator does it: `openkcm init`, `nats-server`, `openkcm registry`, `cmk`, `krypton`,
//! `backup`, `restore`, `mesh setup`. What always holds: all that it started has ended when it is dropped, also when the
//! drill failed or was stopped.

mod address;
mod faults;
mod home;
mod nats_server;
mod process;
mod relay;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use openkcm_contracts::RegionId;
use openkcm_host::{Clock, Entropy};
use tokio::net::TcpStream;

use self::home::Home;
use self::process::Process;
use self::relay::Relay;
use super::arguments::Place;
use super::job;
use crate::component::Component;

/// The broker, as a part's name.
const BROKER: &str = "nats";

/// How long a part may take to start: far more than it needs on a machine that is not overloaded.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Ports beside those of the Cores: of the Registry, the CMK Server and the broker.
const OTHER_PORTS: u16 = 3;

/// What a purge waits for in the Cores of a scratch landscape; a day in others.
const PURGE_WAIT: &str = "purge.minimum_wait=1s";

/// The regions, where none were named.
const REGIONS: [&str; 2] = ["a", "b"];

/// A landscape whose parts run, or were killed.
pub(super) struct Scratch {
    running: BTreeMap<String, Process>,
    relays: BTreeMap<RegionId, Relay>,
    broker: SocketAddr,
    regions: Vec<RegionId>,
    program: PathBuf,
    nats_server: PathBuf,
    clock: Arc<dyn Clock>,
    /// Goes when nothing runs in it any more.
    home: Home,
}

impl Scratch {
    /// Makes it, starts all of it, and waits until it is ready.
    ///
    /// # Errors
    /// When there is no broker's program, or a part does not start.
    pub(super) async fn start(
        place: &Place,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> anyhow::Result<Self> {
        let nats_server = nats_server::find(place.nats_server.as_deref())?;
        let program = std::env::current_exe().context("this program can't tell where it is")?;
        let regions = match place.regions.is_empty() {
            true => REGIONS.iter().map(|name| RegionId::new(name)).collect::<Result<_, _>>()?,
            false => place.regions.clone(),
        };
        let home = Home::make(place.dir.as_deref(), place.keep, entropy)?;
        let (host, first) = ports(regions.len())?;
        let broker = SocketAddr::new(host, first + 2);
        let (running, relays) = (BTreeMap::new(), BTreeMap::new());
        let mut scratch = Self { running, relays, broker, regions, program, nats_server, clock, home };
        scratch.init(host, first).await.context("the scratch landscape can't be made")?;
        for region in scratch.regions.clone() {
            scratch.relays.insert(region, Relay::start(host, broker).await?);
        }
        scratch.start_all().await.context("the scratch landscape does not start")?;
        Ok(scratch)
    }

    /// The file that clients read.
    pub(super) fn landscape_file(&self) -> PathBuf {
        self.landscape().join("landscape.json")
    }

    /// Keeps its directory.
    pub(super) fn keep(&mut self) {
        self.home.keep();
    }

    fn landscape(&self) -> PathBuf {
        self.home.path("landscape")
    }

    /// Where a part keeps its state.
    fn data(&self, part: &str) -> PathBuf {
        self.landscape().join("data").join(part)
    }

    fn configuration(&self, component: &str) -> PathBuf {
        self.landscape().join(format!("{component}.toml"))
    }

    async fn init(&self, host: IpAddr, first: u16) -> anyhow::Result<()> {
        let port = |offset: u16| (first + offset).to_string();
        let regions: Vec<&str> = self.regions.iter().map(RegionId::as_str).collect();
        let mut command = job::own(&self.program);
        command.arg("init").arg("--dir").arg(self.landscape());
        command.args(["--regions", &regions.join(","), "--host", &host.to_string()]);
        command.args(["--registry-port", &port(0), "--cmk-port", &port(1), "--nats-port", &port(2)]);
        command.args(["--core-port", &port(OTHER_PORTS)]);
        self.job("init", command).await.map(|_| ())
    }

    /// Runs this program to its end.
    async fn job(&self, name: &str, mut command: Command) -> anyhow::Result<String> {
        job::run(&mut command, &self.home.path("logs").join(format!("{name}.stdout"))).await
    }

    async fn start_all(&mut self) -> anyhow::Result<()> {
        self.start_part(BROKER, &[]).await?;
        let components: Vec<String> = Component::all(&self.regions).iter().map(ToString::to_string).collect();
        for component in &components {
            self.spawn(component, &[])?;
        }
        for component in &components {
            self.until_ready(component).await?;
        }
        Ok(())
    }

    /// Starts a part, with further arguments for this once, and waits until it is ready.
    async fn start_part(&mut self, part: &str, more: &[&str]) -> anyhow::Result<()> {
        self.spawn(part, more)?;
        self.until_ready(part).await
    }

    fn spawn(&mut self, part: &str, more: &[&str]) -> anyhow::Result<()> {
        let mut command = match part {
            BROKER => {
                let mut command = Command::new(&self.nats_server);
                command.arg("-c").arg(self.landscape().join("nats.conf")).current_dir(self.landscape());
                command.stdin(Stdio::null());
                command
            }
            component => self.component(component)?,
        };
        let process = Process::start(part, command.args(more), &self.home.path("logs"))?;
        self.running.insert(part.to_owned(), process);
        Ok(())
    }

    fn component(&self, name: &str) -> anyhow::Result<Command> {
        let component: Component = name.parse().map_err(anyhow::Error::msg)?;
        let mut command = job::own(&self.program);
        command.arg(component.role().to_string()).arg("--config").arg(self.configuration(name));
        if let Some(region) = component.region() {
            command.args(["--set", PURGE_WAIT]);
            let relay = self.relays.get(region).context("a region has no relay")?;
            command.arg("--set").arg(format!("orbital.servers=tls://{}", relay.address()));
        }
        Ok(command)
    }

    async fn until_ready(&mut self, part: &str) -> anyhow::Result<()> {
        let begun = self.clock.boottime();
        let process = self.running.get_mut(part).context("it was not started")?;
        loop {
            let is_ready = match part {
                BROKER => process.must_run().map(|()| TcpStream::connect(self.broker))?.await.is_ok(),
                _ => process.is_ready()?,
            };
            if is_ready {
                return Ok(());
            }
            if self.clock.boottime().since(begun) >= START_PATIENCE {
                bail!("{part} was not ready within {} s", START_PATIENCE.as_secs());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// A loopback address, and the first of the ports on it for so many regions.
fn ports(regions: usize) -> anyhow::Result<(IpAddr, u16)> {
    let host = address::own_host();
    let count = u16::try_from(regions).ok().and_then(|regions| regions.checked_add(OTHER_PORTS));
    Ok((host, address::free_ports(host, count.context("there are too many regions")?)?))
}
