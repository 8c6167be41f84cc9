use crate::drops::Dropped;
use crate::name::Kind;
use buttress_core::Name;
use std::fmt;

/// Why a metric or a part could not be registered. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// Not a name: letters, digits and underscores, and neither a digit nor two underscores first.
    Name {
        /// What was given.
        name: String,
    },
    /// Counters end in `_total`, and nothing else does.
    Total {
        /// What was given.
        name: String,
        /// What it was to be.
        kind: Kind,
    },
    /// A name ends in its unit (before `_total`).
    Unit {
        /// What was given.
        name: String,
        /// The unit that is missing in it.
        unit: String,
    },
    /// A label that is reserved (`le`, `quantile`, `__x`), malformed, or there twice; or a value that is.
    Label {
        /// The metric.
        name: String,
        /// The label, or its value.
        label: String,
    },
    /// The name, or one that its samples would have, belongs to a metric of another kind, with other labels, or from
    /// elsewhere.
    Taken {
        /// What was to be registered.
        name: String,
        /// The metric that is there.
        by: String,
    },
    /// A part shows what cannot be shown.
    Shown {
        /// The part's kind.
        kind: &'static str,
        /// The part's name.
        name: Name,
        /// The metric; empty if it has no name that could be shown.
        metric: String,
        /// What is wrong with it.
        reason: Dropped,
    },
    /// A part of this kind and name is there already, and their series could not be told apart.
    Part {
        /// The part's kind.
        kind: &'static str,
        /// The part's name.
        name: Name,
    },
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => write!(f, "`{name}` is no name for a metric"),
            Self::Total { name, kind: Kind::Counter } => {
                write!(f, "the counter `{name}` does not end in `_total`")
            }
            Self::Total { name, kind } => write!(f, "the {} `{name}` ends in `_total`", kind.as_str()),
            Self::Unit { name, unit } => write!(f, "`{name}` does not end in its unit `{unit}`"),
            Self::Label { name, label } => {
                write!(f, "`{label}` of `{name}` is reserved, malformed or there twice")
            }
            Self::Taken { name, by } => write!(f, "`{name}` is taken: there is another `{by}`"),
            Self::Shown { kind, name, metric, reason } => {
                write!(f, "the {kind} `{name}` shows what cannot be: {reason}")?;
                if metric.is_empty() { Ok(()) } else { write!(f, ", in `{metric}`") }
            }
            Self::Part { kind, name } => write!(f, "there is a {kind} `{name}` already"),
        }
    }
}

impl std::error::Error for RegisterError {}
