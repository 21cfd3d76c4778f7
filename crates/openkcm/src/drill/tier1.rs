//! Tier 1: a region loses the mesh. It goes on serving and rotating by itself, and has caught up soon after.

use anyhow::Context as _;

use super::arguments::Tier1;
use super::load::Way;
use super::report::{
    AtRisk, Ciphertexts, Findings, Promise, Report, all_is_well, no_request_lost, nothing_lost,
    rotation_went_on,
};
use super::stage::Stage;
use super::vitals::{self, RiskWatch};
use super::wait::until;

pub(super) async fn run(stage: &mut Stage, flags: &Tier1) -> anyhow::Result<Report> {
    let common = &flags.common;
    let wellness = stage.must_be_well(common.settle).await?;
    let regions = stage.regions()?;
    let region = flags.region.clone().or(regions.first().cloned()).context("the landscape has no region")?;
    let client = stage.client()?;
    client.check_region(&region)?;
    stage.cast(common, regions.clone())?;
    stage.make(&[]).await?;
    let mut load = stage.load(common, &client, regions.iter().map(Way::only).collect())?;
    let risk = RiskWatch::begin(&client);
    tokio::time::sleep(common.load.steady).await;

    let begun = stage.story.elapsed();
    stage.ground.cut(&region).await?;
    stage.story.tell(format!("region {region} is cut off the mesh"));
    let noticed = until(&**stage.clock(), flags.lasts, || async {
        vitals::is_connected(&client, &region).await.filter(|connected| !connected)
    });
    let noticed = noticed.await.is_some();
    tokio::time::sleep(flags.lasts.saturating_sub(stage.story.elapsed().saturating_sub(begun))).await;
    stage.ground.mend(&region).await?;
    let ended = stage.story.tell(format!("region {region} may reach the mesh again"));
    let versions = load.shelf().versions_begun(std::slice::from_ref(&region), begun, ended);

    let ills = vitals::until_well(&client, &stage.story, &wellness, common.settle).await;
    stage.story.tell(if ills.is_empty() { "all is well again" } else { "not all is well yet" });
    tokio::time::sleep(common.load.steady).await;
    load.stop().await;
    stage.story.tell("the load has ended");
    let checked = stage.check(&load, &regions, common.settle).await?;
    let counts = load.counts();
    let at_end = vitals::all_at_risk(&client, &regions).await;
    // A version is made up to a twentieth early, and one that is made late is not missed.
    let due = flags.lasts >= common.load.rotate_every.duration() * 2;
    let title = format!("region {region} loses the mesh for {}", humantime::format_duration(flags.lasts));
    let found =
        if noticed { "its Core said that it was cut off" } else { "its Core never said that it was cut off" };
    let findings = Findings {
        fault: Some((begun, ended)),
        ciphertexts: Ciphertexts::of(load.shelf().all().len(), &checked),
        at_risk: AtRisk { highest: risk.highest(), when_lost: None, at_end },
        recovery: None,
        versions_during_fault: versions,
        promises: vec![
            Promise::new(format!("the fault is real: region {region} lost the mesh"), noticed, found),
            no_request_lost(&counts.total()),
            rotation_went_on(
                &format!("rotation goes on in region {region} while it is cut off"),
                versions,
                due,
            ),
            all_is_well("when the mesh is back, all catch up by themselves", &ills),
            nothing_lost("every region opens what either side encrypted", &checked),
        ],
        counts,
    };
    stage.report("tier1", title, common, findings)
}
