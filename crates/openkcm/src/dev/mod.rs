//! `openkcm dev`: the whole landscape in one process, on loopback.
//!
//! Registry, CMK Server and a Core for each region, on embedded stores and the embedded mesh: the same
//! code as across regions, with another transport plugged in. For trying out and for tests; nothing of
//! it listens beyond loopback.
//!
//! What always holds: everything that was acknowledged is on disk, so it may be stopped or killed at
//! any moment and comes back with the same state. Starting is idempotent, step by step.

mod config;
mod files;
mod landscape;
mod sample;
mod threads;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use openkcm_contracts::{Period, RegionId};
use openkcm_host::{Entropy, OsEntropy};

use crate::cli::output;
use crate::process::{DRAIN, log_to_stderr, warn_of_memory};
use crate::shell;

/// Where the landscape lies and listens.
#[derive(Debug, clap::Args)]
pub(crate) struct DevArguments {
    /// Directory of all state: stores, mesh, signing keys, local roots, credential, landscape.json
    #[arg(long, value_name = "DIR", default_value = "./.openkcm")]
    pub(crate) data_dir: PathBuf,
    /// Regions, in order of preference; a Core runs for each [default: those of the last start, or a,b]
    #[arg(long, value_name = "REGIONS", value_delimiter = ',', value_parser = region)]
    pub(crate) regions: Vec<RegionId>,
    /// Loopback address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// Port of the Registry; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 7010)]
    pub(crate) registry_port: u16,
    /// Port of the CMK Server; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 7020)]
    pub(crate) cmk_port: u16,
    /// Port of the first region's Core, the next ones count on; 0 takes any free ones
    #[arg(long, value_name = "PORT", default_value_t = 7031)]
    pub(crate) core_port: u16,
    /// How to reach L1 providers beyond `local`, and more: a TOML file with sections such as [roots.openbao], and for
    /// leases, probes and purges [default: DIR/dev.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How long a lease of the CMK Server holds: with the CMK Server away for so long nothing is served [default: 1d, or
    /// what the configuration says]
    #[arg(long, value_name = "PERIOD")]
    pub(crate) lease_ttl: Option<Period>,
    /// How long each Core keeps the material of a deleted key at the least, beyond the waiting period of its deletion; and
    /// a minute longer [default: not at all, or what the configuration says]
    #[arg(long, value_name = "PERIOD")]
    pub(crate) purge_wait: Option<Period>,
    /// Make no sample tenant at the first start
    #[arg(long)]
    pub(crate) no_sample: bool,
}

fn region(text: &str) -> Result<RegionId, String> {
    RegionId::new(text).map_err(|error| error.to_string())
}

/// Runs the landscape until it is asked to stop.
pub(crate) fn run(arguments: DevArguments) -> anyhow::Result<()> {
    log_to_stderr("dev".to_owned());
    warn_of_memory(&openkcm_host::harden().context("the process can't be hardened")?);
    let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
    let home = files::Home::prepare(&arguments.data_dir, &*entropy)?;
    let regions = home.regions(&arguments.regions)?;
    let configured = config::read(&arguments, &home)?;
    let threads = threads::Threads::start(&regions)?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't be started")?;
    let outcome = runtime.block_on(async {
        let (arguments, home) = (&arguments, &home);
        let threads = &threads;
        let parts = landscape::Parts { arguments, home, regions, threads, configured, entropy };
        let running = landscape::start(parts).await?;
        if arguments.no_sample {
            // A tenant `demo` that is made from now on is its owner's, and no later start touches it.
            home.note_sample()?;
        } else {
            sample::ensure(home, &running.landscape).await?;
        }
        announce(home, &running.landscape)?;
        running.until_stopped().await
    });
    threads.end();
    runtime.shutdown_timeout(DRAIN);
    outcome
}

fn announce(home: &files::Home, landscape: &openkcm_client::Landscape) -> anyhow::Result<()> {
    let mut text = format!(
        "OpenKCM landscape in {}\n  Registry    {}\n  CMK Server  {}\n",
        home.directory().display(),
        landscape.registry,
        landscape.cmk
    );
    for region in &landscape.regions {
        text.push_str(&format!("  Core {:<6} {}\n", region.name.as_str(), region.url));
    }
    text.push_str(&format!("  credential  {}\n", home.directory().join(files::CREDENTIAL).display()));
    let (program, file) = (shell::program(), home.landscape_file());
    let openkcm = format!("{program} --landscape {}", shell::word(&file));
    text.push_str("Encrypt and decrypt something, from another terminal in this directory:\n");
    text.push_str(&format!(
        "  echo hello | {openkcm} encrypt {0} | {openkcm} decrypt {0}\n",
        sample::SERVICE
    ));
    text.push_str("ready");
    output::result(&text)
}
