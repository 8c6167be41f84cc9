//! What a task reads of a body and what its client does, in every interleaving. As in [`crate::loom`], whoever has not
//! been woken is not polled again.

use super::body::Body;
use super::directives::ResponseDirectives;
use super::entry::HttpKey;
use super::freshness::Times;
use super::landing::{ASK, Head, Landing, Tee};
use super::policy::Policy;
use super::{HttpCache, HttpOptions};
use crate::Config;
use crate::loom::{Woken, model};
use crate::store::Begun;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use http_body::{Body as _, Frame};
use loom::thread;
use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

/// Chunks, of which the task is given so many; the client is given all.
struct Chunks {
    left: u8,
    for_task: u8,
    task: Waker,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if cx.waker().will_wake(&self.task) {
            let Some(left) = self.for_task.checked_sub(1) else { return Poll::Pending };
            self.for_task = left;
        }
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }
}

/// What a task has to run.
struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    waker: Waker,
}

impl Task {
    fn poll(&mut self) -> Poll<()> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}

/// The client's body of two chunks, its task, and what is held for as long as there is a body.
fn driven(cache: &HttpCache, for_task: u8) -> (Body<Chunks>, Task, Arc<Woken>) {
    let headers = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("\"a\""))]);
    let (now, none) = (cache.now(), ResponseDirectives::default());
    let times = Times { request: now, response: now };
    let policy = Policy::new(cache.options(), StatusCode::OK, &headers, &none, &headers, times);
    let shared = &cache.cache().shared;
    let Begun::Lead(lead, _) = shared.store.begin(HttpKey::whole("/".to_owned()), ASK, shared) else {
        panic!("nobody else has asked");
    };
    let landing = Landing::new(cache, lead, &headers, &headers).expect("it varies on nothing");
    let head = Head {
        status: StatusCode::OK,
        version: Version::HTTP_11,
        headers,
        policy,
        received: now,
        part: None,
    };
    let held = Arc::<Woken>::default();
    let waker = Waker::from(Arc::clone(&held));
    let chunks = Chunks { left: 2, for_task, task: waker.clone() };
    let (body, task) = Body::driven(chunks, Tee::new(landing, head, None));
    (body, Task { future: Box::pin(task), waker }, held)
}

fn cache() -> HttpCache {
    let config = Config::default().max_entries(NonZeroUsize::MIN);
    HttpCache::new("loom", config, HttpOptions::default())
}

/// A client that reads what is there. Says whether that is all.
fn read(body: &mut Body<Chunks>, woken: &Arc<Woken>, chunks: &mut u8) -> bool {
    let waker = Waker::from(Arc::clone(woken));
    loop {
        match Pin::new(&mut *body).poll_frame(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(Ok(_))) => *chunks += 1,
            Poll::Ready(None) => return true,
            Poll::Pending => return false,
        }
    }
}

#[test]
fn loom_a_client_hears_of_what_a_task_reads_and_of_its_end() {
    // The task reads all, or is dropped with its runtime before.
    for for_task in [3, 1, 0] {
        model("a task reads a body, or a part of it, and its client too", move || {
            let cache = cache();
            let (mut body, mut task, held) = driven(&cache, for_task);
            let thread = thread::spawn(move || assert_eq!(task.poll().is_ready(), for_task == 3));
            let (woken, mut chunks) = (Arc::<Woken>::default(), 0);
            let ended = read(&mut body, &woken, &mut chunks);
            thread.join().unwrap();
            if !ended {
                assert!(woken.0.load(Ordering::SeqCst), "it waits, and nobody has woken it");
                assert!(read(&mut body, &woken, &mut chunks));
            }
            assert_eq!((chunks, cache.stats().loading), (2, 0));
            assert_eq!(cache.stats().entries, usize::from(for_task == 3));
            drop(body);
            assert_eq!(Arc::strong_count(&held), 1);
        });
    }
}

#[test]
fn loom_a_client_that_leaves_keeps_no_task_from_reading_on() {
    model("a task reads a body, and its client leaves", || {
        let cache = cache();
        let (mut body, mut task, held) = driven(&cache, 3);
        let thread = thread::spawn(move || assert!(task.poll().is_ready()));
        read(&mut body, &Arc::default(), &mut 0);
        drop(body);
        thread.join().unwrap();
        assert_eq!((cache.stats().entries, cache.stats().loading), (1, 0));
        assert_eq!(Arc::strong_count(&held), 1, "nobody keeps the body");
    });
}
