//! The collections: pages, prefixes, states.

use axum::http::StatusCode;

use crate::world::World;

const SERVICES: &str = "/v1/tenants/acme/systems/hr/services";

/// Fourteen services besides payroll, of which every third is deleted.
async fn shelf() -> World {
    let world = World::furnished().await;
    for number in 0..14 {
        let path = format!("{SERVICES}/s{number:02}");
        world.put(&path, "{}").await.is(StatusCode::CREATED);
        if number % 3 == 0 {
            world.delete(&path).await.is(StatusCode::OK);
        }
    }
    world
}

async fn all_pages(world: &World, query: &str) -> (Vec<String>, usize) {
    let (mut names, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = world.get(&format!("{SERVICES}?{query}{cursor}")).await;
        names.extend(page.is(StatusCode::OK).names("service"));
        pages += 1;
        let Some(next) = page.body["next_cursor"].as_str() else { return (names, pages) };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn a_list_shows_what_stands_in_order_page_by_page() {
    let world = shelf().await;
    let (names, pages) = all_pages(&world, "limit=4").await;
    let expected = ["payroll", "s01", "s02", "s04", "s05", "s07", "s08", "s10", "s11", "s13"];
    assert_eq!((names, pages), (expected.map(String::from).into(), 3));
}

#[tokio::test]
async fn a_list_shows_the_deleted_or_all_when_asked() {
    let world = shelf().await;
    let (deleted, _) = all_pages(&world, "limit=2&state=deleted").await;
    assert_eq!(deleted, ["s00", "s03", "s06", "s09", "s12"]);
    assert_eq!(all_pages(&world, "state=all").await.0.len(), 15);
    assert_eq!(all_pages(&world, "state=defined").await.0.len(), 10);
    let other = world.get(&format!("{SERVICES}?state=sleeping")).await;
    other.is_refused(400, "invalid_request", Some("state"));
}

#[tokio::test]
async fn a_list_can_be_narrowed_to_a_prefix() {
    let world = shelf().await;
    assert_eq!(all_pages(&world, "prefix=s1&limit=1").await.0, ["s10", "s11", "s13"]);
    assert!(all_pages(&world, "prefix=x").await.0.is_empty());
}

#[tokio::test]
async fn a_page_that_ends_with_the_list_has_no_next_one() {
    let world = shelf().await;
    assert_eq!(all_pages(&world, "limit=10").await.1, 1);
}

#[tokio::test]
async fn a_list_holds_the_names_of_its_own_parent_alone() {
    let world = World::furnished().await;
    world.put("/v1/tenants/acme-2", r#"{"regions":["a"]}"#).await.is(StatusCode::CREATED);
    world.put("/v1/tenants/acme-2/systems/crm", "{}").await.is(StatusCode::CREATED);
    world.put("/v1/tenants/acme/systems/hr-2", "{}").await.is(StatusCode::CREATED);
    world.put("/v1/tenants/acme/systems/hr-2/services/x", "{}").await.is(StatusCode::CREATED);
    assert_eq!(world.get("/v1/tenants").await.names("tenant"), ["acme", "acme-2"]);
    assert_eq!(world.get("/v1/tenants/acme/systems").await.names("system"), ["hr", "hr-2"]);
    assert_eq!(world.get(SERVICES).await.names("service"), ["payroll"]);
    assert!(world.get(&format!("{SERVICES}?prefix=../")).await.names("service").is_empty());
}

#[tokio::test]
async fn a_list_takes_the_end_of_a_parent_into_account() {
    let world = World::furnished().await;
    world.delete("/v1/tenants/acme").await.is(StatusCode::OK);
    assert!(world.get("/v1/tenants").await.names("tenant").is_empty());
    assert_eq!(world.get("/v1/tenants?state=offboarded").await.names("tenant"), ["acme"]);
    assert!(world.get("/v1/tenants/acme/systems").await.names("system").is_empty());
    assert_eq!(world.get("/v1/tenants/acme/systems?state=deleted").await.names("system"), ["hr"]);
    assert_eq!(world.get(&format!("{SERVICES}?state=deleted")).await.names("service"), ["payroll"]);
}

#[tokio::test]
async fn a_list_of_what_is_not_there_is_refused() {
    let world = World::furnished().await;
    let unknown = world.get("/v1/tenants/other/systems").await;
    unknown.is_refused(404, "unknown_tenant", Some("tenant"));
    let unknown = world.get("/v1/tenants/acme/systems/crm/services").await;
    unknown.is_refused(404, "unknown_system", Some("system"));
}
