//! Streams and readers of the mesh, made by the operator: `openkcm mesh setup`, and by the component whose
//! configuration has a section `[orbital.operator]`.
//!
//! What always holds: the operator's rights are used for one set-up and its connection is closed then; what is there
//! keeps its messages.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use openkcm_contracts::{RegionId, Role};
use openkcm_host::{Entropy, OsEntropy, random_array};
use openkcm_orbital::nats::layout::{Layout, OPERATOR};
use openkcm_orbital::nats::{Operator, Provisioned};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::config::{self, Config, Mesh, Sources};
use super::{parts, set_flags};
use crate::cli::{Format, output, parse_pair, render};

/// Between attempts to set the mesh up: the first pause at most, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often it is looked whether all is still there: a broker that lost its disk has nothing when it is back.
const LOOK_EVERY: Duration = Duration::from_secs(60);

const COLUMNS: &[render::Column] = &[("STREAM", "/stream"), ("READER", "/reader"), ("STATE", "/state")];

/// Look after the mesh
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make the streams and readers that are missing on the broker, and show them all
    ///
    /// To be typed after every restore of a broker from a copy, too: it notes on each stream that numbers may be
    /// given again from here, so that no reader takes for read what it never saw.
    Setup(Setup),
}

/// Which mesh, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Setup {
    /// The Registry's configuration, which names the broker, the regions and the operator's key
    #[arg(long, value_name = "FILE", required_unless_present = "dir")]
    config: Option<PathBuf>,
    /// The landscape's directory, as `openkcm init` made it
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    dir: Option<PathBuf>,
    /// Set any key of the configuration, such as orbital.operator.nkey=operator.nk
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    set: Vec<(String, String)>,
}

/// Sets the mesh up once.
///
/// # Errors
/// When the configuration can't be used, or the broker does not answer or refuses.
pub(crate) fn run(command: &Command, format: Format) -> anyhow::Result<()> {
    let Command::Setup(setup) = command;
    let in_directory = setup.dir.as_ref().map(|directory| directory.join("registry.toml"));
    let path = setup.config.clone().or(in_directory).context("the parser demands one of them")?;
    let config = Config::load(Role::Registry, &Sources::of_process(&path, set_flags(&setup.set))?)?;
    let operator = config.mesh.operator.as_ref().with_context(|| {
        format!(
            "{} has no section [orbital.operator]: --set orbital.operator.nkey=FILE names its key",
            path.display()
        )
    })?;
    let runtime = tokio::runtime::Runtime::new().context("the runtime can't be started")?;
    let set_up = async {
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy::new());
        let (connection, provisioned) = set_up(&config.mesh, operator, &config.regions, entropy).await?;
        // Whoever types this may have restored the broker a moment ago.
        connection.begin_runs(&Layout::new(config.regions.iter().cloned())).await?;
        anyhow::Ok(provisioned)
    };
    let provisioned = runtime.block_on(set_up).context("the mesh can't be set up")?;
    output::result(&render::list(format, COLUMNS, &rows(&provisioned), false))
}

fn rows(provisioned: &Provisioned) -> Vec<Value> {
    let state = |made: &bool| if *made { "made" } else { "was there" };
    let mut rows = Vec::new();
    for (stream, made) in &provisioned.streams {
        rows.push(json!({ "stream": stream, "reader": null, "state": state(made) }));
        let of_stream = provisioned.readers.iter().filter(|(of, ..)| of == stream);
        rows.extend(
            of_stream
                .map(|(_, reader, made)| json!({ "stream": stream, "reader": reader, "state": state(made) })),
        );
    }
    rows
}

/// Sets the mesh up for these regions.
async fn set_up(
    mesh: &Mesh,
    operator: &config::Operator,
    regions: &[RegionId],
    entropy: Arc<dyn Entropy>,
) -> anyhow::Result<(Operator, Provisioned)> {
    let options = parts::options(mesh, OPERATOR, &operator.nkey)?;
    let connection = Operator::connect(options, entropy).await?;
    let layout = Layout::new(regions.iter().cloned());
    let provisioned = connection.provision(&layout, operator.wanted).await?;
    Ok((connection, provisioned))
}

/// Sets the mesh up, again whenever the regions change, and looks from time to time; tries until it is done.
pub(super) async fn keep(mesh: Mesh, mut regions: watch::Receiver<Vec<RegionId>>, entropy: Arc<dyn Entropy>) {
    let Some(operator) = &mesh.operator else { return };
    let mut pause = FIRST_PAUSE;
    loop {
        let wanted = regions.borrow_and_update().clone();
        let wait = match set_up(&mesh, operator, &wanted, entropy.clone()).await {
            Ok((_, provisioned)) => {
                let streams = provisioned.streams.iter().filter(|(_, made)| *made).count();
                let readers = provisioned.readers.iter().filter(|(.., made)| *made).count();
                if streams + readers > 0 {
                    tracing::info!(streams, readers, "the mesh is set up; so many were missing");
                }
                pause = FIRST_PAUSE;
                jittered(LOOK_EVERY, &*entropy)
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the mesh can't be set up yet");
                let wait = jittered(pause, &*entropy);
                pause = (pause * 2).min(LONGEST_PAUSE);
                wait
            }
        };
        let changed = tokio::select! {
            changed = regions.changed() => changed,
            () = tokio::time::sleep(wait) => Ok(()),
        };
        if changed.is_err() {
            return;
        }
    }
}

/// A pause of random length, so that those who lost a broker together don't come back together.
fn jittered(pause: Duration, entropy: &dyn Entropy) -> Duration {
    let share = f64::from(u32::from_le_bytes(random_array(entropy))) / f64::from(u32::MAX);
    pause.mul_f64(0.5 + share / 2.0)
}
