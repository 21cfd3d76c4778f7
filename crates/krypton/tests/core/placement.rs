//! A caller learns from an answer where else the tenant is, and nothing of a tenant that is not served here.

use serde_json::json;

use crate::rig::facts::{self, SERVICE};
use crate::rig::{World, eventually};

#[tokio::test]
async fn an_answer_and_a_refusal_for_now_tell_the_tenants_regions_in_order() {
    let world = World::defined().await;
    world.lessor.set_away(true);
    let a = world.start("a").await;
    eventually("the regions of a tenant without a lease", async || {
        let refused = a.refuses(SERVICE, "lease_expired").await;
        (refused.regions.as_deref() == Some("a, b")).then_some(())
    })
    .await;
    world.lessor.set_away(false);
    world.advance(std::time::Duration::from_secs(10));
    let sealed = a.when_usable(SERVICE, b"x").await;
    assert_eq!(sealed.regions.as_deref(), Some("a, b"));
    let opened = a.decrypt(SERVICE, &sealed.field("ciphertext")).await;
    assert_eq!(opened.regions.as_deref(), Some("a, b"));
    assert_eq!(a.ask(SERVICE, "datakey", &json!({})).await.regions.as_deref(), Some("a, b"));
    world
        .tell(5, &facts::tenant("acme", |fact| fact.regions = ["b", "c", "a"].map(facts::region).into()))
        .await;
    eventually("the new order", async || {
        let reply = a.encrypt(SERVICE, b"x").await;
        (reply.regions.as_deref() == Some("b, c, a")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_unknown_or_has_ended_tells_of_no_region() {
    let world = World::defined().await;
    let a = world.start("a").await;
    a.sealed_when_usable(SERVICE, b"x").await;
    for key in ["none/hr/payroll", "acme/hr/none"] {
        let refused = a.encrypt(key, b"x").await;
        assert_eq!((refused.code(), refused.regions.as_deref()), ("unknown_key", None), "{key}");
    }
    let body = json!({"plaintext": "not base64"});
    assert_eq!(a.ask(SERVICE, "encrypt", &body).await.regions, None);
    world.tell(5, &facts::unlink("acme", 4)).await;
    assert_eq!(a.refuses(SERVICE, "tenant_unlinked").await.regions, None);
    let elsewhere = facts::tenant("acme", |fact| fact.regions = vec![facts::region("b")]);
    world.tell_in("a", 6, &elsewhere).await;
    assert_eq!(a.refuses(SERVICE, "unknown_key").await.regions, None);
}
