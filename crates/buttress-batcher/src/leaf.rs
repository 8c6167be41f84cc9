use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// Makes a service over batches of a closure, to stand below a [`BatchLayer`](crate::BatchLayer): it gets the requests of
/// a batch and gives as many results, in the same order; or an error, if there are none.
///
/// The errors of requests take refusals, so one that is not yours goes through
/// [`map_each_err`](BatchFn::map_each_err).
///
/// # Examples
///
/// ```
/// use buttress_batcher::batch_fn;
/// use buttress_core::Error;
/// use std::io;
/// use tower::{Service, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> io::Result<()> {
/// let mut parse = batch_fn(|texts: Vec<&str>| async move {
///     Ok::<_, io::Error>(texts.into_iter().map(str::parse::<u8>).collect::<Vec<_>>())
/// })
/// .map_each_err(Error::Inner);
/// let numbers = parse.ready().await?.call(vec!["7", "seven"]).await?;
/// assert_eq!(numbers[0], Ok(7));
/// assert!(matches!(numbers[1], Err(Error::Inner(_))));
/// # Ok(())
/// # }
/// ```
pub fn batch_fn<F, Req, Fut, Res, E, B>(batch: F) -> BatchFn<F>
where
    F: FnMut(Vec<Req>) -> Fut,
    Fut: Future<Output = Result<Vec<Result<Res, E>>, B>>,
{
    BatchFn { batch }
}

/// A closure as a service over batches; made by [`batch_fn`].
#[derive(Clone, Copy)]
pub struct BatchFn<F> {
    batch: F,
}

impl<F> BatchFn<F> {
    /// Changes the error of each request: `Error::Inner` makes one of it that takes refusals.
    pub fn map_each_err<E, G, H>(self, map: G) -> MapEachErr<F, G>
    where
        G: Fn(E) -> H + Clone,
    {
        MapEachErr { batch: self.batch, map }
    }
}

impl<F, Req, Fut, Res, E, B> Service<Vec<Req>> for BatchFn<F>
where
    F: FnMut(Vec<Req>) -> Fut,
    Fut: Future<Output = Result<Vec<Result<Res, E>>, B>>,
{
    type Response = Vec<Result<Res, E>>;
    type Error = B;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), B>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, requests: Vec<Req>) -> Fut {
        (self.batch)(requests)
    }
}

impl<F> fmt::Debug for BatchFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchFn(..)")
    }
}

/// A closure as a service over batches, with other errors for requests; made by [`BatchFn::map_each_err`].
#[derive(Clone, Copy)]
pub struct MapEachErr<F, G> {
    batch: F,
    map: G,
}

impl<F, G, Req, Fut, Res, E, H, B> Service<Vec<Req>> for MapEachErr<F, G>
where
    F: FnMut(Vec<Req>) -> Fut,
    Fut: Future<Output = Result<Vec<Result<Res, E>>, B>>,
    G: Fn(E) -> H + Clone,
{
    type Response = Vec<Result<Res, H>>;
    type Error = B;
    type Future = MapEachErrFuture<Fut, G>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), B>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, requests: Vec<Req>) -> Self::Future {
        MapEachErrFuture { inner: (self.batch)(requests), map: self.map.clone() }
    }
}

impl<F, G> fmt::Debug for MapEachErr<F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MapEachErr(..)")
    }
}

pin_project! {
    /// The future of a [`MapEachErr`].
    #[must_use = "futures do nothing unless polled"]
    pub struct MapEachErrFuture<Fut, G> {
        #[pin]
        inner: Fut,
        map: G,
    }
}

impl<Fut, G, Res, E, H, B> Future for MapEachErrFuture<Fut, G>
where
    Fut: Future<Output = Result<Vec<Result<Res, E>>, B>>,
    G: Fn(E) -> H,
{
    type Output = Result<Vec<Result<Res, H>>, B>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let results = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(results.into_iter().map(|result| result.map_err(&*this.map)).collect()))
    }
}

impl<Fut, G> fmt::Debug for MapEachErrFuture<Fut, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MapEachErrFuture(..)")
    }
}
