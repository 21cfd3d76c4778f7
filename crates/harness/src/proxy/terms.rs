//! How a proxy treats its connections, now.

use std::time::Duration;

/// How the bytes of each direction are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) towards_server: Way,
    pub(super) towards_client: Way,
}

/// What becomes of bytes in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Passed on at once.
    Open,
    /// Passed on this much later.
    Late(Duration),
    /// Neither read nor written.
    Held,
    /// Read, and never written.
    Lost,
}

/// How connections end that a test ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As a process's do that ends: FIN.
    Close,
    /// At once, whatever is still under way: RST.
    Reset,
}

impl Terms {
    pub(super) fn both(way: Way) -> Self {
        Self { towards_server: way, towards_client: way }
    }

    /// Whether a server can be dialled on behalf of a client.
    pub(super) fn let_dial(&self) -> bool {
        *self != Self::both(Way::Held)
    }
}
