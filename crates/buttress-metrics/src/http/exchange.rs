//! What is recorded of a request and its response, and how it is shown.

use super::families::Role;
use super::label::{MethodLabel, Scheme, StatusLabel};
use super::request_body::{BodySize, sealed::Size};
use crate::call::Record;
use crate::collect::{Collector, Description};
use crate::drops::Drops;
use crate::family::{Instrument, Place, Series, Source, sealed};
use crate::histogram::{Grid, Histogram, Snapshot};
use crate::label::Label;
use crate::name::Kind;
use crate::outcome::Outcome;
use crate::trace::TraceId;
use buttress_core::{Lane, Metric};
use http::StatusCode;
use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The histograms of one combination of labels; those of sizes once there was one.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(super) duration: Histogram,
    pub(super) request: OnceLock<Histogram<u64>>,
    pub(super) response: OnceLock<Histogram<u64>>,
}

/// The cells of durations and of sizes.
pub(super) type Grids = (Arc<Grid>, Arc<Grid>);

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

/// What is known when a request begins.
pub(super) type Began = (MethodLabel, Scheme);
/// What is known when it has ended.
type Ended = (MethodLabel, Scheme, StatusLabel, Outcome);

/// All exchanges of one role: what each call is lent.
pub(crate) struct Exchanges {
    pub(super) role: Role,
    pub(super) series: Series<Exchange, Ended>,
}

impl Exchanges {
    fn sizes<'a>(&self, of: &'a OnceLock<Histogram<u64>>) -> &'a Histogram<u64> {
        let (sizes, drops) = (&self.series.shape.plan.1, &self.series.shape.drops);
        of.get_or_init(|| Histogram::new(Arc::clone(sizes), Arc::clone(drops)))
    }
}

/// One of the histograms of all exchanges, as a family of its own.
pub(super) struct View {
    pub(super) exchanges: Arc<Exchanges>,
    description: Description,
    histogram: fn(&Exchange) -> Option<Snapshot>,
}

impl View {
    pub(super) fn new(
        metric: &Metric,
        exchanges: &Arc<Exchanges>,
        histogram: fn(&Exchange) -> Option<Snapshot>,
    ) -> Self {
        let description = Description::new(metric, Kind::Histogram);
        Self { exchanges: Arc::clone(exchanges), description, histogram }
    }
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

/// What is recorded of a request and its response.
pub(crate) struct Exchanged<N: BodySize> {
    lane: Arc<Lane<Arc<Exchanges>>>,
    known: Known,
    /// How large the request's body is.
    sent: N::Size,
    /// How much there was of the response's body.
    received: u64,
    trace: Option<TraceId>,
}

/// No body is as large. A number and not an option: a call is moved from the future to the body, and should be small.
pub(crate) const UNKNOWN: u64 = u64::MAX;

impl<N: BodySize> Exchanged<N> {
    #[inline]
    pub(super) fn new(
        lane: Arc<Lane<Arc<Exchanges>>>,
        known: Known,
        sent: N::Size,
        trace: Option<TraceId>,
    ) -> Self {
        Self { lane, known, sent, received: 0, trace }
    }

    /// The head of the response is there. Whether a body is to be sent (RFC 9110 §6.4.1): of others nobody asks for the
    /// end.
    #[inline]
    pub(crate) fn answered(&mut self, status: StatusCode) -> bool {
        self.known.answered(StatusLabel::of(status));
        !matches!(
            (self.known.method(), status.as_u16()),
            (MethodLabel::HEAD, _) | (_, 100..=199 | 204 | 304) | (MethodLabel::CONNECT, 200..=299)
        )
    }

    /// How large the request's body is.
    #[inline]
    pub(super) fn sent(&self) -> &N::Size {
        &self.sent
    }

    /// So much of its body has passed.
    #[inline]
    pub(crate) fn add(&mut self, bytes: u64) {
        self.received += bytes;
    }

    /// How much has passed.
    #[inline]
    pub(crate) fn received(&self) -> u64 {
        self.received
    }
}

impl<N: BodySize> Record for Exchanged<N> {
    #[inline]
    fn record(self, outcome: Outcome, took: Duration) {
        let Self { lane, known, sent, received, trace } = self;
        let exchange = lane.series.at(known.place()).get(known.ended(outcome));
        match trace {
            None => exchange.duration.record(took),
            Some(trace) => exchange.duration.record_traced(took, trace),
        }
        if known.measures_bodies() {
            let sent = sent.bytes();
            if sent != UNKNOWN {
                lane.sizes(&exchange.request).record(sent);
            }
            if known.status() != StatusLabel::NONE {
                lane.sizes(&exchange.response).record(received);
            }
        }
    }
}

/// How large a body will be, or [`UNKNOWN`].
#[inline]
pub(crate) fn exact(body: &impl http_body::Body) -> u64 {
    body.size_hint().exact().unwrap_or(UNKNOWN)
}

/// What is known of a request: one word, since a call is moved from the service to its future and from there to the body,
/// and a processor waits if it moves at once what it has just written piece by piece.
#[derive(Clone, Copy)]
pub(super) struct Known(u64);

impl Known {
    const STATUS: u32 = 32;
    const METHOD: u32 = 40;
    const SCHEME: u32 = 48;
    const BODIES: u32 = 56;

    #[inline]
    pub(super) fn new(place: Place, (method, scheme): Began, bodies: bool) -> Self {
        let word = u64::from(place.0) | u64::from(method.0) << Self::METHOD;
        Self(word | u64::from(scheme == Scheme::Https) << Self::SCHEME | u64::from(bodies) << Self::BODIES)
    }

    #[inline]
    fn answered(&mut self, status: StatusLabel) {
        self.0 |= u64::from(status.0) << Self::STATUS;
    }

    #[inline]
    fn place(self) -> Place {
        Place(self.0 as u32)
    }

    #[inline]
    fn status(self) -> StatusLabel {
        StatusLabel((self.0 >> Self::STATUS) as u8)
    }

    #[inline]
    fn method(self) -> MethodLabel {
        MethodLabel((self.0 >> Self::METHOD) as u8)
    }

    #[inline]
    fn measures_bodies(self) -> bool {
        self.0 >> Self::BODIES & 1 == 1
    }

    #[inline]
    fn ended(self, outcome: Outcome) -> Ended {
        let is_https = self.0 >> Self::SCHEME & 1 == 1;
        let scheme = if is_https { Scheme::Https } else { Scheme::Http };
        (self.method(), scheme, self.status(), outcome)
    }
}
