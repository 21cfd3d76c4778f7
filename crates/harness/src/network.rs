//! A network of a test's own, with real partitions: each host is a network namespace with one interface and one
//! address, and all are plugged into a switch that is a namespace too.
//!
//! Nothing of it is visible from the machine's own network, and nothing reaches out of it; two tests can have the
//! same addresses at once. It needs root and the `ip` program of Linux. Whatever runs in it is killed and all of
//! it is removed with this value; what a killed test left is removed by the next one.
//!
//! What is lost here is lost in silence, as in the field: nobody is told that a packet did not arrive.

mod ip;
mod namespace;

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

pub use namespace::Inside;
pub(crate) use namespace::Namespace;

/// The first three bytes of each address; hosts get `.2`, `.3`, … in their order.
const SUBNET: [u8; 3] = [10, 87, 0];

/// The switch's name between those of the hosts.
const SWITCH: &str = "switch";

/// Belongs to no host of a network: what is sent to it arrives nowhere. Locally administered, as by IEEE 802.
const NOBODY: &str = "02:00:00:00:00:fe";

/// Hosts that can talk to each other, until they are cut.
pub struct Network {
    hosts: Vec<Host>,
    switch: Namespace,
}

struct Host {
    name: String,
    address: Ipv4Addr,
    namespace: Namespace,
    /// The switch's end of its cable.
    port: String,
}

impl Network {
    /// A network of these hosts; `None`, with the reason in the test's output, where that is not permitted.
    ///
    /// # Panics
    ///
    /// As everything here: when it is permitted and does not work.
    pub fn new<H: AsRef<str>>(hosts: &[H]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Namespace::remove_leftovers();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let switch = match make_switch(number) {
            Ok(switch) => switch,
            Err(reason) => {
                #[allow(
                    clippy::print_stderr,
                    reason = "whoever runs the tests has to see what they did not show"
                )]
                {
                    eprintln!(
                        "SKIPPED: no partitions of a real network; namespaces are not permitted: {reason}"
                    );
                }
                return None;
            }
        };
        let mut network = Self { hosts: Vec::new(), switch };
        for host in hosts {
            network.plug_in(number, host.as_ref());
        }
        Some(network)
    }

    fn plug_in(&mut self, number: u32, name: &str) {
        let [a, b, c] = SUBNET;
        let index = u8::try_from(self.hosts.len()).expect("few hosts");
        let address = Ipv4Addr::new(a, b, c, index + 2);
        let port = format!("port{index}");
        let namespace = must(Namespace::add(number, name));
        let inside = namespace.name();
        must(self.switch.ip(&[
            &format!("link add {port} type veth peer name eth0 netns {inside}"),
            &format!("link set {port} master bridge up"),
        ]));
        must(namespace.ip(&[
            "link set lo up",
            &format!("address add {address}/24 dev eth0"),
            "link set eth0 up",
        ]));
        self.hosts.push(Host { name: name.to_owned(), address, namespace, port });
    }

    /// The address of a host, which is the same from everywhere in this network.
    pub fn address(&self, host: &str) -> Ipv4Addr {
        self.host(host).address
    }

    /// A command that runs a program on a host: arguments can be added to it.
    pub fn command(&self, host: &str, program: impl AsRef<OsStr>) -> Command {
        self.host(host).namespace.command(program)
    }

    /// Does something on a host, on a thread of its own: sockets that it opens are that host's, wherever they
    /// are used later.
    pub fn within<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> T {
        self.host(host).namespace.within(work)
    }

    /// Moves the calling thread to a host until the guard is dropped: what it opens and what it starts is there.
    /// With a runtime of one thread, as tests have, that holds for the test's own clients too.
    pub fn enter(&self, host: &str) -> Inside {
        self.host(host).namespace.enter()
    }

    /// Pulls a host's cable: it reaches nobody but itself.
    pub fn cut(&self, host: &str) {
        must(self.switch.ip(&[&format!("link set {} down", self.host(host).port)]));
    }

    /// Plugs a host in again. What was cut between it and another one alone stays cut.
    pub fn heal(&self, host: &str) {
        must(self.switch.ip(&[&format!("link set {} up", self.host(host).port)]));
    }

    /// Loses all that one host sends to another one, also of connections that are open; what the other one
    /// sends still arrives.
    pub fn cut_direction(&self, from: &str, to: &str) {
        // A neighbour that answers to another hardware address: packets leave, and arrive nowhere.
        let entry = format!("neighbour replace {} lladdr {NOBODY} dev eth0 nud permanent", self.address(to));
        must(self.host(from).namespace.ip(&[&entry]));
    }

    /// Ends [`Network::cut_direction`].
    pub fn heal_direction(&self, from: &str, to: &str) {
        let entry = format!("neighbour del {} dev eth0", self.address(to));
        must(self.host(from).namespace.ip(&[&entry]));
    }

    /// Loses all between two hosts; both still reach all others.
    pub fn cut_between(&self, one: &str, other: &str) {
        self.cut_direction(one, other);
        self.cut_direction(other, one);
    }

    /// Ends [`Network::cut_between`].
    pub fn heal_between(&self, one: &str, other: &str) {
        self.heal_direction(one, other);
        self.heal_direction(other, one);
    }

    pub(crate) fn namespace(&self, host: &str) -> Namespace {
        self.host(host).namespace.clone()
    }

    fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|host| host.name == name);
        found.unwrap_or_else(|| panic!("the network has no host {name}"))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            host.namespace.remove();
        }
        self.switch.remove();
    }
}

/// The switch, with nothing plugged in. Where this works, everything else does.
fn make_switch(number: u32) -> Result<Namespace, String> {
    let switch = Namespace::add(number, SWITCH)?;
    // No spanning tree: a cable that is plugged in carries at once.
    let made = switch.ip(&["link add bridge type bridge stp_state 0", "link set bridge up"]);
    if made.is_err() {
        switch.remove();
    }
    made.map(|()| switch)
}

fn must<T>(outcome: Result<T, String>) -> T {
    outcome.unwrap_or_else(|words| panic!("the test's network: {words}"))
}
