//! Waiting for something outside of this process, with an end.
//!
//! Not for what can be awaited: a channel or a future says by itself when it is done.

use std::future::Future;
use std::time::Duration;

/// Between two looks: short, so that tests are as fast as the server.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until something is given up: a minute of pauses, since build machines can be slow.
const MOST_LOOKS: u32 = 3_000;

/// Looks until `look` finds something, and gives that.
///
/// # Panics
///
/// When nothing is found within a minute; `what` says what was waited for.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    for _ in 0..MOST_LOOKS {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("waited in vain: {what}");
}
