use crate::manager::Manager;
use crate::pool::Pool;
use crate::service::Pooled;
use std::fmt;
use std::panic::Location;
use tower_layer::Layer;

/// Gives each request to a service a connection of a [`Pool`]: makes of a `Service<(Lease<M>, Req)>` a `Service<Req>`.
///
/// See the [crate] for an example. What holds for [`Pool::get`] holds for each call; a refusal is a
/// [`Rejected`](buttress_core::Rejected), and [`Pool::last_error`] says what is behind it.
pub struct PoolLayer<M: Manager> {
    pool: Pool<M>,
    by: &'static Location<'static>,
}

impl<M: Manager> PoolLayer<M> {
    /// Takes the connections from this pool. A lease that leaks is reported with the place of this call.
    #[must_use]
    #[track_caller]
    pub fn new(pool: &Pool<M>) -> Self {
        Self { pool: pool.clone(), by: Location::caller() }
    }
}

impl<S, M: Manager> Layer<S> for PoolLayer<M> {
    type Service = Pooled<S, M>;

    fn layer(&self, inner: S) -> Pooled<S, M> {
        Pooled::new(inner, self.pool.clone(), self.by)
    }
}

impl<M: Manager> Clone for PoolLayer<M> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), by: self.by }
    }
}

impl<M: Manager> fmt::Debug for PoolLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolLayer").field("pool", &self.pool).finish_non_exhaustive()
    }
}
