//! What a component says of the mesh: what came and changed nothing is counted, in the status and for Prometheus.

use std::time::Duration;

use openkcm_host::{Clock as _, OsEntropy};
use openkcm_orbital::{Letter, Message, Signer, outbox};
use serde_json::json;

use crate::rig::{Rig, tenant, unknown};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_believed_is_counted_by_its_reason_and_changes_nothing() {
    let rig = Rig::new().await;
    let stranger = Signer::from_seed(&Signer::new_seed(&OsEntropy::new()), rig.registry.role(), None);
    let stranger = stranger.expect("a seed");
    rig.publish(stranger.sign(&tenant("forged", 1))).await;
    rig.publish(Message { body: "{}".into(), ..rig.registry.sign(&tenant("changed", 2)) }).await;
    rig.publish(Message { headers: [].into(), ..rig.registry.sign(&tenant("garbage", 3)) }).await;
    let mut misplaced = rig.registry.sign(&tenant("of-another", 4));
    misplaced.address.subject = "tenant.elsewhere".into();
    rig.publish(misplaced).await;
    rig.publish(rig.registry.sign(&tenant("acme", 5))).await;
    let dropped = json!({"unknown-signer": 1, "wrong-signature": 1, "damaged": 1, "misplaced": 1});
    rig.shows("/dropped", dropped).await;
    rig.shows("/streams/0/sequence", json!(5)).await;
    assert_eq!(rig.heard("tenant.acme").await.as_deref(), Some("1.5"));
    for subject in ["tenant.forged", "tenant.changed", "tenant.garbage", "tenant.elsewhere"] {
        assert_eq!(rig.heard(subject).await, None, "{subject}");
    }
    let metrics = rig.get("/metrics").await.body;
    let metrics = metrics.as_str().expect("text");
    for line in [
        r#"openkcm_mesh_events_dropped_total{component="ear",reason="wrong-signature"} 1"#,
        r#"openkcm_mesh_events_dropped_total{component="ear",reason="damaged"} 1"#,
        r#"openkcm_mesh_connected{component="ear"} 1"#,
        r#"openkcm_mesh_events_replayed_total{component="ear"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("acme") && !metrics.contains("forged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_is_held_already_is_counted_as_replayed() {
    let rig = Rig::new().await;
    rig.publish(rig.registry.sign(&tenant("acme", 1))).await;
    rig.shows("/streams/0/sequence", json!(1)).await;
    rig.publish(rig.registry.sign(&tenant("acme", 1))).await;
    rig.shows("/replayed", json!(1)).await;
    rig.shows("/dropped", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_can_not_be_read_is_kept_and_counted() {
    let rig = Rig::new().await;
    rig.publish(rig.registry.sign(&unknown("acme", 1))).await;
    rig.shows("/quarantined", json!(1)).await;
    rig.shows("/streams/0", json!({"stream": "1.cmk", "sequence": 1, "hydrated": true})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_is_shown_by_lane_with_its_age_and_a_component_that_is_cut_off_is_ready() {
    let rig = Rig::cut_off().await;
    let written_at = rig.clock.now();
    let letters = [("acme", 1), ("beta", 2)].map(|(name, at)| Letter { written_at, ..tenant(name, at) });
    let put = rig.actor.store.write(move |tx| letters.iter().try_for_each(|letter| outbox::put(tx, letter)));
    put.await.expect("the store takes it");
    rig.clock.advance(Duration::from_secs(90));
    let lanes = json!([{"lane": 0, "letters": 0}, {"lane": 1, "letters": 2, "oldest_seconds": 90}]);
    rig.shows("/outbox", json!({"letters": 2, "oldest_seconds": 90, "lanes": lanes})).await;
    rig.shows("/error", json!("the mesh does not answer: cut off")).await;
    rig.shows("/connected", json!(false)).await;
    rig.measured(r#"openkcm_outbox_letters{component="ear",lane="1"} 2"#).await;
    rig.measured(r#"openkcm_outbox_oldest_seconds{component="ear",lane="1"} 90"#).await;
    rig.measured(r#"openkcm_mesh_connected{component="ear"} 0"#).await;
    let ready = rig.get("/readyz").await;
    let since = "the mesh does not answer since 2026-02-02T08:00:00.000Z";
    assert_eq!((ready.status, &ready.body["ready"]), (200, &json!(true)));
    assert!(ready.body["reasons"][0].as_str().expect("a reason").starts_with(since), "{ready:?}");
}
