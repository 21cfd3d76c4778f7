//! An authority that lost its store, or got an older copy of it back: it says so, gives nothing new, can always take
//! away, and gets its facts back from the mesh. Nothing of it brings an unlinked tenant back.

use std::fs;
use std::path::{Path, PathBuf};

use openkcm_client::{Client, KeySpec, L1Spec};
use openkcm_contracts::problem::Code;
use openkcm_contracts::{KeyPath, Revision, RootRef};
use openkcm_harness::until;
use serde_json::Value;

use crate::agreement::{everything_said, until_all_agree};
use crate::calls::{
    define, encrypt, link, opens, put_service, refusal, serves, service_path, status, tenant_id, unlink,
    until_active, until_opens, until_refused, until_told,
};
use crate::setup::{REGIONS, Setup};

/// Is linked, and stays so.
const KEPT: &str = "acme/hr/payroll";

/// Is unlinked.
const ENDED: &str = "other/app/data";

#[tokio::test]
async fn a_registry_that_lost_its_store_gets_its_definitions_back_from_the_mesh() {
    let mut landscape = Prepared::start().await;
    let before = everything_said(&landscape.setup.client()).await;
    let at = revision(&landscape.setup, "registry").await;
    landscape.lose_store("registry");
    landscape.rebuild("registry").await;

    let client = landscape.setup.patient();
    assert_eq!(everything_said(&client).await, before);
    assert!(revision(&landscape.setup, "registry").await.term > at.term, "what it says now is newer");
    until_all_agree(&client).await;
    // It goes on: with what it got back, and with what is new.
    let key = KeyPath::Service(service_path(KEPT));
    let spec = KeySpec { rotate_every: Some("30d".into()), ..KeySpec::default() };
    client.registry().put_key(&key, &spec).await.expect("changed");
    put_service(&client, "acme/hr/new").await;
    for region in REGIONS {
        until_active(&client, region, "acme/hr/new").await;
        opens(&client, region, KEPT, &landscape.kept).await;
    }
    until_all_agree(&client).await;
    landscape.goes_on_as_current("registry").await;
}

#[tokio::test]
async fn a_cmk_server_that_lost_its_store_gets_its_pointers_back_from_the_mesh() {
    let mut landscape = Prepared::start().await;
    let before = landscape.pointers().await;
    let at = revision(&landscape.setup, "cmk").await;
    landscape.lose_store("cmk");
    landscape.rebuild("cmk").await;

    assert_eq!(landscape.pointers().await, before);
    assert!(revision(&landscape.setup, "cmk").await.term > at.term, "what it says now is newer");
    let client = landscape.setup.patient();
    landscape.is_served_as_before(&client).await;
    unlink(&client, "acme").await;
    link(&client, "other").await;
    for region in REGIONS {
        until_refused(&client, region, KEPT, (&landscape.kept, "tenant_unlinked")).await;
        until_opens(&client, region, ENDED, &landscape.ended).await;
    }
    until_all_agree(&client).await;
    landscape.goes_on_as_current("cmk").await;
}

#[tokio::test]
async fn a_cmk_server_with_an_older_store_links_nothing_and_brings_no_unlinked_tenant_back() {
    let mut landscape = Prepared::linked().await;
    assert!(landscape.setup.landscape.stop("cmk").await);
    let copy = landscape.copy_of("cmk");
    landscape.setup.start_again(&["cmk"]).await;
    let client = landscape.setup.patient();
    unlink(&client, "other").await;
    for region in REGIONS {
        until_refused(&client, region, ENDED, (&landscape.ended, "tenant_unlinked")).await;
    }
    until_told(&client, "cmk").await;
    assert!(landscape.setup.landscape.stop("cmk").await);
    landscape.put_back("cmk", &copy);
    landscape.setup.start_again(&["cmk"]).await;

    // In its store the tenant is linked still.
    let client = landscape.setup.client();
    let pointer = client.cmk().l1(&tenant_id("other")).await.expect("a pointer");
    assert_eq!(pointer.text("state"), Some("linked"));
    until_standing(&client, "cmk", "stale").await;
    for tenant in ["acme", "other"] {
        let root = RootRef { provider: "local".into(), key: "another".into(), options: Default::default() };
        let spec = L1Spec { roots: vec![root], ..L1Spec::default() };
        let refused = client.cmk().link(&tenant_id(tenant), &spec).await.expect_err("it is behind");
        assert_eq!(refused.code(), Some(Code::AuthorityStale), "{tenant}: {refused}");
    }
    for region in REGIONS {
        assert_eq!(refusal_of(&client, region, ENDED, &landscape.ended).await, "tenant_unlinked");
        opens(&client, region, KEPT, &landscape.kept).await;
    }
    // It can take away: also what it holds for linked and is not.
    for tenant in ["acme", "other"] {
        unlink(&client, tenant).await;
    }
    for region in REGIONS {
        until_refused(&client, region, KEPT, (&landscape.kept, "tenant_unlinked")).await;
        assert_eq!(refusal_of(&client, region, ENDED, &landscape.ended).await, "tenant_unlinked");
    }
    until_told(&client, "cmk").await;

    landscape.setup.kill(&["cmk"]);
    landscape.rebuild("cmk").await;
    let client = landscape.setup.patient();
    until_all_agree(&client).await;
    for region in REGIONS {
        assert_eq!(refusal_of(&client, region, ENDED, &landscape.ended).await, "tenant_unlinked");
    }
    link(&client, "acme").await;
    for region in REGIONS {
        until_opens(&client, region, KEPT, &landscape.kept).await;
    }
}

