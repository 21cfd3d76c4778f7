//! What `openkcm init` made starts as it is: all parts meet on the broker, and each ends when it is asked to.

use openkcm_harness::until;

use crate::setup::{COMPONENTS, PARTS, Setup};

#[tokio::test]
async fn all_parts_of_a_new_landscape_meet_on_the_broker_and_end_well() {
    meet_and_end(Setup::start().await).await;
}

#[tokio::test]
async fn parts_with_hosts_of_their_own_meet_on_the_broker_and_end_well() {
    let Some(setup) = Setup::start_on_network().await else { return };
    meet_and_end(setup).await;
}

async fn meet_and_end(mut setup: Setup) {
    let connected = until("all components have the mesh", || async {
        let status = setup.status();
        let components = status["components"].as_array().expect("a list of components").clone();
        let all = components.iter().all(|component| component["status"]["mesh"]["connected"] == true);
        all.then_some(components.len())
    })
    .await;
    // The broker has no status of its own.
    assert_eq!(connected, PARTS.len() - 1);
    for part in PARTS.into_iter().rev() {
        assert!(setup.landscape.stop(part).await, "{part}:\n{}", setup.landscape.log(part));
    }
    for component in COMPONENTS {
        let log = setup.landscape.log(component);
        let named = |line: &str| line.split_whitespace().nth(1) == Some(component);
        assert!(!log.is_empty() && log.lines().all(named), "{component} logs in its name:\n{log}");
        assert!(!log.contains('\u{1b}'), "a log in a file has no colours:\n{log}");
    }
}
