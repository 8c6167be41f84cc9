use super::config::Config;
use super::families::{Role, Shared};
use super::judge::Statuses;
use super::request_body::{Counted, Declared};
use super::service::HttpMeasured;
use crate::error::RegisterError;
use crate::outcome::{BoxedErrors, Outcome};
use crate::registry::Registry;
use crate::trace::TraceId;
use http::{Request, Response};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use tower_layer::Layer;

/// Measures HTTP requests, from their heads to the ends of their responses' bodies.
///
/// See the [module](super) for what it measures and for an example.
#[derive(Clone)]
pub struct HttpMetricsLayer<W = (), J = Statuses, T = (), N = Declared> {
    shared: Arc<Shared>,
    route: W,
    judge: J,
    trace: T,
    size: PhantomData<N>,
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
        Ok(Self { shared, route: (), judge: Statuses::default(), trace: (), size: PhantomData })
    }
}

impl<W, J, T, N> HttpMetricsLayer<W, J, T, N> {
    /// Reads the route of each request, for `http_route`: the template that a router has matched, never the path itself.
    #[must_use]
    pub fn route<B, F>(self, route: F) -> HttpMetricsLayer<F, J, T, N>
    where
        F: for<'a> Fn(&'a Request<B>) -> Option<&'a str>,
    {
        self.route_with(route)
    }

    /// Reads routes by a value of a type ([`WordOf`](crate::WordOf)).
    #[must_use]
    pub fn route_with<F>(self, route: F) -> HttpMetricsLayer<F, J, T, N> {
        HttpMetricsLayer { shared: self.shared, route, judge: self.judge, trace: self.trace, size: self.size }
    }

    /// Judges results by a closure `|result| -> Outcome`, in place of [`Statuses`].
    #[must_use]
    pub fn judge<B, E, F>(self, judge: F) -> HttpMetricsLayer<W, F, T, N>
    where
        F: Fn(Result<&Response<B>, &E>) -> Outcome,
    {
        self.judge_with(judge)
    }

    /// Judges results by a value of a type ([`Judge`](crate::Judge)).
    #[must_use]
    pub fn judge_with<F>(self, judge: F) -> HttpMetricsLayer<W, F, T, N> {
        HttpMetricsLayer { shared: self.shared, route: self.route, judge, trace: self.trace, size: self.size }
    }

    /// Reads errors that are boxed (`tower::BoxError`).
    #[must_use]
    pub fn boxed_errors(self) -> HttpMetricsLayer<W, Statuses<BoxedErrors>, T, N> {
        self.judge_with(Statuses(BoxedErrors))
    }

    /// Reads from each request the trace that it belongs to, which `OpenMetrics` then shows as an example of how long
    /// requests take.
    #[must_use]
    pub fn exemplars<B, F>(self, trace: F) -> HttpMetricsLayer<W, J, F, N>
    where
        F: Fn(&Request<B>) -> Option<TraceId>,
    {
        self.exemplars_with(trace)
    }

    /// Reads traces by a value of a type ([`TraceOf`](crate::TraceOf)).
    #[must_use]
    pub fn exemplars_with<F>(self, trace: F) -> HttpMetricsLayer<W, J, F, N> {
        HttpMetricsLayer { shared: self.shared, route: self.route, judge: self.judge, trace, size: self.size }
    }

    /// Counts the bodies of requests that do not say how long they are, so that each has a size: as much as the inner
    /// service has read of it when the exchange is counted. Those that say it are as large as they say.
    ///
    /// The inner service is given a [`RequestBody`](super::RequestBody) in place of the body. The count is an allocation,
    /// for bodies of unknown length only, and only where [`Config::body_sizes`](field@Config::body_sizes) wants them.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{Router, routing::post};
    /// use buttress_metrics::Registry;
    /// use buttress_metrics::http::{Config, HttpMetricsLayer};
    ///
    /// let registry = Registry::new();
    /// let config = Config::default().body_sizes(true);
    /// let metrics = HttpMetricsLayer::server(config, &registry)?.count_request_bodies();
    /// let app: Router = Router::new()
    ///     .route("/items", post(|item: String| async move { item }))
    ///     .layer(metrics); // a router takes any body
    /// # Ok::<_, buttress_metrics::RegisterError>(())
    /// ```
    #[must_use]
    pub fn count_request_bodies(self) -> HttpMetricsLayer<W, J, T, Counted> {
        let Self { shared, route, judge, trace, .. } = self;
        HttpMetricsLayer { shared, route, judge, trace, size: PhantomData }
    }
}

impl<S, W: Clone, J: Clone, T: Clone, N: Clone> Layer<S> for HttpMetricsLayer<W, J, T, N> {
    type Service = HttpMeasured<S, W, J, T, N>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { shared, route, judge, trace, size } = self.clone();
        HttpMeasured { inner, shared, route, judge, trace, size }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("role", &self.role).field("in_flight", &self.in_flight()).finish()
    }
}

impl<W, J, T, N> fmt::Debug for HttpMetricsLayer<W, J, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpMetricsLayer").field("shared", &self.shared).finish_non_exhaustive()
    }
}
