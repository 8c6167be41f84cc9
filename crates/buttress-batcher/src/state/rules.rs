use super::{Nanos, nanos};
use crate::config::Config;

/// The part of a configuration that decides what is sent when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) max_size: u32,
    pub(crate) max_weight: u128,
    /// In each partition.
    pub(crate) in_flight: u32,
    pub(crate) total: u32,
    pub(crate) linger: Nanos,
    /// As many as can be waiting or running.
    pub(crate) places: u32,
    pub(crate) is_partitioned: bool,
}

impl Rules {
    pub(crate) fn new(config: &Config, is_partitioned: bool) -> Self {
        Self {
            max_size: config.max_size.get(),
            max_weight: config.max_weight.map_or(u128::MAX, |most| most.get().into()),
            in_flight: config.in_flight.get(),
            total: config.total_in_flight.map_or(u32::MAX, std::num::NonZero::get),
            linger: nanos(config.linger),
            places: config.places().get(),
            is_partitioned,
        }
    }
}
