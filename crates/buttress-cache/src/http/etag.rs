//! Entity tags (RFC 9110 §8.8.3).

use super::fields::{lines, tag_list};
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntityTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let (weak, rest) = match value.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, value),
        };
        let opaque = rest.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        let etagc = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
        opaque.iter().all(etagc).then_some(Self { weak, opaque })
    }

    /// Of a response.
    pub(super) fn of(headers: &'a HeaderMap) -> Option<Self> {
        headers.get(ETAG).map(HeaderValue::as_bytes).and_then(Self::parse)
    }

    /// RFC 9110 §8.8.3.2.
    pub(super) fn weakly_is(self, other: Self) -> bool {
        self.opaque == other.opaque
    }

    /// RFC 9110 §8.8.3.2.
    pub(super) fn strongly_is(self, other: Self) -> bool {
        !self.weak && self == other
    }
}

/// Whether `If-None-Match` names what is stored (RFC 9110 §13.1.2), or `None` if it is not there.
pub(super) fn none_match(request: &HeaderMap, stored: &HeaderMap) -> Option<bool> {
    if !request.contains_key(IF_NONE_MATCH) {
        return None;
    }
    let tag = EntityTag::of(stored);
    let named = lines(request, &IF_NONE_MATCH).flat_map(tag_list).any(|element| {
        element == b"*" || EntityTag::parse(element).zip(tag).is_some_and(|(named, tag)| named.weakly_is(tag))
    });
    Some(named)
}
