//! Records: the ledger's with the authorities', the authorities' with those of each Core.

use std::sync::atomic::Ordering;

use openkcm_client::{Call, Client, Component, Listing};
use openkcm_contracts::{KeyPath, RegionId, Revision};
use serde_json::Value;

use super::Verdict;
use crate::chaos::authors::key_now;
use crate::chaos::ledger::{Ledger, Service, Tenant, lock};
use crate::chaos::marks;

/// Every acknowledged change is in its authority as it was acknowledged, and each has one revision.
pub(super) async fn with_authorities(client: &Client, ledger: &Ledger, verdict: &mut Verdict) {
    let counts = &ledger.counts;
    for (component, acknowledged) in [
        (Component::Registry, counts.defined.load(Ordering::Relaxed)),
        (Component::Cmk, counts.linked.load(Ordering::Relaxed)),
    ] {
        let status = get(client, component.clone(), "/v1/status").await;
        let revision = status["revision"].as_str().and_then(|text| text.parse::<Revision>().ok());
        let made = revision.map_or(0, |revision| revision.counter);
        if made != acknowledged || revision.is_some_and(|revision| revision.term != 1) {
            ledger.is_wrong(format!(
                "{component} is at revision {}, and {acknowledged} changes were acknowledged",
                status["revision"]
            ));
            verdict.twice += usize::try_from(made.saturating_sub(acknowledged)).unwrap_or(usize::MAX);
            verdict.lost += usize::try_from(acknowledged.saturating_sub(made)).unwrap_or(usize::MAX);
        }
    }
    for tenant in &ledger.tenants {
        let listed = all(client.registry().services(&tenant.system).state(Some("all"))).await;
        let mut expected = 0;
        for service in &tenant.services {
            expected += usize::from(with_registry(client, ledger, service, verdict).await);
        }
        if listed.len() != expected {
            ledger.is_wrong(format!("{}: {} services, and not {expected}", tenant.system, listed.len()));
        }
        with_cmk(client, ledger, tenant, verdict).await;
    }
}

/// Says whether the service was ever defined.
async fn with_registry(client: &Client, ledger: &Ledger, service: &Service, verdict: &mut Verdict) -> bool {
    let state = service.state.read().await.clone();
    let Some(generation) = state.generation else { return false };
    let key = KeyPath::Service(service.path.clone());
    let held = client.registry().key(&key).await.map(|held| held.value).unwrap_or_default();
    let revision = state.revision.map(|revision| revision.to_string());
    let expected = [
        ("generation", Some(generation)),
        ("revision", revision),
        ("rotate_every", Some(state.rotate_every)),
        ("state", Some(if state.deleted { "deleted" } else { "defined" }.to_owned())),
    ];
    for (member, expected) in expected {
        if held[member].as_str() != expected.as_deref() {
            verdict.lost += 1;
            let found = &held[member];
            ledger
                .is_wrong(format!("{key}: {member} {expected:?} was acknowledged, the Registry has {found}"));
        }
    }
    true
}

async fn with_cmk(client: &Client, ledger: &Ledger, tenant: &Tenant, verdict: &mut Verdict) {
    let link = lock(&tenant.link).clone();
    let id = &tenant.system.tenant;
    let pointer = client.cmk().l1(id).await.map(|pointer| pointer.value).unwrap_or_default();
    let expected = [
        ("state", Some(if link.linked { "linked" } else { "unlinked" }.to_owned())),
        ("epoch", Some(link.epoch)),
        ("revision", link.revision.map(|revision| revision.to_string())),
    ];
    for (member, expected) in expected {
        if pointer[member].as_str() != expected.as_deref() {
            verdict.lost += 1;
            let found = &pointer[member];
            ledger.is_wrong(format!(
                "{id}: {member} {expected:?} was acknowledged, the CMK Server has {found}"
            ));
        }
    }
}

