//! The stack. Everything that holds the upstream up, or holds its callers up without it, is on this page.

use crate::parts::{self, Parts};
use crate::proxy::{self, Upstream};
use crate::{Args, problem};
use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use buttress::breaker::{self, BreakerLayer};
use buttress::cache;
use buttress::cache::http::{Heuristic, HttpCache, HttpCacheLayer, HttpOptions};
use buttress::http::ServerErrors;
use buttress::limit::TimeoutLayer;
use buttress::metrics::RegisterError;
use buttress::metrics::http::{Config, HttpMetricsLayer};
use buttress::{Classify, Outcome};
use std::convert::Infallible;
use std::num::{NonZeroU64, NonZeroUsize};
use tower::util::MapResponseLayer;
use tower::{Service, ServiceBuilder};

/// What a request can fail with between its first layer and the upstream.
pub(crate) type Error = buttress::Error<hyper_util::client::legacy::Error>;

/// The way of a request, outermost layer first. What there is to see of it is added to `parts`.
pub(crate) fn stack(
    args: &Args,
    upstream: Upstream,
    parts: &mut Parts,
) -> Result<
    impl Service<Request, Response: IntoResponse, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static,
    RegisterError,
> {
    // What clients see is measured above everything, what the upstream does below everything.
    let server = HttpMetricsLayer::server(Config::default(), &parts.registry)?
        .route(parts::route)
        .judge(parts::ended)
        .exemplars(parts::trace);
    let client = HttpMetricsLayer::client(Config::default(), &parts.registry)?;

    // The deadline bounds the whole. The attempt's own limit is below the breaker, so that stalls count as
    // failures. It also runs while the client sends its body, which is streamed; so that gets less time, and a
    // client that trickles is told from an upstream that stalls.
    let deadline = TimeoutLayer::new("deadline", args.deadline);
    let breaker = BreakerLayer::new("upstream", args.breaker())
        .classify(judge)
        .observe(|event: breaker::Event| crate::log(format_args!("breaker upstream: {event}")));
    let attempt = TimeoutLayer::new("attempt", args.attempt_timeout);

    // The cache stands before the breaker, so that what it holds is answered while the breaker is open, and what it
    // may serve stale is served then. In the background each body is read at the upstream's pace, and a client that
    // reads slowly keeps nobody waiting.
    let cache = NonZeroU64::new(args.cache_mib << 20)
        .map(|weight| HttpCache::new("gateway", limits(args, weight), rules(args)));
    let caching =
        cache.as_ref().map(|cache| (MapResponseLayer::new(boxed), HttpCacheLayer::new(cache).background()));

    parts.show(deadline.handle())?;
    if let Some(cache) = &cache {
        parts.show(cache.clone())?;
    }
    parts.show(breaker.handle())?;
    parts.show(attempt.handle())?;
    parts.cache = cache;

    Ok(ServiceBuilder::new()
        .layer(server)
        .layer(HandleErrorLayer::new(problem::answer))
        .layer(deadline)
        .option_layer(caching)
        .layer(breaker)
        .layer(attempt)
        .map_err(Error::Inner)
        .service(proxy::client(upstream, args.upload(), client)))
}

/// What the cache holds. Weight counts, so the limit on entries is one that small responses do not meet first.
fn limits(args: &Args, weight: NonZeroU64) -> cache::Config {
    let entries = usize::try_from(weight.get() / 1024).unwrap_or(usize::MAX);
    cache::Config::default()
        .max_weight(weight)
        .max_entries(NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN))
        // Who has waited this long for another's response asks for itself, and still has time for that.
        .hard_timeout((args.deadline - args.attempt_timeout) / 2)
}

/// What the cache does where RFC 9111 leaves it the choice.
fn rules(args: &Args) -> HttpOptions {
    HttpOptions::default()
        .heuristic(Heuristic::default())
        .surrogate_control(true)
        .set_cookie(args.cache_set_cookie)
        .stale_if_error(args.stale_if_error)
}

fn boxed(response: http::Response<cache::http::Body<Body>>) -> Response {
    response.map(Body::new)
}

/// A body that the client itself broke off, or took too long for, says nothing about the upstream; anybody could
/// send five.
fn judge(result: Result<&Response, &Error>) -> Outcome {
    match result {
        Err(Error::Inner(error)) if proxy::is_clients_fault(error) => Outcome::Ignore,
        result => ServerErrors.classify(result),
    }
}
