/// A label whose values are known ahead: an enum of yours.
///
/// Its series are found by an index, without hashing, and there can be no more of them than it has variants. For values
/// that are not known ahead there is [`Open`](crate::Open).
///
/// # Examples
///
/// ```
/// use buttress_core::Metric;
/// use buttress_metrics::{Counter, Family, Label, Registry};
///
/// #[derive(Clone, Copy)]
/// enum End { Done, Failed }
///
/// impl Label for End {
///     const NAME: &'static str = "end";
///     const VALUES: &'static [&'static str] = &["done", "failed"];
///     fn index(self) -> usize { self as usize }
/// }
///
/// const JOBS: Metric = Metric { name: "jobs_total", unit: "", help: "jobs, by how they ended" };
///
/// let registry = Registry::new();
/// let jobs: Family<Counter, End> = registry.counters(&JOBS)?;
/// jobs.get(End::Failed).inc();
/// # Ok::<_, buttress_metrics::RegisterError>(())
/// ```
pub trait Label: Copy + 'static {
    /// What the label is called.
    const NAME: &'static str;

    /// What its values are called, in the order of [`index`](Self::index). An empty one leaves the label away.
    const VALUES: &'static [&'static str];

    /// The place of this value in [`VALUES`](Self::VALUES).
    fn index(self) -> usize;
}

/// The closed labels of a family: none (`()`), one, or a tuple of up to four.
pub trait LabelSet: Copy + 'static {
    /// What the labels are called, each with what its values are called.
    const LABELS: &'static [(&'static str, &'static [&'static str])];

    /// The place of this combination among all, the last label's value changing first.
    fn place(self) -> usize;
}

impl LabelSet for () {
    const LABELS: &'static [(&'static str, &'static [&'static str])] = &[];

    #[inline]
    fn place(self) -> usize {
        0
    }
}

impl<A: Label> LabelSet for A {
    const LABELS: &'static [(&'static str, &'static [&'static str])] = &[(A::NAME, A::VALUES)];

    #[inline]
    fn place(self) -> usize {
        self.index()
    }
}

macro_rules! tuples {
    ($($($label:ident $value:ident),+;)+) => { $(
        impl<$($label: Label),+> LabelSet for ($($label,)+) {
            const LABELS: &'static [(&'static str, &'static [&'static str])] = &[$(($label::NAME, $label::VALUES)),+];

            #[inline]
            fn place(self) -> usize {
                let ($($value,)+) = self;
                let mut place = 0;
                $(
                    let index = $value.index();
                    // Or it would be another combination's.
                    assert!(index < $label::VALUES.len(), "a label's index is below the number of its values");
                    place = place * $label::VALUES.len() + index;
                )+
                place
            }
        }
    )+ };
}

tuples! {
    A a;
    A a, B b;
    A a, B b, C c;
    A a, B b, C c, D d;
}

/// How many combinations there are.
pub(crate) fn combinations<L: LabelSet>() -> usize {
    L::LABELS.iter().map(|(_, values)| values.len()).product()
}

/// The labels of the combination at `place`, the last one first.
pub(crate) fn backwards<'a, L: LabelSet>(mut place: usize) -> impl Iterator<Item = (&'a str, &'a str)> {
    L::LABELS.iter().rev().map(move |(name, values)| {
        let value = values[place % values.len()];
        place /= values.len();
        (*name, value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Three(usize);

    impl Label for Three {
        const NAME: &'static str = "three";
        const VALUES: &'static [&'static str] = &["a", "b", "c"];
        fn index(self) -> usize {
            self.0
        }
    }

    #[derive(Clone, Copy)]
    struct Two(usize);

    impl Label for Two {
        const NAME: &'static str = "two";
        const VALUES: &'static [&'static str] = &["x", "y"];
        fn index(self) -> usize {
            self.0
        }
    }

    #[test]
    fn each_combination_has_a_place_and_is_found_by_it() {
        type Set = (Three, Two, Three);
        assert_eq!(combinations::<Set>(), 18);
        let mut seen = Vec::new();
        for (a, b, c) in (0..18).map(|n| (n / 6, n / 3 % 2, n % 3)) {
            let place = (Three(a), Two(b), Three(c)).place();
            let found: Vec<_> = backwards::<Set>(place).map(|(_, value)| value).collect();
            assert_eq!(found, [Three::VALUES[c], Two::VALUES[b], Three::VALUES[a]]);
            seen.push(place);
        }
        assert_eq!(seen, (0..18).collect::<Vec<_>>());
        assert_eq!((combinations::<()>(), ().place()), (1, 0));
    }

    #[test]
    #[should_panic(expected = "below the number of its values")]
    fn an_index_out_of_range_is_not_another_combination() {
        (Three(0), Two(2)).place();
    }
}
