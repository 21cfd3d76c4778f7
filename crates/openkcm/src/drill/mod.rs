//! `openkcm drill`: the tiers of disaster recovery, injected, measured and judged, for an operator.
//!
//! A drill makes tenants of its own, puts them under a steady load, breaks something, heals it, and then opens what was
//! encrypted meanwhile. What always holds: it touches nobody else's tenants; what it broke is healed and what it started
//! has ended when it ends, also when it fails or is stopped by a signal; it ends with 0 only when every promise held.

mod arguments;
mod cast;
mod check;
mod ground;
mod job;
mod load;
mod recovery;
mod report;
mod scratch;
mod stage;
mod story;
mod tier1;
mod tier2;
mod tier3;
mod vitals;
mod wait;
mod witness;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use openkcm_host::{Clock, Entropy, OsEntropy, SystemClock};

use self::arguments::Common;
use self::ground::Ground;
use self::report::Report;
use self::stage::Stage;
use self::story::Story;
use crate::cli::{Format, output, render};
use crate::files;
use crate::process::StopSignals;

pub(crate) use self::arguments::Command;

/// Why a drill that was asked to stop has no result.
const STOPPED: &str = "the drill was stopped before its end";

impl Command {
    fn common(&self) -> &Common {
        match self {
            Self::Tier1(flags) => &flags.common,
            Self::Tier2(flags) => &flags.common,
            Self::Tier3(flags) => &flags.common,
        }
    }

    /// What takes the backup of a landscape that is there.
    fn backup(&self) -> Option<String> {
        match self {
            Self::Tier2(flags) => flags.backup.clone(),
            Self::Tier1(_) | Self::Tier3(_) => None,
        }
    }
}

/// Drills, and prints the report.
///
/// # Errors
/// When a promise did not hold; when the drill could not be carried out, or was stopped.
pub(crate) fn run(command: &Command, landscape: PathBuf, format: Format) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let report = runtime.context("the runtime can't be started")?.block_on(drill(command, landscape))?;
    let shown = render::json(&serde_json::to_value(&report).context("the report does not fit JSON")?);
    if let Some(file) = &command.common().json {
        files::replace(file, shown.as_bytes())?;
    }
    output::result(&match format {
        Format::Json => shown,
        Format::Table => report.to_text(),
    })?;
    match report.broken() {
        0 => Ok(()),
        broken => bail!("{broken} of {} promises did not hold", report.promises.len()),
    }
}

async fn drill(command: &Command, landscape: PathBuf) -> anyhow::Result<Report> {
    let mut stop = StopSignals::listen()?;
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
        (Arc::new(SystemClock), Arc::new(OsEntropy::new()));
    let story = Arc::new(Story::begin(clock.clone()));
    let ground = tokio::select! {
        ground = Ground::open(&command.common().place, landscape, command.backup(), &clock, &*entropy) => ground?,
        () = stop.asked() => bail!(STOPPED),
    };
    let mut stage = Stage::new(ground, story, entropy);
    stage.story.tell(format!("drilling on {}", stage.ground.title()));
    let (outcome, was_stopped) = tokio::select! {
        outcome = perform(command, &mut stage) => (outcome, false),
        () = stop.asked() => (Err(anyhow!(STOPPED)), true),
    };
    if !was_stopped && !outcome.as_ref().is_ok_and(|report| report.held) {
        stage.ground.keep();
    }
    // Asked a second time, it leaves the landscape as it is.
    let left = tokio::select! {
        left = stage.leave() => left,
        () = stop.asked() => Err(anyhow!("what the drill made or broke was left as it is")),
    };
    match (outcome, left) {
        (Ok(report), left) => left.map(|()| report),
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(left)) => Err(error.context(format!("{left:#}"))),
    }
}

async fn perform(command: &Command, stage: &mut Stage) -> anyhow::Result<Report> {
    match command {
        Command::Tier1(flags) => tier1::run(stage, flags).await,
        Command::Tier2(flags) => tier2::run(stage, flags).await,
        Command::Tier3(flags) => tier3::run(stage, flags).await,
    }
}
