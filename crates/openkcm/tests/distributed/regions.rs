//! A region is added while everything runs: the broker reads its configuration again, the new Core is started, and
//! nothing else is.

use openkcm_client::TenantSpec;
use openkcm_harness::until;

use crate::agreement::until_all_agree;
use crate::calls::{
    define, define_in, encrypt, opens, region, serves, tenant_id, until_active, until_connected,
};
use crate::setup::{PARTS, Setup};

const SERVICE: &str = "acme/hr/payroll";

#[tokio::test]
async fn a_region_is_added_while_everything_runs() {
    let mut setup = Setup::start().await;
    define(&setup.patient(), SERVICE).await;
    let before = PARTS.map(|part| setup.landscape.pid(part));
    let old = encrypt(&setup.client(), "b", SERVICE).await;

    let home = setup.landscape.directory().display().to_string();
    let host = setup.landscape.nats().address().ip().to_string();
    setup.must(&["init", "--dir", &home, "--add-region", "c", "--host", &host]);
    setup.landscape.nats().reload().await;
    setup.start_again(&["krypton-c"]).await;

    let client = setup.patient();
    let spec = TenantSpec { regions: ["a", "b", "c"].map(region).to_vec(), labels: Default::default() };
    until("the Registry knows the region", || async {
        client.registry().put_tenant(&tenant_id("acme"), &spec).await.ok()
    })
    .await;
    until_connected(&client, "krypton-c", true).await;
    until_active(&client, "c", SERVICE).await;
    opens(&client, "c", SERVICE, &old).await;
    let new = encrypt(&client, "c", SERVICE).await;
    opens(&client, "a", SERVICE, &new).await;

    define_in(&client, "new/app/data", &["c", "a"]).await;
    serves(&client, "c", "new/app/data").await;
    until_all_agree(&client).await;
    assert_eq!(PARTS.map(|part| setup.landscape.pid(part)), before, "nothing was started again");
    for part in PARTS {
        assert!(setup.landscape.stop(part).await, "{part}:\n{}", setup.landscape.log(part));
    }
}
