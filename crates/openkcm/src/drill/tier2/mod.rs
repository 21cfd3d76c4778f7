//! Tier 2: the Registry, the CMK Server or the broker is lost, and comes back on its own store, on an older backup, or
//! on nothing. The regions serve meanwhile; nothing is lost, and nothing that was ended comes back.

mod changes;

use std::time::Duration;

use openkcm_client::{Client, Component};
use openkcm_contracts::RegionId;

use self::changes::Changes;
use super::arguments::{How, Part, Tier2};
use super::check::Checked;
use super::load::{Load, Way};
use super::report::{
    AtRisk, Ciphertexts, Findings, Promise, Report, all_is_well, no_request_lost, nothing_lost,
    rotation_went_on,
};
use super::stage::Stage;
use super::vitals::{self, RiskWatch};
use super::wait::until;

pub(super) async fn run(stage: &mut Stage, flags: &Tier2) -> anyhow::Result<Report> {
    let (common, part) = (&flags.common, flags.component);
    let wellness = stage.must_be_well(common.settle).await?;
    let regions = stage.regions()?;
    stage.cast(common, regions.clone())?;
    let changes = Changes::cast(stage)?;
    stage.make(&changes.made_before()).await?;
    if flags.how == How::Backup {
        stage.ground.back_up(part).await?;
        stage.story.tell(format!("a backup of {} was taken", part.title()));
    }
    let client = stage.client()?;
    let mut load = stage.load(common, &client, regions.iter().map(Way::only).collect())?;
    let risk = RiskWatch::begin(&client);
    tokio::time::sleep(common.load.steady).await;
    let ended = changes.make(stage, &load, &wellness, common.settle).await?;

    let fault = fault(stage, flags, &client, &regions[0]).await?;
    let (begun, returned) = fault.span;
    let versions = load.shelf().versions_begun(&regions, begun, returned);
    // Its connections to what was restarted are gone.
    let client = stage.client()?;
    let ills = vitals::until_well(&client, &stage.story, &wellness, common.settle).await;
    stage.story.tell(if ills.is_empty() { "all is well again" } else { "not all is well yet" });
    let news = changes.accepts_news(stage, common.settle).await;
    tokio::time::sleep(common.load.steady).await;
    load.stop().await;
    stage.story.tell("the load has ended");
    let checked = stage.check(&load, &regions, common.settle).await?;

    let due = flags.lasts >= common.load.rotate_every.duration() * 2;
    let mut promises = vec![
        Promise::new(format!("the fault is real: {} was lost", part.title()), fault.noticed, fault.found),
        no_request_lost(&load.counts().total()),
        rotation_went_on(&format!("rotation goes on while {} is away", part.title()), versions, due),
        all_is_well("when it is back, all come to agree", &ills),
    ];
    promises.extend(ended.promises(&client).await);
    promises.push(news);
    promises
        .push(nothing_lost("every region opens what was encrypted before, meanwhile and after", &checked));
    let (at_risk, fault) = (at_risk(&client, &risk, &regions).await, Some(fault.span));
    let findings = findings(&load, &checked, at_risk, fault, versions, promises);
    let lasts = humantime::format_duration(flags.lasts);
    let title = format!("{} is lost for {lasts} and comes back on {}", part.title(), flags.how.words());
    stage.report("tier2", title, common, findings)
}

/// What came of the fault.
struct Fault {
    span: (Duration, Duration),
    noticed: bool,
    found: &'static str,
}

async fn fault(
    stage: &mut Stage,
    flags: &Tier2,
    client: &Client,
    region: &RegionId,
) -> anyhow::Result<Fault> {
    let part = flags.component;
    let begun = stage.story.elapsed();
    stage.ground.lose(part, flags.how).await?;
    stage.story.tell(format!("{} is lost", part.title()));
    let noticed =
        until(&**stage.clock(), flags.lasts, || async { is_lost(client, part, region).await.then_some(()) });
    let noticed = noticed.await.is_some();
    tokio::time::sleep(flags.lasts.saturating_sub(stage.story.elapsed().saturating_sub(begun))).await;
    stage.ground.bring_back(part, flags.how).await?;
    let ended = stage.story.tell(format!("{} is back on {}", part.title(), flags.how.words()));
    let found = match (part, noticed) {
        (Part::Nats, true) => "the Cores said that they were cut off",
        (Part::Nats, false) => "the Cores never said that they were cut off",
        (_, true) => "it did not answer",
        (_, false) => "it went on answering",
    };
    Ok(Fault { span: (begun, ended), noticed, found })
}

/// Whether a part is seen to be away now.
async fn is_lost(client: &Client, part: Part, region: &RegionId) -> bool {
    match part {
        Part::Registry => !vitals::answers(client, Component::Registry).await,
        Part::Cmk => !vitals::answers(client, Component::Cmk).await,
        Part::Nats => vitals::is_connected(client, region).await == Some(false),
    }
}

async fn at_risk(client: &Client, risk: &RiskWatch, regions: &[RegionId]) -> AtRisk {
    AtRisk { highest: risk.highest(), when_lost: None, at_end: vitals::all_at_risk(client, regions).await }
}

fn findings(
    load: &Load,
    checked: &Checked,
    at_risk: AtRisk,
    fault: Option<(Duration, Duration)>,
    versions_during_fault: usize,
    promises: Vec<Promise>,
) -> Findings {
    let ciphertexts = Ciphertexts::of(load.shelf().all().len(), checked);
    Findings {
        fault,
        ciphertexts,
        at_risk,
        recovery: None,
        versions_during_fault,
        promises,
        counts: load.counts(),
    }
}
