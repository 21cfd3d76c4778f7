//! The runs of the broker, from one start to the next: which positions are of this mesh.
//!
//! A broker that was restored from an older copy counts on from there, and soon uses numbers that the lost
//! messages had. A reader that goes by the number alone would take what it never saw for read: an Unlink,
//! say. So each stream remembers, in one message of its own, the broker's runs and where each began; whoever
//! publishes first in a run writes it down before. A position names the run that its message lies in, and is
//! believed when this stream remembers that run there.

use openkcm_host::{Entropy, random_hex};
use serde::{Deserialize, Serialize};

use crate::Position;

/// Runs that are remembered. Who was away for longer reads its streams from the beginning.
const KEPT: usize = 64;

/// Broker processes that one run is known by: the members of a cluster, over some of their restarts.
const KEPT_SERVERS: usize = 64;

/// What a stream remembers, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Runs {
    runs: Vec<Run>,
    /// The broker processes that were met.
    servers: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    /// Drawn at random, so that two copies of a mesh that both go on have different ones.
    id: String,
    /// The number of its first message: of the one that begins it, which does not know its own number.
    first: Option<u64>,
}

impl Runs {
    /// From the message that remembers them, which has this number. What can't be read is no memory.
    pub(super) fn read(payload: &[u8], sequence: u64) -> Self {
        let mut read: Self = serde_json::from_slice(payload).unwrap_or_default();
        for run in &mut read.runs {
            run.first.get_or_insert(sequence);
        }
        read
    }

    /// Its message's payload.
    pub(super) fn payload(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers")
    }

    /// Whether this broker process has been met.
    pub(super) fn know_server(&self, server: &str) -> bool {
        self.servers.iter().any(|known| known == server)
    }

    /// As they are once a run on this broker process has begun.
    pub(super) fn begun(mut self, server: &str, entropy: &dyn Entropy) -> Self {
        let id = random_hex::<8>(entropy);
        self.runs.push(Run { id, first: None });
        self.servers.push(server.to_owned());
        let (runs, servers) = (self.runs.len(), self.servers.len());
        self.runs.drain(..runs.saturating_sub(KEPT));
        self.servers.drain(..servers.saturating_sub(KEPT_SERVERS));
        self
    }

    /// The run that a message of this number lies in; an empty name before the first that is remembered.
    pub(super) fn at(&self, sequence: u64) -> &str {
        let begun = self.runs.iter().rev().find(|run| run.first.is_some_and(|first| first <= sequence));
        begun.map_or("", |run| &run.id)
    }

    /// Whether a position is one of this stream's.
    pub(super) fn know(&self, position: &Position) -> bool {
        !position.mesh.is_empty() && self.at(position.sequence) == position.mesh
    }
}

#[cfg(test)]
mod tests {
    use openkcm_host::SeededEntropy;

    use super::*;

    fn stored(runs: &Runs, sequence: u64) -> Runs {
        Runs::read(&runs.payload(), sequence)
    }

    #[test]
    fn a_position_is_known_in_the_run_that_it_was_read_in_and_in_no_other() {
        let entropy = SeededEntropy::new(1);
        let first = stored(&Runs::default().begun("one", &entropy), 5);
        let second = stored(&first.clone().begun("two", &entropy), 9);
        assert_eq!(second.at(4), "");
        assert_eq!(second.at(5), first.at(5));
        assert_eq!(second.at(8), first.at(100));
        assert_ne!(second.at(9), first.at(9));
        let read = Position { mesh: first.at(7).into(), sequence: 7 };
        assert!(first.know(&read) && second.know(&read));
        let beyond = Position { mesh: first.at(20).into(), sequence: 20 };
        assert!(!second.know(&beyond), "the broker was restored from before it");
        let other = stored(&first.begun("three", &entropy), 9);
        assert!(!other.know(&Position { mesh: second.at(9).into(), sequence: 9 }));
    }

    #[test]
    fn a_broker_that_was_met_begins_no_run_and_the_memory_has_an_end() {
        let entropy = SeededEntropy::new(1);
        let mut runs = Runs::default();
        for number in 0..200 {
            let server = format!("s{number}");
            assert!(!runs.know_server(&server));
            runs = stored(&runs.begun(&server, &entropy), 10 * number + 1);
            assert!(runs.know_server(&server));
        }
        assert_eq!((runs.runs.len(), runs.servers.len()), (KEPT, KEPT_SERVERS));
        assert_eq!(runs.at(1), "", "who was away for so long reads from the beginning");
    }

    #[test]
    fn garbage_is_no_memory() {
        assert_eq!(Runs::read(b"{\"runs\":", 3), Runs::default());
    }
}
