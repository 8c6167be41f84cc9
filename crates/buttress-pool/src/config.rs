use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// How many connections a pool keeps, how long it waits, and how it finds out that one is dead.
///
/// Every time can be `Duration::MAX`, which is never.
///
/// # Examples
///
/// ```
/// use buttress_pool::{Config, Size};
/// use std::time::Duration;
///
/// const SIZE: Size = Size::new(2, 10).unwrap(); // a minimum over the maximum does not compile
/// let config = Config::default().size(SIZE).acquire_timeout(Duration::from_millis(500));
/// assert_eq!(config.max_lifetime, Duration::from_secs(1800));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Config {
    /// How many connections it keeps at least and at most. Default 5 and 20: enough for a service of a few hundred
    /// requests per second, and few enough that ten instances do not exhaust a database with a hundred places.
    pub size: Size,
    /// Who has waited for a connection this long is refused. Zero waits for nobody, and for no check. Default 5 s: a
    /// caller that waits longer has mostly gone.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub acquire_timeout: Duration,
    /// A connect that takes this long has failed, so that a server which answers nothing costs a place for no longer.
    /// Default 5 s.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub connect_timeout: Duration,
    /// A check that takes this long has failed. A caller's check ends with its wait, if that is sooner. Default 1 s: a
    /// server that is up answers a ping at once.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub check_timeout: Duration,
    /// A connection that was used or checked this recently is handed out without a check. Zero checks every time, which
    /// costs a round trip; `Duration::MAX` leaves checks to [`keepalive`](field@Self::keepalive). Default 500 ms: under
    /// load nothing is checked, and after a pause everything is.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub check_after: Duration,
    /// A connection is replaced before it is this old: 2–10 % earlier at random, so that those which came together do
    /// not go together, and earlier yet where connects are slow, so that the new ones are there first. Default 30 min:
    /// what a load balancer or a changed name has moved is found within that.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub max_lifetime: Duration,
    /// A connection that nobody has used in this long is closed, as long as more than the minimum are left. Default
    /// 10 min.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub idle_timeout: Duration,
    /// A connection that was idle this long is checked in the background, one at a time, so that firewalls do not forget it
    /// and dead ones are found before they are needed. Default 2 min.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub keepalive: Duration,
    /// How many connects run at a time. Default 4: a server that has just come back is not buried.
    pub connects: NonZeroU32,
    /// So many may wait for a connection; one more is refused at once. A ready service of a
    /// [`PoolLayer`](crate::PoolLayer) has its place among them. Default 10,000.
    pub max_waiters: NonZeroU32,
    /// A connection that is out this long is reported with the place in the code that took it. For exclusive leases.
    /// Default `Duration::MAX`, which is never.
    #[cfg_attr(feature = "serde", serde(with = "buttress_core::__times::never"))]
    pub leak_after: Duration,
    /// Measures how long callers wait and how long they keep what they got. Default `true`. Without it, and with
    /// `check_after`, `idle_timeout`, `keepalive` and `leak_after` at never, a get reads no clock.
    pub measure: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            size: Size::default(),
            acquire_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            check_timeout: Duration::from_secs(1),
            check_after: Duration::from_millis(500),
            max_lifetime: Duration::from_secs(30 * 60),
            idle_timeout: Duration::from_secs(10 * 60),
            keepalive: Duration::from_secs(2 * 60),
            connects: const { NonZeroU32::new(4).unwrap() },
            max_waiters: const { NonZeroU32::new(10_000).unwrap() },
            leak_after: Duration::MAX,
            measure: true,
        }
    }
}

buttress_core::__setters! { Config;
    size: Size;
    acquire_timeout: Duration;
    connect_timeout: Duration;
    check_timeout: Duration;
    check_after: Duration;
    max_lifetime: Duration;
    idle_timeout: Duration;
    keepalive: Duration;
    connects: NonZeroU32;
    max_waiters: NonZeroU32;
    leak_after: Duration;
    measure: bool;
}

/// How many connections a pool keeps at least, and at most. The most is one or more, and no less than the least.
///
/// # Examples
///
/// ```
/// use buttress_pool::Size;
///
/// const FIXED: Size = Size::new(8, 8).unwrap();
/// assert_eq!((FIXED.min(), FIXED.max()), (8, 8));
/// assert!(Size::new(9, 8).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Plain", into = "Plain"))]
pub struct Size {
    min: u32,
    max: u32,
}

impl Size {
    /// The largest maximum there is: a million.
    pub const LARGEST: u32 = 1_000_000;

    /// At least `min` and at most `max`, or `None` if `min` is more than `max`, or `max` is zero or over
    /// [`LARGEST`](Self::LARGEST).
    #[must_use]
    pub const fn new(min: u32, max: u32) -> Option<Self> {
        if min <= max && max > 0 && max <= Self::LARGEST { Some(Self { min, max }) } else { None }
    }

    /// The pool keeps so many, whether they are used or not.
    #[must_use]
    pub const fn min(self) -> u32 {
        self.min
    }

    /// The pool never has more than so many.
    #[must_use]
    pub const fn max(self) -> u32 {
        self.max
    }
}

impl Default for Size {
    /// Five and twenty.
    fn default() -> Self {
        Self { min: 5, max: 20 }
    }
}

impl TryFrom<(u32, u32)> for Size {
    type Error = InvalidSize;

    fn try_from((min, max): (u32, u32)) -> Result<Self, InvalidSize> {
        Self::new(min, max).ok_or(InvalidSize { min, max })
    }
}

/// Two numbers that are no [`Size`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSize {
    min: u32,
    max: u32,
}

impl fmt::Display for InvalidSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max } = self;
        write!(
            f,
            "a pool of {min} to {max} connections cannot be: the most is from 1 to {}, and no less than the least",
            Size::LARGEST
        )
    }
}

impl std::error::Error for InvalidSize {}

/// A size as files have it; what is not said is as in the default.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename = "Size")]
struct Plain {
    min: u32,
    max: u32,
}

#[cfg(feature = "serde")]
impl Default for Plain {
    fn default() -> Self {
        Size::default().into()
    }
}

#[cfg(feature = "serde")]
impl From<Size> for Plain {
    fn from(Size { min, max }: Size) -> Self {
        Self { min, max }
    }
}

#[cfg(feature = "serde")]
impl TryFrom<Plain> for Size {
    type Error = InvalidSize;

    fn try_from(Plain { min, max }: Plain) -> Result<Self, InvalidSize> {
        (min, max).try_into()
    }
}
