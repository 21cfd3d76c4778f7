//! Last words first: an authority reads back what it has said, before it says anything more.
//!
//! Why: a store that was restored from an older copy does not know that it is behind. It would give new
//! changes revisions that the mesh has newer words under, and link anew what was unlinked. What the
//! comparison means is the authority's to decide; here it is only made sure that it comes first.

use std::sync::Arc;

use openkcm_contracts::Lane;
use tokio::task::JoinSet;

use super::{Attempt, Interruption, Shared};
use crate::{Reading, TransportError, Words, inbox};

impl Shared {
    /// Reads all streams of own words to their ends, then lets letters go.
    pub(super) async fn compare_words(self: Arc<Self>) {
        let Some(Words { author, streams, from_the_beginning }) = self.courier.words.clone() else { return };
        let mut readers = JoinSet::new();
        for stream in streams {
            let reading = Reading::words(stream, author);
            readers.spawn(self.clone().compare_stream(reading, from_the_beginning));
        }
        while let Some(read) = readers.join_next().await {
            if let Err(error) = read {
                match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_cancelled) => return,
                }
            }
        }
        let mut failures = 0;
        while let Err(error) = self.courier.receiver.compared().await {
            self.note_failure(Attempt::Compare(Lane::Urgent), &error.into());
            failures += 1;
            self.back_off(failures).await;
        }
        self.compared.send_replace(true);
    }

    async fn compare_stream(self: Arc<Self>, reading: Reading, from_the_beginning: bool) {
        let mut failures = 0;
        loop {
            match self.compare_to_the_end(&reading, from_the_beginning).await {
                Ok(()) => break,
                // Where there is no stream, no word was said.
                Err(Interruption::Transport(TransportError::Missing(what))) => {
                    tracing::info!(%what, "not on the mesh yet: no own words to compare with there");
                    break;
                }
                Err(interruption) => {
                    self.note_failure(Attempt::to_read(&reading), &interruption);
                    failures += 1;
                    self.back_off(failures).await;
                }
            }
        }
        self.note_nothing(Attempt::to_read(&reading));
    }

    async fn compare_to_the_end(
        &self,
        reading: &Reading,
        from_the_beginning: bool,
    ) -> Result<(), Interruption> {
        let of = reading.clone();
        let position = match from_the_beginning {
            true => None,
            false => self.courier.store.read(move |view| inbox::position(view, &of)).await?,
        };
        let mut intakes = self.intakes(reading, position).await?;
        loop {
            let words = intakes.next().await?;
            let caught_up = words.caught_up;
            self.courier.receiver.compare(words).await?;
            if caught_up {
                return Ok(());
            }
        }
    }
}
