//! A network carries between its hosts, loses what it is told to lose, and is gone afterwards.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use openkcm_harness::{Nats, Network, Proxy, until};

use crate::dialogue::{Echo, LONG, SHORT, ask, dial, hear, say};

const PORT: u16 = 7000;

/// A host that says back what it hears, and two that can talk to it.
fn network() -> Option<(Network, Echo)> {
    let network = Network::new(&["echo", "a", "b"])?;
    let echo = network.within("echo", || Echo::start(SocketAddr::from((network.address("echo"), PORT))));
    Some((network, echo))
}

/// Whether a host reaches the echo and is reached by its answer.
fn reaches(network: &Network, host: &str, echo: &Echo) -> bool {
    let address = echo.address;
    network.within(host, || match dial(address, SHORT) {
        Ok(mut stream) => ask(&mut stream, "hello", LONG).is_ok(),
        Err(_) => false,
    })
}

/// Waits until it does: a cable that was plugged in may take a moment to carry.
async fn comes_to_reach(network: &Network, host: &str, echo: &Echo) {
    until(&format!("{host} reaches the echo"), || async { reaches(network, host, echo).then_some(()) }).await;
}

#[tokio::test]
async fn a_host_that_is_cut_reaches_nobody_until_it_is_healed() {
    let Some((network, echo)) = network() else { return };
    comes_to_reach(&network, "a", &echo).await;
    network.cut("a");
    assert!(!reaches(&network, "a", &echo));
    comes_to_reach(&network, "b", &echo).await;
    network.heal("a");
    comes_to_reach(&network, "a", &echo).await;
}

#[tokio::test]
async fn a_server_that_is_cut_is_reached_by_nobody_until_it_is_healed() {
    let Some((network, echo)) = network() else { return };
    network.cut("echo");
    assert!(!reaches(&network, "a", &echo) && !reaches(&network, "b", &echo));
    // A host reaches itself.
    comes_to_reach(&network, "echo", &echo).await;
    network.heal("echo");
    comes_to_reach(&network, "a", &echo).await;
    comes_to_reach(&network, "b", &echo).await;
}

#[tokio::test]
async fn a_cut_of_two_hosts_leaves_both_to_all_others() {
    let Some((network, echo)) = network() else { return };
    network.cut_between("a", "echo");
    assert!(!reaches(&network, "a", &echo));
    comes_to_reach(&network, "b", &echo).await;
    network.heal_between("a", "echo");
    comes_to_reach(&network, "a", &echo).await;
}

#[test]
fn one_direction_is_lost_while_the_other_arrives_and_nothing_is_missing_afterwards() {
    let Some((network, echo)) = network() else { return };
    let mut stream = network.within("a", || dial(echo.address, LONG)).unwrap();
    assert_eq!(ask(&mut stream, "before", LONG).unwrap(), "before");
    assert_eq!(echo.heard.recv_timeout(LONG).unwrap(), "before");

    network.cut_direction("echo", "a");
    say(&mut stream, "there");
    assert_eq!(echo.heard.recv_timeout(LONG).unwrap(), "there");
    assert_eq!(hear(&mut stream, 1, SHORT).unwrap_err().kind(), ErrorKind::WouldBlock);
    network.heal_direction("echo", "a");
    assert_eq!(hear(&mut stream, 5, LONG).unwrap(), "there");

    network.cut_direction("a", "echo");
    say(&mut stream, "back");
    assert!(echo.heard.recv_timeout(SHORT).is_err());
    network.heal_direction("a", "echo");
    assert_eq!(echo.heard.recv_timeout(LONG).unwrap(), "back");
    assert_eq!(hear(&mut stream, 4, LONG).unwrap(), "back");
}

#[test]
fn a_program_runs_on_its_host_and_ends_with_the_network() {
    let Some(network) = Network::new(&["a"]) else { return };
    let shown = network.command("a", "ip").args(["-brief", "address", "show", "eth0"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&format!("{}/24", network.address("a"))), "{shown}");

    let mut program = network.command("a", "sh");
    let mut program =
        program.args(["-c", "echo there; exec sleep 600"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut word = [0; 5];
    program.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
    drop(network);
    assert!(!program.wait().unwrap().success());
}

#[test]
fn a_thread_is_on_a_host_until_it_leaves() {
    let Some((network, echo)) = network() else { return };
    let inside = network.enter("b");
    let stream = dial(echo.address, LONG).unwrap();
    assert_eq!(stream.local_addr().unwrap().ip(), network.address("b"));
    drop(inside);
    let listed = Command::new("ip").args(["-brief", "address"]).output().unwrap();
    assert!(!String::from_utf8(listed.stdout).unwrap().contains(&network.address("b").to_string()));
}

#[tokio::test]
async fn two_networks_with_the_same_addresses_do_not_meet() {
    let Some((one, echo)) = network() else { return };
    let Some(other) = Network::new(&["echo", "a", "b"]) else { panic!("the first was permitted") };
    assert_eq!(one.address("echo"), other.address("echo"));
    comes_to_reach(&one, "a", &echo).await;
    assert!(!reaches(&other, "a", &echo));
}

#[test]
fn nothing_is_left_of_a_network_and_of_one_whose_test_was_killed() {
    // A process that has ended, and was waited for, so that its id is nobody's.
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let leftover = format!("okcm-{}-0-a", ended.id());
    // Where this is not permitted there is no network either; where it fails, another test was removing it.
    let _ = Command::new("ip").args(["netns", "add", &leftover]).output();
    let Some(network) = Network::new(&["lonely"]) else { return };
    let listed = || -> Vec<String> {
        let entries = fs::read_dir("/var/run/netns").unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| *name == leftover || name.ends_with("-lonely")).collect()
    };
    assert!(listed().len() == 1 && listed()[0].ends_with("-lonely"), "{:?}", listed());
    drop(network);
    assert_eq!(listed(), Vec::<String>::new());
}

#[tokio::test]
async fn a_broker_and_a_proxy_have_hosts_of_their_own() {
    let Some(network) = Network::new(&["nats", "proxy", "test"]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let configuration = directory.path().join("nats.conf");
    let address = SocketAddr::from((network.address("nats"), PORT));
    fs::write(&configuration, format!("listen: \"{address}\"\n")).unwrap();
    let nats = Nats::from_config_on(&network, "nats", &configuration, &format!("nats://{address}")).await;
    let proxy = Proxy::start_on(&network, "proxy", nats.address());

    let mut stream = network.within("test", || dial(proxy.address(), LONG)).unwrap();
    assert_eq!(hear(&mut stream, 5, LONG).unwrap(), "INFO ");
    network.cut("nats");
    proxy.reset();
    assert_eq!(hear(&mut stream, 1 << 20, LONG).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // The proxy is reached, and the broker is not.
    let mut stream = network.within("test", || dial(proxy.address(), LONG)).unwrap();
    assert!(hear(&mut stream, 5, SHORT).is_err());
}
