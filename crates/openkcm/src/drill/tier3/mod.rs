//! Tier 3: a region and its disk are lost. The Registry assigns its tenants to a survivor, which opens what the lost
//! region sealed; when the region returns, with nothing on its disk, it gets all of it back.

mod moving;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use openkcm_client::{Client, Route};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{RegionId, ServicePath};

use self::moving::Moving;
use super::arguments::Tier3;
use super::load::{Kept, Load, Way};
use super::recovery;
use super::report::{AtRisk, Ciphertexts, Findings, Promise, Recovery, Report, all_is_well, nothing_lost};
use super::stage::Stage;
use super::vitals::{self, RiskWatch, Wellness};
use super::witness::{self, Witness};

impl Tier3 {
    fn moving(&self) -> Moving {
        match self.common.place.scratch || self.whole_region {
            true => Moving::Region,
            false => Moving::Own,
        }
    }
}

/// Who is lost, and who takes over.
struct Roles {
    from: RegionId,
    to: RegionId,
}

pub(super) async fn run(stage: &mut Stage, flags: &Tier3) -> anyhow::Result<Report> {
    let common = &flags.common;
    let mut wellness = stage.must_be_well(common.settle).await?;
    let roles = Roles::of(flags, &stage.regions()?)?;
    let standby = flags.standby.then(|| roles.to.clone());
    let homes: Vec<RegionId> = [roles.from.clone()].into_iter().chain(standby).collect();
    stage.cast(common, homes.clone())?;
    let unlinked = stage.players_mut()?.further("unlinked")?;
    stage.make(std::slice::from_ref(&unlinked)).await?;
    let client = stage.client()?;
    let ended = unlink(stage, &client, &unlinked, &homes, &roles).await?;
    let way = Way { route: Route::Prefer(roles.from.clone()), region: roles.from.clone(), opens_all: true };
    let mut load = stage.load(common, &client, vec![way])?;
    let risk = RiskWatch::begin(&client);
    load.seed(&client, &roles.from, stage.players()?.services()).await?;
    tokio::time::sleep(common.load.steady).await;

    let lost = lose(stage, flags, &client, &roles, &load).await?;
    let (committed, recovery) = fail_over(stage, flags, &roles, &lost.kept).await?;
    let recovered = committed + Duration::from_millis(recovery.last_ms.unwrap_or_default());
    let mut checked = stage.check_in(&lost.kept, std::slice::from_ref(&roles.to), common.settle).await?;
    let mut promises = vec![
        served_again("every tenant is served by the survivor", &recovery),
        nothing_lost("the survivor opens what the lost region encrypted", &checked),
    ];
    tokio::time::sleep(common.load.steady).await;
    promises.push(ended.promise("a tenant that was unlinked stays unlinked in the survivor", &client).await);
    let versions = load.shelf().versions_begun(&stage.regions()?, lost.at, stage.story.elapsed());
    if flags.no_return {
        wellness.lost = Some(roles.from.clone());
    } else {
        let back = fail_back(stage, flags, &roles, &homes, &load).await?;
        promises.push(served_again("after the fail-back, every tenant is served by its own region", &back));
        tokio::time::sleep(common.load.steady).await;
    }
    load.stop().await;
    stage.story.tell("the load has ended");
    let last = stage.check(
        &load,
        if flags.no_return { std::slice::from_ref(&roles.to) } else { &homes },
        common.settle,
    );
    let last = last.await?;
    promises.push(nothing_lost("at the end, the tenants' regions open what any region encrypted", &last));
    checked.add(last);
    let ills = vitals::until_well(&stage.client()?, &stage.story, &wellness, common.settle).await;
    promises.push(all_is_well("all come to agree", &ills));

    let at_end = vitals::all_at_risk(&stage.client()?, &regions_left(stage, &wellness)?).await;
    let findings = Findings {
        fault: Some((lost.at, recovered)),
        ciphertexts: Ciphertexts::of(load.shelf().all().len(), &checked),
        at_risk: AtRisk { highest: risk.highest(), when_lost: lost.at_risk, at_end },
        versions_during_fault: versions,
        recovery: Some(recovery),
        promises,
        counts: load.counts(),
    };
    let title = format!("region {} and its disk are lost, and region {} takes over", roles.from, roles.to);
    stage.report("tier3", title, common, findings)
}

