//! Settings from variables of the environment. What looks them up is an argument, and that can be `std::env::var`.

use std::env::VarError;
use std::fmt;
use std::str::FromStr;

/// A variable says what cannot be.
///
/// Its text names the variable, what it says, and what it may say. What may be a secret is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidVar {
    name: &'static str,
    /// `None` if it may be a secret.
    value: Option<String>,
    rule: String,
}

impl InvalidVar {
    pub(crate) fn new(name: &'static str, value: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { name, value: Some(value.into()), rule: rule.into() }
    }

    /// Of a variable whose value nobody may see.
    pub(crate) fn secret(name: &'static str, rule: impl Into<String>) -> Self {
        Self { name, value: None, rule: rule.into() }
    }

    /// Which variable.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Display for InvalidVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, rule } = self;
        match value {
            Some(value) => write!(f, "{name} is {value:?} and must be {rule}"),
            None => write!(f, "{name} must be {rule}"),
        }
    }
}

impl std::error::Error for InvalidVar {}

/// What the variable says; an empty one is as if it were not there.
pub(crate) fn text(
    look_up: &impl Fn(&'static str) -> Result<String, VarError>,
    name: &'static str,
) -> Result<Option<String>, InvalidVar> {
    match look_up(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(InvalidVar::secret(name, "Unicode")),
    }
}

/// The number that the variable says; `rule` is what else it must be.
pub(crate) fn number<T: FromStr>(
    look_up: &impl Fn(&'static str) -> Result<String, VarError>,
    name: &'static str,
    rule: &'static str,
) -> Result<Option<T>, InvalidVar> {
    let text = text(look_up, name)?;
    text.map(|text| text.parse().map_err(|_| InvalidVar::new(name, text, rule))).transpose()
}
