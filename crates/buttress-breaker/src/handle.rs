use crate::core::Place;
use crate::event::Event;
use crate::{Config, KIND, now};
use buttress_core::{Inspect, Lanes, Metric, Name, Observe, Ratio, Sink};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Reads and steers all breakers of one [`BreakerLayer`](crate::BreakerLayer), from anywhere.
///
/// # Examples
///
/// ```
/// use buttress_breaker::{BreakerLayer, Config, State};
///
/// let handle = BreakerLayer::new("inventory", Config::default()).handle();
/// handle.force_open();
/// assert_eq!(handle.state(), State::ForcedOpen); // until `auto`, however long that takes
/// handle.auto();
/// assert_eq!(handle.state(), State::HalfOpen);
/// ```
#[derive(Clone)]
pub struct Handle {
    lanes: Lanes<Place>,
    observe: Arc<dyn Observe<Event> + Send + Sync>,
}

/// What a breaker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Every call is admitted.
    Closed,
    /// Closed, and a share of the calls is admitted: the ramp is running.
    Recovering {
        /// The share.
        admitted: Ratio,
    },
    /// Calls are refused.
    Open {
        /// For how much longer; at zero, the next call is a probe.
        remaining: Duration,
    },
    /// Probes are admitted, and nothing else.
    HalfOpen,
    /// Held open by an operator.
    ForcedOpen,
    /// Held closed by an operator.
    ForcedClosed,
}

impl State {
    /// The words for the states, in the order of [`State::index`].
    pub(crate) const NAMES: [&'static str; 6] =
        ["closed", "recovering", "open", "half_open", "forced_open", "forced_closed"];

    pub(crate) fn index(self) -> usize {
        match self {
            State::Closed => 0,
            State::Recovering { .. } => 1,
            State::Open { .. } => 2,
            State::HalfOpen => 3,
            State::ForcedOpen => 4,
            State::ForcedClosed => 5,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Recovering { admitted } => write!(f, "recovering, {admitted} admitted"),
            State::Open { remaining: Duration::ZERO } => f.write_str("open, due for a probe"),
            State::Open { remaining } => write!(f, "open for another {:.1} s", remaining.as_secs_f64()),
            other => f.write_str(&Self::NAMES[other.index()].replace('_', " ")),
        }
    }
}

/// What a breaker is doing, what it has counted, and what is in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What it is doing.
    pub state: State,
    /// What it has counted since it was made.
    pub totals: Totals,
    /// Calls that are running.
    pub in_flight: usize,
    /// What is in the window; all zero without one, and while the breaker is not closed.
    pub window: WindowStats,
}

/// Counts since a breaker was made; none of them ever falls.
///
/// Each call counts once among the first seven: it ended as a success, a failure, ignored, cancelled,
/// panicked, late, or was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Calls judged a success; `None` if there ever was a time without a window ([`Config::failure_ratio`] or
    /// [`Config::slow_calls`]), since then a success writes nothing, and that is why it is so cheap.
    pub successes: Option<u64>,
    /// Calls judged a failure.
    pub failures: u64,
    /// Calls judged to say nothing.
    pub ignored: u64,
    /// Calls whose future was dropped before its end.
    pub cancelled: u64,
    /// Calls that panicked.
    pub panicked: u64,
    /// Calls that ended after the breaker had moved on: in another state, or after their lease was over. They
    /// change nothing.
    pub late: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Successes and failures that were too slow.
    pub slow: u64,
    /// Times it opened by itself.
    pub opened: u64,
}

impl Totals {
    /// The sum of none.
    pub(crate) const NONE: Self = Self {
        successes: Some(0),
        failures: 0,
        ignored: 0,
        cancelled: 0,
        panicked: 0,
        late: 0,
        refused: 0,
        slow: 0,
        opened: 0,
    };
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.successes = self.successes.zip(other.successes).map(|(one, other)| one + other);
        self.failures += other.failures;
        self.ignored += other.ignored;
        self.cancelled += other.cancelled;
        self.panicked += other.panicked;
        self.late += other.late;
        self.refused += other.refused;
        self.slow += other.slow;
        self.opened += other.opened;
    }
}

/// The calls in a breaker's window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WindowStats {
    /// How many calls are in it.
    pub calls: u64,
    /// How many of them failed.
    pub failures: u64,
    /// How many of them were slow.
    pub slow: u64,
}

impl Handle {
    pub(crate) fn new(lanes: Lanes<Place>, observe: Arc<dyn Observe<Event> + Send + Sync>) -> Self {
        Self { lanes, observe }
    }

