//! What systemd is told: that the component serves, that it stops, that it is alive.
//!
//! Where no service manager listens nothing is told to anyone.

use sd_notify::NotifyState;

/// The component serves.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The component ends what has begun, and stops.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells that the runtime still runs its tasks, twice as often as is asked for; ends where nobody asks.
pub(super) async fn keep_alive() {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(limit / 2).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}
