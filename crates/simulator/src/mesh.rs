//! The simulated mesh: a log for each stream, compacted to the last word about each thing.
//!
//! It promises what the `Transport` trait promises, and no more: what was published is kept at least
//! as the last of its subject, in order; everything else (loss on the way, duplicates, replays of what
//! was compacted away, disorder) is done to its deliveries by the scheduler. Not here: signatures.

use std::collections::BTreeMap;

use openkcm_contracts::Role;
use openkcm_orbital::{Delivered, Message, Position, Published, Reading, Stream};

/// The mesh's id in positions: it is never made anew in this simulation.
const ID: &str = "simulated";

/// The mesh.
#[derive(Debug, Default)]
pub(crate) struct Mesh {
    streams: BTreeMap<Stream, Log>,
    /// Publications whose author has given them up, and that are still on their way.
    late: Vec<Message>,
    /// Messages that were stored and not yet looked at by the invariant of containment.
    fresh: Vec<Message>,
}

#[derive(Debug, Default)]
struct Log {
    head: u64,
    kept: BTreeMap<u64, Message>,
    /// The last of each author's words about each thing.
    last_of: BTreeMap<(Role, String), u64>,
    /// Everything that was ever on it: what a replay can bring back.
    ever: Vec<(u64, Message)>,
}

impl Mesh {
    /// Stores a message, unless a newer word about the same thing is there.
    pub(crate) fn publish(&mut self, message: Message) -> Published {
        let log = self.streams.entry(message.address.stream.clone()).or_default();
        let thing = (message.address.author, message.address.subject.clone());
        if message.address.stream.lane.compacted() {
            let retained = log.last_of.get(&thing).copied();
            if let Some(kept) = retained.and_then(|sequence| log.kept.get(&sequence))
                && kept.revision() > message.revision()
            {
                return Published::Superseded;
            }
            if let Some(sequence) = retained {
                log.kept.remove(&sequence);
            }
        }
        log.head += 1;
        log.last_of.insert(thing, log.head);
        log.kept.insert(log.head, message.clone());
        log.ever.push((log.head, message.clone()));
        self.fresh.push(message);
        Published::Stored
    }

    /// A publication goes astray: it may arrive long after its author has said something newer.
    pub(crate) fn lose_track_of(&mut self, message: Message) {
        self.late.push(message);
    }

    /// Whether a publication is still on its way.
    pub(crate) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// The oldest publication that went astray arrives.
    pub(crate) fn land_late(&mut self) -> Option<(String, Published)> {
        let message = (!self.late.is_empty()).then(|| self.late.remove(0))?;
        Some((message.address.to_string(), self.publish(message)))
    }

    /// What is kept of a reading after a position, at most so many.
    pub(crate) fn after(&self, reading: &Reading, after: u64, max: usize) -> Vec<Delivered> {
        let kept = self.kept_after(reading, after);
        kept.take(max).map(|(sequence, message)| delivered(*sequence, message)).collect()
    }

    /// Whether anything of a reading is kept after a position.
    pub(crate) fn has_after(&self, reading: &Reading, after: u64) -> bool {
        self.kept_after(reading, after).next().is_some()
    }

    fn kept_after<'a>(
        &'a self,
        reading: &'a Reading,
        after: u64,
    ) -> impl Iterator<Item = (&'a u64, &'a Message)> {
        let log = self.streams.get(&reading.stream);
        let kept = log.into_iter().flat_map(move |log| log.kept.range(after + 1..));
        kept.filter(|(_, message)| is_of(reading, message))
    }

    /// How many messages a reading ever had up to a position, compacted away or not.
    pub(crate) fn ever(&self, reading: &Reading, up_to: u64) -> usize {
        self.ever_of(reading).take_while(|(sequence, _)| *sequence <= up_to).count()
    }

    /// A message that a reading had once, compacted away or not.
    pub(crate) fn replay(&self, reading: &Reading, index: usize) -> Option<Delivered> {
        let (sequence, message) = self.ever_of(reading).nth(index)?;
        Some(delivered(*sequence, message))
    }

    fn ever_of<'a>(&'a self, reading: &'a Reading) -> impl Iterator<Item = &'a (u64, Message)> {
        let log = self.streams.get(&reading.stream);
        let ever = log.into_iter().flat_map(|log| &log.ever);
        ever.filter(|(_, message)| is_of(reading, message))
    }

    /// What was stored since this was last asked.
    pub(crate) fn take_fresh(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.fresh)
    }

    /// Everything that was ever stored.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Message> {
        self.streams.values().flat_map(|log| log.ever.iter().map(|(_, message)| message))
    }
}

fn is_of(reading: &Reading, message: &Message) -> bool {
    reading.words_of.is_none_or(|author| author == message.address.author)
}

fn delivered(sequence: u64, message: &Message) -> Delivered {
    Delivered { position: Position { mesh: ID.into(), sequence }, message: message.clone() }
}
