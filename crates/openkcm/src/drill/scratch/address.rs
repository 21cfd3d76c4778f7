//! Where a scratch landscape listens.
//!
//! A port of 127.0.0.1 that was free a moment ago is soon someone's, and a component that was killed needs its own
//! again. All of 127.0.0.0/8 is loopback on Linux: there the landscape has an address that only this process uses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context as _;

/// Where the search for ports begins: above what has a name, below what systems hand out.
const FIRST_PORT: u16 = 10_000;

/// Where it ends.
const LAST_PORT: u16 = 30_000;

/// The loopback address for this process: its own where the system has that, and otherwise 127.0.0.1.
pub(super) fn own_host() -> IpAddr {
    // Process ids have at most 22 bits, and 127.64.0.0/10 has as many.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = IpAddr::V4(Ipv4Addr::new(127, 64 + high % 64, middle, low));
    match TcpListener::bind((own, 0)) {
        Ok(_) => own,
        Err(_) => Ipv4Addr::LOCALHOST.into(),
    }
}

/// The first of so many ports in a row that are free on this address now.
///
/// # Errors
/// When there are not so many.
pub(super) fn free_ports(host: IpAddr, count: u16) -> anyhow::Result<u16> {
    let is_free = |port: u16| TcpListener::bind(SocketAddr::new(host, port)).is_ok();
    let mut blocks = (FIRST_PORT..LAST_PORT).step_by(usize::from(count.max(1)));
    blocks
        .find(|first| (*first..first.saturating_add(count)).all(is_free))
        .with_context(|| format!("{host} has no {count} ports in a row that are free"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_with_a_port_that_is_taken_is_passed_over() {
        let host = own_host();
        let first = free_ports(host, 4).expect("there are some");
        let _taken = TcpListener::bind((host, first + 3)).expect("it is free");
        let next = free_ports(host, 4).expect("there are more");
        assert!(next >= first + 4, "{next}");
    }
}
