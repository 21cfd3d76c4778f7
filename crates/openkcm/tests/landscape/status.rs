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
