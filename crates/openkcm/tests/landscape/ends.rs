//! A command that ends something comes back when every region refuses, and one that takes it back when every region
//! serves: the next line of a script may rely on it.

use openkcm_harness::until;
use serde_json::Value;

use crate::setup::{REGIONS, SAMPLE, Setup, encrypt, link, only, refusal, service_path};

/// What came of each region, as a program reads it.
fn arrivals(printed: &str) -> Vec<(String, bool)> {
    let value: Value = serde_json::from_str(printed).expect("it prints JSON");
    let arrivals = value["arrivals"].as_array().expect("it waited");
    let region = |arrival: &Value| arrival["region"].as_str().expect("a name").to_owned();
    arrivals.iter().map(|arrival| (region(arrival), arrival["arrived"] == Value::Bool(true))).collect()
}

fn everywhere() -> Vec<(String, bool)> {
    REGIONS.map(|name| (name.to_owned(), true)).to_vec()
}

impl Setup {
    /// Types a command and asserts that it came back when each region had got there.
    fn must_arrive(&self, command: &[&str]) {
        let line: Vec<&str> = ["--output", "json"].iter().chain(command).copied().collect();
        assert_eq!(arrivals(&self.must(&line)), everywhere(), "{command:?}");
    }
}

#[tokio::test]
async fn a_deletion_comes_back_refused_everywhere_and_an_undelete_served_everywhere() {
    let setup = Setup::start().await;
    let client = setup.client();
    let ciphertext = encrypt(&client, "a", SAMPLE).await;
    for (what, name) in [("service", SAMPLE), ("system", "demo/app")] {
        setup.must_arrive(&[what, "delete", name]);
        for region in REGIONS {
            let refused = refusal(&client, region, SAMPLE, &ciphertext).await;
            assert_eq!(refused.as_deref(), Some("key_disabled"), "{what} in region {region}");
        }
        setup.must_arrive(&[what, "undelete", name]);
        for region in REGIONS {
            assert_eq!(
                refusal(&client, region, SAMPLE, &ciphertext).await,
                None,
                "{what} in region {region}"
            );
        }
    }
    setup.must_arrive(&["service", "delete", SAMPLE, "--purge-after", "0"]);
    for region in REGIONS {
        let refused = refusal(&client, region, SAMPLE, &ciphertext).await.expect("it is refused");
        assert!(["key_disabled", "key_purged"].contains(&&*refused), "{refused} in region {region}");
    }
}

#[tokio::test]
async fn a_deleted_system_says_so_and_not_that_it_is_being_loaded() {
    let setup = Setup::start().await;
    setup.must_arrive(&["system", "delete", "demo/app"]);
    for name in REGIONS {
        let core = setup.client();
        let key = "demo/app".parse().expect("a system's path");
        let shown = core.core(only(name)).key(&key).await.expect("it is shown").answer.value;
        assert_eq!(shown["refusal"]["code"], "key_disabled", "{shown}");
        assert_eq!((&shown["state"], &shown["serving"]), (&"deleted".into(), &false.into()), "{shown}");
    }
}

#[tokio::test]
async fn an_offboarding_comes_back_refused_everywhere_and_its_return_says_that_a_link_is_needed() {
    let setup = Setup::start().await;
    let client = setup.client();
    let ciphertext = encrypt(&client, "a", SAMPLE).await;
    setup.must_arrive(&["tenant", "offboard", "demo"]);
    for name in REGIONS {
        // The CMK Server's word that its pointer ended may be there before the Registry's: it is refused by either.
        until(&format!("it is disabled in region {name}"), || async {
            let refused = refusal(&client, name, SAMPLE, &ciphertext).await;
            let code = refused.as_deref().expect("it is refused from now on");
            (code == "key_disabled").then_some(())
        })
        .await;
    }
    let back = setup.cli(&["tenant", "undelete", "demo"]);
    let told = String::from_utf8_lossy(&back.stderr).into_owned();
    assert!(back.status.success(), "{told}");
    for name in REGIONS {
        assert!(
            told.contains(&format!("{name}: not served until the tenant's L1 is linked again")),
            "{told}"
        );
    }
    assert!(told.contains("openkcm l1 link demo"), "it says what to do next: {told}");
    // The reason that is given is no longer that the owner withdrew it: nobody did.
    for name in REGIONS {
        let opened = client.core(only(name)).decrypt(&service_path(SAMPLE), &ciphertext, None).await;
        let refused = opened.expect_err("it is not linked");
        let problem = refused.problem().expect("a problem document");
        assert_eq!(problem.code_text, "tenant_unlinked");
        let words = format!("{} {}", problem.title, problem.detail);
        assert!(words.contains("linked again") && !words.contains("withdrawn"), "{words}");
    }
    link(&client, &service_path(SAMPLE)).await;
    setup.must(&["l1", "link", "demo", "--provider", "local", "--key", "demo"]);
    for name in REGIONS {
        assert_eq!(refusal(&client, name, SAMPLE, &ciphertext).await, None, "in region {name}");
    }
}

#[tokio::test]
async fn nobody_waits_who_does_not_want_to() {
    let setup = Setup::start().await;
    for command in [&["service", "delete", SAMPLE][..], &["tenant", "offboard", "demo"]] {
        let line: Vec<&str> = ["--output", "json", "--no-wait"].iter().chain(command).copied().collect();
        let shown: Value = serde_json::from_str(&setup.must(&line)).expect("it prints JSON");
        assert!(shown["arrivals"].is_null(), "{shown}");
    }
}

#[tokio::test]
async fn a_region_that_can_not_be_asked_is_told_and_has_an_exit_code_of_its_own() {
    let setup = Setup::start().await;
    // As it is for one whose way to region b is cut: nobody listens there.
    let file = setup.landscape.file();
    let text = std::fs::read_to_string(&file).expect("the landscape's file");
    let mut addresses: Value = serde_json::from_str(&text).expect("JSON");
    addresses["regions"]["b"] = "http://127.0.0.1:9/".into();
    std::fs::write(&file, addresses.to_string()).expect("written");
    let commands: [&[&str]; 6] = [
        &["service", "delete", SAMPLE],
        &["service", "undelete", SAMPLE],
        &["system", "delete", "demo/app"],
        &["l1", "unlink", "demo"],
        &["tenant", "offboard", "demo"],
        &["tenant", "undelete", "demo"],
    ];
    for command in commands {
        let line: Vec<&str> = ["--wait", "300ms"].iter().chain(command).copied().collect();
        let output = setup.cli(&line);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{command:?}: {told}");
        assert!(told.contains("unreachable") && told.contains("region b was not seen to follow"), "{told}");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains("tenant"), "what was committed is shown: {printed}");
        let line: Vec<&str> = ["--no-wait"].iter().chain(command).copied().collect();
        assert_ne!(setup.cli(&line).status.code(), Some(5), "{command:?}");
    }
}
