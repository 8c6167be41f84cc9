//! From the head of a response to its place in the store.

use super::cache::HttpCache;
use super::client::peek;
use super::combine::combine;
use super::entry::{Entry, HttpKey, Stored, owned, tag_of};
use super::headers::{own_fields, tags};
use super::policy::Policy;
use super::range::ContentRange;
use super::vary::Vary;
use crate::load::Lead;
use crate::rules::Keep;
use crate::store::{Ask, Begun};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How the cache asks its store: what is fresh is for the [`Policy`] to say.
pub(crate) const ASK: Ask = Ask { count: true, apart: false, early: false, reload: true };

/// Where a response goes that is being loaded, and the right to store it there.
///
/// A response may belong elsewhere than where it was looked for, when it turns out what it varies on. Then there are
/// two flights: the first from before the load, the second to the place where the response goes. It is stored only if
/// nothing was invalidated in the span of either.
#[derive(Debug)]
pub(crate) struct Landing {
    cache: HttpCache,
    first: Lead<HttpKey, Entry>,
    second: Option<Lead<HttpKey, Entry>>,
    /// Where it goes.
    key: HttpKey,
    vary: Arc<Vary>,
    tags: Vec<String>,
}

impl Landing {
    /// For the response to a request that says this. Gives the lead back if it goes nowhere.
    pub(crate) fn new(
        cache: &HttpCache,
        first: Lead<HttpKey, Entry>,
        request: &HeaderMap,
        response: &HeaderMap,
    ) -> Result<Self, Lead<HttpKey, Entry>> {
        let vary = Vary::of(response);
        let Some(key) = first.key().of(&vary, request) else { return Err(first) };
        let shared = &cache.cache().shared;
        let second = (*first.key() != key)
            .then(|| shared.store.begin(key.clone(), Ask { count: false, ..ASK }, shared))
            .and_then(|begun| if let Begun::Lead(lead, _) = begun { Some(lead) } else { None });
        let mut named: Vec<String> = tags(response, cache.options()).map(str::to_owned).collect();
        named.push(tag_of(key.uri()));
        Ok(Self { cache: cache.clone(), first, second, key, vary: Arc::new(vary), tags: named })
    }

    /// Stores it for as long as it is of use, and tells those who wait. Says whether it is stored.
    pub(crate) fn complete(self, stored: &Arc<Stored>, now: SystemTime) -> bool {
        let Self { cache, first, second, key, vary, tags } = self;
        let kept = stored.policy.kept(now);
        let mut keep =
            Keep::default().ttl(kept).stale_while_revalidate(Duration::ZERO).stale_if_error(Duration::ZERO);
        keep.tags = tags.into_iter().map(Into::into).collect();
        // The other variants may be of use for longer.
        let sign_keep = Keep { ttl: Some(kept.max(cache.options().validate_for)), ..keep.clone() };
        let (entry, sign) = (Entry::Response(Arc::clone(stored)), Entry::Varies(vary));
        let was_primary = first.key().is_primary();
        let is_stored = match second {
            None if *first.key() == key => first.store(&entry, &keep),
            None => {
                // Somebody else loads it there.
                first.share(&sign, false);
                false
            }
            Some(second) => {
                let holds = first.store(&sign, &sign_keep);
                if holds {
                    second.store(&entry, &keep)
                } else {
                    // It was invalidated before its head came: one of those who wait there since asks for all.
                    drop(second);
                    false
                }
            }
        };
        if is_stored && !was_primary && !key.is_primary() {
            put_sign(&cache, key.primary(), sign, &sign_keep);
        }
        // The newest is what counts (§4): a part is older now, also one that is still on its way.
        if is_stored && !key.is_part() && cache.options().partial {
            cache.cache().invalidate(&key.of_part());
        }
        is_stored
    }

    /// It is not stored: whoever waits asks for itself.
    pub(crate) fn scatter(self) {
        self.first.scatter();
        if let Some(second) = self.second {
            second.scatter();
        }
    }
}

/// Has those who look for a URI know what the newest response varies on.
fn put_sign(cache: &HttpCache, primary: HttpKey, sign: Entry, keep: &Keep) {
    let same = match (peek(cache, &primary), &sign) {
        (Some(Entry::Varies(there)), Entry::Varies(vary)) => there == *vary,
        _ => false,
    };
    if !same {
        cache.cache().insert_with(primary, sign, keep);
    }
}

/// The duty to bring a response for all who wait for it.
#[derive(Debug)]
pub struct Duty(pub(crate) Lead<HttpKey, Entry>);

/// The head of a response whose body is still to come.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) policy: Policy,
    pub(crate) received: SystemTime,
    /// Which part it is, if it is not the whole.
    pub(crate) part: Option<ContentRange>,
}

/// Collects the body of a response on its way to a client, and stores it when it has ended.
///
/// Dropped half-way, it hands over to the one that has waited longest.
#[derive(Debug)]
pub struct Tee(Option<Box<Collected>>);

#[derive(Debug)]
struct Collected {
    landing: Landing,
    head: Head,
    chunks: Vec<Bytes>,
    length: u64,
    /// As the head says.
    expected: Option<u64>,
    trailers: Option<HeaderMap>,
}

impl Tee {
    pub(crate) fn new(landing: Landing, head: Head, expected: Option<u64>) -> Self {
        let (chunks, length, trailers) = (Vec::new(), 0, None);
        Self(Some(Box::new(Collected { landing, head, chunks, length, expected, trailers })))
    }

    /// Whether it may still be stored.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn data(&mut self, chunk: &Bytes) {
        let Some(it) = &mut self.0 else { return };
        it.length = it.length.saturating_add(chunk.len() as u64);
        let promised = it.head.part.map_or(u64::MAX, |part| part.length());
        let most = it.landing.cache.options().max_body.min(promised).min(it.expected.unwrap_or(u64::MAX));
        if it.length > most {
            self.give_up();
        } else if !chunk.is_empty() {
            it.chunks.push(owned(chunk));
        }
    }

    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(it) = &mut self.0 {
            it.trailers = Some(own_fields(trailers));
        }
    }

    /// The body has ended.
    pub(crate) fn end(&mut self) {
        let Some(it) = self.0.take() else { return };
        if it.has_come() { it.store() } else { it.landing.scatter() }
    }

    /// It is not stored.
    pub(crate) fn give_up(&mut self) {
        if let Some(it) = self.0.take() {
            it.landing.scatter();
        }
    }
}

impl Collected {
    /// Whether all of it is there. What is too long was given up before.
    fn has_come(&self) -> bool {
        let is_empty_part = self.head.part.is_some() && self.length == 0;
        self.expected.is_none_or(|expected| expected == self.length) && !is_empty_part
    }

    fn store(self: Box<Self>) {
        let Self { landing, head, chunks, length, trailers, .. } = *self;
        let Head { status, version, headers, policy, received, part } = head;
        let now = landing.cache.now();
        let body = chunks.into();
        let mut stored = Stored { status, version, headers, policy, received, body, length, part, trailers };
        if let (Some(_), Some(Entry::Response(older))) = (part, peek(&landing.cache, &landing.key)) {
            stored = combine(&stored, &older, landing.cache.options().max_body).unwrap_or(stored);
        }
        landing.complete(&Arc::new(stored), now);
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        // A server that has sent as much as the head says need not ask for the end.
        let has_come = self.0.as_ref().is_some_and(|it| it.expected.is_some() && it.has_come());
        match mem::take(&mut self.0) {
            Some(it) if has_come && !std::thread::panicking() => it.store(),
            _ => {}
        }
    }
}
