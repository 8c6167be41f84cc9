//! Timeouts.

use buttress_benches::{Contender, Failed, Fails, Inner, limit, reference};
use std::time::Duration;
use tower::Layer;
use tower::timeout::TimeoutLayer;

pub fn contenders() -> Vec<Contender> {
    let mut contenders = reference::contenders();
    contenders.extend(limit::contenders());
    // tower's own turns errors into boxes; there are none here.
    contenders.push(
        Contender::new("tower: timeout 30 s", || {
            TimeoutLayer::new(Duration::from_secs(30)).layer(Inner::<Failed>::new(Fails::Never))
        })
        .against(limit::TIMEOUT),
    );
    contenders
}
