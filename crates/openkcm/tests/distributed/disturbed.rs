//! A line to the broker that is not cut and not well: late, silent, torn off again and again, deaf in one direction.
//! No request waits for it; what was said meanwhile arrives, all of it, and nothing of it has an effect twice.

use std::time::Duration;

use openkcm_client::Client;
use openkcm_harness::Proxy;

use crate::agreement::until_all_agree;
use crate::calls::{
    define, encrypt, opens, put_service, replayed, serves, shown, status, until_connected, until_known,
    until_mesh, until_told,
};
use crate::setup::{REGIONS, Setup};

const SERVICE: &str = "acme/hr/payroll";

/// Not the first region of the tenant: it makes no version unless it is asked to, and what comes to it is others'.
const CORE: &str = "krypton-b";

/// How many changes are made over a line that is not well.
const CHANGES: usize = 25;

/// Later than anything on loopback, twice on the way of a question and its answer.
const LATE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn over_a_line_that_is_late_everything_arrives() {
    let (setup, proxy) = disturbed(CORE).await;
    let client = setup.patient();
    proxy.delay(LATE);
    let names = define_many(&client, "late", || ()).await;
    all_arrived(&client, &names).await;
    serves(&client, "b", SERVICE).await;
    proxy.pass();
    is_read_once(&client).await;
}

#[tokio::test]
async fn no_request_waits_for_a_line_on_which_nothing_passes() {
    let (setup, proxy) = disturbed(CORE).await;
    let client = setup.patient();
    proxy.stall();
    let names = define_many(&client, "stalled", || ()).await;
    for name in &names {
        until_known(&client, "a", name).await;
    }
    serves(&client, "b", SERVICE).await;
    assert!(shown(&client, "b", &names[0]).await.is_none(), "nothing passes");
    proxy.pass();
    all_arrived(&client, &names).await;
    is_read_once(&client).await;
}

#[tokio::test]
async fn a_core_whose_connection_is_torn_off_again_and_again_skips_nothing() {
    let (setup, proxy) = disturbed(CORE).await;
    let client = setup.patient();
    let before = proxy.counts().connections;
    let names = define_many(&client, "torn", || proxy.reset()).await;
    all_arrived(&client, &names).await;
    assert!(proxy.counts().connections > before, "it was torn off");
    serves(&client, "b", SERVICE).await;
    is_read_once(&client).await;
}

#[tokio::test]
async fn a_core_that_is_not_heard_goes_on_from_where_it_was() {
    let (setup, proxy) = disturbed(CORE).await;
    goes_on(&setup, &proxy, Proxy::cut_towards_server).await;
}

#[tokio::test]
async fn a_core_that_hears_nothing_goes_on_from_where_it_was() {
    let (setup, proxy) = disturbed(CORE).await;
    goes_on(&setup, &proxy, Proxy::cut_towards_client).await;
}

async fn goes_on(setup: &Setup, proxy: &Proxy, deafen: impl Fn(&Proxy)) {
    let client = setup.patient();
    deafen(proxy);
    let names = define_many(&client, "unheard", || ()).await;
    serves(&client, "b", SERVICE).await;
    until_connected(&client, CORE, false).await;
    serves(&client, "b", SERVICE).await;
    proxy.pass();
    all_arrived(&client, &names).await;
    is_read_once(&client).await;
}

#[tokio::test]
async fn a_registry_whose_line_stalls_and_breaks_takes_changes_and_tells_all_of_them() {
    let (setup, proxy) = disturbed("registry").await;
    let client = setup.patient();
    proxy.stall();
    let stalled = define_many(&client, "stalled", || ()).await;
    until_mesh(&client, "registry", "it has something to tell", |mesh| mesh["outbox"]["letters"] != 0).await;
    proxy.pass();
    let torn = define_many(&client, "torn", || proxy.reset()).await;
    proxy.cut_towards_client();
    let unheard = define_many(&client, "unheard", || ()).await;
    proxy.pass();
    until_told(&client, "registry").await;
    for names in [&stalled, &torn, &unheard] {
        all_arrived(&client, names).await;
    }
    serves(&client, "a", SERVICE).await;
}

/// A landscape with a service in use, in which a component's line to the broker goes through a proxy.
async fn disturbed(component: &str) -> (Setup, Proxy) {
    let mut setup = Setup::start().await;
    let proxy = Proxy::start(setup.landscape.nats().address());
    setup.landscape.direct(component, proxy.address());
    assert!(setup.landscape.stop(component).await, "{}", setup.landscape.log(component));
    setup.start_again(&[component]).await;
    let client = setup.patient();
    until_connected(&client, component, true).await;
    define(&client, SERVICE).await;
    let ciphertext = encrypt(&client, "a", SERVICE).await;
    opens(&client, "b", SERVICE, &ciphertext).await;
    (setup, proxy)
}

/// Defines services one after the other, and does something between them. Gives their names.
async fn define_many(client: &Client, prefix: &str, between: impl Fn()) -> Vec<String> {
    let names: Vec<String> = (0..CHANGES).map(|number| format!("acme/hr/{prefix}-{number}")).collect();
    for name in &names {
        put_service(client, name).await;
        between();
    }
    names
}

async fn all_arrived(client: &Client, names: &[String]) {
    for region in REGIONS {
        for name in names {
            until_known(client, region, name).await;
        }
    }
    until_all_agree(client).await;
}

/// Reading went on from the committed position: nothing that was applied came again.
async fn is_read_once(client: &Client) {
    let mesh = until_connected(client, CORE, true).await;
    assert_eq!(replayed(&mesh), 0, "{mesh}");
    assert_eq!(mesh["dropped"], serde_json::json!({}));
    let status = status(client, CORE).await.expect("it answers");
    assert_eq!(status["mesh"]["quarantined"], 0);
}
