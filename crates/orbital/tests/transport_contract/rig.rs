//! What the suite needs of a mesh under test.

use std::sync::Arc;

use async_trait::async_trait;
use openkcm_orbital::Transport;

/// A mesh of its own for each test, and the means to crash it.
#[async_trait]
pub(crate) trait Rig: Send + Sync {
    /// A client of the mesh as it is now.
    fn transport(&self) -> Arc<dyn Transport>;

    /// Ends the mesh without a chance to finish anything, and starts it again on what its disks hold. Clients and
    /// subscriptions from before are of no use any more.
    async fn crash(&mut self);

    /// A client of a mesh that was made anew and holds nothing.
    async fn another_mesh(&self) -> Arc<dyn Transport>;
}
