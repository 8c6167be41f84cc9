//! What is measured of an exchange, under which names.

use super::config::Config;
use super::label::{MethodLabel, Scheme, StatusLabel};
use crate::call::Record;
use crate::collect::{Collector, Description};
use crate::drops::Drops;
use crate::error::RegisterError;
use crate::family::{Instrument, Place, Series, Source, sealed};
use crate::flights::{Flights, Lent};
use crate::histogram::{Grid, Histogram, Snapshot};
use crate::label::Label;
use crate::name::Kind;
use crate::outcome::Outcome;
use crate::registry::Registry;
use crate::trace::TraceId;
use buttress_core::{Lane, Metric};
use http::{Request, StatusCode};
use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Who measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Client,
}

/// The metrics of one role.
struct Names {
    duration: Metric,
    active: Metric,
    request: Metric,
    response: Metric,
    /// Open labels of the first and the last two.
    exchange: &'static [&'static str],
    /// Open labels of the active requests.
    flight: &'static [&'static str],
}

const fn seconds(name: &'static str, help: &'static str) -> Metric {
    Metric { name, unit: "seconds", help }
}

const fn bytes(name: &'static str, help: &'static str) -> Metric {
    Metric { name, unit: "bytes", help }
}

const fn count(name: &'static str, help: &'static str) -> Metric {
    Metric { name, unit: "", help }
}

const SERVER: Names = Names {
    duration: seconds("http_server_request_duration_seconds", "how long requests took that were served"),
    active: count("http_server_active_requests", "requests that are being served"),
    request: bytes(
        "http_server_request_body_size_bytes",
        "how large the bodies of requests were that were served",
    ),
    response: bytes("http_server_response_body_size_bytes", "how much was sent of the bodies of responses"),
    exchange: &["http_route"],
    flight: &[],
};

const CLIENT: Names = Names {
    duration: seconds("http_client_request_duration_seconds", "how long requests took that were made"),
    active: count("http_client_active_requests", "requests that wait for the end of their response"),
    request: bytes(
        "http_client_request_body_size_bytes",
        "how large the bodies of requests were that were made",
    ),
    response: bytes("http_client_response_body_size_bytes", "how much came of the bodies of responses"),
    exchange: &["server_address", "server_port"],
    flight: &["server_address", "server_port"],
};

impl Role {
    const fn names(self) -> &'static Names {
        match self {
            Self::Server => &SERVER,
            Self::Client => &CLIENT,
        }
    }

    /// What the conventions call an error: `error.type`, empty if there is none.
    fn error_type<'a>(self, status: &'a str, outcome: &str) -> &'a str {
        match outcome {
            "server_error" => status,
            "client_error" if self == Self::Client => status,
            "rejected" => "rejected",
            "timeout" => "timeout",
            "cancelled" => "cancelled",
            "panicked" => "panic",
            "error" => "_OTHER",
            _ => "",
        }
    }
}

/// The histograms of one combination of labels; those of sizes once there was one.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    duration: Histogram,
    request: OnceLock<Histogram<u64>>,
    response: OnceLock<Histogram<u64>>,
}

/// The cells of durations and of sizes.
type Grids = (Arc<Grid>, Arc<Grid>);

impl Instrument for Exchange {}

impl sealed::Sealed for Exchange {
    const KIND: Kind = Kind::Histogram;
    type Plan = Grids;

    fn make((durations, _): &Grids, drops: &Arc<Drops>) -> Self {
        let duration = Histogram::new(Arc::clone(durations), Arc::clone(drops));
        Self { duration, request: OnceLock::new(), response: OnceLock::new() }
    }

    fn collect(&self, labels: &[(&str, &str)], into: &mut dyn Collector) {
        into.histogram(labels, &self.duration.snapshot());
    }
}

type Labels = (MethodLabel, Scheme, StatusLabel, Outcome);

/// All exchanges of one role: what each call is lent.
pub(crate) struct Exchanges {
    role: Role,
    series: Series<Exchange, Labels>,
}

impl Exchanges {
    fn sizes<'a>(&self, of: &'a OnceLock<Histogram<u64>>) -> &'a Histogram<u64> {
        let (sizes, drops) = (&self.series.shape.plan.1, &self.series.shape.drops);
        of.get_or_init(|| Histogram::new(Arc::clone(sizes), Arc::clone(drops)))
    }
}

/// One of the histograms of all exchanges, as a family of its own.
struct View {
    exchanges: Arc<Exchanges>,
    description: Description,
    histogram: fn(&Exchange) -> Option<Snapshot>,
}