#[tokio::test]
async fn a_registry_that_starts_from_nothing_says_so_and_defines_nothing() {
    let mut landscape = Prepared::start().await;
    landscape.lose_store("registry");
    landscape.setup.start_again(&["registry"]).await;
    let client = landscape.setup.client();
    until_standing(&client, "registry", "stale").await;
    let key = KeyPath::Service(service_path("acme/hr/new"));
    let refused = client.registry().put_key(&key, &KeySpec::default()).await.expect_err("it knows nothing");
    assert_eq!(refused.code(), Some(Code::AuthorityStale), "{refused}");
    landscape.is_served_as_before(&client).await;
    let mesh = status(&client, "krypton-a").await.expect("it answers")["mesh"].take();
    assert_eq!(mesh["dropped"], serde_json::json!({}));
    landscape.setup.kill(&["registry"]);
    landscape.rebuild("registry").await;
    let client = landscape.setup.patient();
    put_service(&client, "acme/hr/new").await;
    until_active(&client, "b", "acme/hr/new").await;
    until_all_agree(&client).await;
}

/// A landscape in use, with a ciphertext of each service.
struct Prepared {
    setup: Setup,
    kept: String,
    ended: String,
}

impl Prepared {
    /// One tenant is linked and one is not; definitions were changed, deleted, and made again.
    async fn start() -> Self {
        let prepared = Self::linked().await;
        let client = prepared.setup.patient();
        unlink(&client, "other").await;
        let registry = client.registry();
        for service in ["acme/hr/deleted", "acme/hr/again"] {
            put_service(&client, service).await;
            let key = KeyPath::Service(service_path(service));
            registry.delete_key(&key, None).await.expect("deleted");
        }
        put_service(&client, "acme/hr/again").await;
        for region in REGIONS {
            until_refused(&client, region, ENDED, (&prepared.ended, "tenant_unlinked")).await;
        }
        for component in ["registry", "cmk"] {
            until_told(&client, component).await;
        }
        until_all_agree(&client).await;
        prepared
    }

    /// Both tenants are linked.
    async fn linked() -> Self {
        let setup = Setup::start().await;
        let client = setup.patient();
        for service in [KEPT, ENDED] {
            define(&client, service).await;
        }
        for component in ["registry", "cmk"] {
            until_told(&client, component).await;
        }
        let (kept, ended) = (encrypt(&client, "a", KEPT).await, encrypt(&client, "b", ENDED).await);
        Self { setup, kept, ended }
    }

    fn data(&self, component: &str) -> PathBuf {
        self.setup.landscape.directory().join("data").join(component)
    }

    fn lose_store(&mut self, component: &str) {
        self.setup.kill(&[component]);
        fs::remove_dir_all(self.data(component)).expect("its disk is lost");
    }

    /// A copy of a stopped component's store, as a backup of it.
    fn copy_of(&self, component: &str) -> PathBuf {
        let copy = self.setup.landscape.directory().join("backup");
        copy_files(&self.data(component), &copy);
        copy
    }

    fn put_back(&self, component: &str, copy: &Path) {
        fs::remove_dir_all(self.data(component)).expect("its disk is replaced");
        copy_files(copy, &self.data(component));
    }

    /// Starts an authority with `--rebuild-from-mesh`, and waits until it has all of it.
    async fn rebuild(&mut self, component: &str) {
        self.setup.landscape.spawn_with(component, &["--rebuild-from-mesh"]);
        self.setup.landscape.wait_ready(component).await;
        until_standing(&self.setup.client(), component, "current").await;
    }

    /// Started as ever after that, it is as new as its words.
    async fn goes_on_as_current(&mut self, component: &str) {
        until_told(&self.setup.client(), component).await;
        self.setup.kill(&[component]);
        self.setup.start_again(&[component]).await;
        let client = self.setup.client();
        until_standing(&client, component, "current").await;
        until_all_agree(&client).await;
    }

    async fn is_served_as_before(&self, client: &Client) {
        for region in REGIONS {
            opens(client, region, KEPT, &self.kept).await;
            serves(client, region, KEPT).await;
            assert_eq!(refusal_of(client, region, ENDED, &self.ended).await, "tenant_unlinked");
        }
    }

    /// What the CMK Server says of each tenant's link.
    async fn pointers(&self) -> Vec<Value> {
        let mut pointers = Vec::new();
        for tenant in ["acme", "other"] {
            let pointer = self.setup.client().cmk().l1(&tenant_id(tenant)).await.expect("a pointer").value;
            pointers.extend(["state", "epoch", "roots"].map(|member| pointer[member].clone()));
        }
        pointers
    }
}

async fn refusal_of(client: &Client, region: &str, service: &str, ciphertext: &str) -> String {
    refusal(client, region, service, ciphertext)
        .await
        .unwrap_or_else(|| panic!("{service} is served in {region}"))
}

async fn until_standing(client: &Client, component: &str, standing: &str) {
    until(&format!("{component} says that it is {standing}"), || async {
        (status(client, component).await?["authority"]["standing"] == standing).then_some(())
    })
    .await;
}

async fn revision(setup: &Setup, component: &str) -> Revision {
    let status = status(&setup.client(), component).await.expect("it answers");
    status["revision"].as_str().expect("a revision").parse().expect("a revision")
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}
