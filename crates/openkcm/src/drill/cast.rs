//! The tenants of a drill: made for it, under names that nobody else has, and offboarded at its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use openkcm_client::{Client, ClientError, KeySpec, L1Spec, Patience, Route, TenantSpec};
use openkcm_contracts::{KeyPath, Period, RegionId, RootRef, ServicePath, TenantId};
use openkcm_host::{Clock, Entropy, random_hex};

use super::arguments;
use super::wait::{each, until};

/// How long one definition may be refused for now.
const PATIENCE: Duration = Duration::from_secs(60);

/// The system of every tenant.
const SYSTEM: &str = "app";

/// The tenants of one drill.
pub(super) struct Cast {
    /// What all their names begin with.
    prefix: String,
    /// Their root; the `local` one of each tenant's own name where there is none.
    root: Option<RootRef>,
    regions: Vec<RegionId>,
    rotate_every: Period,
    tenants: Vec<TenantId>,
    services: Vec<ServicePath>,
}

impl Cast {
    /// Names them; nothing is made yet.
    pub(super) fn new(
        flags: &arguments::Load,
        root: Option<RootRef>,
        regions: Vec<RegionId>,
        entropy: &dyn Entropy,
    ) -> anyhow::Result<Self> {
        let prefix = format!("drill-{}", random_hex::<4>(entropy));
        let (mut tenants, mut services) = (Vec::new(), Vec::new());
        for tenant in 1..=flags.tenants {
            let name = format!("{prefix}-{tenant}");
            for service in 1..=flags.services {
                services.push(format!("{name}/{SYSTEM}/s{service}").parse()?);
            }
            tenants.push(TenantId::new(&name)?);
        }
        Ok(Self { prefix, root, regions, rotate_every: flags.rotate_every, tenants, services })
    }

    /// All services that the load uses.
    pub(super) fn services(&self) -> &[ServicePath] {
        &self.services
    }

    /// All tenants that were named.
    pub(super) fn tenants(&self) -> &[TenantId] {
        &self.tenants
    }

    /// The regions that they are in.
    pub(super) fn regions(&self) -> &[RegionId] {
        &self.regions
    }

    /// A service of the first tenant, beside those that the load uses.
    pub(super) fn beside(&self, name: &str) -> anyhow::Result<ServicePath> {
        let first = self.tenants.first().context("a drill has a tenant")?;
        Ok(format!("{first}/{SYSTEM}/{name}").parse()?)
    }

    /// A further tenant with one service, which the load does not use. It is offboarded with the others.
    pub(super) fn further(&mut self, name: &str) -> anyhow::Result<ServicePath> {
        let service: ServicePath = format!("{}-{name}/{SYSTEM}/data", self.prefix).parse()?;
        self.tenants.push(service.tenant.clone());
        Ok(service)
    }

    /// Makes all tenants and services that were named, and `more`, and waits until every region encrypts with each.
    pub(super) async fn make(
        &self,
        client: &Client,
        clock: &Arc<dyn Clock>,
        more: &[ServicePath],
    ) -> anyhow::Result<()> {
        let patient = client.with_patience(Patience { total: PATIENCE });
        let (spec, rotate) = (self.tenant_spec(), self.key_spec());
        each(&self.tenants, |tenant| {
            let (client, spec, l1) = (patient.clone(), spec.clone(), self.l1_of(&tenant));
            let system = format!("{tenant}/{SYSTEM}").parse::<KeyPath>();
            async move {
                client.registry().put_tenant(&tenant, &spec).await?;
                client.registry().put_key(&system?, &KeySpec::default()).await?;
                client.cmk().link(&tenant, &l1).await?;
                Ok(())
            }
        })
        .await
        .context("the drill's tenants can't be made")?;
        let services: Vec<ServicePath> = self.services.iter().chain(more).cloned().collect();
        each(&services, |service| {
            let (client, rotate) = (patient.clone(), rotate.clone());
            async move {
                client.registry().put_key(&KeyPath::Service(service), &rotate).await?;
                Ok(())
            }
        })
        .await
        .context("the drill's services can't be made")?;
        self.until_active(client, clock, &services, PATIENCE.max(Duration::from_secs(services.len() as u64)))
            .await
    }

    /// Defines one service more, and waits until every region encrypts with it.
    pub(super) async fn add(
        &self,
        client: &Client,
        clock: &Arc<dyn Clock>,
        service: &ServicePath,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let patient = client.with_patience(Patience { total: patience });
        let key = KeyPath::Service(service.clone());
        let put = patient.registry().put_key(&key, &self.key_spec()).await;
        put.with_context(|| format!("{service} can't be defined"))?;
        self.until_active(client, clock, std::slice::from_ref(service), patience).await
    }

    /// Defines all of them in these regions.
    pub(super) async fn place(&self, client: &Client, regions: &[RegionId]) -> anyhow::Result<()> {
        let patient = client.with_patience(Patience { total: PATIENCE });
        let spec = TenantSpec { regions: regions.to_vec(), labels: Default::default() };
        each(&self.tenants, |tenant| {
            let (client, spec) = (patient.clone(), spec.clone());
            async move {
                client.registry().put_tenant(&tenant, &spec).await?;
                Ok(())
            }
        })
        .await
        .context("the drill's tenants can't be moved")
    }

    /// Has the Registry offboard all of them; those that were never defined are no loss.
    pub(super) async fn offboard(&self, client: &Client) -> anyhow::Result<()> {
        let patient = client.with_patience(Patience { total: PATIENCE });
        each(&self.tenants, |tenant| {
            let client = patient.clone();
            async move {
                match client.registry().delete_tenant(&tenant, None).await {
                    Err(ClientError::Problem(problem)) if problem.status == 404 => Ok(()),
                    outcome => Ok(outcome.map(|_| ())?),
                }
            }
        })
        .await
        .with_context(|| format!("the drill's tenants ({}-…) can't be offboarded", self.prefix))
    }

    fn tenant_spec(&self) -> TenantSpec {
        TenantSpec { regions: self.regions.clone(), labels: Default::default() }
    }

    fn key_spec(&self) -> KeySpec {
        KeySpec { algorithm: None, rotate_every: Some(self.rotate_every.to_string()) }
    }

    fn l1_of(&self, tenant: &TenantId) -> L1Spec {
        let own =
            || RootRef { provider: "local".into(), key: tenant.as_str().into(), options: Default::default() };
        L1Spec { roots: vec![self.root.clone().unwrap_or_else(own)], ..L1Spec::default() }
    }

    async fn until_active(
        &self,
        client: &Client,
        clock: &Arc<dyn Clock>,
        services: &[ServicePath],
        patience: Duration,
    ) -> anyhow::Result<()> {
        let everywhere: Vec<(RegionId, ServicePath)> = self
            .regions
            .iter()
            .flat_map(|region| services.iter().map(|service| (region.clone(), service.clone())))
            .collect();
        each(&everywhere, |(region, service)| {
            let (client, clock) = (client.clone(), clock.clone());
            async move {
                let core = client.core(Route::Only(region.clone()));
                let key = KeyPath::Service(service);
                let active = until(&*clock, patience, || async {
                    let shown = core.key(&key).await.ok()?;
                    shown.answer.text("active").map(|_| ())
                });
                match active.await {
                    Some(()) => Ok(()),
                    None => bail!(
                        "{key} did not become usable in region {region} within {} s",
                        patience.as_secs()
                    ),
                }
            }
        })
        .await
    }
}
