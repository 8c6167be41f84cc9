use crate::config::Config;
use crate::error::RegisterError;
use crate::family::{Place, Series};
use crate::flights::{Flights, Lent};
use crate::histogram::Histogram;
use crate::name::Kind;
use crate::outcome::{BoxedErrors, Errors, Outcome};
use crate::registry::Registry;
#[cfg(doc)]
use crate::request::TraceOf;
use crate::request::WordOf;
use crate::service::Measured;
use crate::trace::TraceId;
use buttress_core::{Lanes, Metric, Name};
use std::fmt;
use std::sync::Arc;
use tower_layer::Layer;

/// Measures every call of a service, whatever its requests are: how many, how long, how they ended, how many are running.
///
/// | metric | labels |
/// | --- | --- |
/// | `service_request_duration_seconds`, a histogram | `name`, `operation`, `outcome` |
/// | `service_requests_in_flight`, a gauge | `name` |
///
/// It is an *in place* layer: it asks for nothing beyond `Service`, allocates nothing per call and keeps the error type. A
/// call counts from `call` to its response, its error, its panic or its being dropped, exactly once; so nothing stays in
/// flight that is not. How an answer or an error is to be counted is a [`Judge`](crate::Judge)'s to say. For HTTP there is
/// `HttpMetricsLayer`, which knows statuses and sees bodies to their end.
///
/// Put it outermost, or what the layers outside of it refuse is not seen.
///
/// # Examples
///
/// ```
/// use buttress_metrics::{Config, MetricsLayer, Registry, expose::Format};
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
///
/// enum Command { Read(u64), Write(u64) }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let registry = Registry::new();
/// let metrics = MetricsLayer::new("store", Config::default(), &registry)?
///     .operation(|command: &Command| Some(match command {
///         Command::Read(_) => "read",
///         Command::Write(_) => "write",
///     }))
///     .boxed_errors(); // finds the refusals of layers in a `BoxError`
/// let mut store = ServiceBuilder::new()
///     .layer(metrics)
///     .service(service_fn(|command: Command| async move {
///         match command {
///             Command::Read(id) => Ok(id),
///             Command::Write(id) => Err(BoxError::from(format!("{id} is read-only"))),
///         }
///     }));
///
/// store.ready().await?.call(Command::Read(7)).await?;
/// assert!(store.ready().await?.call(Command::Write(7)).await.is_err());
/// let text = registry.encode(Format::Text);
/// for count in [
///     "service_request_duration_seconds_count{name=\"store\",operation=\"read\",outcome=\"ok\"} 1\n",
///     "service_request_duration_seconds_count{name=\"store\",operation=\"write\",outcome=\"error\"} 1\n",
///     "service_requests_in_flight{name=\"store\"} 0.0\n",
/// ] {
///     assert!(text.contains(count), "{text}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MetricsLayer<W = (), J = Errors, T = ()> {
    shared: Shared,
    word: W,
    judge: J,
    trace: T,
}

/// What all services of one layer share.
#[derive(Clone)]
pub(crate) struct Shared {
    name: Name,
    pub(crate) lanes: Lanes<Arc<Durations>>,
    /// Where calls are counted that have no word.
    pub(crate) unnamed: Place,
}

pub(crate) type Durations = Series<Histogram, Outcome>;

const DURATION: Metric = Metric {
    name: "service_request_duration_seconds",
    unit: "seconds",
    help: "how long calls of a service took, by how they ended",
};
const IN_FLIGHT: Metric =
    Metric { name: "service_requests_in_flight", unit: "", help: "calls of a service that are running" };

impl MetricsLayer {
    /// Measures in this registry, under this name. Layers of the same name are counted as one.
    ///
    /// # Errors
    ///
    /// If one of the metrics' names is taken, also by another layer with another configuration.
    pub fn new(name: impl Into<Name>, config: Config, registry: &Registry) -> Result<Self, RegisterError> {
        let (name, Config { buckets, cap }) = (name.into(), config);
        let grid = Arc::new(buckets.grid());
        registry.check_together(&[(&DURATION, Kind::Histogram), (&IN_FLIGHT, Kind::Gauge)])?;
        let durations: Arc<Durations> = registry.series(&DURATION, &["name", "operation"], cap, grid)?;
        let flights: Arc<Series<Flights<Durations>, ()>> =
            registry.series(&IN_FLIGHT, &["name"], cap, Lent(durations))?;
        let lanes = flights.with(&[name.as_str()]).get(()).0.clone();
        let unnamed = lanes.here().place(&[name.as_str(), ""]);
        Ok(Self { shared: Shared { name, lanes, unnamed }, word: (), judge: Errors, trace: () })
    }
}

impl<W, J, T> MetricsLayer<W, J, T> {
    /// Reads from each request what it is counted under: one of a few words that your program knows, never what a caller
    /// chose.
    #[must_use]
    pub fn operation<Req, F>(self, operation: F) -> MetricsLayer<F, J, T>
    where
        F: for<'a> Fn(&'a Req) -> Option<&'a str>,
    {
        self.operation_with(operation)
    }

    /// Reads from each request what it is counted under, by a value of a type ([`WordOf`]).
    #[must_use]
    pub fn operation_with<F>(self, operation: F) -> MetricsLayer<F, J, T> {
        MetricsLayer { shared: self.shared, word: operation, judge: self.judge, trace: self.trace }
    }

    /// Judges results by a closure `|result| -> Outcome`. Without it every answer is ok, and an error is what it says of
    /// itself ([`Outcome::of`]).
    #[must_use]
    pub fn judge<R, E, F: Fn(Result<&R, &E>) -> Outcome>(self, judge: F) -> MetricsLayer<W, F, T> {
        self.judge_with(judge)
    }

    /// Judges results by a value of a type ([`Judge`](crate::Judge)).
    #[must_use]
    pub fn judge_with<F>(self, judge: F) -> MetricsLayer<W, F, T> {
        MetricsLayer { shared: self.shared, word: self.word, judge, trace: self.trace }
    }

    /// Reads errors that are boxed (`tower::BoxError`).
    #[must_use]
    pub fn boxed_errors(self) -> MetricsLayer<W, BoxedErrors, T> {
        self.judge_with(BoxedErrors)
    }

    /// Reads from each request the trace that it belongs to, which `OpenMetrics` then shows as an example of how long calls
    /// take.
    #[must_use]
    pub fn exemplars<Req, F: Fn(&Req) -> Option<TraceId>>(self, trace: F) -> MetricsLayer<W, J, F> {
        self.exemplars_with(trace)
    }

    /// Reads traces by a value of a type ([`TraceOf`]).
    #[must_use]
    pub fn exemplars_with<F>(self, trace: F) -> MetricsLayer<W, J, F> {
        MetricsLayer { shared: self.shared, word: self.word, judge: self.judge, trace }
    }
}

impl Shared {
    /// Where calls of this request are counted.
    #[inline]
    pub(crate) fn place<Req>(&self, durations: &Durations, word: &impl WordOf<Req>, request: &Req) -> Place {
        let word = word.word_of(request);
        word.map_or(self.unnamed, |word| durations.place(&[self.name.as_str(), word]))
    }
}

impl<S, W: Clone, J: Clone, T: Clone> Layer<S> for MetricsLayer<W, J, T> {
    type Service = Measured<S, W, J, T>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { shared, word, judge, trace } = self.clone();
        Measured { inner, shared, word, judge, trace }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).field("in_flight", &self.lanes.held()).finish()
    }
}

impl<W, J, T> fmt::Debug for MetricsLayer<W, J, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsLayer").field("shared", &self.shared).finish_non_exhaustive()
    }
}
