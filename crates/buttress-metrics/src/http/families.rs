//! What is measured under which names, and where a request is counted.

use super::config::Config;
use super::exchange::{Began, Exchange, Exchanged, Exchanges, Known, View, exact};
use super::label::{MethodLabel, Scheme};
use super::request_body::{BodySize, sealed::Size};
use crate::collect::Description;
use crate::error::RegisterError;
use crate::family::{Family, Place, Series};
use crate::flights::{Flights, Lent};
use crate::name::Kind;
use crate::registry::Registry;
use crate::trace::TraceId;
use buttress_core::Metric;
use http::{Request, Uri};
use std::borrow::Cow;
use std::sync::Arc;

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
    pub(super) fn error_type<'a>(self, status: &'a str, outcome: &str) -> &'a str {
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

/// The address of a host, which a URI may write in several ways: without the brackets of IPv6, and in lower case, since
/// what differs by case alone is the same host. Nearly all are written so, and nothing is allocated.
#[inline]
fn address(host: &str) -> Cow<'_, str> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if bare.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(bare.to_ascii_lowercase())
    } else {
        Cow::Borrowed(bare)
    }
}

/// What all services of one layer share.
pub(crate) struct Shared {
    pub(crate) role: Role,
    scheme: Scheme,
    body_sizes: bool,
    exchanges: Arc<Exchanges>,
    flights: Arc<Series<Flights<Exchanges>, Began>>,
    /// Of a server: those without open labels, and where requests are counted that have no route.
    server: Option<(Family<Flights<Exchanges>, Began>, Place)>,
}

impl Shared {
    pub(crate) fn new(role: Role, config: Config, registry: &Registry) -> Result<Self, RegisterError> {
        let names = role.names();
        let Config { buckets, body_sizes, size_buckets, scheme, cap } = config;
        let grids = (Arc::new(buckets.grid()), Arc::new(size_buckets.grid()));
        let taken =
            |metric: &Metric| RegisterError::Taken { name: metric.name.into(), by: metric.name.into() };
        let histogram = Kind::Histogram;
        let sizes = [(&names.request, histogram), (&names.response, histogram)];
        let sizes = if body_sizes { &sizes[..] } else { &[] };
        let others = [(&names.duration, histogram), (&names.active, Kind::Gauge)];
        registry.check_together(&[&others, sizes].concat())?;
        registry.check_together(sizes)?;
        let durations = registry.find_or_insert(names.duration.name, Kind::Histogram, |drops| {
            let description = Description::new(&names.duration, Kind::Histogram);
            let series = Series::new(description, names.exchange, cap, grids.clone(), drops);
            let exchanges = Arc::new(Exchanges { role, series });
            Ok(View::new(&names.duration, &exchanges, |exchange| Some(exchange.duration.snapshot())))
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
                let make = |_| Ok(View::new(metric, exchanges, histogram));
                registry.find_or_insert(metric.name, Kind::Histogram, make).map_err(|_| taken(metric))?;
            }
        }
        let lent = Lent(Arc::clone(exchanges));
        let flights: Arc<Series<_, _>> = registry.series(&names.active, names.flight, cap, lent)?;
        let server =
            (role == Role::Server).then(|| (flights.with(&[]).clone(), exchanges.series.place(&[""])));
        Ok(Self { role, scheme, body_sizes, exchanges: Arc::clone(exchanges), flights, server })
    }

    /// Begins the record of a request; `route` is a server's.
    #[inline]
    pub(crate) fn begin<B: http_body::Body, N: BodySize>(
        &self,
        request: &Request<B>,
        route: Option<&str>,
        trace: Option<TraceId>,
    ) -> Exchanged<N> {
        let method = MethodLabel::of(request.method());
        let scheme = Scheme::of(request.uri()).unwrap_or(self.scheme);
        let uri = request.uri();
        let (flights, place) = match &self.server {
            Some((flights, unmatched)) => {
                (flights, route.map_or(*unmatched, |route| self.exchanges.series.place(&[route])))
            }
            None => self.addressed(uri, scheme),
        };
        let lane = Arc::clone(flights.get((method, scheme)).0.here());
        let known = Known::new(place, (method, scheme), self.body_sizes);
        let sent = if self.body_sizes { N::Size::of(exact(request.body())) } else { N::Size::unwanted() };
        Exchanged::new(lane, known, sent, trace)
    }

    /// Where a client's request is counted.
    // By itself: in `begin` it would cost those of servers instructions, too.
    #[inline(never)]
    fn addressed(&self, uri: &Uri, scheme: Scheme) -> (&Family<Flights<Exchanges>, Began>, Place) {
        let port = uri.port();
        let port = port.as_ref().map_or(scheme.port(), |port| port.as_str());
        let host = address(uri.host().unwrap_or(""));
        let address = [&*host, port];
        (self.flights.with(&address), self.exchanges.series.place(&address))
    }

    pub(crate) fn in_flight(&self) -> usize {
        let mut held = 0;
        self.flights.each(|flights, _| held += flights.0.held());
        held
    }
}
