//! What the tests ask of the components over HTTP, and the states that they wait for.

use openkcm_client::{Call, Client, Component, KeySpec, L1Spec, Patience, Resource, Route, TenantSpec};
use openkcm_contracts::{KeyPath, RegionId, RootRef, ServicePath, TenantId};
use openkcm_harness::until;
use serde_json::Value;

use crate::setup::REGIONS;

/// Defines a service, and what it belongs to, in both regions, links its tenant to a `local` root, and waits until
/// both regions encrypt with it. Needs a client that waits.
pub(crate) async fn define(client: &Client, service: &str) {
    define_in(client, service, &REGIONS).await;
}

/// As [`define`], in these regions.
pub(crate) async fn define_in(client: &Client, service: &str, regions: &[&str]) {
    let path = service_path(service);
    let spec =
        TenantSpec { regions: regions.iter().map(|name| region(name)).collect(), labels: Default::default() };
    client.registry().put_tenant(&path.tenant, &spec).await.expect("a tenant");
    let system = KeyPath::System(path.system_path());
    client.registry().put_key(&system, &KeySpec::default()).await.expect("a system");
    put_service(client, service).await;
    link(client, path.tenant.as_str()).await;
    for name in regions {
        until_active(client, name, service).await;
    }
}

/// Defines a service.
pub(crate) async fn put_service(client: &Client, service: &str) -> Resource {
    let key = KeyPath::Service(service_path(service));
    let put = client.registry().put_key(&key, &KeySpec::default()).await;
    put.unwrap_or_else(|error| panic!("{service} is not defined: {error}"))
}

/// Links a tenant to the `local` root of its name.
pub(crate) async fn link(client: &Client, tenant: &str) -> Resource {
    let root = RootRef { provider: "local".into(), key: tenant.into(), options: Default::default() };
    let spec = L1Spec { roots: vec![root], ..L1Spec::default() };
    let linked = client.cmk().link(&tenant_id(tenant), &spec).await;
    linked.unwrap_or_else(|error| panic!("{tenant} is not linked: {error}"))
}

/// Unlinks a tenant.
pub(crate) async fn unlink(client: &Client, tenant: &str) -> Resource {
    let unlinked = client.cmk().unlink(&tenant_id(tenant)).await;
    unlinked.unwrap_or_else(|error| panic!("{tenant} is not unlinked: {error}"))
}

/// Waits until a region encrypts with a service, without asking it to.
pub(crate) async fn until_active(client: &Client, name: &str, service: &str) {
    until(&format!("{service} is active in region {name}"), || async {
        shown(client, name, service).await?["active"].is_string().then_some(())
    })
    .await;
}

/// Waits until a region knows the present definition of a service.
pub(crate) async fn until_known(client: &Client, name: &str, service: &str) {
    let defined =
        client.registry().key(&KeyPath::Service(service_path(service))).await.expect("a definition");
    until(&format!("{service} is known in region {name}"), || async {
        let shown = shown(client, name, service).await?;
        (shown["generation"] == defined.value["generation"]).then_some(())
    })
    .await;
}

/// A service's key as a region shows it now; `None` where it is not known.
pub(crate) async fn shown(client: &Client, name: &str, service: &str) -> Option<Value> {
    let key = KeyPath::Service(service_path(service));
    let client = client.with_patience(Patience::NONE);
    let shown = client.core(only(name)).key(&key).await;
    shown.ok().map(|shown| shown.answer.value)
}

/// Encrypts in a region, now; the plaintext is the key's own name.
pub(crate) async fn encrypt(client: &Client, name: &str, service: &str) -> String {
    let client = client.with_patience(Patience::NONE);
    let encrypted = client.core(only(name)).encrypt(&service_path(service), service.as_bytes(), None).await;
    encrypted.unwrap_or_else(|error| panic!("{service} in {name}: {error}")).answer.ciphertext
}

/// Asserts that a region opens, now, what [`encrypt`] made.
pub(crate) async fn opens(client: &Client, name: &str, service: &str, ciphertext: &str) {
    let client = client.with_patience(Patience::NONE);
    let opened = client.core(only(name)).decrypt(&service_path(service), ciphertext, None).await;
    let opened = opened.unwrap_or_else(|error| panic!("{service} in {name}: {error}"));
    assert_eq!(opened.answer.plaintext.as_slice(), service.as_bytes(), "{service} in {name}");
}

