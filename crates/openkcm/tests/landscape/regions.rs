//! The regions as an operator sees them, and the word that what one claims stops nothing.

use serde_json::Value;

use crate::setup::Setup;

#[tokio::test]
async fn the_regions_are_listed_and_none_is_overruled_without_an_agreement() {
    let setup = Setup::start().await;
    let listed = setup.must(&["regions", "list"]);
    assert!(listed.contains("DOUBT") && listed.contains("PURGED UP TO"), "{listed}");
    let listed: Value =
        serde_json::from_str(&setup.must(&["--output", "json", "regions", "list"])).expect("JSON");
    let names: Vec<&str> = listed["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|item| item["region"].as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    let unasked = setup.cli(&["regions", "overrule", "a"]);
    assert!(String::from_utf8_lossy(&unasked.stderr).contains("--rebuild-from-mesh"));
    assert!(!setup.must(&["regions", "list"]).contains("overruled"));
    // Where nothing is claimed nothing changes.
    assert!(setup.must(&["regions", "overrule", "a", "--yes"]).contains("in-sync"));
    let unknown = setup.cli(&["regions", "overrule", "nowhere", "--yes"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("unknown_region"));
}
