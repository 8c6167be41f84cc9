//! The stack. Everything that holds the upstream up, or holds its callers up without it, is on this page.

use crate::proxy::{self, Upstream};
use crate::{Args, problem};
use axum::error_handling::HandleErrorLayer;
use axum::extract::Request;
use axum::response::Response;
use buttress::breaker::{self, BreakerLayer};
use buttress::http::ServerErrors;
use buttress::limit::TimeoutLayer;
use buttress::{Classify, Inspect, Outcome};
use std::convert::Infallible;
use tower::{Service, ServiceBuilder};

/// What a request can fail with between its first layer and the upstream.
pub(crate) type Error = buttress::Error<hyper_util::client::legacy::Error>;

/// The way of a request, outermost layer first, and the parts of it that `/status` shows.
pub(crate) fn stack(
    args: &Args,
    upstream: Upstream,
) -> (
    impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static,
    Vec<Box<dyn Inspect>>,
) {
    // The deadline bounds the whole. The attempt's own limit is below the breaker, so that stalls count as
    // failures. It also runs while the client sends its body, which is streamed; so that gets less time, and a
    // client that trickles is told from an upstream that stalls.
    let deadline = TimeoutLayer::new("deadline", args.deadline);
    let breaker = BreakerLayer::new("upstream", args.breaker())
        .classify(judge)
        .observe(|event: breaker::Event| crate::log(format_args!("breaker upstream: {event}")));
    let attempt = TimeoutLayer::new("attempt", args.attempt_timeout);

    let parts: Vec<Box<dyn Inspect>> =
        vec![Box::new(deadline.handle()), Box::new(breaker.handle()), Box::new(attempt.handle())];

    let service = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(problem::answer))
        .layer(deadline)
        .layer(breaker)
        .layer(attempt)
        .map_err(Error::Inner)
        .service(proxy::client(upstream, args.upload()));
    (service, parts)
}

/// A body that the client itself broke off, or took too long for, says nothing about the upstream; anybody could
/// send five.
fn judge(result: Result<&Response, &Error>) -> Outcome {
    match result {
        Err(Error::Inner(error)) if proxy::is_clients_fault(error) => Outcome::Ignore,
        result => ServerErrors.classify(result),
    }
}
