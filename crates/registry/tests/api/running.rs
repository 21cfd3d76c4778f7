//! The Registry as a component: what it keeps, what it tells, what it says of itself; with the mesh
//! and without.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use openkcm_contracts::{Audience, Event, Lane, RegionId};
use openkcm_host::{Clock, ManualClock};
use openkcm_http::bind;
use openkcm_orbital::{
    Message, Position, Published, Reading, Stream, Subscription, Transport, TransportError,
};
use openkcm_registry::Service;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::world::{TOKEN, World, access, mesh, send, start, verifier};

/// A mesh that is away.
struct Away;

#[async_trait]
impl Transport for Away {
    async fn publish(&self, _: Vec<Message>) -> Result<Vec<Published>, TransportError> {
        Err(TransportError::Unavailable("cut off".into()))
    }

    async fn subscribe(
        &self,
        _: &Reading,
        _: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        Err(TransportError::Unavailable("cut off".into()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_was_acknowledged_is_there_after_a_restart() {
    const CALLERS: usize = 200;
    let World { service, clock, dir } = World::furnished().await;
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let router = service.router();
        callers.spawn(async move {
            let path = format!("/v1/tenants/acme/systems/hr/services/s{number:03}");
            let token = format!("Bearer {TOKEN}");
            let headers = [("authorization", token.as_str())];
            let answer = send(router, "PUT".parse().unwrap(), &path, &headers, "{}").await;
            answer.is(StatusCode::CREATED).etag()
        });
    }
    let revisions: BTreeSet<String> = callers.join_all().await.into_iter().collect();
    assert_eq!(revisions.len(), CALLERS);
    let world = World { service: restart(service, &dir, &clock).await, clock, dir };
    let page = world.get("/v1/tenants/acme/systems/hr/services?limit=1000&prefix=s").await;
    assert_eq!(page.names("service").len(), CALLERS);
    let kept: BTreeSet<String> = page.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| format!("\"{}\"", item["revision"].as_str().unwrap()))
        .collect();
    assert_eq!(kept, revisions);
}

/// Stops a Registry and opens its store again, without a mesh.
async fn restart(service: Service, dir: &TempDir, clock: &ManualClock) -> Service {
    let listener = bind("127.0.0.1:0".parse().unwrap(), &access()).await.unwrap();
    service.serve(listener, async {}).await.unwrap();
    // The store's writer holds this lock until the last request's work has ended.
    let lock = File::open(dir.path().join("registry").join("registry.lock")).unwrap();
    tokio::task::spawn_blocking(move || lock.lock().unwrap()).await.unwrap();
    start(dir.path(), Arc::new(Away), clock).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_defined_reaches_the_regions_of_the_tenant_signed() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = mesh(dir.path()).await;
    let world = World::with(dir, Arc::new(mesh.clone())).await;
    world.put("/v1/tenants/acme", r#"{"regions":["a"]}"#).await.is(StatusCode::CREATED);
    world.put("/v1/tenants/acme/systems/hr", "{}").await.is(StatusCode::CREATED);
    let region = Audience::Region(RegionId::new("a").unwrap());
    let stream = Stream { lane: Lane::Facts, audience: region };
    let mut subscription = mesh.subscribe(&Reading::all(stream), None).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        let batch = subscription.next(16).await.unwrap();
        for delivered in batch.messages {
            let verified = verifier().verify(&delivered.message, world.clock.now()).unwrap();
            told.push((verified.event.subject().to_string(), verified.revision.to_string()));
            assert!(matches!(verified.event, Event::TenantDefine(_) | Event::KeyDefine(_)));
        }
    }
    let expected = [("tenant.acme", "1.1"), ("key.acme.hr", "1.2")];
    assert_eq!(told, expected.map(|(subject, revision)| (subject.to_owned(), revision.to_owned())));
}

#[tokio::test]
async fn a_mesh_that_is_away_stops_no_request_and_is_told() {
    let world = World::with(tempfile::tempdir().unwrap(), Arc::new(Away)).await;
    world.put("/v1/tenants/acme", r#"{"regions":["a","b"]}"#).await.is(StatusCode::CREATED);
    let mut connection = world.service.handle().connection();
    connection.wait_for(|connection| connection.error.is_some()).await.unwrap();
    let status = world.get("/v1/status").await;
    assert_eq!(status.is(StatusCode::OK).body["mesh"]["connected"], false);
    assert_eq!(status.text("revision"), "1.1");
    assert_eq!(status.body["regions"], serde_json::json!(["a", "b", "c"]));
    let outbox = &status.body["mesh"]["outbox"]["lanes"];
    assert_eq!((&outbox[0]["lane"], &outbox[0]["letters"]), (&0.into(), &0.into()));
    assert_eq!((&outbox[1]["lane"], &outbox[1]["letters"]), (&1.into(), &3.into()));
    assert_eq!(outbox[1]["oldest_seconds"], 0);
    let ready = world.get("/readyz").await;
    assert_eq!(ready.is(StatusCode::OK).body["ready"], true);
    assert!(ready.body["reasons"][0].as_str().unwrap().contains("mesh"));
}

#[tokio::test]
async fn a_start_that_no_region_was_heard_in_withholds_purges_and_says_so() {
    let world = World::new().await;
    let status = world.get("/v1/status").await;
    let purging = &status.is(StatusCode::OK).body["purging"];
    assert_eq!((&purging["state"], &purging["claimed_by"]), (&"withheld".into(), &serde_json::json!([])));
    assert_eq!(purging["unheard"], serde_json::json!(["a", "b", "c"]));
    let region = world.post("/v1/regions/a/overrule", "").await;
    assert_eq!((region.is(StatusCode::OK).text("region"), region.text("doubt")), ("a", "unheard"));
    world.post("/v1/regions/z/overrule", "").await.is_refused(422, "unknown_region", Some("region"));
}

#[tokio::test]
async fn what_waits_is_shown_to_prometheus_soon() {
    let world = World::with(tempfile::tempdir().unwrap(), Arc::new(Away)).await;
    world.put("/v1/tenants/acme", r#"{"regions":["a","b"]}"#).await.is(StatusCode::CREATED);
    let line = r#"openkcm_outbox_letters{component="registry",lane="1"} 3"#;
    let shown = async {
        while !world.get("/metrics").await.body.as_str().unwrap().contains(line) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), shown).await.expect("the outbox is measured");
}

#[tokio::test]
async fn changes_are_counted_by_kind_and_what_changed_nothing_is_not() {
    let world = World::furnished().await;
    world.put("/v1/tenants/acme/systems/hr", "{}").await.is(StatusCode::OK);
    let metrics = world.get("/metrics").await.body;
    let metrics = metrics.as_str().unwrap();
    for kind in ["tenant", "system", "service"] {
        let line = format!(r#"openkcm_definition_changes_total{{component="registry",kind="{kind}"}} 1"#);
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_on_a_socket_until_it_is_told_to_stop() {
    let World { service, dir: _dir, .. } = World::furnished().await;
    let listener = bind("127.0.0.1:0".parse().unwrap(), &access()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(service.serve(listener, async {
        let _ = stopped.await;
    }));
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "GET /v1/tenants/acme HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("etag: \"1.1\""), "{answer}");
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn two_registries_do_not_share_a_store() {
    let world = World::new().await;
    let second = openkcm_store::Store::open(&openkcm_store::OpenOptions {
        path: world.dir.path().join("registry").join("registry.db"),
        identity: "registry".into(),
        spaces: &[],
    });
    assert!(matches!(second, Err(openkcm_store::StoreError::InUse { .. })), "{second:?}");
}
