//! An origin that does what it is told, and tells the world what the cache has taken of it.

use super::world::{CHUNK, Head, Kind, Piece, Setup};
use super::{Failure, Shared};
use crate::fields;
use buttress_core::Error;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;

/// The origin.
#[derive(Clone)]
pub(crate) struct Site(pub(crate) Shared);

impl Service<Request<()>> for Site {
    type Response = Response<Sent>;
    type Error = Error<Failure>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Sent>, Error<Failure>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<Failure>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let field = |name| request.headers()[name].to_str().unwrap();
        let id = self.0.lock().call(field("client").parse().unwrap(), field("variant") == "b");
        let mut sent = Some(Sent { world: Arc::clone(&self.0), id });
        Box::pin(poll_fn(move |cx| {
            let world = Arc::clone(&sent.as_ref().unwrap().world);
            let mut world = world.lock();
            let call = &mut world.calls[id];
            call.waker.clone_from(cx.waker());
            let Some(head) = call.head else { return Poll::Pending };
            world.take_head(id, head);
            let setup = world.setup;
            drop(world);
            match head.kind {
                Kind::Error => Poll::Ready(Err(Error::Inner(Failure(id)))),
                Kind::Panic => resume_unwind(Box::new("as told")),
                _ => Poll::Ready(Ok(respond(setup, head, sent.take().unwrap()))),
            }
        }))
    }
}

fn respond(setup: Setup, head: Head, sent: Sent) -> Response<Sent> {
    let lives =
        if setup.brief { "max-age=4, stale-while-revalidate=4, stale-if-error=20" } else { "max-age=100000" };
    let (status, control) = match head.kind {
        Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "x"),
        Kind::Unstorable => (StatusCode::OK, "no-store"),
        _ => (StatusCode::OK, lives),
    };
    let mut headers = fields(&format!("Cache-Control: {control} | Cache-Tag: tag | From: {}", sent.id));
    if setup.varies {
        headers.extend(fields("Vary: Variant"));
    }
    if let Some(chunks) = head.chunks {
        headers.insert("content-length", (chunks * CHUNK).into());
    }
    let mut response = Response::new(sent);
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}

/// What the origin sends; whoever drops it has left.
pub(crate) struct Sent {
    world: Shared,
    id: usize,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let mut world = self.world.lock();
        let call = &mut world.calls[self.id];
        call.waker.clone_from(cx.waker());
        // Once it has ended it stays so.
        let Some(piece) = call.pieces.front().copied() else { return Poll::Pending };
        if piece == Piece::Chunk {
            call.pieces.pop_front();
        }
        let chunk = world.take_piece(self.id, piece);
        drop(world);
        match piece {
            Piece::Chunk => Poll::Ready(Some(Ok(Frame::data(chunk.into())))),
            Piece::End => Poll::Ready(None),
            Piece::Torn => Poll::Ready(Some(Err(Failure(self.id)))),
            Piece::Panic => resume_unwind(Box::new("as told")),
        }
    }

    fn is_end_stream(&self) -> bool {
        let mut world = self.world.lock();
        let call = &world.calls[self.id];
        let ends = call.head.unwrap().knows_end && call.pieces.front() == Some(&Piece::End);
        if ends {
            world.take_piece(self.id, Piece::End);
        }
        ends
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.world.lock().leave(self.id);
    }
}
