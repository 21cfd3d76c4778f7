//! Whether every Core holds exactly what the authorities say: each record of theirs, compared with what the Core
//! shows of it.

use std::sync::{Mutex, PoisonError};

use openkcm_client::{Call, Client, Component, Listing, Patience};
use openkcm_contracts::{KeyPath, RegionId, SystemId, TenantId};
use openkcm_harness::until;
use serde_json::Value;

/// Waits until there is no difference. The last one that was found is in the test's output if it stays.
pub(crate) async fn until_all_agree(client: &Client) {
    let last = LastWords(Mutex::new(Vec::new()));
    until("every Core holds what the authorities say", || async {
        let found = differences(&client.with_patience(Patience::NONE)).await;
        let agree = found.is_empty();
        *last.0.lock().unwrap_or_else(PoisonError::into_inner) = found;
        agree.then_some(())
    })
    .await;
}

/// What the Registry says of all that it knows, but for when and at which revision it says so.
pub(crate) async fn everything_said(client: &Client) -> Vec<Value> {
    let mut said = Vec::new();
    for tenant in all(client.registry().tenants().state(Some("all"))).await {
        let id = TenantId::new(text(&tenant, "tenant")).expect("a tenant's name");
        said.push(tenant);
        said.extend(keys(client, &id).await.into_iter().map(|(_, key)| key));
    }
    for thing in &mut said {
        let members = thing.as_object_mut().expect("an object");
        members.retain(|member, _| {
            !["revision", "defined_at", "changed_at", "purge_at"].contains(&member.as_str())
        });
    }
    said
}

/// Prints what still differed when the test fails.
struct LastWords(Mutex<Vec<String>>);

impl Drop for LastWords {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[allow(clippy::print_stderr, reason = "whoever runs the tests has to see what differed")]
            {
                eprintln!("still different: {:#?}", self.0.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}

/// Each record of an authority that a Core of its tenant's regions shows otherwise.
async fn differences(client: &Client) -> Vec<String> {
    let mut found = Vec::new();
    for tenant in all(client.registry().tenants()).await {
        let id = TenantId::new(text(&tenant, "tenant")).expect("a tenant's name");
        let pointer = client.cmk().l1(&id).await.ok().map(|pointer| pointer.value);
        let keys = keys(client, &id).await;
        for region in tenant["regions"].as_array().expect("a list of regions") {
            let region = RegionId::new(region.as_str().expect("a text")).expect("a region's name");
            let shown = ask(client, &region, &format!("/v1/tenants/{id}")).await;
            for member in ["revision", "generation"] {
                note(&mut found, &region, &format!("tenant {id}, {member}"), &tenant[member], &shown[member]);
            }
            if let Some(pointer) = &pointer {
                for member in ["epoch", "state", "revision"] {
                    let link = &shown["link"][member];
                    note(&mut found, &region, &format!("link of {id}, {member}"), &pointer[member], link);
                }
            }
            for (path, key) in &keys {
                let shown = ask(client, &region, &format!("/v1/keys/{path}")).await;
                for member in ["generation", "rotate_every"] {
                    note(&mut found, &region, &format!("{path}, {member}"), &key[member], &shown[member]);
                }
            }
        }
    }
    found
}

fn note(found: &mut Vec<String>, region: &RegionId, what: &str, said: &Value, shown: &Value) {
    if said != shown {
        found.push(format!("{what}: its authority says {said}, region {region} shows {shown}"));
    }
}

/// The systems and services of a tenant, as the Registry shows them.
async fn keys(client: &Client, tenant: &TenantId) -> Vec<(String, Value)> {
    let mut keys = Vec::new();
    for system in all(client.registry().systems(tenant).state(Some("all"))).await {
        let name = SystemId::new(text(&system, "system")).expect("a system's name");
        let path = KeyPath::new(tenant.clone(), name.clone(), None);
        let KeyPath::System(system_path) = &path else { unreachable!("it has no service") };
        for service in all(client.registry().services(system_path).state(Some("all"))).await {
            keys.push((format!("{path}/{}", text(&service, "service")), service));
        }
        keys.push((path.to_string(), system));
    }
    keys
}

/// What a Core shows; nothing where it does not know the thing.
async fn ask(client: &Client, region: &RegionId, path: &str) -> Value {
    let answer = client.call(&Call::get(Component::Core(region.clone()), path)).await;
    answer.ok().and_then(|answer| answer.json().ok()).unwrap_or(Value::Null)
}

async fn all(mut listing: Listing<'_>) -> Vec<Value> {
    let mut items = Vec::new();
    while let Some(page) = listing.next_page().await.expect("an authority lists what it has") {
        items.extend(page);
    }
    items
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member}: {value}"))
}
