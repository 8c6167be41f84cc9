//! Parts of a response (RFC 9110 §14, RFC 9111 §3.3 and §3.4).

use super::fields::{lines, list};
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, EXPIRES, RANGE};
use http::{HeaderMap, HeaderValue};
use std::borrow::Cow;
use std::ops::Range;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it: there is no Range, or none that is understood. Several ranges are answered with all of it too:
    /// RFC 9110 §14.2 lets a server ignore Range, and many small ranges of one body are an old way to make it work.
    All,
    /// These bytes, to the last one if there is no end.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

/// What is sent of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// 200, with all of it.
    All,
    /// 206, with these of its bytes.
    Part(Range<u64>),
    /// 416.
    Unsatisfiable,
}

impl Wanted {
    /// Of a GET whose `If-Range` holds (see [`if_range`](super::validate::if_range)), and whose answer is a 200: of no
    /// other may a part be sent (RFC 9110 §14.2).
    pub(crate) fn of(request: &HeaderMap) -> Self {
        let mut lines = lines(request, &RANGE);
        match (lines.next(), lines.next()) {
            (Some(line), None) => Self::parse(line).unwrap_or(Wanted::All),
            _ => Wanted::All,
        }
    }

    fn parse(value: &[u8]) -> Option<Self> {
        const UNIT: &[u8] = b"bytes=";
        // RFC 9110 §14.1: units are case-insensitive.
        let (unit, set) = value.split_at_checked(UNIT.len())?;
        let mut specs = list(set);
        let (spec, None) = (specs.next()?, specs.next()) else { return None };
        let dash = spec.iter().position(|&byte| byte == b'-')?;
        if !unit.eq_ignore_ascii_case(UNIT) {
            return None;
        }
        match (&spec[..dash], &spec[dash + 1..]) {
            (b"", last) => number(last).map(Wanted::Last),
            (first, b"") => number(first).map(|first| Wanted::From(first, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                // RFC 9110 §14.1.1: if it ends before it begins, it is invalid.
                (first <= last).then_some(Wanted::From(first, Some(last)))
            }
        }
    }

    /// What that is of a body of so many bytes (RFC 9110 §14.1.2).
    pub(crate) fn of_full(self, length: u64) -> Cut {
        match self {
            Wanted::All => Cut::All,
            Wanted::From(first, _) if first >= length => Cut::Unsatisfiable,
            Wanted::From(first, last) => {
                Cut::Part(first..last.map_or(length, |last| last.saturating_add(1).min(length)))
            }
            Wanted::Last(0) => Cut::Unsatisfiable,
            // It can be satisfied, but Content-Range has no words for no bytes.
            Wanted::Last(_) if length == 0 => Cut::All,
            Wanted::Last(count) => Cut::Part(length.saturating_sub(count)..length),
        }
    }
}

/// A number of bytes. What is too great is past every end.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |sum: u64, byte: &u8| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
    Some(value.iter().fold(0, digit))
}

/// `Content-Range: bytes first-last/complete` (RFC 9110 §14.4): which part a 206 is, and of how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// `None` if the origin does not know.
    pub(crate) complete: Option<u64>,
}

impl ContentRange {
    /// `None` if it is not there once, or is not valid; a multipart 206 has none.
    pub(crate) fn of(response: &HeaderMap) -> Option<Self> {
        let mut lines = lines(response, &CONTENT_RANGE);
        let (value, None) = (lines.next()?, lines.next()) else { return None };
        let (unit, rest) = value.split_at_checked(b"bytes ".len())?;
        let slash = rest.iter().position(|&byte| byte == b'/')?;
        let dash = rest.iter().position(|&byte| byte == b'-').filter(|&dash| dash < slash)?;
        let (first, last) = (number(&rest[..dash])?, number(&rest[dash + 1..slash])?);
        let complete = match &rest[slash + 1..] {
            b"*" => None,
            complete => Some(number(complete)?),
        };
        let valid =
            unit.eq_ignore_ascii_case(b"bytes ") && first <= last && last < complete.unwrap_or(u64::MAX);
        valid.then_some(Self { first, last, complete })
    }

    /// How many bytes that are.
    pub(crate) fn length(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Which bytes of the stored body answer a request, if it has them all (§3.3). `body` is its length: what the
    /// origin has promised and not sent is not there.
    pub(crate) fn cut(&self, wanted: Wanted, body: u64) -> Option<Range<u64>> {
        let end = self.first.saturating_add(body.min(self.length()));
        let wanted = match (wanted, self.complete) {
            (Wanted::From(..) | Wanted::Last(_), Some(complete)) => match wanted.of_full(complete) {
                Cut::Part(wanted) => wanted,
                Cut::All | Cut::Unsatisfiable => return None,
            },
            (Wanted::From(first, Some(last)), None) => first..last.saturating_add(1),
            // Without the length, nobody knows where the end is. And a part is never the whole.
            _ => return None,
        };
        (self.first <= wanted.start && wanted.end <= end && !wanted.is_empty())
            .then(|| wanted.start - self.first..wanted.end - self.first)
    }
}

/// Makes the fields of what is stored those of a 206 (RFC 9110 §15.3.7). The length is that of the whole, if it is
/// known.
pub(crate) fn partial(headers: &mut HeaderMap, part: &Range<u64>, complete: Option<u64>) {
    let last = part.end.saturating_sub(1);
    let complete = complete.map_or(Cow::Borrowed("*"), |complete| complete.to_string().into());
    insert(headers, &format!("bytes {}-{last}/{complete}", part.start));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(part.end.saturating_sub(part.start)));
    // RFC 9530 §2: it is of what was sent then.
    for digest in ["content-digest", "content-md5"] {
        headers.remove(digest);
    }
}

/// Makes the fields of a stored 200 those of a 416 (RFC 9110 §15.5.17): nothing of it is about the body any longer, nor
/// are its lifetimes: a cache nearer to the client would give it to all who ask for the URI.
pub(crate) fn unsatisfiable(headers: &mut HeaderMap, complete: u64) {
    let is_of_200 =
        |name: &str| name.starts_with("content-") || name.ends_with("-control") || name == EXPIRES.as_str();
    let gone: Vec<_> = headers.keys().filter(|name| is_of_200(name.as_str())).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
    insert(headers, &format!("bytes */{complete}"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

fn insert(headers: &mut HeaderMap, range: &str) {
    if let Ok(value) = HeaderValue::from_str(range) {
        headers.insert(CONTENT_RANGE, value);
    }
}
