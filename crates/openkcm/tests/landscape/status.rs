//! What an operator looks at says what there is, and that there is nothing of what there is not.

use crate::setup::Setup;

#[tokio::test]
async fn a_tenant_and_a_region_that_there_are_not_are_told_and_are_no_success() {
    let setup = Setup::start().await;
    for (line, code, words) in [
        (&["status", "--tenant", "nobody"][..], 3, "unknown_tenant"),
        (&["drift", "--region", "zz"], 2, "zz"),
        (&["purge", "list", "--region", "zz"], 2, "zz"),
    ] {
        let output = setup.cli(line);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line:?}: {told}");
        assert!(told.contains(words), "{line:?}: {told}");
    }
    assert!(setup.must(&["status", "--tenant", "demo"]).contains("linked"));
    setup.must(&["drift", "--region", "a"]);
}

#[tokio::test]
async fn a_deletion_that_waits_at_the_registry_is_to_be_found_from_the_list_of_purges() {
    let setup = Setup::start().await;
    setup.must(&["service", "delete", "demo/app/data"]);
    let listed = setup.cli(&["purge", "list"]);
    let told = String::from_utf8_lossy(&listed.stderr);
    assert!(
        listed.status.success() && told.contains("openkcm service list TENANT/SYSTEM --state deleted"),
        "{told}"
    );
    let waits = setup.must(&["service", "list", "demo/app", "--state", "deleted"]);
    assert!(waits.contains("PURGE AT") && waits.contains("data"), "{waits}");
    let json = setup.must(&["--output", "json", "purge", "list"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON alone is on stdout");
    assert_eq!(json["items"], serde_json::json!([]));
}
