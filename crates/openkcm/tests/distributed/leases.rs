//! The deadman switch across processes: without the CMK Server a region stops when its lease has run out, says so, and
//! goes on by itself; and a link that someone wrote into a Core's store is never served.

use std::fs::File;

use openkcm_client::{Call, Component};
use openkcm_component::open_store;
use openkcm_contracts::v1::LinkState;
use openkcm_contracts::{LinkEpoch, RegionId, Revision};
use openkcm_harness::until;
use openkcm_krypton::store::{LinkRecord, SPACES};
use openkcm_store::{StoreError, Table, Write};

use crate::calls::{
    define, encrypt, opens, refusal, serves, status, until_active, until_opens, until_refused, until_unlinked,
};
use crate::setup::Setup;

const SERVICE: &str = "acme/app/data";

/// A landscape whose leases hold this long.
async fn leased(ttl: &str) -> Setup {
    let mut setup = Setup::init();
    let configuration = setup.landscape.configuration("cmk");
    let text = std::fs::read_to_string(&configuration).expect("init wrote it");
    let changed = text.replace("ttl = \"1d\"", &format!("ttl = \"{ttl}\""));
    assert_ne!(changed, text, "init writes how long leases hold");
    std::fs::write(&configuration, changed).expect("written");
    setup.landscape.start_all().await;
    setup
}

#[tokio::test]
async fn a_region_without_the_cmk_server_stops_when_its_lease_has_run_out_and_goes_on_by_itself() {
    let mut setup = leased("4s").await;
    let client = setup.patient();
    define(&client, SERVICE).await;
    until_active(&client, "a", SERVICE).await;
    let ciphertext = encrypt(&client, "a", SERVICE).await;
    setup.kill(&["cmk"]);
    until_refused(&client, "a", SERVICE, (&ciphertext, "lease_expired")).await;
    let region = RegionId::new("a").expect("a label");
    let ready = setup.client().call(&Call::get(Component::Core(region), "/readyz")).await;
    let told = ready.expect_err("it is not ready").to_string();
    assert!(told.contains("not ready") || told.contains("503"), "{told}");
    let lease = status(&setup.client(), "krypton-a").await.expect("it answers")["lease"].clone();
    assert_eq!(lease["state"], "expired", "{lease}");
    let shown = setup.must(&["--no-wait", "status", "--tenant", "acme"]);
    assert!(shown.contains("lease_expired"), "{shown}");
    setup.start_again(&["cmk"]).await;
    until_opens(&setup.patient(), "a", SERVICE, &ciphertext).await;
    let shown = setup.must(&["status", "--tenant", "acme"]);
    assert!(!shown.contains("lease_expired"), "{shown}");
    for region in ["a", "b"] {
        until(&format!("region {region} says that there is a lease again"), || async {
            let log = setup.landscape.log(&format!("krypton-{region}"));
            assert!(log.contains("there is a first lease of the CMK Server"), "{log}");
            let again = log.lines().find(|line| line.contains("a lease of the CMK Server again"))?;
            let named = again.contains(&format!("region={region}")) && again.contains("without_seconds=");
            named.then_some(())
        })
        .await;
    }
    serves(&setup.patient(), "a", SERVICE).await;
}

/// Where a Core keeps links.
const LINKS: Table<LinkRecord> = Table::new("links");

/// The link stands again, as if it had never ended.
fn link_again(tx: &mut dyn Write, epoch: LinkEpoch) -> Result<(), StoreError> {
    let mut link = LINKS.get(tx.as_read(), "acme")?.expect("the region holds it");
    let held = link.reference.as_mut().expect("it was told");
    assert_eq!(held.fact.state, LinkState::Unlinked);
    (held.fact.state, held.fact.epoch) = (LinkState::Linked, epoch);
    link.revoked = None;
    // As a lease was given for it from before.
    link.since = Revision::ZERO;
    LINKS.put(tx, "acme", &link)
}

#[tokio::test]
async fn a_tenant_that_someone_linked_in_a_cores_store_is_never_served_and_mended() {
    let mut setup = Setup::start().await;
    let client = setup.patient();
    define(&client, SERVICE).await;
    until_active(&client, "b", SERVICE).await;
    let ciphertext = encrypt(&client, "b", SERVICE).await;
    opens(&client, "b", SERVICE, &ciphertext).await;
    let epoch = crate::calls::unlink(&client, "acme").await.value["epoch"].clone();
    let epoch: Revision = epoch.as_str().and_then(|text| text.parse().ok()).expect("an epoch");
    until_refused(&client, "b", SERVICE, (&ciphertext, "tenant_unlinked")).await;
    until_unlinked(&client, "b", "acme").await;
    setup.kill(&["krypton-b"]);
    let data = setup.landscape.directory().join("data").join("krypton-b");
    let store =
        open_store(&data, "krypton", Some(&crate::calls::region("b")), SPACES).expect("the store opens");
    store.write(move |tx| link_again(tx, LinkEpoch(epoch))).await.expect("the store takes it");
    drop(store);
    let lock = data.join("krypton.lock");
    until("the store is closed", || async { File::open(&lock).ok()?.try_lock().ok() }).await;
    setup.start_again(&["krypton-b"]).await;
    let client = setup.client();
    until("the difference is healed", || async {
        let refused = refusal(&client, "b", SERVICE, &ciphertext).await;
        assert!(refused.is_some(), "it was served");
        let records = client.drift(Component::Cmk, Some("b"), Some("healed")).all().await.ok()?;
        records.iter().any(|record| record["subject"] == "l1.acme").then_some(())
    })
    .await;
    until_refused(&client, "b", SERVICE, (&ciphertext, "tenant_unlinked")).await;
}
