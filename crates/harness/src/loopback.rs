//! Addresses on loopback that no other test uses.
//!
//! A port that was free on 127.0.0.1 is soon someone's: a test beside this one binds it, or an outgoing
//! connection gets it as its own, while a server that was killed has yet to start again. All of 127.0.0.0/8
//! is loopback on Linux, so a server that has to keep its port listens on an address of its test process
//! alone. Connections to it come from 127.0.0.1, so nobody takes a port there by accident.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// The first port of the first block: above what has a name, below what the kernel hands out.
const FIRST_BLOCK: u16 = 10_000;

/// The address of this test process. Process ids have at most 22 bits, and 127.64.0.0/10 has as many.
pub(crate) fn own_host() -> IpAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, 64 + high % 64, middle, low))
}

/// A port that is free on this address now.
pub(crate) fn free_port(host: IpAddr) -> u16 {
    let listener = TcpListener::bind((host, 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// The first of so many ports in a row on [`own_host`], which nothing else of this process gets.
pub(crate) fn block_of_ports(length: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(FIRST_BLOCK);
    NEXT.fetch_add(length, Ordering::Relaxed)
}
