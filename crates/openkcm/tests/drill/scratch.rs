//! Drills on a landscape of their own.

use std::fs;

use openkcm_harness::until;
use rustix::process::{Pid, Signal, kill_process};

use crate::run::Drill;

#[tokio::test]
async fn a_region_that_loses_the_mesh_goes_on_and_every_promise_of_tier_1_holds() {
    let mut drill = Drill::scratch("tier1", &["--region", "b"]);
    let report = drill.must_hold().await;
    assert_eq!(report["ciphertexts"]["lost"], 0);
    assert!(report["versions_during_fault"].as_u64() > Some(0), "{report:#}");
    // What it made alone was at risk, and the other region was never cut off.
    assert!(report["at_risk"]["highest"]["b"].as_u64() > Some(0), "{report:#}");
    assert_eq!(report["at_risk"]["at_end"], 0);
    for region in ["a", "b"] {
        assert!(report["availability"][region].as_array().expect("seconds").len() > 4);
    }
    assert!(!drill.home().exists(), "nothing is left of the landscape");
}

#[tokio::test]
async fn a_cmk_server_that_comes_back_from_a_backup_brings_nothing_back_that_was_ended() {
    tier2_holds("cmk", "backup").await;
}

#[tokio::test]
async fn a_registry_that_comes_back_with_nothing_brings_nothing_back_that_was_ended() {
    tier2_holds("registry", "empty").await;
}

#[tokio::test]
async fn a_broker_that_comes_back_from_a_copy_loses_nothing_and_brings_nothing_back() {
    tier2_holds("nats", "backup").await;
}

async fn tier2_holds(component: &str, how: &str) {
    let mut drill = Drill::scratch("tier2", &["--component", component, "--how", how]);
    let report = drill.must_hold().await;
    assert_eq!((&report["ciphertexts"]["lost"], &report["at_risk"]["at_end"]), (&0.into(), &0.into()));
    let promises = report["promises"].to_string();
    assert!(promises.contains("says tenant_unlinked") && promises.contains("says key_purged"), "{promises}");
}

#[tokio::test]
async fn a_region_that_is_lost_with_its_disk_is_failed_over_and_back_without_a_loss() {
    let mut drill = Drill::scratch("tier3", &["--from", "b", "--to", "a", "--for", "1s"]);
    let report = drill.must_hold().await;
    let recovery = &report["recovery"];
    assert_eq!((&recovery["served"], &recovery["tenants"]), (&2.into(), &2.into()), "{recovery}");
    assert!(recovery["first_ms"].is_u64() && recovery["last_ms"].is_u64(), "{recovery}");
    assert_eq!((&report["ciphertexts"]["lost"], &report["at_risk"]["when_lost"]), (&0.into(), &0.into()));
    assert!(report["promises"].to_string().contains("says tenant_unlinked"), "{report:#}");
    for region in ["a", "b"] {
        let seconds = report["availability"][region].as_array().expect("seconds");
        assert!(seconds.iter().any(|second| second["served"] != 0), "{region}: {seconds:?}");
    }
}

#[tokio::test]
async fn a_drill_that_is_interrupted_ends_what_it_started_and_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut drill = Drill::scratch("tier1", &["--for", "10m"]);
        drill.until_told("is cut off the mesh").await;
        let pid =
            fs::read_to_string(drill.home().join("landscape/data/nats/nats.pid")).expect("the broker runs");
        assert!(runs(&pid));
        let own = Pid::from_raw(i32::try_from(drill.pid()).expect("a pid")).expect("a pid");
        kill_process(own, signal).expect("it runs");
        let status = drill.ended().await;
        assert_eq!(status.code(), Some(1), "{}", drill.told());
        assert!(drill.told().contains("stopped before its end"), "{}", drill.told());
        until("the broker has ended", || async { (!runs(&pid)).then_some(()) }).await;
        assert!(!drill.home().exists(), "nothing is left of the landscape");
    }
}

#[tokio::test]
async fn a_landscape_that_does_not_start_says_why_and_what_to_do() {
    let mut drill = Drill::start("tier1", &["--scratch", "--nats-server", "/nowhere/nats-server"]);
    assert_eq!(drill.ended().await.code(), Some(1));
    assert!(drill.told().contains("there is no file /nowhere/nats-server"), "{}", drill.told());
}

fn runs(pid: &str) -> bool {
    fs::exists(format!("/proc/{}", pid.trim())).expect("it can be looked at")
}
