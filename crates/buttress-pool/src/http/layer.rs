use super::shared::Shared;
use super::{Config, Handle, HttpPool};
use buttress_core::Name;
use std::fmt;
use std::sync::Arc;
use tower_layer::Layer;

/// Bounds the requests that run to each authority, until the bodies of their responses have ended.
///
/// All services made from one layer share the leases. See the [module](super) for when to use it and for an example.
#[derive(Clone)]
pub struct HttpPoolLayer {
    shared: Arc<Shared>,
}

impl HttpPoolLayer {
    /// Makes a layer of which nothing is in use.
    #[must_use]
    pub fn new(name: impl Into<Name>, config: Config) -> Self {
        Self { shared: Arc::new(Shared::new(name.into(), config)) }
    }

    /// Reads counts and changes limits, from anywhere, for all services of this layer.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }
}

impl<S> Layer<S> for HttpPoolLayer {
    type Service = HttpPool<S>;

    fn layer(&self, inner: S) -> HttpPool<S> {
        HttpPool::new(inner, Arc::clone(&self.shared))
    }
}

impl fmt::Debug for HttpPoolLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPoolLayer").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