/// Unlinks a tenant whose ciphertext no survivor may open.
async fn unlink(
    stage: &Stage,
    client: &Client,
    service: &ServicePath,
    homes: &[RegionId],
    roles: &Roles,
) -> anyhow::Result<witness::Watch> {
    let survivor = std::slice::from_ref(&roles.to);
    let witness = Witness::make(client, service, homes, survivor, Code::TenantUnlinked).await?;
    client
        .cmk()
        .unlink(&service.tenant)
        .await
        .with_context(|| format!("{} can't be unlinked", service.tenant))?;
    stage.story.tell("a further tenant was unlinked");
    Ok(witness.watch(client))
}

impl Roles {
    fn of(flags: &Tier3, regions: &[RegionId]) -> anyhow::Result<Self> {
        let from = flags.from.clone().or(regions.first().cloned()).context("the landscape has no region")?;
        let other = || regions.iter().find(|region| **region != from).cloned();
        let to =
            flags.to.clone().or_else(other).context("the landscape has no second region to take over")?;
        for region in [&from, &to] {
            if !regions.contains(region) {
                bail!("the landscape has no region {region}");
            }
        }
        if from == to {
            bail!("--from and --to are the same region");
        }
        Ok(Self { from, to })
    }
}

/// How it was when the region was lost.
struct Lost {
    at: Duration,
    at_risk: Option<u64>,
    /// What had been encrypted by then.
    kept: Vec<Arc<Kept>>,
}

async fn lose(
    stage: &mut Stage,
    flags: &Tier3,
    client: &Client,
    roles: &Roles,
    load: &Load,
) -> anyhow::Result<Lost> {
    let (at_risk, kept) =
        (vitals::all_at_risk(client, std::slice::from_ref(&roles.from)).await, load.shelf().all());
    let at = stage.story.elapsed();
    stage.ground.lose_region(&roles.from).await?;
    stage.story.tell(format!("region {} and its disk are lost", roles.from));
    tokio::time::sleep(flags.lasts).await;
    Ok(Lost { at, at_risk, kept })
}

/// Moves the tenants to the survivor; gives when that was committed, and how soon it served them.
async fn fail_over(
    stage: &Stage,
    flags: &Tier3,
    roles: &Roles,
    kept: &[Arc<Kept>],
) -> anyhow::Result<(Duration, Recovery)> {
    let patience = flags.common.settle;
    let committed = flags.moving().over(stage, roles, patience).await?;
    let client = stage.client()?;
    Ok((committed, recovery::measure(stage, &client, &roles.to, kept, committed, patience).await))
}

/// The lost region returns with an empty disk, and gets its tenants back; gives how soon it served them.
async fn fail_back(
    stage: &mut Stage,
    flags: &Tier3,
    roles: &Roles,
    homes: &[RegionId],
    load: &Load,
) -> anyhow::Result<Recovery> {
    let patience = flags.common.settle;
    stage.ground.return_region(&roles.from).await?;
    stage.story.tell(format!("region {} is back, with an empty disk", roles.from));
    let committed = flags.moving().back(stage, roles, homes, patience).await?;
    let (client, kept) = (stage.client()?, load.shelf().all());
    Ok(recovery::measure(stage, &client, &roles.from, &kept, committed, patience).await)
}

fn served_again(promise: &str, recovery: &Recovery) -> Promise {
    let Recovery { tenants, served, .. } = *recovery;
    Promise::new(promise, served == tenants && tenants > 0, format!("{served} of {tenants} are served"))
}

/// The regions that are to be well at the end.
fn regions_left(stage: &Stage, wellness: &Wellness) -> anyhow::Result<Vec<RegionId>> {
    Ok(stage.regions()?.into_iter().filter(|region| Some(region) != wellness.lost.as_ref()).collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Tier3,
    }

    fn roles(line: &str, regions: &[&str]) -> anyhow::Result<(String, String)> {
        let line = Line::parse_from(format!("drill --scratch {line}").split_whitespace());
        let regions: Vec<_> = regions.iter().map(|name| RegionId::new(name).expect("a label")).collect();
        let Roles { from, to } = Roles::of(&line.flags, &regions)?;
        Ok((from.to_string(), to.to_string()))
    }

    #[test]
    fn the_first_region_is_lost_to_the_first_other_one_unless_it_is_said_otherwise() {
        let of = |line| roles(line, &["a", "b", "c"]).expect("two regions");
        assert_eq!(of(""), ("a".to_owned(), "b".to_owned()));
        assert_eq!(of("--from b"), ("b".to_owned(), "a".to_owned()));
        assert_eq!(of("--from c --to b"), ("c".to_owned(), "b".to_owned()));
        for (line, regions) in [("--from a --to a", &["a", "b"][..]), ("--to x", &["a", "b"]), ("", &["a"])] {
            assert!(roles(line, regions).is_err(), "{line}");
        }
    }
}
