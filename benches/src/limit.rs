//! `buttress-limit`.

use crate::{Contender, Fails, Inner};
use buttress_limit::TimeoutLayer;
use std::time::Duration;
use tower::Layer;

/// The name of the row that a timeout is compared with.
pub const TIMEOUT: &str = "buttress: timeout 30 s";

/// Our layers.
#[must_use]
pub fn contenders() -> Vec<Contender> {
    vec![
        Contender::new(TIMEOUT, || timeout(Duration::from_secs(30))),
        Contender::new("buttress: timeout off", || timeout(Duration::MAX)),
    ]
}

fn timeout(limit: Duration) -> buttress_limit::timeout::Timeout<Inner> {
    TimeoutLayer::new("bench", limit).layer(Inner::new(Fails::Never))
}
