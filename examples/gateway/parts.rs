//! What can be seen of the gateway: its parts, and how requests end.

use axum::extract::Request;
use axum::response::Response;
use buttress::cache::http::HttpCache;
use buttress::metrics::http::Statuses;
use buttress::metrics::{Errors, Judge, Outcome, RegisterError, Registry, TraceId};
use buttress::{Inspect, Rejected};
use std::convert::Infallible;
use std::sync::Arc;

/// The parts that `/status` and `/metrics` show, and that can be told to do something.
pub(crate) struct Parts {
    /// In the order of the stack.
    pub(crate) shown: Vec<Arc<dyn Inspect>>,
    pub(crate) registry: Registry,
    /// `None` if it is off.
    pub(crate) cache: Option<HttpCache>,
}

impl Parts {
    pub(crate) fn new() -> Self {
        let registry = Registry::new().observe(|event| crate::log(format_args!("metrics: {event}")));
        Self { shown: Vec::new(), registry, cache: None }
    }

    /// Shows one more.
    pub(crate) fn show(&mut self, part: impl Inspect + 'static) -> Result<(), RegisterError> {
        self.show_all([Arc::new(part) as Arc<dyn Inspect>])
    }

    /// Shows these, too.
    pub(crate) fn show_all(
        &mut self,
        parts: impl IntoIterator<Item = Arc<dyn Inspect>>,
    ) -> Result<(), RegisterError> {
        for part in parts {
            self.registry.register(Arc::clone(&part))?;
            self.shown.push(part);
        }
        Ok(())
    }
}

/// What a request is counted under: a word of ours, never what a client has sent. These are the paths of the embedded
/// upstream.
pub(crate) fn route(request: &Request) -> Option<&str> {
    match request.uri().path().strip_prefix("/memories")? {
        "" => Some("/memories"),
        rest => rest.strip_prefix('/').filter(|id| !id.contains('/')).map(|_| "/memories/{id}"),
    }
}

/// The trace that a request says it belongs to.
pub(crate) fn trace(request: &Request) -> Option<TraceId> {
    TraceId::from_traceparent(request.headers().get("traceparent")?.to_str().ok()?)
}

/// How a request has ended. A refusal was made a response on its way, and still counts as one.
pub(crate) fn ended(result: Result<&Response, &Infallible>) -> Outcome {
    match result.ok().and_then(|response| response.extensions().get::<Rejected>()) {
        Some(refused) => Outcome::of(refused),
        None => Statuses::<Errors>::default().judge(result),
    }
}