/// Each record of the authorities that a Core shows otherwise, and each component that has more to tell.
pub(super) async fn cores_with_authorities(
    client: &Client,
    ledger: &Ledger,
    verdict: &mut Verdict,
) -> Vec<String> {
    let mut found = Vec::new();
    let cores = ledger.regions.iter().cloned().map(Component::Core);
    for component in [Component::Registry, Component::Cmk].into_iter().chain(cores) {
        let mesh = get(client, component.clone(), "/v1/status").await["mesh"].take();
        for (member, shown, expected) in [
            ("connected", &mesh["connected"], Value::from(true)),
            ("letters", &mesh["outbox"]["letters"], Value::from(0)),
            ("dropped", &mesh["dropped"], serde_json::json!({})),
            ("quarantined", &mesh["quarantined"], Value::from(0)),
        ] {
            if *shown != expected {
                found.push(format!("{component}: {member} is {shown}"));
            }
        }
    }
    (verdict.tenants, verdict.definitions, verdict.links) = (0, 0, 0);
    let mut tenants = all(client.registry().tenants()).await;
    tenants.sort_by_key(|tenant| tenant["tenant"].to_string());
    for tenant in &tenants {
        compare_tenant(client, ledger, tenant, &mut found, verdict).await;
    }
    if tenants.len() != ledger.tenants.len() + 1 {
        found.push(format!("the Registry lists {} tenants", tenants.len()));
    }
    found
}

async fn compare_tenant(
    client: &Client,
    ledger: &Ledger,
    tenant: &Value,
    found: &mut Vec<String>,
    verdict: &mut Verdict,
) {
    let name = tenant["tenant"].as_str().unwrap_or_default();
    let system = if marks::SYSTEM.starts_with(&format!("{name}/")) {
        marks::SYSTEM.to_owned()
    } else {
        format!("{name}/app")
    };
    let Ok(system) = system.parse::<openkcm_contracts::SystemPath>() else { return };
    let pointer = client.cmk().l1(&system.tenant).await.map(|pointer| pointer.value).unwrap_or_default();
    let mut keys = all(client.registry().services(&system).state(Some("all"))).await;
    let key = KeyPath::System(system.clone());
    keys.extend(client.registry().key(&key).await.map(|held| held.value));
    verdict.tenants += 1;
    verdict.definitions += keys.len();
    verdict.links += usize::from(pointer.is_object());
    for region in &ledger.regions {
        let shown = get(client, Component::Core(region.clone()), &format!("/v1/tenants/{name}")).await;
        let mut compare = |what: &str, said: &Value, shown: &Value| {
            if said != shown {
                found.push(format!("{what}: the authority says {said}, region {region} shows {shown}"));
            }
        };
        for member in ["revision", "generation"] {
            compare(&format!("tenant {name}, {member}"), &tenant[member], &shown[member]);
        }
        for member in ["epoch", "state", "revision"] {
            compare(&format!("link of {name}, {member}"), &pointer[member], &shown["link"][member]);
        }
        for said in &keys {
            compare_key(client, region, (&system, said, &pointer), found).await;
        }
    }
}

/// A definition, by what identifies each of its changes, and whether it is served as it should be.
async fn compare_key(
    client: &Client,
    region: &RegionId,
    (system, said, pointer): (&openkcm_contracts::SystemPath, &Value, &Value),
    found: &mut Vec<String>,
) {
    let key = match said["service"].as_str() {
        None => KeyPath::System(system.clone()),
        Some(service) => match format!("{system}/{service}").parse() {
            Ok(path) => KeyPath::Service(path),
            Err(_) => return,
        },
    };
    let shown = key_now(client, region, &key).await.unwrap_or_default();
    for member in ["generation", "rotate_every"] {
        if said[member] != shown[member] {
            let (said, shown) = (&said[member], &shown[member]);
            found.push(format!("{key}, {member}: the Registry says {said}, region {region} shows {shown}"));
        }
    }
    let serving = said["state"] == "defined" && pointer["state"] == "linked";
    let code = shown["refusal"]["code"].as_str();
    let expected = match (pointer["state"].as_str(), said["state"].as_str()) {
        (Some("unlinked"), _) => Some("tenant_unlinked"),
        (Some("linked"), Some("deleted")) => Some("key_disabled"),
        (Some("linked"), _) => None,
        _ => Some("not_yet_known"),
    };
    if shown["serving"] != serving || code != expected {
        found.push(format!(
            "{key}: serving {serving} is expected ({expected:?}), region {region} shows {} ({code:?})",
            shown["serving"]
        ));
    }
}

pub(super) async fn get(client: &Client, component: Component, path: &str) -> Value {
    let answer = client.call(&Call::get(component, path)).await;
    answer.ok().and_then(|answer| answer.json().ok()).unwrap_or_default()
}

async fn all(mut listing: Listing<'_>) -> Vec<Value> {
    let mut items = Vec::new();
    while let Ok(Some(page)) = listing.next_page().await {
        items.extend(page);
    }
    items
}
