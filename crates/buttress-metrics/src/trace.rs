use std::fmt;
use std::num::NonZeroU128;

/// The identity of a trace (W3C Trace Context), which an exemplar points to.
///
/// # Examples
///
/// ```
/// use buttress_metrics::TraceId;
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace = TraceId::from_traceparent(header).expect("it is sampled");
/// assert_eq!(trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

impl TraceId {
    /// A trace by its number; `None` for zero, which stands for no trace.
    #[must_use]
    pub const fn new(id: u128) -> Option<Self> {
        match NonZeroU128::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0.get()
    }

    /// Reads the header `traceparent`. `None` if it is malformed, or if its trace is not sampled: then there is nothing
    /// that an exemplar could point to.
    #[must_use]
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let header = header.trim();
        let mut parts = header.split('-');
        let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = version == "00" && parts.next().is_none();
        // What later versions append is not ours to read.
        let is_later = version.len() == 2 && version != "00" && version != "ff";
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_whole = (version.len(), id.len(), parent.len(), flags.len()) == (2, 32, 16, 2);
        if !(is_known || is_later) || !is_whole || !is_hex(version) || !is_hex(parent) || !is_hex(id) {
            return None;
        }
        let sampled = is_hex(flags) && u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        if sampled { Self::new(u128::from_str_radix(id, 16).ok()?) } else { None }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_well_formed_and_sampled_is_a_trace() {
        let id = TraceId::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736).unwrap();
        for (header, trace) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some(id)),
            (" 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03 ", Some(id)),
            ("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", Some(id)),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", None),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", None),
            ("00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1", None),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736", None),
            ("", None),
        ] {
            assert_eq!(TraceId::from_traceparent(header), trace, "{header}");
        }
    }
}
