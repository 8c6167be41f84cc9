use std::fmt;

/// A share between 0 % and 100 %, exact to a millionth, so that thresholds compare without rounding.
///
/// # Examples
///
/// ```
/// use buttress_core::Ratio;
///
/// const HALF: Ratio = Ratio::percent(50); // a literal over 100 does not compile in a `const`
/// assert!(HALF.reached_by(1, 2));
/// assert!(!HALF.reached_by(49, 100));
/// assert!(Ratio::new(1.5).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
pub struct Ratio(u32);

impl Ratio {
    /// The unit of [`Ratio::millionths`].
    const ONE: u32 = 1_000_000;

    /// 0 %.
    pub const ZERO: Ratio = Ratio(0);
    /// 100 %.
    pub const FULL: Ratio = Ratio(Self::ONE);

    /// A whole number of percent.
    ///
    /// # Panics
    ///
    /// If `percent` is over 100. In a `const` that is a compile error; for values from outside use
    /// [`Ratio::new`].
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        assert!(percent <= 100, "a ratio is at most 100 %");
        Self(percent * (Self::ONE / 100))
    }

    /// A share from 0.0 to 1.0, rounded to the nearest millionth.
    ///
    /// # Errors
    ///
    /// If `share` is below 0, over 1 or not a number.
    pub fn new(share: f64) -> Result<Self, InvalidRatio> {
        if (0.0..=1.0).contains(&share) {
            // In range by the check above, so the cast neither truncates nor wraps.
            Ok(Self((share * f64::from(Self::ONE)).round() as u32))
        } else {
            Err(InvalidRatio(share))
        }
    }

    /// So many millionths, or `None` if they are more than a million.
    #[must_use]
    pub const fn from_millionths(millionths: u32) -> Option<Self> {
        if millionths <= Self::ONE { Some(Self(millionths)) } else { None }
    }

    /// The share in millionths, 0 to 1,000,000.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// Whether `part` of `whole` is this share or more; of nothing, only 0 % is reached.
    #[must_use]
    pub const fn reached_by(self, part: u64, whole: u64) -> bool {
        if whole == 0 {
            return self.0 == 0;
        }
        part as u128 * Self::ONE as u128 >= whole as u128 * self.0 as u128
    }

    /// The least part of `whole` that reaches this share.
    #[must_use]
    pub const fn of(self, whole: u64) -> u64 {
        (whole as u128 * self.0 as u128).div_ceil(Self::ONE as u128) as u64
    }
}

impl TryFrom<f64> for Ratio {
    type Error = InvalidRatio;

    fn try_from(share: f64) -> Result<Self, InvalidRatio> {
        Self::new(share)
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> f64 {
        f64::from(ratio.0) / f64::from(Ratio::ONE)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / f64::from(Self::ONE / 100))
    }
}

impl fmt::Debug for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Says which value was not a share between 0.0 and 1.0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InvalidRatio(f64);

impl fmt::Display for InvalidRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a ratio lies between 0.0 and 1.0, not at {}", self.0)
    }
}

impl std::error::Error for InvalidRatio {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_a_ratio_are_exact() {
        for (ratio, part, whole, reached) in [
            (Ratio::ZERO, 0, 0, true),
            (Ratio::FULL, 0, 0, false),
            (Ratio::FULL, 3, 3, true),
            (Ratio::FULL, 2, 3, false),
            (Ratio::percent(50), 10, 20, true),
            (Ratio::percent(50), 9, 20, false),
            (Ratio::percent(1), u64::MAX / 50, u64::MAX, true),
        ] {
            assert_eq!(ratio.reached_by(part, whole), reached, "{part} of {whole} against {ratio}");
        }
        assert_eq!(Ratio::percent(50).of(3), 2);
    }

    #[test]
    fn what_is_no_share_is_named() {
        for wrong in [-0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            let error = Ratio::new(wrong).unwrap_err().to_string();
            assert!(error.contains(&wrong.to_string()), "{error}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_ratio_from_a_file_is_checked() {
        let half: Ratio = serde_json::from_str("0.5").unwrap();
        assert_eq!(half, Ratio::percent(50));
        assert_eq!(serde_json::to_string(&half).unwrap(), "0.5");
        assert!(serde_json::from_str::<Ratio>("2").unwrap_err().to_string().contains("not at 2"));
    }
}
