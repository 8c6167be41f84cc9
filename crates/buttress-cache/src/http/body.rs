use super::entry::Stored;
use super::landing::Tee;
use crate::primitive::Mutex;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

pin_project! {
    /// The body of a response from a cache: of the inner service, or of the store. Its chunks are shared, not copied.
    ///
    /// # Cancel safety
    ///
    /// If what it brings is being stored and is dropped half-way, nothing of it is stored, and the one that has waited
    /// longest makes its own call; with [`background`](super::HttpCacheLayer::background) a task reads on.
    pub struct Body<B: http_body::Body> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B: http_body::Body> {
        Empty,
        Passed { #[pin] body: B },
        Stored { rest: Rest },
        Tee { #[pin] body: B, tee: Tee },
        Driven { buffer: Reader<B> },
    }
}

/// What is still to be sent of a stored body.
struct Rest {
    stored: Arc<Stored>,
    chunk: usize,
    /// Bytes of the chunk before the part.
    skip: usize,
    left: u64,
    trailers: bool,
}

impl<B: http_body::Body> Body<B> {
    pub(crate) fn empty() -> Self {
        Self { kind: Kind::Empty }
    }

    pub(crate) fn passed(body: B) -> Self {
        Self { kind: Kind::Passed { body } }
    }

    pub(crate) fn tee(body: B, tee: Tee) -> Self {
        Self { kind: Kind::Tee { body, tee } }
    }

    /// A part of a stored body; with all of it come its trailers.
    pub(crate) fn stored(stored: Arc<Stored>, part: Range<u64>) -> Self {
        let trailers = part == (0..stored.length) && stored.trailers.is_some();
        let (mut chunk, mut start) = (0, part.start);
        while let Some(length) = stored.body.get(chunk).map(|bytes| bytes.len() as u64) {
            if start < length {
                break;
            }
            start -= length;
            chunk += 1;
        }
        let left = part.end.saturating_sub(part.start);
        // It is less than the length of a chunk.
        let rest = Rest { stored, chunk, skip: start as usize, left, trailers };
        Self { kind: Kind::Stored { rest } }
    }
}

impl<B: http_body::Body<Data = Bytes>> Body<B> {
    /// Whether it is being stored as it is read.
    fn is_collected(&self) -> bool {
        matches!(&self.kind, Kind::Tee { tee, .. } if tee.is_on())
    }

    /// Reads it to the end for as long as it is to be stored.
    pub(crate) async fn collect(self) {
        let mut body = std::pin::pin!(self);
        while body.is_collected() {
            match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                Some(Ok(_)) => {}
                _ => return,
            }
        }
    }
}

impl<B: http_body::Body<Data = Bytes>> http_body::Body for Body<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Empty => Poll::Ready(None),
            KindProj::Passed { body } => body.poll_frame(cx),
            KindProj::Stored { rest } => Poll::Ready(rest.next().map(Ok)),
            KindProj::Tee { body, tee } => poll_tee(body, tee, cx),
            KindProj::Driven { buffer } => buffer.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Passed { body } => body.is_end_stream(),
            // Who is told so need not poll again: not before it is stored.
            Kind::Tee { body, tee } => !tee.is_on() && body.is_end_stream(),
            Kind::Stored { rest } => rest.left == 0 && !rest.trailers,
            Kind::Driven { buffer } => buffer.has_ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Passed { body } | Kind::Tee { body, .. } => body.size_hint(),
            Kind::Stored { rest } => SizeHint::with_exact(rest.left),
            Kind::Driven { buffer } => buffer.size_hint(),
        }
    }
}

impl Rest {
    fn next(&mut self) -> Option<Frame<Bytes>> {
        if self.left > 0 {
            if let Some(chunk) = self.stored.body.get(self.chunk) {
                let end = usize::try_from(self.left)
                    .map_or(chunk.len(), |left| self.skip.saturating_add(left).min(chunk.len()));
                let part = chunk.slice(self.skip..end);
                self.left -= part.len() as u64;
                (self.chunk, self.skip) = (self.chunk + 1, 0);
                return Some(Frame::data(part));
            }
        }
        if std::mem::take(&mut self.trailers) {
            return self.stored.trailers.clone().map(Frame::trailers);
        }
        None
    }
}

/// Polls a body and lets the tee see what comes.
fn poll_tee<B: http_body::Body<Data = Bytes>>(
    mut body: Pin<&mut B>,
    tee: &mut Tee,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
    let polled = ready!(body.as_mut().poll_frame(cx));
    match &polled {
        Some(Ok(frame)) => {
            if let Some(chunk) = frame.data_ref() {
                tee.data(chunk);
            } else if let Some(trailers) = frame.trailers_ref() {
                tee.trailers(trailers);
            }
            // Who is told so need not poll again.
            if body.is_end_stream() {
                tee.end();
            }
        }
        Some(Err(_)) => tee.give_up(),
        None => tee.end(),
    }
    Poll::Ready(polled)
}

