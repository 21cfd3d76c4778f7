//! The runs of the embedded mesh, from one opening to the next: which positions are its own.
//!
//! A mesh that was restored from an older copy counts on from there, and soon uses numbers that the lost
//! messages had. A reader that goes by the number alone would take what it never saw for read: an Unlink,
//! say. So a position names the run in which its message was delivered, and is believed as far as that run
//! came in *this* mesh's memory of it; a run that the copy does not know of is another mesh's.

use std::collections::{BTreeMap, VecDeque};

use openkcm_store::{Read, Scan, StoreError, Table, Write};
use serde::{Deserialize, Serialize};

use super::{MESSAGES, head, sequence_of};
use crate::{Position, Stream};

/// All runs that are remembered, the oldest first.
pub(super) const RUNS: Table<VecDeque<Run>> = Table::new("runs");
const ALL: &str = "all";

/// Runs that are remembered. Who was away for longer reads its streams from the beginning, which a
/// compacting mesh keeps short.
const KEPT_RUNS: usize = 64;

/// One run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Run {
    /// Drawn at random, so that two copies of a mesh that both go on have different ones.
    id: String,
    /// The number of each stream's last message at its end; none for the run that goes on.
    ended: Option<BTreeMap<String, u64>>,
}

/// Begins a run, which ends those before.
pub(super) fn begin(tx: &mut dyn Write, id: String) -> Result<(), StoreError> {
    let (mut runs, heads) = (remembered(tx.as_read())?, heads(tx.as_read())?);
    for run in runs.iter_mut().filter(|run| run.ended.is_none()) {
        run.ended = Some(heads.clone());
    }
    while runs.len() >= KEPT_RUNS {
        runs.pop_front();
    }
    runs.push_back(Run { id, ended: None });
    RUNS.put(tx, ALL, &runs)
}

/// Whether a position is one of this mesh, and one that it has come to.
pub(super) fn knows(store: &dyn Read, stream: &Stream, position: &Position) -> Result<bool, StoreError> {
    let Some(run) = remembered(store)?.into_iter().find(|run| run.id == position.mesh) else {
        return Ok(false);
    };
    let come_to = match run.ended {
        Some(heads) => heads.get(&stream.to_string()).copied().unwrap_or(0),
        None => head(store, stream)?,
    };
    Ok(position.sequence <= come_to)
}

/// A damaged record is no memory: all streams are read from their beginnings once.
fn remembered(store: &dyn Read) -> Result<VecDeque<Run>, StoreError> {
    match RUNS.get(store, ALL) {
        Err(error @ StoreError::Record { .. }) => {
            tracing::error!(%error, "the embedded mesh is damaged; its streams are read anew");
            Ok(VecDeque::new())
        }
        outcome => outcome.map(Option::unwrap_or_default),
    }
}

/// The number of the last message of every stream.
fn heads(store: &dyn Read) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut heads = BTreeMap::new();
    let mut after = Vec::new();
    loop {
        let scan = Scan { prefix: b"", after: Some(&after), limit: 1 };
        let Some((key, _)) = store.scan(MESSAGES.space(), scan)?.pop() else { return Ok(heads) };
        let end = key.iter().rposition(|byte| *byte == b'/').map_or(key.len(), |slash| slash + 1);
        let (stream, _) = key.split_at(end);
        let last = store.last(MESSAGES.space(), stream)?.map_or(key.clone(), |(key, _)| key);
        let name = String::from_utf8_lossy(stream).trim_end_matches('/').to_owned();
        heads.insert(name, sequence_of(&last).unwrap_or(0));
        after = last;
    }
}
