//! What both stores hold, and ten injuries to the Core's.

use anyhow::Context as _;
use openkcm_contracts::v1::KeyDefine;
use openkcm_contracts::{
    Algorithm, DefinitionState, Event, Generation, RegionId, Revision, ServiceId, SystemId, TenantId,
    Timestamp,
};
use openkcm_digests::{Changes, Shelf, Sum, Unit};
use openkcm_host::{Clock as _, SystemClock};
use openkcm_krypton::store::{Applied, Held};
use openkcm_registry::rules::telling::{key_word, tenant_word};
use openkcm_registry::store::{KeyRecord, SERVICES, SYSTEMS, TENANTS, Tenancy, TenantRecord};
use openkcm_store::{Store, StoreError, Table, Write};

/// Services of each tenant, and of each system.
const OF_A_TENANT: usize = 1_000;
const OF_A_SYSTEM: usize = 50;

/// Tenants that are written together.
const TOGETHER: usize = 20;

/// Differences that are made: some are missing, some altered, some behind.
pub(super) const INJURIES: usize = 10;

/// The sums of either store over definitions.
const DEFINED: Shelf = Shelf::new("definition_units", "definition_places", "definition_totals");

const CORE_TENANTS: Table<Held<openkcm_contracts::v1::TenantDefine>> = Table::new("tenants");
const CORE_DEFINITIONS: Table<Held<KeyDefine>> = Table::new("definitions");
const CORE_APPLIED: Table<Applied> = Table::new("applied");
const REGISTRY_REVISION: Table<Revision> = Table::new("authority");

/// The one region.
pub(super) fn region() -> anyhow::Result<RegionId> {
    RegionId::new("a").context("a label")
}

pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

/// All definitions, made anew whenever they are needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Landscape {
    tenants: usize,
}

/// A tenant's records.
struct Family {
    tenant: TenantRecord,
    keys: Vec<KeyRecord>,
}

impl Landscape {
    pub(super) fn of(definitions: usize) -> Self {
        Self { tenants: definitions.div_ceil(OF_A_TENANT).max(INJURIES) }
    }

    fn last_revision(self) -> Revision {
        Revision::new(1, (self.tenants * (OF_A_TENANT + OF_A_TENANT / OF_A_SYSTEM + 1)) as u64)
    }

    fn family(number: usize) -> anyhow::Result<Family> {
        let systems = OF_A_TENANT / OF_A_SYSTEM;
        let mut counter = (number * (OF_A_TENANT + systems + 1)) as u64;
        let mut next = || {
            counter += 1;
            Revision::new(1, counter)
        };
        let revision = next();
        let at = Timestamp::from_millis(1);
        let tenant = TenantRecord {
            tenant: TenantId::new(&format!("tenant-{number:06}"))?,
            generation: Generation(revision),
            revision,
            state: Tenancy::Active,
            regions: vec![region()?],
            labels: [].into(),
            ended: None,
            defined_at: at,
            changed_at: at,
        };
        let key = |system: &str, service: Option<String>, parent, revision| {
            anyhow::Ok(KeyRecord {
                tenant: tenant.tenant.clone(),
                system: SystemId::new(system)?,
                service: service.map(|name| ServiceId::new(&name)).transpose()?,
                generation: Generation(revision),
                parent,
                revision,
                state: DefinitionState::Defined,
                algorithm: Algorithm::AES256,
                rotate_every: None,
                compromised: [].into(),
                ended: None,
                defined_at: at,
                changed_at: at,
            })
        };
        let mut keys = Vec::with_capacity(OF_A_TENANT + systems);
        for number in 0..systems {
            let (system, made) = (format!("system-{number:02}"), next());
            keys.push(key(&system, None, tenant.generation, made)?);
            for service in 0..OF_A_SYSTEM {
                keys.push(key(&system, Some(format!("service-{service:02}")), Generation(made), next())?);
            }
        }
        Ok(Family { tenant, keys })
    }

