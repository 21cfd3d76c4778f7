//! What a proxy is told to do it does, to connections that are open and to new ones.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use openkcm_harness::{Counts, Proxy};

use crate::dialogue::{Echo, LONG, SHORT, ask, dial, hear, say};

fn echo_and_proxy() -> (Echo, Proxy) {
    let echo = Echo::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let proxy = Proxy::start(echo.address);
    (echo, proxy)
}

#[test]
fn a_proxy_passes_bytes_on_in_both_directions_and_counts_them() {
    let (_echo, proxy) = echo_and_proxy();
    let mut client = dial(proxy.address(), LONG).unwrap();
    assert_eq!(ask(&mut client, "hello", LONG).unwrap(), "hello");
    drop(client);
    // A control comes after all that was under way before it.
    proxy.reset();
    let expected = Counts { connections: 1, towards_server: 5, towards_client: 5, lost: 0 };
    assert_eq!(proxy.counts(), expected);
}

#[test]
fn the_end_of_one_direction_is_passed_on_and_the_other_goes_on() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    let mut client = dial(proxy.address(), LONG).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(hear(&mut server, 1, LONG).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    say(&mut server, "late words");
    assert_eq!(hear(&mut client, 10, LONG).unwrap(), "late words");
}

#[test]
fn delayed_bytes_arrive_later_in_each_direction_and_in_their_order() {
    let (_echo, proxy) = echo_and_proxy();
    let mut client = dial(proxy.address(), LONG).unwrap();
    proxy.delay(SHORT);
    say(&mut client, "one");
    say(&mut client, "two");
    // There and back takes twice as long as this.
    assert_eq!(hear(&mut client, 1, SHORT).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(hear(&mut client, 6, LONG).unwrap(), "onetwo");
    proxy.pass();
    assert_eq!(ask(&mut client, "three", LONG).unwrap(), "three");
}

#[test]
fn a_stalled_proxy_accepts_and_passes_nothing_on_and_loses_nothing() {
    let (echo, proxy) = echo_and_proxy();
    let mut old = dial(proxy.address(), LONG).unwrap();
    assert_eq!(ask(&mut old, "before", LONG).unwrap(), "before");
    assert_eq!(echo.heard.recv_timeout(LONG).unwrap(), "before");
    proxy.stall();
    let mut new = dial(proxy.address(), LONG).unwrap();
    say(&mut old, "old");
    say(&mut new, "new");
    assert!(echo.heard.recv_timeout(SHORT).is_err());
    proxy.pass();
    assert_eq!(hear(&mut old, 3, LONG).unwrap(), "old");
    assert_eq!(hear(&mut new, 3, LONG).unwrap(), "new");
}

#[test]
fn a_reset_ends_open_connections_on_both_sides_and_new_ones_are_served() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    let mut client = dial(proxy.address(), LONG).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    proxy.reset();
    assert_eq!(hear(&mut client, 1, LONG).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(hear(&mut server, 1, LONG).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut client = dial(proxy.address(), LONG).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    say(&mut client, "again");
    assert_eq!(hear(&mut server, 5, LONG).unwrap(), "again");
}

#[test]
fn a_cut_proxy_closes_and_refuses_and_is_found_at_the_same_address_afterwards() {
    let (_echo, proxy) = echo_and_proxy();
    for _ in 0..10 {
        let mut client = dial(proxy.address(), LONG).unwrap();
        assert_eq!(ask(&mut client, "before", LONG).unwrap(), "before");
        proxy.cut();
        assert_eq!(hear(&mut client, 1, LONG).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(dial(proxy.address(), LONG).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        proxy.pass();
    }
    let mut client = dial(proxy.address(), LONG).unwrap();
    assert_eq!(ask(&mut client, "after", LONG).unwrap(), "after");
}

#[test]
fn what_clients_send_is_swallowed_and_what_the_server_sends_arrives() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    let mut client = dial(proxy.address(), LONG).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    proxy.cut_towards_server();
    say(&mut client, "lost");
    say(&mut server, "found");
    assert_eq!(hear(&mut client, 5, LONG).unwrap(), "found");
    until_lost(&proxy, 4);
    assert_eq!(hear(&mut server, 1, SHORT).unwrap_err().kind(), ErrorKind::WouldBlock);
    // The server would see a hole in what it was sent.
    proxy.pass();
    assert_eq!(hear(&mut server, 1, LONG).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(hear(&mut client, 1, LONG).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn what_the_server_sends_is_swallowed_and_what_clients_send_arrives() {
    let (echo, proxy) = echo_and_proxy();
    proxy.cut_towards_client();
    let mut client = dial(proxy.address(), LONG).unwrap();
    say(&mut client, "heard");
    assert_eq!(echo.heard.recv_timeout(LONG).unwrap(), "heard");
    until_lost(&proxy, 5);
    assert_eq!(hear(&mut client, 1, SHORT).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(proxy.counts().towards_client, 0);
}

#[test]
fn a_connection_that_lost_nothing_survives_a_cut_of_one_direction() {
    let (_echo, proxy) = echo_and_proxy();
    let mut client = dial(proxy.address(), LONG).unwrap();
    assert_eq!(ask(&mut client, "before", LONG).unwrap(), "before");
    proxy.cut_towards_server();
    proxy.pass();
    assert_eq!(ask(&mut client, "after", LONG).unwrap(), "after");
}

#[test]
fn a_server_that_refuses_is_a_reset_for_the_client() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let target = listener.local_addr().unwrap();
    drop(listener);
    let proxy = Proxy::start(target);
    let answer = dial(proxy.address(), LONG).and_then(|mut client| hear(&mut client, 1, LONG));
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

fn until_lost(proxy: &Proxy, bytes: u64) {
    let looks = LONG.as_millis() / 10;
    for _ in 0..looks {
        if proxy.counts().lost == bytes {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("not swallowed: {:?}", proxy.counts());
}
