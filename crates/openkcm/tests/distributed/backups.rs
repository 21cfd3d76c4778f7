//! Components whose disks are lost come back from backups that were taken while they ran: nothing that was said since
//! is lost, nothing that was taken away comes back, and what does not fit is put nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use openkcm_contracts::Role;

use crate::agreement::until_all_agree;
use crate::calls::{
    component_of, define, encrypt, opens, put_service, unlink, until_active, until_opens, until_refused,
    until_told, until_unlinked,
};
use crate::setup::{COMPONENTS, Setup};

const KEPT: &str = "acme/hr/payroll";
const ENDED: &str = "other/app/data";
const PURGED: &str = "acme/hr/gone";

/// Takes a backup of a component; gives its directory.
fn back_up(setup: &Setup, component: &str, to: &Path) -> PathBuf {
    let (config, to) = (path_text(&setup.landscape.configuration(component)), path_text(to));
    let kind = kind(component);
    let told = setup.must(&["--output", "json", "backup", &kind, "--config", &config, "--to", &to]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("it prints JSON");
    PathBuf::from(told["backup"].as_str().expect("a directory"))
}

fn restore(setup: &Setup, component: &str, from: &Path, more: &[&str]) -> Result<String, String> {
    let (config, from) = (path_text(&setup.landscape.configuration(component)), path_text(from));
    let kind = kind(component);
    let mut arguments = vec!["restore", &kind, "--config", &config, "--from", &from];
    arguments.extend(more);
    let output = setup.cli(&arguments);
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).expect("text")),
        false => Err(String::from_utf8(output.stderr).expect("text")),
    }
}

/// What a component is to the command line.
fn kind(component: &str) -> String {
    match component_of(component) {
        openkcm_client::Component::Registry => Role::Registry.to_string(),
        openkcm_client::Component::Cmk => Role::Cmk.to_string(),
        openkcm_client::Component::Core(_) => Role::Krypton.to_string(),
    }
}

fn path_text(path: &Path) -> String {
    path.to_str().expect("text").to_owned()
}

fn data(setup: &Setup, component: &str) -> PathBuf {
    setup.landscape.directory().join("data").join(component)
}

#[tokio::test]
async fn a_landscape_whose_every_disk_is_lost_comes_back_from_backups_without_what_was_ended_since() {
    let mut setup = Setup::start().await;
    let client = setup.patient();
    define(&client, KEPT).await;
    define(&client, ENDED).await;
    put_service(&client, PURGED).await;
    until_active(&client, "a", PURGED).await;
    let purged = encrypt(&client, "a", PURGED).await;
    until_opens(&client, "b", PURGED, &purged).await;
    let kept = encrypt(&client, "a", KEPT).await;
    let ended = encrypt(&client, "b", ENDED).await;
    opens(&client, "b", KEPT, &kept).await;
    let backups = setup.landscape.directory().join("backups");
    let taken = COMPONENTS.map(|component| back_up(&setup, component, &backups));

    // An hour of changes, of which no backup knows.
    unlink(&client, "other").await;
    setup.must(&["service", "delete", PURGED, "--purge-after", "0"]);
    for region in ["a", "b"] {
        until_refused(&client, region, PURGED, (&purged, "key_purged")).await;
    }
    put_service(&client, "acme/hr/later").await;
    until_active(&client, "b", "acme/hr/later").await;
    let later = encrypt(&client, "b", "acme/hr/later").await;
    until_opens(&client, "a", "acme/hr/later", &later).await;
    for region in ["a", "b"] {
        until_unlinked(&client, region, "other").await;
    }
    for component in COMPONENTS {
        until_told(&client, component).await;
    }

    setup.kill(&COMPONENTS);
    for (component, backup) in COMPONENTS.iter().zip(&taken) {
        fs::remove_dir_all(data(&setup, component)).expect("its disk is lost");
        restore(&setup, component, backup, &[]).expect("it is put in place");
    }
    for component in COMPONENTS {
        let is_authority = !component.starts_with("krypton");
        let flags: &[&str] = if is_authority { &["--rebuild-from-mesh"] } else { &[] };
        setup.landscape.spawn_with(component, flags);
        setup.landscape.wait_ready(component).await;
    }
    let client = setup.patient();
    for region in ["a", "b"] {
        until_opens(&client, region, KEPT, &kept).await;
        until_opens(&client, region, "acme/hr/later", &later).await;
        until_refused(&client, region, ENDED, (&ended, "tenant_unlinked")).await;
        until_refused(&client, region, PURGED, (&purged, "key_purged")).await;
    }
    until_all_agree(&client).await;
}

#[tokio::test]
async fn a_backup_that_does_not_fit_is_put_nowhere() {
    let mut setup = Setup::start().await;
    let client = setup.patient();
    define(&client, KEPT).await;
    let backups = setup.landscape.directory().join("backups");
    let taken = back_up(&setup, "krypton-a", &backups);
    let refused = |setup: &Setup, component: &str, from: &Path| {
        restore(setup, component, from, &["--check"]).expect_err("it does not fit")
    };
    assert!(refused(&setup, "krypton-b", &taken).contains("krypton-a"), "another region's");
    let other = Setup::init();
    assert!(refused(&other, "krypton-a", &taken).contains("another landscape"));
    assert!(refused(&setup, "krypton-a", &backups).contains("is no backup"));
    assert!(restore(&setup, "krypton-a", &taken, &["--check"]).expect("it fits").contains("Nothing was put"));
    let told = restore(&setup, "krypton-a", &taken, &[]).expect_err("there is a store");
    assert!(told.contains("writes over nothing"), "{told}");

    setup.kill(&["krypton-a"]);
    fs::remove_dir_all(data(&setup, "krypton-a")).expect("its disk is lost");
    // The root that its L2 is sealed under is another one than the configuration names.
    let roots = setup.landscape.directory().join("data").join("local-roots");
    let hidden = setup.landscape.directory().join("hidden");
    fs::rename(&roots, &hidden).expect("moved");
    let told = restore(&setup, "krypton-a", &taken, &[]).expect_err("nothing opens it");
    assert!(told.contains("acme"), "{told}");
    assert!(!data(&setup, "krypton-a").join("krypton.db").exists());
    fs::rename(&hidden, &roots).expect("moved");

    let store = taken.join("store.db");
    let mut bytes = fs::read(&store).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&store, bytes).expect("written");
    let told = restore(&setup, "krypton-a", &taken, &[]).expect_err("one bit is another");
    assert!(told.contains("is not what was written"), "{told}");
    assert!(!data(&setup, "krypton-a").join("krypton.db").exists());
}
