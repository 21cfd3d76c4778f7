//! `/v1/cores` of a real CMK Server: who is leased, who is superseded, and what an operator has forgotten.

mod running;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use running::{Place, Running};

/// The Core of region `a` as it is shown, once it is in a state.
async fn in_state(cmk: &Running, state: &str) -> Value {
    for _ in 0..3_000 {
        let shown = cmk.get("/v1/cores?region=a").await.body;
        if shown["cores"][0]["state"] == state {
            return shown["cores"][0].clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain: {state}, {:?}", cmk.get("/v1/cores").await.body);
}

#[tokio::test]
async fn a_superseded_core_is_shown_and_leased_again_after_an_operators_word() {
    let place = Place::new().await;
    let cmk = place.start().await;
    assert_eq!(in_state(&cmk, "silent").await["region"], "a");
    place.speaks(1_000, 1).await;
    assert_eq!(in_state(&cmk, "leased").await["incarnation"], 1_000);
    place.speaks(2_000, 1).await;
    place.speaks(1_000, 2).await;
    let superseded = in_state(&cmk, "superseded").await;
    assert_eq!(superseded["incarnation"], 2_000);
    let start = &superseded["superseded"][0];
    assert_eq!((&start["incarnation"], &start["is_twin"]), (&json!(1_000), &json!(true)));

    let forgotten = cmk.post("/v1/cores/a/forget").await;
    assert_eq!((forgotten.status.as_u16(), &forgotten.body["state"]), (200, &json!("silent")));
    assert_eq!(forgotten.body["superseded"], json!([]));
    // It is told to go on as 2001, and does.
    place.speaks(1_000, 3).await;
    place.speaks(2_001, 1).await;
    assert_eq!(in_state(&cmk, "leased").await["incarnation"], 2_001);
    let both = cmk.get("/v1/cores").await.body;
    assert_eq!(both["cores"].as_array().map(Vec::len), Some(2), "{both}");
}

#[tokio::test]
async fn a_region_that_there_is_not_is_refused_and_nobody_without_the_token_forgets_anything() {
    let place = Place::new().await;
    let cmk = place.start().await;
    let unknown = (422, "unknown_region", "region");
    assert_eq!(cmk.get("/v1/cores?region=z").await.problem(), unknown);
    assert_eq!(cmk.post("/v1/cores/z/forget").await.problem(), unknown);
    assert_eq!(cmk.post("/v1/cores/NO/forget").await.problem(), (400, "invalid_id", "region"));
    assert_eq!(cmk.get("/v1/cores?regions=a").await.problem().1, "invalid_request");
    for (method, path) in [(Method::GET, "/v1/cores"), (Method::POST, "/v1/cores/a/forget")] {
        let refused = cmk.send_as_nobody(method, path).await;
        assert_eq!(refused.problem(), (401, "unauthenticated", ""), "{path}");
    }
}
