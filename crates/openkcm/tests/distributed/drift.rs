//! A region's store is edited while the region is down: what is missing or altered is told again, what the Registry
//! never knew is left alone and alarmed.

use std::fs::File;

use openkcm_client::{Call, Client, Component};
use openkcm_component::open_store;
use openkcm_contracts::v1::KeyDefine;
use openkcm_contracts::{DefinitionState, Generation, Revision, ServiceId};
use openkcm_harness::until;
use openkcm_krypton::store::{Held, SPACES};
use openkcm_store::{StoreError, Table, Write};
use serde_json::Value;

use crate::calls::{define, put_service, until_active};
use crate::manifests::until_state;
use crate::setup::Setup;

/// Where a Core keeps definitions.
const DEFINITIONS: Table<Held<KeyDefine>> = Table::new("definitions");

/// Deletes one definition, alters another, and adds one that the Registry never knew; no sum is touched.
fn edit(tx: &mut dyn Write) -> Result<(), StoreError> {
    let held = |tx: &dyn Write, key: &str| {
        Ok::<_, StoreError>(DEFINITIONS.get(tx.as_read(), key)?.expect("the region holds it"))
    };
    let lost = held(tx, "acme/app/lost")?;
    DEFINITIONS.delete(tx, "acme/app/lost")?;
    let mut altered = held(tx, "acme/app/altered")?;
    altered.fact.state = DefinitionState::Disabled;
    DEFINITIONS.put(tx, "acme/app/altered", &altered)?;
    let fact = KeyDefine {
        service: ServiceId::new("ghost").ok(),
        generation: Generation(Revision::new(1, 1)),
        state: DefinitionState::Disabled,
        ..lost.fact
    };
    DEFINITIONS.put(tx, "acme/app/ghost", &Held { revision: Revision::new(1, 1), fact })
}

/// What the Registry shows of the drift of a region.
async fn drift(client: &Client) -> Option<Vec<Value>> {
    client.drift(Component::Registry, Some("b"), Some("all")).all().await.ok()
}

fn shows(records: &[Value], name: &str, kind: &str, action: &str, state: &str) -> bool {
    let subject = format!("key.acme.app.{name}");
    let fits = |record: &&Value| {
        (&record["subject"], &record["kind"], &record["action"], &record["state"])
            == (&subject.as_str().into(), &kind.into(), &action.into(), &state.into())
    };
    records.iter().any(|record| fits(&record))
}

#[tokio::test]
async fn what_was_edited_while_a_region_was_down_is_told_again_or_alarmed() {
    let mut setup = Setup::start().await;
    let client = setup.patient();
    define(&client, "acme/app/data").await;
    for name in ["lost", "altered"] {
        put_service(&client, &format!("acme/app/{name}")).await;
    }
    for region in ["a", "b"] {
        until_state(&client, region, "in-sync").await;
    }
    setup.kill(&["krypton-b"]);
    let data = setup.landscape.directory().join("data").join("krypton-b");
    let store =
        open_store(&data, "krypton", Some(&crate::calls::region("b")), SPACES).expect("the store opens");
    store.write(edit).await.expect("the store takes it");
    drop(store);
    let lock = data.join("krypton.lock");
    until("the store is closed", || async { File::open(&lock).ok()?.try_lock().ok() }).await;
    setup.start_again(&["krypton-b"]).await;
    let client = setup.patient();
    until("drift is healed, or alarmed", || async {
        let records = drift(&client).await?;
        let all = shows(&records, "lost", "missing", "told-again", "healed")
            && shows(&records, "altered", "differs", "told-again", "healed")
            && shows(&records, "ghost", "unknown", "alarm", "open");
        all.then_some(())
    })
    .await;
    for name in ["lost", "altered"] {
        until_active(&client, "b", &format!("acme/app/{name}")).await;
    }
    let shown = setup.must(&["--output", "json", "drift", "--region", "b"]);
    let shown: Value = serde_json::from_str(&shown).expect("it prints JSON");
    assert_eq!(shown["items"].as_array().map(Vec::len), Some(3), "{shown}");
    let shown = setup.cli(&["status"]);
    let told = String::from_utf8_lossy(&shown.stderr);
    assert!(told.contains("registry: differences in what regions hold that are not healed: 1;"), "{told}");
    until("the gauge shows it by region and kind", || async {
        let metrics = client.call(&Call::get(Component::Registry, "/metrics")).await.ok()?;
        let metrics = String::from_utf8_lossy(metrics.body()).into_owned();
        let has = |kind: &str, count: u64| {
            let labels = |line: &&str| {
                line.starts_with("openkcm_drift_open{")
                    && line.contains("region=\"b\"")
                    && line.contains(&format!("kind=\"{kind}\""))
            };
            metrics.lines().find(labels).is_some_and(|line| line.ends_with(&format!(" {count}")))
        };
        (has("unknown", 1) && has("missing", 0) && has("differs", 0)).then_some(())
    })
    .await;
    let regions = client.call(&Call::get(Component::Registry, "/v1/regions")).await.expect("an answer");
    let regions: Value = regions.json().expect("JSON");
    let b = regions["items"].as_array().and_then(|items| items.iter().find(|item| item["region"] == "b"));
    let b = b.expect("the region is shown");
    assert_eq!((&b["drift_open"], &b["drift_healed"]), (&1.into(), &2.into()));
}
