use crate::book::Book;
use crate::config::{AtEnd, Config};
use crate::stats::Stats;
use crate::{KIND, book::Control};
use buttress_core::{Inspect, Name, Sink};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Reads and steers all services of one [`BatchLayer`](crate::BatchLayer), from anywhere. It keeps none of them alive.
///
/// # Examples
///
/// ```
/// use buttress_batcher::{BatchLayer, Config, Flush, batch_fn};
/// use buttress_core::Error;
/// use std::convert::Infallible;
/// use std::time::Duration;
/// use tower::{Service, ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Error<Infallible>> {
/// // Waits for a full batch, until it is told not to.
/// let layer = BatchLayer::new("rows", Config::default().linger(Duration::MAX));
/// let handle = layer.handle();
/// let mut rows = ServiceBuilder::new().layer(layer).service(batch_fn(|rows: Vec<u64>| async move {
///     Ok::<_, Infallible>(rows.into_iter().map(Ok::<_, Error<Infallible>>).collect::<Vec<_>>())
/// }));
/// let row = rows.ready().await?.call(7);
/// handle.flush();
/// assert_eq!(row.await?, 7);
/// assert_eq!(handle.stats().flushed(Flush::Drain), 1);
/// handle.shutdown(Duration::from_secs(5)).await.expect("nothing is left");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Handle {
    book: Arc<Book>,
}

impl Handle {
    pub(crate) fn new(book: Arc<Book>) -> Self {
        Self { book }
    }

    /// What its services are doing, and what was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (mut unseen, mut waiting) = (0, 0);
        for member in self.book.members() {
            let (requests, callers) = member.outside();
            unseen += requests as u64;
            waiting += u64::from(callers);
        }
        Stats::new(self.book.count(|counts| counts.clone()), unseen, waiting)
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Config {
        self.book.config()
    }

    /// Puts another configuration in force, as a whole, and for services to come. What waits stays in its place; more
    /// places than there are now are not taken from those who hold them, and those who stand in line for one stay
    /// there, also if newcomers are to be [refused](crate::WhenFull::Refuse) from now on.
    pub fn reconfigure(&self, config: Config) {
        self.book.reconfigure(config);
    }

    /// Sends what waits without waiting for more, as soon as batches may run. Does not wait for that.
    pub fn flush(&self) {
        self.each(|member| member.flush());
    }

    /// Refuses all that come from now on with [`Reason::Closed`](buttress_core::Reason::Closed), sends what waits, and
    /// waits until all is answered, but no longer than this. Then what still waits is refused; batches that run are left
    /// to answer. The drivers end with the last answer. If the last service goes meanwhile, that changes nothing.
    ///
    /// # Errors
    ///
    /// If not all was answered in time.
    ///
    /// # Panics
    ///
    /// If there is something to wait for and it is polled outside of a runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it no longer waits, and nothing is refused that waits; the services are closed as soon as this was polled.
    pub async fn shutdown(&self, within: Duration) -> Result<(), Unfinished> {
        // Half a century is as good as for ever, and can be added to any moment.
        let until = Instant::now() + within.min(Duration::from_secs(u32::MAX.into()));
        self.book.close();
        self.each(|member| member.close(Some(AtEnd::Flush)));
        loop {
            // Made before looking: it hears of the last end from then on.
            let ended = self.book.ended.notified();
            if self.book.members().iter().all(|member| member.is_dead()) {
                return Ok(());
            }
            if timeout_at(until, ended).await.is_err() {
                break;
            }
        }
        let Stats { queued, in_flight, .. } = self.stats();
        self.each(|member| member.close(Some(AtEnd::Fail)));
        Err(Unfinished { refused: queued, running: in_flight })
    }

    fn each(&self, tell: impl Fn(&dyn Control)) {
        self.book.members().iter().for_each(|member| tell(&**member));
    }
}

impl Inspect for Handle {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn name(&self) -> Name {
        self.book.name
    }

    fn inspect(&self, sink: &mut dyn Sink) {
        self.stats().write(sink);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("name", &self.book.name)
            .field("config", &self.book.config())
            .finish_non_exhaustive()
    }
}

/// What was not answered when a shutdown stopped waiting for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    refused: u64,
    running: u64,
}

impl Unfinished {
    /// Requests that waited to be sent, and are refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Batches that run, and still answer.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.running
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests were not sent, and {} batches still run", self.refused, self.running)
    }
}

impl std::error::Error for Unfinished {}
