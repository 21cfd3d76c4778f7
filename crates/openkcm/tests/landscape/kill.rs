//! kill -9 in the middle of concurrent definitions: nothing that was acknowledged is lost, no key is made
//! twice.

use std::collections::BTreeMap;

use openkcm_client::{Client, KeySpec, Patience};
use openkcm_contracts::{KeyPath, ServiceId, ServicePath, SystemPath};
use openkcm_harness::Landscape;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::setup::{
    REGIONS, Setup, client, define, encrypt, only, opens_everywhere, service_path, until_active, version_ids,
};

/// How many definitions are sent at once.
const DEFINITIONS: usize = 300;

/// How many of them are acknowledged when the process is killed: early, and late.
const KILLED_AT: [usize; 2] = [20, 200];

/// How many services are looked at at once.
const CHECKED_AT_ONCE: usize = 16;

#[tokio::test]
async fn no_acknowledged_definition_is_lost_by_a_kill_and_no_key_is_made_twice() {
    let mut setup = Setup::start().await;
    define(&setup.client(), "acme/hr/before").await;
    let system = service_path("acme/hr/before").system_path();
    let mut ciphertexts = BTreeMap::new();
    ciphertexts.insert("acme/hr/before".to_owned(), encrypt(&setup.client(), "a", "acme/hr/before").await);
    for (round, kill_at) in KILLED_AT.into_iter().enumerate() {
        let acknowledged = define_until_killed(&mut setup.landscape, &system, round, kill_at).await;
        assert!(acknowledged.len() >= kill_at);
        setup.landscape.start_again().await;
        let client = setup.client();
        let listed = client.registry().services(&system).all().await.expect("the services");
        let name = |service: &serde_json::Value| service["service"].as_str().expect("a name").to_owned();
        let listed: Vec<String> = listed.iter().map(name).collect();
        let lost = acknowledged.iter().find(|path| !listed.contains(&path.service.to_string()));
        assert_eq!(lost, None, "acknowledged and lost");
        // All that there are: one that was not acknowledged may be there, and is a service like any other.
        let services = listed.iter().map(|name| format!("{system}/{name}"));
        for (path, ciphertext) in check_all(&client, services.collect(), &ciphertexts).await {
            ciphertexts.insert(path, ciphertext);
        }
    }
}

/// Sends definitions until so many are acknowledged, and kills the landscape while the others are under way.
/// Gives those that were acknowledged.
async fn define_until_killed(
    landscape: &mut Landscape,
    system: &SystemPath,
    round: usize,
    kill_at: usize,
) -> Vec<ServicePath> {
    let client = client(landscape).with_patience(Patience::NONE);
    let (count, mut counted) = watch::channel(0);
    let mut definitions = JoinSet::new();
    for number in 0..DEFINITIONS {
        let name = ServiceId::new(&format!("r{round}-s{number}")).expect("a name");
        let (client, path, count) = (client.clone(), system.service(name), count.clone());
        definitions.spawn(async move {
            let key = KeyPath::Service(path.clone());
            let acknowledged = client.registry().put_key(&key, &KeySpec::default()).await.is_ok();
            count.send_modify(|count| *count += usize::from(acknowledged));
            acknowledged.then_some(path)
        });
    }
    counted.wait_for(|count| *count >= kill_at).await.expect("the sender lives");
    landscape.kill();
    definitions.join_all().await.into_iter().flatten().collect()
}

/// Looks at services, some at a time; gives a new ciphertext of each.
async fn check_all(
    client: &Client,
    services: Vec<String>,
    ciphertexts: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let mut made = Vec::new();
    for services in services.chunks(CHECKED_AT_ONCE) {
        let mut checks = JoinSet::new();
        for path in services {
            let (client, path, old) = (client.clone(), path.clone(), ciphertexts.get(path).cloned());
            checks.spawn(async move {
                let new = check(&client, &path, old.as_deref()).await;
                (path, new)
            });
        }
        made.extend(checks.join_all().await);
    }
    made
}

/// Uses a service in both regions and counts its versions.
async fn check(client: &Client, path: &str, old: Option<&str>) -> String {
    let service = service_path(path);
    for name in REGIONS {
        until_active(client, name, &service).await;
    }
    if let Some(old) = old {
        opens_everywhere(client, path, old).await;
    }
    let new = encrypt(client, "b", path).await;
    opens_everywhere(client, path, &new).await;
    let mut versions = Vec::new();
    for name in REGIONS {
        let key = client.core(only(name)).key(&KeyPath::Service(service.clone())).await;
        versions.push(version_ids(&key.expect("a key").answer.value));
    }
    assert_eq!(versions[0].len(), 1, "{path} was made {} times", versions[0].len());
    assert_eq!(versions[0], versions[1], "{path}: the regions hold different versions");
    new
}
