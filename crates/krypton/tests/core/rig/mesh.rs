//! A mesh that can be taken away from one Core, for sending, for hearing, or for both, and given back.

use std::sync::Arc;

use async_trait::async_trait;
use openkcm_contracts::Lane;
use openkcm_orbital::{
    Batch, Embedded, Message, Position, Published, Reading, Subscription, Transport, TransportError,
};
use tokio::sync::watch;

/// What works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Up,
    /// It hears, and tells manifests; what it makes it can't tell.
    Mute,
    /// It hears all but definitions and links.
    Factless,
    /// It hears all but sealed versions.
    Sealless,
    /// It neither hears nor tells.
    Cut,
}

/// One Core's way to the mesh.
#[derive(Clone)]
pub(crate) struct Way {
    mesh: Embedded,
    link: Arc<watch::Sender<Link>>,
}

impl Way {
    pub(crate) fn new(mesh: Embedded, link: Link) -> Self {
        Self { mesh, link: Arc::new(watch::channel(link).0) }
    }

    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }

    fn away() -> TransportError {
        TransportError::Unavailable("no route".into())
    }
}

#[async_trait]
impl Transport for Way {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<Published>, TransportError> {
        let link = *self.link.borrow();
        let are_manifests = messages.iter().all(|message| message.address.stream.lane == Lane::Manifests);
        if link == Link::Cut || (link == Link::Mute && !are_manifests) {
            return Err(Self::away());
        }
        self.mesh.publish(messages).await
    }

    async fn subscribe(
        &self,
        reading: &Reading,
        after: Option<Position>,
    ) -> Result<Box<dyn Subscription>, TransportError> {
        if *self.link.borrow() == Link::Cut {
            return Err(Self::away());
        }
        let inner = self.mesh.subscribe(reading, after).await?;
        Ok(Box::new(Reader { inner, lane: reading.stream.lane, link: self.link.subscribe() }))
    }
}

struct Reader {
    inner: Box<dyn Subscription>,
    lane: Lane,
    link: watch::Receiver<Link>,
}

#[async_trait]
impl Subscription for Reader {
    async fn next(&mut self, max: usize) -> Result<Batch, TransportError> {
        let withheld = match self.lane {
            Lane::Facts => Some(Link::Factless),
            Lane::Sealed => Some(Link::Sealless),
            _ => None,
        };
        // The sender outlives its readers.
        let _ = self.link.wait_for(|link| Some(*link) != withheld).await;
        let cut = async {
            if self.link.wait_for(|link| *link == Link::Cut).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = cut => Err(Way::away()),
            batch = self.inner.next(max) => batch,
        }
    }
}
