//! What is deleted for good is gone in every region, and nothing is ever gone because the Registry has forgotten it.

use openkcm_client::{Client, KeySpec};
use openkcm_contracts::KeyPath;
use openkcm_harness::until;
use serde_json::Value;

use crate::setup::{
    REGIONS, SAMPLE, Setup, define, encrypt, only, opens_everywhere, program, refusal, region, service_path,
    until_active, version_ids,
};

const KEPT: &str = "acme/hr/payroll";
const GONE: &str = "acme/hr/gone";

async fn until_refused(client: &Client, path: &str, ciphertext: &str, code: &str) {
    for name in REGIONS {
        until(&format!("{path} is refused with {code} in region {name}"), || async {
            (refusal(client, name, path, ciphertext).await.as_deref() == Some(code)).then_some(())
        })
        .await;
    }
}

/// The purges of a region, each with its state.
async fn purges(client: &Client, name: &str) -> Vec<(String, String)> {
    let page =
        client.purges(region(name)).list(None).next_page().await.expect("the purges").unwrap_or_default();
    let text = |purge: &Value, field: &str| purge[field].as_str().expect("text").to_owned();
    page.iter().map(|purge| (text(purge, "key"), text(purge, "state"))).collect()
}

async fn until_done(client: &Client, path: &str) {
    for name in REGIONS {
        until(&format!("{path} is destroyed in region {name}"), || async {
            purges(client, name).await.contains(&(path.to_owned(), "done".to_owned())).then_some(())
        })
        .await;
    }
}

async fn versions(client: &Client, name: &str, path: &str) -> Vec<String> {
    let key = KeyPath::Service(service_path(path));
    version_ids(&client.core(only(name)).key(&key).await.expect("the key is shown").answer.value)
}

#[tokio::test]
async fn a_key_that_is_deleted_for_good_is_destroyed_everywhere_and_may_be_defined_again() {
    let mut setup = Setup::start().await;
    let client = setup.client();
    for path in [KEPT, GONE] {
        define(&client, path).await;
    }
    let (kept, gone) = (encrypt(&client, "a", KEPT).await, encrypt(&client, "a", GONE).await);
    opens_everywhere(&client, GONE, &gone).await;

    // A deletion is taken back in time.
    setup.must(&["service", "delete", GONE]);
    until_refused(&client, GONE, &gone, "key_disabled").await;
    setup.must(&["service", "undelete", GONE]);
    for name in REGIONS {
        until_active(&client, name, &service_path(GONE)).await;
    }
    opens_everywhere(&client, GONE, &gone).await;

    setup.must(&["service", "delete", GONE, "--purge-after", "0"]);
    until_refused(&client, GONE, &gone, "key_purged").await;
    until_done(&client, GONE).await;
    for name in REGIONS {
        assert_eq!(versions(&client, name, GONE).await, [""; 0], "in region {name}");
    }
    let late = setup.cli(&["service", "undelete", GONE]);
    assert!(!late.status.success());
    assert!(String::from_utf8_lossy(&late.stderr).contains("undelete_too_late"));
    assert!(setup.must(&["service", "show", GONE]).contains("purged_at"));
    assert!(setup.must(&["purge", "list", "--region", "a"]).contains(GONE));

    // Defined again, it is another key, and its past stays gone, also over a restart.
    setup.must(&["service", "define", GONE]);
    let anew = encrypt(&client, "b", GONE).await;
    opens_everywhere(&client, GONE, &anew).await;
    until_refused(&client, GONE, &gone, "key_purged").await;
    setup.landscape.kill();
    setup.landscape.start_again().await;
    let client = setup.client();
    opens_everywhere(&client, GONE, &anew).await;
    opens_everywhere(&client, KEPT, &kept).await;
    until_refused(&client, GONE, &gone, "key_purged").await;
}

