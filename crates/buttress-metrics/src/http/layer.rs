use super::config::Config;
use super::families::{Role, Shared};
use super::judge::Statuses;
use super::service::HttpMeasured;
use crate::error::RegisterError;
use crate::outcome::{BoxedErrors, Outcome};
use crate::registry::Registry;
use crate::trace::TraceId;
use http::{Request, Response};
use std::fmt;
use std::sync::Arc;
use tower_layer::Layer;

/// Measures HTTP requests, from their heads to the ends of their responses' bodies.
///
/// See the [module](super) for what it measures and for an example.
#[derive(Clone)]
pub struct HttpMetricsLayer<W = (), J = Statuses, T = ()> {
    shared: Arc<Shared>,
    route: W,
    judge: J,
    trace: T,
}

impl HttpMetricsLayer {
    /// Measures what a server answers, as `http_server_..`. Layers of one registry are counted as one.
    ///
    /// # Errors
    ///
    /// If one of the metrics' names is taken, also by another layer with another configuration.
    pub fn server(config: Config, registry: &Registry) -> Result<Self, RegisterError> {
        Self::new(Role::Server, config, registry)
    }

    /// Measures what a client asks, as `http_client_..`, by the address and port in its requests' URIs. Routes are not
    /// asked for.
    ///
    /// # Errors
    ///
    /// As [`server`](Self::server).
    pub fn client(config: Config, registry: &Registry) -> Result<Self, RegisterError> {
        Self::new(Role::Client, config, registry)
    }

    fn new(role: Role, config: Config, registry: &Registry) -> Result<Self, RegisterError> {
        let shared = Arc::new(Shared::new(role, config, registry)?);
        Ok(Self { shared, route: (), judge: Statuses::default(), trace: () })
    }
}

impl<W, J, T> HttpMetricsLayer<W, J, T> {
    /// Reads the route of each request, for `http_route`: the template that a router has matched, never the path itself.
    #[must_use]
    pub fn route<B, F>(self, route: F) -> HttpMetricsLayer<F, J, T>
    where
        F: for<'a> Fn(&'a Request<B>) -> Option<&'a str>,
    {
        self.route_with(route)
    }

    /// Reads routes by a value of a type ([`WordOf`](crate::WordOf)).
    #[must_use]
    pub fn route_with<F>(self, route: F) -> HttpMetricsLayer<F, J, T> {
        HttpMetricsLayer { shared: self.shared, route, judge: self.judge, trace: self.trace }
    }

    /// Judges results by a closure `|result| -> Outcome`, in place of [`Statuses`].
    #[must_use]
    pub fn judge<B, E, F>(self, judge: F) -> HttpMetricsLayer<W, F, T>
    where
        F: Fn(Result<&Response<B>, &E>) -> Outcome,
    {
        self.judge_with(judge)
    }

    /// Judges results by a value of a type ([`Judge`](crate::Judge)).
    #[must_use]
    pub fn judge_with<F>(self, judge: F) -> HttpMetricsLayer<W, F, T> {
        HttpMetricsLayer { shared: self.shared, route: self.route, judge, trace: self.trace }
    }

    /// Reads errors that are boxed (`tower::BoxError`).
    #[must_use]
    pub fn boxed_errors(self) -> HttpMetricsLayer<W, Statuses<BoxedErrors>, T> {
        self.judge_with(Statuses(BoxedErrors))
    }

    /// Reads from each request the trace that it belongs to, which `OpenMetrics` then shows as an example of how long
    /// requests take.
    #[must_use]
    pub fn exemplars<B, F>(self, trace: F) -> HttpMetricsLayer<W, J, F>
    where
        F: Fn(&Request<B>) -> Option<TraceId>,
    {
        self.exemplars_with(trace)
    }

    /// Reads traces by a value of a type ([`TraceOf`](crate::TraceOf)).
    #[must_use]
    pub fn exemplars_with<F>(self, trace: F) -> HttpMetricsLayer<W, J, F> {
        HttpMetricsLayer { shared: self.shared, route: self.route, judge: self.judge, trace }
    }
}

impl<S, W: Clone, J: Clone, T: Clone> Layer<S> for HttpMetricsLayer<W, J, T> {
    type Service = HttpMeasured<S, W, J, T>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { shared, route, judge, trace } = self.clone();
        HttpMeasured { inner, shared, route, judge, trace }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("role", &self.role).field("in_flight", &self.in_flight()).finish()
    }
}

impl<W, J, T> fmt::Debug for HttpMetricsLayer<W, J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpMetricsLayer").field("shared", &self.shared).finish_non_exhaustive()
    }
}
