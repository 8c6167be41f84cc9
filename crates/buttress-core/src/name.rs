use std::collections::HashSet;
use std::fmt;
// The one lock in the workspace that is not parking_lot's: this crate depends on nothing.
#[expect(
    clippy::disallowed_types,
    reason = "core depends on std alone, and a poisoned table is still whole"
)]
use std::sync::Mutex;
use std::sync::{LazyLock, PoisonError};

/// Names one part of a program: a breaker, a pool, a cache. Copying it is free.
///
/// A string literal becomes a name by `into()`. [`Name::new`] takes any other string and keeps it **for the
/// life of the process**: right for parts that a configuration file names, wrong for keys, tenants or
/// URLs, of which there is no end. There is no `From<String>` for that reason.
///
/// # Examples
///
/// ```
/// use buttress_core::Name;
///
/// let shard = 3;
/// let name = Name::new(&format!("shard-{shard}"));
/// assert_eq!(name, Name::from("shard-3"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(&'static str);

impl Name {
    /// Makes a name of any string, and keeps that string for the life of the process, once.
    #[must_use]
    pub fn new(name: &str) -> Self {
        #[expect(clippy::disallowed_types, reason = "see the import")]
        static INTERNED: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
        // A panic in here could only be an allocation that failed; the set is whole either way.
        let mut interned = INTERNED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = interned.get(name) {
            return Self(known);
        }
        let kept: &'static str = Box::leak(name.into());
        interned.insert(kept);
        Self(kept)
    }

    /// The name as a string.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self(name)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_string_is_kept_once() {
        let first = Name::new(&String::from("kept once"));
        let second = Name::new(&String::from("kept once"));
        assert!(std::ptr::eq(first.as_str(), second.as_str()));
    }
}
