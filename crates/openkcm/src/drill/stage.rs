//! What every tier begins and ends with: a landscape that is well, tenants, a load; the checks, and the report.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use openkcm_client::Client;
use openkcm_contracts::{RegionId, ServicePath};
use openkcm_host::{Clock, Entropy};

use super::arguments::Common;
use super::cast::Cast;
use super::check::{self, Checked};
use super::ground::Ground;
use super::load::{Kept, Load, Plan, Way};
use super::report::{Findings, Report, Setting, every_answer_right};
use super::story::{Story, millis};
use super::vitals::{self, Wellness};

/// A landscape with a drill on it.
pub(super) struct Stage {
    pub(super) ground: Ground,
    pub(super) story: Arc<Story>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Who is to be offboarded.
    cast: Option<Cast>,
}

impl Stage {
    pub(super) fn new(ground: Ground, story: Arc<Story>, entropy: Arc<dyn Entropy>) -> Self {
        Self { ground, story, entropy, cast: None }
    }

    /// The clock that all goes by.
    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        self.story.clock()
    }

    /// A client with connections of its own: those of an older one may be to a process that is gone.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        self.ground.client(self.clock(), &self.entropy)
    }

    /// The regions of the landscape, in its order.
    pub(super) fn regions(&self) -> anyhow::Result<Vec<RegionId>> {
        Ok(self.client()?.landscape().regions.iter().map(|region| region.name.clone()).collect())
    }

    /// Waits until the landscape is well; gives how well it is to be again at the end.
    ///
    /// # Errors
    /// When it is not: then a drill would show what was wrong before it.
    pub(super) async fn must_be_well(&self, patience: Duration) -> anyhow::Result<Wellness> {
        let client = self.client()?;
        let wellness = Wellness { drift: vitals::drift(&client).await, lost: None };
        let ills = vitals::until_well(&client, &self.story, &wellness, patience).await;
        if !ills.is_empty() {
            bail!("the landscape is not well, so nothing was drilled: {}", ills.join("; "));
        }
        Ok(wellness)
    }

    /// Chooses who plays; they are offboarded at the end, whatever comes.
    pub(super) fn cast(&mut self, common: &Common, regions: Vec<RegionId>) -> anyhow::Result<()> {
        self.cast = Some(Cast::new(&common.load, common.place.root.clone(), regions, &*self.entropy)?);
        Ok(())
    }

    /// Who plays.
    pub(super) fn players(&self) -> anyhow::Result<&Cast> {
        self.cast.as_ref().context("nobody was chosen to play")
    }

    /// Who plays, to add to them.
    pub(super) fn players_mut(&mut self) -> anyhow::Result<&mut Cast> {
        self.cast.as_mut().context("nobody was chosen to play")
    }

    /// Makes the tenants and services, and `more`.
    pub(super) async fn make(&self, more: &[ServicePath]) -> anyhow::Result<()> {
        let players = self.players()?;
        let (tenants, services) = (players.tenants().len(), players.services().len() + more.len());
        self.story.tell(format!("defining {tenants} tenants and {services} services"));
        players.make(&self.client()?, self.clock(), more).await?;
        self.story.tell("every service encrypts in every region of its tenant");
        Ok(())
    }

    /// Begins the load.
    pub(super) fn load(&self, common: &Common, client: &Client, ways: Vec<Way>) -> anyhow::Result<Load> {
        let services = self.players()?.services().to_vec();
        let plan = Plan { flags: &common.load, ways, services };
        let load = Load::begin(plan, client, &self.story, &self.entropy);
        self.story.tell("the load begins");
        Ok(load)
    }

    /// Tries all that was kept in these regions, each with the same patience.
    pub(super) async fn check(
        &self,
        load: &Load,
        regions: &[RegionId],
        patience: Duration,
    ) -> anyhow::Result<Checked> {
        self.check_in(&load.shelf().all(), regions, patience).await
    }

    /// Tries these in these regions.
    pub(super) async fn check_in(
        &self,
        kept: &[Arc<Kept>],
        regions: &[RegionId],
        patience: Duration,
    ) -> anyhow::Result<Checked> {
        let (client, mut checked) = (self.client()?, Checked::default());
        for region in regions {
            checked.add(check::check(&client, &**self.clock(), kept, region, patience).await);
        }
        let (tried, lost) = (checked.tried, checked.lost.len());
        self.story.tell(format!("{} of {tried} ciphertexts that were kept opened", tried - lost));
        Ok(checked)
    }

    /// Heals what is broken, and offboards the drill's tenants where the landscape outlives the drill.
    pub(super) async fn leave(&mut self) -> anyhow::Result<()> {
        let healed = self.ground.leave().await;
        if let (Ground::Given(_), Some(cast)) = (&self.ground, &self.cast) {
            cast.offboard(&self.client()?).await?;
            self.story.tell("the drill's tenants are offboarded");
        }
        healed
    }

    /// Puts the report together.
    pub(super) fn report(
        &self,
        drill: &'static str,
        title: String,
        common: &Common,
        findings: Findings,
    ) -> anyhow::Result<Report> {
        let load = &common.load;
        let requests = findings.counts.total();
        let mut promises = findings.promises;
        promises.push(every_answer_right(&requests));
        Ok(Report {
            drill,
            title,
            began_at: self.story.began_at(),
            lasted_ms: millis(self.story.elapsed()),
            setting: Setting {
                landscape: self.ground.title(),
                regions: self.regions()?,
                tenants: load.tenants,
                services: self.players()?.services().len(),
                callers: load.callers,
                rate: load.rate,
                rotate_every: load.rotate_every.to_string(),
            },
            events: self.story.events(),
            fault_ms: findings.fault.map(|(from, to)| [millis(from), millis(to)]),
            availability: findings.counts.regions().clone(),
            requests,
            ciphertexts: findings.ciphertexts,
            at_risk: findings.at_risk,
            recovery: findings.recovery,
            versions_during_fault: findings.versions_during_fault,
            held: promises.iter().all(|promise| promise.held),
            promises,
        })
    }
}