#[tokio::test]
async fn what_dev_is_told_of_purges_holds_in_each_of_its_cores() {
    let purge = "[purge]\nbrake_percent = 0\nbrake_least = 0\n";
    let setup =
        Setup::start_prepared(|home| std::fs::write(home.join("dev.toml"), purge).expect("a file")).await;
    let client = setup.client();
    setup.must(&["service", "delete", SAMPLE, "--purge-after", "0"]);
    for name in REGIONS {
        until(&format!("the brake of region {name} holds it"), || async {
            purges(&client, name).await.contains(&(SAMPLE.to_owned(), "held".to_owned())).then_some(())
        })
        .await;
        assert_eq!(versions(&client, name, SAMPLE).await.len(), 0, "a held key is refused: it shows none");
        setup.must(&["purge", "confirm", "--region", name, SAMPLE]);
    }
    until_done(&client, SAMPLE).await;
}

#[tokio::test]
async fn a_wait_of_devs_cores_begins_with_the_tombstone_and_is_shown() {
    let wait = "[purge]\nminimum_wait = \"1h\"\n";
    let setup =
        Setup::start_prepared(|home| std::fs::write(home.join("dev.toml"), wait).expect("a file")).await;
    let client = setup.client();
    setup.must(&["service", "delete", SAMPLE, "--purge-after", "0"]);
    for name in REGIONS {
        let purge = until("the tombstone is heard", || async {
            let page = client.purges(region(name)).list(None).next_page().await.ok()??;
            page.into_iter().find(|purge| purge["key"] == SAMPLE)
        })
        .await;
        assert_eq!(purge["state"], "waiting", "{purge}");
        // The hour, and what the Core's clock may be ahead.
        assert!(purge["waits_seconds"].as_u64() > Some(3_600), "{purge}");
    }
}

#[test]
fn a_brake_of_more_than_everything_is_no_configuration_of_dev() {
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(home.path().join("dev.toml"), "[purge]\nbrake_percent = 101\n").expect("a file");
    let directory = home.path().to_string_lossy().into_owned();
    let output = std::process::Command::new(program()).args(["dev", "--data-dir", &directory]).output();
    let output = output.expect("the program starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("purge.brake_percent"), "{told}");
}

#[tokio::test]
async fn an_offboarded_tenants_keys_are_destroyed_and_a_systems_services_with_it() {
    let setup = Setup::start().await;
    let client = setup.client();
    for path in [KEPT, GONE, "left/ops/logs"] {
        define(&client, path).await;
    }
    setup.must(&["system", "delete", "acme/hr", "--purge-after", "0"]);
    until_done(&client, "acme/hr").await;
    for path in [KEPT, GONE] {
        for name in REGIONS {
            assert_eq!(versions(&client, name, path).await, [""; 0], "{path} in region {name}");
        }
    }
    setup.must(&["tenant", "offboard", "left", "--purge-after", "0"]);
    until_done(&client, "left/ops").await;
}

#[tokio::test]
async fn a_registry_that_has_lost_everything_destroys_nothing() {
    let mut setup = Setup::start().await;
    let client = setup.client();
    define(&client, KEPT).await;
    let kept = encrypt(&client, "a", KEPT).await;
    opens_everywhere(&client, KEPT, &kept).await;
    assert!(setup.landscape.stop().await);
    let store = setup.landscape.directory().join("registry");
    std::fs::remove_dir_all(&store).expect("the Registry's store is there");
    setup.landscape.start_again().await;
    let client = setup.client();
    until("the Registry finds out that it is behind", || async {
        let refused =
            client.registry().put_key(&KeyPath::Service(service_path(KEPT)), &KeySpec::default()).await;
        let code = refused.err()?.problem()?.code_text.clone();
        (code == "authority_stale").then_some(())
    })
    .await;
    opens_everywhere(&client, KEPT, &kept).await;
    for name in REGIONS {
        assert_eq!(purges(&client, name).await, [], "in region {name}");
        assert_eq!(versions(&client, name, KEPT).await.len(), 1, "in region {name}");
    }
}
