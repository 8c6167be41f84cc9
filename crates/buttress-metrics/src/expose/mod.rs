//! The text that Prometheus reads.
//!
//! [`Registry::encode`] writes it; with the feature `http`, [`Scrape`] is a tower service to mount at `/metrics`.
//!
//! Both formats show the same series by the same names, so that a server may switch between them. In both, a number is
//! the shortest one that reads back as itself, and `le` is written as `OpenMetrics` and Prometheus 3 have it (`"1.0"`,
//! `"1e+06"`). Of two things that `OpenMetrics` leaves open: units are told where a name ends in one, and
//! `_created` is never written, since Prometheus would keep one more series for each that is there.

mod encode;
mod negotiate;

#[cfg(feature = "http")]
mod scrape;

#[cfg(any(test, fuzzing))]
pub mod check;
#[cfg(test)]
mod oracles;
#[cfg(test)]
mod tests;

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub use scrape::{Body, Scrape};

use crate::registry::Registry;
use encode::Encoder;

/// A text format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Prometheus' own, version 0.0.4: what everything reads.
    #[default]
    Text,
    /// `OpenMetrics` 1.0: tells units, and shows exemplars.
    OpenMetrics,
}

impl Format {
    /// What `Content-Type` says of it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that a scraper asks for by the values of its `Accept` headers. Whoever asks for neither gets
    /// [`Text`](Self::Text): a scraper is better off with that than with an error.
    #[must_use]
    pub fn accepted<'a>(accept: impl IntoIterator<Item = &'a str>) -> Self {
        negotiate::format(accept)
    }
}

impl Registry {
    /// Everything it shows, in a text format.
    ///
    /// # Examples
    ///
    /// ```
    /// use buttress_core::Metric;
    /// use buttress_metrics::{Registry, expose::Format};
    ///
    /// const JOBS: Metric = Metric { name: "jobs_total", unit: "", help: "jobs that were done" };
    ///
    /// let registry = Registry::new();
    /// registry.counter(&JOBS)?.inc();
    /// assert_eq!(
    ///     registry.encode(Format::OpenMetrics),
    ///     "# TYPE jobs counter\n# HELP jobs jobs that were done\njobs_total 1\n# EOF\n",
    /// );
    /// # Ok::<_, buttress_metrics::RegisterError>(())
    /// ```
    #[must_use]
    pub fn encode(&self, format: Format) -> String {
        let mut encoder = Encoder::new(format);
        self.collect(&mut encoder);
        encoder.finish()
    }
}
