//! Where loads run.

use super::body::Body;
use super::future::{ResponseFuture, Trip};
use super::landing::{Duty, Tee};
use crate::flow::{Apart, Here};
use buttress_core::Rejected;
use bytes::Bytes;
use http::{Request, Response};
use std::mem;
use tokio::runtime::Handle;
use tower_service::Service;

/// Where what a request begins goes on: [`Here`], in its own future and body, or [`Apart`], in tasks.
///
/// There is nothing to implement.
pub trait Drive<S, Q, B: http_body::Body>: sealed::Sealed {
    #[doc(hidden)]
    const APART: bool;

    /// Revalidates what is served stale meanwhile, or gives the lead back.
    #[doc(hidden)]
    fn refresh(trip: &mut Trip<S, Q>, lead: Duty) -> Option<Duty>;

    /// Reads and stores a body as its client does, or faster.
    #[doc(hidden)]
    fn tee(body: B, tee: Tee) -> Body<B>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Here {}
    impl Sealed for super::Apart {}
}

impl<S, Q, B: http_body::Body> Drive<S, Q, B> for Here {
    const APART: bool = false;

    fn refresh(_: &mut Trip<S, Q>, lead: Duty) -> Option<Duty> {
        Some(lead)
    }

    fn tee(body: B, tee: Tee) -> Body<B> {
        Body::tee(body, tee)
    }
}

impl<S, Q, B> Drive<S, Q, B> for Apart
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: From<Rejected> + Send + 'static,
    Q: Default + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Send + 'static,
{
    const APART: bool = true;

    fn refresh(trip: &mut Trip<S, Q>, lead: Duty) -> Option<Duty> {
        let Ok(runtime) = Handle::try_current() else { return Some(lead) };
        let inner = trip.inner.clone();
        // The client needs no more of it: it is answered by what is there.
        let request = mem::replace(&mut trip.request, Request::new(Q::default()));
        let future: ResponseFuture<S, Q, S::Future, B, Here> = trip.refresh(inner, request, lead.0);
        runtime.spawn(async move {
            if let Ok(response) = future.await {
                response.into_body().collect().await;
            }
        });
        None
    }

    fn tee(body: B, tee: Tee) -> Body<B> {
        let Ok(runtime) = Handle::try_current() else { return Body::tee(body, tee) };
        let (body, task) = Body::driven(body, tee);
        runtime.spawn(task);
        body
    }
}