    fn place(&self) -> &Place {
        self.lanes.here()
    }

    fn tell(&self, event: Option<Event>) {
        if let Some(event) = event {
            self.observe.observe(event);
        }
    }

    /// What the breaker is doing.
    #[must_use]
    pub fn state(&self) -> State {
        self.place().core.view(now()).state
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { in_flight: self.lanes.held(), ..self.place().core.view(now()) }
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Config {
        self.place().core.config()
    }

    /// Refuses every call until [`auto`](Handle::auto), [`force_closed`](Handle::force_closed) or
    /// [`reset`](Handle::reset). Calls in flight go on, and are not heard.
    pub fn force_open(&self) {
        self.tell(self.place().core.force_open());
    }

    /// Admits every call until [`auto`](Handle::auto), [`force_open`](Handle::force_open) or
    /// [`reset`](Handle::reset). Results are counted and not judged.
    pub fn force_closed(&self) {
        self.tell(self.place().core.force_closed());
    }

    /// Lets the breaker decide again. Held open before, it probes now; held closed before, it is closed with
    /// an empty window. If it opens, it is for as long as if it had closed at this moment: recoveries that failed
    /// before the hold still count. Without a hold nothing changes.
    pub fn auto(&self) {
        self.tell(self.place().core.auto(now()));
    }

    /// Closes the breaker, ends a hold, empties the window and forgets earlier outages. Totals stay.
    pub fn reset(&self) {
        self.tell(Some(self.place().core.reset(now())));
    }

    /// Puts another configuration in force, as a whole.
    ///
    /// State, time left, holds and the number of failed recoveries stay, so the next open time is the new
    /// configuration's, doubled as often. A window that changes its kind or its size starts empty. A call in flight is judged by the rules in force when it ends; but if no rule
    /// asked when it began, it is not slow.
    pub fn reconfigure(&self, config: Config) {
        self.place().core.reconfigure(config, now());
    }
}

impl Inspect for Handle {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn name(&self) -> Name {
        self.place().core.name()
    }

    fn inspect(&self, sink: &mut dyn Sink) {
        let stats = self.stats();
        sink.state(&metrics::STATE, &State::NAMES, stats.state.index());
        metrics::totals(sink, &stats.totals);
        sink.gauge(&metrics::IN_FLIGHT, &[], stats.in_flight as f64);
        for (of, value) in
            [("all", stats.window.calls), ("failed", stats.window.failures), ("slow", stats.window.slow)]
        {
            sink.gauge(&metrics::WINDOW, &[("of", of)], value as f64);
        }
        if let State::Open { remaining } = stats.state {
            sink.gauge(&metrics::REMAINING, &[], remaining.as_secs_f64());
        }
        sink.note("state", &stats.state);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("core", &self.place().core).finish_non_exhaustive()
    }
}

/// What breakers show of themselves, one or many.
pub(crate) mod metrics {
    use super::{Metric, Sink, Totals};

    pub(crate) const STATE: Metric = Metric { name: "state", unit: "", help: "what the breaker is doing" };
    pub(crate) const IN_FLIGHT: Metric =
        Metric { name: "in_flight", unit: "", help: "calls that are running" };
    pub(super) const WINDOW: Metric = Metric {
        name: "window_calls",
        unit: "",
        help: "calls in the window, and those of them that failed or were slow",
    };
    pub(super) const REMAINING: Metric = Metric {
        name: "open_remaining_seconds",
        unit: "seconds",
        help: "for how much longer it refuses; only while open",
    };
    const CALLS: Metric =
        Metric { name: "calls_total", unit: "", help: "calls that ended or were refused, by how" };
    const SLOW: Metric = Metric { name: "slow_calls_total", unit: "", help: "calls that were too slow" };
    const OPENED: Metric =
        Metric { name: "opened_total", unit: "", help: "times the breaker opened by itself" };

    pub(crate) fn totals(sink: &mut dyn Sink, totals: &Totals) {
        if let Some(successes) = totals.successes {
            sink.counter(&CALLS, &[("outcome", "success")], successes);
        }
        for (outcome, total) in [
            ("failure", totals.failures),
            ("ignored", totals.ignored),
            ("cancelled", totals.cancelled),
            ("panicked", totals.panicked),
            ("late", totals.late),
            ("refused", totals.refused),
        ] {
            sink.counter(&CALLS, &[("outcome", outcome)], total);
        }
        sink.counter(&SLOW, &[], totals.slow);
        sink.counter(&OPENED, &[], totals.opened);
    }
}
