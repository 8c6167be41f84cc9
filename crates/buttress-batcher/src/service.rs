use crate::engine::Batching;
use crate::future::ResponseFuture;
use crate::intake::Place;
use crate::rejected;
#[cfg(doc)]
use buttress_core::Reason;
use buttress_core::{Lanes, Rejected};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// Sends requests in batches, by a task that its first call spawns; made by [`BatchLayer`](crate::BatchLayer).
///
/// Deferring: `poll_ready` reserves a place, whatever the service below does, and `call` spends it. A clone has no place
/// yet. The service below is not in its type: it belongs to the task, which lives on the runtime that the first call was
/// made in, and ends with the last clone or by a [shutdown](crate::Handle::shutdown).
pub struct Batch<Req, Res, E> {
    front: Arc<Front<Req, Res, E>>,
    place: Place,
}

/// What there is of services: where it ends, nobody comes in any more.
pub(crate) struct Front<Req, Res, E> {
    lanes: Lanes<Arc<dyn Batching<Req, Res, E>>>,
}

impl<Req, Res, E> Drop for Front<Req, Res, E> {
    fn drop(&mut self) {
        self.lanes.here().close(None);
    }
}

impl<Req, Res, E> Batch<Req, Res, E> {
    pub(crate) fn new(engine: &Arc<dyn Batching<Req, Res, E>>) -> Self {
        let lanes = Lanes::new(|_| Arc::clone(engine));
        Self { front: Arc::new(Front { lanes }), place: Place::None }
    }
}

impl<Req, Res, E: From<Rejected>> Service<Req> for Batch<Req, Res, E> {
    type Response = Res;
    type Error = E;
    type Future = ResponseFuture<Req, Res, E>;

    /// Ready when there is a place, unless [`WhenFull::Refuse`](crate::WhenFull::Refuse) is set. It fails with
    /// [`Reason::Closed`] after a shutdown, and after the driver's runtime has ended.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        if self.place == Place::Held {
            return Poll::Ready(Ok(()));
        }
        let lane = self.front.lanes.here();
        lane.poll_ready(&mut self.place, cx).map_err(|reason| rejected(lane.name(), reason).into())
    }

    /// A call for which there is no place is refused with [`Reason::Overloaded`].
    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let lane = self.front.lanes.here();
        match lane.call(request, &mut self.place) {
            Ok(called) => ResponseFuture::waiting(lane, called),
            Err(reason) => ResponseFuture::refused(lane.name(), reason),
        }
    }
}

impl<Req, Res, E> Clone for Batch<Req, Res, E> {
    fn clone(&self) -> Self {
        // Written by hand: a place stays with the one that reserved it.
        Self { front: Arc::clone(&self.front), place: Place::None }
    }
}

impl<Req, Res, E> Drop for Batch<Req, Res, E> {
    fn drop(&mut self) {
        self.front.lanes.here().give_up(&mut self.place);
    }
}

impl<Req, Res, E> fmt::Debug for Batch<Req, Res, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("name", &self.front.lanes.here().name())
            .field("is_ready", &(self.place == Place::Held))
            .finish_non_exhaustive()
    }
}
