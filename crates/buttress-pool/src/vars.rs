//! Settings from variables of the environment. What looks them up is an argument, and that can be `std::env::var`.

#[cfg(any(feature = "postgres", feature = "redis"))]
use crate::Size;
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

/// The size that two variables say, or one; five and twenty unless told, but the least gives way to what the most says.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) fn size(
    look_up: &impl Fn(&'static str) -> Result<String, VarError>,
    min_name: Option<&'static str>,
    max_name: &'static str,
) -> Result<Size, InvalidVar> {
    const MOST: &str = "a whole number from 1 to 1000000";
    let default = Size::default();
    let max = number(look_up, max_name, MOST)?.unwrap_or(default.max());
    if Size::new(0, max).is_none() {
        return Err(InvalidVar::new(max_name, max.to_string(), MOST));
    }
    let min = min_name.map(|name| number(look_up, name, "a whole number from 0 to 1000000"));
    let min = min.transpose()?.flatten().unwrap_or(default.min().min(max));
    Size::new(min, max).ok_or_else(|| {
        let rule = format!("no more than {max_name}, which is {max}");
        InvalidVar::new(min_name.unwrap_or(max_name), min.to_string(), rule)
    })
}
