//! What goes into a state and what comes out.

use super::Nanos;
use buttress_core::Reason;

/// A key with its hash, which its owner's thread has computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keyed<K> {
    pub(crate) hash: u64,
    pub(crate) key: K,
}

/// A request as it comes.
#[derive(Debug)]
pub(crate) struct Arrival<Req, K, D> {
    pub(crate) request: Req,
    pub(crate) partition: Keyed<K>,
    /// Those with equal keys share a result.
    pub(crate) group: Option<Keyed<D>>,
    pub(crate) weight: u64,
    pub(crate) deadline: Nanos,
    pub(crate) at: Nanos,
}

/// What is left to do after a step: answers to give, and values to drop that are not ours.
#[derive(Debug)]
pub(crate) struct Out<Req, K, D> {
    /// Requests that are answered without having been sent.
    pub(crate) refused: Vec<(u32, Reason)>,
    /// Requests whose callers had left before they were sent.
    pub(crate) left: Vec<u32>,
    pub(crate) requests: Vec<Req>,
    pub(crate) keys: Vec<K>,
    pub(crate) groups: Vec<D>,
}

impl<Req, K, D> Default for Out<Req, K, D> {
    fn default() -> Self {
        Self { refused: vec![], left: vec![], requests: vec![], keys: vec![], groups: vec![] }
    }
}

/// What was counted since it was last collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) sent: u64,
    pub(crate) shared: u64,
    pub(crate) cancelled: u64,
    pub(crate) timed_out: u64,
    pub(crate) closed: u64,
    pub(crate) broken: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.sent += other.sent;
        self.shared += other.shared;
        self.cancelled += other.cancelled;
        self.timed_out += other.timed_out;
        self.closed += other.closed;
        self.broken += other.broken;
    }
}

/// Why a batch was sent when it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flush {
    /// It could go, and nothing said that it was to wait.
    Idle,
    /// It was as large as it may be, or nobody else could come: all places were taken by requests.
    Size,
    /// The next request would have made it too heavy.
    Weight,
    /// Its first request had waited for others long enough.
    Linger,
    /// A request in it would have been too late.
    Deadline,
    /// It was told to go: by a flush, or at the end.
    Drain,
}

impl Flush {
    /// All reasons, in the order of their counts.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Size, Self::Weight, Self::Linger, Self::Deadline, Self::Drain];

    /// The reason in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Size => "size",
            Self::Weight => "weight",
            Self::Linger => "linger",
            Self::Deadline => "deadline",
            Self::Drain => "drain",
        }
    }
}

/// How much of a batch can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Full,
    /// There is room for more in it.
    Partial,
}
