//! Whoever uses keys goes on in another region when one is lost or has no lease, comes back when it serves again, and
//! asks no other region for what a tenant has ended.

use std::path::Path;
use std::process::Output;

use openkcm_client::{Call, Client, ClientError, Component, Patience, Route};
use openkcm_contracts::problem::Code;
use openkcm_harness::until;

use crate::calls::{
    define, encrypt, region, serves, service_path, unlink, until_active, until_opens, until_refused,
};
use crate::setup::{REGIONS, Setup};

const SERVICE: &str = "acme/app/data";

/// A landscape in which both regions serve, and a client that takes the first answer.
async fn serving(setup: &Setup) -> Client {
    let client = setup.patient();
    define(&client, SERVICE).await;
    for region in REGIONS {
        until_active(&client, region, SERVICE).await;
        serves(&client, region, SERVICE).await;
    }
    client.with_patience(Patience::NONE)
}

/// The region that encrypts for this client now; it opens what it made.
async fn served_by(client: &Client) -> String {
    let (core, path) = (client.core(Route::First), service_path(SERVICE));
    let sealed = core.encrypt(&path, b"x", None).await.unwrap_or_else(|error| panic!("{error}"));
    let opened = core.decrypt(&path, &sealed.answer.ciphertext, None).await;
    assert_eq!(opened.unwrap_or_else(|error| panic!("{error}")).answer.plaintext.as_slice(), b"x");
    sealed.region.to_string()
}

/// Encrypts a file of several chunks with the command line, and decrypts it; gives what it told.
fn file_goes_through(setup: &Setup, folder: &Path) -> [String; 2] {
    let [plain, sealed, opened] = ["plain", "sealed", "opened"].map(|name| folder.join(name));
    let content: Vec<u8> = (0..300_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    std::fs::write(&plain, &content).expect("written");
    let run = |command: &str, from: &Path, to: &Path| {
        let _ = std::fs::remove_file(to);
        let files = ["--in", from.to_str().expect("text"), "--out", to.to_str().expect("text")];
        let output = setup.cli(&[&[command, SERVICE][..], &files].concat());
        let told = told(&output);
        assert!(output.status.success(), "{command}: {told}");
        told
    };
    let both = [run("encrypt", &plain, &sealed), run("decrypt", &sealed, &opened)];
    assert_eq!(std::fs::read(&opened).expect("decrypted"), content);
    both
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// How many requests of the data plane a region has answered.
async fn answered(client: &Client, name: &str) -> u64 {
    let call = Call::get(Component::Core(region(name)), "/metrics");
    let metrics = client.call(&call).await.expect("metrics");
    let text = String::from_utf8_lossy(metrics.body()).into_owned();
    let is_data_plane = |line: &&str| line.contains("http_requests_total") && line.contains("/{service}/");
    let counts =
        text.lines().filter(is_data_plane).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

#[tokio::test]
async fn while_one_region_has_no_lease_another_serves_and_the_first_one_again_when_it_has() {
    let mut setup = Setup::init();
    let configuration = setup.landscape.configuration("cmk");
    let text = std::fs::read_to_string(&configuration).expect("init wrote it");
    let changed = text.replace("[lease]\n", "[lease]\nregions = { a = \"4s\" }\n");
    assert_ne!(changed, text, "init writes a section for leases");
    std::fs::write(&configuration, changed).expect("written");
    setup.landscape.start_all().await;
    let client = serving(&setup).await;
    assert_eq!(served_by(&client).await, "a");
    let ciphertext = encrypt(&client, "a", SERVICE).await;
    setup.kill(&["cmk"]);
    until_refused(&client, "a", SERVICE, (&ciphertext, "lease_expired")).await;
    for _ in 0..20 {
        assert_eq!(served_by(&client).await, "b");
    }
    let folder = tempfile::tempdir().expect("a folder");
    for told in file_goes_through(&setup, folder.path()) {
        assert!(told.contains("region b served; region a: ") && told.contains("(lease_expired)"), "{told}");
    }
    let pinned = setup.cli(&["--no-wait", "datakey", SERVICE, "--region", "a"]);
    assert_eq!(pinned.status.code(), Some(3), "{}", told(&pinned));
    setup.start_again(&["cmk"]).await;
    until_opens(&client, "a", SERVICE, &ciphertext).await;
    until("the first region serves again", || async { (served_by(&client).await == "a").then_some(()) })
        .await;
    for told in file_goes_through(&setup, folder.path()) {
        assert_eq!(told, "");
    }
}

#[tokio::test]
async fn a_region_that_is_killed_is_replaced_at_once_and_gets_its_callers_back() {
    let mut setup = Setup::start().await;
    let client = serving(&setup).await;
    assert_eq!(served_by(&client).await, "a");
    setup.kill(&["krypton-a"]);
    for _ in 0..50 {
        assert_eq!(served_by(&client).await, "b", "no call is lost");
    }
    let folder = tempfile::tempdir().expect("a folder");
    for told in file_goes_through(&setup, folder.path()) {
        assert!(told.contains("region b served; region a: ") && told.contains("is unreachable"), "{told}");
    }
    let rotated = setup.cli(&["--no-wait", "rotate", SERVICE]);
    assert_eq!(rotated.status.code(), Some(4), "a change stays in its region: {}", told(&rotated));
    setup.start_again(&["krypton-a"]).await;
    until("the first region serves again", || async { (served_by(&client).await == "a").then_some(()) })
        .await;
    setup.kill(&REGIONS.map(|name| if name == "a" { "krypton-a" } else { "krypton-b" }));
    let nobody = setup.cli(&["--no-wait", "datakey", SERVICE]);
    let told = told(&nobody);
    assert_eq!(nobody.status.code(), Some(4), "{told}");
    for said in ["no region serves this now", "region a: ", "region b: "] {
        assert!(told.contains(said), "{told}");
    }
}

#[tokio::test]
async fn a_tenant_that_was_unlinked_is_asked_for_in_one_region() {
    let setup = Setup::start().await;
    let client = serving(&setup).await;
    let ciphertext = encrypt(&client, "a", SERVICE).await;
    unlink(&client, "acme").await;
    for region in REGIONS {
        until_refused(&client, region, SERVICE, (&ciphertext, "tenant_unlinked")).await;
    }
    let before = answered(&client, "b").await;
    assert!(before > 0, "its requests are counted");
    let core = client.core(Route::First);
    for _ in 0..10 {
        let error = core.decrypt(&service_path(SERVICE), &ciphertext, None).await.expect_err("it has ended");
        assert!(
            matches!(error, ClientError::Problem(_)) && error.code() == Some(Code::TenantUnlinked),
            "{error}"
        );
    }
    let typed = setup.cli(&["datakey", SERVICE]);
    assert_eq!(typed.status.code(), Some(3), "{}", told(&typed));
    assert_eq!(answered(&client, "b").await, before, "no other region was asked");
}
