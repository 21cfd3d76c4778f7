//! Signing keys are replaced while changes flow: the old key and the new one are believed for a time, everything
//! arrives, and what the old key signs after its end is nobody's word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openkcm_client::Client;
use openkcm_contracts::{KeyPath, Role};
use openkcm_harness::until;
use openkcm_orbital::Signer;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::agreement::until_all_agree;
use crate::broker;
use crate::calls::{
    define, link, only, put_service, serves, service_path, shown, status, unlink, until_active, until_mesh,
    until_told,
};
use crate::forgeries::offboarding;
use crate::setup::{COMPONENTS, REGIONS, Setup};

const SERVICE: &str = "acme/hr/payroll";

/// Is linked and unlinked all the time.
const TOGGLED: &str = "other/app/data";

/// Whose keys are replaced.
const SIGNERS: [&str; 3] = ["registry", "cmk", "krypton-a"];

/// Changes that are made between two steps, by each authority and by the Core.
const BETWEEN: u64 = 2;

/// What a component logs when it has taken a file over.
const TRUST_READ: &str = "the trust bundle was read";
const SIGNS_ANEW: &str = "signing with another key";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_keys_are_replaced_while_changes_flow() {
    let setup = Setup::start().await;
    let client = setup.patient();
    for service in [SERVICE, TOGGLED] {
        define(&client, service).await;
    }
    let old = broker::seed(setup.landscape.directory(), "registry");
    let mut flow = Flow::start(&client);
    for signer in SIGNERS {
        flow.goes_on().await;
        step(&setup, "add", signer);
        for component in COMPONENTS {
            takes_over(&setup, component, TRUST_READ).await;
        }
        flow.goes_on().await;
        step(&setup, "use", signer);
        takes_over(&setup, signer, SIGNS_ANEW).await;
        flow.goes_on().await;
    }
    let defined = flow.stop().await;
    all_arrived(&client, &defined).await;

    let looker = broker::look(&setup.landscape).await;
    let words = broker::words(&looker, "ORBITAL_1_region_b").await;
    let mut keys: Vec<&str> = words.iter().map(|word| word.header("ce-kcmkeyid")).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4, "words of two keys of each authority are read: {keys:?}");

    for signer in SIGNERS {
        step(&setup, "retire", signer);
        for component in COMPONENTS {
            takes_over(&setup, component, TRUST_READ).await;
        }
    }
    let retired = Signer::from_seed(&old, Role::Registry, None).expect("a seed");
    let registry = broker::connect(&setup.landscape, "registry").await;
    broker::say(&registry, retired.sign(&offboarding("b", None))).await;
    let dropped = json!({"unknown-signer": 1});
    until_mesh(&client, "krypton-b", "the old key's word was dropped", |mesh| mesh["dropped"] == dropped)
        .await;
    serves(&client, "b", SERVICE).await;
    put_service(&client, "acme/hr/after").await;
    until_active(&client, "b", "acme/hr/after").await;
}

async fn all_arrived(client: &Client, defined: &[String]) {
    for component in COMPONENTS {
        until_told(client, component).await;
    }
    until_all_agree(client).await;
    for name in defined {
        for region in REGIONS {
            until_active(client, region, name).await;
        }
    }
    until("both regions hold all versions", || async {
        let versions = |key: serde_json::Value| key["versions"].as_array().map(Vec::len);
        let (a, b) = (shown(client, "a", SERVICE).await?, shown(client, "b", SERVICE).await?);
        (versions(a) == versions(b)).then_some(())
    })
    .await;
    for component in COMPONENTS {
        let mesh = status(client, component).await.expect("it answers")["mesh"].take();
        assert_eq!(mesh["dropped"], json!({}), "{component}");
    }
}

/// `openkcm signer STEP`.
fn step(setup: &Setup, step: &str, signer: &str) {
    let home = setup.landscape.directory().display().to_string();
    setup.must(&["signer", step, signer, "--dir", &home]);
}

/// Has a component look at its files at once, and waits until it has taken over what changed.
async fn takes_over(setup: &Setup, component: &str, told: &str) {
    let count = || setup.landscape.log(component).matches(told).count();
    let before = count();
    let pid = i32::try_from(setup.landscape.pid(component)).expect("a process id");
    kill_process(Pid::from_raw(pid).expect("not zero"), Signal::HUP).expect("it runs");
    until(&format!("{component}: {told}"), || async { (count() > before).then_some(()) }).await;
}

/// Changes of the Registry, of the CMK Server and of a Core, without a pause.
struct Flow {
    stopped: Arc<AtomicBool>,
    made: Vec<watch::Receiver<u64>>,
    changing: JoinSet<()>,
}

impl Flow {
    fn start(client: &Client) -> Self {
        let mut flow = Self { stopped: Arc::default(), made: Vec::new(), changing: JoinSet::new() };
        flow.goes_on_with(client, |client, number| async move {
            put_service(&client, &name(number)).await;
        });
        flow.goes_on_with(client, |client, _| async move {
            unlink(&client, "other").await;
            link(&client, "other").await;
        });
        flow.goes_on_with(client, |client, _| async move {
            let key = KeyPath::Service(service_path(SERVICE));
            client.core(only("a")).rotate(&key).await.expect("rotated");
        });
        flow
    }

    /// Makes changes of one kind, one after the other.
    fn goes_on_with<F>(&mut self, client: &Client, change: impl Fn(Client, u64) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let (sender, made) = watch::channel(0);
        self.made.push(made);
        let (client, stopped) = (client.clone(), self.stopped.clone());
        self.changing.spawn(async move {
            for number in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                change(client.clone(), number).await;
                sender.send_replace(number + 1);
            }
        });
    }

    /// Waits until each has made some more changes.
    async fn goes_on(&mut self) {
        for made in &mut self.made {
            let enough = *made.borrow() + BETWEEN;
            made.wait_for(|count| *count >= enough).await.expect("it goes on");
        }
    }

    /// Ends it; gives the names of the services that were defined.
    async fn stop(self) -> Vec<String> {
        self.stopped.store(true, Ordering::Relaxed);
        let definitions = self.made[0].clone();
        self.changing.join_all().await;
        (0..*definitions.borrow()).map(name).collect()
    }
}

fn name(number: u64) -> String {
    format!("acme/hr/flow-{number}")
}
