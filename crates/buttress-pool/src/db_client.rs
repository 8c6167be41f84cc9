use crate::manager::Manager;
use crate::pool::Pool;
use buttress_core::{Inspect, Name, Sink};
use std::fmt;

/// Shows a pool by the names that OpenTelemetry's conventions have for clients of databases; made by
/// [`Pool::db_client`].
///
/// | metric, in Prometheus | what it is here |
/// | --- | --- |
/// | `db_client_connection_count`, by `db_client_connection_state` | connections that are `idle`, and `used` ones: also those that are checked |
/// | `db_client_connection_max` | [`Stats::limits`](crate::Stats::limits) |
/// | `db_client_connection_pending_requests` | [`Stats::waiters`](crate::Stats::waiters) |
/// | `db_client_connection_timeouts_total` | [`Stats::timeouts`](crate::Stats::timeouts) |
/// | `db_client_connection_create_time_seconds` | [`Stats::connect`](crate::Stats::connect) |
/// | `db_client_connection_wait_time_seconds` | [`Stats::wait`](crate::Stats::wait) |
/// | `db_client_connection_use_time_seconds` | [`Stats::used`](crate::Stats::used) |
///
/// All have the label `db_client_connection_pool_name`. The bounds that the conventions have for idle connections are not
/// among them: the pool has none, and its [minimum](crate::Size::min) counts all connections. The pool itself shows more.
///
/// # Examples
///
/// ```
/// # use buttress_core::Inspect;
/// # use buttress_pool::{Manager, Pool};
/// # use std::sync::Arc;
/// # fn example<M: Manager>(pool: &Pool<M>, register: impl Fn(Arc<dyn Inspect>)) {
/// register(Arc::new(pool.clone())); // as `pool_..`
/// register(Arc::new(pool.db_client())); // as `db_client_..`
/// # }
/// ```
pub struct DbClient<M: Manager>(pub(crate) Pool<M>);

const KIND: &str = "db_client";
const STATE: &str = "db_client_connection_state";
const POOL: &str = "db_client_connection_pool_name";

impl<M: Manager> Inspect for DbClient<M> {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn name(&self) -> Name {
        self.0.name()
    }

    fn inspect(&self, sink: &mut dyn Sink) {
        let (name, stats) = (self.0.name(), self.0.stats());
        let pool = (POOL, name.as_str());
        for (state, connections) in [("idle", stats.idle), ("used", stats.size - stats.idle)] {
            sink.gauge(&metrics::COUNT, &[pool, (STATE, state)], connections.into());
        }
        sink.gauge(&metrics::MAX, &[pool], stats.limits.max().into());
        sink.gauge(&metrics::PENDING, &[pool], stats.waiters.into());
        sink.counter(&metrics::TIMEOUTS, &[pool], stats.timeouts);
        sink.histogram(&metrics::CREATE, &[pool], &stats.connect);
        sink.histogram(&metrics::WAIT, &[pool], &stats.wait);
        sink.histogram(&metrics::USE, &[pool], &stats.used);
    }
}

impl<M: Manager> Clone for DbClient<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: Manager> fmt::Debug for DbClient<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DbClient").field(&self.0).finish()
    }
}

mod metrics {
    use crate::stats::metrics::{count, seconds};
    use buttress_core::Metric;

    pub(super) const COUNT: Metric = count("connection_count", "connections there are, by state");
    pub(super) const MAX: Metric = count("connection_max", "connections there may be");
    pub(super) const PENDING: Metric =
        count("connection_pending_requests", "callers that wait for a connection");
    pub(super) const TIMEOUTS: Metric =
        count("connection_timeouts_total", "callers that waited too long for a connection");
    pub(super) const CREATE: Metric =
        seconds("connection_create_time_seconds", "how long it took to make connections");
    pub(super) const WAIT: Metric =
        seconds("connection_wait_time_seconds", "how long callers waited for a connection");
    pub(super) const USE: Metric =
        seconds("connection_use_time_seconds", "how long callers had a connection");
}