    pub(super) async fn fill_registry(self, store: &Store) -> anyhow::Result<()> {
        for families in self.families() {
            let families = families?;
            let write = move |tx: &mut dyn Write| {
                for Family { tenant, keys } in &families {
                    TENANTS.put(tx, tenant.tenant.as_str(), tenant)?;
                    for key in keys {
                        let table = if key.service.is_some() { SERVICES } else { SYSTEMS };
                        table.put(tx, &key.path().to_string(), key)?;
                    }
                }
                sum_up(tx, &families, "a")
            };
            store.write(write).await?;
        }
        let last = self.last_revision();
        Ok(store.write(move |tx| REGISTRY_REVISION.put(tx, "revision", &last)).await?)
    }

    pub(super) async fn fill_core(self, store: &Store) -> anyhow::Result<()> {
        for families in self.families() {
            let families = families?;
            let write = move |tx: &mut dyn Write| {
                for Family { tenant, keys } in &families {
                    let held = Held { revision: tenant.revision, fact: tenant_word(tenant) };
                    CORE_TENANTS.put(tx, tenant.tenant.as_str(), &held)?;
                    for key in keys {
                        let held = Held { revision: key.revision, fact: key_word(key) };
                        CORE_DEFINITIONS.put(tx, &key.path().to_string(), &held)?;
                    }
                }
                sum_up(tx, &families, "held")
            };
            store.write(write).await?;
        }
        let applied = Applied { registry: Some(self.last_revision()), cmk: None };
        Ok(store.write(move |tx| CORE_APPLIED.put(tx, "applied", &applied)).await?)
    }

    fn families(self) -> impl Iterator<Item = anyhow::Result<Vec<Family>>> {
        let starts = (0..self.tenants).step_by(TOGETHER);
        starts.map(move |from| (from..self.tenants.min(from + TOGETHER)).map(Self::family).collect())
    }

    /// Ten services of ten tenants are not as they are to be.
    pub(super) async fn injure(self, store: &Store) -> anyhow::Result<()> {
        for injury in 0..INJURIES {
            let family = Self::family(injury * self.tenants / INJURIES)?;
            let key = family.keys.get(injury + 1).context("a service")?;
            let before = Held { revision: key.revision, fact: key_word(key) };
            let mut after = Some(before.clone());
            match (injury % 3, &mut after) {
                (0, after) => *after = None,
                (1, Some(held)) => held.fact.state = DefinitionState::Disabled,
                (_, Some(held)) => held.revision = held.fact.parent.0,
                (_, None) => {}
            }
            let path = key.path().to_string();
            store.write(move |tx| replace(tx, &path, &before, after.as_ref())).await?;
        }
        Ok(())
    }
}

fn sum_up(tx: &mut dyn Write, families: &[Family], view: &'static str) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    for Family { tenant, keys } in families {
        let sum = Sum::of_event(&Event::TenantDefine(tenant_word(tenant)), tenant.revision);
        changes.replace(tenant.tenant.as_str(), None, Some(sum));
        for key in keys {
            let word = key_word(key);
            let unit = Unit::name_of(&word);
            changes.replace(&unit, None, Some(Sum::of_event(&Event::KeyDefine(word), key.revision)));
        }
    }
    DEFINED.apply(tx, changes, |_, _| Ok([view.to_owned()].into()))
}

fn replace(
    tx: &mut dyn Write,
    path: &str,
    before: &Held<KeyDefine>,
    after: Option<&Held<KeyDefine>>,
) -> Result<(), StoreError> {
    match after {
        Some(held) => CORE_DEFINITIONS.put(tx, path, held)?,
        None => CORE_DEFINITIONS.delete(tx, path)?,
    }
    let sum = |held: &Held<KeyDefine>| Sum::of_event(&Event::KeyDefine(held.fact.clone()), held.revision);
    let mut changes = Changes::default();
    changes.replace(&Unit::name_of(&before.fact), Some(sum(before)), after.map(sum));
    DEFINED.apply(tx, changes, |_, _| Ok(["held".to_owned()].into()))
}
