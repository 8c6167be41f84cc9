//! What a client does, and what it checks of what it gets.

use super::origin::Sent;
use super::{Failure, Shared};
use buttress_cache::http::Body;
use buttress_core::Error;
use buttress_testkit::waker::CountingWaker;
use http::{HeaderMap, Response};
use http_body::Body as _;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

pub(crate) type Asking = Pin<Box<dyn Future<Output = Result<Response<Body<Sent>>, Error<Failure>>>>>;

/// A client, polled by hand.
pub(crate) struct Client {
    pub(crate) id: usize,
    pub(crate) stage: Stage,
    pub(crate) to_end: bool,
    /// How many frames it wants to read.
    pub(crate) wants: usize,
    /// Whether it has been told to wait to be woken.
    pub(crate) pending: bool,
    pub(crate) waker: CountingWaker,
    pub(crate) seen: usize,
}

pub(crate) enum Stage {
    Asking(Asking),
    Reading { body: Body<Sent>, from: usize, got: Vec<u8> },
}

impl Client {
    pub(crate) fn is_due(&self) -> bool {
        match self.stage {
            _ if self.pending => self.waker.wakes() != self.seen,
            Stage::Asking(_) => true,
            Stage::Reading { .. } => self.wants > 0,
        }
    }

    pub(crate) fn has_stalled(&self) -> bool {
        matches!(self.stage, Stage::Reading { .. }) && self.wants == 0
    }

    /// Reads as much as it wants to. Says whether it is done.
    pub(crate) fn poll(&mut self, world: &Shared) -> bool {
        self.pending = true;
        let mut cx = self.waker.context();
        let (id, to_end) = (self.id, self.to_end);
        if let Stage::Asking(asking) = &mut self.stage {
            let Poll::Ready(answer) = asking.as_mut().poll(&mut cx) else { return false };
            let (head, body) = match answer {
                Ok(response) => response.into_parts(),
                Err(error) => {
                    world.lock().check_error(id, &error);
                    return true;
                }
            };
            let from = from(&head.headers);
            let told = head.headers["cache-status"].to_str().unwrap();
            let is_of_store = !told.contains("; collapsed") || told.contains("; detail=stale-if-error");
            world.lock().check_head(id, head.status.as_u16(), from, is_of_store);
            let Some(from) = from else { return true };
            self.stage = Stage::Reading { body, from, got: Vec::new() };
        }
        let Stage::Reading { body, from, got } = &mut self.stage else { return true };
        loop {
            if !to_end && body.is_end_stream() {
                world.lock().check_whole(id, *from, got);
                return true;
            }
            if self.wants == 0 {
                self.pending = false;
                return false;
            }
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(&mut cx) else { return false };
            self.wants -= 1;
            match frame {
                Some(Ok(frame)) => {
                    got.extend_from_slice(&frame.into_data().unwrap());
                    world.lock().check_frames(id, *from, got);
                }
                Some(Err(Failure(torn))) => {
                    world.lock().check_torn(id, torn);
                    return true;
                }
                None => {
                    world.lock().check_whole(id, *from, got);
                    return true;
                }
            }
        }
    }
}

fn from(headers: &HeaderMap) -> Option<usize> {
    headers.get("from")?.to_str().ok()?.parse().ok()
}
