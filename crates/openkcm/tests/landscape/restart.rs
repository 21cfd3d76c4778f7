//! A landscape that was stopped or killed comes back as it was, and alone.

use std::net::TcpListener;
use std::process::{Command, Output};

use openkcm_client::{Client, Patience};
use openkcm_contracts::KeyPath;
use openkcm_harness::{Landscape, until};
use serde_json::{Value, json};

use crate::setup::{
    REGIONS, SAMPLE, Setup, define, encrypt, only, opens_everywhere, program, refusal, service_path,
};

const KEPT: &str = "acme/hr/payroll";
const DELETED: &str = "acme/hr/gone";
const UNLINKED: &str = "left/hr/payroll";

#[tokio::test]
async fn a_landscape_comes_back_with_the_same_state_after_a_stop_and_after_a_kill() {
    let mut setup = Setup::start().await;
    let client = setup.client();
    for path in [KEPT, DELETED, UNLINKED] {
        define(&client, path).await;
    }
    let mut kept = Vec::new();
    for name in REGIONS {
        kept.push(encrypt(&client, name, KEPT).await);
    }
    let ended = [
        (DELETED, encrypt(&client, "a", DELETED).await, "key_disabled"),
        (SAMPLE, encrypt(&client, "b", SAMPLE).await, "key_disabled"),
        (UNLINKED, encrypt(&client, "a", UNLINKED).await, "tenant_unlinked"),
    ];
    for path in [DELETED, SAMPLE] {
        let key = KeyPath::Service(service_path(path));
        client.registry().delete_key(&key, None).await.expect("a deletion");
    }
    client.cmk().unlink(&service_path(UNLINKED).tenant).await.expect("an unlink");
    until_all_are_refused(&client, &ended).await;
    let before = state(&client).await;

    for kill in [false, true, false] {
        if kill {
            setup.landscape.kill();
        } else {
            assert!(setup.landscape.stop().await, "it did not end well:\n{}", setup.landscape.log());
        }
        setup.landscape.start_again().await;
        let client = setup.client();
        for ciphertext in &kept {
            opens_everywhere(&client, KEPT, ciphertext).await;
        }
        until_all_are_refused(&client, &ended).await;
        let after = state(&client).await;
        assert_eq!(before, after, "after a {}", if kill { "kill" } else { "stop" });
        kept.push(encrypt(&client, "b", KEPT).await);
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused_and_harms_nothing() {
    let setup = Setup::start().await;
    let client = setup.client();
    let ciphertext = encrypt(&client, "a", SAMPLE).await;
    let file = std::fs::read(setup.landscape.file()).expect("the landscape's file");

    let ports = ["--registry-port", "0", "--cmk-port", "0", "--core-port", "0"];
    let (told, output) = dev(&setup.landscape, &ports);
    assert!(!output.status.success(), "a second process runs in the same directory");
    let home = setup.landscape.directory().display();
    let clear = format!("another process works in {home}: stop that one first");
    assert!(told.contains(&clear), "that is not clear: {told}");

    assert_eq!(std::fs::read(setup.landscape.file()).expect("the landscape's file"), file);
    opens_everywhere(&client, SAMPLE, &ciphertext).await;
}

#[tokio::test]
async fn a_taken_port_is_told_with_the_flag_that_chooses_another() {
    let mut setup = Setup::start().await;
    let before = state(&setup.client()).await;
    assert!(setup.landscape.stop().await);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    for flag in ["--registry-port", "--cmk-port", "--core-port"] {
        let mut ports = vec!["--registry-port", "0", "--cmk-port", "0", "--core-port", "0"];
        let at = ports.iter().position(|argument| *argument == flag).expect("a flag of the list");
        ports[at + 1] = &port;
        let (told, output) = dev(&setup.landscape, &ports);
        assert!(!output.status.success(), "{flag}: two processes listen on one port");
        for words in ["the port is taken", &port, flag] {
            assert!(told.contains(words), "{flag}: {words:?} is missing in: {told}");
        }
    }
    setup.landscape.start_again().await;
    assert_eq!(before, state(&setup.client()).await);
}

/// Runs `openkcm dev` in the landscape's directory until it ends by itself; gives what it said.
fn dev(landscape: &Landscape, ports: &[&str]) -> (String, Output) {
    let mut command = Command::new(program());
    let output = command.arg("dev").args(ports).arg("--data-dir").arg(landscape.directory()).output();
    let output = output.expect("the program starts");
    (String::from_utf8_lossy(&output.stderr).into_owned(), output)
}

/// Waits until both regions refuse each ciphertext with its code.
async fn until_all_are_refused(client: &Client, ended: &[(&str, String, &str)]) {
    let client = client.with_patience(Patience::NONE);
    for (path, ciphertext, code) in ended {
        for name in REGIONS {
            until(&format!("{path} is refused in {name} with {code}"), || async {
                (refusal(&client, name, path, ciphertext).await.as_deref() == Some(*code)).then_some(())
            })
            .await;
        }
    }
}

/// What everyone says of everything, but for the times of probes.
async fn state(client: &Client) -> Value {
    let registry = client.registry();
    let mut tenants = registry.tenants().state(Some("all")).all().await.expect("the tenants");
    for tenant in &mut tenants {
        let id = tenant["tenant"].as_str().expect("a name").parse().expect("a tenant");
        let mut systems = registry.systems(&id).state(Some("all")).all().await.expect("the systems");
        for system in &mut systems {
            let id = format!("{}/{}", tenant["tenant"], system["system"]).replace('"', "");
            let services = registry.services(&id.parse().expect("a system")).state(Some("all")).all().await;
            system["services"] = services.expect("the services").into();
        }
        tenant["systems"] = systems.into();
        let pointer = client.cmk().l1(&id).await.expect("a pointer").value;
        tenant["pointer"] =
            json!([pointer["state"], pointer["epoch"], pointer["revision"], pointer["roots"]]);
    }
    let mut keys = Vec::new();
    for name in REGIONS {
        for path in [KEPT, SAMPLE] {
            // Not there in every test that asks.
            let key = client.core(only(name)).key(&KeyPath::Service(service_path(path))).await;
            keys.push(key.map_or(Value::Null, |shown| shown.answer.value));
        }
    }
    json!({ "tenants": tenants, "keys": keys })
}
