//! Every component starts, serves and takes changes with the broker down, with the others down, and with both; what
//! it would tell waits, survives a kill, and arrives in order.

use crate::agreement::until_all_agree;
use crate::broker;
use crate::calls::{
    define, encrypt, opens, put_service, serves, status, unlink, until_active, until_connected, until_mesh,
    until_opens, until_refused, until_told,
};
use crate::setup::{COMPONENTS, REGIONS, Setup};

/// Is served throughout.
const KEPT: &str = "acme/hr/payroll";

/// Is unlinked by a CMK Server that is alone.
const ENDED: &str = "other/app/data";

/// Is defined by a Registry that is alone.
const NEW: &str = "acme/hr/new";

/// How many changes wait while the mesh is away.
const CHANGES: usize = 12;

#[tokio::test]
async fn every_component_starts_and_serves_while_the_broker_is_down() {
    let mut landscape = Prepared::start().await;
    landscape.setup.kill(&["nats"]);
    for component in COMPONENTS {
        landscape.setup.kill(&[component]);
        landscape.setup.start_again(&[component]).await;
        landscape.works(component, false).await;
    }
    landscape.setup.start_again(&["nats"]).await;
    landscape.is_told_to_all().await;
}

#[tokio::test]
async fn every_component_starts_and_serves_while_the_others_are_down() {
    let mut landscape = Prepared::start().await;
    landscape.setup.kill(&COMPONENTS);
    for component in COMPONENTS {
        landscape.setup.start_again(&[component]).await;
        landscape.works(component, true).await;
        landscape.setup.kill(&[component]);
    }
    landscape.setup.start_again(&COMPONENTS).await;
    landscape.is_told_to_all().await;
}

#[tokio::test]
async fn every_component_starts_and_serves_while_the_broker_and_all_others_are_down() {
    let mut landscape = Prepared::start().await;
    landscape.setup.kill(&["nats"]);
    landscape.setup.kill(&COMPONENTS);
    for component in COMPONENTS {
        landscape.setup.start_again(&[component]).await;
        landscape.works(component, false).await;
        landscape.setup.kill(&[component]);
    }
    landscape.setup.start_again(&["nats"]).await;
    landscape.setup.start_again(&COMPONENTS).await;
    landscape.is_told_to_all().await;
}

#[tokio::test]
async fn what_was_not_told_survives_a_kill_and_arrives_in_order() {
    let Prepared { mut setup, .. } = Prepared::start().await;
    setup.kill(&["nats"]);
    let client = setup.client();
    let names: Vec<String> = (0..CHANGES).map(|number| format!("acme/hr/s{number}")).collect();
    let mut revisions = Vec::new();
    for name in &names {
        revisions.push(put_service(&client, name).await.revision.expect("a revision").to_string());
    }
    unlink(&client, "acme").await;
    for (component, letters) in [("registry", CHANGES * REGIONS.len()), ("cmk", 2 * REGIONS.len())] {
        until_mesh(&client, component, "it is cut off", |mesh| mesh["connected"] == false).await;
        for _ in 0..2 {
            let client = setup.client();
            let mesh = status(&client, component).await.expect("it answers")["mesh"].take();
            assert_eq!(mesh["outbox"]["letters"], letters, "{component}: {mesh}");
            assert!(mesh["outbox"]["oldest_seconds"].is_u64() && mesh["since"].is_string(), "{mesh}");
            setup.kill(&[component]);
            setup.start_again(&[component]).await;
        }
    }
    setup.start_again(&["nats"]).await;
    let client = setup.client();
    for component in ["registry", "cmk"] {
        until_told(&client, component).await;
        let mesh = until_connected(&client, component, true).await;
        assert!(mesh["outbox"]["oldest_seconds"].is_null(), "{mesh}");
    }
    until_all_agree(&client).await;
    let looker = broker::look(&setup.landscape).await;
    for region in REGIONS {
        let words = broker::words(&looker, &format!("ORBITAL_1_region_{region}")).await;
        let told = words.iter().filter(|word| word.subject.contains(".key.acme.hr.s"));
        let told: Vec<&str> = told.map(|word| word.header("ce-kcmrevision")).collect();
        assert_eq!(told, revisions, "region {region}");
    }
}

/// A landscape in use, and a ciphertext of each of its services.
struct Prepared {
    setup: Setup,
    kept: String,
    ended: String,
}

impl Prepared {
    async fn start() -> Self {
        let setup = Setup::start().await;
        let client = setup.patient();
        for service in [KEPT, ENDED] {
            define(&client, service).await;
        }
        let (kept, ended) = (encrypt(&client, "a", KEPT).await, encrypt(&client, "b", ENDED).await);
        Self { setup, kept, ended }
    }

    /// Does a component's own work, which nobody else is needed for.
    async fn works(&self, component: &str, has_mesh: bool) {
        let client = self.setup.client();
        match component {
            "registry" => drop(put_service(&client, NEW).await),
            "cmk" => drop(unlink(&client, "other").await),
            core => {
                let region = core.strip_prefix("krypton-").expect("a Core");
                until_opens(&client, region, KEPT, &self.kept).await;
                serves(&client, region, KEPT).await;
            }
        }
        if has_mesh {
            until_connected(&client, component, true).await;
            return until_told(&client, component).await;
        }
        let mesh = status(&client, component).await.expect("it answers")["mesh"].take();
        assert_eq!(mesh["connected"], false, "{mesh}");
        // A Core has nothing to tell but its manifest, on a lane of its own.
        let lanes =
            mesh["outbox"]["lanes"].as_array().expect("lanes").iter().filter(|lane| lane["lane"] != 3);
        let waits: u64 = lanes.map(|lane| lane["letters"].as_u64().expect("a number")).sum();
        assert_eq!(waits > 0, ["registry", "cmk"].contains(&component), "{component}: {mesh}");
    }

    /// What each did alone is heard by all whom it concerns.
    async fn is_told_to_all(&self) {
        let client = self.setup.client();
        for component in COMPONENTS {
            until_connected(&client, component, true).await;
            until_told(&client, component).await;
        }
        until_all_agree(&client).await;
        for region in REGIONS {
            until_refused(&client, region, ENDED, (&self.ended, "tenant_unlinked")).await;
            until_active(&client, region, NEW).await;
            opens(&client, region, KEPT, &self.kept).await;
        }
    }
}
