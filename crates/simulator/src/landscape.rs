//! The names of the simulated landscape: few enough that everything meets everything.
//!
//! Not state: constants, and the words made of them.

use openkcm_contracts::{KeyPath, RegionId, RootRef, ServiceId, ServicePath, SystemId, SystemPath, TenantId};

/// The regions; each has one Core.
pub(crate) const REGIONS: [&str; 3] = ["a", "b", "c"];

/// Both lie in one bucket of links: what one does, the other is not to feel.
const TENANTS: [&str; 2] = ["acme", "gekko"];
const SYSTEMS: [&str; 2] = ["hr", "ops"];
const SERVICES: [&str; 2] = ["docs", "pay"];

/// What every key reference of the simulated providers begins with: it must not be found where no
/// pointer belongs.
pub(crate) const ARN: &str = "arn:sim:kms:";

/// What every plaintext of the simulated clients begins with.
pub(crate) const CANARY: &[u8] = b"CANARY-";

/// The region of an index.
pub(crate) fn region(index: usize) -> RegionId {
    RegionId::new(REGIONS[index]).expect("a label")
}

/// All tenants' names.
pub(crate) fn tenants() -> Vec<TenantId> {
    TENANTS.iter().map(|name| TenantId::new(name).expect("a label")).collect()
}

/// All system names of a tenant.
pub(crate) fn systems(tenant: &TenantId) -> Vec<SystemPath> {
    let path =
        |name: &&str| SystemPath { tenant: tenant.clone(), system: SystemId::new(name).expect("a label") };
    SYSTEMS.iter().map(path).collect()
}

/// All service names of a tenant.
pub(crate) fn services(tenant: &TenantId) -> Vec<ServicePath> {
    let services = || SERVICES.iter().map(|name| ServiceId::new(name).expect("a label"));
    systems(tenant).iter().flat_map(|system| services().map(|service| system.service(service))).collect()
}

/// All key names of a tenant.
pub(crate) fn keys(tenant: &TenantId) -> Vec<KeyPath> {
    let systems = systems(tenant).into_iter().map(KeyPath::System);
    systems.chain(services(tenant).into_iter().map(KeyPath::Service)).collect()
}

/// The roots of a tenant: one, or two of which either opens.
pub(crate) fn roots(tenant: &TenantId) -> Vec<RootRef> {
    let count = if tenant.as_str() == TENANTS[0] { 1 } else { 2 };
    let root = |number| RootRef {
        provider: "sim".into(),
        key: format!("{ARN}{tenant}/{number}"),
        options: [].into(),
    };
    (1..=count).map(root).collect()
}
