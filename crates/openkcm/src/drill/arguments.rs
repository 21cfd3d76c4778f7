//! What can be typed behind `openkcm drill`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use openkcm_contracts::{Period, RegionId, RootRef};

use crate::cli::{parse_root, parse_span};

/// The most tenants of a drill: what the tiers are measured with.
const MAX_TENANTS: i64 = 10_000;

/// The most services of one tenant.
const MAX_SERVICES: i64 = 1_000;

/// The most callers at once: each is a connection or two.
const MAX_CALLERS: i64 = 512;

/// The most requests a second.
const MAX_RATE: i64 = 100_000;

/// The longest drill, so that what it counts per second stays small.
const MAX_SPAN: Duration = Duration::from_secs(86_400);

/// Drill a disaster under load, and see what was lost: nothing
///
/// Each drill injects a fault, compares every answer with what was encrypted, heals, and says which promises held. It
/// ends with 0 when all did, and with 1 when one did not. See docs/drills.md.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tier 1: a region loses the mesh, and goes on
    Tier1(Tier1),
    /// Tier 2: the Registry, the CMK Server or the broker is lost, and comes back
    Tier2(Tier2),
    /// Tier 3: a region and its disk are lost, and its tenants move to another one
    Tier3(Tier3),
}

/// The flags of tier 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  openkcm drill tier1 --scratch --for 5m
  openkcm drill tier1 --region eu-1 --root aws-kms:arn:… \\
      --break 'ssh core-eu-1 nft -f /etc/cut.nft' --heal 'ssh core-eu-1 nft flush chain inet drill out'")]
pub(crate) struct Tier1 {
    /// The region that loses the mesh [default: the landscape's first]
    #[arg(long, value_name = "REGION")]
    pub(super) region: Option<RegionId>,
    /// How long it is cut off
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_fault_span, default_value = "60s")]
    pub(super) lasts: Duration,
    #[command(flatten)]
    pub(super) common: Common,
}

/// The flags of tier 2.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  openkcm drill tier2 --scratch --component cmk --how backup
  openkcm drill tier2 --scratch --component nats --how empty --for 30s")]
pub(crate) struct Tier2 {
    /// What is lost
    #[arg(long, value_enum)]
    pub(super) component: Part,
    /// How it comes back
    #[arg(long, value_enum, default_value_t = How::Restart)]
    pub(super) how: How,
    /// How long it is away
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_fault_span, default_value = "20s")]
    pub(super) lasts: Duration,
    /// What takes the backup that --heal puts back, run by `sh -c` before anything is changed
    #[arg(long, value_name = "CMD", conflicts_with = "scratch")]
    pub(super) backup: Option<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// The flags of tier 3.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  openkcm drill tier3 --scratch --tenants 100 --services 10
  openkcm drill tier3 --scratch --regions a,b,c --from a --to c --standby")]
pub(crate) struct Tier3 {
    /// The region that is lost [default: the landscape's first]
    #[arg(long, value_name = "REGION")]
    pub(super) from: Option<RegionId>,
    /// The region that takes its tenants [default: the landscape's first other one]
    #[arg(long, value_name = "REGION")]
    pub(super) to: Option<RegionId>,
    /// Have the tenants in both regions from the start [default: the survivor held nothing of them]
    #[arg(long)]
    pub(super) standby: bool,
    /// How long it takes until the operator asks for the failover
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_fault_span, default_value = "5s")]
    pub(super) lasts: Duration,
    /// Fail the whole region over, with everyone's tenants; a scratch landscape always does [default: move the drill's own]
    #[arg(long, conflicts_with = "scratch")]
    pub(super) whole_region: bool,
    /// Leave the lost region lost: no return, no fail-back
    #[arg(long)]
    pub(super) no_return: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What every drill takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(super) place: Place,
    #[command(flatten)]
    pub(super) load: Load,
    /// How long things may take to settle before a promise counts as broken
    #[arg(long, value_name = "SPAN", value_parser = parse_fault_span, default_value = "2m")]
    pub(super) settle: Duration,
    /// Write the whole report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
}

/// Where the drill takes place.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where")]
#[command(group = clap::ArgGroup::new("ground").required(true).args(["scratch", "break_with"]))]
pub(crate) struct Place {
    /// Make a landscape for the drill: real processes and a real broker, on loopback
    #[arg(long, conflicts_with_all = ["heal_with", "root"])]
    pub(super) scratch: bool,
    /// Make it in this directory, which is empty or not there yet [default: a temporary one]
    #[arg(long, value_name = "DIR", requires = "scratch")]
    pub(super) dir: Option<PathBuf>,
    /// Keep its directory, with every log, store and key; it is kept anyway when a promise did not hold
    #[arg(long, requires = "scratch")]
    pub(super) keep: bool,
    /// Its regions [default: a,b]
    #[arg(long, value_name = "REGIONS", value_delimiter = ',', requires = "scratch")]
    pub(super) regions: Vec<RegionId>,
    /// The broker's program [default: $OPENKCM_TOOLS/bin/nats-server, or that on the PATH]
    #[arg(long, value_name = "FILE", requires = "scratch")]
    pub(super) nats_server: Option<PathBuf>,
    /// What injects the fault into the landscape, run by `sh -c`
    #[arg(long = "break", value_name = "CMD", requires_all = ["heal_with", "root"])]
    pub(super) break_with: Option<String>,
    /// What ends the fault, run by `sh -c`; also when the drill fails or is stopped
    #[arg(long = "heal", value_name = "CMD", requires = "break_with")]
    pub(super) heal_with: Option<String>,
    /// The root key of the tenants that the drill makes, and offboards at its end
    #[arg(long, value_name = "PROVIDER:KEY", value_parser = parse_root, requires = "break_with")]
    pub(super) root: Option<RootRef>,
}

/// What the callers do.
#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct Load {
    /// Tenants, made for the drill
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=MAX_TENANTS))]
    pub(super) tenants: u32,
    /// Services of each tenant
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=MAX_SERVICES))]
    pub(super) services: u32,
    /// Callers at the same time, over all regions
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=MAX_CALLERS))]
    pub(super) callers: u32,
    /// Requests a second in all, half encrypt, half decrypt
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=MAX_RATE))]
    pub(super) rate: u32,
    /// How often each service rotates
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    pub(super) rotate_every: Period,
    /// How long the load runs before the fault, and after all is well again
    #[arg(long, value_name = "SPAN", value_parser = parse_fault_span, default_value = "5s")]
    pub(super) steady: Duration,
}

/// What tier 2 loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The Registry
    Registry,
    /// The CMK Server
    Cmk,
    /// The broker
    Nats,
}

impl Part {
    /// What its files are called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Cmk => "cmk",
            Self::Nats => "nats",
        }
    }

    /// What people call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Registry => "the Registry",
            Self::Cmk => "the CMK Server",
            Self::Nats => "the broker",
        }
    }
}

/// How it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum How {
    /// On its own store
    Restart,
    /// On a backup that was taken before things were ended
    Backup,
    /// On an empty disk
    Empty,
}

impl How {
    /// What it comes back on.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Restart => "its own store",
            Self::Backup => "an older backup",
            Self::Empty => "an empty disk",
        }
    }
}

/// A span that a drill can last.
fn parse_fault_span(text: &str) -> Result<Duration, String> {
    let span = parse_span(text)?;
    match span <= MAX_SPAN {
        true => Ok(span),
        false => Err("at most 1 day is expected".to_owned()),
    }
}
