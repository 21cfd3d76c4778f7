//! The simulated mesh: a log for each stream, compacted to the last word about each thing.
//!
//! It promises what the `Transport` trait promises, and no more: what was published is kept at least
//! as the last of its subject, in order; everything else (loss on the way, duplicates, replays of what
//! was compacted away, disorder) is done to its deliveries by the scheduler. Not here: signatures.

use std::collections::BTreeMap;

use openkcm_contracts::v1::{KeySealed, LinkState};
use openkcm_contracts::{Event, EventType, Revision, Role};
use openkcm_orbital::{Delivered, Message, Position, Published, Reading, Stream};

/// The mesh's id in positions: it is never made anew in this simulation.
const ID: &str = "simulated";

/// The mesh.
#[derive(Debug, Default)]
pub(crate) struct Mesh {
    streams: BTreeMap<Stream, Log>,
    /// Publications whose author has given them up, and that are still on their way.
    late: Vec<Late>,
    /// Messages that were stored and not yet looked at by the invariant of containment.
    fresh: Vec<Message>,
}

/// A publication on its way, and the word that it was to replace.
#[derive(Debug)]
struct Late {
    message: Message,
    replaces: Option<u64>,
    /// Whether its author has lost its memory since. Nobody looks after it then, and a broker that compares
    /// sequences stores it only in the place of the word that it was to replace.
    orphaned: bool,
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
        let replaces = self.last_of(&message);
        self.late.push(Late { message, replaces, orphaned: false });
    }

    /// The disk of an author is lost: nobody will ask what became of what it has on its way. What was on its way
    /// when it was lost before has not arrived, and never does.
    pub(crate) fn orphan(&mut self, author: Role) {
        self.late.retain(|late| !(late.orphaned && late.message.address.author == author));
        let own = |late: &&mut Late| late.message.address.author == author;
        self.late.iter_mut().filter(own).for_each(|late| late.orphaned = true);
    }

    /// The newest revision that an author has on the mesh, on compacted lanes.
    pub(crate) fn newest_of(&self, author: Role) -> Option<Revision> {
        let compacted = self.streams.iter().filter(|(stream, _)| stream.lane.compacted());
        let kept = compacted.flat_map(|(_, log)| log.kept.values());
        kept.filter(|message| message.address.author == author).filter_map(Message::revision).max()
    }

    fn last_of(&self, message: &Message) -> Option<u64> {
        let thing = (message.address.author, message.address.subject.clone());
        self.streams.get(&message.address.stream)?.last_of.get(&thing).copied()
    }

    /// The oldest publication that is still on its way, but for orphans of these authors.
    pub(crate) fn late(&self, waiting: &[Role]) -> Option<usize> {
        let may_land = |late: &Late| !late.orphaned || !waiting.contains(&late.message.address.author);
        self.late.iter().position(may_land)
    }

    /// How many publications arrive with one that went astray.
    pub(crate) fn late_together(&self, index: usize) -> usize {
        let Some(first) = self.late.get(index) else { return 0 };
        let author = first.message.address.author;
        let together = |late: &&Late| late.orphaned && late.message.address.author == author;
        self.late[index..].iter().take_while(together).count().max(1)
    }

    /// A publication that went astray arrives.
    /// Says whether its author has lost its memory.
    pub(crate) fn land_late(&mut self, index: usize) -> Option<(Message, Published, bool)> {
        let late = (index < self.late.len()).then(|| self.late.remove(index));
        let Late { message, replaces, orphaned } = late?;
        let outcome = if orphaned && self.last_of(&message) != replaces {
            Published::Superseded
        } else {
            self.publish(message.clone())
        };
        Some((message, outcome, orphaned))
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

    /// How many messages were stored since the last step.
    pub(crate) fn stored(&self) -> usize {
        self.fresh.len()
    }

    /// The messages that were stored since there were so many.
    pub(crate) fn stored_since(&self, before: usize) -> Vec<Message> {
        self.fresh.get(before..).unwrap_or_default().to_vec()
    }

    /// What was stored since this was last asked.
    pub(crate) fn take_fresh(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.fresh)
    }

    /// The last word of each maker about each sealed version.
    pub(crate) fn sealed(&self) -> Vec<KeySealed> {
        let kept = self.streams.values().flat_map(|log| log.kept.values()).filter_map(event_of);
        let sealed = |event| match event {
            Event::KeySealed(sealed) => Some(sealed),
            _ => None,
        };
        kept.filter_map(sealed).collect()
    }

    /// Everything that was ever stored.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Message> {
        self.streams.values().flat_map(|log| log.ever.iter().map(|(_, message)| message))
    }
}

/// The event that a message carries.
pub(crate) fn event_of(message: &Message) -> Option<Event> {
    let kind = EventType::from_wire_name(message.headers.get("ce-type")?)?;
    Event::from_body(kind, &message.body).ok()
}

/// Whether an event takes away the right to serve.
pub(crate) fn is_revocation(event: &Event) -> bool {
    match event {
        Event::L1Revoke(_) => true,
        Event::L1Reference(fact) => fact.state == LinkState::Unlinked,
        _ => false,
    }
}

fn is_of(reading: &Reading, message: &Message) -> bool {
    reading.words_of.is_none_or(|author| author == message.address.author)
}

fn delivered(sequence: u64, message: &Message) -> Delivered {
    Delivered { position: Position { mesh: ID.into(), sequence }, message: message.clone() }
}
