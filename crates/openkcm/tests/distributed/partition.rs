//! A Core that loses the mesh says so itself, and has it again when the fault ends: over a cut cable, and over a
//! proxy that refuses.

use openkcm_harness::{Proxy, until};

use crate::setup::Setup;

const CORE: &str = "krypton-a";

#[tokio::test]
async fn a_core_whose_cable_is_pulled_has_the_mesh_again_when_it_is_plugged_in() {
    let Some(setup) = Setup::start_on_network().await else { return };
    connected(&setup, true).await;
    setup.landscape.network().cut(CORE);
    connected(&setup, false).await;
    setup.landscape.network().heal(CORE);
    connected(&setup, true).await;
}

#[tokio::test]
async fn a_core_that_is_refused_has_the_mesh_again_when_it_is_let_in() {
    let mut setup = Setup::start().await;
    let proxy = Proxy::start(setup.landscape.nats().address());
    setup.landscape.direct(CORE, proxy.address());
    setup.landscape.kill(CORE);
    setup.landscape.start_again(CORE).await;
    connected(&setup, true).await;
    assert!(proxy.counts().connections > 0);
    proxy.cut();
    connected(&setup, false).await;
    proxy.pass();
    connected(&setup, true).await;
}

/// Waits until the Core says whether it has the mesh, asked on its own host.
async fn connected(setup: &Setup, expected: bool) {
    until(&format!("{CORE} says that it is connected: {expected}"), || async {
        let status = setup.status_from(CORE);
        let components = status["components"].as_array().expect("a list of components");
        let core = components.iter().find(|component| component["component"] == "krypton a")?;
        (core["status"]["mesh"]["connected"] == expected).then_some(())
    })
    .await;
}