/// Waits until a region that was started again opens a ciphertext; its L2 may be with the provider still.
pub(crate) async fn until_opens(client: &Client, name: &str, service: &str, ciphertext: &str) {
    until(&format!("{service} is open in region {name}"), || async {
        refusal(client, name, service, ciphertext).await.is_none().then_some(())
    })
    .await;
    opens(client, name, service, ciphertext).await;
}

/// Asserts that a region encrypts and decrypts with a service now.
pub(crate) async fn serves(client: &Client, name: &str, service: &str) {
    let ciphertext = encrypt(client, name, service).await;
    opens(client, name, service, &ciphertext).await;
}

/// The code with which a region refuses to open a ciphertext now; `None` when it opens it.
pub(crate) async fn refusal(client: &Client, name: &str, service: &str, ciphertext: &str) -> Option<String> {
    let client = client.with_patience(Patience::NONE);
    let opened = client.core(only(name)).decrypt(&service_path(service), ciphertext, None).await;
    opened.err().map(|error| match error.problem() {
        Some(problem) => problem.code_text.clone(),
        None => panic!("{service} in {name}: {error}"),
    })
}

/// Waits until a region refuses so to open a ciphertext.
pub(crate) async fn until_refused(
    client: &Client,
    name: &str,
    service: &str,
    (ciphertext, code): (&str, &str),
) {
    until(&format!("{service} is refused in region {name} with {code}"), || async {
        (refusal(client, name, service, ciphertext).await.as_deref() == Some(code)).then_some(())
    })
    .await;
}

/// What a component says of itself now; `None` when it does not answer.
pub(crate) async fn status(client: &Client, component: &str) -> Option<Value> {
    let call = Call::get(component_of(component), "/v1/status");
    client.with_patience(Patience::NONE).call(&call).await.ok()?.json().ok()
}

/// Waits until what a component says of the mesh is so; gives what it says.
pub(crate) async fn until_mesh(
    client: &Client,
    component: &str,
    what: &str,
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    until(&format!("{component} says: {what}"), || async {
        let mesh = status(client, component).await?["mesh"].take();
        is_so(&mesh).then_some(mesh)
    })
    .await
}

/// Waits until a component says whether it has the mesh.
pub(crate) async fn until_connected(client: &Client, component: &str, connected: bool) -> Value {
    let what = format!("it is connected: {connected}");
    until_mesh(client, component, &what, |mesh| mesh["connected"] == connected).await
}

/// What a region holds of a tenant.
pub(crate) async fn tenant(client: &Client, name: &str, tenant: &str) -> Option<Value> {
    let call = Call::get(Component::Core(region(name)), format!("/v1/tenants/{tenant}"));
    client.call(&call).await.ok()?.json().ok()
}

/// Waits until a region has committed the Unlink of a tenant: it refuses before, since a revoke is heeded at once.
pub(crate) async fn until_unlinked(client: &Client, name: &str, id: &str) {
    until(&format!("region {name} holds the Unlink of {id}"), || async {
        (tenant(client, name, id).await?["link"]["state"] == "unlinked").then_some(())
    })
    .await;
}

/// Waits until nothing waits in a component's outbox.
pub(crate) async fn until_told(client: &Client, component: &str) {
    until_mesh(client, component, "nothing waits to be told", |mesh| mesh["outbox"]["letters"] == 0).await;
}

/// How many events came to a component and changed nothing, because they were held already.
pub(crate) fn replayed(mesh: &Value) -> u64 {
    mesh["replayed"].as_u64().expect("a number")
}

/// How far a component has read a stream, and whether to its end.
pub(crate) fn stream<'m>(mesh: &'m Value, name: &str) -> &'m Value {
    let streams = mesh["streams"].as_array().expect("a list of streams");
    streams
        .iter()
        .find(|stream| stream["stream"] == name)
        .unwrap_or_else(|| panic!("no stream {name}: {mesh}"))
}

/// A component by the name of its files.
pub(crate) fn component_of(name: &str) -> Component {
    match name {
        "registry" => Component::Registry,
        "cmk" => Component::Cmk,
        core => Component::Core(region(core.strip_prefix("krypton-").expect("a Core"))),
    }
}

pub(crate) fn service_path(text: &str) -> ServicePath {
    text.parse().expect("tenant/system/service")
}

pub(crate) fn tenant_id(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant's name")
}

pub(crate) fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a region's name")
}

pub(crate) fn only(name: &str) -> Route {
    Route::Only(region(name))
}
