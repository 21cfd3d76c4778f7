//! Waiting for a state, never longer than told; and for many things that are done at the same time.

use std::future::Future;
use std::time::Duration;

use openkcm_host::Clock;
use tokio::task::{JoinError, JoinSet};

/// Things that are done at the same time.
const AT_ONCE: usize = 16;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks until there is something to see, and gives that; `None` when the patience ends before.
pub(super) async fn until<T, F: Future<Output = Option<T>>>(
    clock: &dyn Clock,
    patience: Duration,
    look: impl Fn() -> F,
) -> Option<T> {
    let begun = clock.boottime();
    loop {
        if let Some(seen) = look().await {
            return Some(seen);
        }
        if clock.boottime().since(begun) >= patience {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a task gave; its panic goes on in whoever waited for it.
pub(super) fn joined<T>(outcome: Result<T, JoinError>) -> Option<T> {
    match outcome {
        Ok(given) => Some(given),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}

/// Does something for each, several at once, until one fails.
pub(super) async fn each<T: Clone, F>(things: &[T], work: impl Fn(T) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    for thing in things {
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await.and_then(joined).unwrap_or(Ok(()))?;
        }
        under_way.spawn(work(thing.clone()));
    }
    while let Some(outcome) = under_way.join_next().await {
        joined(outcome).unwrap_or(Ok(()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use openkcm_host::SystemClock;

    use super::*;

    #[tokio::test]
    async fn what_fails_for_one_of_many_ends_the_work() {
        let numbers: Vec<u32> = (0..100).collect();
        each(&numbers, |_| async { Ok(()) }).await.expect("all went well");
        let failed = each(&numbers, |number| async move {
            match number {
                77 => anyhow::bail!("77"),
                _ => Ok(()),
            }
        });
        assert_eq!(failed.await.expect_err("one failed").to_string(), "77");
    }

    #[tokio::test]
    async fn a_state_is_looked_for_again_and_once_at_least() {
        let looks = AtomicU32::new(0);
        let look = || async { (looks.fetch_add(1, Ordering::Relaxed) == 2).then_some(7) };
        assert_eq!(until(&SystemClock, Duration::from_secs(60), look).await, Some(7));
        assert_eq!(until(&SystemClock, Duration::ZERO, || async { Some(7) }).await, Some(7));
        assert_eq!(until(&SystemClock, Duration::ZERO, || async { None::<u32> }).await, None);
    }
}