impl Source for View {
    fn collect(&self, into: &mut dyn Collector) {
        let mut begun = false;
        self.exchanges.series.each(|exchange, labels| {
            let Some(snapshot) = (self.histogram)(exchange) else { return };
            if !std::mem::replace(&mut begun, true) {
                into.family(&self.description);
            }
            let value = |name: &str| labels.iter().find(|label| label.0 == name).map_or("", |label| label.1);
            let error = self.exchanges.role.error_type(value(StatusLabel::NAME), value(Outcome::NAME));
            if !error.is_empty() {
                labels.push(("error_type", error));
            }
            into.histogram(labels, &snapshot);
        });
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// What all services of one layer share.
pub(crate) struct Shared {
    pub(crate) role: Role,
    scheme: Scheme,
    body_sizes: bool,
    exchanges: Arc<Exchanges>,
    flights: Arc<Series<Flights<Exchanges>, (MethodLabel, Scheme)>>,
}

impl Shared {
    pub(crate) fn new(role: Role, config: Config, registry: &Registry) -> Result<Self, RegisterError> {
        let names = role.names();
        let Config { buckets, body_sizes, size_buckets, scheme, cap } = config;
        let grids = (Arc::new(buckets.grid()), Arc::new(size_buckets.grid()));
        let taken =
            |metric: &Metric| RegisterError::Taken { name: metric.name.into(), by: metric.name.into() };
        let view = |metric: &Metric, exchanges: &Arc<Exchanges>, histogram| View {
            exchanges: Arc::clone(exchanges),
            description: Description::new(metric, Kind::Histogram),
            histogram,
        };
        let durations = registry.find_or_insert(names.duration.name, Kind::Histogram, |drops| {
            let description = Description::new(&names.duration, Kind::Histogram);
            let series = Series::new(description, names.exchange, cap, grids.clone(), drops);
            let exchanges = Arc::new(Exchanges { role, series });
            Ok(view(&names.duration, &exchanges, |exchange| Some(exchange.duration.snapshot())))
        });
        let durations: Arc<View> = durations.map_err(|_| taken(&names.duration))?;
        let exchanges = &durations.exchanges;
        if (exchanges.series.cap, &exchanges.series.shape.plan) != (cap, &grids) {
            return Err(taken(&names.duration));
        }
        if body_sizes {
            for (metric, histogram) in [
                (&names.request, (|exchange| Some(exchange.request.get()?.snapshot())) as fn(&Exchange) -> _),
                (&names.response, |exchange| Some(exchange.response.get()?.snapshot())),
            ] {
                let make = |_| Ok(view(metric, exchanges, histogram));
                registry.find_or_insert(metric.name, Kind::Histogram, make).map_err(|_| taken(metric))?;
            }
        }
        let lent = Lent(Arc::clone(exchanges));
        let flights = registry.series(&names.active, names.flight, cap, lent)?;
        Ok(Self { role, scheme, body_sizes, exchanges: Arc::clone(exchanges), flights })
    }

    /// Begins the record of a request; `route` is a server's.
    #[inline]
    pub(crate) fn begin<B: http_body::Body>(
        &self,
        request: &Request<B>,
        route: Option<&str>,
        trace: Option<TraceId>,
    ) -> Exchanged {
        let method = MethodLabel::of(request.method());
        let scheme = Scheme::of(request.uri()).unwrap_or(self.scheme);
        let uri = request.uri();
        let (flights, place) = match self.role {
            Role::Server => (self.flights.with(&[]), self.exchanges.series.place(&[route.unwrap_or("")])),
            Role::Client => {
                let port = uri.port();
                let port = port.as_ref().map_or(scheme.port(), |port| port.as_str());
                let address = [uri.host().unwrap_or(""), port];
                (self.flights.with(&address), self.exchanges.series.place(&address))
            }
        };
        Exchanged {
            lane: Arc::clone(flights.get((method, scheme)).0.here()),
            place,
            method,
            scheme,
            status: StatusLabel::NONE,
            body_sizes: self.body_sizes,
            sent: if self.body_sizes { request.body().size_hint().exact() } else { None },
            received: None,
            trace,
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        let mut held = 0;
        self.flights.each(|flights, _| held += flights.0.held());
        held
    }
}

/// What is recorded of a request and its response.
pub(crate) struct Exchanged {
    lane: Arc<Lane<Arc<Exchanges>>>,
    place: Place,
    method: MethodLabel,
    scheme: Scheme,
    status: StatusLabel,
    body_sizes: bool,
    /// The bodies' sizes, where they are known and wanted.
    sent: Option<u64>,
    received: Option<u64>,
    trace: Option<TraceId>,
}

impl Exchanged {
    /// The head of the response is there.
    #[inline]
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = StatusLabel::of(status);
        self.received = self.body_sizes.then_some(0);
    }

    /// So much of its body has passed.
    #[inline]
    pub(crate) fn add(&mut self, bytes: u64) {
        self.received = self.received.map(|received| received + bytes);
    }
}

impl Record for Exchanged {
    #[inline]
    fn record(self, outcome: Outcome, took: Duration) {
        let Self { lane, place, method, scheme, status, sent, received, trace, .. } = self;
        let exchange = lane.series.at(place).get((method, scheme, status, outcome));
        match trace {
            None => exchange.duration.record(took),
            Some(trace) => exchange.duration.record_traced(took, trace),
        }
        if let Some(size) = sent {
            lane.sizes(&exchange.request).record(size);
        }
        if let Some(size) = received {
            lane.sizes(&exchange.response).record(size);
        }
    }
}
