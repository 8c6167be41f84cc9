//! What is stored, and under what.

use super::answer::Form;
use super::directives::RequestDirectives;
use super::headers::tags;
use super::options::HttpOptions;
use super::policy::{Policy, Verdict};
use super::range::{ContentRange, Wanted};
use super::validate::if_range;
use super::vary::{Vary, VaryKey};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// Under what something is stored. All that is stored of one URI begins with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HttpKey {
    uri: String,
    /// Of those that are whole, or of those that are a part. A part is never where a whole one is looked for, nor in
    /// its way.
    part: bool,
    /// The response to requests that say this. Without it, the one to all, or what it varies on.
    variant: Option<VaryKey>,
}

impl HttpKey {
    /// Where the response of a URI is, or what it varies on.
    pub(crate) fn whole(uri: String) -> Self {
        Self { uri, part: false, variant: None }
    }

    /// Where a part of it is, or what the parts vary on.
    pub(crate) fn part(uri: String) -> Self {
        Self { uri, part: true, variant: None }
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    pub(crate) fn into_uri(self) -> String {
        self.uri
    }

    pub(crate) fn is_part(&self) -> bool {
        self.part
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.variant.is_none()
    }

    /// Where it is looked for first.
    pub(crate) fn primary(&self) -> Self {
        Self { uri: self.uri.clone(), part: self.part, variant: None }
    }

    /// Where a part is of what is here.
    pub(crate) fn of_part(&self) -> Self {
        Self { part: true, ..self.clone() }
    }

    fn weight(&self) -> usize {
        size_of::<Self>()
            + self.uri.len()
            + self.variant.as_ref().map_or(0, |variant| variant.as_bytes().len())
    }

    /// Where the response to a request is that varies so. `None` for `*`.
    pub(crate) fn of(&self, vary: &Vary, request: &HeaderMap) -> Option<Self> {
        let variant = match vary {
            Vary::Nothing => None,
            vary => Some(vary.key(request)?),
        };
        Some(Self { uri: self.uri.clone(), part: self.part, variant })
    }
}

/// The tag of everything that is stored of one URI, however it was asked for: one server hears of it with a scheme, with
/// the scheme's port, or without both. No tag of a response has a space in it.
pub(crate) fn tag_of(uri: &str) -> String {
    let rest = without_scheme(uri);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.strip_suffix(":80").or_else(|| host.strip_suffix(":443")).unwrap_or(host);
    format!(" {host}{path}")
}

/// A key from its `//` on.
pub(crate) fn without_scheme(uri: &str) -> &str {
    uri.find("//").map_or(uri, |at| &uri[at..])
}

/// What is stored.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Response(Arc<Stored>),
    /// It depends on these fields where the response is.
    Varies(Arc<Vary>),
}

impl Entry {
    pub(crate) fn is(&self, other: &Arc<Stored>) -> bool {
        matches!(self, Entry::Response(stored) if Arc::ptr_eq(stored, other))
    }
}

/// What an entry takes of memory, more or less: also what a client makes long, which is the key.
pub(crate) fn weight(key: &HttpKey, entry: &Entry, options: &HttpOptions) -> u64 {
    // A list for each tag, which most share with few others or none; one is the URI's.
    const TAG: usize = 96;
    let (bytes, tags) = match entry {
        Entry::Response(stored) => (stored.weight(), tags(&stored.headers, options).count()),
        Entry::Varies(vary) => (vary.weight(), 0),
    };
    let tags = (tags + 1).saturating_mul(TAG);
    bytes.saturating_add(key.weight()).saturating_add(tags) as u64
}

/// A copy. What a connection hands out holds on to all of the buffer that it was read into, which may be many times as
/// long, and nobody would know what is stored to weigh that.
pub(crate) fn owned(bytes: &[u8]) -> Bytes {
    // Of an owner, so that a hit has nothing to allocate before it can share it.
    Bytes::from_owner(Box::<[u8]>::from(bytes))
}

/// A response, in memory of its own. A hit shares all of it but the fields.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) policy: Policy,
    /// When its head came.
    pub(crate) received: SystemTime,
    pub(crate) body: Arc<[Bytes]>,
    /// All of the body, or all there is of a part.
    pub(crate) length: u64,
    /// Which part it is, if it is not the whole (§3.3).
    pub(crate) part: Option<ContentRange>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Stored {
    /// Whether it answers a request (§4), if it is what the request wants.
    pub(crate) fn serve(&self, now: SystemTime, request: &RequestDirectives) -> Verdict {
        match self.policy.serve(now, request) {
            // What revalidates beside a request asks for the whole.
            Verdict::StaleWhileRevalidate if self.part.is_some() => {
                Verdict::Revalidate { may_serve_stale_on_error: true, because_of_request: false }
            }
            verdict => verdict,
        }
    }

    /// Whether it has what a request wants: a part only has some ranges.
    pub(crate) fn suits(&self, form: Form<'_>, now: SystemTime) -> bool {
        self.part.is_none() || form.ranged && self.cut(form.headers, now).is_some()
    }

    /// Which of its bytes are the range that a request wants, if it is a part that has them all (§3.3).
    pub(crate) fn cut(&self, request: &HeaderMap, now: SystemTime) -> Option<Range<u64>> {
        let part = self.part.filter(|_| if_range(request, &self.headers, now))?;
        part.cut(Wanted::of(request), self.length)
    }

    fn weight(&self) -> usize {
        let fields = |headers: &HeaderMap| {
            // A field takes some room beside its name and value.
            headers.iter().map(|(name, value)| 64 + name.as_str().len() + value.len()).sum::<usize>()
        };
        let body = usize::try_from(self.length).unwrap_or(usize::MAX);
        // And what each has beside its bytes: its owner, and what the allocator needs.
        let chunks = self.body.len() * 3 * size_of::<Bytes>();
        let head = size_of::<Self>() + fields(&self.headers) + self.trailers.as_ref().map_or(0, fields);
        body.saturating_add(head + chunks)
    }
}