impl<B: http_body::Body> fmt::Debug for Body<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Empty => "Empty",
            Kind::Passed { .. } => "Passed",
            Kind::Stored { .. } => "Stored",
            Kind::Tee { .. } => "Tee",
            Kind::Driven { .. } => "Driven",
        };
        f.debug_tuple("Body").field(&format_args!("{kind}")).finish()
    }
}

/// What a task has read of a body, and its client has not.
struct Buffer<B: http_body::Body> {
    frames: VecDeque<Frame<Bytes>>,
    /// The body itself, when the task does not poll it.
    body: Option<Pin<Box<B>>>,
    /// Whether a task reads it.
    driven: bool,
    end: Option<Option<B::Error>>,
    /// Of what the client has not read yet.
    hint: SizeHint,
    reader: Option<Waker>,
    /// Whether the client has left.
    left: bool,
}

impl<B: http_body::Body> Buffer<B> {
    fn has_read(&mut self, frame: &Frame<Bytes>) {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = self.hint.upper() {
            hint.set_upper(upper.saturating_sub(length));
        }
        hint.set_lower(self.hint.lower().saturating_sub(length));
        self.hint = hint;
    }
}

/// The client's end.
struct Reader<B: http_body::Body>(Arc<Mutex<Buffer<B>>>);

/// The task's end. Dropped, it leaves the rest to the client.
struct Writer<B: http_body::Body>(Arc<Mutex<Buffer<B>>>);

impl<B: http_body::Body<Data = Bytes>> Body<B> {
    /// Gives a body for the client, and what a task has to run.
    pub(crate) fn driven(body: B, tee: Tee) -> (Self, impl Future<Output = ()>) {
        let buffer = Arc::new(Mutex::new(Buffer {
            frames: VecDeque::new(),
            hint: body.size_hint(),
            body: Some(Box::pin(body)),
            driven: true,
            end: None,
            reader: None,
            left: false,
        }));
        let writer = Writer(Arc::clone(&buffer));
        (Self { kind: Kind::Driven { buffer: Reader(buffer) } }, writer.run(tee))
    }
}

impl<B: http_body::Body<Data = Bytes>> Writer<B> {
    async fn run(self, mut tee: Tee) {
        while tee.is_on() {
            let polled = poll_fn(|cx| {
                let Some(mut body) = self.0.lock().body.take() else { return Poll::Ready(None) };
                let polled = poll_tee(body.as_mut(), &mut tee, cx);
                self.0.lock().body = Some(body);
                polled
            })
            .await;
            let wake = {
                let mut buffer = self.0.lock();
                match polled {
                    Some(Ok(frame)) if !buffer.left => buffer.frames.push_back(frame),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => buffer.end = Some(Some(error)),
                    None => buffer.end = Some(None),
                }
                buffer.reader.take()
            };
            if let Some(waker) = wake {
                waker.wake();
            }
        }
    }
}

impl<B: http_body::Body> Drop for Writer<B> {
    fn drop(&mut self) {
        let wake = {
            let mut buffer = self.0.lock();
            buffer.driven = false;
            buffer.reader.take()
        };
        if let Some(waker) = wake {
            waker.wake();
        }
    }
}

impl<B: http_body::Body<Data = Bytes>> Reader<B> {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut buffer = self.0.lock();
        if let Some(frame) = buffer.frames.pop_front() {
            buffer.has_read(&frame);
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(end) = &mut buffer.end {
            return Poll::Ready(end.take().map(Err));
        }
        if buffer.driven {
            let old = buffer.reader.replace(cx.waker().clone());
            drop(buffer);
            drop(old);
            return Poll::Pending;
        }
        // The task has left it here.
        let mut body = buffer.body.take().expect("the task that read the body has not panicked");
        drop(buffer);
        let polled = body.as_mut().poll_frame(cx);
        let mut buffer = self.0.lock();
        buffer.body = Some(body);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            buffer.has_read(frame);
        }
        polled
    }

    fn has_ended(&self) -> bool {
        let buffer = self.0.lock();
        let rest = || !buffer.driven && buffer.body.as_ref().is_some_and(http_body::Body::is_end_stream);
        buffer.frames.is_empty() && (matches!(buffer.end, Some(None)) || buffer.end.is_none() && rest())
    }

    fn size_hint(&self) -> SizeHint {
        Clone::clone(&self.0.lock().hint)
    }
}

impl<B: http_body::Body> Drop for Reader<B> {
    fn drop(&mut self) {
        let mut buffer = self.0.lock();
        buffer.left = true;
        let frames = std::mem::take(&mut buffer.frames);
        // A task that is over has left it here.
        let body = if buffer.driven { None } else { buffer.body.take() };
        drop(buffer);
        drop((frames, body));
    }
}
