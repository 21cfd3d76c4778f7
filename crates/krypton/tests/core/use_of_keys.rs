//! The data plane: what one region encrypts, every region of the tenant decrypts.

use openkcm_http::encode_base64;
use serde_json::json;

use crate::rig::World;
use crate::rig::facts::{SERVICE, SYSTEM};

#[tokio::test]
async fn each_region_opens_what_the_other_sealed() {
    let world = World::defined().await;
    let (a, b) = world.start_both().await;
    let from_a = a.sealed_when_usable(SERVICE, b"from a").await;
    b.opens(SERVICE, &from_a, b"from a").await;
    let from_b = b.sealed_when_usable(SERVICE, b"from b").await;
    a.opens(SERVICE, &from_b, b"from b").await;
    a.opens(SERVICE, &a.sealed_when_usable(SERVICE, b"").await, b"").await;
}

#[tokio::test]
async fn a_data_key_opens_by_decryption_in_both_regions() {
    let world = World::defined().await;
    let (a, b) = world.start_both().await;
    a.sealed_when_usable(SERVICE, b"x").await;
    for (body, length) in [(json!({}), 32), (json!({"bytes": 16}), 16), (json!({"bytes": 1024}), 1024)] {
        let made = a.ask(SERVICE, "datakey", &body).await;
        assert_eq!(made.plaintext().len(), length);
        b.opens(SERVICE, &made.field("ciphertext"), &made.plaintext()).await;
    }
    let [one, other] =
        [a.ask(SERVICE, "datakey", &json!({})).await, a.ask(SERVICE, "datakey", &json!({})).await];
    assert_ne!(one.plaintext(), other.plaintext());
}

#[tokio::test]
async fn additional_data_binds_and_an_empty_one_is_none() {
    let world = World::defined().await;
    let a = world.start("a").await;
    a.sealed_when_usable(SERVICE, b"x").await;
    let aad = |bytes: &[u8]| encode_base64(bytes).to_string();
    let plaintext = aad(b"hello");
    let bound = a.ask(SERVICE, "encrypt", &json!({"plaintext": plaintext, "aad": aad(b"row 7")})).await;
    let bound = bound.field("ciphertext");
    let opened = a.ask(SERVICE, "decrypt", &json!({"ciphertext": bound, "aad": aad(b"row 7")})).await;
    assert_eq!(opened.plaintext(), b"hello");
    for wrong in [json!({"ciphertext": bound}), json!({"ciphertext": bound, "aad": aad(b"row 8")})] {
        let refused = a.ask(SERVICE, "decrypt", &wrong).await;
        assert_eq!((refused.status, refused.code()), (400, "bad_ciphertext"));
        assert_eq!(a.ask(SERVICE, "rewrap", &wrong).await.code(), "bad_ciphertext");
    }
    let unbound = a.encrypt(SERVICE, b"hello").await.field("ciphertext");
    let opened = a.ask(SERVICE, "decrypt", &json!({"ciphertext": unbound, "aad": ""})).await;
    assert_eq!(opened.plaintext(), b"hello");
}

#[tokio::test]
async fn a_rotation_makes_a_new_version_and_older_ciphertexts_still_open() {
    let world = World::defined().await;
    let (a, b) = world.start_both().await;
    let before = a.when_usable(SERVICE, b"before").await;
    let second = a.rotate(SERVICE).await;
    let after = a.encrypt(SERVICE, b"after").await;
    assert_eq!(after.version(), second, "the answer to a rotation waits until the new version encrypts");
    for core in [&a, &b] {
        core.opens(SERVICE, &before.field("ciphertext"), b"before").await;
        core.opens(SERVICE, &after.field("ciphertext"), b"after").await;
        core.activates(SERVICE, second).await;
        assert_eq!(core.versions(SERVICE).await, [before.version(), second]);
    }
}

#[tokio::test]
async fn a_rewrap_moves_a_ciphertext_to_the_active_version() {
    let world = World::defined().await;
    let a = world.start("a").await;
    let before = a.sealed_when_usable(SERVICE, b"hello").await;
    let second = a.rotate(SERVICE).await;
    let rewrapped = a.rewrap(SERVICE, &before).await;
    assert_eq!(rewrapped.version(), second);
    assert!(!rewrapped.text.contains("plaintext"));
    a.opens(SERVICE, &rewrapped.field("ciphertext"), b"hello").await;
    let data_key = a.ask(SERVICE, "datakey", &json!({})).await;
    let rewrapped = a.rewrap(SERVICE, &data_key.field("ciphertext")).await;
    a.opens(SERVICE, &rewrapped.field("ciphertext"), &data_key.plaintext()).await;
}

#[tokio::test]
async fn a_rotated_l2_seals_new_versions_and_older_ones_stay_open_after_a_restart() {
    let world = World::defined().await;
    let (a, b) = world.start_both().await;
    let before = a.sealed_when_usable(SERVICE, b"before").await;
    let first = a.versions(SYSTEM).await;
    let second = a.rotate(SYSTEM).await;
    a.activates(SYSTEM, second).await;
    a.rotate(SERVICE).await;
    let after = a.sealed_when_usable(SERVICE, b"after").await;
    assert_eq!(a.versions(SYSTEM).await, [first[0], second]);
    b.opens(SERVICE, &before, b"before").await;
    b.opens(SERVICE, &after, b"after").await;
    a.replicates().await;
    let l3 = world.sealed_on_mesh().await.into_iter().filter(|sealed| sealed.service.is_some());
    let by = l3.map(|sealed| sealed.seals[0].by.clone()).collect::<Vec<_>>();
    assert_eq!(by, [first[0], second].map(openkcm_contracts::v1::SealedBy::L2));
    drop((a, b));
    for core in [world.start("a").await, world.start("b").await] {
        core.opens(SERVICE, &before, b"before").await;
        core.opens(SERVICE, &after, b"after").await;
    }
}

#[tokio::test]
async fn both_regions_rotate_at_once_and_agree_on_one_of_the_two() {
    let world = World::defined().await;
    let (a, b) = world.start_both().await;
    let first = a.when_usable(SERVICE, b"x").await;
    b.opens(SERVICE, &first.field("ciphertext"), b"x").await;
    let (of_a, of_b) = tokio::join!(a.rotate(SERVICE), b.rotate(SERVICE));
    let newest = |core: Vec<_>| core.last().copied();
    for core in [&a, &b] {
        crate::rig::eventually("the union of both", async || {
            let versions = core.versions(SERVICE).await;
            (versions.len() == 3 && core.active(SERVICE).await == newest(versions)).then_some(())
        })
        .await;
    }
    assert_eq!(a.active(SERVICE).await, b.active(SERVICE).await);
    assert!([of_a, of_b].contains(&a.active(SERVICE).await.expect("one is active")));
}
