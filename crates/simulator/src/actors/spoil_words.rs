//! What deliberate bugs do to an authority's knowledge of its own words.
//!
//! Only for the histories that show that the bugs are caught. Nothing here runs without one.

use openkcm_contracts::Revision;
use openkcm_orbital::Intake;
use openkcm_store::{Read, Space, Table};

use crate::disk::Disk;
use crate::teeth::Bug;

/// Where an authority keeps what it knows of its own words.
const OWN: Space = Space("own_words");

/// Where it keeps its last revision.
const AUTHORITY: Table<Revision> = Table::new("authority");
const REVISION: &str = "revision";

/// A start takes all that is in the store for common with the mesh.
pub(crate) fn forget_base(disk: &mut Disk) {
    disk.commit(|tx| tx.delete(OWN, b"own"));
}

/// What a bug does to own words before they are compared.
pub(crate) fn spoil(disk: &mut Disk, own: &mut Intake, rebuilding: bool, bug: Option<Bug>) {
    match bug {
        Some(Bug::CompareCounters) => {
            for word in &mut own.events {
                word.revision = Revision::new(1, word.revision.counter);
            }
        }
        Some(Bug::RebuildByOverwriting) if rebuilding => {
            let subjects: Vec<String> =
                own.events.iter().map(|word| word.event.subject().to_string()).collect();
            let newest = Space("words_newest");
            disk.commit(|tx| subjects.iter().try_for_each(|subject| tx.delete(newest, subject.as_bytes())));
        }
        _ => {}
    }
}

/// The record of the last revision.
pub(crate) fn last(disk: &Disk) -> Option<Revision> {
    AUTHORITY.get(disk.view(), REVISION).expect("memory does not fail")
}

/// The term stays what it was: a raised one is taken back.
pub(crate) fn keep_term(disk: &mut Disk, before: Option<Revision>) {
    let term = |revision: Option<Revision>| revision.map_or(1, |revision| revision.term);
    if term(last(disk)) > term(before) {
        disk.commit(|tx| match &before {
            Some(revision) => AUTHORITY.put(tx, REVISION, revision),
            None => AUTHORITY.delete(tx, REVISION),
        });
    }
}

/// The store does not know for a while that it is stale.
pub(crate) fn forget_standing(disk: &mut Disk) -> Option<Vec<u8>> {
    let own = disk.view().get(OWN, b"own").expect("memory does not fail");
    forget_base(disk);
    own
}

/// It knows it again.
pub(crate) fn remember_standing(disk: &mut Disk, own: Option<Vec<u8>>) {
    if let Some(own) = own {
        disk.commit(|tx| tx.put(OWN, b"own", &own));
    }
}
