//! Whoever ends something while the regions can't hear of it is told that they still serve, also by the exit code.

use crate::calls::{define, until_active, until_connected};
use crate::setup::{REGIONS, Setup};

const SERVICE: &str = "acme/app/data";

#[tokio::test]
async fn what_still_serves_when_patience_ends_is_no_success_and_typed_again_it_is_waited_for() {
    let mut setup = Setup::start().await;
    let client = setup.patient();
    define(&client, SERVICE).await;
    for region in REGIONS {
        until_active(&client, region, SERVICE).await;
    }
    let ends: [&[&str]; 2] = [&["service", "delete", SERVICE], &["l1", "unlink", "acme"]];
    setup.kill(&["nats"]);
    for command in ends {
        let line: Vec<&str> = ["--wait", "300ms"].iter().chain(command).copied().collect();
        let output = setup.cli(&line);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{command:?}: {told}");
        assert!(told.contains("regions a, b were not seen to follow"), "{told}");
        // The first end alone leaves its tenant served: it can be seen of both.
        assert!(told.contains("STILL SERVES"), "{told}");
    }
    setup.start_again(&["nats"]).await;
    for component in ["cmk", "krypton-a", "krypton-b"] {
        until_connected(&setup.client(), component, true).await;
    }
    for command in ends {
        let line: Vec<&str> = ["--wait", "60s"].iter().chain(command).copied().collect();
        let output = setup.cli(&line);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {told}");
        for region in REGIONS {
            assert!(told.contains(&format!("{region}: refused after")), "{told}");
        }
    }
}
