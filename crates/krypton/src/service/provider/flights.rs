//! One question about one version at a time.
//!
//! A link that is made anew asks for the same versions again, while a question of the one before may still be under
//! way: the later waits for that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use openkcm_contracts::{SystemPath, VersionId};
use tokio::sync::OwnedMutexGuard;

type Seats = HashMap<(SystemPath, VersionId), Weak<tokio::sync::Mutex<()>>>;

#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<Seats>>);

impl Flights {
    /// Waits until nobody else asks about this version. It is so until what this gives is dropped.
    pub(super) async fn board(&self, path: &SystemPath, version: VersionId) -> OwnedMutexGuard<()> {
        self.seat(path, version).lock_owned().await
    }

    fn seat(&self, path: &SystemPath, version: VersionId) -> Arc<tokio::sync::Mutex<()>> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (path.clone(), version);
        if let Some(seat) = seats.get(&name).and_then(Weak::upgrade) {
            return seat;
        }
        // Looked through when it has grown twofold, so that each entry costs the same however many.
        if seats.len() == seats.capacity() {
            seats.retain(|_, seat| seat.strong_count() > 0);
        }
        let seat = Arc::new(tokio::sync::Mutex::new(()));
        seats.insert(name, Arc::downgrade(&seat));
        seat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn questions_that_are_over_leave_nothing_behind() {
        let (flights, path) = (Flights::default(), "acme/hr".parse().expect("a system's name"));
        for number in 0..1_000_u128 {
            drop(flights.board(&path, VersionId::from_bytes(number.to_be_bytes())).await);
        }
        let kept = flights.0.lock().expect("no panic").len();
        assert!(kept < 100, "{kept} versions are remembered");
    }

    #[tokio::test]
    async fn one_version_is_asked_about_once_at_a_time_and_others_meanwhile() {
        let (flights, path) = (Flights::default(), "acme/hr".parse().expect("a system's name"));
        let version = |byte: u8| VersionId::from_bytes([byte; 16]);
        let first = flights.board(&path, version(1)).await;
        drop(flights.board(&path, version(2)).await);
        let (mut second, others) = (Box::pin(flights.board(&path, version(1))), flights.clone());
        assert!(futures_ready(&mut second).await.is_none(), "the first is under way");
        drop(first);
        drop(second.await);
        drop(others);
    }

    /// What is ready at once.
    async fn futures_ready<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        tokio::select! {
            biased;
            ready = future => Some(ready),
            () = std::future::ready(()) => None,
        }
    }
}
